"""Pictures as people bring them: deep, dark, broken, large, in layouts and archives of their own."""

import os
import signal
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from common import UserError, checkpoint, data
from common.data import faces, own, pictures
from common.data.faces import face
from common.data.files import open_picture, own_pictures

CPU = Fabric(accelerator="cpu", devices=1)


@pytest.fixture(autouse=True)
def own_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is kept in the learner's folder."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("GAN_DATA", str(folder))
    return folder


def save(path: Path, colour: object = "grey", size: tuple[int, int] = (20, 20), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)  # type: ignore[arg-type]
    return path


def mean(found: data.Pictures) -> list[float]:
    return found.all().float().mean((1, 2, 3)).tolist()


# -------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(("most", "kind", "top"), [(4000, np.uint16, 65535), (3, np.uint8, 255)])
def test_a_set_that_is_nearly_black_says_so_and_can_be_stretched(
    tmp_path: Path, most: int, kind: type, top: int
) -> None:
    """12 bits in files of 16, or masks of class numbers: all pictures by the same factor, and not each by its own."""
    for name, value in (("dim", most // 2), ("bright", most)):
        Image.fromarray(np.full((16, 16), value, kind)).save(tmp_path / f"{name}.png")
    found = data.load(str(tmp_path), 16)
    assert f"no number is above {most} of {top} (--white {most} makes it white)" in found.note
    stretched = data.load(str(tmp_path), 16, white=(most,))
    assert mean(stretched) == [255, round(most // 2 / most * 255)] and stretched.note == ""


def test_pictures_that_use_their_range_get_no_note(tmp_path: Path) -> None:
    save(tmp_path / "black.png", "black"), save(tmp_path / "half.png", (0, 0, 140))
    assert data.load(str(tmp_path), 16).note == ""


def test_sixteen_bits_of_any_format_are_read(tmp_path: Path) -> None:
    """Pillow opens a 16-bit PGM with 32 bits a pixel."""
    shades = np.full((8, 8), 32896)
    (tmp_path / "a.pgm").write_bytes(b"P5 8 8 65535\n" + shades.astype(">u2").tobytes())
    (tmp_path / "b.pgm").write_bytes(b"P5 8 8 4095\n" + (shades // 16).astype(">u2").tobytes())
    for name in ("c.png", "d.tif"):
        Image.fromarray(shades.astype(np.uint16)).save(tmp_path / name)
    assert mean(data.load(str(tmp_path), 8)) == [128] * 4


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_of_32_bits_are_read_once_somebody_says_their_range(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.full((8, 8), 500, kind)).save(tmp_path / "depth.tiff")
    with pytest.raises(UserError, match=r"whose range nobody knows.*--white"):
        data.load(str(tmp_path), 8)
    assert mean(data.load(str(tmp_path), 8, white=(1000,))) == [128]


def test_sixteen_bits_are_read_whatever_stands_beside_them(tmp_path: Path) -> None:
    """A number that means transparent does not make all others white, and a negative (0 is white) is turned round."""
    shades = np.full((8, 8), 16384, np.uint16)
    Image.fromarray(shades).save(tmp_path / "a.png", transparency=5)
    Image.fromarray(65535 - shades).save(tmp_path / "b.tif", tiffinfo={262: 0})
    assert mean(data.load(str(tmp_path), 8)) == [64, 64]


@pytest.mark.parametrize("dim", ["A", "B"])
def test_the_remedy_for_a_dark_side_leaves_the_other_as_it_is(tmp_path: Path, dim: str) -> None:
    """16 bits on one side, class numbers of 8 bits on the other: the flag that the note names makes one of them white."""
    for side in "AB":
        for i, deep in enumerate((side != dim, side != dim)):
            shades = np.full((16, 16), 40_000, np.uint16) if deep else np.full((16, 16), 3, np.uint8)
            Image.fromarray(shades).save(save(tmp_path / side / f"{i}.png"))
    plain = data.load_pairs(str(tmp_path), 16)
    white = tuple(int(number) for number in plain.note.split("--white ")[1].split(" makes")[0].split())
    told = data.load_pairs(str(tmp_path), 16, white=white)
    sides = {"A": (plain.a, told.a), "B": (plain.b, told.b)}
    assert sides[dim][1].min() == 255 and torch.equal(*sides["B" if dim == "A" else "A"])


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not left out without a word."""
    save(tmp_path / "cats/1.png"), save(tmp_path / "dogs/1.png")
    scandir = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("dogs"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match="dogs"):
        data.load(str(tmp_path), 16)


def test_what_is_transparent_stays_white_whatever_white_is(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    picture.save(tmp_path / "clear.png")
    for white in (0, 100, 255, 4095):
        assert np.asarray(open_picture(tmp_path / "clear.png", white=white)).min() == 255


def test_what_a_run_was_told_of_its_pictures_holds_when_it_is_scored(
    tmp_path: Path, script: Callable[..., tuple[int, str, str]]
) -> None:
    """Its score, its neighbours and its own reading take the white of the training, and leave out the same broken file."""
    rng = np.random.default_rng(0)
    for number in range(60):
        shades = (4000 * rng.random((8, 8))).astype(np.uint16).repeat(4, 0).repeat(4, 1)
        Image.fromarray(shades).save(save(tmp_path / f"scans/{number:02d}.png"))
    (tmp_path / "scans/broken.png").write_text("no picture")
    told = ("--skip-broken", "--white", 4000, "--size", 28, "--channels", 1)
    length = ("--max-steps", 24, "--log-every", 1, "--sample-every", 24, "--batch-size", 8)
    code, printed, errors = script(
        "01_basic_gan/train.py", "--data", tmp_path / "scans", *told, *length, "--out", tmp_path / "run"
    )
    assert code == 0 and "The samples" in printed, errors  # from the reading: it has found the real pictures
    weights = ("--weights", tmp_path / "run", "--out", tmp_path / "looked")
    code, printed, errors = script("01_basic_gan/generate.py", *weights, "--score", "--num", 40, "--neighbours")
    assert code == 0 and "30 pictures of" in printed, errors
    (sheet,) = (tmp_path / "looked").glob("neighbours*.png")
    nearest = np.asarray(Image.open(sheet).convert("L"))[
        64:120
    ]  # the second of two rows of 56 pixels with borders of 4
    assert 90 < nearest.mean() < 170  # without --white the brightest of them is 16 of 255


@pytest.mark.parametrize("chapter", ["05_pix2pix", "06_cyclegan"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_own_pictures_are_translated_with_the_white_of_their_side(
    tmp_path: Path, chapter: str, direction: str, script: Callable[..., tuple[int, str, str]]
) -> None:
    """A with floats up to 1000, B with numbers up to 4000 of 65535; a picture of 8 bits is read as it is."""
    for side, most, kind in (("A", 1000, np.float32), ("B", 4000, np.uint16)):
        for number in range(4):
            shades = np.full((32, 32), most // (1 + number), kind)
            Image.fromarray(shades).save(save(tmp_path / f"pairs/{side}/{number}.tiff"))
    which = ("--direction", direction)
    run = ("--size", 32, "--max-steps", 1, "--batch-size", 2, "--white", 1000, 4000, "--out", tmp_path / "run")
    there = which if chapter == "05_pix2pix" else ()  # chapter 06 learns both
    code, _, errors = script(f"{chapter}/train.py", "--data", tmp_path / "pairs", *run, *there)
    assert code == 0, errors
    mine = save(tmp_path / "plain.png", (255, 255, 255), (32, 32))
    beside = ("--strip", *which) if chapter == "06_cyclegan" else ()
    for path, shade in (
        (tmp_path / f"pairs/{direction[0]}/0.tiff", 255),
        (tmp_path / f"pairs/{direction[0]}/1.tiff", 128),
        (mine, 255),
    ):
        looked = tmp_path / f"{path.stem}-looked"
        given = (path, "--weights", tmp_path / "run", *beside, "--out", looked)
        code, printed, errors = script(f"{chapter}/generate.py", *given)
        assert code == 0 and f"{1000 if direction == 'AtoB' else 4000} is white" in printed, errors
        (sheet,) = (*looked.glob("*beside*.png"), *looked.glob("*strip*.png"))
        first = np.asarray(Image.open(sheet).convert("L"))[20:100, 20:100]  # of the input
        assert first.min() == first.max() == shade


# ---------------------------------------------------------------------------------------------------------- files


def four_bands(path: Path, meaning: int | None) -> None:
    """A TIFF of 200, 100, 50 and a dark fourth band, which its tag 338 explains or not."""
    bands = np.broadcast_to(np.array([200, 100, 50, 0], np.uint8), (8, 8, 4))
    Image.fromarray(bands.copy()).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHI", 338, 3, 1))
    if meaning is None:
        content[at : at + 2] = struct.pack("<H", 65000)  # a private tag: no word of the fourth band
    else:
        content[at + 8 : at + 10] = struct.pack("<H", meaning)
    path.write_bytes(content)


@pytest.mark.parametrize("meaning", [None, 0])
def test_a_fourth_band_is_not_taken_for_transparency(tmp_path: Path, meaning: int | None) -> None:
    four_bands(tmp_path / "infrared.tif", meaning)
    found = data.load(str(tmp_path), 8)
    assert found.all().float().mean((0, 2, 3)).tolist() == [200, 100, 50]
    assert meaning == 0 or "left out the fourth band of 1 file(s), such as " in found.note


def test_a_fourth_band_that_calls_itself_transparency_is_named(tmp_path: Path) -> None:
    four_bands(tmp_path / "layer.tif", 2)
    found = data.load(str(tmp_path), 8)
    assert mean(found) == [255] and "took the fourth band for transparency of 1 file(s)" in found.note


@pytest.mark.parametrize("ending", ["tif", "gif", "webp"])
def test_pages_beyond_the_first_are_named(tmp_path: Path, ending: str) -> None:
    pages = [Image.new("RGB", (16, 16), (90 * i, 200, 0)) for i in range(3)]
    pages[0].save(tmp_path / f"stack.{ending}", save_all=True, append_images=pages[1:])
    save(tmp_path / "single.png")
    note = data.load(str(tmp_path), 8).note
    assert note.startswith("left out all pages but the first of 1 file(s), such as") and f"stack.{ending}" in note


def chunk(kind: bytes, content: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) ^ wrong)


@pytest.mark.parametrize("broken", [chunk(b"eXIf", b"rubbish!!"), chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0", wrong=1), chunk(b"iCCP", b"xx")])  # fmt: skip
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_what_is_broken_beside_the_pixels_does_no_harm(tmp_path: Path, broken: bytes, before: bytes) -> None:
    content = save(tmp_path / "a.png", (10, 20, 30)).read_bytes()
    place = content.index(before) - 4
    (tmp_path / "a.png").write_bytes(content[:place] + broken + content[place:])
    assert data.load(str(tmp_path), 8).all()[0, :, 0, 0].tolist() == [10, 20, 30]


def test_a_png_whose_pixels_are_broken_is_still_refused(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    for damaged in (content[: len(content) // 2], content[:-30]):
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.png"):
            data.load(str(tmp_path), 8)


def test_large_pictures_are_the_users_own(tmp_path: Path) -> None:
    Image.new("1", (14_000, 14_000), 1).save(tmp_path / "poster.png")
    assert mean(data.load(str(tmp_path), 8)) == [255]


def test_a_large_photograph_is_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    photo = Image.radial_gradient("L").resize((1600, 1200)).convert("RGB")
    photo.save(tmp_path / "photo.jpg", quality=95)
    assert open_picture(tmp_path / "photo.jpg").size == (1600, 1200)
    assert open_picture(tmp_path / "photo.jpg", 32).size == (200, 150)
    whole = np.asarray(photo.crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.LANCZOS), np.float32)
    small = data.load(str(tmp_path), 32).all()[0].permute(1, 2, 0).float()
    assert (small - torch.from_numpy(whole)).abs().mean() < 1


# ----------------------------------------------------------------------------------------------------- broken ones


@pytest.fixture
def half_broken(tmp_path: Path) -> Path:
    """Six photographs in two classes; two lack their last bytes, as an interrupted copy leaves them."""
    for number in range(6):
        path = tmp_path / "photos" / ("cats" if number < 3 else "dogs") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 40), 60 + number).save(path)
        if number in (1, 4):
            path.write_bytes(path.read_bytes()[:-20])
    return tmp_path / "photos"


@pytest.mark.parametrize("lazily", [False, True])
def test_all_broken_files_are_named_before_training_or_left_out(
    half_broken: Path, monkeypatch: pytest.MonkeyPatch, lazily: bool
) -> None:
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 0 if lazily else 2**30)
    with pytest.raises(UserError, match=r"1\.jpg.*4\.jpg.*--skip-broken leaves these 2 out$") as caught:
        data.load(str(half_broken), 16)
    assert "\n" not in str(caught.value)
    rest = data.load(str(half_broken), 16, skip_broken=True)
    assert isinstance(rest.images, torch.Tensor) != lazily
    assert (len(rest), rest.labels.tolist()) == (4, [0, 0, 1, 1]) and rest.note.startswith("left out 2 of 6: ")
    expected = [data.read_picture(half_broken / name, 16, 3) for name in ("cats/0.jpg", "cats/2.jpg", "dogs/3.jpg")]
    assert torch.equal(rest[[0, 1, 2]][0], torch.stack(expected))


def test_broken_files_of_both_piles_are_named_at_once(half_broken: Path) -> None:
    for name, pile in (("cats", "trainA"), ("dogs", "trainB")):
        (half_broken / name).rename(half_broken / pile)
    with pytest.raises(UserError, match=r"trainA/1\.jpg.*leaves it out; and .*trainB/4\.jpg.*leaves it out$") as caught:
        data.load_unpaired(str(half_broken), 16)
    assert "\n" not in str(caught.value)
    piles = data.load_unpaired(str(half_broken), 16, skip_broken=True)
    assert [len(pile) for pile in piles] == [2, 2]


def test_if_all_are_broken_nothing_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a\.png") as caught:
        data.load(str(tmp_path), 8, skip_broken=True)
    assert "--skip-broken" not in str(caught.value)


def test_a_broken_picture_does_not_keep_the_others_from_translation(
    half_broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [path.name for path in own_pictures([half_broken])] == ["0.jpg", "2.jpg", "3.jpg", "5.jpg"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and said[0].startswith("left out: cannot read the picture") and "1.jpg" in said[0]
    with pytest.raises(UserError, match=r"1\.jpg"):
        own_pictures([half_broken / "cats" / "1.jpg"])


# ------------------------------------------------------------------------------------------------- kept, and lazily


def test_what_took_long_to_read_is_kept_until_a_file_changes(
    tmp_path: Path, own_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", (80 * number, 0, 0))
    assert len(data.load(str(tmp_path), 8)) == 3 and not (own_root / "decoded").exists()  # that was quick
    monkeypatch.setattr(own, "WORTH_KEEPING", 0)
    first = data.load(str(tmp_path), 8)
    monkeypatch.setattr(own, "_look_at", lambda *_: pytest.fail("read again"))
    again = data.load(str(tmp_path), 8)
    assert torch.equal(first.all(), again.all()) and first.note == again.note
    save(tmp_path / "0.png", (255, 255, 255))
    with pytest.raises(pytest.fail.Exception, match="read again"):
        data.load(str(tmp_path), 8)
    with pytest.raises(pytest.fail.Exception, match="read again"):
        data.load(str(tmp_path), 16)


def test_files_are_read_without_processes_that_could_die_or_fill_dev_shm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        save(tmp_path / f"{number}.png")
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(pictures, "ProcessPoolExecutor", lambda *_: pytest.fail("a process"))
    stream = data.batches(data.load(str(tmp_path), 8), 4, 0, CPU)
    assert next(stream)[0].shape == (4, 3, 8, 8)


def gone(seed: str, **_: object) -> None:
    """In the place of `draw_one`: the worker that calls it is no more."""
    os._exit(1)


def test_a_process_that_dies_while_a_set_is_drawn_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    monkeypatch.setattr(faces, "draw_one", gone)
    with pytest.raises(UserError, match=r"a process that draws faces was ended .*; start again"):
        data.load("avatars", 16)


def test_a_process_that_dies_while_it_draws_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    begun: list[pictures.ProcessPoolExecutor] = []

    class Watched(pictures.ProcessPoolExecutor):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            begun.append(self)

    monkeypatch.setattr(pictures, "ProcessPoolExecutor", Watched)
    lazy = pictures.LazyPictures(partial(face, "avatars"), ("train-0", "train-1"), 16, 3, drawn=True)
    stream = data.batches(data.Pictures("drawn", lazy), 2, 0, CPU)
    assert next(stream)[0].shape == (2, 3, 16, 16)
    (worker,) = begun[0]._processes.values()
    os.kill(worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"a process that draws pictures was ended .*go on with --resume"):
        for _ in range(50):
            next(stream)
            time.sleep(0.05)


# -------------------------------------------------------------------------------------------------------- layouts


def test_splits_are_no_classes(tmp_path: Path) -> None:
    for shade, place in enumerate(("train/cats", "train/dogs", "test/cats", "test/dogs")):
        save(tmp_path / place / "1.png", (100 + 50 * shade, 0, 0))
    learned, kept = (data.load(str(tmp_path), 8, split=split) for split in ("train", "test"))
    assert learned.classes == kept.classes == ("cats", "dogs") and learned.labels.tolist() == [0, 1]
    assert learned.images[:, 0, 0, 0].tolist() == [100, 150] and kept.images[:, 0, 0, 0].tolist() == [200, 250]  # type: ignore[call-overload]
    assert learned.note == "of the splits test, train only train/ was read"
    save(tmp_path / "birds" / "1.png")  # "train" and "test" beside another folder are classes like it
    assert data.load(str(tmp_path), 8).classes == ("birds", "test", "train")


def test_splits_without_classes(tmp_path: Path) -> None:
    save(tmp_path / "Train" / "1.png", "white"), save(tmp_path / "val" / "1.png", "black")
    found = data.load(str(tmp_path), 8)
    assert found.classes == () and mean(found) == [255]


def test_a_picture_beside_the_class_folders_is_named(tmp_path: Path) -> None:
    for name in ("cats/1.png", "dogs/1.png", "stray.png"):
        save(tmp_path / name)
    found = data.load(str(tmp_path), 8)
    assert found.classes == () and "no classes: stray.png lies beside the folders cats, dogs" in found.note


def test_a_zip_that_is_empty_or_has_a_flipped_bit_is_named(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    with pytest.raises(UserError, match=r"no pictures in .*empty\.zip \(it is empty"):
        data.load(str(tmp_path / "empty.zip"), 8)
    with zipfile.ZipFile(tmp_path / "flipped.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(save(tmp_path / "a.bmp", size=(64, 64)), "a.bmp")
    content = bytearray((tmp_path / "flipped.zip").read_bytes())
    content[40:44] = b"\xff" * 4  # of what is compressed
    (tmp_path / "flipped.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*flipped\.zip.*make the zip anew"):
        data.load(str(tmp_path / "flipped.zip"), 8)


def test_a_link_to_nowhere_is_a_broken_picture(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to("/nowhere/x.png")
    with pytest.raises(UserError, match=r"gone\.png"):
        data.load(str(tmp_path), 8)
    found = data.load(str(tmp_path), 8, skip_broken=True)
    assert len(found) == 1 and "gone.png" in found.note


def test_a_pipe_with_the_name_of_a_picture_keeps_nobody_waiting(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png .*it is a pipe.*or take it away"):
        data.load(str(tmp_path), 8)
    assert len(data.load(str(tmp_path), 8, skip_broken=True)) == 1


def test_a_name_that_fills_its_255_bytes_leaves_room_for_the_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    assert checkpoint.write_atomically(path, b"whole").read_bytes() == b"whole"


def test_zips_of_windows_are_read(tmp_path: Path) -> None:
    content = save(tmp_path / "a.png", "white").read_bytes()
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in ("pets\\cats\\1.png", "pets\\dogs\\1.png"):
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, content)
    found = data.load(str(tmp_path / "pets.zip"), 8)
    assert found.classes == ("cats", "dogs") and mean(found) == [255, 255]
