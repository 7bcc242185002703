"""Distances that need no network: to the true picture, to the nearest training picture, to the modes of points in the plane."""

from typing import Any

import torch
from torch import Tensor

from common import data, images


def distances(fake: Tensor, truth: Tensor) -> dict[str, float]:
    """L1, PSNR (dB) and SSIM of float pictures [N, C, H, W] in [-1, 1] against the true ones, each a mean over the pictures.

    Pictures are rounded as they would be on disk. L1 is in units of [-1, 1], 0 to 2; SSIM is at most 1.
    """
    from torchmetrics.functional import image  # here, since it takes a second to load

    fake, truth = images.to_float(images.to_uint8(fake)), images.to_float(images.to_uint8(truth))
    # SSIM is made for numbers from 0 up: it multiplies means. A few at a time: small blocks of memory are used again.
    pairs = zip(((fake + 1) / 2).split(8), ((truth + 1) / 2).split(8), strict=True)
    ssim = [image.structural_similarity_index_measure(*pair, data_range=1.0, reduction="none") for pair in pairs]
    return {
        "l1": (fake - truth).abs().mean().item(),
        "psnr": image.peak_signal_noise_ratio(fake, truth, data_range=2.0, dim=(1, 2, 3)).item(),
        "ssim": torch.cat(ssim).mean().item(),  # type: ignore[arg-type]
    }


def beside_nearest(samples: Tensor, data_name: str, **reading: Any) -> Tensor:
    """Float samples [N, C, H, W], and behind them the training picture nearest to each: [2N, C, H, W], two rows of a grid."""
    real = data.load(data_name, size=samples.shape[-1], channels=samples.shape[1], **reading).all()
    return torch.cat([samples.cpu(), images.to_float(real[nearest(images.to_uint8(samples).cpu(), real)])])


def nearest(pictures: Tensor, training: Tensor) -> Tensor:
    """For each of uint8 pictures [N, C, H, W], the index of the nearest training picture in pixel distance (L2), [N]."""
    pictures = pictures.flatten(1).float()
    parts = training.flatten(1).split(1000)  # as floats all of them would fill the memory
    return torch.cat([torch.cdist(pictures, part.float()) for part in parts], dim=1).argmin(1)


def modes_covered(points: Tensor, centres: Tensor, std: float) -> tuple[int, float]:
    """Count the modes of a Gaussian mixture in the plane that samples reach.

    A point [N, 2] is in a mode if it lies within 3 standard deviations of its centre; a mode is covered if it has at least
    a quarter of its fair share of the points. Returns the modes covered and the share of points that are in any mode.
    """
    distance, mode = torch.cdist(points, centres).min(1)
    inside = mode[distance < 3 * std]
    counts = inside.bincount(minlength=len(centres))
    return int((counts >= len(points) / len(centres) / 4).sum()), len(inside) / len(points)
