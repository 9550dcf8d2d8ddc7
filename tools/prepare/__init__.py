"""Raw data to the layouts that the bundles read, split by patient."""
