"""The plots of this chapter's notebook: nothing here is part of the method."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from matplotlib.figure import Figure
from torch import Tensor

from common.notebook import FAKE, JUDGE
from train import discriminator_loss, generator_loss


def maps(
    named: Mapping[str, Tensor],
    title: str,
    cmap: str = "Greys_r",
    least: float | None = None,
    most: float | None = None,
) -> Figure:
    """Maps [H, W] side by side, each with its own range from dark to light, or from `least`, to `most`."""
    figure = Figure(figsize=(2.8 * len(named), 3.2), layout="constrained")
    for plot, (name, values) in zip(figure.subplots(1, len(named)), named.items(), strict=True):
        plot.imshow(values, cmap=cmap, vmin=least, vmax=most)
        plot.set(title=name, xticks=[], yticks=[])
    figure.suptitle(title)
    return figure


def slopes() -> Figure:
    """The derivatives of the three kinds of losses by the logit: of D for real pictures, of G for its fakes."""
    a = torch.linspace(-4, 4, 201, requires_grad=True)
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)

    def draw(plot: object, loss: Callable[[Tensor], Tensor], style: str, colour: str, label: str) -> None:
        (slope,) = torch.autograd.grad(len(a) * loss(a), a)
        plot.plot(a.detach(), slope, style, color=colour, label=label)  # type: ignore[attr-defined]

    for kind, style in (("non-saturating", "-"), ("hinge", "--"), ("least-squares", ":")):
        draw(left, lambda a, kind=kind: discriminator_loss(a, a.detach(), kind), style, JUDGE, kind)  # type: ignore[misc]
        draw(right, lambda a, kind=kind: generator_loss(a, kind), style, FAKE, kind)  # type: ignore[misc]
    left.set(xlabel="logit of a real picture", ylabel="derivative of the loss", title="D's loss")
    right.set(xlabel="logit of a fake", title="G's loss")
    for plot in (left, right):
        plot.legend()
    return figure
