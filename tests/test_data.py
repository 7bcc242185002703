"""Data sets, folders and zips of pictures, and the order of the batches."""

import hashlib
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from common import UserError, data

CPU = Fabric(accelerator="cpu", devices=1)


def save(
    path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 20), colour: object = None, **options: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour if colour is not None else 0).save(path, **options)  # type: ignore[arg-type]
    return path


# ---------------------------------------------------------------------------------------------------- starter data


@pytest.mark.parametrize(
    ("name", "images_md5", "labels_md5"),
    [
        ("mnist-10k", "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
        ("fashion-10k", "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
    ],
)
def test_starter_sets_are_the_published_files(name: str, images_md5: str, labels_md5: str) -> None:
    pictures = data.load(name)
    assert isinstance(pictures.images, torch.Tensor)
    assert pictures.images.shape == (10_000, 1, 28, 28) and pictures.images.dtype == torch.uint8
    header = bytes([0, 0, 8, 3, *(10_000).to_bytes(4, "big"), 0, 0, 0, 28, 0, 0, 0, 28])
    assert hashlib.md5(header + pictures.images.numpy().tobytes()).hexdigest() == images_md5
    header = bytes([0, 0, 8, 1, *(10_000).to_bytes(4, "big")])
    assert hashlib.md5(header + pictures.labels.numpy().astype(np.uint8).tobytes()).hexdigest() == labels_md5
    assert len(pictures.classes) == 10


def test_size_and_channels_can_be_chosen() -> None:
    digits = data.load("mnist-10k", size=32, channels=3)
    assert digits.images.shape == (10_000, 3, 32, 32) and (digits.size, digits.channels) == (32, 3)
    mean = data.load("mnist-10k").images[:100].float().mean().item()  # type: ignore[index, union-attr]
    assert digits.images[:100].float().mean().item() == pytest.approx(mean, rel=0.02)  # type: ignore[index, union-attr]


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
def test_full_sets_are_read_from_the_authors_files(
    name: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    images, labels = np.random.default_rng(0).integers(0, 256, (30, 28, 28)), np.arange(30) % 10
    for part, count in (("train", 30), ("t10k", 20)):
        write_idx(tmp_path / folder / f"{part}-images-idx3-ubyte", images[:count])
        write_idx(tmp_path / folder / f"{part}-labels-idx1-ubyte", labels[:count])
    train, test = data.load(name), data.load(name, split="test")
    assert (len(train), len(test)) == (30, 20)
    assert torch.equal(train.images[:, 0], torch.from_numpy(images.astype(np.uint8)))  # type: ignore[index, call-overload]
    assert train.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_failed_download_names_the_remedy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    with pytest.raises(UserError, match=f"--data {name}: the download failed.*mnist-10k"):
        data.load(name)


# ---------------------------------------------------------------------------------------------- your own pictures


def test_every_common_kind_of_picture_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    save(folder / "01_grey.png", "L", colour=200)
    save(folder / "02_rgba.png", "RGBA", colour=(200, 0, 0, 0))  # fully transparent: white
    palette = Image.new("RGB", (20, 20), (200, 100, 50)).quantize(4)
    palette.save(folder / "03_palette.gif")
    Image.fromarray(np.full((20, 20), 200 * 257, np.uint16)).save(folder / "04_sixteen_bit.png")
    save(folder / "05_cmyk.jpg", "CMYK", colour=(0, 255, 255, 0), quality=95)  # red
    save(folder / "06_wide.JPEG", size=(64, 20), colour=(10, 20, 30))
    save(folder / "07_webp.webp", colour=(200, 200, 200))
    save(folder / "08_grey_alpha.png", "LA", colour=(0, 0))
    pictures = data.load(str(folder), size=16)
    images = pictures.images[list(range(8))].float()  # type: ignore[index]
    assert images.shape == (8, 3, 16, 16)
    means = images.mean((2, 3))
    expected = [
        (200, 200, 200), (255, 255, 255), (200, 100, 50), (200, 200, 200), (255, 0, 0), (10, 20, 30), (200, 200, 200), (255,) * 3,
    ]  # fmt: skip
    torch.testing.assert_close(means, torch.tensor(expected).float(), atol=8, rtol=0)
    grey = data.load(str(folder), size=16, channels=1)
    assert grey.images.shape == (8, 1, 16, 16)


def test_cameras_that_turn_pictures_are_obeyed(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 20))
    picture.paste((255, 255, 255), (0, 0, 20, 10))  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right: white ends up on the right
    (tmp_path / "folder").mkdir()
    picture.save(tmp_path / "folder" / "turned.jpg", exif=exif, quality=95)
    image = data.load(str(tmp_path / "folder"), size=20).images[[0]][0].float()  # type: ignore[index]
    assert image[:, :, 12:].mean() > 240 and image[:, :, :8].mean() < 15


def test_subfolders_are_classes_and_a_zip_equals_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for i in range(3):
        save(folder / "cats" / f"{i}.png", colour=(i, 0, 0))
        save(folder / "dogs" / f"{i}.png", colour=(0, i, 0))
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", folder)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("__MACOSX/cats/._0.png", b"not a picture")
    from_folder, from_zip = data.load(str(folder), size=8), data.load(archive, size=8)
    assert from_folder.classes == from_zip.classes == ("cats", "dogs")
    assert from_folder.labels.tolist() == from_zip.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(from_folder.images, from_zip.images)  # type: ignore[arg-type]


def test_a_set_that_exceeds_the_memory_is_decoded_batch_by_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        save(tmp_path / f"{i:02d}.png", colour=(i * 20, 0, 0))
    whole = data.load(str(tmp_path), size=8)
    monkeypatch.setattr(data, "MEMORY_LIMIT", 100)
    lazy = data.load(str(tmp_path), size=8)
    assert isinstance(lazy.images, data.PictureFiles) and isinstance(whole.images, torch.Tensor)
    assert lazy.images.shape == tuple(whole.images.shape)
    streams = [data.batches(pictures, 4, seed=3, fabric=CPU) for pictures in (whole, lazy)]
    for _ in range(5):
        (first, _), (second, _) = (next(stream) for stream in streams)
        assert torch.equal(first, second)


def test_bad_data_gets_one_line_that_names_the_thing(tmp_path: Path) -> None:
    def message(name: str, **options: int) -> str:
        with pytest.raises(UserError) as caught:
            data.load(name, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "did you mean mnist-10k" in message("mnist-10")
    assert "unknown data '/no/such/folder'" in message("/no/such/folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no pictures" in message(str(empty)) and "empty" in message(str(empty))
    (empty / "notes.txt").write_text("hello")
    assert "1 × .txt" in message(str(empty))
    broken = tmp_path / "broken"
    for i in range(3):
        save(broken / f"{i}.jpg", size=(200, 200))
    whole = (broken / "1.jpg").read_bytes()
    (broken / "1.jpg").write_bytes(whole[: len(whole) // 2])
    assert "1.jpg" in message(str(broken)) and "0.jpg" not in message(str(broken))
    (broken / "1.jpg").write_text("no picture at all")
    assert "1.jpg" in message(str(broken))
    assert "neither a folder nor a zip" in message(str(broken / "0.jpg"))
    assert "--size" in message("mnist-10k", size=-3)
    assert "--channels" in message("mnist-10k", channels=2)


def test_files_that_are_no_pictures_are_named_not_hidden(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_text("hidden")
    assert data.load(str(tmp_path)).note == "left out files that are no pictures by their ending: 1 × .txt"


# ---------------------------------------------------------------------------------------------------------- batches


def test_batches_are_float_in_the_right_range_and_cover_the_set() -> None:
    digits = data.load("mnist-10k")
    stream = data.batches(digits, 1000, seed=0, fabric=CPU)
    epoch = [next(stream) for _ in range(10)]
    pictures = torch.cat([images for images, _ in epoch])
    assert pictures.dtype == torch.float32 and pictures.min() == -1 and pictures.max() == 1
    counts = torch.cat([labels for _, labels in epoch]).bincount()
    assert torch.equal(counts, digits.labels.bincount())  # each picture exactly once an epoch
    repeat = next(data.batches(digits, 1000, seed=0, fabric=CPU))
    assert torch.equal(epoch[0][0], repeat[0])
    assert not torch.equal(epoch[0][0], next(stream)[0])  # the next epoch has another order


@pytest.mark.parametrize("start", [0, 1, 4, 5, 11])
def test_the_order_goes_on_from_any_batch(start: int) -> None:
    whole = iter(data.ShuffledOrder(50, 10, seed=1))
    expected = [next(whole) for _ in range(20)]
    later = iter(data.ShuffledOrder(50, 10, seed=1, start=start))
    assert [next(later) for _ in range(20 - start)] == expected[start:]


def test_two_processes_share_the_batch_of_one() -> None:
    orders = [iter(data.ShuffledOrder(50, 10, seed=1, rank=rank, world_size=2)) for rank in range(2)]
    one = iter(data.ShuffledOrder(50, 10, seed=1))
    for _ in range(12):
        assert next(orders[0]) + next(orders[1]) == next(one)


def test_a_batch_larger_than_the_set_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(UserError, match="--batch-size 2 is more than the 1 pictures"):
        next(data.batches(data.load(str(tmp_path)), 2, 0, CPU))


def test_importing_draws_no_random_numbers_and_touches_no_folder() -> None:
    state = random.getstate(), torch.get_rng_state().clone(), Path.cwd()
    import importlib

    for name in ("common.data", "common.images", "common.checkpoint"):
        importlib.import_module(name)
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1]) and Path.cwd() == state[2]
