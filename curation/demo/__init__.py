"""The offline demo: a web site made here, served on the loopback, crawled over HTTP and curated.

``python -m curation.demo`` runs it. The site (``site.build``) is text that any Python installation
holds, together with the pages of ``pages/`` and ``special.py``, each written for one thing that a
crawl does to a curation pipeline: a charset that lies, a near-duplicate, spam, an empty answer.
"""
