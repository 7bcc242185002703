"""Use a trained conditional generator: from the shipped weights, or from a run of your own.

python 04_conditional_gan/generate.py                             # 10 × 10 pictures: a class a column, a latent a row
python 04_conditional_gan/generate.py --label 7                   # a grid of 64 sevens
python 04_conditional_gan/generate.py --truncation 0.7            # z cut off at ±0.7; docs/trials.md has what that costs
python 04_conditional_gan/generate.py --interpolate               # and a walk from class to class, as a GIF and a still
python 04_conditional_gan/generate.py --neighbours                # and the nearest training picture of each sample
python 04_conditional_gan/generate.py --score                     # asked-for class, variety, and the score of 5,000 digits
python 04_conditional_gan/generate.py --onnx                      # and the generator as ONNX, for programs without PyTorch
python 04_conditional_gan/generate.py --weights runs/04_conditional_gan/TIME/weights.safetensors
"""

import json
import math
import sys
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import images, relative, require
from common.checkpoint import StoredSettings, load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.devices import one_device
from common.onnx import save_onnx
from common.scores import beside_nearest, has_classifier, judge
from model import Generator
from scores import class_report

CHAPTER = "04_conditional_gan"
HERE = Path(__file__).resolve().parent


@dataclass
class Config(Flags):
    """Pictures, walks and scores from a trained generator of chapter 04."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("label", "truncation")  # these go into names of files: see `Flags.file`
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    label: str | None = None  # the class to draw, by name or number; default: all of them, one a column
    truncation: float | None = None  # draw z again wherever a number is beyond this; default: keep z as it is
    num: PositiveInt | None = None  # pictures; default: 64 of one class, ten of each class, or 5,000 to score
    separate: bool = False  # also write each picture into a file of its own, as the scores of other programs want them
    interpolate: bool = False  # also write a GIF and a still that walk from class to class at fixed z
    neighbours: bool = False  # also write 16 samples above their nearest training pictures
    score: bool = False  # also score, beside the floor and blurred real pictures
    inception: bool = False  # score with the published FID, KID and IS (needs their network on this machine)
    data: str = ""  # the training pictures (for --neighbours and --score); default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generator(path: Path = HERE / "weights.safetensors") -> tuple[Generator, StoredSettings]:
    """The trained generator in eval mode, and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    build = {name: settings[name] for name in ("condition", "classes", "latent_dim", "width", "shape", "batch_norm")}
    generator = Generator(**build | {"shape": tuple(build["shape"])})
    load_state(generator, tensors, str(path))
    return generator.eval().requires_grad_(False), settings


def find_label(text: str, names: list[str]) -> int:
    """The number of the class that `text` names; else `text` is the number itself. Raises `UserError` with the list."""
    numbers = {str(i): i for i in range(len(names))} | {name.lower(): i for i, name in enumerate(names)}
    known = ", ".join(name if name == str(i) else f"{i} {name}" for i, name in enumerate(names))
    if text in names:  # classes may differ in capitals alone
        return names.index(text)
    require(text.lower() in numbers, f"--label: there is no class {text!r}; the classes are {known}")
    return numbers[text.lower()]


def draw_latents(n: int, latent_dim: int, truncation: float | None, rng: torch.Generator) -> Tensor:
    """Standard normal latents [n, D]; each number beyond ±truncation is drawn again until none is (arXiv:1809.11096)."""
    z = torch.randn(n, latent_dim, generator=rng)
    while truncation is not None and (beyond := z.abs() > truncation).any():
        z[beyond] = torch.randn(int(beyond.sum()), generator=rng)
    return z


def walk(generator: Generator, z: Tensor, first: int, second: int, steps: int) -> Tensor:
    """Pictures [steps, N, C, H, W] at fixed latents z [N, D]: the two classes' rows of every table are mixed in between."""
    start, end = F.one_hot(torch.tensor([first, second], device=z.device), generator.classes).to(z)  # [K], [K]
    weights = [torch.lerp(start, end, i / (steps - 1)).expand(len(z), -1) for i in range(steps)]
    return torch.stack([generator(z, mixture) for mixture in weights])


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """The trained generator as ONNX: z [N, D] and shares of the classes [N, K] -> pictures [N, C, H, W].

    A row with a single 1 asks for that class, and other shares are a place between classes. See `save_onnx`.
    """
    generator, settings = load_generator(weights)
    inputs = {"z": torch.zeros(2, generator.latent_dim), "labels": torch.zeros(2, generator.classes)}
    return save_onnx(folder / "generator.onnx", generator, inputs, "pictures", settings)


@torch.no_grad()
def main(config: Config) -> None:
    device, scoring = one_device(config.accelerator), config.score or config.inception
    far = config.truncation is None or config.truncation >= 0.05  # below, nearly every draw would be thrown away
    require(far, f"--truncation must be at least 0.05, not {config.truncation}")
    require(not (scoring and config.label), "a score is of all classes together: leave --label away")
    generator, settings = load_generator(config.weights)
    classes = generator.to(device).classes

    def latents(n: int) -> Tensor:
        rng = torch.Generator().manual_seed(config.seed)
        return draw_latents(n, generator.latent_dim, config.truncation, rng).to(device)

    def draw(z: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([generator(*part) for part in zip(z.split(100), labels.to(device).split(100), strict=True)])

    if config.label is None:
        num = 10 * classes if scoring or config.num is None else config.num
        z, labels = latents(math.ceil(num / classes)).repeat_interleave(classes, 0), torch.arange(num) % classes
        columns = classes
    else:
        num, label = config.num or 64, find_label(config.label, settings["names"])
        z, labels = latents(num), torch.full((num,), label)
        columns = min(8, num)
        config.label = settings["names"][label]  # the class's name, also where its number was given
    fake = draw(z[:num], labels)
    written = images.save_all(fake, config.file("grid.png"), columns, 2, config.separate)

    if config.interpolate:
        pairs, z = [(label, (label + 1) % classes) for label in range(classes)], latents(8)
        frames = torch.cat([walk(generator, z[:4], *pair, steps=10)[:-1] for pair in pairs])  # [F, 4, C, H, W]
        gif = [images.grid(frame, 4, scale=3) for frame in frames]
        written.append(images.save_gif(gif, config.file("interpolation.gif")))
        still = torch.cat([walk(generator, z[i : i + 1], *pair, steps=12)[:, 0] for i, pair in enumerate(pairs[:8])])
        written.append(images.save_picture(images.grid(still, 12, scale=2), config.file("interpolation.png")))

    trained_on = config.data or str(settings["data"])
    if config.neighbours:
        samples = draw(latents(16), torch.arange(16) % classes if config.label is None else labels[:1].repeat(16))
        both = beside_nearest(samples, trained_on, **settings.reading)
        written.append(images.save_picture(images.grid(both, 16, scale=2), config.file("neighbours.png")))

    if scoring:
        labels = torch.arange(5000 if config.num is None else config.num) % classes
        pictures = draw(latents(len(labels)), labels).cpu()
        text, numbers = judge(pictures, trained_on, config.inception, **settings.reading)
        if not config.inception and has_classifier(trained_on):
            more, own = class_report(images.to_uint8(pictures), labels, trained_on)
            text, numbers = f"{text}\n{more}", numbers | own
        print(text)
        written.append(write_atomically(config.file("score.json"), json.dumps(numbers, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights)

    print("\n".join(f"wrote {relative(path)}" for path in written))


if __name__ == "__main__":
    command_line(main, Config)
