"""Use a trained generator: from the shipped weights, or from a run of your own.

python 08_stylegan/generate.py                           # a grid of 64 faces
python 08_stylegan/generate.py --psi 0.7                 # truncated: nearer to the mean face
python 08_stylegan/generate.py --truncation              # and a sheet with several values of psi
python 08_stylegan/generate.py --mix                     # and faces that take coarse, middle or fine styles from others
python 08_stylegan/generate.py --noise                   # and faces with noise in all, no or some layers
python 08_stylegan/generate.py --interpolate             # and walks in z and in w, as a GIF
python 08_stylegan/generate.py --swap-table              # and which attributes change with the styles of which layers
python 08_stylegan/generate.py --path-length             # and the perceptual path length in z and in w
python 08_stylegan/generate.py --neighbours              # and the training pictures nearest to 16 of the faces
python 08_stylegan/generate.py --score                   # and the score of 5,000 faces
python 08_stylegan/generate.py --onnx                    # and the generator as ONNX, for programs without PyTorch
python 08_stylegan/generate.py --weights runs/08_stylegan/TIME/weights.safetensors
"""

import json
import sys
from pathlib import Path
from typing import Annotated, ClassVar
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from pydantic import Field, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

import model
from common import images, relative, require
from common.checkpoint import write_atomically
from common.command_line import Flags, command_line
from common.devices import one_device
from common.onnx import save_onnx
from common.scores import beside_nearest, judge, yardstick
from model import mixed, resolutions
from painter import CHAPTER, GROUPS, HERE, Painter, load_painter, slerp, swapped
from scores import path_length, swap_table, table_text

PSIS = (1.0, 0.7, 0.5, 0.3, 0.0, -0.5)  # rows of --truncation
Number = Annotated[int, Field(ge=0, lt=2**63)]  # of a picture: it is its seed


@dataclass
class Config(Flags):
    """Pictures, style mixes, noise, walks, path lengths and scores from a trained generator of chapter 08."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("resolution", "psi", "mixed", "still")
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "generated"  # folder for everything that is written
    num: PositiveInt | None = None  # pictures; default: 64, 1,000 for --swap-table and --path-length, or 5,000 to score
    resolution: int | None = None  # of the pictures: any stage of the growth; default: the last one that was trained
    psi: float = 1.0  # truncation: 1 none, 0 the mean face
    mixed: bool = False  # every picture gets the styles of two latents, as in training; to score a run without mixing
    still: bool = False  # draw without noise
    truncation: bool = False  # also write a sheet of the same faces with several psi
    mix: bool = False  # also write sheets of faces that take the coarse, middle or fine styles of others
    noise: bool = False  # also write faces with noise in all, no and some layers, and what it changes
    seeds: tuple[Number, ...] = ()  # also write the pictures with these numbers, each of its own seed
    separate: bool = False  # also write each picture into a file of its own, as the scores of other programs want them
    interpolate: bool = False  # also write a GIF of walks in z (above) and in w (below)
    swap_table: bool = False  # also print which attributes change when styles are swapped
    path_length: bool = False  # also print the perceptual path length in z and in w
    neighbours: bool = False  # also write 16 samples above their nearest training pictures
    score: bool = False  # also score, beside the floor and blurred real pictures
    inception: bool = False  # score with the published FID, KID and IS (needs their network on this machine)
    data: str = ""  # the training pictures (for --neighbours and --score); default: those of the run
    onnx: bool = False  # also write the generator as ONNX files, with float32 and float16 weights
    accelerator: str = "auto"  # auto, cpu, gpu, mps


# ------------------------------------------------------------------------------------------------------ the sheets


def mixing_sheet(painter: Painter, layers: range, seed: int, number: int = 3) -> Tensor:
    """Pictures [(n + 1)², C, H, W]: face (i, j) is source i of the left column with the `layers` of source j of the top row."""
    above, left = (painter.styles(painter.w(z, 0.7)) for z in painter.latents(2 * number, seed).chunk(2))
    rows = [torch.cat([torch.ones_like(painter.draw(above[:1])), painter.draw(above)])]
    for style in left:
        mixes = swapped(style.expand(number, -1, -1), above, layers)
        rows.append(painter.draw(torch.cat([style[None], mixes])))
    return torch.cat(rows)


def noise_sheet(painter: Painter, styles: Tensor) -> Tensor:
    """Rows of the same faces: noise in all layers, in none, in the coarse, middle and fine ones; last, where it acts (deviation of 32 draws)."""
    choices = [range(painter.layers), (), *(painter.group(name) for name in GROUPS)]
    rows = [painter.draw(styles, which) for which in choices]
    draws = torch.stack([painter.draw(styles) for _ in range(32)])
    deviation = draws.std(0).mean(1, keepdim=True).expand_as(rows[0])
    return torch.cat([*rows, 2 * deviation / deviation.max().clamp(min=1e-8) - 1])


def walks(painter: Painter, seed: int, columns: int = 4, frames: int = 14) -> list[Tensor]:
    """Frames of pictures [2 columns, C, H, W]: walks between the same faces in z (above) and in w (below), there and back."""
    first, second = painter.latents(2 * columns, seed).chunk(2)
    ws = painter.w(first), painter.w(second)
    there = []
    for i in range(frames):
        t = torch.full((columns, 1), i / (frames - 1), device=first.device)
        both = torch.cat([painter.w(slerp(first, second, t)), torch.lerp(*ws, t)])
        there.append(painter.draw(painter.styles(both), ()))  # without noise, which would flicker
    return there + there[::-1]


class MappingAlone(torch.nn.Module):
    """z [N, D] and psi [] -> w [N, S], truncated."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self.generator = painter.generator

    def forward(self, z: Tensor, psi: Tensor) -> Tensor:
        return self.generator.truncated(self.generator.mapping(z), psi)


class SynthesisAlone(torch.nn.Module):
    """Styles [N, L, S] and the noise of each layer [N, 1, h, w], zeros for none, -> pictures [N, C, H, W]."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self.generator, self.resolution, self.alpha = painter.generator, painter.resolution, painter.alpha

    def forward(self, styles: Tensor, noise: list[Tensor]) -> Tensor:
        left = iter(noise)
        drawn = patch.object(torch, "randn", lambda *size, **options: next(left))
        # An ordinary len() of a tensor would fix N in the file.
        counted = patch.object(model, "len", lambda x: x.shape[0] if isinstance(x, Tensor) else len(x), create=True)
        with drawn, counted:
            return self.generator.synthesis(styles, self.resolution, self.alpha)


def write_onnx(folder: Path, weights: Path, resolution: int | None = None) -> list[Path]:
    """Mapping and synthesis as ONNX files of their own, so that styles can be mixed between them. See `save_onnx`."""
    painter, settings = load_painter(weights, resolution)
    z = torch.zeros(2, painter.generator.latent_dim)
    files = save_onnx(folder / "mapping.onnx", MappingAlone(painter), {"z": z, "psi": torch.ones(())}, "w", settings)
    noise = [torch.zeros(2, 1, side, side) for side in resolutions(painter.resolution) for _ in range(2)]
    inputs = {"styles": painter.styles(painter.w(z)), "noise": noise}
    return files + save_onnx(folder / "synthesis.onnx", SynthesisAlone(painter), inputs, "pictures", settings)


def main(config: Config) -> None:
    device = one_device(config.accelerator)
    scoring = config.score or config.inception
    num = config.num if config.num is not None else (5000 if scoring else 64)
    painter, settings = load_painter(config.weights, config.resolution, device)
    trained_on = config.data or str(settings["data"])
    judged = config.swap_table or config.path_length
    faces = "--swap-table and --path-length need a generator of --data avatars, whose faces the classifier knows"
    require(not judged or (trained_on == "avatars" and painter.generator.channels == 3), faces)
    torch.manual_seed(config.seed)  # of the noise
    styles = painter.styles(painter.w(painter.latents(max(num, 64), config.seed), config.psi))
    if config.mixed:
        cut = torch.randint(1, painter.layers, (len(styles),), device=styles.device)
        styles = mixed(styles, styles.flip(0), cut)
    fake = painter.draw(styles, () if config.still else None)[:num]
    shown = fake if config.separate or not scoring else fake[:64]
    written = images.save_all(shown, config.file("grid.png"), separate=config.separate)

    for seed in config.seeds:  # one by one: a number is the same picture in any company
        torch.manual_seed(seed)
        face = painter.draw(
            painter.styles(painter.w(painter.latents(1, seed), config.psi)), () if config.still else None
        )
        written.append(images.save_picture(images.grid(face, 1, scale=4), config.file(f"number_{seed}.png")))

    if config.truncation:
        z = painter.latents(8, config.seed)
        sheet = torch.cat([painter.draw(painter.styles(painter.w(z, psi))) for psi in PSIS])
        print("rows of truncation.png: psi " + ", ".join(map(str, PSIS)))
        written.append(images.save_picture(images.grid(sheet, columns=8), config.file("truncation.png")))

    if config.mix:
        for name in GROUPS:
            if not painter.group(name):
                print(f"no mix_{name}.png: at {painter.resolution}×{painter.resolution} there are no {name} layers")
                continue
            sheet = mixing_sheet(painter, painter.group(name), config.seed)
            written.append(images.save_picture(images.grid(sheet, columns=4), config.file(f"mix_{name}.png")))

    if config.noise:
        print("rows of noise.png: noise in all layers, none, coarse, middle, fine; last, where it acts")
        still = painter.draw(styles[:64], ())
        for layer in range(painter.layers):
            side = resolutions(painter.resolution)[layer // 2]
            moved = 127.5 * (painter.draw(styles[:64], (layer,)) - still).abs().mean().item()
            print(f"noise in layer {layer} alone ({side}×{side}) moves a value by {moved:.2f} of 255")
        sheet = noise_sheet(painter, styles[:8])
        written.append(images.save_picture(images.grid(sheet, columns=8), config.file("noise.png")))

    if config.interpolate:
        frames = [images.grid(frame, columns=4) for frame in walks(painter, config.seed)]
        written.append(images.save_gif(frames, config.file("interpolation.gif"), seconds_per_frame=0.09))

    if config.swap_table:
        print(table_text(swap_table(painter, config.num or 1000, config.seed)))

    if config.path_length:
        for space in ("z", "w"):
            length = path_length(painter, space, config.num or 1000, config.seed)
            print(
                f"perceptual path length in {space}: {length:.1f} (of the features of {yardstick('avatars').network_id})"
            )

    if config.neighbours:
        both = beside_nearest(fake[:16], trained_on, **settings.reading)
        written.append(images.save_picture(images.grid(both, len(fake[:16])), config.file("neighbours.png")))

    if scoring:
        text, numbers = judge(fake, trained_on, config.inception, **settings.reading)
        print(text)
        written.append(write_atomically(config.file("score.json"), json.dumps(numbers, indent=1).encode()))

    if config.onnx:
        written += write_onnx(config.out, config.weights, config.resolution)

    for path in written:
        print(f"wrote {relative(path)}")


if __name__ == "__main__":
    command_line(main, Config)
