"""Raw input of any kind, read as a stream of records, each counted."""
