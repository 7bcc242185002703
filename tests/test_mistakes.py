"""Mistakes that were found in published teaching code: here none of them may be. Each chapter's file tests the rest."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common import images
from tests.conftest import ROOT

Chapter = Callable[[str, str], ModuleType]
SOURCES = sorted([*ROOT.glob("common/**/*.py"), *ROOT.glob("[0-9][0-9]_*/*.py"), *ROOT.glob("tests/*.py")])
SOURCES = [
    path for path in SOURCES if path.name != "checks.py"
]  # mistakes on purpose, and graphs that are looked at twice
# One small network for each chapter that draws from z: chapter, and its settings beside those that all have.
SMALL: dict[str, dict[str, Any]] = {
    "01_basic_gan": {"generator_hidden": (16,), "discriminator_hidden": (16,)},
    "02_dcgan": {"width_g": 2, "width_d": 2},
    "03_wgan_gp": {"width_g": 2, "width_d": 2, "n_critic": 1},
    "04_conditional_gan": {"width": 2},
    "07_progan": {"size": 4, "channels_times_size": 32, "batch_sizes": ((4, 8),)},
}


def name(node: ast.AST) -> str:
    """The last part of a name: nn.BatchNorm2d -> BatchNorm2d."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def mistakes(text: str, grows: bool = False) -> Iterator[str]:
    """What is wrong with a source, line by line; `grows`: the models of chapters 07 and 08, with an output that is linear."""
    for node in ast.walk(ast.parse(text)):
        line = f"line {getattr(node, 'lineno', 0)}: "
        if isinstance(node, ast.Call):
            called = name(node.func)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if called.startswith(("BatchNorm", "InstanceNorm")) and len(node.args) > 1:
                yield line + "the second argument of a norm is its eps, not its momentum"
            if called in ("BCELoss", "binary_cross_entropy", "NLLLoss", "nll_loss"):
                yield line + "a loss of probabilities: those with logits are exact"
            if called in ("Sigmoid", "Softmax"):
                yield line + "a network that does not return logits"
            if "retain_graph" in keywords:
                yield line + "retain_graph: the fake is not detached, or a graph is used twice"
            if name(keywords.get("type", ast.Constant(0))) == "bool":
                yield line + "type=bool: every word on the command line is True"
            if grows and called in ("Tanh", "tanh", "normalize"):
                yield line + "tanh behind a linear output, or unit length in place of the second moment's norm"
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
            left, right = node.test.left, node.test.comparators[0]
            small = isinstance(right, ast.Constant) and isinstance(right.value, float) and right.value < 0.1
            difference = isinstance(left, ast.BinOp) and isinstance(left.op, ast.Sub)
            if small and difference and isinstance(node.test.ops[0], ast.Lt | ast.LtE):
                yield line + "a one-sided comparison: any number that is too small passes"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_line_is_a_known_mistake(path: Path) -> None:
    grows = path.name == "model.py" and path.parent.name[:2] in ("07", "08")
    assert list(mistakes(path.read_text(), grows)) == []


@pytest.mark.parametrize(
    "line",
    [
        "nn.BatchNorm2d(64, 0.8)", "nn.Sequential(nn.Linear(9, 1), nn.Sigmoid())", "F.binary_cross_entropy(p, t)",
        "loss.backward(retain_graph=True)", "parser.add_argument('--mirror', type=bool)", "torch.tanh(x)", "F.normalize(z)",
        "assert found - expected < 1e-3",
    ],
)  # fmt: skip
def test_each_known_mistake_is_found(line: str) -> None:
    assert len(list(mistakes(line, grows=True))) == 1
    right = "nn.BatchNorm2d(64, momentum=0.2); loss.backward(); assert abs(found - expected) < 1e-3; assert a - b < c"
    assert list(mistakes(right, grows=True)) == []


@pytest.mark.parametrize("folder", SMALL)
def test_latents_are_new_in_each_step_and_the_last_sheet_is_what_the_weights_draw(
    folder: str, chapter: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step learns from the pictures of another one, and samples are drawn in eval mode, by the average with its buffers."""
    train = chapter(folder, "train")
    forward, seen = train.Generator.forward, []

    def watched(self: Any, z: torch.Tensor, *rest: Any) -> torch.Tensor:
        if torch.is_grad_enabled() or len(z) == 8:  # 8: a batch in training; the sheets have 64 or 80
            seen.append(z.clone())
        return forward(self, z, *rest)

    monkeypatch.setattr(train.Generator, "forward", watched)
    common = {"data": "mnist-10k", "latent_dim": 6, "accelerator": "cpu", "precision": "32-true", "log_every": 100}
    if folder != "07_progan":
        common |= {"batch_size": 8}
    run = train.train(train.Config(**common, **SMALL[folder], max_steps=3, out=str(tmp_path)))
    assert len(torch.stack(seen).unique(dim=0)) == 2 * 3  # for each of the two networks, in each of three steps
    if folder == "07_progan":  # without BatchNorm: training and evaluation are the same
        return
    generator, _ = chapter(folder, "generate").load_generator(run / "weights.safetensors")
    fixed = torch.Generator().manual_seed(0)
    if folder == "04_conditional_gan":  # a class for each of ten columns, a latent for each of eight rows
        z, labels = torch.randn(8, 6, generator=fixed).repeat_interleave(10, 0), torch.arange(10).repeat(8)
        drawn = images.grid(generator(z, labels), 10)
    else:
        drawn = images.grid(generator(torch.randn(64, 6, generator=fixed)))
    with Image.open(run / "samples/step_000003.png") as sheet:
        difference = np.array(drawn, dtype=int) - np.array(sheet.convert(drawn.mode), dtype=int)
    assert np.abs(difference).max() <= 1  # of 255: a rounding
