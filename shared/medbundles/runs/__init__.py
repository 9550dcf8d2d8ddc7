"""A run's folder, its checkpoints, and what it was made with."""

from medbundles.runs.directory import RunDirectory
