"""Sets of files: every file is looked at before training, and what took long is kept for the next run."""

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from common import UserError, require
from common.checkpoint import load_arrays, save_arrays
from common.data.files import EXTRA_BANDS, hidden, numbers_in, opened_picture, pictures_in, read_picture
from common.data.pictures import LazyPictures, Pictures, data_root

DARK = 128  # of 255: a set whose brightest number lies below gets a note
WORTH_KEEPING = 10  # seconds of decoding after which the result is kept
NAMED_AT_MOST = 20  # broken files in one line
SPLITS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}


def load_folder(
    name: str, size: int, channels: int, known: Iterable[str], split: str, skip_broken: bool, white: int
) -> Pictures:
    """The pictures below a folder or in a zip. If all lie in subfolders, the subfolders' names are their classes.

    Folders `train/` and `test/` (or `val/`) around them are splits, of which one is read. See `read_all` for the rest.
    """
    root, names, note = pictures_in(name, known)
    notes, bases = [note], [""]
    folders = sorted({file.split("/")[0] for file in names if "/" in file})
    if folders and all(folder.lower() in SPLITS["train"] + SPLITS["test"] for folder in folders):
        bases = [f"{folder}/" for folder in folders if folder.lower() in SPLITS[split]] or [f"{folders[0]}/"]
        learned = [file for file in names if file.startswith(tuple(bases))]
        if len(learned) < len(names):
            notes.append(f"of the splits {', '.join(folders)} only {', '.join(bases)} was read")
        names = learned
    inner = [file.split("/", 1)[1] if bases[0] else file for file in names]
    folders = [file.split("/")[0] if "/" in file else "" for file in inner]
    classes = sorted({*folders} - {""})
    if classes and "" in folders:
        notes.append(f"no classes: {names[folders.index('')]} lies beside the folders {', '.join(classes)}")
        classes = []
    bare = {path.name for base in bases for path in (root / base).iterdir() if path.is_dir() and not hidden(path.name)}
    said = f"--data: no pictures in the subfolder {', '.join(sorted(bare - {*classes}))} of {name}"
    require(not classes or bare <= {*classes}, f"{said}: every subfolder is a class; fill it or take it away")
    labels = torch.tensor([classes.index(folder) for folder in folders] if classes else [])
    paths = tuple(str(root / file) for file in names)
    lazy = LazyPictures(partial(read_picture, white=white), paths, size, channels)
    images, whole, more = read_all(lazy, name, skip_broken)
    labels = labels[whole] if classes else labels
    return Pictures(name, images, labels, tuple(classes), "; ".join(filter(None, [*notes, more])))


def read_all(
    lazy: LazyPictures, name: str, skip_broken: bool = False, pile: str = "-"
) -> tuple[Tensor | LazyPictures, list[int], str]:
    """Read every file once: all pictures as one tensor if they fit in memory, else lazily; the places of those that are whole; a note.

    What took long is kept in the data root, until a file changes. Raises `UserError` that names all broken files.
    """
    groups = [(source,) if isinstance(source, str) else source for source in lazy.sources]  # of pairs: A and B
    kept = _kept_at(lazy, name, groups, skip_broken)
    if known := load_arrays(kept, "images", "whole", "note"):
        images, whole, note = known[0], known[1].tolist(), bytes(known[2].tolist()).decode()
        return images if lazy.fits else lazy.some(whole), whole, note
    started, pool = time.monotonic(), lazy.pool()
    try:
        work = pool.map(partial(_look_at, lazy), lazy.sources)
        seen = list(tqdm(work, f"decoding {Path(name).name}", len(groups), leave=False, disable=None))
    finally:
        pool.shutdown(cancel_futures=True)
    broken = [found for found in seen if isinstance(found, str)]
    whole = [place for place, found in enumerate(seen) if not isinstance(found, str)]
    notes = [_told(broken, len(seen), skip_broken)] if broken else []
    beside = [(what, path) for group in groups for path in group if (what := _not_read(path))]
    for what, number in Counter(what for what, _ in beside).items():
        notes.append(f"{what} of {number} file(s), such as {dict(beside)[what]}")
    sides = len(seen[whole[0]][1])
    for side, most in enumerate(zip(*(seen[place][1] for place in whole))):
        notes += [_darkness(groups, side, sides, pile if sides == 1 else "AB"[side])] if max(most) < DARK else []
    note = "; ".join(filter(None, notes))
    images = torch.stack([seen[place][0] for place in whole]) if lazy.fits else torch.empty(0)
    if time.monotonic() - started > WORTH_KEEPING:
        letters = np.array([*note.encode(errors="replace")], np.uint8)
        with contextlib.suppress(UserError):  # a data root that nobody may write: read again next time
            save_arrays(kept, "GAN_DATA", images=images.numpy(), whole=np.array(whole), note=letters)
    return images if lazy.fits else lazy.some(whole), whole, note


def _kept_at(lazy: LazyPictures, name: str, groups: list[tuple[str, ...]], skip_broken: bool) -> Path:
    """Where the pictures are kept: another file for other sources, and when one of them changes."""
    paths = [Path(path) for group in groups for path in group]
    dates = [(str(path), path.exists() and (path.stat().st_size, path.stat().st_mtime_ns)) for path in paths]
    read: Any = lazy.read
    how = (read.func.__name__, read.keywords, lazy.size, lazy.channels, lazy.fits, skip_broken)
    key = hashlib.sha256(repr((how, dates)).encode()).hexdigest()[:16]
    return data_root() / "decoded" / f"{Path(name).name}-{key}.npz"


def _look_at(lazy: LazyPictures, source: Any) -> str | tuple[Tensor | None, list[int]]:
    """One picture, if there is room for all, and the largest number of each side of a pair; or what is wrong with it."""
    try:
        picture = lazy.read(source, lazy.size, lazy.channels)
    except UserError as error:
        return str(error)
    return picture if lazy.fits else None, [int(side.max()) for side in picture.chunk(2 - lazy.channels % 2)]


def _told(broken: list[str], number: int, skip_broken: bool) -> str:
    """What is said of broken files; raises `UserError` unless they are to be left out."""
    n = len(broken)
    some = "; ".join([*broken[:NAMED_AT_MOST], *([f"and {n - NAMED_AT_MOST} more"] if n > NAMED_AT_MOST else [])])
    require(n < number, some)
    require(skip_broken, f"{some}; train.py --skip-broken leaves {'it' if n == 1 else f'these {n}'} out")
    return f"left out {n} of {number}: {some}"


def _not_read(path: str) -> str:
    """What is in a file and not in the picture that is made of it."""
    with contextlib.suppress(Exception), opened_picture(path) as picture:
        if picture.format == "TIFF" and picture.mode == "RGBA":
            transparency = {1, 2} & {*picture.tag_v2.get(EXTRA_BANDS, ())}  # type: ignore[attr-defined]
            return "took the fourth band for transparency" if transparency else "left out the fourth band"
        if getattr(picture, "is_animated", False) and picture.format in ("TIFF", "GIF", "WEBP", "PNG"):
            return "left out all pages but the first"
    return ""


def _darkness(groups: list[tuple[str, ...]], side: int, sides: int, pile: str) -> str:
    """A note if the files themselves use less than half of their range (on this side of a pair)."""
    most = top = 0
    for group in groups:
        with contextlib.suppress(Exception), opened_picture(group[min(side, len(group) - 1)]) as picture:
            numbers, top = numbers_in(picture)
            part = numbers if len(group) == sides else np.array_split(numbers, sides, axis=1)[side]
            most = max(most, int(part.max()))
    if not 0 < 2 * most < top:
        return ""
    where, flag = {"-": ("", most), "A": (" in A", f"{most} 65535"), "B": (" in B", f"65535 {most}")}[pile]
    return f"nearly black{where}: no number is above {most} of {top} (--white {flag} makes it white)"
