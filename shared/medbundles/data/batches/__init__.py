"""Datalists to batches: dataset, cache, loader, samplers."""
