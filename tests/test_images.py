"""The one place where pictures change their range."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from common import images


def test_uint8_survives_the_round_trip() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    as_float = images.to_float(every)
    assert (as_float.min(), as_float.max(), as_float.dtype) == (-1, 1, torch.float32)
    assert torch.equal(images.to_uint8(as_float), every)


def test_values_are_rounded_and_clamped_not_wrapped() -> None:
    assert images.to_uint8(torch.tensor([-3.0, -1.0, 0.999 / 127.5, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]


def test_a_grid_lays_pictures_out_in_rows() -> None:
    pictures = torch.full((3, 1, 4, 4), -1.0)
    pictures[1] = 1
    sheet = images.grid(pictures, columns=2, scale=3)
    assert sheet.size == ((2 * 6 + 2) * 3, (2 * 6 + 2) * 3)
    assert sheet.getpixel((3 * 3, 3 * 3)) == (0, 0, 0)
    assert sheet.getpixel((9 * 3, 3 * 3)) == (255, 255, 255)
    assert sheet.getpixel((3 * 3, 9 * 3)) == (0, 0, 0)


def test_gif_has_every_frame_and_loops(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(5)]
    path = images.save_gif(frames, tmp_path / "a.gif", seconds_per_frame=0.1)
    with Image.open(path) as gif:
        assert getattr(gif, "n_frames", 1) == 5 and gif.info["loop"] == 0
        gif.seek(4)
        assert gif.convert("RGB").getpixel((4, 4)) == pytest.approx((160, 0, 0), abs=4)
