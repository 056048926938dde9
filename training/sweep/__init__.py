"""Hyperparameter search: each trial a training run of its own, on record; and the learning-rate range test."""
