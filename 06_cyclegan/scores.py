"""How far a translation is from the true one, which the training never saw.

    L1     mean distance of two pictures, in the units of [-1, 1]; 0 is best, at most 2
    PSNR   10 log10(peak² / mean squared error) in decibels, peak = 2; more is better
    SSIM   structural similarity, at most 1 (Wang et al., 2004): means, variances and covariance in small windows, of
           intensities from 0 to 1

Only true pairs can tell whether a translation is right. The cycle cannot: a translator and its way back may agree on
anything. Compare only at equal size and on the same pictures.

Shape letters: N pictures, C channels, H × W pixels. Pictures are rounded as they would be on disk.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from torch import Tensor

from common import require
from common.data import load_unpaired
from common.images import to_float
from common.scores import distances
from model import Generator


def true_pairs(name: str, size: int) -> tuple[Tensor, Tensor]:
    """The held-out pairs of `satellite-map`: float [N, 3, size, size] each. Raises `UserError` for all other data."""
    require(name == "satellite-map", f"--score needs true pairs, which {name} does not have; satellite-map has them")
    first, second = load_unpaired(name, size, "test")
    return to_float(first.all()), to_float(second.all())


@torch.no_grad()
def translate(generator: Generator, pictures: Tensor) -> Tensor:
    """Translations of float [N, C, H, W], 25 at a time."""
    return torch.cat([generator(part) for part in pictures.split(25)])


def report(to_b: Generator, to_a: Generator, data: str, size: int) -> tuple[str, dict[str, dict[str, float]]]:
    """Both directions beside three references, as a table and as numbers; and the error of the way there and back.

    The references: the per-pixel mean of the training pictures of the wanted kind, the picture itself, not translated, and
    the true translation of another place.
    """
    a, b = true_pairs(data, size)
    means = [to_float(side.all()).mean(0, keepdim=True) for side in load_unpaired(data, size)]
    rows: dict[str, dict[str, float]] = {}
    for way, there, back, source, truth, mean in (
        ("a to b", to_b, to_a, a, b, means[1]),
        ("b to a", to_a, to_b, b, a, means[0]),
    ):
        fake = translate(there, source)
        sets: Mapping[str, Tensor] = {
            "translated": fake,
            "mean of its kind": mean.expand_as(truth),
            "not translated": source,
            "of another place": truth.roll(len(truth) // 2, 0),
        }
        rows |= {f"{way}, {name}": distances(pictures, truth) for name, pictures in sets.items()}
        rows[f"{way} and back"] = distances(translate(back, fake), source)
    lines = [f"{len(a):,} held-out pairs of {data} at {size}×{size}", f"{'':<26} {'L1':>7} {'PSNR':>7} {'SSIM':>7}"]
    lines += [f"{name:<26} {row['l1']:7.4f} {row['psnr']:7.2f} {row['ssim']:7.3f}" for name, row in rows.items()]
    return "\n".join(lines), rows
