"""The reading of a run: each rule on curves made for it, and all of them on runs that were broken on purpose."""

import json
import math
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from common import UserError, data, diagnosis, images

Script = Callable[..., tuple[int, str, str]]
STEPS = list(range(10, 1010, 10))  # 100 points


def curve(before: float, after: float, change: int = 500) -> list[float]:
    return [before if step < change else after for step in STEPS]


@pytest.mark.parametrize(
    ("right", "config", "expected", "unexpected"),
    [
        (curve(0.7, 0.98), {"lr_d": 1e-3, "spectral_norm": False}, ["won at step 500", "98%", "--spectral-norm"], []),
        (curve(0.7, 0.98), {"lr_d": 1e-3, "spectral_norm": True}, ["won at step 500", "--lr-d"], ["--spectral-norm"]),
        (curve(0.99, 0.99), {"r1_gamma": 1.0}, ["won at step 10", "--r1-gamma"], ["--lr-d"]),
        (curve(0.7, 0.98), {"lambda_cycle": 10.0}, ["98%", "may give little"], ["won"]),
        (curve(0.99, 0.75), {}, ["right about 75%", "teaching"], ["won", "guesses"]),
        (curve(0.9, 0.5), {}, ["guesses", "50%"], ["won"]),
        ([0.95, 0.99] * 50, {}, ["won at step 10", "97%"], []),  # single points below do not hide it
    ],
)
def test_how_often_the_discriminator_is_right(
    right: list[float], config: dict[str, object], expected: list[str], unexpected: list[str]
) -> None:
    fooled = [2 * share - 1 for share in right]  # the mean of both halves counts, not one of them
    history = {"step": STEPS, "right/real": [1.0] * len(right), "right/fake": fooled}
    said = diagnosis.discriminator_says(history, config)
    assert all(words in said for words in expected), said
    assert not any(words in said for words in unexpected), said


def test_a_critic_is_not_asked_how_often_it_is_right() -> None:
    assert diagnosis.discriminator_says({"step": STEPS, "scores/real": curve(1, 2)}, {}) == ""


@pytest.mark.parametrize(
    ("norms", "word"), [(curve(1, 150), "grew"), (curve(1, 1 / 150), "faded"), (curve(1, 50), ""), (curve(0, 0), "")]
)
def test_gradients_that_grow_or_fade(norms: list[float], word: str) -> None:
    history = {"step": STEPS, "gradients/generator": norms, "loss/g": curve(1, 1e6)}
    said = diagnosis.gradients_say(history)
    assert (f"generator {word}" in said) if word else not said


def test_samples_that_are_alike() -> None:
    assert "since step 300" in diagnosis.samples_say([100, 200, 300, 400], [9.0, 8.0, 1.0, 1.0], real=10)
    assert "from the start" in diagnosis.samples_say([100, 200], [1.0, 1.0], real=10)
    assert "95%" in diagnosis.samples_say([100, 200], [1.0, 9.5], real=10)  # only how it ends counts


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([9.0, 8, 7, 6, 5, 4, 3, 2], "still falls"),
        ([9.0, 5, 4, 4, 4, 4, 4, 4], "stands still"),
        (
            [9.0, 5, 2, 3, 4, 5, 6, 7],
            "best at step 30 and got worse since: with --keep-every 30 the same command keeps that step",
        ),
        ([9.0, 5, 4, 3, 2, 0.5, 0.5, 0.4], "cannot tell them from real"),
        ([9.0, 5, 4], ""),
    ],
)
def test_the_trend_of_the_score(scores: list[float], words: str) -> None:
    said = diagnosis.score_says([10 * i for i in range(1, len(scores) + 1)], scores, real=1.0)
    assert (words in said) if words else not said


def test_the_spread_is_the_deviation_over_the_pictures() -> None:
    pictures = torch.tensor([10, 30], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    assert diagnosis.spread(pictures) == pytest.approx(math.sqrt(200))
    flat = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4).expand(5, 1, 4, 4)  # varied inside, all the same
    assert diagnosis.spread(flat) == 0


def test_grids_are_cut_into_the_pictures_that_they_show(tmp_path: Path) -> None:
    pictures = torch.randint(0, 256, (24, 3, 5, 5), dtype=torch.uint8)
    for step in range(1, 60):
        shown = pictures if step > 1 else 255 - pictures
        sheet = images.grid(images.to_float(shown), columns=8)
        images.save_picture(sheet, tmp_path / "samples" / f"step_{step:06d}.png")
    steps, grids = diagnosis.sample_grids(tmp_path, 5)
    assert len(steps) == diagnosis.GRIDS and (steps[0], steps[-1]) == (1, 59)
    assert torch.equal(grids[-1], pictures) and torch.equal(grids[0], 255 - pictures)
    images.save_picture(images.grid(images.to_float(pictures), columns=8), tmp_path / "samples" / "step_1000000.png")
    (tmp_path / "samples" / "step_000059.png").rename(tmp_path / "samples" / "step_999999.png")
    assert diagnosis.sample_grids(tmp_path, 5)[0][-1] == 1_000_000  # by number, not by name
    (tmp_path / "samples" / "step_000058_best.png").write_bytes(b"a copy of somebody's")
    assert diagnosis.sample_grids(tmp_path, 5)[0][-1] == 1_000_000


def test_a_folder_without_a_finished_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="holds no finished run"):
        diagnosis.diagnose(tmp_path)
    monkeypatch.setattr(sys, "argv", ["diagnosis.py", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:  # as by python -m common.diagnosis
        runpy.run_path(str(Path(diagnosis.__file__)), run_name="__main__")
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds no finished run")


def test_a_short_run_gets_no_reading(script: Script, tmp_path: Path) -> None:
    _, printed, _ = script("01_basic_gan/train.py", "--max-steps", 3, "--batch-size", 16, "--out", tmp_path / "run")
    assert "- Too short to say" in printed


def test_runs_that_are_broken_on_purpose_are_told_from_one_that_is_not(script: Script, tmp_path: Path) -> None:
    """A generator with a hundred times its learning rate collapses, one that hardly learns loses; the default does neither.

    The first is the command of docs/running.md, word for word. What exactly breaks differs from machine to machine, so that not
    all of the sentences that it quotes have to come back, but those about the discriminator and the samples.
    """
    text = (Path(__file__).parents[1] / "docs" / "running.md").read_text().split("## Is it converging?")[1]
    broken = shlex.split(re.search(r"`python 01_basic_gan/train.py (--[^`]+)`", text)[1])  # type: ignore[index]
    quoted = [" ".join(line.split()) for line in re.search(r"```text\n- (.*?)```", text, re.DOTALL)[1].split("\n- ")]  # type: ignore[index]
    said = {}
    length = ["--max-steps", 300, "--batch-size", 32, "--log-every", 10, "--sample-every", 20, "--precision", "32-true"]
    for name, flags in {"default": length, "collapsed": broken, "lost": [*length, "--lr-g", 1e-6]}.items():
        code, printed, _ = script("01_basic_gan/train.py", *flags, "--out", tmp_path / name)
        assert code == 0
        said[name] = " ".join(printed[printed.index("\n- ") :].split())
    assert "won at step" in said["lost"] and "won at step" in said["collapsed"] and "won" not in said["default"]
    assert "nearly all alike" in said["collapsed"] and "nearly all alike" not in said["default"] + said["lost"]
    assert "gradients" not in said["default"] + said["lost"]
    assert "stands still" in said["lost"]
    for sentence in (quoted[0], quoted[2]):
        assert " ".join(sentence.split()[:5]) in said["collapsed"], sentence
    history = json.loads((tmp_path / "default" / "metrics.json").read_text())
    assert len(history["gradients/discriminator"]) == 30 and min(history["gradients/discriminator"]) > 0


def test_the_logged_gradient_is_that_of_all_weights_together() -> None:
    from common.run import gradient_norm

    network = torch.nn.Linear(2, 1)
    network(torch.tensor([[3.0, 4.0]])).sum().backward()  # the gradients are (3, 4) and 1
    assert gradient_norm(network).item() == pytest.approx(math.sqrt(26))
    assert gradient_norm(torch.nn.Linear(2, 1)).item() == 0


@pytest.mark.parametrize("folder", ["01_basic_gan", "03_wgan_gp", "07_progan"])
def test_a_run_on_own_pictures_is_read_too(folder: str, script: Script, tmp_path: Path) -> None:
    """Critics and discriminators alike: how different the samples are needs the real pictures, and no classifier of theirs."""
    (tmp_path / "own").mkdir()
    for i, digit in enumerate(data.load("mnist-10k", 32).images[:48]):
        to_pil_image(digit).save(tmp_path / "own" / f"{i}.png")
    own = {
        "01_basic_gan": ["--channels", 1, "--batch-size", 16],
        "03_wgan_gp": ["--size", 32, "--batch-size", 16],
        "07_progan": ["--size", 8, "--batch-sizes", 4, 16],
    }
    flags = ["--data", tmp_path / "own", "--max-steps", 24, "--log-every", 1, "--sample-every", 12, *own[folder]]
    code, printed, errors = script(f"{folder}/train.py", *flags, "--accelerator", "cpu", "--out", tmp_path / "run")
    assert code == 0, errors
    assert re.search(r"differ from each other \d+%|differ \d+% as much as real", " ".join(printed.split())), printed


def test_a_run_on_pictures_that_are_all_alike_ends_without_a_reading_of_samples(script: Script, tmp_path: Path) -> None:
    """As when one picture is learned by heart: there is no spread to compare with."""
    (tmp_path / "own").mkdir()
    for i in range(48):
        to_pil_image(data.load("mnist-10k", 32).images[0]).save(tmp_path / "own" / f"{i}.png")
    flags = ["--data", tmp_path / "own", "--channels", 1, "--batch-size", 16, "--max-steps", 24, "--log-every", 1]
    code, printed, errors = script("01_basic_gan/train.py", *flags, "--accelerator", "cpu", "--out", tmp_path / "run")
    assert code == 0, errors
    assert "right about" in printed and "differ" not in printed
