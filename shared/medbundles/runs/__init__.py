"""What surrounds a run: the preflight before it, its folder, its files, its figures."""

from medbundles.runs.directory import RunDirectory as RunDirectory
from medbundles.runs.preflight import Preflight as Preflight
