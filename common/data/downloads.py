"""Published data sets: those that come with the course, those of torchvision, CelebA, and the authors' archives of pairs and piles."""

import gzip
import tempfile
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision

from common import explained
from common.data.faces import SIZE
from common.data.files import read_picture, unpack
from common.data.own import read_all
from common.data.pictures import LazyPictures, Pictures, data_root

STARTER = Path(__file__).parent / "starter"
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
ARCHIVES = "http://efrosgans.eecs.berkeley.edu/{}/datasets/{}"  # of the authors of pix2pix and CycleGAN


def _downloading(name: str, remedy: str, instead: str) -> AbstractContextManager[None]:
    """A download that fails, in one of many ways, becomes a `UserError` that says what to do."""
    return explained(f"--data {name}: the download failed", f"{remedy}; without a network use {instead}", Exception)


def starter(folder: str, name: str, classes: tuple[str, ...]) -> Pictures:
    """The 10,000 test pictures of MNIST or Fashion-MNIST that come with the course (idx files, gzip)."""
    images = gzip.decompress((STARTER / folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((STARTER / folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)  # the idx header has 16 bytes here …
    numbers = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)  # … and 8 here
    return Pictures(name, torch.from_numpy(pixels.copy()), torch.from_numpy(numbers), classes)


def torchvision_set(kind: str, name: str, folder: str, split: str) -> Pictures:
    """A data set of torchvision, downloaded on first use."""
    remedy = f"check the network, or put the authors' files into {data_root() / folder}"
    with _downloading(name, remedy, "mnist-10k or fashion-10k"):
        dataset = getattr(torchvision.datasets, kind)(data_root(), train=split == "train", download=True)
    images = torch.as_tensor(np.asarray(dataset.data))
    images = images.permute(0, 3, 1, 2).contiguous() if images.ndim == 4 else images.unsqueeze(1)  # -> [N, C, H, W]
    return Pictures(name, images, torch.as_tensor(dataset.targets).long(), tuple(dataset.classes))


def celeba(split: str, size: int | None) -> Pictures:
    """CelebA, aligned and cropped, with its 40 attributes, through torchvision: five text files beside a folder of pictures."""
    folder = data_root() / "celeba"
    texts = "identity_CelebA, list_attr_celeba, list_bbox_celeba, list_eval_partition, list_landmarks_align_celeba"
    remedy = f"put the authors' img_align_celeba (unpacked) and text files ({texts}) into {folder}"
    with _downloading("celeba", remedy, "avatars"):
        found = torchvision.datasets.CelebA(data_root(), split, download=True)
    files = tuple(str(folder / "img_align_celeba" / name) for name in found.filename)
    lazy = LazyPictures(partial(read_picture), files, size or SIZE, 3)
    images = read_all(lazy, "celeba")[0] if lazy.fits else lazy
    return Pictures("celeba", images, found.attr, tuple(filter(None, found.attr_names)))


def authors_archive(name: str, kind: str) -> Path:
    """The folder of an archive of the authors ("pix2pix" or "cyclegan"), fetched and unpacked on first use."""
    folder, ending = data_root() / kind / name, "tar.gz" if kind == "pix2pix" else "zip"
    remedy = f"check the network, or put the authors' {name}.{ending}, unpacked, into {folder}"
    if not folder.is_dir():
        with _downloading(name, remedy, "satellite-map"), tempfile.TemporaryDirectory() as beside:
            archive = Path(beside, f"{name}.{ending}")
            torch.hub.download_url_to_file(ARCHIVES.format(kind, archive.name), str(archive))
            unpack(archive, folder)
    return folder
