"""Use a trained generator: from the shipped weights, or from a run of your own.

python 07_progan/generate.py                                   # a grid of 64 faces
python 07_progan/generate.py --resolution 16                   # what the smaller network inside of it draws
python 07_progan/generate.py --interpolate                     # and a walk through the latent space, as a GIF
python 07_progan/generate.py --neighbours                      # and the nearest training picture of each sample
python 07_progan/generate.py --changes                         # and what a straight walk changes, counted
python 07_progan/generate.py --score                           # and both scores of 5,000 faces
python 07_progan/generate.py --onnx                            # and the generator as ONNX, for programs without PyTorch
python 07_progan/generate.py --weights runs/07_progan/TIME/weights.safetensors
"""

import json
import sys
from pathlib import Path
from typing import Annotated, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

import swd
from common import UserError, images, relative, require
from common.checkpoint import StoredSettings, load_state, load_weights, write_atomically
from common.command_line import Flags, command_line
from common.data import load
from common.devices import one_device
from common.onnx import save_onnx
from common.scores import beside_nearest, embed, held_out, judge, yardstick
from model import Generator, pixel_norm, resolutions

CHAPTER = "07_progan"
HERE = Path(__file__).resolve().parent
Number = Annotated[int, Field(ge=0, lt=2**63)]  # of a picture: it is its seed


@dataclass
class Config(Flags):
    """Pictures, walks and scores from a trained generator of chapter 07."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("resolution",)
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    num: PositiveInt | None = None  # pictures; default: 64, or 5,000 to score
    resolution: int | None = None  # pixels per side, for the smaller networks inside; default: where the training ended
    seeds: tuple[Number, ...] = ()  # also write the pictures with these numbers, each of its own seed
    separate: bool = False  # also write each picture into a file of its own, as the scores of other programs want them
    interpolate: bool = False  # also write a GIF that walks from latent to latent
    neighbours: bool = False  # also write 16 samples above their nearest training pictures
    changes: bool = False  # also count what a straight walk from face to face changes (needs the faces of 64 pixels)
    score: bool = False  # also score: the classifier's path, and the sliced Wasserstein distance
    inception: bool = False  # score with the published FID, KID and IS (needs their network on this machine)
    data: str = ""  # the training pictures (for --neighbours and --score); default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


class Drawing(torch.nn.Module):
    """A generator held at one resolution and alpha: latents [N, D] -> pictures [N, C, H, W]."""

    def __init__(self, generator: Generator, resolution: int, alpha: float) -> None:
        super().__init__()
        self.generator, self.resolution, self.alpha = generator, resolution, alpha

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.generator(part, self.resolution, self.alpha) for part in z.split(50)])


def load_generator(
    path: Path = HERE / "weights.safetensors", resolution: int | None = None
) -> tuple[Drawing, StoredSettings]:
    """The trained generator at a resolution, and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    names = ("latent_dim", "size", "picture_channels", "channels_times_size", "most", "convs", "without")
    generator = Generator(**{name: settings[name] for name in names})
    load_state(generator, {name: tensor.float() for name, tensor in tensors.items()}, str(path))
    reached, alpha = int(settings["resolution"]), float(settings["alpha"])
    size = resolution or reached
    trained = [reached] if "growth" in settings["without"] else resolutions(reached)
    require(size in trained, f"--resolution must be one of {trained}, which were trained, not {size}")
    generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return Drawing(generator, size, alpha if size == reached else 1.0), settings


def slerp(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Walk on the sphere from latent `first` (t = 0) to `second` (t = 1), both [D]: see chapter 01."""
    omega = torch.arccos(torch.cosine_similarity(first, second, dim=0).clamp(-1, 1))
    if omega.sin() < 1e-3:  # parallel, as all latents of one number are: the straight line is the only way
        return torch.lerp(first, second, t)
    return (torch.sin((1 - t) * omega) * first + torch.sin(t * omega) * second) / torch.sin(omega)


def walk(draw: Drawing, stops: Tensor, frames_per_stop: int = 10) -> Tensor:
    """Pictures [F, C, H, W] on a closed walk by `slerp` through the latents `stops` [S, D]."""
    latents = [
        slerp(first, second, frame / frames_per_stop)
        for first, second in zip(stops, stops.roll(-1, 0), strict=True)
        for frame in range(frames_per_stop)
    ]
    return draw(torch.stack(latents))


def straight(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Latents [steps + 1, N, D] on straight lines from `first` to `second`, both [N, D]; the ends are put on the sphere first."""
    return torch.stack([torch.lerp(pixel_norm(first), pixel_norm(second), t / steps) for t in range(steps + 1)])


def attributes(draw: Drawing, latents: Tensor) -> tuple[Tensor, list[str]]:
    """The attributes of the faces at latents [..., D], as the frozen classifier sees them: int64 [..., A], and their names."""
    network = yardstick("avatars").network
    suits = draw.resolution == network.size and draw.generator.picture_channels == 3
    require(suits, f"attributes are told from faces of {network.size} pixels in colour")
    _, logits = embed(network, images.to_uint8(draw(latents.flatten(0, -2))).cpu())
    return network.values(logits).unflatten(0, latents.shape[:-1]), list(load("avatars").classes)


def one_change_alone(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Of pairs of faces [N, A] in which something changed: the share with one change alone, and the mean number of changes."""
    changed = (before != after).sum(1)
    changed = changed[changed > 0].float()
    return (changed == 1).float().mean().item(), changed.mean().item()


def count_changes(draw: Drawing, seed: int, pairs: int = 200, steps: int = 20) -> tuple[str, Tensor]:
    """What changes on straight walks between two faces? A table to print, and four walks in rows of 11, [44, C, H, W]."""
    device = next(draw.parameters()).device
    z = torch.randn(2, pairs, draw.generator.latent_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    latents = straight(z[0], z[1], steps)
    seen, names = attributes(draw, latents)  # [steps + 1, pairs, A]
    different = (seen[0] != seen[-1]).sum(1).float().mean().item()
    flips = (seen[1:] != seen[:-1]).sum((0, 2)).float().mean().item()
    both = (seen[:-1].flatten(0, 1), seen[1:].flatten(0, 1))  # before and after each step
    alone, together = one_change_alone(*both)
    lines = [
        f"{pairs} straight walks of {steps} steps; {len(names)} attributes",
        f"the two ends differ in           {different:.1f}",
        f"changes on the way               {flips:.1f}",
        f"changes in a step with changes   {together:.1f}; one attribute alone in {alone:.0%} of these steps",
    ]
    for name in ("glasses", "beard", "hat", "long hair"):
        column = names.index(name)
        at = both[0][:, column] != both[1][:, column]  # steps in which this attribute came or went
        if not at.any():
            continue
        others = (both[0][at] != both[1][at]).sum(1).float() - 1
        lines.append(
            f"when {name + ' change:':<20} {others.mean():.1f} others change in the same step ({int(at.sum())} times)"
        )
    return "\n".join(lines), draw(latents[:: steps // 10, :4].transpose(0, 1).flatten(0, 1))


class Fading(torch.nn.Module):
    """A generator at one resolution whose alpha is an input: z [N, D], alpha [] -> pictures [N, C, H, W]."""

    def __init__(self, generator: Generator, resolution: int) -> None:
        super().__init__()
        self.generator, self.resolution = generator, resolution

    def forward(self, z: Tensor, alpha: Tensor) -> Tensor:
        # A fade is linear in alpha, so its two ends are enough; the layers that they share are computed once in the file.
        before, after = (self.generator(z, self.resolution, end) for end in (0.0, 1.0))
        return before + alpha * (after - before)


def write_onnx(folder: Path, weights: Path = HERE / "weights.safetensors") -> list[Path]:
    """The trained generator at each of its resolutions as ONNX. See `Fading` and `save_onnx`."""
    draw, settings = load_generator(weights)
    trained = [draw.resolution] if "growth" in settings["without"] else resolutions(draw.resolution)
    inputs = {"z": torch.zeros(2, draw.generator.latent_dim), "alpha": torch.ones(())}
    files = []
    for side in trained:
        network = Fading(draw.generator, side)
        files += save_onnx(folder / f"generator_{side}.onnx", network, inputs, "pictures", settings)
    return files


def main(config: Config) -> None:
    device = one_device(config.accelerator)
    scoring = config.score or config.inception
    num = config.num if config.num is not None else (5000 if scoring else 64)
    draw, settings = load_generator(config.weights, config.resolution)
    draw.to(device)
    latent_dim, size = draw.generator.latent_dim, draw.resolution
    z = torch.randn(max(num, 64), latent_dim, generator=torch.Generator().manual_seed(config.seed)).to(device)
    fake = draw(z)[:num]
    full = draw.generator.size
    shown = F.interpolate(fake if config.separate or not scoring else fake[:64], full)
    written = images.save_all(shown, config.file("grid.png"), separate=config.separate)

    for seed in config.seeds:  # one by one: a number is the same picture in any company
        one = draw(torch.randn(1, latent_dim, generator=torch.Generator().manual_seed(seed)).to(device))
        face = images.grid(F.interpolate(one, full), 1, scale=4)
        written.append(images.save_picture(face, config.file(f"number_{seed}.png")))

    if config.interpolate:
        columns = [walk(draw, z[6 * column : 6 * column + 6]) for column in range(4)]  # four walks side by side
        frames = [images.grid(F.interpolate(torch.stack(f), full), columns=4) for f in zip(*columns, strict=True)]
        written.append(images.save_gif(frames, config.file("interpolation.gif"), seconds_per_frame=0.09))

    if config.changes:
        text, way = count_changes(draw, config.seed)
        print(text)
        written.append(images.save_picture(images.grid(way, columns=11), config.file("changes.png")))

    trained_on = config.data or str(settings["data"])
    if config.neighbours:
        both = beside_nearest(fake[:16], trained_on, **settings.reading)
        written.append(images.save_picture(images.grid(both, len(fake[:16])), config.file("neighbours.png")))

    if scoring:
        text, numbers = judge(fake, trained_on, config.inception, **settings.reading)
        print(text)
        try:  # of the digits that come with the course none are held out, without a download
            real = images.to_float(held_out(trained_on, size=size, channels=fake.shape[1], **settings.reading).all())
            text, numbers["swd"] = swd.report(images.to_float(images.to_uint8(fake[: len(real) // 2])).cpu(), real)
        except UserError as error:
            text = f"no sliced Wasserstein distance: {error}"
        print(text)
        written.append(write_atomically(config.file("score.json"), json.dumps(numbers, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights)

    for path in written:
        print(f"wrote {relative(path)}")


if __name__ == "__main__":
    command_line(main, Config)
