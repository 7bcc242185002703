"""What a GPU has to show. Skipped, unless the variable GAN_GPU says where to run:

    GAN_GPU=1 pytest -m gpu -n 0        # on the GPU
    GAN_GPU=cpu pytest -m gpu -n 0      # the same functions on the processor, which keeps them ready for a GPU

A GPU adds up its sums in another order each time, so "the same" means up to rounding here. For speed and memory see benchmark.py.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch._inductor import config as inductor

from common import data
from common.checkpoint import load_checkpoint
from common.command_line import Settings
from common.data import pictures
from common.devices import make_fabric, one_device
from common.run import Run
from tests.conftest import CHAPTERS, ROOT, free_port, start
from tests.test_faults import SMALL

Script = Callable[..., tuple[int, str, str]]
WHERE = os.environ.get("GAN_GPU", "")
ACCELERATOR = {"1": "gpu"}.get(WHERE, WHERE)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not WHERE, reason="GAN_GPU=1 runs it on a GPU, GAN_GPU=cpu on the processor"),
]
STEPS = 20
# What must be lower at the end of twenty steps: the loss of a discriminator or critic, or a distance to the truth.
FALLING = {
    "01_basic_gan": "loss/d", "02_dcgan": "loss/d", "03_wgan_gp": "loss/d", "04_conditional_gan": "loss/d",
    "05_pix2pix": "l1/train", "06_cyclegan": "loss/g", "07_progan": "loss/d", "08_stylegan": "loss/d",
}  # fmt: skip
# The tricks of generate.py: those that any weights can do, and those that need the shipped ones.
TRICKS = {
    "01_basic_gan": ("--interpolate --neighbours", ""),
    "02_dcgan": ("--interpolate --neighbours --no-ema", "--attribute glasses --num 500"),
    "03_wgan_gp": ("--interpolate --neighbours", ""),
    "04_conditional_gan": ("--interpolate --neighbours --truncation 0.7", "--label 7"),
    "05_pix2pix": ("", "photo.png --clean"),
    "06_cyclegan": ("--interpolate", "photo.png --direction BtoA"),
    "07_progan": ("--interpolate --neighbours --resolution 4", "--changes"),
    "08_stylegan": (
        "--interpolate --neighbours --truncation --mix --noise --mixed", "--swap-table --path-length --num 100",
    ),
}  # fmt: skip


def flags(chapter: str, precision: str = "32-true") -> list[object]:
    """A small run of a chapter on the device, each step of it logged."""
    device = ["--accelerator", ACCELERATOR, "--precision", precision]
    return [*SMALL[chapter].split(), *device, "--max-steps", STEPS, "--sample-every", 10]


def history(folder: Path, chapter: str) -> dict[str, list[float]]:
    return dict(load_checkpoint(folder, chapter)["history"])


def assert_near(first: dict[str, list[float]], second: dict[str, list[float]], within: float) -> None:
    """The same curves, up to `within` of each one's largest value; not those that count, where one picture can tip over."""
    assert first.keys() == second.keys()
    for tag, values in ((tag, values) for tag, values in first.items() if not tag.startswith("right/")):
        largest = max(abs(value) for value in values)
        assert second[tag] == pytest.approx(values, rel=within, abs=within * largest), tag


@pytest.fixture
def trained(script: Script, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """trained("01_basic_gan"): the folder of a run of twenty steps on the device, made once."""

    def run(chapter: str, precision: str = "32-true") -> Path:
        folder = tmp_path_factory.getbasetemp() / f"{chapter}-{precision}"
        if not folder.exists():
            code, printed, errors = script(f"{chapter}/train.py", *flags(chapter, precision), "--out", folder)
            assert (
                code == 0 and f"device     {one_device(ACCELERATOR)}, 1 process(es), precision {precision}" in printed
            ), errors
        return folder

    return run


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_twenty_steps(trained: Callable[..., Path], chapter: str, precision: str) -> None:
    curves = history(trained(chapter, precision), chapter)
    assert len(curves["step"]) == STEPS and all(math.isfinite(value) for values in curves.values() for value in values)
    falling = curves[FALLING[chapter]]
    assert sum(falling[-5:]) < sum(falling[:5])
    weights = load_file(trained(chapter, precision) / "weights.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_resumed_run_goes_the_same_way(
    trained: Callable[..., Path], script: Script, tmp_path: Path, chapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:  # as by Ctrl-C
        patched.setattr(Run, "_anybody_interrupted", lambda self: self.step == STEPS // 2)
        assert script(f"{chapter}/train.py", *flags(chapter), "--out", tmp_path / "run")[0] == 130
    code, _, errors = script(f"{chapter}/train.py", "--resume", tmp_path / "run")
    assert code == 0, errors
    assert_near(history(trained(chapter), chapter), history(tmp_path / "run", chapter), within=0.02)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_pictures_and_scores_are_those_of_a_processor(
    trained: Callable[..., Path], script: Script, tmp_path: Path, chapter: str
) -> None:
    """Weights that were made on the device, without noise where a generator has some: it is drawn where the networks are."""
    weights = trained(chapter) / "weights.safetensors"
    calm = {"05_pix2pix": [], "06_cyclegan": [], "08_stylegan": ["--still", "--num", 1000]}.get(
        chapter, ["--num", 1000]
    )
    for accelerator in (ACCELERATOR, "cpu"):
        made = ["--weights", weights, "--accelerator", accelerator, "--out", tmp_path / accelerator]
        code, _, errors = script(f"{chapter}/generate.py", "--score", *calm, *made)
        assert code == 0, errors
    own, processors = (
        flat(json.loads(next((tmp_path / where).glob("score*.json")).read_text())) for where in (ACCELERATOR, "cpu")
    )
    assert own == pytest.approx(processors, rel=0.02, abs=0.02)
    if chapter != "05_pix2pix":  # whose noise stays on
        kind = "strips*.png" if chapter == "06_cyclegan" else "grid*.png"
        first, second = (
            np.asarray(Image.open(next((tmp_path / where).glob(kind))), float) for where in (ACCELERATOR, "cpu")
        )
        assert np.abs(first - second).mean() < 0.5, "of 255"


def flat(found: Any, name: str = "") -> dict[str, float]:
    """The numbers of a score.json, each under the path that leads to it."""
    if isinstance(found, dict | list):
        items = found.items() if isinstance(found, dict) else enumerate(found)
        return {key: number for inner, value in items for key, number in flat(value, f"{name}/{inner}").items()}
    return {name: float(found)} if isinstance(found, int | float) else {}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_tricks_of_generate(
    trained: Callable[..., Path], script: Script, tmp_path: Path, chapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((150, 100), 60).convert("RGB").save("photo.png")
    own, shipped = TRICKS[chapter]
    for words in (["--weights", trained(chapter) / "weights.safetensors", *own.split()], shipped.split()):
        code, printed, errors = script(f"{chapter}/generate.py", *words, "--accelerator", ACCELERATOR, "--out", "made")
        assert code == 0 and "wrote" in printed, errors


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="needs a C++ compiler")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_compiled(script: Script, tmp_path: Path, chapter: str) -> None:
    """A few steps of --compile, as without; in 07 and 08 with networks that are full-grown, since a fade is not compiled."""
    grown = {"07_progan": ["--without", "growth"], "08_stylegan": ["--start-size", 16, "--r1-every", 1]}
    for name, more in (("plain", []), ("compiled", ["--compile"])):
        shorter = [*flags(chapter), "--max-steps", 3, *grown.get(chapter, []), *more, "--out", tmp_path / name]
        with inductor.patch(fallback_random=True):  # the noise of programs that are not compiled
            code, _, errors = script(f"{chapter}/train.py", *shorter)
        assert code == 0, errors
    assert_near(*(history(tmp_path / name, chapter) for name in ("plain", "compiled")), within=0.02)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_one_process_through_torchrun(
    trained: Callable[..., Path], tmp_path: Path, chapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, but by the way of many: DistributedDataParallel, with NCCL on a GPU and gloo elsewhere."""
    monkeypatch.setenv("NCCL_DEBUG", "VERSION")  # NCCL says that it is there
    launch = ["torch.distributed.run", "--nproc-per-node", 1, "--master-port", free_port(), ROOT / chapter / "train.py"]
    life = start("-m", *launch, *flags(chapter), "--out", tmp_path / "run")
    printed, errors = life.communicate(timeout=300)
    assert life.returncode == 0, errors
    assert ("NCCL version" in printed + errors) == (one_device(ACCELERATOR).type == "cuda")
    assert_near(history(trained(chapter), chapter), history(tmp_path / "run", chapter), within=0.02)


def test_pictures_that_are_decoded_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pictures than the memory holds: threads decode the same batches."""
    for i in range(12):
        Image.effect_noise((20, 20), 50 + i).save(tmp_path / f"{i}.png")
    fabric = make_fabric(Settings(accelerator=ACCELERATOR))
    at_once = data.load(str(tmp_path), size=16)
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", 0)
    late = data.load(str(tmp_path), size=16)
    assert isinstance(at_once.images, torch.Tensor) and isinstance(late.images, pictures.LazyPictures)
    both = (pictures.batches(known, 4, 0, fabric) for known in (at_once, late))
    for (first, _), (second, _), _ in zip(*both, range(5)):
        assert first.device == second.device == fabric.device and torch.equal(first, second)
