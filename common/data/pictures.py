"""What a data set is, in memory or not, and the endless batches that are drawn from it.

Shape letters: N pictures, C channels (1 grey or 3 colours), H = W = size; pairs have S = size.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from common import UserError, require
from common.images import to_float

MEMORY_LIMIT = 2**30  # bytes: a set that needs more as uint8 is read batch by batch


def data_root() -> Path:
    """Where downloads go: the folder `data` of this repository, or what the variable GAN_DATA names."""
    return Path(os.environ.get("GAN_DATA") or Path(__file__).parents[2] / "data").expanduser()


def spread(length: int, most: int | None) -> list[int]:
    """At most so many places, evenly spread over `length`, or all."""
    n = length if most is None else min(most, length)
    return torch.linspace(0, length - 1, n).long().tolist()


@contextmanager
def without_main() -> Iterator[None]:
    """Processes that start in here import what they need, and not the program that is running: it needs no main guard."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@dataclass(frozen=True)
class LazyPictures:
    """Pictures that look like one uint8 tensor [N, C, size, size], and are read or drawn when indexed."""

    read: Callable[[Any, int, int], Tensor]  # (source, size, channels) -> uint8 [C, size, size]; workers import it
    sources: tuple[Any, ...]  # what each picture is read from
    size: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.sources), self.channels, self.size, self.size

    @property
    def fits(self) -> bool:
        """Whether all of them fit in memory."""
        return len(self.sources) * self.channels * self.size**2 <= MEMORY_LIMIT

    def __getitem__(self, indices: list[int]) -> Tensor:
        return torch.stack([self.read(self.sources[i], self.size, self.channels) for i in indices])

    def if_they_fit(self, name: str) -> "Tensor | LazyPictures":
        """All pictures as one tensor if that fits in memory, else as they are."""
        if not self.fits:
            return self
        progress = tqdm(self.sources, f"decoding {name}", leave=False, disable=None)
        return torch.stack([self.read(source, self.size, self.channels) for source in progress])


@dataclass(frozen=True)
class Pictures(Dataset[Any]):
    """A data set of square pictures; indexed by whole batches."""

    name: str
    images: Tensor | LazyPictures  # uint8 [N, C, H, W]
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # [N]; or attributes, [N, A]
    classes: tuple[str, ...] = ()  # what the labels mean, or names of attributes; empty for pictures without labels
    note: str = ""  # what the loader left out, for the user to read

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def size(self) -> int:
        return self.images.shape[3]

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """One whole batch: uint8 [N, C, H, W] and labels [N], which are 0 for pictures without."""
        labels = self.labels[indices] if self.classes else torch.zeros(len(indices), dtype=torch.int64)
        return self.images[indices], labels

    def all(self) -> Tensor:
        """Every picture: uint8 [N, C, H, W]."""
        return self.images[list(range(len(self)))]


@dataclass(frozen=True)
class Pairs(Pictures):
    """Aligned square pictures A and B; `images` is uint8 [N, 6, S, S], the three channels of A and then those of B."""

    @property
    def channels(self) -> int:
        """Those of each side."""
        return self.images.shape[1] // 2

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """One whole batch: A and B, each uint8 [N, 3, S, S]."""
        a, b = self.images[indices].chunk(2, dim=1)
        return a, b

    @property
    def a(self) -> Tensor:
        """Every picture of A: uint8 [N, 3, S, S]."""
        return self.all().chunk(2, dim=1)[0]

    @property
    def b(self) -> Tensor:
        """Every picture of B: uint8 [N, 3, S, S]."""
        return self.all().chunk(2, dim=1)[1]


def shuffled_order(
    length: int, batch_size: int, seed: int, start: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[list[int]]:
    """Endless batches of indices: each epoch is a new permutation, decided by the seed and the epoch alone.

    Batch number k is therefore always the same, and resuming needs no more than k. With several processes every one draws
    the whole batch and keeps its own share, so that their number does not change what is learned.
    """
    share, (first_epoch, skipped) = batch_size // world_size, divmod(start, length // batch_size)
    for epoch in itertools.count(first_epoch):
        order = torch.randperm(length, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        whole = order.split(batch_size)[skipped : length // batch_size]
        yield from (batch[rank * share : (rank + 1) * share].tolist() for batch in whole)
        skipped = 0


def _leave_ctrl_c(_: int) -> None:
    """A worker process goes on after Ctrl-C: the run needs its batch to end the step and save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def batches(data: Pictures, n: int, seed: int, fabric: Fabric, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches on the run's device: this process's share of float32 [n, C, H, W] in [-1, 1], and labels [n].

    `n` counts the pictures of all processes together. `start` skips that many batches (for resuming).
    """
    world = fabric.world_size
    require(n <= len(data), f"--batch-size {n} is more than the {len(data):,} pictures of {data.name}")
    require(n % world == 0, f"--batch-size {n} cannot be shared evenly by {world} processes")
    loader = DataLoader(
        data,
        batch_size=None,  # the order below has whole batches already
        sampler=shuffled_order(len(data), n, seed, start, fabric.global_rank, world),
        num_workers=0 if isinstance(data.images, Tensor) else min(4, os.cpu_count() or 1),
        worker_init_fn=_leave_ctrl_c,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator().manual_seed(seed),  # else the loader draws from the random state just restored
    )
    with without_main():
        stream = iter(loader)
    try:
        for images, labels in stream:
            yield to_float(fabric.to_device(images)), fabric.to_device(labels)
    except UserError as error:  # that of a worker process has its traceback in front
        raise UserError(str(error).strip().rsplit("UserError: ", 1)[-1]) from None


def pair_batches(pairs: Pairs, n: int, seed: int, fabric: Fabric, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """`batches` of n pairs for ever: (a, b), each this process's share of float32 [n, 3, S, S] in [-1, 1]."""
    for a, b in batches(pairs, n, seed, fabric, start):
        yield a, to_float(b)
