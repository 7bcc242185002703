"""Use a trained translator: from the shipped weights, or from a run of your own.

python 05_pix2pix/generate.py                             # test pairs: input, output and truth in three rows
python 05_pix2pix/generate.py my_photo.png                # translate a picture of yours, of any size and format, or a folder
python 05_pix2pix/generate.py my_photo.png --whole        # all of it at its own size, not only the middle square
python 05_pix2pix/generate.py --interpolate               # a flight from north to south over a test region, as a GIF and a still
python 05_pix2pix/generate.py --score                     # L1, PSNR, SSIM and detail on the test pairs
python 05_pix2pix/generate.py --onnx                      # and the generator as ONNX, for programs without PyTorch
python 05_pix2pix/generate.py --weights runs/05_pix2pix/TIME/weights.safetensors
"""

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import tyro
from PIL import Image, ImageOps
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from common import images, relative, require
from common.checkpoint import load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.data import load_pairs, open_picture, own_pictures
from common.devices import one_device
from common.images import to_float
from common.onnx import save_onnx
from model import Generator
from scores import compare, references, table

CHAPTER = "05_pix2pix"
HERE = Path(__file__).resolve().parent


@dataclass
class Config(Flags):
    """Translate pictures, look at test pairs, and score, with a trained generator of chapter 05."""

    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()  # pictures of yours, or folders of them; default: test pairs
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    whole: bool = False  # translate your pictures whole, not only the middle square at the size of the training
    num: PositiveInt | None = None  # test pairs; default: 8 to look at, all of them to score
    interpolate: bool = False  # also write a flight over a test region (satellite-map only), as a GIF and a still
    score: bool = False  # also score, beside the mean training picture and the blurred truth
    data: str = ""  # the pairs to look at or score; default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generator(path: Path = HERE / "weights.safetensors") -> tuple[Generator, dict[str, Any]]:
    """The trained generator in eval mode (its noise stays on), and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    build = {name: settings[name] for name in ("size", "width", "channels", "norm", "dropout", "skips")}
    generator = Generator(**build)
    load_state(generator, tensors, str(path))
    return generator.eval().requires_grad_(False), settings


def translate(generator: Generator, x: Tensor) -> Tensor:
    """Pictures float [N, C, H, W] in [-1, 1] -> their translations, in portions that fit in memory."""
    return torch.cat([generator(part) for part in x.split(64)])


def read_own(path: Path, size: int, whole: bool) -> tuple[Tensor, str]:
    """A picture of any size and format: uint8 [3, H, W] that the generator takes, and what was done to it. Raises `UserError`.

    The generator halves a picture log2(size) times, so both sides have to be multiples of `size`. That is the middle square at
    the size of the training, or with `whole` the nearest multiples for the picture as it is.
    """
    picture = open_picture(path)
    width, height = picture.size
    if whole:
        wide, high = (max(size, round(side / size) * size) for side in (width, height))
        picture, done = picture.resize((wide, high), Image.Resampling.LANCZOS), f"resized to {wide}×{high}"
    else:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        done = f"its middle {min(width, height)}×{min(width, height)} resized to {size}×{size}"
    return pil_to_tensor(picture), f"{path}: {width}×{height}, {done}"


def flight(generator: Generator, sides: tuple[int, int], size: int, column: int, frames: int) -> list[Tensor]:
    """Windows [3, C, size, size] (input, output, truth) that move from 60°N to 60°S over a band of longitude."""
    from common.data.satellite import NORTH, SOUTH, pixels_cut, world

    cut, pictures = pixels_cut(size), world()
    rows = torch.linspace(NORTH, SOUTH - cut, frames).long().tolist()
    windows = [
        torch.stack([torch.from_numpy(p[r : r + cut, column : column + cut].copy()) for p in pictures]) for r in rows
    ]
    both = to_float(
        resize(torch.stack(windows).permute(0, 1, 4, 2, 3), [size, size], antialias=True)
    )  # [F, 2, 3, S, S]
    x, y = both[:, sides[0]], both[:, sides[1]]
    return list(torch.stack([x, translate(generator, x), y], dim=1))


class WithNoise(torch.nn.Module):
    """A generator whose noise comes from outside: x [N, C, H, W] and numbers from [0, 1), for each layer of dropout [N, F, h, w]."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: Tensor, noise: list[Tensor]) -> Tensor:
        left = iter(noise)

        def dropout(x: Tensor, p: float, training: bool) -> Tensor:
            return x * (next(left) >= p).to(x) / (1 - p)

        with patch.object(torch.nn.functional, "dropout", dropout):
            return self.generator(x)


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """The trained generator as ONNX. Other noise gives another answer to the same picture. See `WithNoise` and `save_onnx`."""
    generator, settings = load_generator(weights)
    x = torch.zeros(2, settings["channels"], settings["size"], settings["size"])
    noise: list[Tensor] = []

    def watched(x: Tensor, p: float, training: bool) -> Tensor:
        noise.append(torch.zeros_like(x))
        return x

    with patch.object(torch.nn.functional, "dropout", watched):
        generator(x)  # to see where the noise enters
    return save_onnx(folder / "generator.onnx", WithNoise(generator), {"x": x, "noise": noise}, "pictures", settings)


@torch.no_grad()
def main(config: Config) -> None:
    device = one_device(config.accelerator)
    generator, settings = load_generator(config.weights)
    generator.to(device)
    size, sides = int(settings["size"]), (0, 1) if settings["direction"] == "AtoB" else (1, 0)
    torch.manual_seed(config.seed)
    written = []

    given = own_pictures(config.pictures)
    taken = {path.resolve() for path in given}  # what is read is not written over
    for path in given:
        picture, done = read_own(path, size, config.whole)
        print(done)
        fake = translate(generator, to_float(picture[None]).to(device)).cpu()
        name, again = f"{path.stem}_translated.png", 2
        while (config.out / name).resolve() in taken:  # photo.jpg beside photo.png, or the same name in another folder
            name, again = f"{path.stem}_translated_{again}.png", again + 1
        taken.add((config.out / name).resolve())
        written.append(
            images.save_picture(Image.fromarray(images.to_uint8(fake)[0].permute(1, 2, 0).numpy()), config.out / name)
        )

    name = config.data or str(settings["data"])
    if not config.pictures or config.score:
        test = load_pairs(name, size, "test")
        x, y = (to_float((test.a, test.b)[side]) for side in sides)
    if not config.pictures:
        shown = torch.linspace(0, len(x) - 1, min(config.num or 8, len(x))).long()
        rows = torch.cat([x[shown], translate(generator, x[shown].to(device)).cpu(), y[shown]])
        written.append(images.save_picture(images.grid(rows, len(shown), scale=2), config.out / "grid.png"))

    if config.interpolate:
        require(name == "satellite-map", f"--interpolate flies over the world of satellite-map, not over {name}")
        frames = flight(generator.cpu(), sides, size, column=4300, frames=26)  # in China, at 107° east: a test region
        gif = [images.grid(frame, 3, scale=2) for frame in frames]
        written.append(images.save_gif(gif, config.out / "flight.gif", seconds_per_frame=0.25))
        still = torch.cat([torch.stack(list(row)) for row in zip(*frames[::3])])
        written.append(images.save_picture(images.grid(still, len(frames[::3]), scale=2), config.out / "flight.png"))

    if config.score:
        n = min(config.num or len(x), len(x))
        some = torch.linspace(0, len(x) - 1, n).long()  # from all over the test regions
        fake = translate(generator.to(device), x[some].to(device)).cpu()
        train = load_pairs(name, size)
        found = {"pix2pix": compare(fake, y[some])} | references(to_float((train.a, train.b)[sides[1]]), y[some])
        sample = f" (a sample of {len(x)})" if n < len(x) else ""
        print(f"{n} test pairs{sample} of {name}, {settings['direction']}, weights of step {settings['step']}")
        print(table(found))
        written.append(write_atomically(config.out / "score.json", json.dumps(found, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights)

    print("\n".join(f"wrote {relative(path)}" for path in written))


if __name__ == "__main__":
    command_line(main, Config)
