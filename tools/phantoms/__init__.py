"""Synthetic heads for trying and testing, in the layouts that the bundles read."""
