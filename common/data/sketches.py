"""Faces and their ink drawings: `sketches`, which chapters 05 and 06 colour in.

    load("sketches")                                     # drawings alone, grey, with the attributes of their faces
    load_pairs("sketches", 64, "test")                   # A: drawings; B: the faces of `avatars`
    load_unpaired("sketches", 64)                        # drawings of one half of the faces, colours of the other

"train-17" is the same face in `sketches` and in `avatars`; `common/pen.css` has how it is drawn, at any size.

The scores' reference for faces ("10,000 other faces") is "test-0" to "test-9999": the true answers to the test drawings.
So compare answers with as many true test faces: their FCD is lower than the floor of other tables, that of training faces.
"""

from dataclasses import replace

import torch
from torch import Tensor

from common.data import faces
from common.data.faces import face, kept_faces, load_faces
from common.data.pictures import LazyPictures, Pairs, Pictures, spread


def sketch_pairs(size: int, split: str, most: int | None = None) -> Pairs:
    """Drawings (A) and coloured faces (B), with attributes: all at once, or drawn when indexed if they fill the memory.

    `most` pairs, spread over the split, have no attributes; where not all were drawn before, each is drawn when indexed.
    """
    if most is not None:
        places = spread(faces.NUMBER, most)
        if all(kept := [kept_faces(name, size, split) for name in ("sketches", "avatars")]):
            drawings, colours = (images[places] for images, _ in kept)
            return Pairs("sketches", torch.cat([drawings.expand(-1, 3, -1, -1), colours], dim=1))
        return Pairs("sketches", LazyPictures(_pair, tuple(f"{split}-{n}" for n in places), size, 6, drawn=True))
    coloured = load_faces("avatars", split, size)
    lazy = LazyPictures(_pair, tuple(f"{split}-{n}" for n in range(len(coloured))), size, 6, drawn=True)
    if not lazy.fits:
        return Pairs("sketches", lazy, coloured.labels, coloured.classes)
    drawings = load_faces("sketches", split, size).all().expand(-1, 3, -1, -1)
    return Pairs("sketches", torch.cat([drawings, coloured.all()], dim=1), coloured.labels, coloured.classes)


def sketch_piles(size: int, split: str) -> tuple[Pictures, Pictures]:
    """To train on, drawings of the first half of the faces and colours of the other half, in orders of their own.

    Of the test split, all drawings and their true colours, in the same order. Each has 3 channels and its attributes.
    """
    drawings, coloured = load_faces("sketches", split, size), load_faces("avatars", split, size)
    first = second = torch.arange(len(coloured))
    if split == "train":
        rng, half = torch.Generator().manual_seed(0), len(coloured) // 2
        first, second = torch.randperm(half, generator=rng), half + torch.randperm(half, generator=rng)
    return _chosen(drawings, first), _chosen(coloured, second)


def _pair(seed: str, size: int, channels: int) -> Tensor:
    """One pair: uint8 [channels, size, size]."""
    return torch.cat([face(name, seed, size, channels // 2) for name in ("sketches", "avatars")])


def _chosen(faces: Pictures, indices: Tensor) -> Pictures:
    """Some of the faces in the order of the indices [N], with 3 channels."""
    if isinstance(faces.images, Tensor):
        images: Tensor | LazyPictures = faces.images[indices].expand(-1, 3, -1, -1)
    else:
        images = replace(faces.images.some(indices.tolist()), channels=3)
    return Pictures(faces.name, images, faces.labels[indices], faces.classes)
