"""Cartoon faces with known attributes, drawn from the vector art of DiceBear at any size, and kept for the next time.

    faces = load("avatars")                              # 10,000 pictures at 64×64; half a minute the first time
    faces.classes[:3], faces.labels.shape                # ("glasses", "beard", "hat"), [10000, 21]

A face is decided by the name of its split and its number, so "train" and "test" share no face, and the same face exists
at 4×4 and at 1024×1024. `requirements.txt` pins the three packages: the art decides the numbers of the course.

Art: "Avataaars" by Pablo Stanley (free for personal and commercial use), "Open Peeps" by Pablo Stanley (CC0 1.0),
"Toon Head" by Johan Melin (CC BY 4.0).
"""

import io
import json
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.resources import files
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as resizing
from tqdm import tqdm

from common.checkpoint import load_arrays, save_arrays, write_atomically
from common.data.pictures import LazyPictures, Pictures, data_root, without_main

NUMBER = 10_000  # faces of a split
SIZE = 64  # pixels per side, unless --size says otherwise
TOGETHER = (4, 8, 16, 32)  # sizes drawn at once: networks that grow want them all, and the art takes longer than each
STYLES = {"avatars": "avataaars", "open-peeps": "open-peeps", "toon-head": "toon-head"}
BACKGROUNDS = ["b6e3f4", "d1d4f9", "ffd5dc", "ffdfbf", "c0aede", "c8e6c9"]
# The pose is slight, and the same for all styles: it is what chapter 08 looks for in its coarse layers.
POSE: dict[str, Any] = {
    "flip": ["none", "horizontal"], "rotate": [-8, 8], "translateX": [-3, 3], "scale": 1.1, "backgroundColor": BACKGROUNDS,
}  # fmt: skip
# Of the twelve mouths one is left out (it is sick); glasses and beards come more often than DiceBear's 10 %.
MOUTHS = [
    "concerned", "default", "disbelief", "eating", "grimace", "sad", "screamOpen", "serious", "smile", "tongue", "twinkle",
]  # fmt: skip
OPTIONS = POSE | {"accessoriesProbability": 35, "facialHairProbability": 25, "mouthVariant": MOUTHS}
# Attributes with two values, 0 and 1, as groups of drawn variants; they stand first among the labels of `avatars`.
GROUPS = {
    "glasses": ("accessories", {"kurt", "prescription01", "prescription02", "round", "sunglasses", "wayfarers"}),
    "beard": ("facialHair", {"beardLight", "beardMajestic", "beardMedium"}),
    "hat": ("top", {"hat", "hijab", "turban", "winterHat02", "winterHat03", "winterHat04", "winterHat1"}),
    "long hair": (
        "top",
        {"bigHair", "bob", "curly", "curvy", "longButNotTooLong", "miaWallace", "straight01", "straight02", "straightAndStrand"},
    ),
}  # fmt: skip


@cache
def _style(name: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """A style's art, and for each drawn part its variants or colours, whose place in the list is the label."""
    definition = json.loads(files("dicebear_styles").joinpath(f"{STYLES[name]}.json").read_text("utf-8"))
    # Value 0 is "not there", and a part of which there is only one kind says nothing.
    parts = {f"{part}Variant": ["", *sorted(of["variants"])] for part, of in definition["components"].items()}
    parts |= {f"{part}Color": ["", *of["values"]] for part, of in definition["colors"].items()}
    parts["backgroundColor"] = ["", *(f"#{colour}" for colour in BACKGROUNDS)]
    return definition, {part: values for part, values in sorted(parts.items()) if len(values) > 2}


@cache
def _art(name: str) -> Any:
    """The art as DiceBear wants it: a second to load the library, half a second to check; only who draws waits for it."""
    from dicebear import Style

    return Style(_style(name)[0])


def attribute_names(name: str) -> tuple[str, ...]:
    """What the columns of the labels mean: attributes with two values first, then the parts as they were drawn."""
    return (*(GROUPS if name == "avatars" else ()), "mirrored", "leans right", *_style(name)[1])


def draw_one(seed: str, name: str, sizes: tuple[int, ...]) -> tuple[list[np.ndarray], list[int]]:
    """One face: uint8 [H, W, 3] for each size, and its attributes."""
    import resvg_py
    from dicebear import Avatar

    parts = _style(name)[1]
    avatar = Avatar(_art(name), {"seed": seed, **(OPTIONS if name == "avatars" else POSE)}).to_json()
    drawn = avatar["options"]
    pngs = (resvg_py.svg_to_bytes(svg_string=avatar["svg"], width=n, height=n, skip_system_fonts=True) for n in sizes)
    values = {part: drawn.get(part) or "" for part in parts}
    values = {part: value[0] if isinstance(value, list) else value for part, value in values.items()}
    groups = GROUPS.values() if name == "avatars" else ()
    attributes = [int(values[f"{part}Variant"] in members) for part, members in groups]
    attributes += [int(drawn["flip"] == "horizontal"), int(drawn["rotate"] > 0)]
    attributes += [known.index(values[part]) for part, known in parts.items()]
    return [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pngs], attributes


def _face(name: str, seed: str, size: int, channels: int) -> Tensor:
    """One face: uint8 [channels, size, size]."""
    picture = torch.from_numpy(draw_one(seed, name, (size,))[0][0].transpose(2, 0, 1))
    return picture if channels == 3 else resizing.rgb_to_grayscale(picture)


def load_faces(name: str, split: str, size: int | None) -> Pictures:
    """The faces of a split: all at once, or drawn when indexed if they would fill the memory."""
    size = size or SIZE
    lazy = LazyPictures(partial(_face, name), tuple(f"{split}-{number}" for number in range(NUMBER)), size, 3)
    images, labels = _drawn(name, size if lazy.fits else SIZE, split)  # the attributes are the same at every size
    return Pictures(name, images if lazy.fits else lazy, labels, attribute_names(name))


def _drawn(name: str, size: int, split: str) -> tuple[Tensor, Tensor]:
    """Faces uint8 [N, 3, size, size] and attributes int64 [N, A]: those that are kept, or newly drawn ones."""
    sizes = TOGETHER if size in TOGETHER else (size,)
    kept = {n: data_root() / "avatars" / f"{name}-{split}-{n}.npz" for n in sizes}
    if found := load_arrays(kept[size], "images", "labels"):
        return found
    probe = kept[size].with_name(f".{name}-{split}-{size}")
    write_atomically(probe, b"", "GAN_DATA").unlink(missing_ok=True)  # a folder that refuses says so before the work
    seeds = [f"{split}-{number}" for number in range(NUMBER)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # spawn: torch has threads of its own
        with without_main():
            work = pool.map(partial(draw_one, name=name, sizes=sizes), seeds, chunksize=250)
        what = f"drawing {name} of {', '.join(map(str, sizes))} pixels, once"
        faces = list(tqdm(work, what, NUMBER, leave=False, disable=None))
    labels = np.array([attributes for _, attributes in faces], np.int64)
    for n, pictures in zip(sizes, zip(*(pictures for pictures, _ in faces))):
        save_arrays(kept[n], "GAN_DATA", images=np.stack(pictures).transpose(0, 3, 1, 2), labels=labels)
    return load_arrays(kept[size], "images", "labels")
