"""The plots of this chapter's notebook: nothing here is part of the method."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

from matplotlib.figure import Figure
from torch import Tensor

from common.notebook import FAKE, JUDGE, REAL
from common.scores import Scores


def _one(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def halves(names: Sequence[str], shares: Mapping[str, Tensor]) -> Figure:
    """A bar for each attribute and each half of z: its share of what the whole z changes."""
    figure, plot = _one(8, 3.3)
    for i, (name, values) in enumerate(shares.items()):
        plot.bar([j + 0.4 * i for j in range(len(names))], values, width=0.38, color=(FAKE, JUDGE)[i], label=name)
    plot.set_xticks([j + 0.2 for j in range(len(names))], names, rotation=30, ha="right")
    plot.set(ylabel="as often as all of z", ylim=(0, 1.7), title="No half of z owns an attribute")
    plot.legend(ncols=2, loc="upper right")
    return figure


def doubled(repeated: Tensor, smooth: Tensor) -> Figure:
    """A row of pixels after repetition, and after the filter."""
    figure, plot = _one(7, 2.6)
    plot.step(range(len(repeated)), repeated, where="mid", color=JUDGE, label="repeated")
    plot.plot(range(len(smooth)), smooth, color=FAKE, marker="o", ms=3, label="and blurred")
    plot.set(xlabel="pixel", ylabel="value", title="Repeating makes steps; [1, 2, 1] makes slopes")
    plot.legend()
    return figure


def borders(maps: Mapping[str, Tensor]) -> Figure:
    """The first map [K, H, W] of each kind of border."""
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    for plot, (border, found) in zip(figure.subplots(1, len(maps)), maps.items(), strict=True):
        plot.imshow(found[0], cmap="Greys", vmin=-2, vmax=2)
        plot.set(title={"replicate": "copies of the outermost pixels"}.get(border, border), xticks=[], yticks=[])
    figure.suptitle("A flat map after nine convolutions of a new generator")
    return figure


def cuts(which: Tensor) -> Figure:
    """Which of two latents gives the style: pictures and layers [N, L], 0 the first, 1 the second."""
    figure, plot = _one(6, 2.6)
    plot.imshow(which.T, cmap="Greys", vmin=-0.3, vmax=1.3)
    title = "Which of the two latents gives the style (light: the first)"
    plot.set(xlabel="picture of the batch", ylabel="layer", title=title, xticks=range(0, len(which), 2))
    return figure


def growth(steps: Sequence[int], sides: Sequence[int], alphas: Sequence[float]) -> Figure:
    """The resolution at each step, and how far it has faded in."""
    figure, plot = _one(7, 2.6)
    plot.step(steps, sides, color=JUDGE)
    plot.set(xlabel="generator updates", ylabel="pixels a side (grey)", yscale="log")
    plot.set_yticks([8, 16, 32, 64], ["8", "16", "32", "64"])
    plot.minorticks_off()
    other = plot.twinx()
    other.plot(steps, alphas, color=FAKE, lw=1)
    other.set(ylabel="alpha (orange)", title="The default run: each new resolution fades in")
    return figure


def sizes(with_norm: Sequence[float], without_norm: Sequence[float]) -> Figure:
    """The size of the maps of each layer, with the normalisation and without."""
    figure, plot = _one(7, 2.8)
    plot.plot(with_norm, color=FAKE, marker="o", label="AdaIN")
    plot.plot(without_norm, color=JUDGE, marker="o", label="scale and bias only")
    title = "Without the norm each style multiplies those before it"
    plot.set(xlabel="layer", ylabel="root mean square", yscale="log", title=title)
    plot.legend()
    return figure


def unevenness(found: Mapping[str, float]) -> Figure:
    """A bar for real faces, and for those of each chapter."""
    figure, plot = _one(5.5, 1.8)
    plot.barh(list(found), list(found.values()), color=[REAL] + [FAKE] * (len(found) - 1))
    plot.set(title="How uneven is the background?", xlabel="standard deviation of its colour (median)")
    plot.invert_yaxis()
    return figure


def swaps(rows: Sequence[str], names: Sequence[str], shares: Tensor) -> Figure:
    """The share of faces [rows, names] in which an attribute changes; darker is more."""
    figure, plot = _one(9, 3.4)
    plot.imshow(shares, cmap="Oranges", vmin=0, vmax=1)
    for i in range(len(rows)):
        for j in range(len(names)):
            plot.text(j, i, f"{shares[i, j]:.0%}", ha="center", va="center", fontsize=8)
    plot.set_yticks(range(len(rows)), rows)
    plot.set_xticks(range(len(names)), names, rotation=30, ha="right")
    plot.set_title(
        "Share of faces in which the attribute changes, by the layers whose styles are exchanged", fontsize=10
    )
    return figure


def truncation(curve: Mapping[float, Scores]) -> Figure:
    """Precision and recall at each psi."""
    figure, plot = _one(5.5, 3)
    plot.plot(list(curve), [score.precision for score in curve.values()], color=FAKE, marker="o", label="precision")
    plot.plot(list(curve), [score.recall for score in curve.values()], color=REAL, marker="o", label="recall")
    plot.set(xlabel="psi", ylabel="share", ylim=(0, 1.02), title="Truncation: what it does to both")
    plot.legend()
    return figure


def spikes(shares: Sequence[Tensor]) -> Figure:
    """For each layer from number 4 on, and each of its maps: the share of its energy in a hundredth of the places."""
    figure, plot = _one(7, 2.8)
    for i, maps in enumerate(shares, start=4):
        plot.plot([i] * len(maps), maps, ".", color=FAKE, alpha=0.5)
    plot.set(xlabel="layer", ylabel="energy in 1 % of places", ylim=(0, 1), title="Each dot is a map before its norm")
    return figure
