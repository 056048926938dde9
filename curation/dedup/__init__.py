"""URL, exact and near-duplicate removal, inside a crawl and across crawls.

While documents are written, a sketch of each survivor of the filters is stored beside them (``sketch``).
Phases over the sketches of the whole run (``phases``), each split into tasks of bounded memory, then find the
duplicates, and the shard writer moves them to the rejected, with what they duplicate. The sketches of a
finished run stay as the workspace's index (``index``).
"""
