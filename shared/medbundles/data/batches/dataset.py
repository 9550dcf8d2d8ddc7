"""The dataset of all bundles: deterministic steps cached, random ones seeded by (seed, epoch, item, draw)."""

import copy
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import Dataset, list_data_collate
from monai.transforms import Compose, Randomizable, RandomizableTrait

from medbundles.cores import local_rank_and_count
from medbundles.data.batches.cache import DiskCache, recipe_hash
from medbundles.data.batches.compact import packed, size_of, unpacked
from medbundles.data.batches.samplers import Key
from medbundles.errors import DataError, MedbundlesError, causes, one_of
from medbundles.lines import say, size_in_words
from medbundles.memory import free_memory, free_on_disk
from medbundles.parallel import on_all_cores

logger = logging.getLogger("medbundles")
LOOK_AGAIN = 2**26  # bytes by which a memory cache grows at most until it is looked again whether there is room
MEMORY_SHARE = 0.5  # of the free memory, for a cache: the network, its gradients and batches need the rest
RANDOM = (Randomizable, RandomizableTrait)
ADVICE = "\nMend or remove it, or leave out such files: --skip_bad_files True. `python -m tools check-data` lists all."


def split_at_random(transform: Callable) -> tuple[Callable, tuple[Callable, ...]]:
    """The steps of a Compose before its first random one, and that one with those after it."""
    # OneOf and its like are composed, too, and random as a whole
    steps = transform.flatten().transforms if type(transform) is Compose else (transform,)
    first = next((i for i, step in enumerate(steps) if isinstance(step, RANDOM)), len(steps))
    return (transform, ()) if first == len(steps) else (Compose(steps[:first]), tuple(steps[first:]))


class PlainItems(Sequence[dict]):
    """At most so many items of a dataset, evenly spread, each once and without a `SeededDataset`'s augmentation.

    Args:
        dataset: the dataset; of a `SeededDataset` only items whose entry in the datalist has what is asked for.
        most: how many at most.
        needs: key that must not be False in an item of the datalist, such as "has_mask"; None: all items.
    """

    def __init__(self, dataset: Any, most: int, needs: str | None = None):
        self.plain = copy.copy(dataset)
        self.plain.augmentation, self.plain.draws = None, 1
        usable = [i for i in range(len(self.plain)) if needs is None or self.plain.data[i].get(needs, True)]
        places = np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)
        self.places = [usable[place] for place in places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self.plain[self.places[index]]


class SeededDataset(Dataset):
    """Items by (epoch, index, draw): the preprocessing is cached, the augmentation is seeded by these and the seed.

    So an item's augmentation depends neither on the number of workers nor on what was drawn before it, and an item that
    comes several times in an epoch is each time augmented otherwise. A draw that is not given is 0; a plain index is
    epoch 0. Nothing is read before `prepare`, which the loader calls when it starts.

    MONAI's CacheDataset is not used: it reads all files while the config is built, and its random transforms go on from
    the worker's state, so that a resumed run would see other images.

    Args:
        data: MONAI datalist; each item has an "image" path.
        transform: preprocessing. Of a Compose what stands before the first random step is cached; that step and those
            after it are done each time, seeded as the augmentation is.
        augmentation: a MONAI Randomizable that is applied after it (training), or None. In the items that it gets,
            "epoch" is the epoch, counted from 1.
        cache: "none", "memory" (each image is decoded once per run) or "disk" (once for all runs; the key holds the
            preprocessing and the files' size and time). A memory cache becomes one on disk where it would take more
            than half of the free memory, which is said.
        cache_dir: folder of the disk cache.
        seed: seed of the augmentation.
        skip_bad_files: leave out what cannot be read and say how many; reads all files at once.
        draws: how often each item comes in an epoch, each time with another augmentation.

    Raises:
        ConfigError: unknown `cache`.
        DataError: a file that cannot be read (when it is first read), or nothing left to read.
    """

    collate: Callable[[Any], Any] = staticmethod(list_data_collate)  # items to a batch

    def __init__(
        self,
        data: Sequence[dict],
        transform: Callable,
        augmentation: Any = None,
        cache: str = "memory",
        cache_dir: str | None = None,
        seed: int = 0,
        skip_bad_files: bool = False,
        draws: int = 1,
    ):
        one_of("cache", cache, ("none", "memory", "disk"))
        transform, random = split_at_random(transform)
        if random:
            augmentation = Compose([*random, *([augmentation] if augmentation else [])])
        super().__init__(list(data), transform)
        self.augmentation, self.cache, self.seed, self.draws = augmentation, cache, seed, draws
        self.cache_dir, self.recipe = Path(cache_dir or ".cache"), recipe_hash(transform)
        self.advice = "" if skip_bad_files else ADVICE
        self.prepared: list[dict] | None = None
        self.is_filled = False
        self.read: Callable[[dict], Any] = self._read
        if cache == "disk":
            self.read = DiskCache(self._read, self.cache_dir, self.recipe)
        if skip_bad_files:
            self._leave_out_bad_files()

    def _read(self, item: dict) -> Any:
        """Prepare an item; any failure is one `DataError` that names its file, whatever MONAI wrapped around it."""
        try:
            return self.transform(dict(item))
        except Exception as error:
            every = list(causes(error))
            cause = next((cause for cause in every if isinstance(cause, MedbundlesError)), every[-1])
            if isinstance(cause, MedbundlesError):
                raise (DataError(f"{cause}{self.advice}") if isinstance(cause, DataError) else cause) from None
            what = f"cannot be prepared: {type(cause).__name__}: {cause}"
            raise DataError(f"{item['image']}: {what}{self.advice}") from error

    def _leave_out_bad_files(self) -> None:
        good, prepared = [], []
        for item, content in zip(self.data, self._contents(self._tried, "reading all files"), strict=True):
            if isinstance(content, DataError):
                logger.warning("left out: %s", content)
                continue
            good.append(item)
            if self.cache == "memory":
                prepared.append(content)
        # a source that is lost as a whole would change what is trained: no masks at all, for one
        there, left = (Counter(item.get("source") for item in items) for items in (self.data, good))
        for source in there.keys() - left.keys():
            of = f" of source {source!r}" if source else ""
            raise DataError(f"skip_bad_files: none of the {there[source]} files{of} can be read.")
        if len(good) < len(self.data):
            logger.warning("skip_bad_files: %d of %d items are left out.", len(self.data) - len(good), len(self.data))
        self.data = good
        self.prepared = prepared if self.cache == "memory" else None

    def _tried(self, item: dict) -> dict | DataError | None:
        """What is to be kept of an item, or what is wrong with it."""
        # building a config creates nothing on disk: what the disk cache does not have yet is only read here
        cached = not isinstance(self.read, DiskCache) or self.read.path(item).is_file()
        try:
            content = self._packed(item) if cached else self._read(item)
        except DataError as error:
            return error
        return content if self.cache == "memory" else None

    def prepare(self) -> None:
        """Fill the cache; done once, before workers start, so that they share it."""
        if self.is_filled:
            return
        if self.cache == "memory" and self.prepared is None:
            prepared = []
            for content in self._contents(self._packed, "filling the cache"):
                if self.cache != "memory":  # there is no room
                    break
                prepared.append(content)
            else:
                self.prepared = prepared
        if isinstance(self.read, DiskCache):
            self.read.fill(self.data)
        self.is_filled = True

    def _packed(self, item: dict) -> dict:
        return packed(self.read(item))

    def _contents(self, read: Callable[[dict], Any], what: str) -> Iterator[Any]:
        """What `read` gives for each item; a memory cache that has no room for all of them is given up on the way."""
        size, due = 0, 0
        for number, content in enumerate(on_all_cores(read, self.data, what), 1):
            size += size_of(content) if isinstance(content, dict) else 0
            if size >= due and self.cache == "memory":
                self._look_for_room(size, number)
                due = size + min(size, LOOK_AGAIN)
            yield content

    def _look_for_room(self, size: int, number: int) -> None:
        """Give the memory cache up where the rest of the items would take more than its share of the free memory.

        Args:
            size: bytes that the first items take.
            number: how many these are.
        """
        free, whole = free_memory(), size * len(self.data) // number
        takes = f"cache: {len(self.data)} images take about {size_in_words(whole)} of memory"
        if free is None:
            say(f"{takes}; how much is free is not known on this system")
        elif whole - size <= MEMORY_SHARE * free / local_rank_and_count()[1]:
            if number == 1:
                say(f"{takes}, {size_in_words(free)} are free")
        else:
            takes += f", too much of the {size_in_words(free)} that are free;"
            room = free_on_disk(self.cache_dir)
            if whole < room:
                self.cache, self.read = "disk", DiskCache(self._read, self.cache_dir, self.recipe)
                say(f"{takes} they go to the disk instead, as with --cache disk")
            else:
                self.cache = "none"
                say(f"{takes} {self.cache_dir} has no room either: each image is read anew in every epoch")

    def __len__(self) -> int:
        return len(self.data) * self.draws

    def __getitem__(self, key: int | tuple[int, int] | Key) -> Any:  # type: ignore[override]
        epoch, index, *draw = key if isinstance(key, tuple) else (0, key)
        if not -len(self) <= index < len(self):  # a loop over the dataset ends by it
            raise IndexError(f"item {index} of {len(self)}")
        index %= len(self)
        place = index % len(self.data)
        item = unpacked(self.prepared[place] if self.prepared is not None else self.read(self.data[place]))
        if self.augmentation is None:
            return item
        state = np.random.SeedSequence([self.seed, epoch, index, *(draw or [0])]).generate_state(1)
        self.augmentation.set_random_state(seed=int(state[0]))
        return self.augmentation({**item, "epoch": epoch})
