"""Groups of the yes/no picture set that must not be torn apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from medbundles.data.problems import Problems


def image_groups(items: Sequence[dict]) -> tuple[dict[str, list[dict]], Problems]:
    """Items of a class folder by patient; byte-identical images share one.

    Args:
        items: as `class_folder_datalist` gives them.

    Returns:
        patient -> its items, and the groups left out because copies of one image stand in several classes.
    """
    groups: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        groups[item["patient"]].append(item)
    problems = Problems()
    for patient in list(groups):
        if len({item["label"] for item in groups[patient]}) > 1:
            names = [item["name"] for item in groups.pop(patient)]
            problems.add(names[0], f"the same image stands in several classes, left out: {', '.join(names)}")
    return dict(groups), problems
