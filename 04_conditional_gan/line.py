"""The whole game on a line: two classes, one number a picture, so that every density and the best discriminator are known.

    python 04_conditional_gan/line.py                              # learns two classes, draws them, and measures them
    python 04_conditional_gan/line.py --condition auxiliary        # pushes the classes apart
    python 04_conditional_gan/line.py --condition blind            # only the generator sees the label

The real classes are normal with standard deviation 1 around -1 and +1, equally frequent: of each, 16 % lie on the other
one's side of zero, where nobody can be sure of the class. That is where the three ways to condition differ.

Shape letters: N points, X points of an axis, K = 2 classes, F features.
"""

import io
import math
import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from common import relative
from common.checkpoint import write_atomically
from common.command_line import Flags, command_line
from train import class_loss, discriminator_loss, generator_loss

CENTRES = (-1.0, 1.0)
STD = 1.0
LATENT_DIM = 4


@dataclass
class Config(Flags):
    """Train a conditional GAN on two classes on a line."""

    condition: Literal["embedding", "auxiliary", "projection", "blind"] = "projection"  # how D uses the label
    lambda_class: NonNegativeFloat = 1.0  # weight of the class loss of "auxiliary"
    steps: PositiveInt = 1500  # updates of the generator
    batch_size: PositiveInt = 256  # points
    lr: PositiveFloat = 2e-3  # of both networks
    width: PositiveInt = 64  # of the hidden layers
    out: Path = Path(__file__).resolve().parents[1] / "runs" / "04_conditional_gan" / "line"  # folder of the picture


def joint_density(x: Tensor, centres: Tensor, std: float = STD) -> Tensor:
    """p(x, y) [X, K] at points x [X]: equally frequent classes, each normal around its centre [K]."""
    standard = (x[:, None] - centres) / std
    return torch.exp(-0.5 * standard.square()) / (std * math.sqrt(2 * math.pi)) / len(centres)


def optimal_discriminator(p_data: Tensor, p_g: Tensor) -> Tensor:
    """D*(x, y) = p_data(x, y) / (p_data(x, y) + p_g(x, y)), from joint densities [X, K]."""
    return p_data / (p_data + p_g)


def projection_form(p_data: Tensor, p_g: Tensor) -> tuple[Tensor, Tensor]:
    """The two parts of the best logit, from joint densities [X, K]; Eq. 2 of arXiv:1802.05637.

    Returns log p_data(y|x) / p_g(y|x) [X, K], which is about the label, and log p_data(x) / p_g(x) [X, 1], which is not.
    """
    real_x, fake_x = p_data.sum(1, keepdim=True), p_g.sum(1, keepdim=True)
    return torch.log((p_data / real_x) / (p_g / fake_x)), torch.log(real_x / fake_x)


def line_sample(labels: Tensor) -> Tensor:
    """One real point [N, 1] for each label [N]."""
    return torch.tensor(CENTRES)[labels].unsqueeze(1) + STD * torch.randn(len(labels), 1)


def other_side(x: Tensor, labels: Tensor) -> float:
    """Share of points [N, 1] that lie on the other class's side of zero; 0.159 for real ones."""
    return (x.squeeze(1).sign() != torch.tensor(CENTRES)[labels].sign()).float().mean().item()


def mlp(in_features: int, out_features: int, width: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out_features)
    )


class LineGenerator(nn.Module):
    """Latents [N, D] and labels [N] -> points [N, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = mlp(LATENT_DIM + 2, 1, width)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.layers(torch.cat([z, F.one_hot(labels, 2).float()], dim=1))


class LineDiscriminator(nn.Module):
    """Points [N, 1] and labels [N] -> logits [N], and class logits [N, K] or None; the same four kinds as on pictures."""

    def __init__(self, condition: str, width: int) -> None:
        super().__init__()
        self.condition = condition
        self.body = mlp(1 + 2 * (condition == "embedding"), width, width)
        self.head, self.class_head, self.embed = nn.Linear(width, 1), nn.Linear(width, 2), nn.Embedding(2, width)
        nn.init.zeros_(self.embed.weight)

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.condition == "embedding":
            x = torch.cat([x, F.one_hot(labels, 2).float()], dim=1)
        features = F.relu(self.body(x))  # [N, F]
        logits = self.head(features).squeeze(1)
        if self.condition == "projection":
            logits = logits + (self.embed(labels) * features).sum(1)
        return logits, self.class_head(features) if self.condition == "auxiliary" else None


def train(config: Config) -> LineGenerator:
    """Play the conditional game on the line, with the losses that train.py has for pictures."""
    torch.manual_seed(config.seed)
    generator = LineGenerator(config.width)
    discriminator = LineDiscriminator(config.condition, config.width)
    opt_g = torch.optim.Adam(generator.parameters(), config.lr, betas=(0.0, 0.99), fused=True)
    opt_d = torch.optim.Adam(discriminator.parameters(), config.lr, betas=(0.0, 0.99), fused=True)
    schedules = [torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, config.steps) for opt in (opt_g, opt_d)]

    for _ in range(config.steps):
        # (1) Discriminator: the same losses as on pictures
        real_y, fake_y = torch.randint(2, (2, config.batch_size))
        with torch.no_grad():
            fake = generator(torch.randn(config.batch_size, LATENT_DIM), fake_y)
        real_logits, real_class = discriminator(line_sample(real_y), real_y)
        fake_logits, fake_class = discriminator(fake, fake_y)
        loss_d = discriminator_loss(real_logits, fake_logits, "non-saturating")
        loss_d = loss_d + config.lambda_class * (class_loss(real_class, real_y) + class_loss(fake_class, fake_y))
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()

        # (2) Generator: be real, and (auxiliary) be recognised
        fake = generator(torch.randn(config.batch_size, LATENT_DIM), fake_y)
        fake_logits, fake_class = discriminator(fake, fake_y)
        loss_g = generator_loss(fake_logits, "non-saturating") + config.lambda_class * class_loss(fake_class, fake_y)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        for schedule in schedules:
            schedule.step()
    return generator


@torch.no_grad()
def measure(generator: LineGenerator, n: int = 10_000) -> dict[str, float]:
    """Mean of each class, standard deviation inside a class (mean of the two), and the share on the other side."""
    labels = torch.arange(n) % 2
    x = generator(torch.randn(n, LATENT_DIM, generator=torch.Generator().manual_seed(0)), labels)
    classes = [x[labels == label] for label in (0, 1)]
    means = {f"mean_{label}": points.mean().item() for label, points in enumerate(classes)}
    return means | {"std": sum(p.std().item() for p in classes) / 2, "other_side": other_side(x, labels)}


@torch.no_grad()
def picture(generator: LineGenerator, title: str) -> Figure:
    """Histograms of 10,000 fakes of each class over the real densities."""
    figure, axis = Figure(figsize=(5, 3), layout="constrained"), torch.linspace(-4, 4, 201)
    plot, real = figure.subplots(), 2 * joint_density(axis, torch.tensor(CENTRES))  # p(x | y)
    for label, style in ((0, ":"), (1, "-")):
        fake = generator(torch.randn(10_000, LATENT_DIM), torch.full((10_000,), label)).squeeze(1)
        plot.hist(
            fake.clamp(-4, 4),
            bins=60,
            range=(-4, 4),
            density=True,
            color="tab:orange",
            alpha=0.4 + 0.3 * label,
            label=f"fake, {label}",
        )
        plot.plot(axis, real[:, label], style, color="tab:blue", label=f"real, {label}")
    plot.set(xlabel="x", ylabel="density", title=title)
    plot.legend(fontsize=8)
    return figure


def main(config: Config) -> None:
    generator = train(config)
    found = measure(generator)
    print(f"class 0 around {found['mean_0']:+.2f} (real -1), class 1 around {found['mean_1']:+.2f} (real +1)")
    print(f"standard deviation in a class {found['std']:.2f} (real 1)")
    print(f"on the other class's side of zero {found['other_side']:.1%} (real 15.9%)")
    buffer = io.BytesIO()
    picture(generator, f"{config.condition}: {found['other_side']:.0%} beyond zero (real 16%)").savefig(buffer, dpi=80)
    written = write_atomically(config.out / f"{config.condition}.png", buffer.getvalue())
    print(f"wrote {relative(written)}")


if __name__ == "__main__":
    command_line(main, Config)
