"""What the notebooks use: source code from the files, grids and curves, and verdicts on claims.

Colours mean the same in every plot: real is blue, fake is orange, the discriminator or critic is grey.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from operator import eq, ge, gt, le, lt
from statistics import fmean
from typing import Any

from IPython.display import Markdown
from matplotlib.figure import Figure
from torch import Tensor

from common.images import grid

REAL, FAKE, JUDGE = "tab:blue", "tab:orange", "tab:grey"
BOUNDS = {"more than": gt, "at least": ge, "less than": lt, "at most": le, "exactly": eq}
WORDS = {  # for a group of tags the title of its plot, for a tag or its end the legend; all others are shown as they are
    "loss": "the losses", "prob": "what the discriminator believes", "logits": "mean logits", "scores": "mean scores",
    "right": "how often the discriminator is right", "wasserstein": "the Wasserstein estimate", "real": "real pictures",
    "gradient": "mean slope of the critic", "gradients": "length of the networks' gradients", "fake": "drawn pictures",
    "prob/real": "D(x), real pictures", "prob/fake": "D(G(z)), drawn pictures", "loss/d": "discriminator", "loss/g": "generator",
}  # fmt: skip


def show_source(*things: Any) -> Markdown:
    """The source of functions or classes as a code block, taken from the file that the scripts run."""
    return Markdown("\n".join(f"```python\n{inspect.getsource(thing)}```" for thing in things))


def show_grid(pictures: Tensor | Mapping[str, Tensor], columns: int = 8, title: str = "", width: float = 7.0) -> Figure:
    """Show float pictures [N, C, H, W] in [-1, 1]; several named sets stand side by side."""
    sets = pictures if isinstance(pictures, Mapping) else {"": pictures}
    sheets = [(name, grid(part, columns)) for name, part in sets.items()]
    height = max(sheet.height / sheet.width for _, sheet in sheets) * width / len(sheets)
    figure = Figure(figsize=(width, height + 0.5), layout="constrained")
    axes = figure.subplots(1, len(sheets), squeeze=False)[0]
    for axis, (name, sheet) in zip(axes, sheets, strict=True):
        axis.imshow(sheet)
        axis.set_title(name, fontsize=10)
        axis.set_axis_off()
    figure.suptitle(title)
    return figure


def plot_curves(history: Mapping[str, Sequence[float]], titles: Mapping[str, str] | None = None) -> Figure:
    """The curves of a run: one plot for each group of tags ("loss/d" and "loss/g" share one); all but "growth" and "rate" smoothed.

    `titles` names the groups to show, each with its title; without it all are shown. Pale lines are the values themselves.
    """
    words = WORDS | {"loss/d": "critic"} if "wasserstein/estimate" in history else WORDS
    groups = list(titles or dict.fromkeys(tag.split("/")[0] for tag in history if tag != "step"))
    columns, rows = max(1, min(3, len(groups))), max(1, math.ceil(len(groups) / 3))
    figure = Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(groups) :]:
        axis.remove()
    for axis, group in zip(axes, groups, strict=False):
        window = 1 if group in ("growth", "rate") else max(1, min(15, len(history["step"]) // 10))
        for tag in (tag for tag in history if tag.startswith(f"{group}/")):
            name = tag.split("/")[1]
            colour = REAL if "real" in name else FAKE if "fake" in name or name.startswith(("g", "to_")) else JUDGE
            style = "--" if colour in [line.get_color() for line in axis.lines] else "-"  # chapter 06 has two of a kind
            axis.plot(history["step"], history[tag], color=colour, alpha=0.2, lw=0.8)
            label = words.get(tag, words.get(name, name.replace("_", " ")))
            running = [fmean(history[tag][max(0, i - window + 1) : i + 1]) for i in range(len(history[tag]))]
            axis.plot(history["step"], running, style, color=colour, label=label)
        axis.set(xlabel="generator updates", ylabel=group)
        axis.set_title((titles or words).get(group, group), fontsize=10)
        axis.legend(fontsize=8)
    return figure


def verdict(claim: str, value: float, bound: str, number: float, meant_to_fail: bool = False) -> None:
    """Print ✓ or ✗, the claim with its value in the place of "{:.2f}" or the like, and what was required.

    Write "≈ {:.2f}" for a value that depends on the machine: tests let numbers behind "≈" differ, and nothing else.
    """
    holds = BOUNDS[bound](value, number)
    asked = f"(required: {bound} {number:g}{'; meant to fail' if meant_to_fail else ''})"
    print("✓" if holds else "✗", claim.format(value), asked)
