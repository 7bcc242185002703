"""Use a trained generator: from the shipped weights, or from a run of your own.

python 01_basic_gan/generate.py                                   # a grid of 64 digits
python 01_basic_gan/generate.py --interpolate                     # and a walk through the latent space, as a GIF
python 01_basic_gan/generate.py --neighbours                      # and the nearest training picture of each sample
python 01_basic_gan/generate.py --score                           # and the score of 5,000 digits
python 01_basic_gan/generate.py --onnx                            # and the generator as ONNX, for programs without PyTorch
python 01_basic_gan/generate.py --weights runs/01_basic_gan/TIME/weights.safetensors
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import images, relative
from common.checkpoint import StoredSettings, load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.devices import one_device
from common.onnx import save_onnx
from common.scores import beside_nearest, judge
from model import Generator

CHAPTER = "01_basic_gan"
HERE = Path(__file__).resolve().parent


@dataclass
class Config(Flags):
    """Pictures, walks and scores from a trained generator of chapter 01."""

    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    num: PositiveInt | None = None  # pictures; default: 64, or 5,000 to score
    separate: bool = False  # also write each picture into a file of its own, as the scores of other programs want them
    interpolate: bool = False  # also write a GIF that walks from latent to latent
    neighbours: bool = False  # also write 16 samples above their nearest training pictures
    score: bool = False  # also score, beside the floor and blurred real pictures
    inception: bool = False  # score with the published FID, KID and IS (needs their network on this machine)
    data: str = ""  # the training pictures (for --neighbours and --score); default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generator(path: Path = HERE / "weights.safetensors") -> tuple[Generator, StoredSettings]:
    """The trained generator in eval mode, and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    sizes = {name: settings[name] for name in ("latent_dim", "hidden", "shape", "batch_norm", "leaky_slope")}
    generator = Generator(**sizes | {"shape": tuple(sizes["shape"])})
    load_state(generator, tensors, str(path))
    return generator.eval().requires_grad_(False), settings


def slerp(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Walk on the sphere from latent `first` (t = 0) to `second` (t = 1), both [D], instead of straight through it.

    In many dimensions nearly all of a normal distribution lies at the distance sqrt(D) from the origin. The middle of a
    straight line is nearer, at sqrt(D / 2), where the generator has never been trained (arXiv:1609.04468).
    """
    omega = torch.arccos(torch.cosine_similarity(first, second, dim=0).clamp(-1, 1))
    if omega.sin() < 1e-3:  # parallel, as all latents of one number are: the straight line is the only way
        return torch.lerp(first, second, t)
    return (torch.sin((1 - t) * omega) * first + torch.sin(t * omega) * second) / torch.sin(omega)


def walk(generator: Generator, stops: Tensor, frames_per_stop: int = 12) -> Tensor:
    """Pictures [F, C, H, W] on a closed walk by `slerp` through the latents `stops` [S, D]."""
    latents = [
        slerp(first, second, frame / frames_per_stop)
        for first, second in zip(stops, stops.roll(-1, 0), strict=True)
        for frame in range(frames_per_stop)
    ]
    return generator(torch.stack(latents))


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """The trained generator as ONNX: z [N, D] -> pictures [N, C, H, W]. See `save_onnx`."""
    generator, settings = load_generator(weights)
    z = torch.zeros(2, generator.latent_dim)
    return save_onnx(folder / "generator.onnx", generator, {"z": z}, "pictures", settings)


def main(config: Config) -> None:
    device = one_device(config.accelerator)
    scoring = config.score or config.inception
    num = config.num if config.num is not None else (5000 if scoring else 64)
    generator, settings = load_generator(config.weights)
    generator.to(device)
    rng = torch.Generator().manual_seed(config.seed)
    z = torch.randn(max(num, 64), generator.latent_dim, generator=rng).to(device)  # --interpolate needs 32
    fake = torch.cat([generator(part) for part in z.split(100)])[:num]
    shown = fake if config.separate or not scoring else fake[:64]
    written = images.save_all(shown, config.file("grid.png"), scale=2, separate=config.separate)

    if config.interpolate:
        columns = [walk(generator, z[8 * column : 8 * column + 8]) for column in range(4)]  # four walks side by side
        frames = [images.grid(torch.stack(frame), columns=4, scale=3) for frame in zip(*columns, strict=True)]
        written.append(images.save_gif(frames, config.file("interpolation.gif")))

    trained_on = config.data or str(settings["data"])
    if config.neighbours:
        both = beside_nearest(fake[:16], trained_on, **settings.reading)
        written.append(images.save_picture(images.grid(both, len(fake[:16]), scale=2), config.file("neighbours.png")))

    if scoring:
        text, numbers = judge(fake, trained_on, config.inception, **settings.reading)
        print(text)
        written.append(write_atomically(config.file("score.json"), json.dumps(numbers, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights)

    for path in written:
        print(f"wrote {relative(path)}")


if __name__ == "__main__":
    command_line(main, Config)
