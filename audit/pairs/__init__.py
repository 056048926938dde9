"""Counterfactual pairs of our own: two sentences alike but for whom they are about.

``data/`` has the words, ``read.py`` reads them, ``grammar.py`` makes them agree, ``make.py`` makes the pairs,
``check.py`` proves them. ``CONSTRUCTION.md`` says how they are made, and how to add to them.
"""
