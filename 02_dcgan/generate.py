"""Use a trained generator: from the shipped weights, or from a run of your own.

python 02_dcgan/generate.py                                   # a grid of 64 faces
python 02_dcgan/generate.py --interpolate                     # and a walk through the latent space, as a GIF
python 02_dcgan/generate.py --attribute glasses               # and faces before and after "plus glasses"
python 02_dcgan/generate.py --neighbours                      # and the nearest training picture of each sample
python 02_dcgan/generate.py --score                           # and the score of 5,000 faces
python 02_dcgan/generate.py --onnx                            # and the generator as ONNX, for programs without PyTorch
python 02_dcgan/generate.py --weights runs/02_dcgan/TIME/weights.safetensors
"""

import json
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
from common.data import load
from common.devices import one_device
from common.onnx import save_onnx
from common.scores import beside_nearest, embed, judge, yardstick
from model import Generator

CHAPTER = "02_dcgan"
HERE = Path(__file__).resolve().parent


@dataclass
class Config(Flags):
    """Pictures, walks, vector arithmetic and scores from a trained generator of chapter 02."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("ema", "strength")  # these go into names of files: see `Flags.file`
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    num: PositiveInt | None = None  # pictures; default: 64, 4,000 to look for an --attribute in, or 5,000 to score
    ema: bool = True  # draw with the averaged weights; --no-ema: with those of the last step
    separate: bool = False  # also write each picture into a file of its own, as the scores of other programs want them
    interpolate: bool = False  # also write a GIF that walks from latent to latent
    attribute: str = ""  # also add this attribute (glasses, beard, hat, ...) to eight faces, by a vector in z
    strength: float = 3.0  # how far along that vector; z itself is about 10 long
    neighbours: bool = False  # also write 16 samples above their nearest training pictures
    score: bool = False  # also score, beside the floor and blurred real pictures
    inception: bool = False  # score with the published FID, KID and IS (needs their network on this machine)
    data: str = ""  # the training pictures (for --neighbours and --score); default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def load_generator(path: Path = HERE / "weights.safetensors", ema: bool = True) -> tuple[Generator, StoredSettings]:
    """The trained generator in eval mode, and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    sizes = {name: settings[name] for name in ("latent_dim", "width", "shape", "attention", "upsampling", "without")}
    uniform_z = settings.get("uniform_z", False)  # files older than this setting do not have it
    generator = Generator(**sizes | {"shape": tuple(sizes["shape"]), "uniform_z": uniform_z})
    kind = "averaged." if ema else "raw."
    load_state(
        generator, {name.removeprefix(kind): t for name, t in tensors.items() if name.startswith(kind)}, str(path)
    )
    return generator.eval().requires_grad_(False).to(memory_format=torch.channels_last), settings


def slerp(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Walk on the sphere from latent `first` (t = 0) to `second` (t = 1), both [D]: see chapter 01."""
    omega = torch.arccos(torch.cosine_similarity(first, second, dim=0).clamp(-1, 1))
    if omega.sin() < 1e-3:  # parallel, as all latents of one number are: the straight line is the only way
        return torch.lerp(first, second, t)
    return (torch.sin((1 - t) * omega) * first + torch.sin(t * omega) * second) / torch.sin(omega)


def walk(generator: Generator, stops: Tensor, frames_per_stop: int = 10) -> Tensor:
    """Pictures [F, C, H, W] on a closed walk by `slerp` through the latents `stops` [S, D]."""
    latents = [
        slerp(first, second, frame / frames_per_stop)
        for first, second in zip(stops, stops.roll(-1, 0), strict=True)
        for frame in range(frames_per_stop)
    ]
    return generator(torch.stack(latents))


def attribute_direction(z: Tensor, has: Tensor) -> Tensor:
    """The unit vector [D] from the mean latent without an attribute to the mean latent with it.

    Section 6.3.2 of the paper takes means of three latents chosen by eye; here a classifier chooses among thousands. `z` is
    [N, D] and `has` [N] says which of the pictures G(z) have the attribute.
    """
    return F.normalize(z[has].mean(0) - z[~has].mean(0), dim=0)


def add_attribute(
    generator: Generator, name: str, strength: float, seed: int, num: int = 4000
) -> tuple[Tensor, float, float]:
    """Find the direction of an attribute, and push other faces along it.

    Returns faces [16, C, H, W], eight without the attribute and the same eight pushed, and the shares of 1,000 new faces that
    have it before and after.
    """
    stick = yardstick("avatars")
    names = list(load("avatars").classes)
    two_valued = [known for known in stick.names if known in names]
    require(name in two_valued, f"--attribute must be one of {', '.join(two_valued)}, not {name!r}")
    suits = generator.shape == (3, 64, 64)
    require(suits, "--attribute needs colour faces of 64 pixels, which the classifier was trained on")

    def draw(z: Tensor) -> tuple[Tensor, Tensor]:
        fake = torch.cat([generator(part) for part in z.split(50)]).cpu()
        _, logits = embed(stick.network, images.to_uint8(fake))
        return fake, stick.network.values(logits)[:, names.index(name)] == 1

    device = next(generator.parameters()).device
    z = torch.randn(num + 1000, generator.latent_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    _, has = draw(z[:num])
    require(
        2 <= int(has.sum()) <= num - 2,
        f"this generator draws {name} in {int(has.sum())} of {num:,} faces: no direction to be found",
    )
    new = z[num:]
    pushed = new + strength * attribute_direction(z[:num].cpu(), has).to(device)
    before, had = draw(new)
    after, has_now = draw(pushed)
    without = (~had).nonzero()[:8, 0]
    require(len(without) > 0, f"this generator draws {name} in all of 1,000 new faces: there is none to add it to")
    return torch.cat([before[without], after[without]]), had.float().mean().item(), has_now.float().mean().item()


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors", ema: bool = True) -> list[Path]:
    """The trained generator as ONNX: z [N, D] -> pictures [N, C, H, W]. See `save_onnx`."""
    generator, settings = load_generator(weights, ema)
    z = torch.zeros(2, generator.latent_dim)
    return save_onnx(folder / "generator.onnx", generator, {"z": z}, "pictures", settings)


def main(config: Config) -> None:
    device = one_device(config.accelerator)
    scoring = config.score or config.inception
    num = config.num if config.num is not None else (5000 if scoring else 64)
    generator, settings = load_generator(config.weights, config.ema)
    generator.to(device)
    rng = torch.Generator().manual_seed(config.seed)
    z = torch.randn(max(num, 64), generator.latent_dim, generator=rng).to(device)  # --interpolate needs 24
    fake = torch.cat([generator(part) for part in z.split(50)])[:num]
    shown = fake if config.separate or not scoring else fake[:64]
    written = images.save_all(shown, config.file("grid.png"), separate=config.separate)

    if config.interpolate:
        columns = [walk(generator, z[6 * column : 6 * column + 6]) for column in range(4)]  # four walks side by side
        frames = [images.grid(torch.stack(frame), columns=4) for frame in zip(*columns, strict=True)]
        written.append(images.save_gif(frames, config.file("interpolation.gif"), seconds_per_frame=0.09))

    if config.attribute:
        pairs, before, after = add_attribute(
            generator, config.attribute, config.strength, config.seed, config.num or 4000
        )
        print(f"{config.attribute}: {before:.1%} of 1,000 faces before, {after:.1%} after")
        written.append(images.save_picture(images.grid(pairs), config.file(f"{config.attribute}.png")))

    trained_on = config.data or str(settings["data"])
    if config.neighbours:
        both = beside_nearest(fake[:16], trained_on, **settings.reading)
        written.append(images.save_picture(images.grid(both, len(fake[:16])), config.file("neighbours.png")))

    if scoring:
        text, numbers = judge(fake, trained_on, config.inception, **settings.reading)
        print(text)
        written.append(write_atomically(config.file("score.json"), json.dumps(numbers, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights, config.ema)

    for path in written:
        print(f"wrote {relative(path)}")


if __name__ == "__main__":
    command_line(main, Config)
