"""What a chapter's method does not depend on: the precision, and whether its networks are compiled."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from common.checkpoint import load_checkpoint
from tests.conftest import CHAPTERS
from tests.test_faults import SMALL

Script = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_mixed_precision_by_flag(script: Script, tmp_path: Path, chapter: str) -> None:
    """bf16 in the layers, fp32 in the weights; scores, penalties and losses stay finite."""
    flags = [*SMALL[chapter].split(), "--accelerator", "cpu", "--precision", "bf16-mixed", "--max-steps", 3]
    code, printed, errors = script(f"{chapter}/train.py", *flags, "--out", tmp_path / "run")
    assert code == 0 and "precision bf16-mixed" in printed, errors
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_compiled_networks_learn_the_same(
    script: Script, tmp_path: Path, chapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--compile as on a machine with a compiler, but for its last stage, which writes C++: PyTorch's own kernels run there.

    No gradient of a gradient can go through a compiled network, so the penalties of 03, 07 and 08 must not try. Networks that
    still grow are not compiled: a fade is another function in each step.
    """
    compiled: list[torch.nn.Module] = []
    real = torch.nn.Module.compile

    def compile_and_count(self: torch.nn.Module) -> None:
        compiled.append(self)
        real(self, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_and_count)
    grown = {"07_progan": ["--without", "growth"], "08_stylegan": ["--start-size", "16", "--r1-every", "1"]}
    curves = []
    counters.clear()
    if chapter in grown:
        flags = [*SMALL[chapter].split(), "--accelerator", "cpu", "--max-steps", 25, "--compile"]
        assert script(f"{chapter}/train.py", *flags, "--out", tmp_path / "growing")[0] == 0
        assert not counters["stats"]["unique_graphs"]
        compiled.clear()
    for flags in ([], ["--compile"]):
        flags = [*SMALL[chapter].split(), "--accelerator", "cpu", "--precision", "32-true", "--max-steps", 3, *flags]
        flags += grown.get(chapter, [])
        out = tmp_path / f"run{len(curves)}"
        code, _, errors = script(f"{chapter}/train.py", *flags, "--out", out)
        assert code == 0, errors
        curves.append(load_checkpoint(out, chapter)["history"])
    assert len(compiled) == (4 if chapter == "06_cyclegan" else 2) and counters["stats"]["unique_graphs"] >= 2
    for tag, values in curves[0].items():
        assert curves[1][tag] == pytest.approx(values, rel=1e-3, abs=1e-4), tag
