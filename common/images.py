"""Pictures on their way in and out. Inside the course a picture is float32 in [-1, 1]; only this file converts.

Shape letters: N pictures, C channels (1 grey or 3 colours), H height, W width.
"""

import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image
from torchvision.utils import make_grid

from common.checkpoint import write_atomically


def to_float(pictures: Tensor) -> Tensor:
    """uint8 [N, C, H, W] in 0..255 -> float32 in [-1, 1], on the same device."""
    return pictures.float().div_(127.5).sub_(1)


def to_uint8(pictures: Tensor) -> Tensor:
    """float [N, C, H, W] in [-1, 1] -> uint8 in 0..255. Rounded, not cut off, and values beyond the range are clamped."""
    return pictures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def grid(pictures: Tensor, columns: int = 8, scale: int = 1) -> Image.Image:
    """Lay float [N, C, H, W] in [-1, 1] out in rows of `columns`; each pixel becomes `scale` × `scale`."""
    sheet = make_grid(to_uint8(pictures.detach().cpu()), nrow=columns, padding=2, pad_value=255)  # [3, H, W]
    picture = Image.fromarray(sheet.permute(1, 2, 0).numpy())
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def save_all(pictures: Tensor, path: Path, columns: int = 8, scale: int = 1, separate: bool = False) -> list[Path]:
    """Write a grid of float [N, C, H, W] in [-1, 1], and with `separate` each picture in a file of its own in a folder beside it."""
    written = [save_picture(grid(pictures, columns, scale), path)]
    for number, picture in enumerate(to_uint8(pictures.cpu()) if separate else ()):
        save_picture(to_pil_image(picture), path.with_suffix("") / f"{number:05d}.png")
    return [*written, path.with_suffix("")] if separate else written


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture, whole or not at all; the format follows the file's ending."""
    buffer = io.BytesIO()
    picture.save(buffer, Image.registered_extensions()[path.suffix.lower()])
    return write_atomically(path, buffer.getvalue())


def save_gif(frames: list[Image.Image], path: Path, seconds_per_frame: float = 0.06, colours: int = 64) -> Path:
    """Write an endless GIF with at most `colours` colours, which keeps the file small."""
    buffer = io.BytesIO()
    first, *rest = (frame.convert("RGB").quantize(colours, dither=Image.Dither.NONE) for frame in frames)
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=round(1000 * seconds_per_frame), loop=0)
    return write_atomically(path, buffer.getvalue())
