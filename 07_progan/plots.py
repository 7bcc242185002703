"""The plots of this chapter's notebook, and its counter of operations: nothing here is part of the method."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from common.notebook import FAKE, JUDGE, REAL
from train import Config, growth


def work(network: nn.Module, *inputs: Any) -> int:
    """Multiplications and additions of one forward pass; on the device "meta" they are counted and not done."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return int(counter.get_total_flops())


def schedule(config: Config) -> Figure:
    """Size and alpha of each step of a run, by the pictures shown until then."""
    moments = [growth(config, step) for step in range(config.max_steps)]
    shown = torch.tensor([now.batch_size for now in moments]).cumsum(0) / 1000
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(shown, [now.resolution for now in moments], color=JUDGE)
    above.set_yscale("log", base=2)
    above.set(ylabel="pixels a side", yticks=[4, 8, 16, 32, 64], yticklabels=[4, 8, 16, 32, 64])
    below.plot(shown, [now.alpha for now in moments], color=FAKE)
    below.set(ylabel="alpha", xlabel="thousands of real pictures shown")
    figure.suptitle("The default schedule: each size fades in, then rests")
    return figure


def deviations(spread: Mapping[str, Tensor]) -> Figure:
    """Histograms of the minibatch deviation [groups] of real groups and of collapsed ones."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    plot = figure.subplots()
    for (name, values), colour in zip(spread.items(), (REAL, FAKE), strict=True):
        plot.hist(values, bins=30, color=colour, label=name, alpha=0.8)
    plot.set(xlabel="mean standard deviation of a group", ylabel="groups of four", title="One number tells them apart")
    plot.legend()
    return figure


def stages(folder: Path, ends: Mapping[int, int]) -> Figure:
    """The samples of a run at the end of each stage; `ends` has the update for each size."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    for plot, (size, step) in zip(figure.subplots(1, len(ends)), ends.items(), strict=True):
        plot.imshow(plt.imread(folder / "samples" / f"step_{step:06d}.png"))
        plot.set(title=f"{size}×{size}, after {step} updates", xticks=[], yticks=[])
    figure.suptitle("What is coarse comes first")
    return figure
