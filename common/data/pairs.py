"""Two kinds of picture: aligned pairs for chapter 05, and two piles without any order for chapter 06.

    data = load_pairs("satellite-map")                    # or "facades", …, or a folder of your own
    for a, b in batches(data, 1, seed=0, fabric=fabric): ...   # float32 [N, C, S, S] in [-1, 1], forever
    side_a, side_b = load_unpaired("satellite-map")       # or "horse2zebra", …, or trainA/ trainB/ testA/ testB/

Shape letters: N pictures, C channels (3, or 1 grey), S = height = width.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from common import UserError, require
from common.data import satellite
from common.data.downloads import authors_archive
from common.data.files import open_picture, pictures_in, read_picture
from common.data.own import read_all
from common.data.pictures import LazyPictures, Pairs, Pictures, data_root, spread
from common.data.sketches import sketch_pairs, sketch_piles

SIZE = 64  # pixels per side, unless --size says otherwise
PAIRED = ("facades", "maps", "edges2shoes", "edges2handbags", "night2day")
UNPAIRED = (
    "horse2zebra", "apple2orange", "summer2winter_yosemite", "monet2photo", "cezanne2photo", "ukiyoe2photo",
    "vangogh2photo", "maps", "facades", "iphone2dslr_flower", "ae_photos",
)  # fmt: skip
KEPT = ("test/", "val/", "testA/", "testB/", "valA/", "valB/")  # what is not learned from


class NoTestPictures(UserError):
    """Pictures, of which none were kept for tests."""


def load_pairs(
    name: str, size: int | None = None, split: str = "train", most: int | None = None, skip_broken: bool = False,
    white: Sequence[int] = (), channels: int = 3,
) -> Pairs:  # fmt: skip
    """Load aligned pictures: `sketches`, `satellite-map`, an archive of pix2pix's authors, or a folder (or zip) of your own.

    Own pictures lie side by side, A left and B right; or in folders `A/` and `B/` under the same names. Either may be inside of
    `train/` and `test/`; `trainA/`, `trainB/`, `testA/`, `testB/` are read too. `size` is in pixels per side, 64 by default;
    `channels=1` is grey. `most` pairs to look at, spread over the set, are there sooner than all. For files see `load`. Raises `UserError`.
    """
    require(size is None or size >= 4, f"--size must be at least 4 pixels, not {size}")
    if name == "satellite-map":
        tiles = satellite.tiles(size or SIZE, split, data_root() / name)[0]
        return Pairs(name, tiles[spread(len(tiles), most)]).of_channels(channels)
    if name == "sketches":
        return sketch_pairs(size or SIZE, split, most).of_channels(channels)
    root, every, note = _find(name, "pix2pix")
    inner = _below(every, *(f"{side}/{part}/" for side in "AB" for part in ("train", "test", "val")))
    _refuse(inner, name, ": A/ and B/ go into train/ and test/, not around them")
    parts = {"train": ("train/", "train"), "test": ("test/", "val/", "test", "val")}[split]  # train/A/, or trainA/
    inside = next((part for part in parts if _below(every, part if part.endswith("/") else f"{part}A/")), "")
    if split == "test" and not inside:
        raise NoTestPictures(f"--data: {name} has no pairs to test on: put some into a folder test/")
    learned = sorted({*every} - {*_below(every, *KEPT)})
    names = _below(every, inside) if inside else learned
    chosen: list[tuple[str, ...]] = [(name,) for name in names]
    a, b = ({n[len(inside + s) :].rsplit(".", 1)[0]: n for n in _below(names, inside + s)} for s in ("A/", "B/"))
    both = sorted({Path(n).parent.name for n in names})
    halves = [Path(n).stem.replace("-", "_").rpartition("_") for n in names]  # of 0000_mask.png: 0000 and mask
    starts, ends = {start for start, _, _ in halves}, sorted({end for _, _, end in halves})
    two_each = 2 * len(starts) == len(names) and len(ends) == 2 and not any(end.isdigit() for end in ends)
    apart = len(both) == 2 and all(both)
    if not (a or b) and (apart or (two_each and "" not in starts)):
        said = f"--data: {' and '.join(both)} of {name} share names of pictures: call them A and B, or rename one"
        require(not apart or len({Path(n).stem for n in names}) == len(names), said)
        w, h = open_picture(root / names[0]).size  # two squares side by side may be called anything
        said = f"in {both[0]}/ and {both[-1]}/" if apart else f"called …{ends[0]} and …{ends[1]}"
        said = f"--data: in {name} pictures {said} look like pairs: put them into A/ and B/ under one name"
        require(w == 2 * h or (apart and w >= 1.5 * h), said)
    if a or b:
        twice = sorted({*_below(names, inside + "A/", inside + "B/")} - {*a.values(), *b.values()})
        _refuse(twice, name, ": another picture beside it has the same name")
        alone = [(a | b)[name] for name in sorted(a.keys() ^ b.keys())]
        _refuse(alone, name, " has no partner of the same name in A/ or B/: give both one name")
        chosen = [(a[name], b[name]) for name in sorted(a)]
    beside = sorted({*learned}.difference(*chosen)) if split == "train" else []
    notes = ["" if a or b else "side by side, cut in the middle", note, _left_out(beside, "that belong to no pair")]
    paths = tuple(tuple(str(root / file) for file in files) for files in chosen)
    some = tuple(paths[place] for place in spread(len(paths), most))
    lazy = LazyPictures(partial(read_pair, white=(*white, *white)), some, size or SIZE, 2 * channels)
    images, _, more = read_all(lazy, name, skip_broken)
    return Pairs(name, images, note="; ".join(filter(None, [*notes, more])))


def load_unpaired(
    name: str, size: int | None = None, split: str = "train", skip_broken: bool = False, white: Sequence[int] = (),
    channels: int = 3,
) -> tuple[Pictures, Pictures]:  # fmt: skip
    """Load two piles of pictures: `sketches`, `satellite-map`, an archive of CycleGAN's authors, or a folder (or zip) of your own.

    Own pictures lie in `trainA/`, `trainB/`, and to look at results `testA/`, `testB/`; or in `A/`, `B/` as for pairs. The piles
    may differ in length. Those of `sketches` share no face, and those of `satellite-map` come from different regions; only
    the test pictures of the two are pairs, which serve to score. `channels=1` is grey. Raises `UserError`.
    """
    require(size is None or size >= 4, f"--size must be at least 4 pixels, not {size}")
    if name == "satellite-map":
        both, places = satellite.tiles(size or SIZE, split, data_root() / name)
        first = second = torch.arange(len(both))  # of the test split: the true pairs
        if split == "train":
            region, rng = places[:, 1] // satellite.BAND, torch.Generator().manual_seed(0)
            sides = [torch.nonzero(region % 2 == side).squeeze(1) for side in (0, 1)]
            first, second = (side[torch.randperm(len(side), generator=rng)] for side in sides)
        piles = [Pictures("satellite", both[first, :3]), Pictures("map", both[second, 3:])]
        return piles[0].of_channels(channels), piles[1].of_channels(channels)
    if name == "sketches":
        drawings, coloured = sketch_piles(size or SIZE, split)
        return drawings.of_channels(channels), coloured.of_channels(channels)
    root, names, note = _find(name, "cyclegan")
    layouts = [f"{part}{side}/" for part in ("train", "test", "train/", "test/", "") for side in "AB"]
    notes = [note, _left_out(sorted({*names} - {*_below(names, *layouts)}), "beside the four folders")]
    piles, broken = [], []
    for side, bright in zip((f"{split}A/", f"{split}B/"), (*white, *white) or (0, 0)):
        same = (side, f"{split}/{side[-2:]}", *([side[-2:]] if split == "train" else []))  # trainA/, train/A/, A/
        inside = tuple(str(root / name) for name in _below(names, *same))
        if not inside:
            missing = f"--data: {name} has no pictures in a folder {side} (trainA/, trainB/, testA/, testB/)"
            raise NoTestPictures(missing) if split == "test" else UserError(missing)
        lazy = LazyPictures(partial(read_picture, white=bright), inside, size or SIZE, channels)
        try:
            images, _, more = read_all(lazy, f"{name} {side}", skip_broken, side[-2])
        except UserError as error:  # named together with those of the other pile
            broken.append(str(error))
        else:
            piles.append(Pictures(f"{name} {side}", images, note="; ".join(filter(None, [*notes, more]))))
    require(not broken, "; and ".join(broken))
    return piles[0], piles[1]


def read_pair(paths: tuple[str, ...], size: int, channels: int, white: tuple[int, ...] = ()) -> Tensor:
    """One pair, (side by side,) or (A, B): uint8 [channels, size, size]; `UserError` for what is broken or of two sizes.

    Each half of a picture side by side, and each side of two, is cut to a centred square.
    """
    opened = [open_picture(path, white=bright) for path, bright in zip((*paths, paths[0]), white[:2] or (0, 0))]
    first, second = ("{}×{}".format(*picture.size) for picture in opened)
    if len(paths) == 1:
        w, h = opened[0].size
        require(w % 2 == 0, f"--data: {paths[0]} is no pair side by side: its halves would differ, at {first}")
        opened = [picture.crop((left, 0, left + w // 2, h)) for picture, left in zip(opened, (0, w // 2))]
    require(first == second, f"--data: {paths[0]} is {first} pixels and {paths[-1]} {second}: they need one size")
    fitted = [ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS) for picture in opened]
    return torch.cat([pil_to_tensor(picture.convert("L") if channels == 2 else picture) for picture in fitted])


def _find(name: str, kind: str) -> tuple[Path, list[str], str]:
    """The folder of a set of the authors of pix2pix or CycleGAN, or your own: see `pictures_in`."""
    known, others = (PAIRED, UNPAIRED) if kind == "pix2pix" else (UNPAIRED, PAIRED)
    said = "without pairs: that is chapter 06's" if kind == "pix2pix" else "of pairs: that is chapter 05's"
    everything = ("satellite-map", "sketches", *known)
    own = name in known or name not in others
    require(own, f"--data: {name} is a set {said}; Known: {', '.join(everything)}, or a folder or zip of pictures")
    return pictures_in(str(authors_archive(name, kind)) if name in known else name, everything)


def _below(names: list[str], *folders: str) -> list[str]:
    return [name for name in names if name.startswith(folders)]


def _refuse(found: list[str], name: str, why: str) -> None:
    require(not found, f"--data: {''.join(found[:1])} in {name}{why}")


def _left_out(beside: list[str], where: str) -> str:
    return f"left out {len(beside)} picture(s) {where}, such as {beside[0]}" if beside else ""
