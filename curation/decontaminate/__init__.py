"""Which documents hold items on which a model is evaluated later: benchmark questions, probes, test sets.

``items`` reads them, ``compiling`` makes the index from them that all workers share, ``index`` maps it, ``matching``
looks a document up, and ``curation.filters.decontaminate`` is the step. ``python -m curation.decontaminate`` looks at
the documents of a finished run, and compares with MinHash for long items (``ensemble``).
"""
