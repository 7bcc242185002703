"""Pairs and piles: the satellite picture and its map, the authors' layouts, folders of one's own, and wrong input."""

import contextlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from common import UserError, data
from common.data import pairs, pictures, satellite
from tests.conftest import CHAPTERS

CPU = Fabric(accelerator="cpu", devices=1)


def picture(path: Path, left: str = "red", right: str | None = "blue", size: int = 20, mode: str = "RGB") -> Path:
    """A square, or two side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = Image.new("RGB", (size * (2 if right else 1), size), left)
    if right:
        whole.paste(Image.new("RGB", (size, size), right), (size, 0))
    whole.convert(mode).save(path)
    return path


def colour(pictures: torch.Tensor) -> list[int]:
    return pictures.float().mean((0, 2, 3)).round().int().tolist()


# ------------------------------------------------------------------------------------------- satellite and map


@pytest.mark.parametrize("size", [32, 64, 256, 512])
def test_train_and_test_tiles_share_no_pixel(size: int) -> None:
    """By painting what each tile is cut from; resizing comes after the cut, and reads nothing else."""
    land, cut = np.ones((2700, 5400), bool), satellite.pixels_cut(size)
    seen = {}
    for split in ("train", "test"):
        seen[split] = np.zeros((2700, 5400), bool)
        for r, c in satellite.corners(land, cut, split):
            seen[split][r : r + cut, c : c + cut] = True
    assert seen["train"].any() and seen["test"].any()
    assert not (seen["train"] & seen["test"]).any()
    for where in seen.values():
        assert not where[: satellite.NORTH].any() and not where[satellite.SOUTH :].any()


def test_no_pixel_of_a_split_depends_on_pixels_of_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The proof by experiment: noise in all test bands of both sources, at their full resolution, changes no training tile."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (45, 90, 3), np.uint8))  # a small world: a sixtieth of each side
    monkeypatch.setattr(satellite, "BAND", 5 * 64)
    monkeypatch.setattr(satellite, "NORTH", 0)
    monkeypatch.setattr(satellite, "SOUTH", 180)
    sizes = {"bmng.jpg": (6 * 320, 180), "shadedrelief.jpg": (12 * 320, 360)}

    def world_with(noise_in: int | None) -> None:
        for name, (width, height) in sizes.items():
            pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).copy()
            if noise_in is not None:
                band = width // 6
                pixels[:, noise_in * band : (noise_in + 1) * band] = rng.integers(0, 255, (height, band, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name, "PNG")

    monkeypatch.setattr(satellite, "files", lambda _: tmp_path)
    monkeypatch.setattr(satellite, "is_land", lambda relief: np.ones(relief.shape[:2], bool))
    found = []
    for number, noise_in in enumerate((None, satellite.TEST_BAND)):
        world_with(noise_in)
        found.append({s: satellite.tiles(32, s, tmp_path / str(number))[0].numpy() for s in ("train", "test")})
    assert np.array_equal(found[0]["train"], found[1]["train"])
    assert not np.array_equal(found[0]["test"], found[1]["test"])


def test_satellite_map_has_the_promised_tiles() -> None:
    train, test = (pairs.load_pairs("satellite-map", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (2347, 426) and (train.size, train.channels) == (64, 3)
    assert train.a.shape == train.b.shape == (2347, 3, 64, 64) and train.a.dtype == torch.uint8
    a, b = test[[3, 5]]
    assert torch.equal(a, test.a[[3, 5]]) and torch.equal(b, test.b[[3, 5]])
    # A is Blue Marble and B the relief, cut at the same place: the sea is dark in one and light blue in the other
    both, places = (found.numpy() for found in satellite.tiles(64, "test", data.data_root() / "satellite-map"))
    sea = ~satellite.is_land(both[:, 3:].transpose(0, 2, 3, 1))
    assert 0.2 < sea.mean() < 0.4 and (1 - sea.mean((1, 2))).min() >= satellite.LAND
    assert both[:, :3].mean(1)[sea].mean() < 75 and both[:, 3:].mean(1)[sea].mean() > 170
    satellite_picture, relief = satellite.world()
    r, c = places[100]
    assert np.array_equal(both[100, :3], satellite_picture[r : r + 64, c : c + 64].transpose(2, 0, 1))
    assert np.array_equal(both[100, 3:], relief[r : r + 64, c : c + 64].transpose(2, 0, 1))


def test_larger_tiles_show_more_and_smaller_ones_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert [satellite.pixels_cut(size) for size in (32, 64, 128, 256, 512)] == [64, 64, 128, 256, 256]
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    small, middle = (pairs.load_pairs("satellite-map", size, "test").a for size in (32, 64))
    assert len(small) == len(middle)
    halved = torch.nn.functional.avg_pool2d(middle.float(), 2)
    assert (small.float() - halved).abs().mean() < 3  # levels of 255
    assert (tmp_path / "satellite-map" / "test-32.npz").stat().st_size > 1e5
    (tmp_path / "satellite-map" / "test-32.npz").write_bytes(b"cut off")
    assert torch.equal(pairs.load_pairs("satellite-map", 32, "test").a, small)  # cut again


def test_unpaired_sides_come_from_other_regions_in_random_order() -> None:
    a, b = pairs.load_unpaired("satellite-map")
    assert (len(a), len(b)) == (945, 1402) and a.size == b.size == 64
    both, places = (found.numpy() for found in satellite.tiles(64, "train", data.data_root() / "satellite-map"))
    numbers = {tile[:3].tobytes(): i for i, tile in enumerate(both)}
    where_a = [numbers[tile.numpy().tobytes()] for tile in a.images]  # type: ignore[union-attr]
    numbers = {tile[3:].tobytes(): i for i, tile in enumerate(both)}
    where_b = [numbers[tile.numpy().tobytes()] for tile in b.images]  # type: ignore[union-attr]
    bands_a, bands_b = ({int(places[i, 1]) // satellite.BAND for i in where} for where in (where_a, where_b))
    assert not bands_a & bands_b and len(bands_a) >= 6 and len(bands_b) >= 6
    assert not any(band % 6 == satellite.TEST_BAND for band in bands_a | bands_b)
    for where in (where_a, where_b):  # in order, the correlation with the index would be near 1
        assert abs(np.corrcoef(np.arange(len(where)), where)[0, 1]) < 0.1
    test_a, test_b = pairs.load_unpaired("satellite-map", split="test")
    assert torch.equal(torch.as_tensor(test_a.images), pairs.load_pairs("satellite-map", split="test").a)
    assert torch.equal(torch.as_tensor(test_b.images), pairs.load_pairs("satellite-map", split="test").b)


def test_batches_of_pairs_keep_the_sides_together() -> None:
    number = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    found = data.Pairs("numbers", torch.cat([number, 2 * number], 1))
    stream = data.batches(found, 8, 0, CPU)
    drawn = [next(stream) for _ in range(5)]
    for a, b in drawn:
        assert a.shape == (8, 3, 4, 4) and a.dtype == torch.float32 and a.min() >= -1 and b.max() <= 1
        torch.testing.assert_close(b + 1, 2 * (a + 1))
    order = torch.cat([a[:, 0, 0, 0] for a, _ in drawn]).add(1).mul(127.5).round().int().tolist()
    assert sorted(order) == list(range(40)) and order != sorted(order)
    again = data.batches(found, 8, 0, CPU, start=3)
    assert torch.equal(next(again)[0], drawn[3][0])


# -------------------------------------------------------------------------------- the authors' archives, own folders


def test_a_paired_archive_is_read_as_the_authors_lay_it_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path / "data"))
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            picture(tmp_path / "maps" / split / f"{i + 1}.jpg", size=60)
    archive = tmp_path / "maps.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "maps", "maps")
    asked = []

    def fetch(url: str, target: str) -> None:
        asked.append(url)
        Path(target).write_bytes(archive.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    train, test = pairs.load_pairs("maps", 32), pairs.load_pairs("maps", 32, "test")
    assert asked == ["http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/maps.tar.gz"]  # once
    assert (len(train), len(test), train.size) == (3, 2, 32)  # this archive has val/ and no test/
    assert colour(train.a)[0] > 240 and colour(train.b)[2] > 240  # left is A
    assert sorted(path.name for path in (tmp_path / "data" / "pix2pix").iterdir()) == ["maps"]


def test_an_unpaired_archive_is_read_as_the_authors_lay_it_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path / "data"))
    counts = {"trainA": 4, "trainB": 2, "testA": 1, "testB": 3}
    with zipfile.ZipFile(tmp_path / "horse2zebra.zip", "w") as archive:
        for folder, count in counts.items():
            for i in range(count):
                path = picture(tmp_path / "x.jpg", "red" if folder.endswith("A") else "green", None, size=40)
                archive.write(path, f"horse2zebra/{folder}/n0{i}.jpg")

    def fetch(url: str, target: str) -> None:
        assert url == "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/horse2zebra.zip"
        Path(target).write_bytes((tmp_path / "horse2zebra.zip").read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for split in ("train", "test"):
        a, b = pairs.load_unpaired("horse2zebra", split=split)
        assert (len(a), len(b)) == (counts[f"{split}A"], counts[f"{split}B"]) and a.size == 64
        assert colour(torch.as_tensor(a.images))[0] > 240 and colour(torch.as_tensor(b.images))[1] > 120


def test_pictures_outside_of_the_four_folders_are_named(tmp_path: Path) -> None:
    for i, folder in enumerate(("trainA", "trainB", "testA", "trainC")):
        picture(tmp_path / folder / f"{i}.png", "red", None)
    a, b = pairs.load_unpaired(str(tmp_path))
    assert len(a) == len(b) == 1
    assert a.note == b.note == "left out 1 picture(s) beside the four folders, such as trainC/3.png"


def test_a_failed_download_names_the_folder_and_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path))

    def fail(url: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(UserError) as caught:
        pairs.load_pairs("facades")
    message = str(caught.value)
    assert "\n" not in message and "facades.tar.gz" in message and str(tmp_path / "pix2pix" / "facades") in message
    with pytest.raises(UserError, match=r"horse2zebra\.zip.*cyclegan.*without a network use satellite-map"):
        pairs.load_unpaired("horse2zebra")
    assert not list(tmp_path.rglob("*.*"))  # nothing half done is left


def test_folders_a_and_b_are_paired_by_name_and_not_by_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path / "data"))
    own = tmp_path / "pairs"
    for i, (left, right) in enumerate([("red", "cyan"), ("lime", "magenta"), ("blue", "yellow")]):
        name = f"_{i}" if i == 2 else str(i)  # a camera's name, not a hidden file
        picture(own / "A" / f"{name}.png", left, None)
        picture(own / "B" / f"{name}.{'bmp' if i == 1 else 'png'}", right, None)  # sorts differently
    (own / "A" / "notes.txt").write_text("not a picture")
    (own / "A" / ".DS_Store").write_text("hidden")
    found = pairs.load_pairs(str(own), 16)
    assert len(found) == 3 and "left out files that are no pictures by their ending: 1 × .txt" in found.note
    assert torch.equal(found.a.int() + found.b.int(), torch.full_like(found.a.int(), 255))  # complementary colours
    with pytest.raises(UserError, match="has no pairs to test on"):
        pairs.load_pairs(str(own), 16, "test")
    picture(own / "test" / "A" / "7.png", "red", None)
    picture(own / "test" / "B" / "7.png", "blue", None)
    assert len(pairs.load_pairs(str(own), 16, "test")) == 1
    assert len(pairs.load_pairs(str(own), 16)) == 3  # what is kept for tests is not trained on
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for path in [*own.glob("A/*.png"), *own.glob("B/*")]:
            archive.write(path, path.relative_to(own).as_posix()) if path.stem != "1" else None
    assert torch.equal(pairs.load_pairs(str(tmp_path / "own.zip"), 16).images, found.images[[0, 2]])  # type: ignore[index, arg-type]
    with zipfile.ZipFile(tmp_path / "folder.zip", "w") as archive:  # made from the folder, whose name encloses all
        for path in own.glob("[ABt]*/**/*.*"):
            archive.write(path, "own/" + path.relative_to(own).as_posix())
    assert torch.equal(pairs.load_pairs(str(tmp_path / "folder.zip"), 16).images, found.images)  # type: ignore[arg-type]
    assert len(pairs.load_pairs(str(tmp_path / "folder.zip"), 16, "test")) == 1


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_pairs_of_every_kind_of_file(tmp_path: Path, mode: str) -> None:
    ending = "tif" if mode == "CMYK" else "png"
    if mode == "I;16":
        grey = np.repeat(np.array([[0] * 20 + [65535] * 20], np.uint16), 20, 0)
        tmp_path.joinpath("x").mkdir()
        Image.fromarray(grey).save(tmp_path / "x" / "p.png")
    else:
        picture(tmp_path / "x" / f"p.{ending}", "black", "white", mode=mode)
    found = pairs.load_pairs(str(tmp_path / "x"), 8)
    assert colour(found.a) == [0, 0, 0] and colour(found.b) == [255, 255, 255]


def test_pairs_that_do_not_fit_in_memory_are_read_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for i in range(6):
        picture(tmp_path / f"{i}.png", (40 * i,) * 3, "white")  # type: ignore[arg-type]
    kept = pairs.load_pairs(str(tmp_path), 8)
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 0)
    lazy = pairs.load_pairs(str(tmp_path), 8)
    assert isinstance(lazy.images, data.LazyPictures) and len(lazy) == 6 and lazy.size == 8
    assert torch.equal(lazy.a, kept.a) and torch.equal(lazy[[4, 1]][0], kept.a[[4, 1]])


@pytest.mark.parametrize(
    ("name", "lazily"),
    [
        ("beside", False),
        ("beside", True),
        ("folders", False),
        ("folders", True),
        ("satellite-map", False),
        ("sketches", True),
    ],
)
def test_each_side_may_be_grey(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, lazily: bool) -> None:
    """One channel of what would be read in colour: 0.2989 red, 0.587 green, 0.114 blue, up to rounding."""
    for i in range(3):
        picture(tmp_path / "beside" / f"{i}.png", (200, 40 * i, 0), (0, 10, 250))  # type: ignore[arg-type]
        for side, shade in (("A", (200, 40 * i, 0)), ("B", (0, 10, 250))):
            picture(tmp_path / "folders" / side / f"{i}.png", shade, None)  # type: ignore[arg-type]
    own = str(tmp_path / name) if (tmp_path / name).exists() else name
    if lazily:
        monkeypatch.setattr(pictures, "MEMORY_LIMIT", 0)
    size = 64 if name == "sketches" else 32  # of which other tests have drawn all
    chosen = {"size": size, "split": "test" if name == "satellite-map" else "train"}
    colours, grey = (pairs.load_pairs(own, **chosen, channels=channels) for channels in (3, 1))  # type: ignore[arg-type]
    assert (grey.channels, grey.size, len(grey)) == (1, size, len(colours))
    places, weights = [0, len(grey) - 1], torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)
    for side, seen in zip(colours[places], grey[places], strict=True):
        assert seen.shape == (2, 1, size, size) and seen.dtype == torch.uint8
        assert ((side * weights).sum(1, keepdim=True) - seen).abs().max() <= 1
    if name != "beside":
        both = [pairs.load_unpaired(own, **chosen, channels=channels) for channels in (3, 1)]  # type: ignore[arg-type]
        for pile, seen in zip(*both):
            assert seen.channels == 1 and seen[[0]][0].shape == (1, 1, size, size)
            assert ((pile[[0]][0] * weights).sum(1, keepdim=True) - seen[[0]][0]).abs().max() <= 1


def test_two_folders_of_the_same_names_are_not_cut_in_the_middle(tmp_path: Path) -> None:
    """input/ and target/ of another program, whose squares would be taken for pairs side by side."""
    for folder in ("input", "target"):
        picture(tmp_path / folder / "1.png", right=None)
    with pytest.raises(UserError, match=r"input and target of .* share names of pictures: call them A and B"):
        pairs.load_pairs(str(tmp_path))
    (tmp_path / "target" / "1.png").rename(tmp_path / "target" / "2.png")  # nor those of other names
    with pytest.raises(UserError, match=r"pictures in input/ and target/ look like pairs: put them into A/ and B/"):
        pairs.load_pairs(str(tmp_path))
    for folder, number in (("input", 1), ("target", 2)):  # two folders of pictures side by side
        picture(tmp_path / folder / f"{number}.png")
    assert len(pairs.load_pairs(str(tmp_path))) == 2


def test_two_sides_of_a_pair_in_one_folder_are_not_cut_in_the_middle(tmp_path: Path) -> None:
    for number in range(3):
        for side in ("orig", "flip"):
            picture(tmp_path / "alone" / f"{number}_{side}.png", right=None)
            picture(tmp_path / "beside" / f"{number}_{side}.png")
    with pytest.raises(UserError, match=r"pictures called …flip and …orig look like pairs: put them into A/ and B/"):
        pairs.load_pairs(str(tmp_path / "alone"))
    assert len(pairs.load_pairs(str(tmp_path / "beside"))) == 6  # the same names, and each a pair side by side
    picture(tmp_path / "alone" / "3_orig.png", right=None)  # not two of each
    assert len(pairs.load_pairs(str(tmp_path / "alone"))) == 7


@pytest.mark.parametrize("load", [pairs.load_pairs, pairs.load_unpaired])
def test_unknown_data_and_empty_folders_get_one_line(tmp_path: Path, load: object) -> None:
    for name, message in (
        ("satelite-map", "did you mean satellite-map"),
        ("/no/such/folder", "unknown data"),
        (str(tmp_path), f"no pictures in {tmp_path}"),
    ):
        with pytest.raises(UserError, match=message):
            load(name)  # type: ignore[operator]
    with pytest.raises(UserError, match="--size must be at least 4"):
        load("satellite-map", 2)  # type: ignore[operator]


def test_each_wrong_pair_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "wide" / "ok.png")
    picture(tmp_path / "wide" / "single.png", right=None, size=21)
    with pytest.raises(UserError, match=r"single\.png is no pair side by side: its halves would differ, at 21×21"):
        pairs.load_pairs(str(tmp_path / "wide"), 16)
    picture(tmp_path / "alone" / "A" / "one.png", right=None)
    picture(tmp_path / "alone" / "B" / "one.png", right=None)
    picture(tmp_path / "alone" / "B" / "two.png", right=None)
    with pytest.raises(UserError, match=r"B/two\.png in .*alone has no partner"):
        pairs.load_pairs(str(tmp_path / "alone"), 16)
    picture(tmp_path / "sizes" / "A" / "one.png", right=None, size=20)
    picture(tmp_path / "sizes" / "B" / "one.png", right=None, size=24)
    with pytest.raises(UserError, match=r"A/one\.png is 20×20 pixels and .*B/one\.png 24×24: they need one size"):
        pairs.load_pairs(str(tmp_path / "sizes"), 16)
    broken = picture(tmp_path / "broken" / "half.png")
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(UserError, match=r"cannot read the picture .*half\.png"):
        pairs.load_pairs(str(tmp_path / "broken"), 16)
    picture(tmp_path / "one_side" / "trainA" / "1.png", right=None)
    with pytest.raises(UserError, match=r"no pictures in a folder trainB/ \(trainA/, trainB/"):
        pairs.load_unpaired(str(tmp_path / "one_side"), 16)


def test_nothing_is_left_out_in_silence(tmp_path: Path) -> None:
    for side in "AB":
        picture(tmp_path / "own" / side / "1.png", right=None)
    assert pairs.load_pairs(str(tmp_path / "own"), 16).note == ""
    picture(tmp_path / "own" / "2.png")
    picture(tmp_path / "own" / "test" / "3.png")  # kept for tests: not left out
    found = pairs.load_pairs(str(tmp_path / "own"), 16)
    assert len(found) == 1 and found.note == "left out 1 picture(s) that belong to no pair, such as 2.png"
    picture(tmp_path / "beside" / "train" / "1.png")
    picture(tmp_path / "beside" / "2.png")
    assert "such as 2.png" in pairs.load_pairs(str(tmp_path / "beside"), 16).note
    assert pairs.load_pairs(str(tmp_path / "beside"), 16).note.startswith("side by side, cut in the middle")
    picture(tmp_path / "own" / "B" / "1.bmp", right=None)
    with pytest.raises(UserError, match=r"B/1\.(bmp|png) in .*own: another picture beside it has the same name"):
        pairs.load_pairs(str(tmp_path / "own"), 16)
    for side in "AB":
        for split in ("train", "test"):
            picture(tmp_path / "turned" / side / split / "1.png", right=None)
    for split in ("train", "test"):
        with pytest.raises(UserError, match=r"A/test/1\.png in .*turned: A/ and B/ go into train/ and test/"):
            pairs.load_pairs(str(tmp_path / "turned"), 16, split)


def test_a_set_of_the_other_kind_names_its_chapter() -> None:
    with pytest.raises(UserError, match="horse2zebra is a set without pairs: that is chapter 06's; Known: sat"):
        pairs.load_pairs("horse2zebra")
    with pytest.raises(UserError, match="night2day is a set of pairs: that is chapter 05's; Known: sat"):
        pairs.load_unpaired("night2day")
    assert "cityscapes" not in pairs.PAIRED + pairs.UNPAIRED  # its licence does not allow a download


@pytest.mark.parametrize("folder", CHAPTERS)
def test_one_process_fetches_the_data_before_the_others_read(
    folder: str, chapter: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train = chapter(folder, "train")
    alone: list[bool] = []

    @contextlib.contextmanager
    def rank_zero_first(fabric: Fabric) -> Iterator[None]:
        alone.append(True)
        yield
        alone.pop()

    sizes: list[int] = []  # chapters 07 and 08 read their pictures anew at each size

    def loaded(_: str, *size: int, **_more: object) -> data.Pictures:
        sizes.extend(size[:1])
        if alone and folder >= "07" and len(sizes) < 3:
            return data.load("mnist-10k", size[0], 1)
        raise KeyError("alone" if alone else "together")

    monkeypatch.setattr(train, "rank_zero_first", rank_zero_first)
    name = {"05_pix2pix": "load_pairs", "06_cyclegan": "load_unpaired"}.get(folder, "load")
    monkeypatch.setattr(train, name, loaded)
    with pytest.raises(KeyError, match="alone"):
        growing = {
            "07_progan": {"fade_images": ((4, 0),), "stable_images": ((4, 16),), "size": 16},
            "08_stylegan": {"fade_images": 0, "stable_images": 16, "size": 16},
        }.get(folder, {})
        train.train(train.Config(accelerator="cpu", max_steps=3, out=str(tmp_path / "run"), **growing))
    assert len(sizes) >= 3 or folder < "07"


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    upright = np.zeros((40, 20, 3), np.uint8)
    upright[:20] = 255  # stored as a column: turned, the white half lies on one side
    exif = Image.Exif()
    exif[0x0112] = 8  # "turn me by 90° to the left"
    buffer = io.BytesIO()
    Image.fromarray(upright).save(buffer, "PNG", exif=exif)
    (tmp_path / "p.png").write_bytes(buffer.getvalue())
    found = pairs.load_pairs(str(tmp_path), 8)
    assert colour(found.a) == [255, 255, 255] and colour(found.b) == [0, 0, 0]


@pytest.mark.parametrize("layout", ["train{}/", "train/{}/", "{}/"])
def test_each_layout_of_two_folders_serves_both_chapters(tmp_path: Path, layout: str) -> None:
    for side, shade in (("A", "red"), ("B", "blue")):
        for number in range(2):
            picture(tmp_path / layout.format(side) / f"{number}.png", shade, right=None)
    found = pairs.load_pairs(str(tmp_path), 16)
    assert len(found) == 2 and colour(found.a) == [255, 0, 0] and colour(found.b) == [0, 0, 255]
    piles = pairs.load_unpaired(str(tmp_path), 16)
    assert [colour(pile.all()) for pile in piles] == [[255, 0, 0], [0, 0, 255]]
    assert [(len(pile), pile.note) for pile in piles] == [(2, "")] * 2
    picture(tmp_path / "testA" / "9.png", right=None)
    picture(tmp_path / "testB" / "9.png", right=None)
    assert len(pairs.load_pairs(str(tmp_path), 16)) == 2  # what is kept for tests is not learned from
    assert len(pairs.load_pairs(str(tmp_path), 16, "test")) == 1


def test_pairs_side_by_side_may_have_any_even_width(tmp_path: Path) -> None:
    whole = Image.new("RGB", (300, 100), "red")
    whole.paste("blue", (150, 0, 300, 100))
    whole.save(tmp_path / "wide.png")
    found = pairs.load_pairs(str(tmp_path), 16)
    assert colour(found.a) == [255, 0, 0] and colour(found.b) == [0, 0, 255]


def test_masks_of_pairs_that_are_nearly_black_can_be_stretched_alone(tmp_path: Path) -> None:
    for side, most in (("A", 255), ("B", 3)):
        (tmp_path / "two" / side).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), most, np.uint8)).save(tmp_path / "two" / side / "1.png")
    Image.fromarray(np.repeat(np.array([[255, 3]], np.uint8), 8, 0).repeat(8, 1)).save(tmp_path / "one.png")
    (tmp_path / "beside").mkdir()
    (tmp_path / "one.png").rename(tmp_path / "beside" / "one.png")
    for name in ("two", "beside"):
        dark = pairs.load_pairs(str(tmp_path / name), 8)
        assert (
            "nearly black in B: no number is above 3 of 255 (--white 65535 3 " in dark.note and "in A" not in dark.note
        )
        bright = pairs.load_pairs(str(tmp_path / name), 8, white=(65535, 3))
        assert colour(bright.a) == colour(bright.b) == [255] * 3 and "black" not in bright.note
