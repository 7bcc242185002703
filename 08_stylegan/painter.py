"""A trained generator, taken apart: latents z -> styles w -> pictures. What is done in between is the trick of this chapter.

    painter, settings = load_painter()
    w = painter.w(painter.latents(8, seed=0), psi=0.7)            # truncated
    pictures = painter.draw(painter.styles(w))                    # the same style in every layer
    pictures = painter.draw(swapped(styles, others, painter.group("coarse")))

Shape letters: N pictures, C colours, D numbers in z, S numbers in w, L layers with a style (2 a resolution).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from torch import Tensor

from common import require
from common.checkpoint import StoredSettings, load_state, load_weights
from model import Generator, resolutions

CHAPTER = "08_stylegan"
HERE = Path(__file__).resolve().parent
GROUPS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024)}  # resolutions, from and to: section 3.1
BUILD = (
    "size", "channels", "latent_dim", "style_dim", "mapping_layers", "base", "most", "without", "noise_rate", "conv_rate", "border",
)  # fmt: skip


class Painter:
    """A trained generator, taken apart: latents -> styles -> pictures. Truncation happens here, and never in training."""

    def __init__(self, generator: Generator, resolution: int, alpha: float = 1.0) -> None:
        self.generator, self.resolution, self.alpha = generator, resolution, alpha
        self.layers = 2 * len(resolutions(resolution))

    def latents(self, number: int, seed: int) -> Tensor:
        """z [N, D], standard normal; the same on every device."""
        z = torch.randn(number, self.generator.latent_dim, generator=torch.Generator().manual_seed(seed))
        return z.to(self.generator.constant.device)

    def w(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """z [N, D] -> w [N, S], truncated to psi."""
        return self.generator.truncated(self.generator.mapping(z), psi)

    def styles(self, w: Tensor) -> Tensor:
        """The same w [N, S] for every layer: [N, L, S]."""
        return self.generator.styles(w, self.resolution)

    def draw(self, styles: Tensor, noisy_layers: range | tuple[int, ...] | None = None) -> Tensor:
        """Styles [N, L, S] -> pictures [N, C, H, W], with new noise in all layers or in those given."""
        parts = [
            self.generator.synthesis(part, self.resolution, self.alpha, noisy_layers) for part in styles.split(250)
        ]
        return torch.cat(parts).clamp(-1, 1)

    def group(self, name: str) -> range:
        """The numbers of the layers of a group: coarse 0 to 3, middle 4 to 7, fine from 8 on (if there are so many)."""
        low, high = GROUPS[name]
        sides = [i for i, side in enumerate(resolutions(self.resolution)) if low <= side <= high]
        return range(2 * sides[0], 2 * sides[-1] + 2) if sides else range(0)


def load_painter(
    path: Path = HERE / "weights.safetensors", resolution: int | None = None, device: torch.device | None = None
) -> tuple[Painter, StoredSettings]:
    """The trained generator in eval mode, and the settings stored beside its weights. Raises `UserError`."""
    tensors, settings = load_weights(path, CHAPTER)
    generator = Generator(**{name: settings[name] for name in BUILD})
    load_state(generator, tensors, str(path))
    trained = settings["resolution"]
    known = [side for side in resolutions(trained) if side >= settings["start_size"]]
    require(resolution is None or resolution in known, f"--resolution must be one of {known}, not {resolution}")
    alpha = settings["alpha"] if resolution in (None, trained) else 1.0
    return Painter(generator.eval().requires_grad_(False).to(device), resolution or trained, alpha), settings


def slerp(first: Tensor, second: Tensor, t: Tensor) -> Tensor:
    """From latents first [N, D] to second on the sphere; t [N, 1] in 0..1: see chapter 01."""
    omega = torch.arccos(torch.cosine_similarity(first, second, dim=1).clamp(-1, 1))[:, None]
    sphere = (torch.sin((1 - t) * omega) * first + torch.sin(t * omega) * second) / torch.sin(omega)
    return torch.where(omega.sin() < 1e-3, torch.lerp(first, second, t), sphere)  # parallel: straight


def swapped(styles: Tensor, others: Tensor, layers: range) -> Tensor:
    """Styles [N, L, S] whose `layers` come from others."""
    result = styles.clone()
    result[:, layers] = others[:, layers]
    return result
