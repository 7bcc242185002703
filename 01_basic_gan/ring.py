"""The whole game in the plane: a GAN learns eight Gaussians on a ring, in seconds.

    python 01_basic_gan/ring.py                        # writes an animation and counts the modes that were found
    python 01_basic_gan/ring.py --loss saturating      # Eq. 1 to the letter
    python 01_basic_gan/ring.py --unroll 5             # the generator looks five discriminator steps ahead

In two dimensions everything can be looked at and computed: the densities are known, so that the best possible
discriminator is known too (section 4 of arXiv:1406.2661). The experiment is the one of Metz et al., "Unrolled Generative
Adversarial Networks", arXiv:1611.02163, section 3.1.

Shape letters: N points, M = 8 modes.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import trange

from common import relative
from common.command_line import Flags, command_line
from common.images import save_gif
from common.scores import modes_covered
from train import discriminator_loss, draw_targets, generator_loss

RUNS = Path(__file__).resolve().parents[1] / "runs" / "01_basic_gan"
MODES = 8
RADIUS = 2.0
STD = 0.1
LATENT_DIM = 32


@dataclass
class Config(Flags):
    """Train a GAN on eight Gaussians in the plane."""

    steps: PositiveInt = 2000  # updates of the generator
    batch_size: PositiveInt = 256  # points in a batch
    lr_g: PositiveFloat = 1e-3  # learning rate of the generator
    lr_d: PositiveFloat = 1e-3  # learning rate of the discriminator
    loss: Literal["non-saturating", "saturating"] = "non-saturating"  # section 3, or Eq. 1 to the letter
    unroll: NonNegativeInt = 0  # discriminator steps that the generator looks ahead (arXiv:1611.02163)
    unroll_lr: PositiveFloat = 0.2  # eta of those steps; ours: plain gradient descent, so larger than Adam's lr_d
    width: PositiveInt = 64  # units in each of the two hidden layers of both networks
    out: Path | None = None  # the animation; default: runs/01_basic_gan/ring_<loss>_<unroll>.gif


def ring_centres() -> Tensor:
    """The centres of the Gaussians [M, 2], evenly on a circle."""
    angle = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring_sample(n: int) -> Tensor:
    """n points [N, 2] of the mixture with equal weights."""
    return ring_centres()[torch.randint(MODES, (n,))] + STD * torch.randn(n, 2)


def mixture_density(points: Tensor, centres: Tensor, std: float) -> Tensor:
    """Density [N] at points [N, 2] of the even mixture of Gaussians with the given centres [M, 2]."""
    squared = torch.cdist(points, centres).square()  # [N, M]
    return torch.exp(-squared / (2 * std**2)).mean(1) / (2 * math.pi * std**2)


def optimal_discriminator(p_data: Tensor, p_g: Tensor) -> Tensor:
    """D*(x) = p_data(x) / (p_data(x) + p_g(x)): Eq. 2 of arXiv:1406.2661, Proposition 1. Densities [N] -> [N]."""
    return p_data / (p_data + p_g)


def value(p_data: Tensor, p_g: Tensor, cell: float) -> float:
    """V(D*, G): Eq. 4 of arXiv:1406.2661, integrated over a grid of densities [N] with cells of area `cell`.

    It is -log 4 where the two densities are equal, and -log 4 + 2 JSD(p_data, p_g) in general.
    """
    d_star, rest = optimal_discriminator(p_data, p_g), optimal_discriminator(p_g, p_data)  # D* and 1 - D*
    terms = torch.special.xlogy(p_data, d_star) + torch.special.xlogy(p_g, rest)  # 0 log 0 = 0
    # nan: 0 / 0 where both densities are 0; -inf: log 0 where D* or 1 - D* rounds to 0, under a density near 0.
    return (terms.nan_to_num(nan=0.0, neginf=0.0) * cell).sum().item()


def mlp(in_features: int, out_features: int, width: int) -> nn.Sequential:
    """Two hidden layers with tanh, so that the surfaces are smooth."""
    return nn.Sequential(
        nn.Linear(in_features, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, out_features)
    )


def unrolled(
    discriminator: nn.Module, loss: Callable[[dict[str, Tensor]], Tensor], steps: int, lr: float
) -> dict[str, Tensor]:
    """The discriminator's weights after `steps` of gradient descent on `loss`, still a function of the generator.

    Section 2 of arXiv:1611.02163: theta_{k+1} = theta_k - lr * d loss(theta_k) / d theta_k. `create_graph` keeps the
    graph of every step, so that the generator can ask how each of them would answer to a change of its own.
    """
    weights: dict[str, Tensor] = dict(discriminator.named_parameters())
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=True)
        weights = {name: w - lr * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    return weights


def train(
    config: Config, look: Callable[[int, nn.Module, nn.Module], None] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Play the game; `look(step, generator, discriminator)` is called some 50 times. Returns both networks."""
    torch.manual_seed(config.seed)
    generator = mlp(LATENT_DIM, 2, config.width)
    discriminator = mlp(2, 1, config.width).append(nn.Flatten(0))  # logits [N]
    opt_g = torch.optim.Adam(generator.parameters(), config.lr_g, betas=(0.5, 0.999), fused=True)
    opt_d = torch.optim.Adam(discriminator.parameters(), config.lr_d, betas=(0.5, 0.999), fused=True)
    targets = draw_targets(config.batch_size, smoothing=0.0, flip=0.0, device=torch.device("cpu"))

    for step in trange(1, config.steps + 1, unit="step", disable=None, leave=False):
        # (1) Discriminator: the same loss as on digits
        real, z = ring_sample(config.batch_size), torch.randn(config.batch_size, LATENT_DIM)
        with torch.no_grad():
            fake = generator(z)
        loss_d = discriminator_loss(discriminator(real), discriminator(fake), *targets)
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()

        # (2) Generator: against the discriminator as it is, or as it will be in `unroll` steps
        fake = generator(torch.randn(config.batch_size, LATENT_DIM))
        if config.unroll:

            def loss_at(weights: dict[str, Tensor], real: Tensor = real, fake: Tensor = fake) -> Tensor:  # L_D(theta)
                real_logits = functional_call(discriminator, weights, real)
                fake_logits = functional_call(discriminator, weights, fake)
                return discriminator_loss(real_logits, fake_logits, *targets)

            weights = unrolled(discriminator, loss_at, config.unroll, config.unroll_lr)
            fake_logits = functional_call(discriminator, weights, fake)
        else:
            fake_logits = discriminator(fake)
        loss_g = generator_loss(fake_logits, config.loss)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()

        if look is not None and (step == 1 or step % max(1, config.steps // 50) == 0):
            with torch.no_grad():
                look(step, generator, discriminator)
    return generator, discriminator


@torch.no_grad()
def picture(step: int, generator: nn.Module, discriminator: nn.Module, title: str = "") -> Image.Image:
    """One frame: the discriminator's surface in grey, 500 real points in blue, 500 generated ones in orange."""
    points, axis = plane(81)
    surface = discriminator(points).sigmoid().view(len(axis), len(axis))
    rng = torch.Generator().manual_seed(0)  # the same latents in every frame
    fake = generator(torch.randn(500, LATENT_DIM, generator=rng))
    with torch.random.fork_rng(devices=[]):
        real = ring_sample(500)
    figure = Figure(figsize=(3.6, 3.8), dpi=80, layout="constrained")
    plot = figure.subplots()
    shades = plot.contourf(axis, axis, surface, levels=[i / 10 for i in range(11)], cmap="Greys_r", alpha=0.6)
    figure.colorbar(shades, ax=plot, shrink=0.7, label="D(x)")
    plot.scatter(real[:, 0], real[:, 1], s=3, color="tab:blue", label="real")
    plot.scatter(fake[:, 0], fake[:, 1], s=3, color="tab:orange", label="fake")
    covered, inside = modes_covered(fake, ring_centres(), STD)
    plot.set_title(f"{title}step {step}: {covered} of {MODES} modes, {inside:.0%} inside", fontsize=9)
    plot.set_aspect("equal")
    plot.set(xlim=(-3, 3), ylim=(-3, 3))
    plot.legend(loc="lower right", fontsize=7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def plane(n: int, reach: float = 3.0) -> tuple[Tensor, Tensor]:
    """A grid of n × n points [n * n, 2] over the square of half-width `reach`, row by row, and its axis [n]."""
    axis = torch.linspace(-reach, reach, n)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1), axis


def main(config: Config) -> None:
    frames: list[Image.Image] = []
    generator, _ = train(config, lambda *now: frames.append(picture(*now)))
    with torch.no_grad():
        covered, inside = modes_covered(generator(torch.randn(5000, LATENT_DIM)), ring_centres(), STD)
    print(f"{covered} of {MODES} modes covered, {inside:.1%} of the samples within 3 standard deviations of one")
    out = config.out or RUNS / f"ring_{config.loss}_{config.unroll}.gif"
    print(f"wrote {relative(save_gif(frames, out, seconds_per_frame=0.12))}")


if __name__ == "__main__":
    command_line(main, Config)
