"""The vector art of DiceBear: one cartoon face at any sizes, and its attributes. `data/faces.py` makes data sets of it.

    (small, large), attributes = draw_one("train-3", "avatars", (16, 64))   # uint8 [16, 16, 3] and [64, 64, 3]

Nothing here needs torch: the processes that draw thousands of faces import this file alone, and begin at once.

Art: "Avataaars" by Pablo Stanley (free for personal and commercial use), "Open Peeps" by Pablo Stanley (CC0 1.0),
"Toon Head" by Johan Melin (CC BY 4.0).
"""

import io
import json
import os
import signal
from functools import cache, partial
from importlib.resources import files
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image

STYLES = {"avatars": "avataaars", "sketches": "avataaars", "open-peeps": "open-peeps", "toon-head": "toon-head"}
PEN = Path(__file__).with_name("pen.css").read_text("utf-8")  # the style sheet that makes a drawing of a face
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
# Attributes with two values, 0 and 1, as groups of drawn variants; they stand first among the labels of `avatars` and `sketches`.
GROUPS = {
    "glasses": ("accessories", {"kurt", "prescription01", "prescription02", "round", "sunglasses", "wayfarers"}),
    "beard": ("facialHair", {"beardLight", "beardMajestic", "beardMedium"}),
    "hat": ("top", {"hat", "hijab", "turban", "winterHat02", "winterHat03", "winterHat04", "winterHat1"}),
    "long hair": ("top", {
        "bigHair", "bob", "curly", "curvy", "longButNotTooLong", "miaWallace", "straight01", "straight02", "straightAndStrand",
    }),
}  # fmt: skip


def with_the_run() -> None:
    """A process that draws goes on after Ctrl-C, since the run needs its batch to end the step and save. It ends when the run does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()  # type: ignore[union-attr]


@cache
def _style(style: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """A style's art, and for each drawn part its variants or colours, whose place in the list is the label."""
    definition = json.loads(files("dicebear_styles").joinpath(f"{style}.json").read_text("utf-8"))
    # Value 0 is "not there", and a part of which there is only one kind says nothing.
    parts = {f"{part}Variant": ["", *sorted(of["variants"])] for part, of in definition["components"].items()}
    parts |= {f"{part}Color": ["", *of["values"]] for part, of in definition["colors"].items()}
    parts["backgroundColor"] = ["", *(f"#{colour}" for colour in BACKGROUNDS)]
    return definition, {part: values for part, values in sorted(parts.items()) if len(values) > 2}


@cache
def _art(style: str) -> Any:
    """The art as DiceBear wants it: a second to load the library, half a second to check; only who draws waits for it."""
    from dicebear import Style

    return Style(_style(style)[0])


def attribute_names(name: str) -> tuple[str, ...]:
    """What the columns of the labels mean: attributes with two values first, then the parts as they were drawn."""
    return (*(GROUPS if STYLES[name] == "avataaars" else ()), "mirrored", "leans right", *_style(STYLES[name])[1])


def draw_one(seed: str, name: str, sizes: tuple[int, ...]) -> tuple[list[np.ndarray], list[int]]:
    """One face: uint8 [H, W, 3] for each size, or [H, W, 1] of `sketches`, and its attributes."""
    import resvg_py
    from dicebear import Avatar

    style, pen = STYLES[name], PEN if name == "sketches" else None
    parts, avataaars = _style(style)[1], style == "avataaars"
    avatar = Avatar(_art(style), {"seed": seed, **(OPTIONS if avataaars else POSE)}).to_json()
    drawn = avatar["options"]
    render = partial(resvg_py.svg_to_bytes, svg_string=avatar["svg"], skip_system_fonts=True, style_sheet=pen)
    pngs = [render(width=size, height=size) for size in sizes]
    values = {part: drawn.get(part) or "" for part in parts}
    values = {part: value[0] if isinstance(value, list) else value for part, value in values.items()}
    groups = GROUPS.values() if avataaars else ()
    attributes = [int(values[f"{part}Variant"] in members) for part, members in groups]
    attributes += [int(drawn["flip"] == "horizontal"), int(drawn["rotate"] > 0)]
    attributes += [known.index(values[part]) for part, known in parts.items()]
    pictures = (Image.open(io.BytesIO(png)).convert("L" if pen else "RGB") for png in pngs)
    return [np.atleast_3d(np.asarray(picture)) for picture in pictures], attributes
