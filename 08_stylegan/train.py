"""Train a style-based generator: Karras et al., arXiv:1812.04948.

python 08_stylegan/train.py                              # cartoon faces, grown from 8×8 to 64×64, on a laptop, minutes
python 08_stylegan/train.py --without mixing             # take a part away: mixing, noise, mapping, norm, blur
python 08_stylegan/train.py --start-size 64              # no growth: the full size from the first step
python 08_stylegan/train.py --relativistic               # today's loss
python 08_stylegan/train.py --data my_pictures           # a folder or zip of your own pictures
python 08_stylegan/train.py --preset paper               # the paper's networks and schedule at 1024×1024, for GPUs
python 08_stylegan/train.py --resume runs/08_stylegan/TIME --max-steps 60000
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import require
from common.command_line import Fraction, Settings, Share, command_line
from common.data import batches, load
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.run import Run
from model import Border, Discriminator, Generator, Kind, Part, resolutions

CHAPTER = "08_stylegan"


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, relativistic: bool = False) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), D = sigmoid(logits): the negative of Eq. 1 of arXiv:1406.2661.

    Relativistic: -log sigmoid(logit of x - logit of G(z)), a real picture for each fake (arXiv:2501.05441, section 2.1).
    """
    if relativistic:
        return F.softplus(fake_logits - real_logits).mean()
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor, real_logits: Tensor | float = 0.0) -> Tensor:
    """Non-saturating: -log D(G(z)), as in chapter 01. Relativistic: with the logits of the real pictures, too."""
    return F.softplus(real_logits - fake_logits).mean()


def r1_penalty(discriminator: Callable[..., Tensor], real: Tensor, resolution: int, alpha: float) -> Tensor:
    """E[‖∇D(x)‖²] of the logits at pictures [N, C, H, W]: R1 of arXiv:1801.04406, section 4.1, without gamma / 2; at fakes R2."""
    real = real.detach().requires_grad_()
    logits = discriminator(real, resolution, alpha)
    (gradients,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradients.float().square().sum((1, 2, 3)).mean()


Counts = tuple[tuple[PositiveInt, PositiveInt], ...]  # a value for each resolution: pairs (from this one on, value)
Rates = tuple[tuple[PositiveInt, PositiveFloat], ...]


@dataclass
class Config(Settings):
    """Train chapter 08: a style-based generator that grows with its pictures."""

    data: str = "avatars"  # a named data set, or a folder or zip of pictures
    size: PositiveInt = 64  # pixels per side of the full pictures, a power of two; ours: the paper ends at 1024
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: NonNegativeInt | None = None  # updates of the generator; default: the schedule, whose end is open
    sample_every: PositiveInt = 500  # steps between two sample grids

    # The schedule of the growth, in pictures shown to the discriminator
    start_size: PositiveInt = 8  # resolution of the first stage; appendix C: 8, where ProGAN began at 4
    fade_images: NonNegativeInt = 8_000  # during which a new resolution fades in; the authors' code has 600,000
    stable_images: NonNegativeInt = 24_000  # between two fades; the authors' code has 600,000
    last_images: NonNegativeInt = 48_000  # at the full size, after its fade; ours: within 15 minutes in all
    batch_sizes: Counts = ((4, 16),)  # pairs: from this resolution on, pictures of all devices
    lrs: Rates = ((4, 2e-3),)  # the generator's rates, pairs as above; ours: the authors' code has 1e-3
    decay_steps: NonNegativeInt = 0  # at the end of the run, in which the rates fall linearly to 0; ours, for long runs
    d_rate: PositiveFloat = 6.0  # the discriminator's rate, times the generator's; ours: its few layers bear it

    # The networks
    latent_dim: PositiveInt = 128  # numbers in z; ours: the paper has 512
    style_dim: PositiveInt = 128  # numbers in w; ours: the paper has 512
    mapping_layers: PositiveInt = 4  # from z to w; ours: the paper has 8
    base: PositiveInt = 512  # channels of a resolution are 2 · base / resolution; ours: a sixteenth of the paper's 8192
    most: PositiveInt = 96  # and at most this many; ours: the paper has 512
    noise_rate: PositiveFloat = 0.1  # rate of the noise's strengths, times lrs; ours: faces hold no chance; paper: 1
    conv_rate: PositiveFloat = 10.0  # rate of G's convolutions, times lrs; ours: short runs learn sooner; paper: 1
    border: Border = "replicate"  # what G's convolutions see beyond a map; ours: even backgrounds; paper: "zeros"
    discriminator: Kind = "strided"  # ours: chapter 02's, grown, and a layer more; paper: ProGAN's, for --conv-rate 1
    group: PositiveInt = 4  # pictures that minibatch deviation compares; ProGAN, section 3
    without: tuple[Part, ...] = ()  # parts to take away, to see what they are for

    # The game
    relativistic: bool = False  # judge pairs of a real picture and a fake, with R1 and R2 (arXiv:2501.05441)
    r1_gamma: NonNegativeFloat = 3.0  # weight of the penalty at real pictures; ours: appendix C has 10, for 1024×1024
    r1_every: PositiveInt = 8  # penalty in every 8th step, 8 times as strong (arXiv:1912.04958); ours: the paper has 1
    mirror: bool = False  # mirror half of the real pictures, appendix C; ours: half of the faces are mirrored already
    mixing: Fraction = 0.25  # share of the pictures with two styles; ours: short runs learn sooner; section 3.1: 0.9

    # The optimisers
    beta1: Share = 0.0  # Adam's momentum; ProGAN, appendix A.1
    beta2: Share = 0.99  # Adam's memory of squared gradients; the same
    ema_decay: Share = 0.998  # of the generator that is sampled from: half-life 5,500 pictures; authors' code: 10,000

    def __post_init__(self) -> None:
        require(self.size >= 8, f"--size must be at least 8, not {self.size}")
        known = resolutions(self.size)
        require(self.start_size in known, f"--start-size must be one of {known}, not {self.start_size}")
        large = self.discriminator == "paper" or self.start_size >= 8
        require(large, f"--start-size must be at least 8 with --discriminator strided, not {self.start_size}")
        for name, pairs in {"batch-sizes": self.batch_sizes, "lrs": self.lrs}.items():
            begins = bool(pairs) and min(pairs)[0] <= self.start_size
            require(begins, f"--{name} must begin at --start-size {self.start_size} or below")
        even = all(n % self.processes == 0 for _, n in self.batch_sizes)
        require(even, f"--batch-sizes must be multiples of {self.processes}, the number of processes")

    @property
    def batch_size(self) -> int:
        """Pictures of a step at the full size."""
        return schedule(self)[-1].batch_size


# Appendix C and the authors' code for eight GPUs. Differs from paper: one batch of generated pictures serves both networks,
# the constant begins as N(0, 1), and the average has one decay at all batch sizes.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", size=1024, fade_images=600_000, stable_images=600_000, last_images=16_600_000,
        batch_sizes=((4, 512), (8, 256), (16, 128), (32, 64), (64, 32)),
        lrs=((4, 1e-3), (128, 1.5e-3), (256, 2e-3), (512, 3e-3)), latent_dim=512, style_dim=512, mapping_layers=8,
        base=8192, most=512, discriminator="paper", d_rate=1.0, r1_gamma=10.0, noise_rate=1.0, conv_rate=1.0,
        border="zeros", r1_every=1, mirror=True, mixing=0.9, ema_decay=0.998, sample_every=1000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


class Stage(NamedTuple):
    """One resolution of the schedule."""

    resolution: int
    first: int  # number of its first step, counted from 0
    steps: int
    fade_steps: int  # of these, in which the resolution fades in
    batch_size: int
    lr: float


def schedule(config: Config) -> list[Stage]:
    """All stages, from `start_size` (which does not fade in) to `size`."""
    stages: list[Stage] = []
    for resolution in [r for r in resolutions(config.size) if r >= config.start_size]:
        batch_size = max(pair for pair in config.batch_sizes if pair[0] <= resolution)[1]
        lr = max(pair for pair in config.lrs if pair[0] <= resolution)[1]
        last = resolution == config.size
        fade = config.fade_images if stages else 0
        images = fade + (config.last_images if last else config.stable_images)
        more = f"more --{'last' if last else 'stable'}-images"
        require(images >= batch_size, f"there is no step at {resolution}×{resolution}: {more}")
        first = stages[-1].first + stages[-1].steps if stages else 0
        stages.append(Stage(resolution, first, images // batch_size, fade // batch_size, batch_size, lr))
    return stages


def growth(step: int, stages: list[Stage]) -> tuple[Stage, float]:
    """The stage of step number `step` (from 0), and alpha: how far its newest block has faded in, 0 to 1.

    Nothing but the number of the step decides it, so that a run can be resumed anywhere. The last stage has no end.
    """
    stage = [stage for stage in stages if stage.first <= step][-1]
    done = step - stage.first
    return stage, min(1.0, done / stage.fade_steps) if stage.fade_steps else 1.0


def faded(real: Tensor, alpha: float) -> Tensor:
    """Real pictures as sharp as the generator can be now: lerp(up(down(x)), x, alpha), [N, C, H, W] -> the same."""
    if alpha == 1:
        return real
    return torch.lerp(F.interpolate(F.avg_pool2d(real, 2), scale_factor=2.0), real, alpha)


def latents(run: Run, config: Config, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
    """This process's share of z [N, D], of a second z, and of the layer [N] from which on the second one gives the styles.

    Section 3.1: a share `mixing` of the pictures gets two styles that meet at a random layer; the others are cut after
    the last layer.
    """
    n, layers = stage.batch_size, 2 * len(resolutions(stage.resolution))
    draws = torch.rand(2, n, generator=run.rng)
    share = 0.0 if "mixing" in config.without else config.mixing
    cut = torch.where(draws[0] < share, 1 + (draws[1] * (layers - 1)).long(), layers)
    return run.randn(n, config.latent_dim), run.randn(n, config.latent_dim), run.share(cut).to(run.fabric.device)


def train(config: Config) -> Path:
    """Grow both networks from `start_size` to `size`; returns the folder of the run."""
    stages = schedule(config)
    total = stages[-1].first + stages[-1].steps if config.max_steps is None else config.max_steps
    config = replace(config, max_steps=total)
    fabric = make_fabric(config, growing=True)
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = load(config.data, stages[0].resolution, config.channels, **config.reading)

    most = max(stage.batch_size for stage in stages)
    require(most <= len(data), f"--batch-sizes: {most} is more than the {len(data):,} pictures of {data.name}")

    # Networks of the full size, their optimisers, and the averaged generator that is sampled from
    build = {
        "size": config.size, "channels": data.channels, "latent_dim": config.latent_dim, "style_dim": config.style_dim,
        "mapping_layers": config.mapping_layers, "base": config.base, "most": config.most, "without": config.without,
        "noise_rate": config.noise_rate, "conv_rate": config.conv_rate, "border": config.border,
    }  # fmt: skip
    generator = Generator(**build)  # in the usual layout, for which AdaIN has fast kernels
    discriminator = Discriminator(
        config.size, data.channels, config.base, config.most, config.group, config.without, config.discriminator
    )
    discriminator.to(memory_format=torch.channels_last)  # colours side by side in memory: faster convolutions
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    adam = {"lr": stages[0].lr, "betas": (config.beta1, config.beta2), "fused": True}
    generator, opt_g = fabric.setup(generator, torch.optim.Adam(generator.parameters(), **adam))
    discriminator, opt_d = fabric.setup(discriminator, torch.optim.Adam(discriminator.parameters(), **adam))

    networks = {"generator": generator, "discriminator": discriminator}
    run = Run(config, fabric, CHAPTER, data, networks, ema=ema, opt_g=opt_g, opt_d=opt_d)
    last = growth(total - 1, stages)[0].resolution if total else config.size
    if fabric.is_global_zero and last < config.size:
        print(f"growth         ends at {last}×{last}; for {config.size}×{config.size} raise --max-steps", flush=True)
    shown = max(4, min(64, (1024 // config.size) ** 2))  # 64 pictures of 1024×1024 would be 67 million pixels
    fixed_z = torch.randn(shown, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    reached = None  # the stage whose pictures are being read

    for step in run.steps():
        # (1) Growth: at a new resolution, its pictures, its batch size and rate, and optimisers without a memory.
        stage, alpha = growth(step - 1, stages)
        resolution, done = stage.resolution, step - 1 - stage.first
        if stage != reached:
            with rank_zero_first(fabric):
                data = load(config.data, resolution, config.channels, **config.reading)
            real_batches = batches(data, stage.batch_size, config.seed + stages.index(stage), fabric, start=done)
            reached = stage
            if done == 0:  # as the authors. The average too, else a new block's untrained weights would linger
                opt_g.optimizer.state.clear()
                opt_d.optimizer.state.clear()
                ema.n_averaged.zero_()
        decay = min(1.0, (total - step + 1) / config.decay_steps) if config.decay_steps else 1.0
        opt_g.optimizer.param_groups[0]["lr"] = decay * stage.lr
        opt_d.optimizer.param_groups[0]["lr"] = decay * config.d_rate * stage.lr
        if config.compile:  # only what is full-grown: a fade is another function in each step
            torch.compiler.set_stance("default" if (resolution, alpha) == (config.size, 1) else "force_eager")

        # (2) Discriminator: descend the cross-entropy, and keep its slope at real pictures small (R1).
        real = faded(next(real_batches)[0], alpha).contiguous(memory_format=torch.channels_last)  # [N, C, H, W]
        if config.mirror:
            real = torch.where(run.randn(len(real) * fabric.world_size, 1, 1, 1) < 0, real.flip(3), real)
        z, other, cut = latents(run, config, stage)
        fake = generator(z, resolution, alpha, other, cut)  # with its graph, for (3)
        real_logits = discriminator(real, resolution, alpha)
        fake_logits = discriminator(fake.detach(), resolution, alpha)
        loss_d = discriminator_loss(real_logits, fake_logits, config.relativistic)
        if step % config.r1_every == 0 or run.log_now:
            judged = (real, fake) if config.relativistic else (real,)
            with fabric.autocast():  # outside of Fabric's wrapper and of --compile: they bear no gradient of a gradient
                penalty = sum(r1_penalty(discriminator.module.forward, x, resolution, alpha) for x in judged)
        if step % config.r1_every == 0:
            loss_d = loss_d + config.r1_every * config.r1_gamma / 2 * penalty
        opt_d.zero_grad()
        fabric.backward(loss_d)
        opt_d.step()

        # (3) Generator: it has not changed since (2), so the same pictures serve. D has changed, and judges them anew.
        with without_weight_gradients(fabric, discriminator):
            rivals = discriminator(real, resolution, alpha) if config.relativistic else 0.0
            loss_g = generator_loss(discriminator(fake, resolution, alpha), rivals)
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        if fabric.world_size > 1:  # each process has seen its own share of the styles
            generator.module.w_mean.copy_(fabric.all_reduce(generator.module.w_mean, reduce_op="mean"))
        ema.update_parameters(generator.module)

        # (4) Look; small pictures are enlarged, so that all grids of a run have one size.
        if run.log_now:
            curves = {"loss/d": loss_d, "loss/g": loss_g}
            curves |= {"logits/real": real_logits.mean(), "logits/fake": fake_logits.mean(), "penalty/r1": penalty}
            run.log(curves | {"growth/log2_resolution": resolution.bit_length() - 2 + alpha})
        if run.sample_now:
            with run.without_side_effects():
                pictures = ema.module.eval()(fixed_z, resolution, alpha)
                run.sample("fixed_z", F.interpolate(pictures, size=config.size))
        if run.save_now:
            grown = {"start_size": config.start_size, "resolution": stage.resolution, "alpha": alpha}
            run.save(ema.module, build | {"data": config.data} | grown)

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
