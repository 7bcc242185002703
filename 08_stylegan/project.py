"""Find your own face in a trained generator: the styles whose picture comes nearest to it, by gradient descent in w.

python 08_stylegan/project.py me.png                     # a picture, or several, or a folder
python 08_stylegan/project.py me.png --steps 1000        # nearer, and slower
python 08_stylegan/project.py me.png --seed 5            # with the styles of another face
python 08_stylegan/project.py me.png --weights runs/08_stylegan/TIME/weights.safetensors

The idea is that of StyleGAN2 (arXiv:1912.04958, section 5.2), and a w of its own for each layer is that of Image2StyleGAN (arXiv:1904.03189).
Differs from paper: both compare features of a VGG network. Drawn faces are flat enough for the pixels themselves, at four scales.
"""

import sys
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
import tyro
from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor
from tqdm import tqdm

from common import images, relative, require
from common.command_line import Flags, command_line
from common.data import own_pictures, read_picture
from common.devices import one_device
from painter import CHAPTER, GROUPS, HERE, Painter, load_painter, swapped

STARTS = 1000  # random faces, the nearest of which is the start
MOST = 32  # pictures side by side, which descend together


@dataclass
class Config(Flags):
    """Find the styles whose faces come nearest to pictures of yours, and edit them (chapter 08)."""

    MADE_BY: ClassVar[tuple[str, ...]] = ("steps", "lr")
    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()  # pictures of yours, or folders of them: their middle squares
    weights: Path = HERE / "weights.safetensors"  # the shipped ones, or those of a run of yours
    out: Path = HERE.parent / "runs" / CHAPTER / "projected"  # folder for everything that is written
    steps: PositiveInt = 300  # of the descent
    lr: PositiveFloat = 0.05  # of Adam, in units of w; it falls to zero over the last quarter
    accelerator: str = "auto"  # auto, cpu, gpu, mps


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of pictures [N, C, H, W], of their pixels and of squares of 2, 4 and 8 pixels: [N].

    The large squares see that an eye lies one pixel beside the other, where single pixels only see that they differ.
    """
    scales = [F.avg_pool2d(a - b, side).square().mean((1, 2, 3)) for side in (1, 2, 4, 8) if side <= a.shape[2]]
    return torch.stack(scales).mean(0)


def start(painter: Painter, targets: Tensor) -> Tensor:
    """For each target [N, C, H, W] the w of the random face that is nearest to it: [N, S]."""
    ws = painter.w(painter.latents(STARTS, seed=0))
    faces = painter.draw(painter.styles(ws), ())
    return ws[torch.stack([distance(faces, target[None]).argmin() for target in targets])]


def project(painter: Painter, targets: Tensor, styles: Tensor, steps: int, lr: float) -> Tensor:
    """Move styles until their faces are near to the targets [N, C, H, W]; new styles [N, L, S].

    With styles [N, 1, S] all layers share one w; with [N, L, S] each layer has a w of its own.
    """
    styles = styles.clone().requires_grad_()
    opt = torch.optim.Adam([styles], lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(1.0, 4 * (1 - step / steps)))
    for _ in tqdm(range(steps), "descending", leave=False, disable=None):
        faces = painter.generator.synthesis(
            styles.expand(-1, painter.layers, -1), painter.resolution, painter.alpha, ()
        )
        loss = distance(faces, targets).sum()  # a sum: each picture descends on its own
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
    return styles.detach().expand(-1, painter.layers, -1)


def main(config: Config) -> None:
    require(bool(config.pictures), "name a picture of yours: python 08_stylegan/project.py me.png")
    device = one_device(config.accelerator)
    painter, settings = load_painter(config.weights, None, device)
    paths = own_pictures(config.pictures, settings.white(0))
    require(len(paths) <= MOST, f"at most {MOST} pictures at a time, not {len(paths)}: name some of them")
    side, channels = painter.resolution, painter.generator.channels
    read = [read_picture(path, side, channels, settings.white(0)) for path in paths]
    targets = images.to_float(torch.stack(read)).to(device)

    nearest = start(painter, targets)  # [N, S]
    one = project(painter, targets, nearest[:, None], config.steps, config.lr)
    each = project(painter, targets, one, config.steps, config.lr)
    other = painter.styles(painter.w(painter.latents(1, config.seed), 0.7)).expand_as(each)
    rows = {"yours": targets, f"nearest of {STARTS:,} random faces": painter.draw(painter.styles(nearest), ())}
    rows |= {"one w": painter.draw(one, ()), "a w for each layer": painter.draw(each, ())}
    for place, path in enumerate(paths):
        far = [f"{name} {127.5 * distance(row, targets)[place].sqrt():.1f}" for name, row in list(rows.items())[1:]]
        print(f"{path.name}: distance of 255: {'; '.join(far)}")
    for name in GROUPS:
        if layers := painter.group(name):
            rows[f"the same with {name} styles of face {config.seed}"] = painter.draw(swapped(each, other, layers), ())
    sheet = images.grid(torch.cat([*rows.values()]), columns=len(paths), scale=max(1, 128 // side))
    print(f"rows: {'; '.join(rows)}")
    name = paths[0].stem + (f"_and_{len(paths) - 1}_more" if len(paths) > 1 else "") + "_projected.png"
    print(f"wrote {relative(images.save_picture(sheet, config.file(name)))}")


if __name__ == "__main__":
    command_line(main, Config)
