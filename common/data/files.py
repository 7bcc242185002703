"""Pictures from files: a folder of your own, or a zip or an archive of the authors, which is unpacked and then a folder, too."""

import contextlib
import difflib
import os
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.io import ImageReadMode, decode_png, read_file
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from common import UserError, explained, require
from common.data.pictures import data_root

PHOTOMETRIC = 262  # the tag of a TIFF that says what 0 is: white if it is 0
EXTRA_BANDS = 338  # the tag of a TIFF that says what its bands beyond three are: 1 and 2 stand for transparency
Image.MAX_IMAGE_PIXELS = None  # large pictures are read: they are the user's own
SIDES = {f"{part}{side}" for part in ("", "train", "test", "val") for side in "AB"}  # folders of chapters 05 and 06
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


def opened_picture(path: str | Path) -> Image.Image:
    """A picture whose pixels are not read yet."""
    require(not Path(path).is_fifo(), "it is a pipe")  # which would keep everybody waiting
    return Image.open(path, formats=tuple(_formats().values()))


def numbers_in(picture: Image.Image) -> tuple[np.ndarray, int]:
    """The numbers of a picture [H, W] or [H, W, 3], and the largest that its format holds; 0: nobody knows."""
    if not picture.mode.startswith(("I", "F")):
        return np.asarray(picture.convert("RGB")), 255
    unknown = picture.mode == "F" or (picture.mode, picture.format) == ("I", "TIFF")
    return np.asarray(picture), 0 if unknown else 65535


def open_picture(path: str | Path, small: int = 0, white: int = 0) -> Image.Image:
    """Decode one picture of any common format: upright, in RGB, at its own size; raises `UserError` that names it.

    `small` pixels per side are needed: a large JPEG may be decoded at a fraction of its size, which is faster. `white` is the
    number in the file that becomes 255, by default the largest that its format holds; one that it cannot hold says nothing.
    """
    # Pillow raises a dozen kinds of error for broken files.
    with explained(f"cannot read the picture {path}", "save it anew as PNG or JPEG, or take it away", Exception):
        try:
            with opened_picture(path) as picture:
                kind, tags = picture.format, getattr(picture, "tag_v2", {})
                if small and kind == "JPEG":
                    picture.draft(None, (2 * small, 2 * small))  # type: ignore[arg-type]
                picture.load()
        except Exception:
            with contextlib.suppress(RuntimeError):  # libpng minds the pixels of a PNG alone
                return to_pil_image(decode_png(read_file(str(path)), ImageReadMode.RGB))
            raise
        with contextlib.suppress(Exception):  # a broken note is none
            ImageOps.exif_transpose(picture, in_place=True)  # cameras store "turn me" beside the pixels
        if kind == "TIFF" and picture.mode == "RGBA" and not {1, 2} & {*tags.get(EXTRA_BANDS, ())}:
            picture = picture.convert("RGB")  # the fourth band may be infrared: nothing says that it is transparency
        deep = picture.mode.startswith(("I", "F"))  # 16 or 32 bits
        if picture.has_transparency_data and not deep:  # RGBA and some palettes: what is transparent becomes white
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        if 0 < white < 256 or deep:  # 4095 says nothing about a picture of 8 bits
            numbers, top = numbers_in(picture)
            most = white or top
            if top and deep and tags.get(PHOTOMETRIC) == 0:  # a negative
                numbers = top - numbers
            require(most > 0, "32 bits a pixel, whose range nobody knows: save it with 8 or 16, or train with --white")
            picture = Image.fromarray((numbers / most * 255).clip(0, 255).round().astype(np.uint8))
        return picture.convert("RGB")


def read_picture(path: str | Path, size: int, channels: int, white: int = 0) -> Tensor:
    """One picture, cut to a centred square and resized: uint8 [C, size, size]; raises `UserError` that names it."""
    picture = ImageOps.fit(open_picture(path, size, white), (size, size), Image.Resampling.LANCZOS)
    return pil_to_tensor(picture.convert("L") if channels == 1 else picture)


def own_pictures(paths: Iterable[Path], white: int = 0) -> list[Path]:
    """The files that the paths name; a folder stands for all pictures below it. Those that are broken are named and left out.

    Raises `UserError` if nothing is left.
    """
    found, whole = list[Path](), list[Path]()
    for path in (given.expanduser() for given in paths):
        require(path.exists(), f"there is no picture or folder {path}")
        inside = [path / name for name in files_below(path) if is_picture(name)] if path.is_dir() else [path]
        require(bool(inside), f"there are no pictures in the folder {path}")
        found += inside
    found = list(dict.fromkeys(found))  # a folder and one below it may both be named
    for path in found:
        try:
            open_picture(path, small=1, white=white)
            whole.append(path)
        except UserError as error:
            require(bool(whole) or path != found[-1], str(error))
            print(f"left out: {error}", file=sys.stderr)
    return whole


def hidden(name: str) -> bool:
    """What file managers and zips of macOS add to a folder."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _unreadable(error: OSError) -> None:
    raise error  # a folder that may not be read: `os.walk` would leave it out


def files_below(root: Path) -> list[str]:
    """The files below a folder, sorted, with "/" between, without hidden ones; a link to a folder is followed once."""
    found, been = [], {os.path.realpath(root)}
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_unreadable):
        found += [Path(folder, name).relative_to(root).as_posix() for name in files]
        real = {os.path.realpath(Path(folder, name)): name for name in folders}
        folders[:] = [name for path, name in real.items() if path not in been]  # a link may lead back
        been |= real.keys()
    return sorted(name for name in found if not hidden(name))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar into `folder`, without the folders that enclose all the rest: whole, or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as beside:
        (inside := Path(beside, "all")).mkdir()
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for entry in zipped.infolist():
                    entry.filename = entry.filename.replace("\\", "/")  # as some programs of Windows write it
                    zipped.extract(entry, inside)
        else:
            with tarfile.open(archive) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
                tar.extractall(inside)
        shown = [path for path in inside.iterdir() if not hidden(path.name)]
        while len(shown) == 1 and shown[0].is_dir() and shown[0].name not in SIDES:
            inside, shown = shown[0], [path for path in shown[0].iterdir() if not hidden(path.name)]
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
        broken = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
        with explained(f"--data: cannot read {path}", "make the zip anew, without a password", *broken):
            if not root.is_dir():
                unpack(path, root)
    if not root.is_dir():
        why = "a single file is not enough" if is_picture(path) else "it is cut off, or no zip: make one"
        require(not path.exists(), f"--data: {path} is neither a folder nor a zip of pictures ({why})")
        hint = "".join(f"did you mean {guess}? " for guess in difflib.get_close_matches(name, known, n=1))
        everything = f"{', '.join(known)}, or a folder or zip of pictures"
        raise UserError(f"--data: unknown data {name!r}; {hint}Known: {everything}")
    every = files_below(root)
    names = [file for file in every if is_picture(file)]
    endings = Counter(Path(file).suffix or "no ending" for file in every if not is_picture(file))
    others = ", ".join(f"{count} × {ending}" for ending, count in endings.items())
    why = f"only {others}: unpack them, or save them as PNG" if others else "it is empty, but for hidden files"
    require(bool(names), f"--data: no pictures in {path} ({why})")
    return root, names, f"left out files that are no pictures by their ending: {others}" if others else ""
