"""The plots of this chapter's notebook: nothing here is part of the method."""

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from matplotlib.figure import Figure
from torch import Tensor

import line
from common.notebook import FAKE, JUDGE, REAL


def swapped(x: Tensor, p_data: Tensor, p_g: Tensor, best: Tensor) -> Figure:
    """Joint densities [X, 2] above, and below what the best discriminator [X, 2] says of each class at points x [X]."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    plots = figure.subplots(2, 2, sharex=True, sharey="row")
    for label in (0, 1):
        above, below = plots[:, label]
        above.plot(x, p_data[:, label], color=REAL, label="real")
        above.plot(x, p_g[:, label], color=FAKE, label="fake, asked for this class")
        above.set(title=f"class {label}", ylim=(-0.01, 0.3))
        below.plot(x, best[:, label], color=JUDGE, label="D* that sees the label")
        below.axhline(0.5, color=JUDGE, ls=":", label="D* that is blind")
        below.set(xlabel="x", ylim=(-0.05, 1.05))
    plots[0, 0].set_ylabel("density")
    plots[1, 0].set_ylabel("probability of real")
    for plot, place in zip(plots[:, 1], ("upper right", "lower right"), strict=True):
        plot.legend(fontsize=8, loc=place)
    figure.suptitle("The judge that sees the label knows that it was swapped")
    return figure


def on_the_line(
    x: Tensor, density: Tensor, generators: Mapping[str, line.LineGenerator], shares: Mapping[str, float]
) -> Figure:
    """What each generator draws when asked for class 1, over the real density [X] at points x [X]."""
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    plots = figure.subplots(1, len(generators), sharey=True)
    z = torch.randn(10_000, line.LATENT_DIM, generator=torch.Generator().manual_seed(0))
    for plot, (kind, generator) in zip(plots, generators.items(), strict=True):
        with torch.no_grad():
            drawn = generator(z, torch.ones(len(z), dtype=torch.long)).squeeze(1)
        plot.hist(drawn.clamp(-4, 4), bins=60, range=(-4, 4), density=True, color=FAKE, label="fake")
        plot.plot(x, density, color=REAL, label="real")
        plot.axvline(0, color=JUDGE, lw=0.8)
        plot.set_xlabel("x")
        plot.set_title(f"{kind}: {shares[kind]:.0%} on the other side", fontsize=10)
    plots[0].set_ylabel("density")
    plots[0].legend(fontsize=8)
    figure.suptitle("Asked for class 1. Of the real points 16 % lie left of 0")
    return figure


def doors() -> Figure:
    """Where the label enters both networks, in each of the three ways."""
    ways = {
        "embedding": ("numbers beside z", "one more channel\nof the picture", "logit"),
        "auxiliary": ("numbers beside z", "not at all", "logit, and the\nclass's name"),
        "projection": ("scale and shift\nbehind each BatchNorm", "inner product\nwith the features", "logit"),
    }
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    for plot, (name, (to_g, to_d, out)) in zip(figure.subplots(1, 3), ways.items(), strict=True):
        plot.set(xlim=(0, 10), ylim=(0, 6.5), title=name)
        plot.set_axis_off()
        for x, text, colour in ((3, "G", FAKE), (7, "D", JUDGE)):
            plot.text(
                x,
                4,
                text,
                ha="center",
                va="center",
                color="white",
                fontsize=16,
                bbox={"boxstyle": "square,pad=0.7", "fc": colour, "ec": colour},
            )
        for at, text in ((0.5, "z"), (5.0, "x"), (8.9, out)):
            plot.text(
                at, 4 if len(text) == 1 else 5.2, text, ha="center", va="center", fontsize=11 if len(text) == 1 else 9
            )
        for start, end in ((0.9, 2.1), (3.9, 4.7), (5.3, 6.1), (7.9, 9.4)):
            plot.annotate("", (end, 4), (start, 4), arrowprops={"arrowstyle": "-|>", "color": "black"})
        for x, how in ((3, to_g), (7, to_d)):
            plot.text(
                x,
                0.8,
                f"y: {how}" if how != "not at all" else "y does not enter",
                ha="center",
                va="center",
                fontsize=9,
                color=REAL,
            )
            if how != "not at all":
                plot.annotate("", (x, 3), (x, 1.5), arrowprops={"arrowstyle": "-|>", "color": REAL, "lw": 2})
    figure.suptitle("Where the label y enters")
    return figure
