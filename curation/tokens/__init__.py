"""Tokens: tokenizers trained and measured on a dataset, and datasets as shards of token ids.

Importing it loads nothing; ``read`` is what training reads token shards with.
"""
