"""The plots of this chapter's notebook and walkthrough: nothing here is part of the method."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from common.images import grid
from common.notebook import FAKE, JUDGE, REAL


def rows(named: Mapping[str, Tensor], title: str = "", width: float = 8.0) -> Figure:
    """Float pictures [N, C, H, W], a row for each name, which stands on the left of it."""
    sheets = {name: grid(pictures, len(pictures)) for name, pictures in named.items()}
    label = 1.5  # inches
    shape = max(sheet.height / sheet.width for sheet in sheets.values())
    height = len(sheets) * shape * (width - label) + (0.35 if title else 0.05)
    close = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.01, hspace=0, wspace=0)
    figure = Figure(figsize=(width, height), layout=close)
    axes = figure.subplots(len(sheets), 2, squeeze=False, width_ratios=(label, width - label))
    for (left, right), (name, sheet) in zip(axes, sheets.items(), strict=True):
        left.text(1, 0.5, name, ha="right", va="center", fontsize=9, transform=left.transAxes)
        left.set_axis_off()
        right.imshow(sheet)
        right.set_axis_off()
    figure.suptitle(title, fontsize=11)
    return figure


def cycle_picture(of_a: Tensor, of_b: Tensor) -> Figure:
    """Both cycles with pictures [3, C, H, W] on their arrows: a drawing, its translation and the way back; the same of a face."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    plot = figure.subplots()
    plot.set(xlim=(0, 10), ylim=(0, 5.5), aspect="equal")
    plot.set_axis_off()
    _one_cycle(plot, 4.1, of_a, ("drawing x", "G(x)", "F(G(x))"), ("G", "F"), "$D_Y$: is it a face?")
    _one_cycle(plot, 1.2, of_b, ("face y", "F(y)", "G(F(y))"), ("F", "G"), "$D_X$: is it a drawing?")
    return figure


def _one_cycle(plot: Axes, y: float, pictures: Tensor, names: Sequence[str], arrows: Sequence[str], judge: str) -> None:
    side, centres = 1.7, (1.2, 5.0, 8.8)
    for x, picture, name in zip(centres, pictures, names, strict=True):
        place = plot.inset_axes((x - side / 2, y - side / 2, side, side), transform=plot.transData)
        place.imshow(grid(picture[None], 1))
        place.set_axis_off()
        plot.text(x - side / 2, y + side / 2 + 0.1, name, fontsize=11)
    plot.text(centres[1] + side / 2 + 0.15, y + side / 2 + 0.1, judge, fontsize=10, color=JUDGE, ha="center")
    for start, end, name in zip(centres, centres[1:], arrows):
        ends = (end - side / 2 - 0.15, y), (start + side / 2 + 0.15, y)
        plot.annotate("", *ends, arrowprops={"arrowstyle": "-|>", "lw": 2, "color": FAKE})
        plot.text((start + end) / 2, y + 0.12, name, ha="center", fontsize=13, color=FAKE)
    below = y - side / 2 - 0.2
    plot.plot([centres[0]] * 2 + [centres[2]] * 2, [below + 0.15, below, below, below + 0.15], ":", color="black")
    plot.text(
        5, below, "cycle loss: the same picture again?", ha="center", va="center", fontsize=10, backgroundcolor="white"
    )


def stretched(pictures: Tensor, times: float = 12.0) -> Tensor:
    """Pictures [N, C, H, W] whose distance from white is so many times as large: faint marks become visible."""
    return (1 + times * (pictures - 1)).clamp(-1, 1)


def slopes() -> Figure:
    """How hard the least-squares loss and the logarithm's push a translation, by the output of the judge."""
    outputs = torch.linspace(-4, 4, 200)
    figure = Figure(figsize=(6, 3), layout="constrained")
    plot = figure.subplots()
    plot.plot(outputs, 2 * (outputs - 1), color=FAKE, label="least squares: 2 (D − 1)")
    plot.plot(outputs, -(1 - outputs.sigmoid()), "--", color=FAKE, label="logarithm: −(1 − σ(D))")
    plot.axhline(0, color="black", lw=0.5)
    plot.axvline(1, color=REAL, ls=":", label="the target of a real picture")
    plot.set(xlabel="the judge's output D for a translation", ylabel="slope of the generator's loss")
    plot.legend(fontsize=8)
    return figure


def ages(old: Tensor) -> Figure:
    """How old the old pictures are that a pool of 50 hands out, beside a coin and one place of 50."""
    figure, steps = Figure(figsize=(6, 2.8), layout="constrained"), torch.arange(1, 500)
    plot = figure.subplots()
    plot.hist(old.numpy(), bins=50, range=(0, 500), density=True, color=FAKE, label="old pictures shown")
    plot.plot(steps, 0.01 * 0.99 ** (steps - 1), color="black", label="a coin and one of 50, by theory")
    plot.set(xlabel="age in pictures", ylabel="share", title="How old are the old pictures?")
    plot.legend(fontsize=8)
    return figure


def bars(named: Mapping[str, float], label: str, title: str, reference: tuple[str, float] | None = None) -> Figure:
    """A horizontal bar for each name, from above, and a dotted line to compare with."""
    figure = Figure(figsize=(6.5, 0.4 * len(named) + 1.1), layout="constrained")
    plot = figure.subplots()
    plot.barh(list(named), list(named.values()), color=FAKE)
    plot.invert_yaxis()
    if reference:
        plot.axvline(reference[1], color=REAL, ls=":", label=reference[0])
        plot.legend(fontsize=8)
    plot.set(xlabel=label, title=title)
    return figure


def worth(named: Mapping[str, tuple[float, float]], floor: float) -> Figure:
    """What pairs are worth: a dot for each translator, L1 to the true face against FCD; the floor is that of true faces."""
    figure = Figure(figsize=(6.5, 3.4), layout="constrained")
    plot = figure.subplots()
    for (name, (l1, score)), marker in zip(named.items(), "os^Dv"):
        plot.plot(l1, score, marker, color=FAKE, ms=8)
        plot.annotate(name, (l1, score), xytext=(8, 6), textcoords="offset points", fontsize=9)
    plot.axhline(floor, color=REAL, ls=":", label="true faces")
    plot.margins(x=0.35, y=0.2)
    plot.set(xlabel="L1 to the true face (0 is best)", ylabel="FCD (0 is best)")
    plot.set_ylim(bottom=0)
    plot.legend(fontsize=8)
    return figure
