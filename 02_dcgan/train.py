"""Train a deep convolutional GAN: Radford et al., arXiv:1511.06434.

python 02_dcgan/train.py                              # cartoon faces at 64×64 on a laptop, minutes
python 02_dcgan/train.py --data mnist-10k             # or fashion-10k, cifar10, celeba, or a folder or zip of pictures
python 02_dcgan/train.py --without batch-norm         # take a guideline away
python 02_dcgan/train.py --loss non-saturating --no-spectral-norm --beta1 0.5 --batch-size 32     # close to the paper
python 02_dcgan/train.py --data my_pictures --augment # altered pictures for D, against learning by heart
python 02_dcgan/train.py --preset paper               # the paper's networks, loss, batch and rates
python 02_dcgan/train.py --resume runs/02_dcgan/TIME
"""

import copy
import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from common import require
from common.command_line import Settings, Share, command_line
from common.data import NAMED, batches, load
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.run import Run
from model import Discriminator, Generator, Guideline, Upsampling, stages

CHAPTER = "02_dcgan"
Loss = Literal["non-saturating", "hinge", "least-squares"]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, kind: Loss, smoothing: float = 0.0) -> Tensor:
    """What D minimises, with logits a [N] -> [], D = sigmoid(a), and the target 1 - smoothing for real (not in hinge).

    non-saturating: -log D(x) - log(1 - D(G(z))), the negative of Eq. 1 of arXiv:1406.2661;
    hinge: max(0, 1 - a(x)) + max(0, 1 + a(G(z))), arXiv:1705.02894;
    least-squares: (a(x) - 1)² / 2 + a(G(z))² / 2, Eq. 2 and 9 of arXiv:1611.04076.
    """
    if kind == "hinge":
        return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
    if kind == "least-squares":
        return 0.5 * ((real_logits - (1 - smoothing)).square().mean() + fake_logits.square().mean())
    # The cross-entropy for a target t is softplus(a) - t·a; for t = 1 that is softplus(-a) = -log sigmoid(a).
    return (F.softplus(real_logits) - (1 - smoothing) * real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor, kind: Loss) -> Tensor:
    """What G minimises: -log D(G(z)) (non-saturating), -a(G(z)) (hinge), or (a(G(z)) - 1)² / 2 (least squares)."""
    if kind == "hinge":
        return -fake_logits.mean()
    if kind == "least-squares":
        return 0.5 * (fake_logits - 1).square().mean()
    return F.softplus(-fake_logits).mean()


def feature_matching_loss(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """Squared distance of the mean features, ‖E φ(x) - E φ(G(z))‖² (section 3.1 of arXiv:1606.03498); both [N, ...]."""
    return (real_features.mean(0) - fake_features.mean(0)).square().sum()


@dataclass
class Config(Settings):
    """Train chapter 02: a deep convolutional GAN."""

    data: str = "avatars"  # a named data set, or a folder or zip of pictures
    size: int | None = None  # pixels per side, 16 to 256; default: the data's own, 64 for faces and folders
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: NonNegativeInt = 4800  # updates of the generator; ours: under 10 minutes on two cores
    batch_size: PositiveInt = 64  # pictures of all devices together; ours: the paper's 128 make fewer steps
    sample_every: PositiveInt = 200  # steps between two sample grids

    # The networks
    latent_dim: PositiveInt = 100  # random numbers that a picture is made from; figure 1
    uniform_z: bool = False  # G spreads z evenly over (-1, 1), figure 1; ours: normal, as in the other chapters
    width_g: PositiveInt = 32  # channels of the generator's last hidden map; ours: figure 1 has 128, the usual port 64
    width_d: PositiveInt = 32  # channels of the discriminator's first hidden map; ours: the same
    upsampling: Upsampling = "transposed-4"  # ours: kernel 4, which the stride of 2 divides; the paper has 5
    attention: NonNegativeInt = 0  # self-attention at the map of so many pixels a side, 0: none (arXiv:1805.08318)
    without: tuple[Guideline, ...] = ()  # guidelines of section 3 to take away, to see what they are for

    # The game
    loss: Loss = "hinge"  # ours: arXiv:1705.02894; or chapter 01's, or least squares (arXiv:1611.04076)
    label_smoothing: Share = 0.0  # real pictures get the target 1 - this (arXiv:1606.03498, section 3.4)
    instance_noise: NonNegativeFloat = 0.0  # deviation of noise on all that D sees, at the start (arXiv:1610.04490)
    noise_steps: PositiveInt = 2000  # steps in which that noise fades to nothing; ours
    spectral_norm: bool = True  # in D, instead of BatchNorm (arXiv:1802.05957); ours: with BatchNorm D won here
    minibatch_discrimination: bool = False  # D also compares the pictures of a batch (arXiv:1606.03498, section 3.2)
    feature_matching: bool = False  # G matches D's mean features (arXiv:1606.03498, section 3.1)
    mirror: bool = False  # real pictures are mirrored half of the time: twice the data, if mirrored ones are real too
    augment: bool = False  # D sees no picture unaltered, real or fake: for few pictures (arXiv:2006.10738)

    # The optimisers
    lr_g: PositiveFloat = 1e-3  # ours: small batches bear large steps; section 4 has 2e-4
    lr_d: PositiveFloat = 1e-3  # ours; unequal rates are the two time-scale rule (arXiv:1706.08500)
    beta1: Share = 0.0  # ours: no momentum, since the other player moves meanwhile; section 4 has 0.5
    beta2: Share = 0.99  # ours: as in chapter 01; PyTorch's default, 0.999, in the paper's preset
    ema_decay: Share = 0.999  # ours: the samples come from an average of the generator over about 1,000 steps

    def __post_init__(self) -> None:
        require(self.batch_size >= 2 * self.processes, "--batch-size must be at least 2 a process, for BatchNorm")
        untargeted = self.label_smoothing > 0 and self.loss == "hinge"
        require(not untargeted, "--label-smoothing: --loss hinge has no targets; add --loss non-saturating")


# Section 4. Differs from paper: kernel 4 instead of 5, and faces that are drawn; --data celeba for photographs.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", size=64, max_steps=100_000, batch_size=128, uniform_z=True, width_g=128, width_d=128, loss="non-saturating",
        spectral_norm=False, lr_g=2e-4, lr_d=2e-4, beta1=0.5, beta2=0.999, ema_decay=0.0, sample_every=1000,
        save_every=5000, log_every=100,
    ),
}  # fmt: skip


def augmented(x: Tensor) -> Tensor:
    """Each picture in other colours, moved by up to an eighth of its side, and with a square of half its side hidden: [N, C, H, W].

    Differentiable, so that G learns through it (DiffAugment, arXiv:2006.10738). G draws none of it: real pictures are altered alike.
    """
    number, device = len(x), x.device
    brightness, saturation, contrast = torch.rand(3, number, 1, 1, 1, device=device)
    x = x + brightness - 0.5
    x = x.mean(1, keepdim=True).lerp(x, 2 * saturation)
    x = x.mean((1, 2, 3), keepdim=True).lerp(x, contrast + 0.5)
    side, far = x.shape[3], x.shape[3] // 8
    moves = torch.eye(2, 3, device=device).repeat(number, 1, 1)
    moves[:, :, 2] = torch.randint(-far, far + 1, (number, 2), device=device) * 2 / side  # a picture is 2 wide
    x = F.grid_sample(x, F.affine_grid(moves, list(x.shape), False), "nearest", align_corners=False)  # grey comes in
    first = torch.randint(-side // 4, side - side // 4, (2, number, 1), device=device)  # the square's, left and above
    offset = torch.arange(side, device=device) - first  # [2, N, side], from the square's left and upper edge
    across, down = (offset >= 0) & (offset < side // 2)  # which columns and rows the hidden square has: [N, W], [N, H]
    return x * ~(down[:, None, :, None] & across[:, None, None, :])


def seen(pictures: Tensor, config: Config, step: int) -> Tensor:
    """What D sees of pictures, real or fake: augmented, and with instance noise N(0, σ²), whose σ fades linearly to nothing."""
    pictures = augmented(pictures) if config.augment else pictures
    sigma = config.instance_noise * max(0.0, 1 - step / config.noise_steps)
    return pictures + sigma * torch.randn_like(pictures) if sigma else pictures


def train(config: Config) -> Path:
    """Algorithm 1 of arXiv:1406.2661 with convolutional networks; returns the folder of the run."""
    fabric = make_fabric(config)
    folder_size = 64 if config.data not in NAMED else None
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = load(config.data, config.size or folder_size, config.channels, **config.reading)
    if config.attention:
        base, doublings = stages(data.size)
        sides = [base * 2**i for i in range(1, doublings)]
        fits = config.attention in sides
        require(fits, f"--attention must be one of {sides} (pixels a side), not {config.attention}")

    # Networks, their optimisers, and the averaged generator that is sampled from
    shape = (data.channels, data.size, data.size)
    build = {
        "latent_dim": config.latent_dim, "width": config.width_g, "shape": shape, "attention": config.attention,
        "upsampling": config.upsampling, "without": config.without, "uniform_z": config.uniform_z,
    }  # fmt: skip
    generator = Generator(**build)
    discriminator = Discriminator(
        config.width_d, shape, config.spectral_norm, config.minibatch_discrimination, config.attention, config.without
    )
    for network in (generator, discriminator):
        network.to(memory_format=torch.channels_last)  # colours side by side in memory: faster convolutions
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    betas = (config.beta1, config.beta2)
    opt_g = torch.optim.Adam(generator.parameters(), config.lr_g, betas, fused=True)
    opt_d = torch.optim.Adam(discriminator.parameters(), config.lr_d, betas, fused=True)
    generator, opt_g = fabric.setup(generator, opt_g)
    discriminator, opt_d = fabric.setup(discriminator, opt_d)

    networks = {"generator": generator, "discriminator": discriminator}
    run = Run(config, fabric, CHAPTER, data, networks, ema=ema, opt_g=opt_g, opt_d=opt_d)
    fixed_z = torch.randn(64, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    real_batches = batches(data, config.batch_size, config.seed, fabric, start=run.step)

    for step in run.steps():
        # (1) Discriminator: real and fake in a pass each, so that its BatchNorm (--no-spectral-norm) does not mix them.
        real, _ = next(real_batches)  # [N, C, H, W]
        real = real.contiguous(memory_format=torch.channels_last)
        if config.mirror:
            real = torch.where(run.randn(config.batch_size, 1, 1, 1) < 0, real.flip(3), real)  # a coin for each
        z = run.randn(config.batch_size, config.latent_dim)  # [N, D]
        with torch.no_grad():
            fake = generator(z)
        real_logits = discriminator(seen(real, config, step))
        fake_logits = discriminator(seen(fake, config, step))
        loss_d = discriminator_loss(real_logits, fake_logits, config.loss, config.label_smoothing)
        opt_d.zero_grad()
        fabric.backward(loss_d)
        opt_d.step()

        # (2) Generator: new latents, and the gradient flows through the discriminator into the generator.
        z = run.randn(config.batch_size, config.latent_dim)
        with without_weight_gradients(fabric, discriminator):
            fake = seen(generator(z), config, step)
            if config.feature_matching:  # `.module`: Fabric's wrapper serves only `forward`; this runs in fp32
                with torch.no_grad():
                    real_features = discriminator.module.features(seen(real, config, step))
                loss_g = feature_matching_loss(real_features, discriminator.module.features(fake))
            else:
                loss_g = generator_loss(discriminator(fake), config.loss)
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        ema.update_parameters(generator.module)

        # (3) Look at it: how often is the discriminator right?
        if run.log_now:
            middle = 0.5 if config.loss == "least-squares" else 0.0
            real_right, fake_right = (real_logits > middle).float().mean(), (fake_logits < middle).float().mean()
            curves = {"loss/d": loss_d, "loss/g": loss_g}
            curves |= {"logits/real": real_logits.mean(), "logits/fake": fake_logits.mean()}
            run.log(curves | {"right/real": real_right, "right/fake": fake_right})
        if run.sample_now:
            with run.without_side_effects():
                run.sample("fixed_z", ema.module.eval()(fixed_z))
        if run.save_now:
            # Half precision for the raw weights, which are there to be compared with their average: a smaller file.
            both = nn.ModuleDict({"averaged": ema.module, "raw": copy.deepcopy(generator.module).half()})
            run.save(both, build | {"data": config.data})

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
