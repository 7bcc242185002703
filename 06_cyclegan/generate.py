"""Use two trained translators: on held-out pictures or your own, from the shipped weights or from a run of yours.

python 06_cyclegan/generate.py                                    # held-out pictures: picture, translation, way back
python 06_cyclegan/generate.py my_pictures/photo.png              # your own picture, or several, or a folder of them
python 06_cyclegan/generate.py my_pictures/map.png --direction BtoA   # the other way
python 06_cyclegan/generate.py my_pictures/photo.png --strip      # and a strip: picture, translation, way back
python 06_cyclegan/generate.py --interpolate                      # and a GIF that fades from picture to translation
python 06_cyclegan/generate.py --score                            # against the true pairs, and what the way back lives on
python 06_cyclegan/generate.py --onnx                             # and both generators as ONNX, for programs without PyTorch
python 06_cyclegan/generate.py --weights runs/06_cyclegan/TIME/weights.safetensors
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, rgb_to_grayscale, to_pil_image

from common import images, relative, require
from common.checkpoint import StoredSettings, load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.data import open_picture, own_pictures
from common.devices import one_device
from common.onnx import save_onnx
from model import Generator, UNet
from scores import held_out, report

CHAPTER = "06_cyclegan"
HERE = Path(__file__).resolve().parent
Translator = Generator | UNet
LEAST, MOST = 16, 1024  # pixels of a picture's sides while it is translated


@dataclass
class Config(Flags):
    """Translations, ways back and scores from the trained translators of chapter 06."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("size", "data")
    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()  # yours, or folders of them; default: held-out ones
    direction: Literal["AtoB", "BtoA"] = "AtoB"  # of your own pictures, from kind A to kind B or back
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    strip: bool = False  # beside each translation of yours also a strip: picture, translation, way back
    size: int | None = None  # translate your pictures at so many pixels of the shorter side; held-out ones are square
    num: PositiveInt | None = None  # held-out pictures of each kind: 10 to see (at most 40), 5,000 to score
    interpolate: bool = False  # also write a GIF that fades from held-out pictures to their translations and back
    score: bool = False  # also score held-out pictures (5,000, or --num), by the true ones where there are pairs
    data: str = ""  # where the held-out pictures come from; default: the data of the training
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generators(path: Path = HERE / "weights.safetensors") -> tuple[Translator, Translator, StoredSettings]:
    """The translators to B and to A in eval mode, and the settings stored beside their weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    unet = settings.get("generator") == "unet"  # older files, such as satellite-map, do not say these
    build = {name: settings[name] for name in ("channels", "width", "size" if unet else "blocks")}
    build["upsampling"] = settings.get("upsampling", "transposed")
    build["norm"] = {True: "instance", False: "none"}.get(settings["norm"], settings["norm"])
    both: list[Translator] = [UNet(**build) if unet else Generator(**build) for _ in range(2)]
    for name, generator in zip(("to_b.", "to_a."), both):
        own = {key.removeprefix(name): value.float() for key, value in tensors.items() if key.startswith(name)}
        load_state(generator, own, str(path))
        generator.eval().requires_grad_(False)
    return both[0], both[1], settings


def strip(generators: tuple[Callable[..., Tensor], Callable[..., Tensor]], pictures: Tensor) -> Tensor:
    """Pictures, their translations, and the ways back, one below the other: [N, C, H, W] -> [3 N, C, H, W]."""
    there, back = generators
    fake = there(pictures)
    return torch.cat([pictures, fake, back(fake, made=True)])


def fade(first: Tensor, second: Tensor, steps: int = 6, hold: int = 5) -> list[Tensor]:
    """Frames that hold the first pictures [N, C, H, W], fade to the second, hold those, and fade back."""
    shares = [i / steps for i in range(1, steps)]
    return [torch.lerp(first, second, t) for t in [0.0] * hold + shares + [1.0] * hold + shares[::-1]]


def read_own(path: Path, side: int | None, white: int = 0) -> tuple[Image.Image, Tensor, str]:
    """A whole picture of any shape and format, the same as float [1, 3, H, W] to translate, and what was done to its size.

    `side` is the shorter one's pixels while it is translated; None: as it is, if it is neither tiny nor huge. Raises `UserError`.
    """
    picture = open_picture(path, white=white)
    short, long = sorted(picture.size)
    factor = side / short if side else min(max(LEAST / short, 1.0), MOST / long)
    width, height = (max(LEAST, round(factor * pixels)) for pixels in picture.size)
    fits = max(width, height) <= 4 * MOST
    require(fits, f"{path} is too narrow: at a shorter side of {min(width, height)} it is {width}×{height} pixels")
    seen = picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.LANCZOS)
    done = f"{path.name}: {picture.width}×{picture.height} pixels"
    done += "" if seen is picture else f", translated at {width}×{height}"
    done += f", {white} is white" if white else ""
    return picture, images.to_float(pil_to_tensor(seen)[None]), done


def whole(generator: Translator, pictures: Tensor, made: bool = False) -> Tensor:
    """Translations of pictures [N, C, H, W] of any sides: what is missing to multiples of its stride is repeated border, and cut off."""
    height, width = pictures.shape[2:]
    padded = F.pad(pictures, (0, -width % generator.stride, 0, -height % generator.stride), mode="replicate")
    return generator(padded, made)[..., :height, :width]


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """Both translators as ONNX, for true pictures [N, C, H, W] -> translations [N, C, H, W]. See `save_onnx`."""
    *both, settings = load_generators(weights)
    x = torch.zeros(2, int(settings["channels"]), int(settings["size"]), int(settings["size"]))
    names = ("to_b", "to_a")
    files = [save_onnx(folder / f"{n}.onnx", g, {"x": x}, "pictures", settings) for n, g in zip(names, both)]
    return files[0] + files[1]


@torch.no_grad()
def main(config: Config) -> None:
    device = one_device(config.accelerator)
    require(not (config.interpolate and config.pictures), "--interpolate shows held-out pictures: leave your own away")
    to_b, to_a, settings = load_generators(config.weights)
    to_b.to(device), to_a.to(device)
    size, channels, written = config.size or int(settings["size"]), int(settings["channels"]), []
    reading = settings.reading | {"channels": channels}
    require(config.size is None or LEAST <= size <= MOST, f"--size must lie from {LEAST} to {MOST}, not {size}")
    require(
        config.pictures or size % to_b.stride == 0, f"--size must be divisible by {to_b.stride} for held-out pictures"
    )

    if config.pictures:
        ways = {"AtoB": (to_b, to_a), "BtoA": (to_a, to_b)}[config.direction]
        white = settings.white("AB".index(config.direction[0]))
        given = own_pictures(config.pictures, white)
        taken = {path.resolve() for path in given}  # what is read is not written over
        known = size if settings["data"] == "sketches" or isinstance(to_b, UNet) else None  # a face fills its picture
        side = config.size or known  # and a U-Net sees all of it
        for path in given:
            picture, seen, done = read_own(path, side, white)
            seen = seen if channels == 3 else rgb_to_grayscale(seen)
            print(done)
            there, back = (partial(whole, way) for way in ways)
            rows = strip((there, back), seen.to(device)).cpu()
            translation = to_pil_image(images.to_uint8(rows[1]))
            if translation.size != picture.size:
                translation = translation.resize(picture.size, Image.Resampling.LANCZOS)
            beside = images.grid(rows, 3, scale=max(1, 256 // max(seen.shape[2:])))
            for sheet, kind in ((translation, ""), *([(beside, "_strip")] if config.strip else [])):
                file, again = config.file(f"{path.stem}_{config.direction}{kind}.png"), 2
                while file.resolve() in taken:  # photo.jpg beside photo.png, or the same name elsewhere
                    file, again = config.file(f"{path.stem}_{config.direction}{kind}_{again}.png"), again + 1
                taken.add(file.resolve())
                written.append(images.save_picture(sheet, file))
    else:
        both = held_out(config.data or str(settings["data"]), size, min(config.num or 10, 40), **reading)
        shown, parts = min(len(pile) for pile in both), []
        for pile, ways in zip(both, ((to_b, to_a), (to_a, to_b))):
            parts.append(strip(ways, pile[:shown].to(device)))
        print("rows: of A the pictures, their translations and the ways back; then the same of B")
        sheet = images.grid(torch.cat(parts), shown, scale=max(1, 128 // size))
        written.append(images.save_picture(sheet, config.file("strips.png")))
        if config.interpolate:
            some = min(shown, 5)
            ends = [torch.cat([part[start : start + some] for part in parts]) for start in (0, shown)]
            frames = [images.grid(frame, some, scale=max(1, 64 // size)) for frame in fade(*ends)]
            written.append(images.save_gif(frames, config.file("interpolation.gif"), 0.1))

    if config.score:
        scored = config.data or str(settings["data"])
        text, numbers = report(to_b.cpu(), to_a.cpu(), scored, int(settings["size"]), config.num, **reading)
        print(text)
        written.append(write_atomically(config.file("score.json"), json.dumps(numbers, indent=1).encode()))
    if config.onnx:
        written += write_onnx(config.out, config.weights)

    print("\n".join(f"wrote {relative(path)}" for path in written))


if __name__ == "__main__":
    command_line(main, Config)
