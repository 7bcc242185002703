"""The game in the plane: Gaussians on a ring or a chessboard, and three losses to learn them with.

    python 03_wgan_gp/gaussians.py                                # 25 Gaussians with the gradient penalty, as an animation
    python 03_wgan_gp/gaussians.py --method gan                   # the loss of chapter 01
    python 03_wgan_gp/gaussians.py --method clip                  # clipped weights
    python 03_wgan_gp/gaussians.py --modes 8

The mixtures are those of section 3.1 of arXiv:1704.00028, where the generator is fixed; training it too follows the authors'
gan_toy.py. Differs from that file: wider Gaussians, 8 latents instead of 2, tanh, width 128 instead of 512, batch 128
instead of 256, beta1 0 instead of 0.5, larger rates, which fall to zero, and fewer steps.

Shape letters: N points, M modes.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from tqdm import trange

from common import relative
from common.command_line import Flags, Share, command_line
from common.images import save_gif
from common.scores import modes_covered
from train import clip_weights, critic_loss, generator_loss, gradient_penalty

STD = 0.05
LATENT_DIM = 8
RUNS = Path(__file__).resolve().parents[1] / "runs" / "03_wgan_gp"


@dataclass
class Config(Flags):
    """Learn 8 or 25 Gaussians in the plane."""

    modes: Literal[8, 25] = 25  # 8 on a ring, or 25 on a chessboard
    method: Literal["penalty", "clip", "gan"] = "penalty"  # WGAN-GP, WGAN, or the loss of chapter 01
    steps: PositiveInt = 800  # updates of the generator
    batch_size: PositiveInt = 128  # points in a batch
    n_critic: PositiveInt = 5  # updates of the judge for each of the generator, whatever the method
    lr: PositiveFloat = 6e-3  # learning rate of both networks; ours: it falls to zero, so that the points come to rest
    beta1: Share = 0.0  # Adam's momentum; Algorithm 1 of arXiv:1704.00028
    beta2: Share = 0.9  # Adam's memory of squared gradients; the same
    lambda_gp: NonNegativeFloat = 0.1  # weight of the penalty; the authors' gan_toy.py
    clip: PositiveFloat = 0.1  # bound of the critic's weights; ours: at the paper's 0.01 nothing is learned in a minute
    width: PositiveInt = 128  # units in each hidden layer of both networks
    depth: PositiveInt = 3  # hidden layers of both networks
    activation: Literal["tanh", "relu"] = "tanh"  # ours: smooth surfaces are learned in fewer steps
    out: Path | None = None  # the animation; default: runs/03_wgan_gp/gaussians_<method>_<modes>.gif


def centres(modes: int) -> Tensor:
    """The centres of the Gaussians [M, 2]: 8 on a circle of radius 2, or 25 on the crossings of a 5 × 5 board."""
    if modes == 8:
        angle = torch.arange(8) * (2 * math.pi / 8)
        return 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    axis = torch.linspace(-2, 2, 5)
    return torch.cartesian_prod(axis, axis)


def sample(n: int, modes: int) -> Tensor:
    """n points [N, 2] of the mixture with equal weights."""
    return centres(modes)[torch.randint(modes, (n,))] + STD * torch.randn(n, 2)


def mlp(in_features: int, out_features: int, config: Config) -> nn.Sequential:
    """`depth` hidden layers of one width: [N, in_features] -> [N, out_features]."""
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[config.activation]
    layers: list[nn.Module] = []
    for i in range(config.depth):
        layers += [nn.Linear(config.width if i else in_features, config.width), activation()]
    return nn.Sequential(*layers, nn.Linear(config.width, out_features))


def make_judge(config: Config) -> nn.Sequential:
    """A critic, or a discriminator without its sigmoid: points [N, 2] -> scores or logits [N]."""
    return mlp(2, 1, config).append(nn.Flatten(0))


def make_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """RMSProp for clipping, Adam for the other two."""
    if config.method == "clip":
        return torch.optim.RMSprop(network.parameters(), config.lr)
    return torch.optim.Adam(network.parameters(), config.lr, betas=(config.beta1, config.beta2), fused=True)


def gan_judge_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Chapter 01's -log D(x) - log(1 - D(G(z))), with D = sigmoid(logits)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def gan_generator_loss(fake_logits: Tensor) -> Tensor:
    """Chapter 01's -log D(G(z)), the non-saturating loss."""
    return F.softplus(-fake_logits).mean()


def judge_step(judge: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor, config: Config) -> None:
    """One update of the critic or discriminator on points [N, 2] each."""
    real_scores, fake_scores = judge(torch.cat([real, fake])).chunk(2)
    loss = (gan_judge_loss if config.method == "gan" else critic_loss)(real_scores, fake_scores)
    if config.method == "penalty":
        loss = loss + config.lambda_gp * gradient_penalty(judge, real, fake, torch.rand(len(real)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if config.method == "clip":
        clip_weights(judge, config.clip)


def train(
    config: Config, look: Callable[[int, nn.Module, nn.Module], None] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Play the game; `look(step, generator, judge)` is called about 40 times, the last step among them. Returns both networks."""
    torch.manual_seed(config.seed)
    generator, judge = mlp(LATENT_DIM, 2, config), make_judge(config)
    opt_g, opt_d = make_optimizer(generator, config), make_optimizer(judge, config)

    for step in trange(1, config.steps + 1, unit="step", disable=None, leave=False):
        for optimizer in (opt_g, opt_d):  # the rate falls evenly to zero
            optimizer.param_groups[0]["lr"] = config.lr * (1 - (step - 1) / config.steps)
        # (1) The judge, n_critic times
        for _ in range(config.n_critic):
            real, z = sample(config.batch_size, config.modes), torch.randn(config.batch_size, LATENT_DIM)
            with torch.no_grad():
                fake = generator(z)
            judge_step(judge, opt_d, real, fake, config)

        # (2) The generator
        scores = judge(generator(torch.randn(config.batch_size, LATENT_DIM)))
        loss_g = (gan_generator_loss if config.method == "gan" else generator_loss)(scores)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()

        if look is not None and (step in (1, config.steps) or step % max(1, config.steps // 40) == 0):
            with torch.no_grad(), torch.random.fork_rng(devices=[]):  # looking must not change the run
                look(step, generator, judge)
    return generator, judge


def plane(n: int, reach: float = 3.0) -> tuple[Tensor, Tensor]:
    """A grid of n × n points [n * n, 2] over the square of half-width `reach`, row by row, and its axis [n]."""
    axis = torch.linspace(-reach, reach, n)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1), axis


@torch.no_grad()
def coverage(generator: nn.Module, modes: int) -> tuple[int, float]:
    """The modes that 5,000 generated points reach, and the share of the points inside one (`common.scores`)."""
    z = torch.randn(5000, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    return modes_covered(generator(z), centres(modes), STD)


@torch.no_grad()
def picture(modes: int, step: int, generator: nn.Module, judge: nn.Module) -> Image.Image:
    """One frame: level lines of the judge's scores in grey, 300 real points in blue, 500 generated ones in orange."""
    points, axis = plane(81)
    z = torch.randn(500, LATENT_DIM, generator=torch.Generator().manual_seed(0))  # the same in every frame
    fake, real = generator(z), sample(300, modes)
    figure = Figure(figsize=(3.6, 3.8), dpi=70, layout="constrained")
    plot = figure.subplots()
    plot.contourf(axis, axis, judge(points).view(len(axis), len(axis)), levels=12, cmap="Greys_r", alpha=0.6)
    plot.scatter(real[:, 0], real[:, 1], s=3, color="tab:blue", label="real")
    plot.scatter(fake[:, 0], fake[:, 1], s=3, color="tab:orange", label="fake")
    covered, inside = coverage(generator, modes)
    plot.set_title(f"step {step}: {covered} of {modes} modes, {inside:.0%} inside", fontsize=9)
    plot.set_aspect("equal")
    plot.set(xlim=(-3, 3), ylim=(-3, 3))
    plot.legend(loc="lower right", fontsize=7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def main(config: Config) -> None:
    frames: list[Image.Image] = []
    generator, _ = train(config, lambda *now: frames.append(picture(config.modes, *now)))
    covered, inside = coverage(generator, config.modes)
    out = config.out or RUNS / f"gaussians_{config.method}_{config.modes}.gif"
    print(f"{covered} of {config.modes} modes covered, {inside:.1%} of the points within 3 standard deviations of one")
    print(f"wrote {relative(save_gif(frames, out, seconds_per_frame=0.15, colours=24))}")


if __name__ == "__main__":
    command_line(main, Config)
