"""The sets of a split, with the pictures by which copies are known."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.data.lists.known_pictures import KnownPictures
from medbundles.data.lists.near_identical import Pair, joined, owner_of
from medbundles.data.lists.split_file import FILE, split_record


class ImageParts(dict[str, list[dict]]):
    """The sets of a split ("train", "val", "test" -> datalist), with the pictures by which copies were found.

    Args:
        parts: the sets.
        pairs: pictures that count as one, see `near_identical`.
        thumbnails: path -> thumbnail of each picture.
        run_dir: the run directory in whose config/split.json all this is kept; None: nowhere.
        later: further sets, which are only read when someone asks for them.
        known: what is kept for the next start.
    """

    def __init__(
        self,
        parts: Mapping[str, list[dict]],
        pairs: Sequence[Pair] = (),
        thumbnails: Mapping[str, str] | None = None,
        run_dir: Any = None,
        later: Mapping[str, Callable[[], list[dict]]] | None = None,
        known: KnownPictures | None = None,
    ):
        super().__init__(parts)
        self.pairs, self.thumbnails, self.run_dir = list(pairs), dict(thumbnails or {}), run_dir
        self.later, self.known = dict(later or {}), known

    def __missing__(self, part: str) -> list[dict]:
        if part not in self.later:
            raise KeyError(part)
        self[part] = self.later.pop(part)()
        return self[part]

    def record(self) -> tuple[Path, dict[str, Any]] | None:
        """The split's file and what belongs in it: asked by one process when a run starts (see `handlers.Run`).

        What was found out about the pictures is kept now: nothing is written before a run starts.
        """
        if self.known is not None:
            self.known.save()
        if self.run_dir is None:
            return None
        return self.run_dir.folder("config") / FILE, split_record(self, self.pairs, self.thumbnails)


def with_joined_patients(parts: Mapping[str, list[dict]], pairs: Sequence[Pair]) -> dict[str, list[dict]]:
    """The sets, with one patient for all pictures that count as one: intervals draw patients."""
    heads = joined(pairs, (owner_of(item) for items in parts.values() for item in items))
    patients: dict[str, str] = {}
    for item in sorted((item for items in parts.values() for item in items), key=lambda item: item["name"]):
        patients.setdefault(heads[owner_of(item)], item["patient"])
    return {
        part: [{**item, "patient": patients[heads[owner_of(item)]]} for item in items] for part, items in parts.items()
    }
