"""What a data set is, in memory or not, and the endless batches that are drawn from it.

Shape letters: N pictures, C channels (1 grey or 3 colours), H = W = size; pairs have S = size.
"""

import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from common import explained, require
from common.art import with_the_run
from common.devices import Fabric
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

    read: Callable[[Any, int, int], Tensor]  # (source, size, channels) -> uint8 [C, size, size]; processes import it
    sources: tuple[Any, ...]  # what each picture is read from
    size: int
    channels: int
    drawn: bool = False  # by Python, not read from files

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.sources), self.channels, self.size, self.size

    @property
    def fits(self) -> bool:
        """Whether all of them fit in memory."""
        return len(self.sources) * self.channels * self.size**2 <= MEMORY_LIMIT

    def one(self, index: int) -> np.ndarray:
        """What another thread or process does. A tensor would travel through /dev/shm, which is small in containers."""
        return self[[index]][0].numpy()

    def __getitem__(self, indices: list[int]) -> Tensor:
        return torch.stack([self.read(self.sources[i], self.size, self.channels) for i in indices])

    def some(self, places: list[int]) -> "LazyPictures":
        """Only the pictures at these places."""
        return replace(self, sources=tuple(self.sources[place] for place in places))

    def pool(self) -> Executor:
        """Those that read for others: threads for files, which Pillow decodes side by side, and processes for what Python draws."""
        most = min(4, os.cpu_count() or 1)
        if not self.drawn:
            return ThreadPoolExecutor(most)
        return ProcessPoolExecutor(most, get_context("spawn"), with_the_run)


@dataclass(frozen=True)
class Pictures:
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
        return self.batch(indices, self.images[indices])

    def batch(self, indices: list[int], images: Tensor) -> tuple[Tensor, Tensor]:
        """The batch of these pictures, which have been read."""
        return images, self.labels[indices] if self.classes else torch.zeros(len(indices), dtype=torch.int64)

    def all(self) -> Tensor:
        """Every picture: uint8 [N, C, H, W]."""
        return self.images[list(range(len(self)))]

    def of_channels(self, channels: int) -> Self:
        """The same, with 1 channel (grey) or 3 where there are three."""
        if channels == 3:
            return self
        if isinstance(self.images, LazyPictures):
            return replace(self, images=replace(self.images, channels=self.images.channels // 3))
        return replace(self, images=rgb_to_grayscale(self.images.unflatten(1, (-1, 3))).flatten(1, 2))


@dataclass(frozen=True)
class Pairs(Pictures):
    """Aligned square pictures A and B; `images` is uint8 [N, 2 C, S, S], the channels of A and then those of B."""

    @property
    def channels(self) -> int:
        """Those of each side."""
        return self.images.shape[1] // 2

    def batch(self, indices: list[int], images: Tensor) -> tuple[Tensor, Tensor]:
        """One whole batch: A and B, each uint8 [N, C, S, S]."""
        a, b = images.chunk(2, dim=1)
        return a, b

    a = property(lambda self: self.all().chunk(2, dim=1)[0])  # every picture of A: uint8 [N, C, S, S]
    b = property(lambda self: self.all().chunk(2, dim=1)[1])  # and of B


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


def _ahead(data: Pictures, order: Iterator[list[int]], batches_ahead: int = 4) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of lazy pictures, read or drawn by others while the networks train."""
    lazy: Any = data.images
    waiting: deque[tuple[list[int], list[Future[np.ndarray]]]] = deque()
    pool = lazy.pool()
    dead = explained("a process that draws pictures was ended", "go on with --resume, or train again", BrokenExecutor)
    try:
        with dead:
            for indices in order:
                with without_main():
                    waiting.append((indices, [pool.submit(lazy.some([index]).one, 0) for index in indices]))
                if len(waiting) == batches_ahead:
                    first, found = waiting.popleft()
                    yield data.batch(first, torch.from_numpy(np.stack([picture.result() for picture in found])))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def batches(data: Pictures, n: int, seed: int, fabric: Fabric, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches on the run's device: this process's share of float32 [n, C, H, W] in [-1, 1], and labels [n]; of pairs, A and B.

    `n` counts the pictures of all processes together. `start` skips that many batches (for resuming).
    """
    world = fabric.world_size
    require(n <= len(data), f"--batch-size {n} is more than the {len(data):,} pictures of {data.name}")
    require(n % world == 0, f"--batch-size {n} cannot be shared evenly by {world} processes")
    order = shuffled_order(len(data), n, seed, start, fabric.global_rank, world)
    read = map(data.__getitem__, order) if isinstance(data.images, Tensor) else _ahead(data, order)
    for images, other in map(fabric.to_device, read):
        yield to_float(images), to_float(other) if other.dtype == torch.uint8 else other
