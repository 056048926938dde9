"""Pretraining and fine-tuning on the workspace's token shards, with nanotron's 3D parallelism."""
