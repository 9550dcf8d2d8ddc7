"""Byte-identical files within a datalist, and what they say of their items."""

from collections.abc import Sequence

from medbundles.data.problems import Problems
from medbundles.data.reading.files import identical_files, item_files


def copies(items: Sequence[dict]) -> list[dict[str, dict]]:
    """Groups of two or more byte-identical images: path -> its item."""
    owner = {path: item for item in items for path in item_files(item, "image")}
    return [{path: owner[path] for path in group} for group in identical_files(owner)]


def of_one_class(items: list[dict], class_names: Sequence[str], problems: Problems) -> list[dict]:
    """The items without those whose image has another class elsewhere, which are noted: one of the two is wrong."""
    doubtful = set()
    for group in copies(items):
        classes = {path: class_names[item["label"]] for path, item in group.items()}
        for path, name in classes.items() if len(set(classes.values())) > 1 else ():
            others = ", ".join(f"{other} ({its})" for other, its in classes.items() if its != name)
            problems.add(path, f"is {name}, but byte-identical to {others}; one of the classes is wrong")
            doubtful.add(group[path]["name"])
    return [item for item in items if item["name"] not in doubtful]
