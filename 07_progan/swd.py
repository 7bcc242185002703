"""The sliced Wasserstein distance of arXiv:1710.10196, section 5: are the small structures of two sets of pictures alike?

Pictures are taken apart into a Laplacian pyramid, whose levels hold the details of one scale each: of 64×64 pictures the levels are 64, 32
and 16 pixels a side, the last with all that is coarser. Of each level small patches are compared, by the earth mover's distance of their
shadows on many random lines. No network takes part: it cannot be fooled as one can, and it knows nothing about faces.

Shape letters: N pictures, C channels, H = W pixels of a level, M patches, S lines.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common import require

PATCH = 7  # pixels a side: section 5
SMALLEST = 16  # pixels a side of the coarsest level: section 5
BINOMIAL = (1, 4, 6, 4, 1)  # the usual filter of a Laplacian pyramid (Burt and Adelson, 1983)


def smoothed(x: Tensor) -> Tensor:
    """The 5×5 binomial filter, with mirrored borders: [N, C, H, W] -> the same."""
    line = torch.tensor(BINOMIAL, dtype=x.dtype) / 16
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(x, [2, 2, 2, 2], mode="reflect"), kernel, groups=x.shape[1])


def halved(x: Tensor) -> Tensor:
    """Smooth, and keep every second pixel: [N, C, H, W] -> [N, C, H/2, W/2]."""
    return smoothed(x)[:, :, ::2, ::2]


def doubled(x: Tensor) -> Tensor:
    """The way back: zeros between the pixels, and smooth. [N, C, H, W] -> [N, C, 2H, 2W]."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = 4 * x  # three of four pixels are zero
    return smoothed(wide)


def laplacian_pyramid(x: Tensor) -> list[Tensor]:
    """Details from fine to coarse, and the rest: [N, C, H, W] -> maps of H, H/2, ..., 16 pixels a side."""
    levels = []
    while x.shape[-1] > SMALLEST:
        small = halved(x)
        levels.append(x - doubled(small))
        x = small
    return [*levels, x]


def patches(level: Tensor, number: int, rng: torch.Generator) -> Tensor:
    """`number` 7×7 patches of each picture, at random places: [N, C, H, W] -> [M, C, 7, 7], M = N · number."""
    n, side = len(level), level.shape[-1] - PATCH + 1
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # [N, C, side, side, 7, 7], a view
    which = torch.arange(n).repeat_interleave(number)
    rows, columns = torch.randint(side, (2, n * number), generator=rng)
    return windows[which, :, rows, columns]


def normalised(found: Tensor) -> Tensor:
    """Mean 0 and deviation 1 in each colour channel, over all patches and pixels: [M, C, 7, 7] -> the same."""
    std, mean = torch.std_mean(found, (0, 2, 3), correction=0, keepdim=True)
    return (found - mean) / std


def sliced_distance(first: Tensor, second: Tensor, lines: int, rng: torch.Generator) -> float:
    """Mean earth mover's distance of the shadows of two sets of points, [M, D] each, on S random lines.

    On a line the cheapest plan moves the smallest point to the smallest, the next to the next, and so on: sort and subtract.
    """
    total = 0.0
    for some in torch.randn(first.shape[1], lines, generator=rng).split(64, 1):  # 64 at a time, for the memory's sake
        directions = F.normalize(some, dim=0).T  # [64, D]
        # NumPy sorts about ten times as fast as PyTorch on a CPU.
        a, b = (np.sort((directions @ points.T).numpy(), axis=1) for points in (first, second))  # [64, M]
        total += float(np.abs(a - b).mean(1).sum())
    return total / lines


def swd(first: Tensor, second: Tensor, per_picture: int = 16, lines: int = 512, seed: int = 0) -> dict[int, float]:
    """Distance × 1000 of two equally large sets of float pictures [N, C, H, W], for each level by its pixels a side.

    Section 5 has 512 lines, and 128 patches of each of 16,384 pictures. Differs from paper: 16 of each, which is enough for
    5,000 drawn faces.
    """
    rng = torch.Generator().manual_seed(seed)
    found = {}
    pyramids = [
        [torch.cat(level) for level in zip(*(laplacian_pyramid(part) for part in pictures.split(250)), strict=True)]
        for pictures in (first, second)  # 250 at a time, for the memory's sake
    ]
    for a, b in zip(*pyramids, strict=True):
        points = [normalised(patches(level, per_picture, rng)).flatten(1) for level in (a, b)]
        found[a.shape[-1]] = 1000 * sliced_distance(points[0], points[1], lines, rng)
    return found


def report(fake: Tensor, real: Tensor) -> tuple[str, dict[str, dict[int, float]]]:
    """The distance of float pictures [N, C, H, W] to N real ones, beside that of N other real ones; `real` has 2N or more.

    Returns a table to print and the same as plain numbers. Raises `UserError` for pictures below 16 pixels a side.
    """
    require(fake.shape[-1] >= SMALLEST, f"it compares pictures of {SMALLEST} pixels a side or more")
    number = len(fake)
    rows = {"generated": swd(fake, real[:number]), "real (floor)": swd(real[number : 2 * number], real[:number])}
    sides = list(rows["generated"])
    lines = [
        f"sliced Wasserstein distance × 1000, N = {number:,}, 7×7 patches of the levels of a Laplacian pyramid",
        f"{'':<13}" + "".join(f"{f'{side}×{side}':>9}" for side in sides) + f"{'mean':>9}",
    ]
    for name, row in rows.items():
        values = [*row.values(), sum(row.values()) / len(row)]
        lines.append(f"{name:<13}" + "".join(f"{value:9.1f}" for value in values))
    return "\n".join(lines), rows
