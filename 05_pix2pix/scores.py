"""Four numbers for a translation, each against the true picture of the same place.

L1 in units of [-1, 1] (what the training minimises), PSNR and SSIM from torchmetrics, and `detail`, which asks what the others do not:
is there as much fine structure as in the truth? A blurred picture has a good L1 and little detail.

Shape letters: N pictures, C channels, H = W = size. Pictures are rounded as they would be on disk.
"""

import math

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from common.images import to_float, to_uint8
from common.scores import distances


def fine_power(pictures: Tensor) -> Tensor:
    """Mean power of the finest structures, waves shorter than 4 pixels: [N, C, H, W] -> a number.

    The mean is over pictures, channels, and all such frequencies of the discrete Fourier transform.
    """
    size = pictures.shape[-1]
    power = torch.fft.fft2(pictures.float(), norm="ortho").abs().square()  # [N, C, H, W]
    frequency = torch.fft.fftfreq(size)  # waves a pixel, -1/2 to 1/2
    fine = torch.hypot(frequency[:, None], frequency[None, :]) > 0.25
    return power[..., fine].mean()


def compare(fake: Tensor, truth: Tensor) -> dict[str, float]:
    """L1, PSNR (dB), SSIM and detail of fakes float [N, C, H, W] in [-1, 1]; each is a mean over the pictures but detail."""
    fine = fine_power(to_float(to_uint8(fake))) / fine_power(to_float(to_uint8(truth)))
    return distances(fake, truth) | {"detail": fine.item()}


def references(train_truth: Tensor, truth: Tensor) -> dict[str, dict[str, float]]:
    """The same numbers for answers that need no network: the mean training picture, and the truth itself, blurred."""
    mean = train_truth.mean(0, keepdim=True).expand_as(truth)
    return {
        "mean predictor": compare(mean, truth),
        "blurred truth": compare(gaussian_blur(truth, [5, 5], [1.0, 1.0]), truth),
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows of numbers as text; `ratio` is the L1 over that of the mean predictor."""
    base = rows["mean predictor"]["l1"] or math.nan  # 0 where all pictures are the same
    lines = [f"{'':<16} {'L1':>7} {'ratio':>6} {'PSNR':>6} {'SSIM':>6} {'detail':>7}"]
    for name, row in rows.items():
        lines.append(
            f"{name:<16} {row['l1']:7.4f} {row['l1'] / base:6.2f} {row['psnr']:6.2f} {row['ssim']:6.3f} {row['detail']:7.2f}"
        )
    return "\n".join(lines)
