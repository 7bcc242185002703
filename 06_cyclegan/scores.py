"""How far a translation is from the true one, which the training never saw.

    L1     mean distance of two pictures, in the units of [-1, 1]; 0 is best, at most 2
    PSNR   10 log10(peak² / mean squared error) in decibels, peak = 2; more is better
    SSIM   structural similarity, at most 1 (Wang et al., 2004): means, variances and covariance in small windows, of
           intensities from 0 to 1
    FCD    of coloured drawings: how far they are, as a whole, from real faces, by the frozen network of faces; 0 is best

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
from common.images import to_float, to_uint8
from common.scores import distances, evaluate, yardstick
from model import Generator

PAIRED = ("satellite-map", "sketches")  # whose test piles are true pairs
MOST, FEWEST = 5000, 1000  # pairs that are scored, and that the FCD needs


def true_pairs(name: str, size: int, n: int = MOST) -> tuple[Tensor, Tensor]:
    """At most n held-out pairs, evenly spread: float [N, 3, size, size] each. Raises `UserError` for data without pairs."""
    known = " and ".join(PAIRED)
    require(name in PAIRED, f"--score needs true pairs, which {name} does not have; {known} have them")
    piles = load_unpaired(name, size, "test")
    some = torch.linspace(0, len(piles[0]) - 1, min(n, len(piles[0]))).long().tolist()
    first, second = (to_float(pile.images[some]) for pile in piles)
    return first, second


@torch.no_grad()
def translate(generator: Generator, pictures: Tensor) -> Tensor:
    """Translations of float [N, C, H, W], 25 at a time."""
    return torch.cat([generator(part) for part in pictures.split(25)])


def measure(fake: Tensor, truth: Tensor, faces: bool) -> dict[str, float]:
    """L1, PSNR and SSIM of float pictures [N, C, H, W] against their truths; of `faces` the FCD as well."""
    found = distances(fake, truth)
    return found | ({"fcd": evaluate(to_uint8(fake), yardstick("avatars")).fcd} if faces else {})


def report(
    to_b: Generator, to_a: Generator, data: str, size: int, n: int = MOST
) -> tuple[str, dict[str, dict[str, float]]]:
    """Both directions beside three references, as a table and as numbers; and the error of the way there and back.

    The references: the per-pixel mean of the training pictures of the wanted kind, the picture itself, not translated, and
    the true translation of another place (or face).
    """
    a, b = true_pairs(data, size, n)
    means = [to_float(side.all()).mean(0, keepdim=True) for side in load_unpaired(data, size)]
    rows: dict[str, dict[str, float]] = {}
    for way, there, back, source, truth, mean in (
        ("a to b", to_b, to_a, a, b, means[1]),
        ("b to a", to_a, to_b, b, a, means[0]),
    ):
        fake, faces = (
            translate(there, source),
            data == "sketches" and way == "a to b" and size == 64 and len(a) >= FEWEST,
        )
        sets: Mapping[str, tuple[Tensor, bool]] = {
            "translated": (fake, faces),
            "mean of its kind": (mean.expand_as(truth), False),
            "not translated": (source, False),
            "of another place": (truth.roll(len(truth) // 2, 0), faces),
        }
        rows |= {f"{way}, {name}": measure(pictures, truth, judged) for name, (pictures, judged) in sets.items()}
        rows[f"{way} and back"] = distances(translate(back, fake), source)
    scored = any("fcd" in row for row in rows.values())
    head = f"{'':<26} {'L1':>7} {'PSNR':>7} {'SSIM':>7}" + (f" {'FCD':>6}" if scored else "")
    lines = [f"{len(a):,} held-out pairs of {data} at {size}×{size}", head]
    for name, row in rows.items():
        line = f"{name:<26} {row['l1']:7.4f} {row['psnr']:7.2f} {row['ssim']:7.3f}"
        lines.append(line + (f" {row['fcd']:6.2f}" if "fcd" in row else ""))
    return "\n".join(lines), rows
