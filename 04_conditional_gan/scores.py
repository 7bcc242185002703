"""How well does a conditional generator obey? Two numbers beside FCD, from the frozen classifier of the scores.

    asked for   how often the classifier sees the class that was asked for
    variety     how different the pictures of one class are, over the same of real pictures

Either alone is easy: one perfect seven, over and over, is always the asked-for class; a generator that ignores the label is
varied inside every class.

Shape letters: N pictures, K classes.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch.nn.functional as F
from torch import Tensor

from common import require
from common.scores import embed, yardstick


def asked_for(logits: Tensor, labels: Tensor, classes: int) -> list[float]:
    """For each class, how often a classifier with these logits [N, K] sees it in the pictures asked to be of it."""
    seen = (logits.argmax(1) == labels).double()
    return [seen[labels == label].mean().item() for label in range(classes)]


def variety(features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> list[float]:
    """Mean distance between two pictures of a class, over the same of real pictures of it; one ratio a class.

    Distances are Euclidean between features [N, 64]. 1 is as varied as real pictures, 0 is one picture over and over. Where
    the label is not obeyed the ratio is above 1, since other classes are mixed in: read it beside `asked_for`.
    """

    def spread(of: Tensor, where: Tensor) -> list[float]:
        return [F.pdist(of[where == label]).mean().item() for label in real_labels.unique()]

    return [ours / theirs for ours, theirs in zip(spread(features, labels), spread(real, real_labels), strict=True)]


def class_report(pictures: Tensor, labels: Tensor, data_name: str) -> tuple[str, dict[str, object]]:
    """How obedient and how varied uint8 pictures [N, 1, 28, 28] are, as text and numbers."""
    stick = yardstick(data_name)
    features, logits = embed(stick.network, pictures)
    own, real = len(labels.unique()), logits.shape[1]
    require(own == real, f"--score: the generator has {own} classes, the pictures of {data_name} have {real}")
    seen = stick.network.head(stick.sample).argmax(1)  # the reference's classes, as the same network names them
    hits, spread = asked_for(logits, labels, logits.shape[1]), variety(features, labels, stick.sample, seen)
    obeyed, varied = sum(hits) / len(hits), sum(spread) / len(spread)
    text = f"asked-for class  {obeyed:.1%} (" + " ".join(f"{hit:.0%}" for hit in hits) + ")\n"
    text += f"variety in class {varied:.2f} of real pictures' (" + " ".join(f"{ratio:.2f}" for ratio in spread) + ")"
    return text, {"asked_for": obeyed, "asked_for_by_class": hits, "variety": varied, "variety_by_class": spread}
