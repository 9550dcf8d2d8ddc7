"""What the bundles in this collection share; the rooms are named like MONAI's own."""

__version__ = "0.2.0.dev0"
