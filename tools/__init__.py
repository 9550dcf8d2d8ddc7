"""What is done to bundles and data from outside: `python -m tools VERB --help`."""
