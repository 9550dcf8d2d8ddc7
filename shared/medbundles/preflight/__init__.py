"""What is refused before a run: the settings' schema, the rules about combinations, the command line."""

from medbundles.preflight.preflight import Preflight
