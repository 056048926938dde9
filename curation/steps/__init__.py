"""The datatrove steps of our own: ``read`` -> ``annotate`` -> ``write``."""
