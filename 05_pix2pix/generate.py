"""Use a trained translator: from the shipped weights, or from a run of your own.

python 05_pix2pix/generate.py                             # test drawings: drawing, answer and truth in three rows
python 05_pix2pix/generate.py my_drawing.png              # colour a drawing of yours, of any size and format, or a folder of them
python 05_pix2pix/generate.py my_photo.jpg --clean        # a photograph of a pencil drawing
python 05_pix2pix/generate.py my_drawing.png --num 6      # six answers to one drawing
python 05_pix2pix/generate.py --interpolate               # drawings that appear line by line, and their colours, as a GIF
python 05_pix2pix/generate.py --score                     # distances to the truth, detail, lattice and FCD on test pairs
python 05_pix2pix/generate.py --onnx                      # and the generator as ONNX, for programs without PyTorch
python 05_pix2pix/generate.py --weights 05_pix2pix/satellite-to-map.safetensors   # or a run's weights.safetensors
"""

import json
import sys
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import tyro
from PIL import Image, ImageOps
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, resize, rgb_to_grayscale, to_pil_image

from common import images, relative, require
from common.checkpoint import StoredSettings, load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.data import load_pairs, open_picture, own_pictures, spread
from common.devices import one_device
from common.images import to_float
from common.onnx import save_onnx
from common.scores.tables import MIN_PICTURES
from drawing import prepare
from model import Generator
from scores import compare, references, table

CHAPTER = "05_pix2pix"
HERE = Path(__file__).resolve().parent


@dataclass
class Config(Flags):
    """Translate pictures, look at test pairs, and score, with a trained generator of chapter 05."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("data", "clean", "whole")
    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()  # pictures of yours, or folders of them; default: test pairs
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    clean: bool = False  # your drawings are photographs: paper to white, lines to black, the drawing cut out
    whole: bool = False  # translate your pictures whole (not drawings), not only the middle square
    num: PositiveInt | None = None  # answers to your picture (1); test pairs to see (8, at most 16), to score (5,000)
    interpolate: bool = False  # also write a GIF: drawings that appear, or a flight over a test region of satellite-map
    score: bool = False  # also score, beside the mean training picture and the blurred truth
    data: str = ""  # the pairs to look at or score; default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generator(path: Path = HERE / "weights.safetensors") -> tuple[Generator, StoredSettings]:
    """The trained generator in eval mode (its noise stays on), and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    build = {name: settings[name] for name in ("size", "width", "channels", "norm", "dropout", "skips", "upsampling")}
    # Older files, such as satellite-to-map, lack these two.
    build |= {"noise": settings.get("noise", "numbers"), "full_size": settings.get("full_size", False)}
    generator = Generator(**build)
    load_state(generator, tensors, str(path))
    return generator.eval().requires_grad_(False), settings


def translate(generator: Generator, x: Tensor) -> Tensor:
    """Pictures float [N, C, H, W] in [-1, 1] -> their translations, in portions that fit in memory."""
    return torch.cat([generator(part) for part in x.split(64)])


def read_own(path: Path, size: int, whole: bool, drawn: bool, clean: bool, white: int = 0) -> tuple[Tensor, str]:
    """A picture of any size and format: uint8 [3, H, W] that the generator takes, and what was done to it. Raises `UserError`.

    The generator halves a picture log2(size) times, so both sides have to be multiples of `size`. That is the middle square at
    the size of the training, or with `whole` the nearest multiples for the picture as it is. For a drawing see `prepare`.
    """
    picture = open_picture(path, white=white)
    width, height = picture.size
    if drawn:
        picture, steps = prepare(picture, size, clean)
        picture, done = picture.convert("RGB"), ", ".join([*steps, f"resized to {size}×{size}"])
    elif whole:
        wide, high = (max(size, round(side / size) * size) for side in (width, height))
        picture, done = picture.resize((wide, high), Image.Resampling.LANCZOS), f"translated at {wide}×{high}"
    else:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        done = f"its middle {min(width, height)}×{min(width, height)} resized to {size}×{size}"
        done += "; if it is a pair side by side, give its half alone" if width == 2 * height else ""
    done += f", {white} is white" if white else ""
    return pil_to_tensor(picture), f"{path}: {width}×{height}, {done}"


def appearing(generator: Generator, drawings: Tensor, frames: int) -> list[Tensor]:
    """Drawings [N, C, S, S] that appear from above on white paper, and their answers, all with one noise: [2 N, C, S, S] each."""
    row, seed, found = torch.arange(drawings.shape[-1], device=drawings.device)[:, None], torch.initial_seed(), []
    for end in torch.linspace(0, drawings.shape[-1], frames).long().tolist():
        torch.manual_seed(seed)
        part = drawings.where(row < end, 1.0)
        found.append(torch.cat([part, translate(generator, part)]).cpu())
    return found


def flight(
    generator: Generator, sides: tuple[int, int], size: int, channels: int, column: int, frames: int
) -> list[Tensor]:
    """Windows [3, C, size, size] (input, output, truth) that move from 60°N to 60°S over a band of longitude."""
    from common.data.satellite import NORTH, SOUTH, pixels_cut, world

    cut, pictures = pixels_cut(size), world()
    rows = torch.linspace(NORTH, SOUTH - cut, frames).long().tolist()
    windows = [
        torch.stack([torch.from_numpy(p[r : r + cut, column : column + cut].copy()) for p in pictures]) for r in rows
    ]
    both = resize(torch.stack(windows).permute(0, 1, 4, 2, 3), [size, size], antialias=True)  # [F, 2, 3, S, S]
    both = to_float(both if channels == 3 else rgb_to_grayscale(both))  # [F, 2, C, S, S]
    x, y = both[:, sides[0]], both[:, sides[1]]
    return list(torch.stack([x, translate(generator, x), y], dim=1))


class WithNoise(torch.nn.Module):
    """A generator whose noise comes from outside: x [N, C, H, W] and numbers from [0, 1).

    These are [N, F, 1, 1] for each layer of dropout, or [N, F, h, w] where the paper's drops single numbers.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, x: Tensor, noise: list[Tensor]) -> Tensor:
        left = iter(noise)

        def dropout(x: Tensor, p: float, training: bool) -> Tensor:
            return x * (next(left) >= p).to(x) / (1 - p)

        with patch.multiple(torch.nn.functional, dropout=dropout, dropout2d=dropout):
            return self.generator(x)


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """The trained generator as ONNX. Other noise gives another answer to the same picture. See `WithNoise` and `save_onnx`."""
    generator, settings = load_generator(weights)
    x = torch.zeros(2, settings["channels"], settings["size"], settings["size"])
    noise: list[Tensor] = []

    def watched(x: Tensor, p: float, training: bool) -> Tensor:
        noise.append(torch.zeros_like(x[:, :, :1, :1] if generator.noise == "maps" else x))
        return x

    with patch.multiple(torch.nn.functional, dropout=watched, dropout2d=watched):
        generator(x)  # to see where the noise enters
    return save_onnx(folder / "generator.onnx", WithNoise(generator), {"x": x, "noise": noise}, "pictures", settings)


@torch.no_grad()
def main(config: Config) -> None:
    device = one_device(config.accelerator)
    generator, settings = load_generator(config.weights)
    generator.to(device)
    size, channels = int(settings["size"]), int(settings["channels"])
    sides = (0, 1) if settings["direction"] == "AtoB" else (1, 0)
    colours = settings["data"] == "sketches" and sides == (0, 1)  # from drawings to faces
    require(not config.clean or colours, "--clean is for drawings, and these weights translate other pictures")
    require(not config.whole or not colours, "--whole is not for drawings: faces fill the pictures that this learned")
    torch.manual_seed(config.seed)
    written = []

    white = settings.white(sides[0])
    given = own_pictures(config.pictures, white)
    taken = {path.resolve() for path in given}  # what is read is not written over
    for path in given:
        picture, done = read_own(path, size, config.whole, colours, config.clean, white)
        print(done)
        x = to_float(picture[None] if channels == 3 else rgb_to_grayscale(picture[None]))
        answers = translate(generator, x.expand(config.num or 1, -1, -1, -1).to(device)).cpu()
        pairs = images.grid(torch.cat([x, answers]), len(answers) + 1, scale=max(1, 256 // size))
        alone = to_pil_image(images.to_uint8(answers)[0])
        alone = alone.resize(open_picture(path, white=white).size, Image.Resampling.LANCZOS) if config.whole else alone
        for sheet, kind in ((alone, "translated"), (pairs, "beside")):
            file, again = config.file(f"{path.stem}_{kind}.png"), 2
            while file.resolve() in taken:  # photo.jpg beside photo.png, or the same name elsewhere
                file, again = config.file(f"{path.stem}_{kind}_{again}.png"), again + 1
            taken.add(file.resolve())
            written.append(images.save_picture(sheet, file))

    data = config.data or str(settings["data"])

    def test_pairs(most: int | None) -> tuple[Tensor, Tensor]:
        """Inputs and truths from all over the test pairs, at most 5,000."""
        pairs = load_pairs(data, size, "test", most, **settings.reading, channels=channels)
        found = pairs[spread(len(pairs), 5000)]
        return to_float(found[sides[0]]), to_float(found[sides[1]])

    if not config.pictures:
        x, y = test_pairs(min(config.num or 8, 16))
        rows = torch.cat([x, translate(generator, x.to(device)).cpu(), y])
        written.append(images.save_picture(images.grid(rows, len(x), scale=2), config.file("grid.png")))

    if config.interpolate:
        known = data in ("sketches", "satellite-map")
        require(known, f"--interpolate draws sketches, or flies over the world of satellite-map, not over {data}")
        if data == "sketches":
            frames = appearing(generator, test_pairs(4)[0].to(device), frames=17)
        else:
            # In China, from 103° east: inside a test region for windows of up to 256 pixels.
            frames = flight(generator.cpu(), sides, size, channels, column=4244, frames=26)
        columns = 4 if data == "sketches" else 3
        gif = [images.grid(frame, columns, scale=2) for frame in frames]
        written.append(images.save_gif(gif, config.file("interpolation.gif"), seconds_per_frame=0.2))
        still = images.grid(torch.cat([torch.stack(row) for row in zip(*frames[::4])]), len(frames[::4]), scale=2)
        written.append(images.save_picture(still, config.file("interpolation.png")))

    if config.score:
        x, y = test_pairs(config.num)
        faces = data == "sketches" and sides == (0, 1) and x.shape[1:] == (3, 64, 64) and len(x) >= MIN_PICTURES
        fake = translate(generator.to(device), x.to(device)).cpu()
        # Enough for the mean training picture.
        some = load_pairs(data, size, most=1000, **settings.reading, channels=channels)
        learned = to_float(some[list(range(len(some)))][sides[1]])
        found = {"pix2pix": compare(fake, y, faces)} | references(learned, y, faces)
        print(f"{len(x):,} test pairs of {data}, {settings['direction']}, weights of step {settings['step']}")
        print(table(found))
        written.append(write_atomically(config.file("score.json"), json.dumps(found, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights)

    print("\n".join(f"wrote {relative(path)}" for path in written))


if __name__ == "__main__":
    command_line(main, Config)
