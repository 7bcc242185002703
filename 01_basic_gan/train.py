"""Train a fully connected GAN: Algorithm 1 of Goodfellow et al., arXiv:1406.2661.

python 01_basic_gan/train.py                              # digits on a laptop, minutes
python 01_basic_gan/train.py --data fashion-10k           # or mnist, cifar10, or a folder or zip of pictures
python 01_basic_gan/train.py --loss saturating            # Eq. 1 to the letter
python 01_basic_gan/train.py --preset paper               # the authors' networks and optimiser, 60,000 digits
python 01_basic_gan/train.py --resume runs/01_basic_gan/TIME
"""

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor

from common import require
from common.command_line import Settings, command_line
from common.data import batches, load
from common.devices import (
    exponential_moving_average,
    make_fabric,
    rank_zero_first,
    without_weight_gradients,
)  # fmt: skip
from common.run import Run
from model import Discriminator, Generator

CHAPTER = "01_basic_gan"


@dataclass
class Config(Settings):
    """Train chapter 01: a fully connected GAN."""

    data: str = "mnist-10k"  # a named data set, or a folder or zip of pictures
    size: int | None = None  # pixels per side; default: the data's own, 32 for a folder
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: int = 7000  # updates of the generator; ours: under 5 minutes on two cores
    batch_size: int = (
        64  # pictures of all devices together; ours: more and smaller steps than the authors' 100 learn faster
    )

    # The game
    loss: Literal["non-saturating", "saturating"] = "non-saturating"  # section 3, or Eq. 1 to the letter
    label_smoothing: float = 0.0  # real pictures get the target 1 - this (one-sided, arXiv:1606.03498 section 3.4)
    label_flip: float = 0.0  # share of targets that lie, drawn anew each step; ours: a handicap for a strong D

    # The networks
    latent_dim: int = 100  # the authors' mnist.yaml
    generator_hidden: tuple[int, ...] = (256, 512, 1024)  # ours: widening layers, quick on a laptop
    discriminator_hidden: tuple[int, ...] = (512, 256)  # ours
    batch_norm: bool = True  # ours: arXiv:1502.03167 in the generator's hidden layers
    leaky_slope: float = 0.0  # slope of the generator's activations below zero; 0 is the paper's ReLU
    dropout: float = (
        0.1  # ours: in the discriminator's hidden layers; 0.3 scored worse, the authors' mnist.yaml has 0.5
    )
    input_dropout: float = 0.0  # of the discriminator's pixels; the authors' mnist.yaml has 0.2
    maxout_pieces: int = 0  # linear maps in each maxout unit of the discriminator; 0: LeakyReLU in its place

    # The optimisers
    optimizer: Literal["adam", "sgd"] = "adam"  # ours: Adam, half a year younger than the paper; the authors used SGD
    lr_g: float = 1e-3  # ours: CONTRIBUTING.md has what 2e-4, usual for convolutions, scored
    lr_d: float = 1e-3  # ours: the same; a discriminator that wins too early wants less
    momentum: float = 0.0  # Adam's beta1 (ours: 0, as in arXiv:1710.10196), or SGD's momentum
    beta2: float = 0.99  # Adam's memory of squared gradients; ours: as in arXiv:1710.10196
    ema_decay: float = 0.999  # ours: the samples come from an average of the generator over about 1,000 steps

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.max_steps >= 0, f"--max-steps must not be negative, not {self.max_steps}")
        least = 2 * self.devices * self.num_nodes  # BatchNorm compares the pictures of one process
        require(self.batch_size >= least, f"--batch-size must be at least {least} (2 a process), not {self.batch_size}")
        require(self.latent_dim >= 1, f"--latent-dim must be at least 1, not {self.latent_dim}")
        require(
            min((*self.generator_hidden, *self.discriminator_hidden), default=1) >= 1,
            "hidden widths must be at least 1",
        )
        require(self.maxout_pieces >= 0, f"--maxout-pieces must not be negative, not {self.maxout_pieces}")
        require(self.lr_g > 0 and self.lr_d > 0, f"learning rates must be above 0, not {self.lr_g} and {self.lr_d}")
        for name in (
            "label_smoothing",
            "label_flip",
            "dropout",
            "input_dropout",
            "momentum",
            "beta2",
            "ema_decay",
            "leaky_slope",
        ):
            share = getattr(self, name)
            require(0 <= share < 1, f"--{name.replace('_', '-')} must be at least 0 and below 1, not {share}")


# The paper's section 5 with the numbers of the authors' mnist.yaml; they halve D's loss, which with SGD is half the rate.
# Differs from paper: momentum and rates stay constant, initial weights are PyTorch's, z is normal (there uniform on ±√3), all
# 60,000 digits (there 50,000).
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", data="mnist", max_steps=150_000, batch_size=100, generator_hidden=(1200, 1200),
        discriminator_hidden=(240, 240), batch_norm=False, dropout=0.5, input_dropout=0.2, maxout_pieces=5,
        optimizer="sgd", lr_g=0.1, lr_d=0.05, momentum=0.5, ema_decay=0.0, sample_every=1000, save_every=5000,
        log_every=100,
    ),
}  # fmt: skip


def draw_targets(n: int, smoothing: float, flip: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """What D is told about n real and n fake pictures: two tensors [n].

    1 for real and 0 for fake, except that real becomes 1 - smoothing (one-sided: a smoothed zero would teach D that some
    fakes are real), and that each target is swapped for the other with probability `flip`.
    """
    targets = torch.tensor([[1 - smoothing], [0.0]], device=device).expand(2, n)
    if flip:
        lie = torch.rand(2, n, device=device) < flip
        targets = torch.where(lie, targets.flip(0), targets)
    real_targets, fake_targets = targets
    return real_targets, fake_targets


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, real_targets: Tensor, fake_targets: Tensor) -> Tensor:
    """Minimise -log D(x) - log(1 - D(G(z))): the negative of Eq. 1 for targets 1 and 0, with D = sigmoid(logits)."""
    real = F.binary_cross_entropy_with_logits(real_logits, real_targets)
    return real + F.binary_cross_entropy_with_logits(fake_logits, fake_targets)


def generator_loss(fake_logits: Tensor, kind: str) -> Tensor:
    """Minimise -log D(G(z)) (non-saturating, section 3), or log(1 - D(G(z))) (saturating, Eq. 1); D = sigmoid(logits)."""
    if kind == "saturating":
        return -F.softplus(fake_logits).mean()  # log(1 - sigmoid(logits))
    return F.softplus(-fake_logits).mean()  # -log(sigmoid(logits))


def make_optimizer(network: torch.nn.Module, lr: float, config: Config) -> torch.optim.Optimizer:
    """Adam or SGD over the network's weights."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), lr, momentum=config.momentum, fused=True)
    return torch.optim.Adam(network.parameters(), lr, betas=(config.momentum, config.beta2), fused=True)


def train(config: Config) -> Path:
    """Run Algorithm 1 (with one discriminator step a generator step); returns the folder of the run."""
    fabric = make_fabric(config)
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = load(config.data, config.size, config.channels)

    # Networks, their optimisers, and the averaged generator that is sampled from
    shape = (data.channels, data.size, data.size)
    build = {
        "latent_dim": config.latent_dim, "hidden": config.generator_hidden, "shape": shape,
        "batch_norm": config.batch_norm, "leaky_slope": config.leaky_slope,
    }  # fmt: skip
    generator = Generator(**build)
    discriminator = Discriminator(
        config.discriminator_hidden, shape, config.dropout, config.input_dropout, config.maxout_pieces
    )
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    generator, opt_g = fabric.setup(generator, make_optimizer(generator, config.lr_g, config))
    discriminator, opt_d = fabric.setup(discriminator, make_optimizer(discriminator, config.lr_d, config))

    state = {"generator": generator, "discriminator": discriminator, "ema": ema, "opt_g": opt_g, "opt_d": opt_d}
    run = Run(config, fabric, CHAPTER, state)
    run.describe(data, {"generator": generator, "discriminator": discriminator})
    fixed_z = torch.randn(64, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    real_batches = batches(data, config.batch_size, config.seed, fabric, start=run.step)

    for _ in run.steps():
        # (1) Discriminator: ascend Eq. 1. The generator does not learn here, so keep no graph for it.
        real, _ = next(real_batches)  # [N, C, H, W]
        z = run.randn(config.batch_size, config.latent_dim)  # [N, D]
        with torch.no_grad():
            fake = generator(z)
        # One pass for both halves is faster, and the same: without BatchNorm in D they do not see each other.
        real_logits, fake_logits = discriminator(torch.cat([real, fake])).chunk(2)
        targets = draw_targets(len(real), config.label_smoothing, config.label_flip, fabric.device)
        loss_d = discriminator_loss(real_logits, fake_logits, *targets)
        opt_d.zero_grad()
        fabric.backward(loss_d)
        opt_d.step()

        # (2) Generator: new latents, and the gradient flows through the discriminator into the generator.
        z = run.randn(config.batch_size, config.latent_dim)
        with without_weight_gradients(fabric, discriminator):
            before = discriminator(generator(z))
        loss_g = generator_loss(before, config.loss)
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        ema.update_parameters(generator.module)

        # (3) Look at a copy of the generator, whose BatchNorm statistics would move otherwise.
        if run.log_now:
            with run.without_side_effects():
                after = discriminator.module(copy.deepcopy(generator.module)(z))
            probabilities = {"real": real_logits, "fake_before": before, "fake_after": after}
            run.log(
                {"loss/d": loss_d, "loss/g": loss_g}
                | {f"prob/{name}": logits.sigmoid().mean() for name, logits in probabilities.items()}
                | {"right/real": (real_logits > 0).float().mean(), "right/fake": (fake_logits < 0).float().mean()}
            )
        if run.sample_now:
            with run.without_side_effects():
                run.sample("fixed_z", ema.module.eval()(fixed_z))
        if run.save_now:
            run.save()

    return run.finish(ema.module, build | {"data": config.data})


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
