"""tests/trials.py: equal CPU seconds, a row of the table for each run, and one that says why for a run that failed. tests/by_eye.py."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import by_eye, trials


@pytest.fixture
def runs() -> Iterator[str]:
    """The name of variants whose runs are taken away afterwards."""
    name = "of the tests"
    yield name
    for folder in (trials.ROOT / "runs" / "trials" / "01_basic_gan").glob("of-the-tests-*"):
        shutil.rmtree(folder)


def test_a_trial_ends_with_its_seconds_and_writes_its_row(runs: str) -> None:
    row = trials.trial("01_basic_gan", f"{runs}: --batch-size 32", 3, seconds=0.5, num=1000, core=0)
    name, seed, seconds, steps, pictures, scores, flags = [cell.strip() for cell in row.strip("| ").split("|")]
    assert (name, seed, flags) == (runs, "3", "`--batch-size 32`")
    assert seconds in ("0", "1")  # a step takes some 20 ms
    assert int(steps) > 2 and int(pictures.replace(",", "")) == 32 * int(steps)
    found = re.fullmatch(r"FCD ([\d.]+), KCD [\d.]+, precision [\d.]+, recall [\d.]+", scores)
    assert found and float(found[1]) > 20  # of a generator that has learned for half a second


def test_a_trial_that_fails_says_why(runs: str) -> None:
    row = trials.trial("01_basic_gan", f"{runs}: --batch-size 1", 0, seconds=0.5, num=1000, core=0)
    assert "failed" in row and "--batch-size must be at least 2" in row


def test_sheets_show_each_picture_once_and_in_three_times_its_size(
    script: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    from common.data import load

    code, printed, errors = script("tests/by_eye.py", "02_dcgan", "--seed", 1, "--out", tmp_path)
    assert code == 0 and printed.count("wrote ") == 8, errors
    sheets = [np.asarray(Image.open(path)) for path in sorted(tmp_path.glob("02_dcgan_seed-1/*.png"))]
    shown = [
        sheet[22 + 214 * row : 22 + 214 * row + 192 : 3, 8 + 200 * column : 8 + 200 * column + 192 : 3]
        for sheet in sheets
        for row in range(4)
        for column in range(4)
    ]
    real = load("avatars", split="test").all()[-64:].permute(0, 2, 3, 1).numpy()
    places = {tuple(picture.flatten()): place for place, picture in enumerate(real)}
    found = [places.get(tuple(picture.flatten()), -1) for picture in shown]
    assert sorted(place for place in found if place >= 0) == list(range(64)), "each real picture once"
    which = by_eye.shuffled("02_dcgan", 1)
    assert [place + 64 if place >= 0 else None for place in found] == [w if w >= 64 else None for w in which]
    faulty = [*[number + 1 for number in range(128) if which[number] < 64][:5], which.index(64) + 1]
    code, printed, _ = script("tests/by_eye.py", "02_dcgan", "--seed", 1, "--faulty", *faulty)
    assert code == 0 and "5 of 64 generated, 1 of 64 real are faulty" in printed
    code, _, errors = script("tests/by_eye.py", "02_dcgan", "--faulty", 129)
    assert code == 2 and "--faulty takes numbers from 1 to 128" in errors
