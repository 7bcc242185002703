"""Pictures from files: a folder of your own, or a zip or an archive of the authors, which is unpacked and then a folder, too."""

import difflib
import os
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from common import UserError, explained, require
from common.data.pictures import LazyPictures, Pictures, data_root

# The kinds of files that are read. Pillow knows more, but hands some to other programs (EPS).
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000")


@cache
def _formats() -> dict[str, str]:
    """The ending, such as ".png", of each file that is read as a picture, and its kind."""
    Image.init()
    known = Image.registered_extensions().items()
    return {ending: kind for ending, kind in known if kind in FORMATS and kind in Image.OPEN}


def is_picture(name: str | Path) -> bool:
    """Whether a file's ending says that it is a picture."""
    return Path(name).suffix.lower() in _formats()


# ----------------------------------------------------------------------------------------------- one picture


def open_picture(path: str | Path) -> Image.Image:
    """Decode one picture of any common format: upright, in RGB, at its own size; raises `UserError` that names it."""
    # Pillow raises a dozen kinds of error for broken files.
    with explained(f"cannot read the picture {path}", "mend it or take it out of the folder", Exception):
        with Image.open(path, formats=tuple(_formats().values())) as opened:
            picture = ImageOps.exif_transpose(opened)  # cameras store "turn me" beside the pixels
        require(picture.mode not in ("I", "F"), "32 bits a pixel, whose range nobody knows: save it with 8 or 16 bits")
        if picture.mode.startswith("I;16"):  # keep the upper eight bits
            picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
        if picture.has_transparency_data:  # RGBA and some palettes: what is transparent becomes white
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return picture.convert("RGB")


def read_picture(path: str | Path, size: int, channels: int) -> Tensor:
    """One picture, cut to a centred square and resized: uint8 [C, size, size]; raises `UserError` that names it."""
    picture = ImageOps.fit(open_picture(path), (size, size), Image.Resampling.LANCZOS)
    return pil_to_tensor(picture.convert("L") if channels == 1 else picture)


def own_pictures(paths: Iterable[Path]) -> list[Path]:
    """The files that the paths name; a folder stands for all pictures below it. Raises `UserError`."""
    found: list[Path] = []
    for path in (given.expanduser() for given in paths):
        require(path.exists(), f"there is no picture or folder {path}")
        inside = [path / name for name in files_below(path) if is_picture(name)] if path.is_dir() else [path]
        require(bool(inside), f"there are no pictures in the folder {path}")
        found += inside
    return list(dict.fromkeys(found))  # a folder and one below it may both be named


# ---------------------------------------------------------------------------------------------------- folders


def _hidden(name: str) -> bool:
    """What file managers and zips of macOS add to a folder."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def files_below(root: Path) -> list[str]:
    """The files below a folder, sorted, with "/" between, without hidden ones; a link to a folder is followed once."""
    found, been = [], {os.path.realpath(root)}
    for folder, folders, files in os.walk(root, followlinks=True):
        found += [Path(folder, name).relative_to(root).as_posix() for name in files]
        real = {os.path.realpath(Path(folder, name)): name for name in folders}
        folders[:] = [name for path, name in real.items() if path not in been]  # a link may lead back
        been |= real.keys()
    return sorted(name for name in found if not _hidden(name))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar into `folder`, without the folders that enclose all the rest: whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as beside:
        inside = Path(beside, "all")
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(inside)
        else:
            with tarfile.open(archive) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
                tar.extractall(inside)
        shown = [path for path in inside.iterdir() if not _hidden(path.name)]
        while len(shown) == 1 and shown[0].is_dir():
            inside, shown = shown[0], [path for path in shown[0].iterdir() if not _hidden(path.name)]
        if not folder.is_dir():  # another run may have been quicker
            inside.rename(folder)


def pictures_in(name: str, known: Iterable[str]) -> tuple[Path, list[str], str]:
    """What --data means if it is no name of a set: a folder (a zip is unpacked once), its pictures, and a note on other files.

    Raises `UserError`, which lists the `known` names, if there is no such folder, or no picture in it.
    """
    require(name != "", "--data is empty: name a set, or a folder or zip of pictures")
    root = path = Path(name).expanduser()
    if zipfile.is_zipfile(path):
        found = path.stat()
        root = data_root() / "unpacked" / f"{path.stem}-{found.st_size}-{found.st_mtime_ns}"  # anew when it changes
        broken = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)
        with explained(f"--data: cannot read {path}", "make the zip anew, without a password", *broken):
            if not root.is_dir():
                unpack(path, root)
    if not root.is_dir():
        alone = f"--data: {path} is neither a folder nor a zip of pictures (a single file is not enough)"
        require(not path.exists(), alone)
        guess = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {guess[0]}? " if guess else ""
        everything = f"{', '.join(known)}, or a folder or zip of pictures"
        raise UserError(f"--data: unknown data {name!r}; {hint}Known: {everything}")
    every = files_below(root)
    names = [file for file in every if is_picture(file)]
    endings = Counter(Path(file).suffix or "no ending" for file in every if not is_picture(file))
    others = ", ".join(f"{count} × {ending}" for ending, count in endings.items())
    require(bool(names), f"--data: no pictures in {path}" + (f" (only {others})" if others else ": it is empty"))
    return root, names, f"left out files that are no pictures by their ending: {others}" if others else ""


def load_folder(name: str, size: int, channels: int, known: Iterable[str]) -> Pictures:
    """The pictures below a folder or in a zip. If all lie in subfolders, the subfolders' names are their classes."""
    root, names, note = pictures_in(name, known)
    folders = [file.split("/")[0] if "/" in file else "" for file in names]
    classes = sorted(set(folders)) if "" not in folders else []
    bare = {path.name for path in root.iterdir() if path.is_dir() and not _hidden(path.name)} - set(classes)
    said = f"--data: no pictures in the subfolder {', '.join(sorted(bare))} of {name}"
    require(not classes or not bare, f"{said}: every subfolder is a class; fill it or take it away")
    labels = torch.tensor([classes.index(folder) for folder in folders] if classes else [])
    lazy = LazyPictures(read_picture, tuple(str(root / file) for file in names), size, channels)
    return Pictures(name, lazy.if_they_fit(Path(name).name), labels, tuple(classes), note)
