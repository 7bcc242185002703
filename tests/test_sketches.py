"""Drawings of faces: lines without colours, pairs with the faces of `avatars`, and piles that share no face."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from scipy import ndimage

from common import art, data
from common.data import faces, pictures

NUMBER = 30


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own, in which a split has 30 faces; sizes from 40 pixels are drawn when indexed."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("drawn")
        patch.setenv("GAN_DATA", str(folder))
        patch.setattr(faces, "NUMBER", NUMBER)
        patch.setattr(pictures, "MEMORY_LIMIT", 3 * NUMBER * 40 * 40 - 1)
        patch.setattr(faces, "SIZE", 16)  # where large faces have their attributes from
        yield folder


def numbers_of(pile: data.Pictures, among: torch.Tensor) -> list[int]:
    """The place of each picture of a pile among those of a whole split [N, 3, S, S]."""
    places = {picture.numpy().tobytes(): place for place, picture in enumerate(among)}
    assert len(places) == len(among)
    return [places[picture.numpy().tobytes()] for picture in pile.all()]


def drawing(seed: str, size: int) -> np.ndarray:
    return art.draw_one(seed, "sketches", (size,))[0][0][..., 0]


# ------------------------------------------------------------------------------------------------- the drawing


@pytest.mark.parametrize("size", [32, 64, 256])
def test_a_drawing_is_dark_lines_on_white_paper(size: int) -> None:
    drawings = np.stack([drawing(f"train-{i}", size) for i in range(8)])
    assert drawings.shape == (8, size, size) and drawings.dtype == np.uint8
    assert drawings.min((1, 2)).max() < 80  # each has black in it
    assert 0.5 < (drawings == 255).mean() < 0.95


def test_a_drawing_has_the_same_lines_at_every_size() -> None:
    for i in range(4):
        large = drawing(f"train-{i}", 256).reshape(64, 4, 64, 4).mean((1, 3))
        assert np.abs(large - drawing(f"train-{i}", 64)).mean() < 5


def test_a_drawing_says_nothing_about_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [f"train-{i}" for i in range(12)]
    known = {part: values[1:] for part, values in art._style("avataaars")[1].items() if part.endswith("Color")}
    before = [(drawing(seed, 64), art.draw_one(seed, "avatars", (64,))[0][0]) for seed in seeds]
    for which in (0, 1, -1):
        monkeypatch.setattr(art, "OPTIONS", art.OPTIONS | {part: [known[part][which]] for part in known})
        for seed, (lines, face) in zip(seeds, before, strict=True):
            assert np.array_equal(drawing(seed, 64), lines), f"{seed}, colours {which}"
            assert np.abs(art.draw_one(seed, "avatars", (64,))[0][0].astype(int) - face).mean() > 10


def test_outlines_are_closed_and_where_the_face_has_them() -> None:
    """Paper within lines is all background or all face: no gap in a line lets one run into the other."""
    names = art.attribute_names("sketches")
    for i in range(12):
        (face,), attributes = art.draw_one(f"train-{i}", "avatars", (256,))
        colour = art._style("avataaars")[1]["backgroundColor"][attributes[names.index("backgroundColor")]]
        background = (face == np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)).all(2)
        regions, count = ndimage.label(drawing(f"train-{i}", 256) == 255)
        shares = np.array(ndimage.mean(background, regions, range(1, count + 1)))
        sizes = np.array(ndimage.sum(regions > 0, regions, range(1, count + 1)))
        assert count > 5 and background.mean() > 0.2
        mixed = np.minimum(shares, 1 - shares) * sizes
        assert mixed.max() < 100, f"train-{i}: a region of paper is {mixed.max():.0f} pixels of both"


# ---------------------------------------------------------------------------------------------- pairs and piles


@pytest.mark.parametrize("size", [16, 40])
def test_pairs_are_drawings_and_the_faces_of_avatars(drawn: Path, size: int) -> None:
    found = data.load_pairs("sketches", size)
    alone, coloured = data.load("sketches", size), data.load("avatars", size)
    assert isinstance(found.images, torch.Tensor) == (size < 40)
    assert len(found) == NUMBER and found.size == size and found.images.shape == (NUMBER, 6, size, size)
    assert alone.channels == 1 and torch.equal(found.a, alone.all().expand(-1, 3, -1, -1))
    assert torch.equal(found.b, coloured.all())
    assert torch.equal(found.labels, coloured.labels)
    assert torch.equal(alone.labels, coloured.labels) and found.classes == alone.classes == coloured.classes
    a, b = next(data.batches(found, 4, 0, Fabric(accelerator="cpu", devices=1)))
    assert a.shape == b.shape == (4, 3, size, size) and torch.equal(a[:, 0], a[:, 2])


def test_drawings_are_kept(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load("sketches", 16)
    assert (drawn / "avatars" / "sketches-train-16.npz").exists()
    monkeypatch.setattr(faces, "ProcessPoolExecutor", None)  # nothing is drawn
    again = data.load("sketches", 16)
    assert torch.equal(again.all(), first.all()) and torch.equal(again.labels, first.labels)


def test_drawings_can_have_three_channels_and_another_size(drawn: Path) -> None:
    for size in (16, 40):
        coloured = data.load("sketches", size, channels=3)
        assert coloured.channels == 3
        assert torch.equal(coloured.all(), data.load("sketches", size).all().expand(-1, 3, -1, -1))


def test_no_face_is_in_both_splits(drawn: Path) -> None:
    train, test = (data.load_pairs("sketches", 16, split) for split in ("train", "test"))
    for of in ("a", "b"):
        splits = [{picture.numpy().tobytes() for picture in getattr(split, of)} for split in (train, test)]
        assert [len(split) for split in splits] == [NUMBER, NUMBER] and not splits[0] & splits[1]


@pytest.mark.parametrize("size", [16, 40])
def test_piles_share_no_face_and_have_orders_of_their_own(drawn: Path, size: int) -> None:
    piles, whole = data.load_unpaired("sketches", size), data.load_pairs("sketches", size)
    first, second = numbers_of(piles[0], whole.a), numbers_of(piles[1], whole.b)
    half = NUMBER // 2
    assert sorted(first) == list(range(half)) and sorted(second) == list(range(half, NUMBER))
    orders: list[Any] = [[number % half for number in numbers] for numbers in (first, second)]
    assert orders[0] != orders[1] and all(order != sorted(order) for order in orders)
    for pile, numbers in zip(piles, (first, second), strict=True):
        assert torch.equal(pile.labels, whole.labels[numbers]) and pile.classes == whole.classes
        assert pile.channels == 3 and pile.size == size


def test_the_test_piles_are_true_pairs(drawn: Path) -> None:
    a, b = data.load_unpaired("sketches", 16, "test")
    whole = data.load_pairs("sketches", 16, "test")
    assert torch.equal(a.all(), whole.a) and torch.equal(b.all(), whole.b)
    assert torch.equal(a.labels, b.labels) and torch.equal(a.labels, whole.labels)
