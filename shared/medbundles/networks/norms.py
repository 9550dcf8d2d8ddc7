"""The normalisations that segmentation networks can have."""

NORMS: dict[str, tuple[str, dict]] = {
    "instance": ("instance", {"affine": True}),
    "batch": ("batch", {}),
    "group": ("group", {"num_groups": 8}),
}
GROUPS = NORMS["group"][1]["num_groups"]
