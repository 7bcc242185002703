"""Use two trained translators: on held-out pictures or your own, from the shipped weights or from a run of yours.

python 06_cyclegan/generate.py                                    # held-out pictures: picture, translation, way back
python 06_cyclegan/generate.py my_pictures/photo.png              # your own picture, or several, or a folder of them
python 06_cyclegan/generate.py my_pictures/map.png --direction BtoA   # the other way: a map becomes a satellite picture
python 06_cyclegan/generate.py --interpolate                      # and a GIF that fades from picture to translation
python 06_cyclegan/generate.py --score                            # L1, PSNR and SSIM against the true pairs
python 06_cyclegan/generate.py --onnx                             # and the generator as ONNX, for programs without PyTorch
python 06_cyclegan/generate.py --weights runs/06_cyclegan/TIME/weights.safetensors
"""

import json
import sys
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import tyro
from PIL import Image, ImageOps
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import images, relative, require
from common.checkpoint import load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.data import load_unpaired, own_pictures, read_picture
from common.devices import one_device
from common.onnx import save_onnx
from model import Generator, check_size
from scores import report

CHAPTER = "06_cyclegan"
HERE = Path(__file__).resolve().parent


@dataclass
class Config(Flags):
    """Translations, ways back and scores from the trained translators of chapter 06."""

    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()  # yours, or folders of them; default: held-out ones
    direction: Literal["AtoB", "BtoA"] = "AtoB"  # of your own pictures; A is satellite, B is map in the shipped weights
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    size: int | None = None  # pixels per side, but not of what is scored; default: those of the training
    num: PositiveInt | None = None  # held-out pictures of each kind to show, at most 40; default: 10
    interpolate: bool = False  # also write a GIF that fades from held-out pictures to their translations and back
    score: bool = False  # also score all held-out pairs, beside references
    data: str = ""  # where the held-out pictures come from; default: the data of the training
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generators(path: Path = HERE / "weights.safetensors") -> tuple[Generator, Generator, dict[str, Any]]:
    """The translators to B and to A in eval mode, and the settings stored beside their weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    build = {name: settings[name] for name in ("channels", "width", "blocks", "norm")}
    both = Generator(**build), Generator(**build)
    for name, generator in zip(("to_b.", "to_a."), both):
        own = {key.removeprefix(name): value.float() for key, value in tensors.items() if key.startswith(name)}
        load_state(generator, own, str(path))
        generator.eval().requires_grad_(False)
    return *both, settings


def strip(generators: tuple[Generator, Generator], pictures: Tensor) -> Tensor:
    """Pictures, their translations, and the ways back, one below the other: [N, C, H, W] -> [3 N, C, H, W]."""
    there, back = generators
    fake = there(pictures)
    return torch.cat([pictures, fake, back(fake)])


def fade(first: Tensor, second: Tensor, steps: int = 6, hold: int = 5) -> list[Tensor]:
    """Frames that hold the first pictures [N, C, H, W], fade to the second, hold those, and fade back."""
    shares = [i / steps for i in range(1, steps)]
    return [torch.lerp(first, second, t) for t in [0.0] * hold + shares + [1.0] * hold + shares[::-1]]


def read_own(path: Path, size: int, channels: int) -> tuple[Tensor, str]:
    """A picture of any size and format as float [1, C, size, size], and what was done to its size. Raises `UserError`."""
    pixels = read_picture(path, size, channels)
    with Image.open(path) as opened:
        width, height = ImageOps.exif_transpose(opened).size
    side = min(width, height)
    cut = "" if width == height else f", of which the middle {side}×{side} were taken"
    done = f"{path.name}: {width}×{height} pixels{cut}" + (f", resized to {size}×{size}" if side != size else "")
    return images.to_float(pixels[None]), done


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """Both translators as ONNX: pictures [N, C, H, W] -> pictures [N, C, H, W]. See `save_onnx`."""
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
    check_size(size, layers=1)

    if config.pictures:
        ways = {"AtoB": (to_b, to_a), "BtoA": (to_a, to_b)}[config.direction]
        given = own_pictures(config.pictures)
        taken = {path.resolve() for path in given}  # what is read is not written over
        for path in given:
            picture, done = read_own(path, size, channels)
            print(done)
            row = images.grid(strip(ways, picture.to(device)), 3, scale=max(1, 256 // size))
            name, again = f"{path.stem}_{config.direction}.png", 2
            while (
                config.out / name
            ).resolve() in taken:  # photo.jpg beside photo.png, or the same name in another folder
                name, again = f"{path.stem}_{config.direction}_{again}.png", again + 1
            taken.add((config.out / name).resolve())
            written.append(images.save_picture(row, config.out / name))
    else:
        trained_on = config.data or str(settings["data"])
        piles = load_unpaired(trained_on, size, "test")
        rng = torch.Generator().manual_seed(config.seed)
        shown, parts = min(config.num or 10, 40, *(len(pile) for pile in piles)), []
        first = torch.randperm(min(len(pile) for pile in piles), generator=rng)[:shown].sort().values.tolist()
        for pile, ways in zip(piles, ((to_b, to_a), (to_a, to_b))):
            parts.append(strip(ways, images.to_float(pile.images[first]).to(device)))
        sheet = images.grid(torch.cat(parts), shown, scale=max(1, 128 // size))
        written.append(images.save_picture(sheet, config.out / "strips.png"))
        if config.interpolate:
            some = min(shown, 5)
            rows = [torch.cat([part[start : start + some] for part in parts]) for start in (0, shown)]
            frames = [images.grid(frame, some, scale=max(1, 64 // size)) for frame in fade(*rows)]
            written.append(images.save_gif(frames, config.out / "interpolation.gif", 0.1))

    if config.score:
        text, numbers = report(to_b.cpu(), to_a.cpu(), config.data or str(settings["data"]), int(settings["size"]))
        print(text)
        written.append(write_atomically(config.out / "score.json", json.dumps(numbers, indent=1).encode()))
    if config.onnx:
        written += write_onnx(config.out, config.weights)

    print("\n".join(f"wrote {relative(path)}" for path in written))


if __name__ == "__main__":
    command_line(main, Config)
