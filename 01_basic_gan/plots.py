"""The plots of this chapter's notebook: nothing here is part of the method."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from common.notebook import FAKE, REAL
from train import generator_loss


def surfaces(axis: Tensor, named: Mapping[str, Tensor]) -> Figure:
    """D(x) over the plane, for several discriminators [n * n] over the same axis [n]."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    plots = figure.subplots(1, len(named), sharey=True)
    levels = [i / 10 for i in range(11)]
    for plot, (name, surface) in zip(plots, named.items(), strict=True):
        shades = plot.contourf(axis, axis, surface.view(len(axis), -1), levels=levels, cmap="Greys_r")
        plot.set(title=name, xlabel="x₁", aspect="equal")
    figure.colorbar(shades, ax=plots, label="D(x): white is real")
    return figure


def strips(frames: Mapping[str, Sequence[Image.Image]], title: str) -> Figure:
    """Rows of pictures, each with its name at the left."""
    columns = max(len(row) for row in frames.values())
    figure = Figure(figsize=(14, 3.8 * len(frames)), layout="constrained")
    for plots, (name, row) in zip(figure.subplots(len(frames), columns, squeeze=False), frames.items(), strict=True):
        for plot, frame in zip(plots, row, strict=True):
            plot.imshow(frame)
            plot.set(xticks=[], yticks=[], frame_on=False)
        plots[0].set_ylabel(name, fontsize=14)
    figure.suptitle(title, fontsize=16)
    return figure


def slopes() -> Figure:
    """How steep both losses of the generator are at each logit."""
    a = torch.linspace(-8, 4, 200, requires_grad=True)
    figure = Figure(figsize=(5, 3), layout="constrained")
    plot = figure.subplots()
    for kind, style in (("saturating", ":"), ("non-saturating", "-")):
        (slope,) = torch.autograd.grad(len(a) * generator_loss(a, kind), a)
        plot.plot(a.detach(), slope.abs(), style, color=FAKE, label=kind)
    plot.set(xlabel="logit of a fake (far left: detected at once)", ylabel="size of the gradient")
    plot.set_title("The slopes of the two losses")
    plot.legend()
    return figure


def loss_beside_score(steps: Sequence[int], losses: Sequence[float], scores: Sequence[float]) -> Figure:
    """The generator's loss and FCD, with an axis each."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    plot = figure.subplots()
    plot.plot(steps, scores, "o-", color="black", label="FCD (lower is better)")
    plot.set(xlabel="generator updates", ylabel="FCD", title="The generator's loss beside the quality of its pictures")
    other = plot.twinx()
    other.plot(steps, losses, "o-", color=FAKE, label="generator's loss")
    other.set_ylabel("loss")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def gradient_sizes(steps: Sequence[int], sizes: Mapping[str, Sequence[float]]) -> Figure:
    """The size of the generator's gradient while the discriminator learns alone."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    plot = figure.subplots()
    for marker, (kind, values) in zip(("o:", "s-"), sizes.items(), strict=True):
        plot.semilogy(steps, values, marker, color=FAKE, label=f"{kind} loss")
    plot.set(xlabel="discriminator steps while the generator waits", ylabel="size of the generator's gradient")
    plot.set_title("What a judge that is always right teaches")
    plot.legend()
    return figure


def floors(sizes: Sequence[int], scores: Sequence[float]) -> Figure:
    """The score of real digits, by their number."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    plot = figure.subplots()
    plot.loglog(sizes, scores, "o-", color=REAL)
    plot.set(xlabel="number of digits scored", ylabel="FCD", title="The score of real digits, by their number")
    plot.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
    plot.minorticks_off()
    return figure
