"""What the bundles in this collection share; the rooms are named like MONAI's own."""

__version__ = "0.1.0"
