"""Train a fully connected GAN: Algorithm 1 of Goodfellow et al., arXiv:1406.2661.

python 01_basic_gan/train.py                              # digits on a laptop, minutes; --help shows all flags
python 01_basic_gan/train.py --preset paper               # the authors' networks and optimiser, 60,000 digits
python 01_basic_gan/train.py --resume runs/01_basic_gan/TIME
"""

import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import require
from common.command_line import Settings, Share, command_line
from common.data import batches, load
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.run import Run
from model import Discriminator, Generator

CHAPTER = "01_basic_gan"


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, real_targets: Tensor, fake_targets: Tensor) -> Tensor:
    """Minimise -log D(x) - log(1 - D(G(z))): the negative of Eq. 1 for targets 1 and 0, with D = sigmoid(logits)."""
    cross_entropy = F.binary_cross_entropy_with_logits
    return cross_entropy(real_logits, real_targets) + cross_entropy(fake_logits, fake_targets)


def generator_loss(fake_logits: Tensor, kind: str) -> Tensor:
    """Minimise -log D(G(z)) (non-saturating, section 3), or log(1 - D(G(z))) (saturating, Eq. 1); D = sigmoid(logits)."""
    if kind == "saturating":
        return -F.softplus(fake_logits).mean()  # log(1 - sigmoid(a)), since softplus(a) = log(1 + exp(a))
    return F.softplus(-fake_logits).mean()  # -log(sigmoid(a)), without a sigmoid that may round to 0


def draw_targets(n: int, smoothing: float, flip: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """What D is told of n real and n fake pictures [n], [n]: 1 - smoothing and 0, each swapped with probability `flip`.

    Only the ones are smoothed: a smoothed zero would teach D that some fakes are real.
    """
    real, fake = torch.full((n,), 1.0 - smoothing, device=device), torch.zeros(n, device=device)
    if flip:
        lies = torch.rand(2, n, device=device) < flip
        real, fake = torch.where(lies[0], fake, real), torch.where(lies[1], real, fake)
    return real, fake


@dataclass  # pydantic's. Each field is a flag: its type is the range, and the comment beside it the text of --help
class Config(Settings):
    """Train chapter 01: a fully connected GAN."""

    data: str = "mnist-10k"  # a named data set, or a folder or zip of pictures
    size: int | None = None  # pixels per side; default: the data's own, 32 for a folder
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: NonNegativeInt = 7000  # updates of the generator; ours: under 5 minutes on two cores
    batch_size: PositiveInt = 64  # pictures of all devices together; ours: smaller than the authors' 100, more steps
    # The game
    loss: Literal["non-saturating", "saturating"] = "non-saturating"  # section 3, or Eq. 1 to the letter
    label_smoothing: Share = 0.0  # real pictures get the target 1 - this (one-sided, arXiv:1606.03498 section 3.4)
    label_flip: Share = 0.0  # share of targets that lie, drawn anew each step; ours: a handicap for a strong D
    # The networks
    latent_dim: PositiveInt = 100  # random numbers that a picture is made from; as in the authors' mnist.yaml
    generator_hidden: tuple[PositiveInt, ...] = (256, 512, 1024)  # widths of its hidden layers; ours: quick on a laptop
    discriminator_hidden: tuple[PositiveInt, ...] = (512, 256)  # widths of its hidden layers; ours
    batch_norm: bool = True  # in the generator's hidden layers; ours: arXiv:1502.03167 is younger
    leaky_slope: Share = 0.0  # slope of the generator's activations below zero; 0 is the paper's ReLU
    dropout: Share = 0.1  # share of D's hidden units that are left out; ours: the authors' mnist.yaml has 0.5
    input_dropout: Share = 0.0  # share of the pixels that D does not see; the authors' mnist.yaml has 0.2
    maxout_pieces: NonNegativeInt = 0  # linear maps in each of the discriminator's maxout units; 0: LeakyReLU instead
    # The optimisers
    optimizer: Literal["adam", "sgd"] = "adam"  # ours: Adam, half a year younger than the paper; the authors used SGD
    lr_g: PositiveFloat = 1e-3  # the generator's learning rate; 2e-4, usual for convolutions, learns slower here
    lr_d: PositiveFloat = 1e-3  # the discriminator's learning rate; ours: lower it if D wins too early
    momentum: Share = 0.0  # Adam's beta1 (ours: 0, as in arXiv:1710.10196), or SGD's momentum
    beta2: Share = 0.99  # Adam's memory of squared gradients; ours: as in arXiv:1710.10196
    ema_decay: Share = 0.999  # of the average that draws the samples; ours: over about 1,000 steps

    def __post_init__(self) -> None:
        require(self.batch_size >= 2 * self.processes, "--batch-size must be at least 2 a process, for BatchNorm")


# Section 5 with the numbers of the authors' mnist.yaml; they halve D's loss, which with SGD is half the rate. Differs from paper:
# momentum and rates stay constant, initial weights are PyTorch's, z is normal (there uniform on ±√3), 60,000 digits (there 50,000).
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", data="mnist", max_steps=150_000, batch_size=100, generator_hidden=(1200, 1200),
        discriminator_hidden=(240, 240), batch_norm=False, dropout=0.5, input_dropout=0.2, maxout_pieces=5, optimizer="sgd",
        lr_g=0.1, lr_d=0.05, momentum=0.5, ema_decay=0.0, sample_every=1000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


def make_optimizer(network: torch.nn.Module, lr: float, config: Config) -> torch.optim.Optimizer:
    """Adam or SGD over the network's weights."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), lr, momentum=config.momentum, fused=True)
    return torch.optim.Adam(network.parameters(), lr, betas=(config.momentum, config.beta2), fused=True)


def train(config: Config) -> Path:
    """Run Algorithm 1 (with one discriminator step a generator step); returns the folder of the run."""
    fabric = make_fabric(config)
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = load(config.data, config.size, config.channels, **config.reading)  # --skip-broken, --white

    # Two networks with an optimiser each, and `ema`, the average of G. All get wrapped: `.module` is what is inside.
    shape = (data.channels, data.size, data.size)
    build = {"latent_dim": config.latent_dim, "hidden": config.generator_hidden, "shape": shape}
    build |= {"batch_norm": config.batch_norm, "leaky_slope": config.leaky_slope}  # kept beside the weights
    generator = Generator(**build)
    discriminator = Discriminator(
        config.discriminator_hidden, shape, config.dropout, config.input_dropout, config.maxout_pieces
    )
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    generator, opt_g = fabric.setup(generator, make_optimizer(generator, config.lr_g, config))
    discriminator, opt_d = fabric.setup(discriminator, make_optimizer(discriminator, config.lr_d, config))

    networks = {"generator": generator, "discriminator": discriminator}
    run = Run(config, fabric, CHAPTER, data, networks, ema=ema, opt_g=opt_g, opt_d=opt_d)  # --resume fills them
    fixed_z = torch.randn(64, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    real_batches = batches(data, config.batch_size, config.seed, fabric, start=run.step)

    for _ in run.steps():
        # (1) Discriminator: ascend Eq. 1, so descend -V. The generator does not learn here, so keep no graph for it.
        real, _ = next(real_batches)  # [N, C, H, W]
        z = run.randn(config.batch_size, config.latent_dim)  # [N, D]; the same on any device and after --resume
        with torch.no_grad():
            fake = generator(z)  # [N, C, H, W]
        real_logits = discriminator(real)  # [N]
        fake_logits = discriminator(fake)
        targets = draw_targets(len(real), config.label_smoothing, config.label_flip, fabric.device)
        loss_d = discriminator_loss(real_logits, fake_logits, *targets)
        opt_d.zero_grad()
        fabric.backward(loss_d)
        opt_d.step()

        # (2) Generator: new latents, and the gradient flows through the discriminator into the generator.
        z = run.randn(config.batch_size, config.latent_dim)
        with without_weight_gradients(fabric, discriminator):
            loss_g = generator_loss(discriminator(generator(z)), config.loss)
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        ema.update_parameters(generator.module)

        # (3) Look: the losses, what the discriminator believes, and how often it is right.
        if run.log_now:
            curves = {"loss/d": loss_d, "loss/g": loss_g}
            curves |= {"prob/real": real_logits.sigmoid().mean(), "prob/fake": fake_logits.sigmoid().mean()}
            curves |= {"right/real": (real_logits > 0).float().mean(), "right/fake": (fake_logits < 0).float().mean()}
            run.log(curves)
        if run.sample_now:
            with run.without_side_effects():
                run.sample("fixed_z", ema.module.eval()(fixed_z))  # the same z each time, to compare the grids
        if run.save_now:
            run.save(ema.module, build | {"data": config.data})

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
