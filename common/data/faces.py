"""Cartoon faces with known attributes, drawn by `common/art.py` at any size, and kept for the next time.

    faces = load("avatars")                              # 10,000 pictures at 64×64; half a minute the first time
    faces.classes[:3], faces.labels.shape                # ("glasses", "beard", "hat"), [10000, 21]

A face is decided by the name of its split and its number, so "train" and "test" share no face, and the same face exists
at 4×4 and at 1024×1024. `requirements.txt` pins the three packages: the art decides the numbers of the course.
"""

from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as resizing
from tqdm import tqdm

from common import explained
from common.art import attribute_names, draw_one, with_the_run
from common.checkpoint import load_arrays, save_arrays, write_atomically
from common.data.pictures import LazyPictures, Pictures, data_root, without_main

NUMBER = 10_000  # faces of a split
SIZE = 64  # pixels per side, unless --size says otherwise
TOGETHER = (4, 8, 16, 32)  # sizes drawn at once: networks that grow want them all, and the art takes longer than each


def face(name: str, seed: str, size: int, channels: int) -> Tensor:
    """One face: uint8 [channels, size, size]."""
    picture = torch.from_numpy(draw_one(seed, name, (size,))[0][0].transpose(2, 0, 1).copy())
    return resizing.rgb_to_grayscale(picture) if channels == 1 else picture.expand(3, -1, -1)


def load_faces(name: str, split: str, size: int | None) -> Pictures:
    """The faces of a split: all at once, or drawn when indexed if they would fill the memory."""
    size = size or SIZE
    seeds, channels = tuple(f"{split}-{number}" for number in range(NUMBER)), 1 if name == "sketches" else 3
    lazy = LazyPictures(partial(face, name), seeds, size, channels, drawn=True)
    images, labels = _drawn(name, size if lazy.fits else SIZE, split)  # the attributes are the same at every size
    return Pictures(name, images if lazy.fits else lazy, labels, attribute_names(name))


def _file(name: str, size: int, split: str) -> Path:
    return data_root() / "avatars" / f"{name}-{split}-{size}.npz"


def kept_faces(name: str, size: int, split: str) -> Any:
    """Faces and attributes of a split that was drawn before, as of `_drawn`, or None."""
    return load_arrays(_file(name, size, split), "images", "labels")


def _drawn(name: str, size: int, split: str) -> tuple[Tensor, Tensor]:
    """Faces uint8 [N, C, size, size] and attributes int64 [N, A]: those that are kept, or newly drawn ones."""
    if found := kept_faces(name, size, split):
        return found
    # A folder that refuses says so before the work.
    write_atomically(_file(name, size, split).with_suffix(".probe"), b"", "GAN_DATA").unlink(missing_ok=True)
    sizes, seeds = TOGETHER if size in TOGETHER else (size,), [f"{split}-{number}" for number in range(NUMBER)]
    dead = explained("a process that draws faces was ended", "start again", BrokenExecutor)
    pool = ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=with_the_run)  # torch has threads: no fork
    try:
        with dead:
            with without_main():
                work = pool.map(partial(draw_one, name=name, sizes=sizes), seeds, chunksize=50)
            what = f"drawing {name} of {', '.join(map(str, sizes))} pixels, once"
            faces = list(tqdm(work, what, NUMBER, leave=False, disable=None))
    except BaseException:  # after Ctrl-C nobody waits for faces
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    labels = np.array([attributes for _, attributes in faces], np.int64)
    for n, pictures in zip(sizes, zip(*(pictures for pictures, _ in faces))):
        save_arrays(_file(name, n, split), "GAN_DATA", images=np.stack(pictures).transpose(0, 3, 1, 2), labels=labels)
    return kept_faces(name, size, split)
