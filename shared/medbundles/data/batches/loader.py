"""The loader of all bundles: works with 0 workers, reproducible, prepares its dataset's cache before it starts."""

from collections.abc import Iterator
from typing import Any

import torch
from monai.data import DataLoader

from medbundles.cores import core_count
from medbundles.data.batches.dataset import SeededDataset
from medbundles.data.batches.inputs import InputBatches
from medbundles.data.batches.samplers import EpochBatches, MixedBatches


def worker_count(num_workers: int | str = "auto", cores: int | None = None) -> int:
    """`auto` is one worker per core up to 8, none on one or two cores, where they only take time from the network."""
    if num_workers != "auto":
        return int(num_workers)
    cores = core_count() if cores is None else cores
    return min(8, cores) if cores > 2 else 0


class SeededLoader(DataLoader):
    """MONAI's DataLoader over a `SeededDataset` and one of our batch samplers.

    Args:
        dataset: what to load.
        batches: yields lists of keys (epoch, index, draw).
        num_workers: worker processes, or "auto".
        pin_memory: page-locked batches; only done where there is CUDA, so that nothing warns elsewhere.
        persistent_workers: keep the workers from epoch to epoch; means nothing with 0 workers.
        prefetch_factor: batches each worker prepares ahead; means nothing with 0 workers.
    """

    def __init__(
        self,
        dataset: SeededDataset,
        batches: EpochBatches | MixedBatches | InputBatches,
        num_workers: int | str = "auto",
        pin_memory: bool = True,
        persistent_workers: bool = True,
        prefetch_factor: int = 4,
    ):
        workers = worker_count(num_workers)
        of_workers: Any = {"persistent_workers": persistent_workers, "prefetch_factor": prefetch_factor}
        super().__init__(
            dataset,
            num_workers=workers,
            batch_sampler=batches,
            pin_memory=pin_memory and torch.cuda.is_available(),
            # its own generator: otherwise each start of the iterator draws from torch's and moves dropout's numbers
            generator=torch.Generator(),
            collate_fn=dataset.collate,
            **(of_workers if workers > 0 else {}),
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of this epoch (1-based)."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]

    def __iter__(self) -> Iterator:  # type: ignore[override]
        self.dataset.prepare()  # type: ignore[attr-defined]
        return super().__iter__()
