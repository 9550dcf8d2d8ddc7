"""What inference loads: inputs that are shared by the processes, and of which a bad one does not stop the others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from monai.data import list_data_collate

from medbundles.data.batches.dataset import SeededDataset
from medbundles.data.batches.samplers import Key
from medbundles.data.reading.inference_record import FAILED
from medbundles.errors import DataError
from medbundles.ranks import rank_and_world


def collate_inputs(items: Sequence[Any]) -> dict[str, Any]:
    """A batch of what could be read (nothing, where nothing could), with "failed" where something could not."""
    good, failed = [item for item in items if FAILED not in item], [i[FAILED] for i in items if FAILED in i]
    return (list_data_collate(good) if good else {}) | ({FAILED: failed} if failed else {})


class InputDataset(SeededDataset):
    """A `SeededDataset` without a cache that gives, of an item that cannot be read, its path and what is wrong.

    When a slice cannot be read, neither can the others of its file: it is not tried again for each. The items have
    "place", too: the number of their input among all, from 0 on.

    Args:
        data: MONAI datalist; each item has an "image" path, or several; of one known
            to be bad, "failed" says what is wrong.
        transform: preprocessing.
    """

    collate: Callable[[Any], Any] = staticmethod(collate_inputs)

    def __init__(self, data: Sequence[dict], transform: Any):
        super().__init__(data, transform, cache="none")
        self.advice = ""
        self.bad: dict[str, str] = {}
        self.places = {name: place for place, name in enumerate(dict.fromkeys(item["name"] for item in data))}

    def __getitem__(self, key: Any) -> Any:
        item = self.data[key[1] if isinstance(key, tuple) else key]
        path = path_of(item)
        wrong = self.bad.get(path) or item.get(FAILED)
        if not wrong:
            try:
                return {**super().__getitem__(key), "place": self.places[item["name"]]}
            except DataError as error:
                self.bad[path] = wrong = str(error).removeprefix(f"{path}: ")
        return {FAILED: (path, wrong)}


def path_of(item: dict[str, Any]) -> str:
    """The file that names an item in messages and tables: of several the first; "" of what has none."""
    path = item.get("image") or item.get("latent") or ""
    return path if isinstance(path, str) else path[0]


class InputBatches:
    """Batches of keys over all items in their order; under torchrun each rank gets whole inputs, about equally many.

    Args:
        data: the datalist; items of one "name" (the slices of a volume) stay together.
        batch_size: items per batch and process.
    """

    def __init__(self, data: Sequence[dict], batch_size: int):
        rank, world = rank_and_world()
        inputs: dict[str, list[int]] = {}
        for i, item in enumerate(data):
            inputs.setdefault(str(item["name"]), []).append(i)
        loads, self.batch_size = [0] * world, batch_size
        self.mine: list[int] = []
        for indices in inputs.values():
            least = loads.index(min(loads))
            loads[least] += len(indices)
            self.mine += indices if least == rank else []

    def set_epoch(self, epoch: int) -> None:
        """The order does not depend on it."""

    def __len__(self) -> int:
        # Without inputs there is an empty batch, because the engine must run: other processes wait for this one at
        # the end, and a run that was killed before it wrote its tables is finished by one that has nothing else to do.
        return max(1, -(-len(self.mine) // self.batch_size))

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield [(0, index, 0) for index in self.mine[start : start + self.batch_size]]
