"""Every named data set, and loaders for your own pictures.

    data = load("mnist-10k")                     # or a folder, or a zip: load("~/pictures", size=64)
    for real, labels in batches(data, 128, seed=0, fabric=fabric): ...   # float32 [N, C, H, W] in [-1, 1], forever

A data set that fits in memory is decoded once and kept as uint8; a batch is then a single indexing operation. A larger
one is read by threads, or drawn by processes, while the networks train. `pairs.py` has the pairs and piles of chapters 05 and 06.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor
from torchvision.transforms.v2 import functional as resizing

from common import require
from common.data.downloads import CLOTHES, DIGITS, celeba, starter, torchvision_set
from common.data.faces import load_faces
from common.data.files import open_picture, own_pictures, read_picture
from common.data.own import load_folder
from common.data.pairs import NoTestPictures, load_pairs, load_unpaired
from common.data.pictures import LazyPictures, Pairs, Pictures, batches, data_root, shuffled_order, spread

FOLDER_SIZE = 32  # pixels per side of your own pictures, unless --size says otherwise

# One line a data set. Each loader takes the split and the wanted size, and returns `Pictures` at the data's own size or that one.
NAMED: dict[str, Callable[[str, int | None], Pictures]] = {
    "mnist-10k": lambda split, size: starter("mnist", "mnist-10k", DIGITS),
    "fashion-10k": lambda split, size: starter("fashion_mnist", "fashion-10k", CLOTHES),
    **{name: partial(load_faces, name) for name in ("avatars", "sketches", "open-peeps", "toon-head")},
    "mnist": lambda split, size: torchvision_set("MNIST", "mnist", "MNIST/raw", split),
    "fashion-mnist": lambda split, size: torchvision_set("FashionMNIST", "fashion-mnist", "FashionMNIST/raw", split),
    "cifar10": lambda split, size: torchvision_set("CIFAR10", "cifar10", "cifar-10-batches-py", split),
    "celeba": celeba,
}


def load(
    name: str, size: int | None = None, channels: int | None = None, split: str = "train", skip_broken: bool = False,
    white: Sequence[int] = (),
) -> Pictures:  # fmt: skip
    """Load a named data set, or a folder or zip of pictures.

    `size` (pixels per side) and `channels` (1 or 3) default to the data's own, for a folder to 32 and 3, for faces to 64. Pictures are cut
    to a centred square and resized with antialiasing. `split` ("train" or "test") matters for the downloaded sets, and for a folder
    with subfolders of these names. `skip_broken` leaves out the files that cannot be read, and `white` has the number that is white
    in them, by default the largest that they can hold. Raises `UserError`, which names all broken files.
    """
    require(size is None or size >= 4, f"--size must be at least 4 pixels, not {size}")
    require(channels in (None, 1, 3), f"--channels must be 1 (grey) or 3 (colour), not {channels}")
    if name not in NAMED:
        return load_folder(name, size or FOLDER_SIZE, channels or 3, NAMED, split, skip_broken, (*white, 0)[0])
    require(split == "train" or name[-4:] != "-10k", f"{name} is a larger set's test split, and has no other")
    pictures = NAMED[name](split, size)
    images = pictures.images
    if not isinstance(images, Tensor):  # decoded or drawn at the wanted size anyway
        return replace(pictures, images=replace(images, channels=channels or images.channels))
    if channels not in (None, pictures.channels):
        images = resizing.rgb_to_grayscale(images, channels)  # from grey: three channels that are alike
    if size is not None and size != pictures.size:
        images = resizing.resize(images, [size, size], antialias=True)
    return replace(pictures, images=images)
