"""Two kinds of picture: aligned pairs for chapter 05, and two piles without any order for chapter 06.

    data = load_pairs("satellite-map")                    # or "facades", …, or a folder of your own
    for a, b in pair_batches(data, 1, seed=0, fabric=fabric): ...   # float32 [N, 3, S, S] in [-1, 1], forever
    side_a, side_b = load_unpaired("satellite-map")       # or "horse2zebra", …, or trainA/ trainB/ testA/ testB/

`satellite.py` has how `satellite-map` is cut, so that its training and test tiles share no pixel.

Shape letters: N pictures, S = height = width.
"""

import difflib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from common import UserError, data, require
from common.data import satellite
from common.data import PictureFiles, Pictures, batches, data_root
from common.images import to_float

SIZE = 64  # pixels per side, unless --size says otherwise
PAIRED = ("facades", "maps", "edges2shoes", "edges2handbags", "night2day")
UNPAIRED = (
    "horse2zebra", "apple2orange", "summer2winter_yosemite", "monet2photo", "cezanne2photo", "ukiyoe2photo",
    "vangogh2photo", "maps", "facades", "iphone2dslr_flower", "ae_photos",
)  # fmt: skip
ARCHIVES = "http://efrosgans.eecs.berkeley.edu/{}/datasets/{}"  # the authors' own


class NoTestPairs(UserError):
    """There are pairs, but none that were kept for tests."""


@dataclass(frozen=True)
class Pairs(Dataset[Any]):
    """Aligned square pictures; indexed by whole batches."""

    name: str
    images: "Tensor | PairFiles"  # uint8 [N, 6, S, S]: the three channels of A, then those of B
    note: str = ""  # for the user to read
    channels: int = 3  # of each side

    @property
    def size(self) -> int:
        return self.images.shape[3]

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """One whole batch: A and B, each uint8 [N, 3, S, S]."""
        both = self.images[indices]
        return both[:, :3], both[:, 3:]

    @property
    def a(self) -> Tensor:
        """Every picture of A: uint8 [N, 3, S, S]."""
        return self.images[list(range(len(self)))][:, :3]

    @property
    def b(self) -> Tensor:
        return self.images[list(range(len(self)))][:, 3:]


def load_pairs(name_or_path: str, size: int | None = None, split: str = "train") -> Pairs:
    """Load aligned pictures: `satellite-map`, an archive of pix2pix's authors, or a folder (or zip) of your own.

    Own pictures lie side by side, A left and B right, twice as wide as high; or in folders `A/` and `B/` under the same names.
    Either may be inside of `train/` and `test/`. `size` is in pixels per side, 64 by default. Raises `UserError`.
    """
    require(size is None or size >= 4, f"--size must be at least 4 pixels, not {size}")
    if name_or_path == "satellite-map":
        return Pairs(name_or_path, torch.from_numpy(_tiles(size, split)[0]))
    root, every, note = _listing(name_or_path, "pix2pix", PAIRED)
    inner = _below(every, *(f"{side}/{part}/" for side in "AB" for part in ("train", "test", "val")))
    require(not inner, f"--data: {''.join(inner[:1])} in {root}: A/ and B/ go into train/ and test/, not around them")
    parts = {"train": ("train/",), "test": ("test/", "val/")}[split]  # some archives have only val/ beside train/
    inside = next((part for part in parts if _below(every, part)), "")
    if split == "test" and not inside:
        raise NoTestPairs(f"--data: {root} has no pairs to test on: put some into a folder test/")
    learned = sorted({*every} - {*_below(every, "test/", "val/")})
    names = _below(every, inside) if inside else learned
    chosen: list[tuple[str, ...]] = [(name,) for name in names]
    a, b = ({n[len(inside + s) :].rsplit(".", 1)[0]: n for n in _below(names, inside + s)} for s in ("A/", "B/"))
    if a or b:
        twice = sorted({*_below(names, inside + "A/", inside + "B/")} - {*a.values(), *b.values()})
        require(not twice, f"--data: {''.join(twice[:1])} in {root}: another picture beside it has the same name")
        alone = [(a | b)[name] for name in sorted(a.keys() ^ b.keys())]
        require(not alone, f"--data: {''.join(alone[:1])} in {root} has no partner of the same name in A/ or B/")
        chosen = [(a[name], b[name]) for name in sorted(a)]
    beside = sorted({*learned}.difference(*chosen)) if split == "train" else []
    if beside:
        note += "; " * bool(note) + f"left out {len(beside)} picture(s) that belong to no pair, such as {beside[0]}"
    pairs = PairFiles(root, tuple(chosen), size or SIZE, 6)  # type: ignore[arg-type]
    return Pairs(name_or_path, data._decoded(pairs), note)  # type: ignore[arg-type]


def load_unpaired(name_or_path: str, size: int | None = None, split: str = "train") -> tuple[Pictures, Pictures]:
    """Load two piles of pictures: `satellite-map`, an archive of CycleGAN's authors, or a folder (or zip) of your own.

    Own pictures lie in `trainA/`, `trainB/`, and to look at results `testA/`, `testB/`. The piles may differ in length. Those of
    `satellite-map` come from different regions; only its test pictures are pairs, which serve to score. Raises `UserError`.
    """
    require(size is None or size >= 4, f"--size must be at least 4 pixels, not {size}")
    if name_or_path == "satellite-map":
        both, places = (torch.from_numpy(found) for found in _tiles(size, split))
        if split == "test":  # the true pairs
            return _pile("satellite", both[:, :3]), _pile("map", both[:, 3:])
        region = places[:, 1] // satellite.BAND
        rng = torch.Generator().manual_seed(0)
        sides = [torch.nonzero(region % 2 == side).squeeze(1) for side in (0, 1)]
        first, second = (side[torch.randperm(len(side), generator=rng)] for side in sides)
        return _pile("satellite", both[first, :3]), _pile("map", both[second, 3:])
    root, names, note = _listing(name_or_path, "cyclegan", UNPAIRED)
    beside = sorted({*names} - {*_below(names, "trainA/", "trainB/", "testA/", "testB/")})
    if beside:
        note += "; " * bool(note) + f"left out {len(beside)} picture(s) beside the four folders, such as {beside[0]}"
    piles = []
    for side in (f"{split}A/", f"{split}B/"):
        inside = tuple(_below(names, side))
        require(bool(inside), f"--data: {root} has no pictures in a folder {side} (trainA/, trainB/, testA/, testB/)")
        piles.append(_pile(f"{name_or_path} {side}", data._decoded(PictureFiles(root, inside, size or SIZE, 3)), note))
    return piles[0], piles[1]


def _tiles(size: int | None, split: str) -> tuple[np.ndarray, np.ndarray]:
    return satellite.tiles(size or SIZE, split, data_root() / "satellite-map")


def _pile(name: str, images: Tensor | PictureFiles, note: str = "") -> Pictures:
    return Pictures(name, images, torch.zeros(images.shape[0], dtype=torch.int64), (), note)


def _below(names: list[str], *folders: str) -> list[str]:
    return [name for name in names if name.startswith(folders)]


def pair_batches(pairs: Pairs, n: int, seed: int, fabric: Fabric, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """`data.batches` of n pairs for ever: (a, b), each this process's share of float32 [n, 3, S, S] in [-1, 1]."""
    for a, b in batches(pairs, n, seed, fabric, start):  # type: ignore[arg-type]
        yield a, to_float(b)


# ---------------------------------------------------------------------------------------- pictures from files


@dataclass(frozen=True)
class PairFiles(PictureFiles):
    """Pairs in a folder or zip that look like one uint8 tensor [N, 6, S, S]; a name is (side by side,) or (A, B)."""

    def __getitem__(self, indices: list[int]) -> Tensor:
        with data.files_of(self.root) as file:
            return torch.stack([self._pair(self.names[i], file) for i in indices])  # type: ignore[arg-type]

    def _pair(self, names: tuple[str, ...], file: Callable[[str], Any]) -> Tensor:
        """uint8 [6, S, S]; raises `UserError` for what is broken, not side by side, or of two sizes."""
        shown = [str(self.root / name) for name in names]
        opened = [data.open_picture(file(name), path) for name, path in zip(names, shown, strict=True)]
        if len(names) == 1:
            w, h = opened[0].size
            require(w == 2 * h, f"--data: {shown[0]} is no pair side by side: not twice as wide as high, but {w}×{h}")
            opened = [opened[0].crop((left, 0, left + h, h)) for left in (0, h)]
        first, second = ("{}×{}".format(*picture.size) for picture in opened)
        require(first == second, f"--data: {shown[0]} is {first} pixels and {shown[-1]} {second}: they need one size")
        square = (self.size, self.size)
        halves = [np.asarray(ImageOps.fit(picture, square, Image.Resampling.LANCZOS)) for picture in opened]
        return torch.from_numpy(np.concatenate(halves, axis=2)).permute(2, 0, 1)


def _listing(name: str, kind: str, known: tuple[str, ...]) -> tuple[Path, list[str], str]:
    """A folder or zip, the pictures in it, and a note about the files in it that are none."""
    require(name != "", "--data is empty: name a set, or a folder or zip of pictures")
    root = Path(name).expanduser()
    if name in known:
        root = _downloaded(name, kind, "tar.gz" if kind == "pix2pix" else "zip")
    if not (root.is_dir() or zipfile.is_zipfile(root)):
        everything = ("satellite-map", *known)
        guess = difflib.get_close_matches(name, everything, n=1)
        hint = f"unknown data {name!r}; " + (f"did you mean {guess[0]}? " if guess else "")
        if name in {*PAIRED, *UNPAIRED}:
            without = kind == "pix2pix"  # pairs are asked for
            hint = f"{name} is a set {'without' if without else 'of'} pairs: that is chapter {'06' if without else '05'}'s; "
        raise UserError(f"--data: {hint}Known: {', '.join(everything)}, or a folder or zip")
    every, _ = data.listing(root)
    names = [name for name in every if Path(name).suffix.lower() in data.endings_of_pictures()]
    require(bool(names), f"--data: no pictures in {root}")
    others = {Path(name).suffix or "no ending" for name in every} - {Path(name).suffix for name in names}
    return root, names, f"left out files that are no pictures: {', '.join(sorted(others))}" if others else ""


def _downloaded(name: str, kind: str, ending: str) -> Path:
    """The folder of an archive of the authors, fetched and unpacked on first use."""
    folder = data_root() / kind / name
    if not folder.is_dir():
        beside = folder.with_name(f".{name}.{os.getpid()}.part")  # a kill must not leave half a data set under its name
        try:
            beside.mkdir(parents=True, exist_ok=True)
            archive = beside / f"{name}.{ending}"
            torch.hub.download_url_to_file(ARCHIVES.format(kind, archive.name), str(archive))
            filtered = ending == "tar.gz" and hasattr(tarfile, "data_filter")  # new in Python 3.11.4
            shutil.unpack_archive(archive, beside, **({"filter": "data"} if filtered else {}))  # type: ignore[arg-type]
            if not folder.is_dir():  # another run may have been quicker
                (beside / name).rename(folder)
        except Exception as error:  # a missing network has many names
            raise UserError(
                f"--data {name}: the download failed ({' '.join(str(error).split())[:80]}); check the network, or put the authors' "
                f"{name}.{ending}, unpacked, into {folder}; without a network use satellite-map"
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder
