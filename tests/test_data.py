"""Data sets, folders and zips of pictures, and the order of the batches."""

import hashlib
import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from lightning_fabric import Fabric
from PIL import Image
from torchvision.transforms.v2 import functional as resizing

from common import UserError, art, data
from common.data import faces, pictures
from tests.conftest import ROOT

CPU = Fabric(accelerator="cpu", devices=1)


@pytest.fixture(autouse=True)
def own_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is drawn or unpacked into the learner's folder."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("GAN_DATA", str(folder))
    return folder


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


@pytest.mark.parametrize("name", ["mnist-10k", "fashion-10k"])
def test_a_set_without_a_test_split_does_not_pass_the_training_for_it(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is a larger set's test split"):
        data.load(name, split="test")


def test_cifar10_is_read_from_the_authors_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five training batches and one test batch, pickled dictionaries of rows of 3,072 bytes, as in cifar-10-python.tar.gz."""
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    # torchvision compares the files with the published ones before it opens them; these are ours.
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows = np.random.default_rng(0).integers(0, 256, (60, 3072)).astype(np.uint8)
    for i, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        part = {"data": rows[10 * i : 10 * i + 10], "labels": list(range(10)), "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(part, protocol=2))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names, "num_cases_per_batch": 10}, protocol=2))
    train, test = data.load("cifar10"), data.load("cifar10", split="test")
    assert train.images.shape == (50, 3, 32, 32) and test.images.shape == (10, 3, 32, 32)
    assert torch.equal(train.all(), torch.from_numpy(rows[:50].reshape(-1, 3, 32, 32)))
    assert train.classes == tuple(names) and test.labels.tolist() == list(range(10))


@pytest.fixture
def celeba(own_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CelebA in small: img_align_celeba/ with 178×218 pictures, and the authors' five text files."""
    written: dict[str, str] = {}
    celeba = torchvision.datasets.celeba  # which compares the files with the published ones; these are ours
    monkeypatch.setattr(celeba, "check_integrity", lambda path, _: Path(path).read_text() == written[Path(path).name])
    monkeypatch.setattr(celeba, "download_file_from_google_drive", None)
    folder = own_root / "celeba"
    lines = {"list_attr_celeba": ["7", "Eyeglasses Male Smiling "], "list_eval_partition": [], "identity_CelebA": []}
    lines |= {"list_bbox_celeba": ["7", "image_id x_1"], "list_landmarks_align_celeba": ["7", "lefteye_x"]}
    for i, split in enumerate([0, 0, 0, 0, 1, 2, 2], 1):
        save(folder / "img_align_celeba" / f"{i:06d}.jpg", size=(178, 218), colour=(30 * i, 0, 0))
        for name, values in lines.items():
            own = {"list_attr_celeba": f" {'1' if i % 2 else '-1'} -1  1", "list_eval_partition": str(split)}
            values.append(f"{i:06d}.jpg {own.get(name, '5')}")
    for name, values in lines.items():
        written[f"{name}.txt"] = "\n".join(values) + "\n"
        (folder / f"{name}.txt").write_text(written[f"{name}.txt"])
    return folder


def test_celeba_is_read_from_the_authors_files(celeba: Path) -> None:
    train, test = data.load("celeba"), data.load("celeba", size=16, channels=1, split="test")
    assert train.images.shape == (4, 3, 64, 64) and test.images.shape == (2, 1, 16, 16)
    assert train.classes == ("Eyeglasses", "Male", "Smiling")
    assert train.labels.tolist() == [[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]]
    assert train.all()[2, 0].float().mean().item() == pytest.approx(90, abs=4)


def test_celeba_that_exceeds_the_memory_is_decoded_batch_by_batch(
    celeba: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = data.load("celeba", size=16).all()
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 100)
    lazy = data.load("celeba", size=16, channels=1)
    assert isinstance(lazy.images, data.LazyPictures) and lazy.channels == 1
    assert torch.equal(data.load("celeba", size=16).all(), whole)


def test_celeba_with_another_list_is_explained(celeba: Path) -> None:
    """Of the authors' files each byte is known."""
    (celeba / "list_eval_partition.txt").write_text("image_id,partition\n000001.jpg,0\n")
    with pytest.raises(UserError, match=r"--data celeba: the download failed .*list_eval_partition.*avatars"):
        data.load("celeba", size=8)


def test_celeba_that_is_not_there_names_the_files(own_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("quota exceeded")

    monkeypatch.setattr(torchvision.datasets, "CelebA", refuse)
    with pytest.raises(UserError, match=rf"quota exceeded.*img_align_celeba.*list_eval_partition.*{own_root}.*avatars"):
        data.load("celeba")


# ------------------------------------------------------------------------------------------------------ avatars


@pytest.mark.parametrize("name", ["avatars", "open-peeps", "toon-head"])
def test_faces_are_drawn_once_and_kept(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    monkeypatch.setattr(faces, "NUMBER", 12)
    first = data.load(name, size=16)
    assert first.images.shape == (12, 3, 16, 16)
    assert first.labels.shape == (12, len(first.classes)) and first.labels[:, :2].max() <= 1
    assert {"mirrored", "leans right", "backgroundColor", "skinColor"} <= set(first.classes)
    file = tmp_path / "avatars" / f"{name}-train-16.npz"
    drawn = file.stat().st_mtime_ns
    assert torch.equal(data.load(name, size=16).all(), first.all()) and file.stat().st_mtime_ns == drawn
    together = {f"{name}-train-{size}.npz" for size in (4, 8, 16, 32)}  # for networks that grow
    assert {path.name for path in (tmp_path / "avatars").iterdir()} == together
    alone = torch.stack([torch.from_numpy(art.draw_one(f"train-{i}", name, (8,))[0][0].copy()) for i in range(12)])
    assert torch.equal(data.load(name, size=8).all(), alone.permute(0, 3, 1, 2))
    file.write_bytes(file.read_bytes()[:100])  # a file that was cut off is drawn again
    assert torch.equal(data.load(name, size=16).all(), first.all())


PLAIN = """
import multiprocessing, sys
multiprocessing.set_start_method("spawn")
sys.path.insert(0, sys.argv[1])
print("begun")
from lightning_fabric import Fabric
from common.data import batches, faces, load, pictures
faces.NUMBER = 12
print(tuple(load("avatars", size=64).images.shape))
pictures.MEMORY_LIMIT = 0
real, _ = next(batches(load("avatars", size=16), 4, seed=0, fabric=Fabric(accelerator="cpu")))
print(tuple(real.shape))
"""


def test_faces_are_drawn_from_a_script_without_a_main_guard(tmp_path: Path) -> None:
    """With the start method of macOS and Windows. Processes that import the script would print "begun" again, and fail."""
    (tmp_path / "mine.py").write_text(PLAIN)
    command = [sys.executable, "mine.py", str(ROOT)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (found.returncode, found.stdout) == (0, "begun\n(12, 3, 64, 64)\n(4, 3, 16, 16)\n"), found.stderr


def test_a_data_folder_that_cannot_be_written_names_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GAN_DATA", str(tmp_path / "file"))
    monkeypatch.setattr(faces, "NUMBER", 4)
    with pytest.raises(UserError, match=r"cannot write .* choose another folder with GAN_DATA"):
        data.load("avatars", size=8)


def test_a_face_has_its_attributes_at_every_size_and_no_split_shares_one() -> None:
    (small, large), attributes = art.draw_one("train-3", "avatars", (16, 64))
    assert small.shape == (16, 16, 3)
    shrunk = resizing.resize(torch.from_numpy(large.copy()).permute(2, 0, 1), [16, 16], antialias=True)
    assert (shrunk.permute(1, 2, 0).float() - torch.from_numpy(small.copy())).abs().mean() < 12
    names = art.attribute_names("avatars")
    values = dict(zip(names, attributes, strict=True))
    assert values["glasses"] == int(values["accessoriesVariant"] not in (0, 1))  # 0: none, 1: an eye patch
    assert values["hat"] == int(art._style("avataaars")[1]["topVariant"][values["topVariant"]] in art.GROUPS["hat"][1])
    others = {tuple(art.draw_one(f"test-{i}", "avatars", (16,))[1]) for i in range(20)}
    assert tuple(attributes) not in others


def test_faces_that_would_fill_the_memory_are_drawn_when_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    monkeypatch.setattr(faces, "NUMBER", 12)
    kept = data.load("avatars", size=80)
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 12 * 3 * 80 * 80 - 1)
    lazy = data.load("avatars", size=80)
    assert isinstance(lazy.images, data.LazyPictures) and isinstance(kept.images, torch.Tensor)
    assert lazy.images.shape == kept.images.shape and len(lazy) == 12
    assert torch.equal(lazy.all(), kept.all()) and torch.equal(lazy.labels, kept.labels)
    real, labels = next(data.batches(lazy, 4, seed=3, fabric=Fabric(accelerator="cpu")))
    same, same_labels = next(data.batches(kept, 4, seed=3, fabric=Fabric(accelerator="cpu")))
    assert torch.equal(real, same) and torch.equal(labels, same_labels)
    assert data.load("avatars", size=80, channels=1).all().shape == (12, 1, 80, 80)


def test_a_cache_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "avatars").write_text("a file in the place of the folder")
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    monkeypatch.setattr(faces, "ProcessPoolExecutor", None)  # nothing is drawn
    with pytest.raises(UserError, match=r"cannot write .*GAN_DATA"):
        data.load("avatars", size=16)


def test_groups_name_variants_that_exist() -> None:
    for part, members in art.GROUPS.values():
        assert members <= set(art._style("avataaars")[1][f"{part}Variant"])
    assert set(art.MOUTHS) < set(art._style("avataaars")[1]["mouthVariant"])


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


@pytest.mark.parametrize(("mode", "kind"), [("I", np.int32), ("F", np.float32)])
def test_numbers_of_32_bits_are_refused(tmp_path: Path, mode: str, kind: type) -> None:
    """Some programs store 0 to 255 in them, some 0 to 1, some 0 to 65,535: whatever is assumed, somebody gets black pictures."""
    Image.fromarray(np.full((20, 20), 200, kind)).save(tmp_path / "depth.tiff")
    assert Image.open(tmp_path / "depth.tiff").mode == mode
    with pytest.raises(UserError, match=r"depth\.tiff \(32 bits a pixel.*save it with 8 or 16, or train"):
        data.load(str(tmp_path))


def test_programs_are_no_pictures(tmp_path: Path) -> None:
    """Pillow would hand an EPS file to Ghostscript, which runs it: not by its name, and not under another one."""
    save(tmp_path / "a.png")
    save(tmp_path / "program.eps")
    assert data.load(str(tmp_path)).note.endswith("1 × .eps")
    (tmp_path / "program.eps").rename(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png \(cannot identify"):
        data.load(str(tmp_path))


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
        opened.writestr("__MACOSX/0.png", b"not a picture")
    from_folder, from_zip = data.load(str(folder), size=8), data.load(archive, size=8)
    assert from_folder.classes == from_zip.classes == ("cats", "dogs")
    assert from_folder.labels.tolist() == from_zip.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(from_folder.images, from_zip.images)  # type: ignore[arg-type]


def test_a_zip_made_from_a_folder_equals_the_folder(tmp_path: Path) -> None:
    """Its names all begin with the folder's, which is no class."""
    for i in range(2):
        save(tmp_path / "pets" / "cats" / f"{i}.png", colour=(i, 0, 0))
        save(tmp_path / "pets" / "dogs" / f"{i}.png", colour=(0, i, 0))
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:  # as macOS does, with entries for the folders
        for path in sorted((tmp_path / "pets").rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("__MACOSX/pets/._cats", b"not a picture")
    folder, whole = data.load(str(tmp_path / "pets"), size=8), data.load(str(tmp_path / "pets.zip"), size=8)
    assert whole.classes == ("cats", "dogs") and whole.labels.tolist() == folder.labels.tolist()
    assert torch.equal(folder.images, whole.images)  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "pets.zip", "a") as archive:
        archive.writestr("pets/birds/", b"")
    with pytest.raises(UserError, match="no pictures in the subfolder birds"):
        data.load(str(tmp_path / "pets.zip"))


def test_a_zip_of_one_side_alone_has_no_pairs_and_archives_have_no_pictures(tmp_path: Path) -> None:
    """Its one folder, trainA, is not one that encloses everything. What is packed twice, or by tar, is named."""
    save(tmp_path / "pets" / "trainA" / "0.png", size=(60, 60))
    sides = shutil.make_archive(str(tmp_path / "sides"), "zip", tmp_path / "pets")
    with pytest.raises(UserError, match=r"trainA/0.png in .*sides.zip has no partner"):
        data.load_pairs(sides)
    with pytest.raises(UserError, match="no pictures in a folder trainB/"):
        data.load_unpaired(sides)
    assert len(data.load(sides)) == 1
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.write(sides, "sides.zip")
    with pytest.raises(UserError, match=r"only 1 × .zip: unpack them"):
        data.load(str(tmp_path / "twice.zip"))
    tar = shutil.make_archive(str(tmp_path / "pets"), "gztar", tmp_path / "pets")
    with pytest.raises(UserError, match="no zip: make one"):
        data.load(tar)
    with pytest.raises(UserError, match="a single file is not enough"):
        data.load(str(tmp_path / "pets" / "trainA" / "0.png"))


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        save(tmp_path / "elsewhere" / name / "0.png")
    (tmp_path / "pets").mkdir()
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "cats" / "again").symlink_to(tmp_path / "pets")  # a way back to where it came from
    pictures = data.load(str(tmp_path / "pets"))
    assert (len(pictures), pictures.classes) == (2, ("cats", "dogs"))


def test_a_damaged_or_locked_zip_gets_one_line(tmp_path: Path) -> None:
    save(tmp_path / "pets" / "0.png", size=(60, 60))
    whole = Path(shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "pets")).read_bytes()
    locked = bytearray(whole)
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the bit that says "encrypted", in both places
        locked[whole.rindex(header) + flags] |= 1
    damaged = bytearray(whole)
    damaged[whole.rindex(b"PK\x01\x02")] = 0
    for content, reason in ((locked, "encrypted"), (damaged, "Bad magic number")):
        (tmp_path / "pets.zip").write_bytes(content)
        with pytest.raises(
            UserError, match=f"cannot read .*pets.zip .*{reason}.*make the zip anew, without a password"
        ):
            data.load(str(tmp_path / "pets.zip"))


def test_a_zip_writes_only_into_its_own_folder(tmp_path: Path, own_root: Path) -> None:
    """Whatever its names say."""
    content = save(tmp_path / "a.png").read_bytes()
    outside = tmp_path / "outside.png"
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in (str(outside), "../../up.png", "b.png"):
            archive.writestr(name, content)
    assert len(data.load(str(tmp_path / "pets.zip"), size=8)) == 3
    assert not outside.exists() and not list(own_root.parent.glob("*.png")) and not list(own_root.glob("*.png"))


def test_a_zip_is_unpacked_once_until_it_changes(tmp_path: Path, own_root: Path) -> None:
    for i in range(12):
        save(tmp_path / "pets" / f"{i:02d}.png")
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "pets")
    assert len(data.load(archive, size=8)) == 12
    (unpacked,) = (own_root / "unpacked").iterdir()  # and nothing half done beside it
    (unpacked / "11.png").unlink()
    assert len(data.load(archive, size=8)) == 11  # from the folder
    save(tmp_path / "pets" / "00.png", colour=(200, 0, 0))
    time.sleep(0.02)  # clocks of file systems are coarse
    shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "pets")
    assert data.load(archive, size=8).images[[0]][0, 0].float().mean() == 200


@pytest.mark.parametrize("method", sorted({"spawn", "fork"} & set(multiprocessing.get_all_start_methods())))
def test_ctrl_c_leaves_the_workers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A terminal sends Ctrl-C to all processes; the run still needs a batch to end its step."""
    for i in range(8):
        save(tmp_path / f"{i}.png")
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(
        multiprocessing.context._default_context, "_actual_context", multiprocessing.get_context(method)
    )  # type: ignore[attr-defined]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # the background jobs of a shell ignore it
    try:
        batches = data.batches(data.load(str(tmp_path), size=8), 4, seed=0, fabric=CPU)
        next(batches)
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGINT)  # type: ignore[arg-type]
        time.sleep(0.2)
        for _ in range(4):
            assert next(batches)[0].shape == (4, 3, 8, 8)
        batches.close()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_picture_that_breaks_later_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large sets are decoded by worker processes, whose errors arrive with a traceback in front."""
    for i in range(8):
        save(tmp_path / f"{i}.png")
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 100)
    lazy = data.load(str(tmp_path), size=8)
    (tmp_path / "5.png").write_text("no picture any more")
    with pytest.raises(UserError) as caught:
        list(itertools.islice(data.batches(lazy, 4, seed=0, fabric=CPU), 2))
    assert str(caught.value).startswith("cannot read the picture ") and "5.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_exceeds_the_memory_is_decoded_batch_by_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        save(tmp_path / f"{i:02d}.png", colour=(i * 20, 0, 0))
    whole = data.load(str(tmp_path), size=8)
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 100)
    lazy = data.load(str(tmp_path), size=8)
    assert isinstance(lazy.images, data.LazyPictures) and isinstance(whole.images, torch.Tensor)
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
    save(tmp_path / "_MG_7.png")  # so cameras name them, in Adobe's colours
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_text("hidden")
    assert len(data.load(str(tmp_path))) == 2
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
    whole = data.shuffled_order(50, 10, seed=1)
    expected = [next(whole) for _ in range(20)]
    later = data.shuffled_order(50, 10, seed=1, start=start)
    assert [next(later) for _ in range(20 - start)] == expected[start:]


def test_two_processes_share_the_batch_of_one() -> None:
    orders = [data.shuffled_order(50, 10, seed=1, rank=rank, world_size=2) for rank in range(2)]
    one = data.shuffled_order(50, 10, seed=1)
    for _ in range(12):
        assert next(orders[0]) + next(orders[1]) == next(one)


def test_a_batch_larger_than_the_set_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(UserError, match="--batch-size 2 is more than the 1 pictures"):
        next(data.batches(data.load(str(tmp_path)), 2, 0, CPU))


def test_importing_draws_no_random_numbers_touches_no_folder_and_loads_no_painter(tmp_path: Path) -> None:
    """In a process of its own, where nothing is imported yet. DiceBear would take a second of each start."""
    program = """if True:
        import os, random, sys, torch
        before = random.getstate(), torch.get_rng_state()
        from common import art, checkpoint, data, images, run
        from common.data import pairs
        assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])
        art.attribute_names("avatars")
        assert "dicebear" not in sys.modules and not os.listdir()
    """
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=paths, check=True)
