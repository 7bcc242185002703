"""What the classifier of the faces sees in a trained generator: which styles change which attributes, and how straight its spaces are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor

from common import images
from common.data import load
from common.scores import embed, yardstick
from painter import GROUPS, Painter, slerp, swapped


def attributes(pictures: Tensor) -> Tensor:
    """What the frozen classifier of the faces sees: pictures [N, 3, H, W] -> the value of each attribute, int64 [N, A]."""
    network = yardstick("avatars").network
    seen = F.interpolate(pictures.cpu(), size=network.size, mode="bilinear", antialias=True)
    return network.values(embed(network, images.to_uint8(seen))[1])


def swap_table(painter: Painter, number: int = 1000, seed: int = 0) -> dict[str, Tensor]:
    """For each group of layers, the share of faces [A] in which an attribute changes when their styles come from another face.

    "noise" is the reference below: the same face drawn again with other noise, and so also the doubt of the classifier; "all" is the one
    above: an unrelated face.
    """
    first, second = (painter.styles(painter.w(z)) for z in painter.latents(2 * number, seed).chunk(2))
    before = attributes(painter.draw(first))
    layers = {"noise": range(0)} | {name: painter.group(name) for name in GROUPS} | {"all": range(painter.layers)}
    return {
        name: (attributes(painter.draw(swapped(first, second, which))) != before).float().mean(0)
        for name, which in layers.items()
    }


def table_text(table: dict[str, Tensor]) -> str:
    """The table of `swap_table` as text, one line an attribute."""
    lines = [f"{'changed in':<24}" + "".join(f"{name:>9}" for name in table)]
    for i, attribute in enumerate(load("avatars").classes):
        lines.append(f"{attribute:<24}" + "".join(f"{shares[i].item():9.1%}" for shares in table.values()))
    mean = "".join(f"{shares.mean().item():9.1%}" for shares in table.values())
    return "\n".join([*lines, f"{'mean':<24}{mean}", f"classifier {yardstick('avatars').network_id}"])


def path_length(painter: Painter, space: str, number: int = 1000, seed: int = 0, epsilon: float = 1e-4) -> float:
    """Perceptual path length: E[d(G(t), G(t + epsilon)) / epsilon²], t in U(0, 1), on walks in "z" (slerp) or "w" (lerp). Section 4.1.

    The lowest and the highest hundredth of the walks do not count, as in the authors' code. Differs from it: d is the squared distance
    of the 64 features of the faces' classifier, not of VGG16; it sees the whole picture, not the face cut out; noise is off.
    """
    first, second = painter.latents(2 * number, seed).chunk(2)
    t = torch.rand(number, 1, generator=torch.Generator().manual_seed(seed)).to(first.device)
    network = yardstick("avatars").network

    ends = painter.w(first), painter.w(second)

    def features(t: Tensor) -> Tensor:
        w = painter.w(slerp(first, second, t)) if space == "z" else torch.lerp(*ends, t)
        parts = [
            painter.generator.synthesis(s, painter.resolution, painter.alpha, ()) for s in painter.styles(w).split(250)
        ]
        seen = F.interpolate(torch.cat(parts).cpu(), size=network.size, mode="bilinear", antialias=True)
        return torch.cat([network.features(part) for part in seen.split(250)])  # no rounding: the steps are tiny

    lengths = (features(t + epsilon) - features(t)).square().sum(1) / epsilon**2  # [N]
    low, high = lengths.quantile(0.01, interpolation="lower"), lengths.quantile(0.99, interpolation="higher")
    return lengths[(low <= lengths) & (lengths <= high)].mean().item()
