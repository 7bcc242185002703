"""Every chapter's training is killed at random moments, resumed, and ends as if nothing had happened, bit for bit."""

import random
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from common.checkpoint import load_checkpoint
from tests.conftest import CHAPTERS, fork, same

KILLS = 3  # of each chapter
# Steps of a whole run: more than its lives get through, and the same for all of them, since learning rates follow it.
STEPS = dict.fromkeys(CHAPTERS, 120) | {"06_cyclegan": 48}  # whose steps take ten times as long
DIGITS = "--data mnist-10k --log-every 1"
SMALL = {
    "01_basic_gan": f"{DIGITS} --generator-hidden 16 --discriminator-hidden 16 --batch-size 16",
    "02_dcgan": f"{DIGITS} --width-g 4 --width-d 4 --batch-size 8",
    "03_wgan_gp": f"{DIGITS} --width-g 4 --width-d 4 --batch-size 8 --n-critic 2",
    "04_conditional_gan": f"{DIGITS} --width 4 --batch-size 8",
    "05_pix2pix": "--data satellite-map --size 32 --patch 16 --width-g 4 --width-d 4 --batch-size 4 --log-every 1",
    "06_cyclegan": "--data satellite-map --size 32 --width 4 --width-d 4 --pool-size 3 --log-every 1",
    "07_progan": f"{DIGITS} --size 16 --channels-times-size 64 --most-channels 8 --latent-dim 8 --batch-sizes 4 8 "
    "--fade-images 4 160 --stable-images 4 80",  # a fade from step 11 to 30, and one from 41 to 60
    "08_stylegan": f"{DIGITS} --size 16 --base 32 --most 16 --latent-dim 8 --style-dim 8 --mapping-layers 2 --batch-sizes 4 8 "
    "--fade-images 160 --stable-images 80 --last-images 80",
}


def when_saved(folder: Path) -> int:
    """When the checkpoint was written, 0 if there is none: looking costs the training no time, as reading it would."""
    return (folder / "last.ckpt").stat().st_mtime_ns if (folder / "last.ckpt").exists() else 0


def saved_step(folder: Path, chapter: str) -> int:
    return int(load_checkpoint(folder, chapter)["step"]) if (folder / "last.ckpt").exists() else 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_training_that_is_killed_again_and_again_ends_like_one_that_is_not(chapter: str, tmp_path: Path) -> None:
    train = f"{chapter}/train.py"

    def finish(*arguments: object) -> None:
        life = fork(train, *arguments)
        life.join(60)
        assert life.exitcode == 0

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    rhythm = ["--max-steps", STEPS[chapter], "--save-every", 1, "--sample-every", 10**6, "--accelerator", "cpu"]
    settings = [*SMALL[chapter].split(), *rhythm]
    first = [*settings, "--out", killed]
    rng = random.Random(chapter)
    for _ in range(KILLS):
        before = saved_step(killed, chapter)
        seen = {when_saved(killed)}
        life = fork(train, *(["--resume", killed] if before else first))
        until = time.monotonic() + 60
        while len(seen) < 4 and time.monotonic() < until:  # three new ones
            assert life.is_alive(), "it ended by itself"
            time.sleep(0.02)
            seen.add(when_saved(killed))
        time.sleep(rng.uniform(0, 0.2))  # in the middle of a step, of saving, or of a rename
        life.kill()
        life.join()
    assert 3 * KILLS <= saved_step(killed, chapter) < STEPS[chapter]
    finish("--resume", killed)
    finish(*settings, "--out", whole)

    assert same(*(load_file(folder / "weights.safetensors") for folder in (killed, whole)))
    ends = [load_checkpoint(folder, chapter) for folder in (killed, whole)]
    assert ends[0]["history"] == ends[1]["history"] and ends[0]["step"] == STEPS[chapter]
    assert ends[0].keys() == ends[1].keys()
    for name, part in ends[0].items():
        if isinstance(part, dict) and all(isinstance(value, torch.Tensor) for value in part.values()):
            assert same(part, ends[1][name]), name
