"""How good is a translation, against the true picture of the same place or face?

L1 in units of [-1, 1] (what the training minimises), PSNR and SSIM from torchmetrics, and three that ask what these do not:

    detail   is there as much fine structure as in the truth? A blurred picture has a good L1 and little detail
    lattice  the same at the frequencies of a raster alone, which are no detail: 1 is as in the truth, more is a pattern
    FCD      are the answers, as a whole, like real faces? Of coloured drawings only; needs no truth of the single picture

Shape letters: N pictures, C channels, H = W = size. Pictures are rounded as they would be on disk.
"""

import math

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from common.images import to_float, to_uint8
from common.scores import distances, evaluate, yardstick


def power(pictures: Tensor) -> Tensor:
    """Mean power of each wave, over pictures and channels: float [N, C, H, W] -> [H, W], discrete Fourier transform."""
    seen = to_float(to_uint8(pictures))
    parts = [torch.fft.fft2(part, norm="ortho").abs().square().sum((0, 1)) for part in seen.split(500)]
    return torch.stack(parts).sum(0) / pictures[:, :, 0, 0].numel()


def waves(size: int) -> tuple[Tensor, Tensor]:
    """Which waves are fine, shorter than 4 pixels, and which are a lattice's, bool [size, size] each; no wave is both.

    A pattern that repeats every 4 pixels (or 2) in both directions has no other waves than those of 0, ¼ and ½ a pixel.
    """
    frequency = torch.fft.fftfreq(size)  # waves a pixel, -1/2 to 1/2
    repeats = (4 * frequency) % 1 == 0
    lattice = repeats[:, None] & repeats[None, :]
    fine = (torch.hypot(frequency[:, None], frequency[None, :]) > 0.25) & ~lattice
    lattice[0, 0] = False  # the mean brightness
    return fine, lattice


def compare(fake: Tensor, truth: Tensor, faces: bool = False) -> dict[str, float]:
    """L1, PSNR (dB), SSIM, detail and lattice of fakes float [N, C, H, W] in [-1, 1] against their truths; of `faces` also FCD."""
    mine, true = power(fake), power(truth)
    kinds = zip(("detail", "lattice"), waves(fake.shape[-1]), strict=True)
    found = distances(fake, truth) | {name: (mine[kind].mean() / true[kind].mean()).item() for name, kind in kinds}
    return found | (as_faces(fake) if faces else {})


def as_faces(answers: Tensor) -> dict[str, float]:
    """FCD, precision and recall of coloured drawings float [N, 3, H, W], N at least 1,000, by the frozen network of faces."""
    found = evaluate(to_uint8(answers), yardstick("avatars"))
    return {"fcd": found.fcd, "precision": found.precision, "recall": found.recall}


def references(train_truth: Tensor, truth: Tensor, faces: bool = False) -> dict[str, dict[str, float]]:
    """The same for answers that need no network: the mean training picture, the blurred truth; and what true `faces` reach."""
    mean = train_truth.mean(0, keepdim=True).expand_as(truth)
    found = {
        "mean predictor": compare(mean, truth),
        "blurred truth": compare(gaussian_blur(truth, [5, 5], [1.0, 1.0]), truth, faces),
    }
    return found | ({"true faces": as_faces(truth)} if faces else {})


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows of numbers as text; `ratio` is the L1 over that of the mean predictor."""
    base = rows["mean predictor"]["l1"] or math.nan  # 0 where all pictures are the same
    columns = {
        "l1": ("L1", 4), "ratio": ("ratio", 2), "psnr": ("PSNR", 2), "ssim": ("SSIM", 3), "detail": ("detail", 2),
        "lattice": ("lattice", 2), "fcd": ("FCD", 2), "recall": ("recall", 3),
    }  # heading, and digits behind the point  # fmt: skip
    known = [name for name in columns if name == "ratio" or any(name in row for row in rows.values())]
    lines = [" " * 16 + "".join(f"{columns[name][0]:>8}" for name in known)]
    for name, row in rows.items():
        row = row | ({"ratio": row["l1"] / base} if "l1" in row else {})
        cells = (f"{row[name]:8.{columns[name][1]}f}" if name in row else f"{'':8}" for name in known)
        lines.append(f"{name:<16}" + "".join(cells).rstrip())
    return "\n".join(lines)
