"""Every named data set, and loaders for your own pictures.

    data = load("mnist-10k")                     # or a folder, or a zip: load("~/pictures", size=64)
    for real, labels in batches(data, 128, seed=0, fabric=fabric): ...   # float32 [N, C, H, W] in [-1, 1], forever

A data set that fits in memory is decoded once and kept as uint8; a batch is then a single indexing operation. A larger
one is decoded by worker processes while the networks train.

Shape letters: N pictures, C channels (1 grey or 3 colours), H = W = size.
"""

import contextlib
import difflib
import gzip
import itertools
import os
import posixpath
import re
import signal
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from lightning_fabric import Fabric
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional as resizing
from tqdm import tqdm

from common import UserError, require
from common.data import faces
from common.images import to_float

STARTER = Path(__file__).parent / "starter"
FOLDER_SIZE = 32  # pixels per side of your own pictures, unless --size says otherwise
FACE_SIZE = 64  # the same for faces, which are drawn or cut at the wanted size
MEMORY_LIMIT = 2**30  # bytes: a folder that needs more as uint8 is decoded batch by batch
# The kinds of files that are read. Pillow knows more, but hands some to other programs (EPS).
FORMATS = (
    "PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000",
)  # fmt: skip
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX(/|$))")  # what file managers and zips of macOS add to a folder
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True)
class Pictures(Dataset[Any]):
    """A data set of square pictures; indexed by whole batches."""

    name: str
    images: "Tensor | PictureFiles | DrawnFaces"  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N], all zero where `classes` is empty; or attributes, int64 [N, A]
    classes: tuple[str, ...]  # what the labels mean, or the names of the attributes; empty for pictures without labels
    note: str = ""  # what the loader left out, for the user to read

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def size(self) -> int:
        return self.images.shape[3]

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """One whole batch: uint8 [N, C, H, W] and labels [N]."""
        return self.images[indices], self.labels[indices]

    def all(self) -> Tensor:
        """Every picture: uint8 [N, C, H, W]."""
        return torch.cat([self.images[list(range(i, min(i + 500, len(self))))] for i in range(0, len(self), 500)])


def data_root() -> Path:
    """Where downloads go: the folder `data` of this repository, or what the variable GAN_DATA names."""
    return Path(os.environ.get("GAN_DATA") or Path(__file__).parents[2] / "data").expanduser()


def load(name_or_path: str, size: int | None = None, channels: int | None = None, split: str = "train") -> Pictures:
    """Load a named data set, or a folder or zip of pictures.

    `size` (pixels per side) and `channels` (1 or 3) default to the data's own, for a folder to 32 and 3, for faces to 64. Pictures are cut
    to a centred square and resized with antialiasing. `split` ("train" or "test") matters for the downloaded sets.
    Raises `UserError` for an unknown name, a failed download, an empty folder or a file that cannot be read.
    """
    require(size is None or size >= 4, f"--size must be at least 4 pixels, not {size}")
    require(channels in (None, 1, 3), f"--channels must be 1 (grey) or 3 (colour), not {channels}")
    require(name_or_path != "", "--data is empty: name a set, or a folder or zip of pictures")
    if name_or_path in NAMED:
        return _resized(NAMED[name_or_path](split, size), size, channels)
    path = Path(name_or_path).expanduser()
    if path.is_dir() or zipfile.is_zipfile(path):
        return _load_files(path, size or FOLDER_SIZE, channels or 3)
    require(
        not path.exists(), f"--data: {path} is neither a folder nor a zip of pictures (a single file is not enough)"
    )
    guess = difflib.get_close_matches(name_or_path, NAMED, n=1)
    hint = f"did you mean {guess[0]}? " if guess else ""
    raise UserError(
        f"--data: unknown data {name_or_path!r}; {hint}Known: {', '.join(NAMED)}, or a folder or zip of pictures"
    )


# ---------------------------------------------------------------------------------------------- named data sets


def _starter(folder: str, name: str, classes: tuple[str, ...]) -> Pictures:
    """The 10,000 test pictures of MNIST or Fashion-MNIST that come with the course (idx files, gzip)."""
    images = gzip.decompress((STARTER / folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((STARTER / folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)  # the idx header has 16 bytes here …
    return Pictures(
        name,
        torch.from_numpy(pixels.copy()),
        torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)),  # … and 8 here
        classes,
    )


def _download(kind: str, name: str, folder: str, split: str) -> Pictures:
    """A data set of torchvision, downloaded on first use."""
    try:
        dataset = getattr(torchvision.datasets, kind)(data_root(), train=split == "train", download=True)
    except Exception as error:  # torchvision reports a missing network in many ways
        raise UserError(
            f"--data {name}: the download failed ({' '.join(str(error).split())[:80]}); check the network, or put the authors' files into "
            f"{data_root() / folder}; without a network use mnist-10k or fashion-10k"
        ) from error
    images = torch.as_tensor(np.asarray(dataset.data))
    images = images.permute(0, 3, 1, 2).contiguous() if images.ndim == 4 else images.unsqueeze(1)  # -> [N, C, H, W]
    return Pictures(name, images, torch.as_tensor(dataset.targets).long(), tuple(dataset.classes))


@dataclass(frozen=True)
class DrawnFaces:
    """Cartoon faces that look like one uint8 tensor [N, C, size, size] and are drawn when indexed: for large sizes."""

    name: str
    split: str
    size: int
    channels: int = 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return faces.NUMBER, self.channels, self.size, self.size

    def __getitem__(self, indices: list[int]) -> Tensor:
        drawn = [faces.draw_one(f"{self.split}-{number}", self.name, (self.size,))[0][0] for number in indices]
        pictures = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)
        return pictures if self.channels == 3 else resizing.rgb_to_grayscale(pictures)


def _faces(name: str, split: str, size: int | None) -> Pictures:
    """Cartoon faces with attributes, drawn at the wanted size: all at once, or when indexed if they fill the memory."""
    size = size or FACE_SIZE
    large = DrawnFaces(name, split, size)
    kept = int(np.prod(large.shape)) <= MEMORY_LIMIT
    images, labels = faces.draw(name, size if kept else FACE_SIZE, split, data_root() / "avatars")
    pictures = torch.from_numpy(images) if kept else large  # the attributes are the same at every size
    return Pictures(name, pictures, torch.from_numpy(labels), faces.attribute_names(name))


def _celeba(split: str, size: int | None) -> Pictures:
    """CelebA, aligned and cropped, with its 40 attributes: the authors' text files beside their folder of pictures."""
    folder = data_root() / "celeba"
    needed = [folder / name for name in ("img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt")]
    if not all(path.exists() for path in needed):
        try:
            torchvision.datasets.CelebA(data_root(), download=True)
        except Exception as error:  # the authors' drive refuses in many ways, and often
            raise UserError(
                f"--data celeba: the download failed ({' '.join(str(error).split())[:80]}); put the authors' {', '.join(path.name for path in needed)} "
                f"(unpacked) into {folder}; without a network use avatars"
            ) from error
    partition = dict(line.partition(" ")[::2] for line in needed[1].read_text().splitlines())
    attributes, *rows = needed[2].read_text().splitlines()[1:] or [""]  # the first line counts the pictures
    number = {"train": "0", "valid": "1", "test": "2"}[split]
    chosen = [row.split() for row in rows if partition.get(row.split()[0] if row.strip() else "") == number]
    require(bool(chosen), f"--data celeba: {needed[1]} and {needed[2]} name no picture of the {split} split")
    labels = torch.tensor([[int(value == "1") for value in values] for _, *values in chosen])
    files = PictureFiles(needed[0], tuple(name for name, *_ in chosen), size or FACE_SIZE, 3)
    return Pictures("celeba", _decoded(files), labels, tuple(attributes.split()))


# One line a data set. Each loader takes the split and the wanted size, and returns `Pictures` at the data's own size or that one.
NAMED: dict[str, Callable[[str, int | None], Pictures]] = {
    "mnist-10k": lambda split, size: _starter("mnist", "mnist-10k", DIGITS),
    "fashion-10k": lambda split, size: _starter("fashion_mnist", "fashion-10k", CLOTHES),
    "avatars": lambda split, size: _faces("avatars", split, size),
    "open-peeps": lambda split, size: _faces("open-peeps", split, size),
    "toon-head": lambda split, size: _faces("toon-head", split, size),
    "mnist": lambda split, size: _download("MNIST", "mnist", "MNIST/raw", split),
    "fashion-mnist": lambda split, size: _download("FashionMNIST", "fashion-mnist", "FashionMNIST/raw", split),
    "cifar10": lambda split, size: _download("CIFAR10", "cifar10", "cifar-10-batches-py", split),
    "celeba": _celeba,
}


def _resized(pictures: Pictures, size: int | None, channels: int | None) -> Pictures:
    """The same pictures at another size or number of channels (bilinear, antialiased)."""
    images = pictures.images
    if not isinstance(images, Tensor):  # decoded or drawn at the wanted size anyway
        return replace(pictures, images=replace(images, channels=channels or images.channels))
    if channels == 1 and pictures.channels == 3:
        images = resizing.rgb_to_grayscale(images)
    if channels == 3 and pictures.channels == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    if size is not None and size != pictures.size:
        images = resizing.resize(images, [size, size], antialias=True)
    return replace(pictures, images=images)


# ------------------------------------------------------------------------------------------- your own pictures


@cache
def _formats() -> tuple[str, ...]:
    """`FORMATS`, but for those that an older Pillow lacks."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def endings_of_pictures() -> set[str]:
    """The endings, such as ".png", of the kinds of files that are read as pictures."""
    return {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


def own_pictures(paths: Iterable[Path]) -> list[Path]:
    """The files that the paths name; a folder stands for all pictures below it. Raises `UserError`."""
    found: list[Path] = []
    for path in (given.expanduser() for given in paths):
        require(path.exists(), f"there is no picture or folder {path}")
        if not path.is_dir():
            found.append(path)
            continue
        inside = [path / name for name in listing(path)[0] if Path(name).suffix.lower() in endings_of_pictures()]
        require(bool(inside), f"there are no pictures in the folder {path}")
        found += inside
    return list(dict.fromkeys(found))  # a folder and one below it may both be named


def open_picture(file: Any, name: str) -> Image.Image:
    """Decode one picture of any common format: upright, in RGB, at its own size; raises `UserError` that names it."""
    try:
        with Image.open(file, formats=_formats()) as opened:
            picture = ImageOps.exif_transpose(opened)  # cameras store "turn me" beside the pixels
        require(picture.mode not in ("I", "F"), "32 bits a pixel, whose range nobody knows: save it with 8 or 16 bits")
        if picture.mode.startswith("I;16"):  # keep the upper eight bits
            picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
        if picture.has_transparency_data:  # RGBA and some palettes: what is transparent becomes white
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return picture.convert("RGB")
    except Exception as error:  # Pillow raises a dozen kinds of error for broken files
        raise UserError(f"cannot read the picture {name} ({error}); mend it or take it out of the folder") from error


def read_picture(file: Any, name: str, size: int, channels: int) -> Tensor:
    """One picture, cut to a centred square and resized: uint8 [C, size, size]; raises `UserError` that names it."""
    picture = ImageOps.fit(open_picture(file, name), (size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture.convert("L"))[..., None] if channels == 1 else np.asarray(picture)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


@dataclass(frozen=True)
class PictureFiles:
    """Pictures in a folder or zip that look like one uint8 tensor [N, C, H, W] and are decoded when indexed."""

    root: Path
    names: tuple[str, ...]
    size: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.names), self.channels, self.size, self.size

    def __getitem__(self, indices: list[int]) -> Tensor:
        with files_of(self.root) as opened:
            return torch.stack([self._decode(opened(self.names[i]), i) for i in indices])

    def _decode(self, file: Any, index: int) -> Tensor:
        return read_picture(file, str(self.root / self.names[index]), self.size, self.channels)


@lru_cache(maxsize=4)
def _archive(root: Path, changed: int, process: int) -> tuple[zipfile.ZipFile, str]:
    """A zip as it was last changed, opened once by each process (they must not share a position in it); see `_opened`."""
    archive = zipfile.ZipFile(root)
    folders = [posixpath.dirname(name) for name in archive.namelist() if not HIDDEN.search(name)]
    return archive, posixpath.join(posixpath.commonpath(folders), "") if folders else ""


@contextlib.contextmanager
def _opened(root: Path) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """A zip, and the folder in it that encloses all the rest ("" if there is none). Raises `UserError`."""
    try:
        yield _archive(root, root.stat().st_mtime_ns, os.getpid())
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"--data: cannot read {root} ({error}); make the zip anew, without a password") from error


@contextlib.contextmanager
def files_of(root: Path) -> Iterator[Callable[[str], Any]]:
    """What opens a file of `listing` by its name. Raises `UserError` for a damaged or locked zip."""
    if root.is_dir():
        yield root.joinpath
        return
    with _opened(root) as (archive, within):
        yield lambda name: archive.open(within + name)


def listing(root: Path) -> tuple[list[str], set[str]]:
    """The files below a folder or in a zip, sorted, with "/" between, without hidden ones; the folders directly below."""
    found = []
    if root.is_dir():
        been = {os.path.realpath(root)}
        for folder, folders, files in os.walk(root, followlinks=True):
            here = Path(folder).relative_to(root)
            found += [(here / name).as_posix() for name in files] + [(here / name).as_posix() + "/" for name in folders]
            real = {os.path.realpath(Path(folder, name)): name for name in folders}
            folders[:] = [name for path, name in real.items() if path not in been]  # a link may lead back
            been |= real.keys()
    else:
        with _opened(root) as (archive, within):
            found = [name.removeprefix(within) for name in archive.namelist() if name.startswith(within)]
    found = sorted(name for name in found if name and not HIDDEN.search(name))
    return [name for name in found if not name.endswith("/")], {name.split("/")[0] for name in found if "/" in name}


def _load_files(root: Path, size: int, channels: int) -> Pictures:
    """The pictures below a folder or in a zip. If all lie in subfolders, the subfolders' names are their classes."""
    (found, below), known = listing(root), endings_of_pictures()
    names = tuple(name for name in found if Path(name).suffix.lower() in known)
    endings = Counter(Path(name).suffix or "no ending" for name in found if Path(name).suffix.lower() not in known)
    others = ", ".join(f"{count} × {ending}" for ending, count in endings.items())
    require(bool(names), f"--data: no pictures in {root}" + (f" (only {others})" if others else ": it is empty"))

    folders = [Path(name).parts[0] if len(Path(name).parts) > 1 else "" for name in names]
    classes = tuple(sorted(set(folders))) if "" not in folders else ()
    bare = ", ".join(sorted(below - set(classes)))
    require(
        not classes or not bare,
        f"--data: no pictures in the subfolder {bare} of {root}: every subfolder is a class; fill it or take it away",
    )
    labels = torch.tensor([classes.index(folder) if classes else 0 for folder in folders])
    note = f"left out files that are no pictures by their ending: {others}" if others else ""
    return Pictures(str(root), _decoded(PictureFiles(root, names, size, channels)), labels, classes, note)


def _decoded(files: PictureFiles) -> Tensor | PictureFiles:
    """All pictures as one tensor if that fits in memory, else as they are."""
    number, channels, size, _ = files.shape
    if number * channels * size**2 > MEMORY_LIMIT:
        return files
    chunks = [list(range(i, min(i + 64, number))) for i in range(0, number, 64)]
    progress = tqdm(chunks, f"decoding {files.root.name}", leave=False, disable=None)
    return torch.cat([files[chunk] for chunk in progress])


# -------------------------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class ShuffledOrder(Sampler[list[int]]):
    """Endless batches of indices: each epoch is a new permutation, decided by the seed and the epoch alone.

    Batch number k is therefore always the same, and resuming needs no more than k. With several processes every one draws
    the whole batch and keeps its own share, so that their number does not change what is learned.
    """

    length: int
    batch_size: int
    seed: int
    start: int = 0
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[list[int]]:
        batches_per_epoch = self.length // self.batch_size
        share = self.batch_size // self.world_size
        epoch_of_order = -1
        for number in itertools.count(self.start):
            epoch, batch = divmod(number, batches_per_epoch)
            if epoch != epoch_of_order:
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order, epoch_of_order = torch.randperm(self.length, generator=generator), epoch
            first = batch * self.batch_size + self.rank * share
            yield order[first : first + share].tolist()


def _as_it_is(batch: Any) -> Any:
    """Collation for a data set that already returns whole batches (a named function, so that workers can find it)."""
    return batch


def _leave_ctrl_c(_: int) -> None:
    """A worker process goes on after Ctrl-C: the run needs its batch to end the step and save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def batches(
    data: Pictures, batch_size: int, seed: int, fabric: Fabric, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches on the run's device: this process's share of float32 [N, C, H, W] in [-1, 1], and labels [N].

    `batch_size` counts the pictures of all processes together. `start` skips that many batches (for resuming).
    """
    require(
        batch_size <= len(data), f"--batch-size {batch_size} is more than the {len(data):,} pictures of {data.name}"
    )
    world = fabric.world_size
    require(batch_size % world == 0, f"--batch-size {batch_size} cannot be shared evenly by {world} processes")
    lazy = not isinstance(data.images, Tensor)
    loader = DataLoader(
        data,
        batch_sampler=ShuffledOrder(len(data), batch_size, seed, start, fabric.global_rank, world),
        collate_fn=_as_it_is,
        num_workers=min(4, os.cpu_count() or 1) if lazy else 0,
        worker_init_fn=_leave_ctrl_c,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator().manual_seed(seed),  # else the loader draws from the random state just restored
    )
    try:
        for images, labels in loader:
            yield to_float(fabric.to_device(images)), fabric.to_device(labels)
    except UserError as error:  # that of a worker process has its traceback in front
        raise UserError(str(error).strip().rsplit("UserError: ", 1)[-1]) from None
