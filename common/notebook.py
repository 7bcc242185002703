"""What the notebooks use: source code from the files, grids and curves, and the checks of the exercises.

Colours mean the same in every plot: real is blue, fake is orange, the discriminator or critic is grey.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from torch import Tensor

from common.images import grid

REAL, FAKE, JUDGE = "tab:blue", "tab:orange", "tab:grey"


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
    """The curves of a run: one plot for each group of tags ("loss/d" and "loss/g" share one); all but "growth" smoothed.

    `titles` names the groups to show, each with its title; without it all are shown.
    """
    groups = list(titles or dict.fromkeys(tag.split("/")[0] for tag in history if tag != "step"))
    columns, rows = max(1, min(3, len(groups))), max(1, math.ceil(len(groups) / 3))
    figure = Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(groups) :]:
        axis.remove()
    for axis, group in zip(axes, groups, strict=False):
        for tag in (tag for tag in history if tag.startswith(f"{group}/")):
            name = tag.split("/")[1]
            colour = REAL if "real" in name else FAKE if "fake" in name or name.startswith("g") else JUDGE
            style, window = ":" if name.endswith("alpha") else "-", 1 if group == "growth" else 15
            axis.plot(history["step"], history[tag], color=colour, alpha=0.2, lw=0.8)
            axis.plot(history["step"], _smooth(history[tag], window), style, color=colour, label=name.replace("_", " "))
        axis.set_xlabel("generator updates")
        axis.set_ylabel(group)
        axis.set_title((titles or {}).get(group, group), fontsize=10)
        axis.legend(fontsize=8)
    return figure


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """A running mean over the last `window` points."""
    chunks = [values[max(0, i - window + 1) : i + 1] for i in range(len(values))]
    return [sum(chunk) / len(chunk) for chunk in chunks]


# ---------------------------------------------------------------------------------------------------- exercises


def check_number(answer: Any, expected: float, tolerance: float = 0.01, hint: str = "") -> None:
    """Compare a number with the right one, to a relative `tolerance` (absolute below 1)."""
    if answer is ...:
        print("not answered yet")
    elif not isinstance(answer, (int, float)) or isinstance(answer, bool):
        print(f"give a number, not {type(answer).__name__}")
    elif abs(answer - expected) <= tolerance * max(1.0, abs(expected)):
        print("right")
    else:
        print(f"not yet: {answer:.4g} is too {'large' if answer > expected else 'small'}. {hint}".rstrip())


def check_choice(answer: Any, right: str, wrong: Mapping[str, str]) -> None:
    """Check a letter; `wrong` says for each wrong letter why it is wrong."""
    if answer is ...:
        print("not answered yet")
    elif answer == right:
        print("right")
    else:
        print(f"not yet: {wrong.get(answer, f'answer with one of {sorted([right, *wrong])}')}")


def check_function(
    answer: Any,
    oracle: Callable[..., Tensor],
    cases: Sequence[tuple[Any, ...]],
    hint: str = "",
    tolerance: float = 1e-5,
) -> None:
    """Run the learner's function beside an independent one on each case, and say where they part."""
    if answer is ...:
        print("not answered yet")
        return
    for case in cases:
        expected = torch.as_tensor(oracle(*case), dtype=torch.float32)
        try:
            found = torch.as_tensor(answer(*case), dtype=torch.float32)
        except Exception as error:
            print(f"not yet: your function raised {type(error).__name__}: {error}")
            return
        if found.shape != expected.shape:
            print(
                f"not yet: your result has the shape {tuple(found.shape)}, not {tuple(expected.shape)}. {hint}".rstrip()
            )
            return
        worst = (found - expected).abs().max().item()
        if math.isnan(worst) or worst > tolerance:
            print(f"not yet: your result is off by up to {worst:.3g}. {hint}".rstrip())
            return
    print("right")
