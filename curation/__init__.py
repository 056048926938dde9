"""Curation: raw crawls in, clean and catalogued shards out. Importing it does no work."""
