"""The plots of this chapter's notebook: nothing here is part of the method."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, eye

from common.notebook import FAKE, JUDGE, REAL


def strip(frames: Sequence[Image.Image], title: str) -> Figure:
    """Pictures side by side."""
    figure = Figure(figsize=(3.5 * len(frames), 3.9), layout="constrained")
    for plot, frame in zip(figure.subplots(1, len(frames)), frames, strict=True):
        plot.imshow(frame)
        plot.set_axis_off()
    figure.suptitle(title)
    return figure


def two_distances(shifts: Sequence[float], divergences: Sequence[float], distances: Sequence[float]) -> Figure:
    """Two parallel lines: how each distance depends on the shift."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(shifts, divergences, "o", color="black")  # a jump is no slope: not joined
    left.set(xlabel="θ, where the generator draws its line", ylabel="Jensen–Shannon divergence")
    right.plot(shifts, distances, "o-", color="black")
    right.set(xlabel="θ, where the generator draws its line", ylabel="Wasserstein distance")
    return figure


def plan_and_prices(positions: Tensor, p: Tensor, q: Tensor, plan: Tensor, prices: Tensor) -> Figure:
    """Bars of p above bars of q, an arrow for each part of the plan [B, B] that moves, and the price line below."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    above.bar(positions, p, 0.5, bottom=1, color=REAL, label="p, the heap")
    above.bar(positions, -q, 0.5, bottom=0, color=FAKE, label="q, the hole")
    for place, heap, hole in zip(positions.tolist(), p.tolist(), q.tolist(), strict=True):
        above.text(place, 1.02 + heap, f"{heap:g}", ha="center", va="bottom", fontsize=9)
        above.text(place, -0.02 - hole, f"{hole:g}", ha="center", va="top", fontsize=9)
    for number, (i, j) in enumerate((plan * (1 - eye(len(plan))) > 1e-6).nonzero().tolist()):
        start, end, amount = positions[i].item(), positions[j].item(), plan[i, j].item()
        style = {"arrowstyle": "-|>", "lw": 20 * amount, "color": JUDGE, "shrinkA": 0, "shrinkB": 0}
        above.annotate("", (end, 0.05), (start, 0.95), arrowprops=style)
        along = (0.3, 0.5, 0.7)[number % 3]  # where the label of the amount has its place
        place = start + along * (end - start), 0.95 - 0.9 * along
        above.text(*place, f"{amount:.1f}", ha="center", va="center", fontsize=9, backgroundcolor="white")
    above.set(ylim=(-0.65, 1.65), yticks=[], title="The cheapest plan")
    above.legend(loc="upper center", bbox_to_anchor=(0.74, 1), fontsize=9)
    below.plot(positions, prices, "o-", color=JUDGE)
    below.set(xlabel="position", ylabel="price f", title="The best prices: every arrow runs downhill at slope 1")
    return figure


def forces(gaps: Sequence[float], named: Mapping[str, Sequence[float]], estimates: Sequence[float]) -> Figure:
    """Left the force on a fake by each loss; right what the critic says of the distance."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, values), style in zip(named.items(), ("o:", "o--", "o-"), strict=True):
        left.semilogy(gaps, values, style, color=JUDGE, label=name)
    left.set(xlabel="distance of the fakes", ylabel="force on a fake")
    left.legend(fontsize=8)
    right.plot(gaps, gaps, ":", color="black", label="the true W")
    right.plot(gaps, estimates, "o-", color=JUDGE, label="mean real score − mean fake score")
    right.set(xlabel="distance of the fakes", ylabel="estimate")
    right.legend(fontsize=8)
    return figure


def estimate_beside_score(steps: Sequence[int], estimates: Sequence[float], scores: Sequence[float]) -> Figure:
    """The Wasserstein estimate and FCD, with an axis each."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    plot = figure.subplots()
    lines = plot.plot(steps, scores, "o-", color="black", label="FCD (lower is better)")
    plot.set(xlabel="generator updates", ylabel="FCD")
    other = plot.twinx()
    lines += other.plot(steps, estimates, "o-", color=JUDGE, label="Wasserstein estimate")
    other.set_ylabel("Wasserstein estimate")
    plot.legend(handles=lines, fontsize=8)
    return figure


def weights_and_slopes(named: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """A row for each critic: its weights, and the norms of its gradient at interpolates."""
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    for (left, right), (name, (weights, slopes)) in zip(figure.subplots(2, 2), named.items(), strict=True):
        left.hist(weights.numpy(), bins=60, color=JUDGE)
        left.set(xlabel="weight", ylabel=f"{name}: count", yscale="log")
        left.locator_params(axis="x", nbins=5)
        right.hist(slopes.numpy(), bins=40, color=JUDGE)
        right.set(xlabel="norm of the gradient at an interpolate", ylabel="count")
        right.axvline(1, color="black", ls=":")
    return figure


def landscapes(axis: Tensor, surfaces: Mapping[str, Tensor], centres: Tensor) -> Figure:
    """Level lines of critics [n, n] over the same axis [n], with the real points in blue."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for plot, (name, surface) in zip(figure.subplots(1, len(surfaces), sharey=True), surfaces.items(), strict=True):
        plot.contourf(axis, axis, surface, levels=14, cmap="Greys_r")
        plot.scatter(*centres.T, s=12, color=REAL)
        plot.set(title=name, xlabel="x₁", aspect="equal")
    figure.suptitle("The critics' scores: light is high, and real points (blue) should be summits")
    return figure


def by_layer(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """The size of the gradient at each hidden layer."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    plot = figure.subplots()
    for name, values in sizes.items():
        plot.semilogy(range(1, len(values) + 1), values, "-" if name == "penalty" else ":", marker="o", color=JUDGE)
        plot.annotate(name, (1, values[0]), xytext=(6, 6), textcoords="offset points")
    plot.margins(y=0.15)
    plot.set(xlabel="layer (1 sees the points)", ylabel="size of the gradient")
    return figure
