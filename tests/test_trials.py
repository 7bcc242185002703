"""tests/trials.py: equal CPU seconds, a row of the table for each run, and one that says why for a run that failed."""

import re
import shutil
from collections.abc import Iterator

import pytest

from tests import trials


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
