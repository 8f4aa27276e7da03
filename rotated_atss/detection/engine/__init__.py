"""Adapters over MMEngine: configs, training, testing, checkpoints and inference."""
