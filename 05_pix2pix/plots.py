"""The plots of this chapter's notebook: nothing here is part of the method."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from common.notebook import FAKE, JUDGE, REAL


def spectrum(pictures: Tensor) -> list[float]:
    """Mean power of the waves of pictures [N, C, S, S], in rings of frequency from 1 to S / 2 waves a picture."""
    size = pictures.shape[-1]
    power = torch.fft.fft2(pictures, norm="ortho").abs().square().mean((0, 1))
    frequency = torch.fft.fftfreq(size)
    ring = (torch.hypot(frequency[:, None], frequency[None, :]) * size).round().long()
    return [power[ring == r].mean().item() for r in range(1, size // 2 + 1)]


def spectra(sets: Mapping[str, Tensor], title: str) -> Figure:
    """Power by frequency of each set of pictures [N, C, S, S]; right of the thin line are the waves that detail counts."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    plot = figure.subplots()
    for (name, pictures), style in zip(sets.items(), ("-", "-", "--", ":", "-."), strict=False):
        lines, colour = spectrum(pictures), REAL if name == "truth" else FAKE
        plot.semilogy(
            [r / pictures.shape[-1] for r in range(1, len(lines) + 1)], lines, style, color=colour, label=name
        )
    plot.axvline(0.25, color="black", lw=0.5)
    plot.set(xlabel="frequency (waves a pixel)", ylabel="mean power", title=title)
    plot.legend(fontsize=8)
    return figure


def expected_errors(strengths: Tensor, l1: Tensor, l2: Tensor) -> Figure:
    """The expected L1 and L2 of answers whose wave has these strengths, all [S]."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    plot = figure.subplots()
    plot.plot(strengths, l1, color=FAKE, label="L1")
    plot.plot(strengths, l2, "--", color=FAKE, label="L2")
    plot.axvline(1, color=REAL, label="strength of every true wave")
    title = "Not knowing where, the best answer is no wave"
    plot.set(xlabel="strength c of the answer's wave", ylabel="expected error", title=title)
    plot.legend(fontsize=8)
    return figure


def patches(picture: Tensor, logits: Tensor, seen: Sequence[Tensor], places: Sequence[tuple[int, int]]) -> Figure:
    """What the judge sees: on the left a picture [C, S, S] with the pixels [S, S] of some logits framed, on the right their map."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow((picture.permute(1, 2, 0) + 1) / 2)
    right.imshow(logits, cmap="Greys_r")
    for mask, (row, column), style in zip(seen, places, ("-", "--", ":"), strict=False):
        rows, columns = (torch.nonzero(mask.any(side)).flatten() for side in (1, 0))
        corner = (columns[0].item() - 0.5, rows[0].item() - 0.5)
        frame: dict[str, Any] = {"fill": False, "ec": JUDGE, "lw": 2.5, "ls": style}
        left.add_patch(Rectangle(corner, len(columns), len(rows), **frame))
        right.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **(frame | {"ec": FAKE})))
    left.set(title="the pixels that three logits see", xticks=[], yticks=[])
    right.set(title="the map of logits: one number a patch", xticks=[], yticks=[])
    figure.suptitle("The judge's patches overlap")
    return figure
