"""Audits: of data and filters now (``audit.data``); of models, misuse and checkpoints as they are built."""
