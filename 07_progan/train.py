"""Train a GAN that grows with its pictures: Karras et al., arXiv:1710.10196.

python 07_progan/train.py                              # cartoon faces from 4×4 to 64×64 on a laptop
python 07_progan/train.py --without growth             # the full size from the start
python 07_progan/train.py --without pixel-norm         # or equalised-rate, minibatch-deviation, fade-in
python 07_progan/train.py --data my_pictures --size 128   # a folder or zip of pictures, to any power of two up to 1024
python 07_progan/train.py --preset paper               # 1024×1024 with the paper's networks and schedule
python 07_progan/train.py --resume runs/07_progan/TIME
"""

import copy
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import require
from common.command_line import Settings, Share, command_line
from common.data import batches, load
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.run import Run
from model import Convs, Critic, Generator, Part, downsample, resolutions, upsample

CHAPTER = "07_progan"


def wasserstein_estimate(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[f(x)] - E[f(G(z))], Eq. 2 of arXiv:1704.00028: [N], [N] -> []."""
    return real_scores.mean() - fake_scores.mean()


def critic_loss(real_scores: Tensor, fake_scores: Tensor, epsilon_drift: float) -> Tensor:
    """Minimise E[f(G(z))] - E[f(x)] + epsilon_drift E[f(x)²]: appendix A.1, without the penalty. [N], [N] -> []."""
    return epsilon_drift * real_scores.square().mean() - wasserstein_estimate(real_scores, fake_scores)


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Minimise -E[f(G(z))]: [N] -> []."""
    return -fake_scores.mean()


def gradient_norms(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """‖∇f(x̂)‖₂ at x̂ = epsilon x + (1 - epsilon) G(z), one epsilon for each pair: [N, ...], [N, ...], [N] -> [N].

    Algorithm 1 of arXiv:1704.00028, as in chapter 03. Can itself be differentiated by the weights of f. The minibatch
    deviation lets a score depend on the pictures of its group, so what a picture does to the others' scores is counted too.
    """
    points = torch.lerp(fake, real, epsilon.view(-1, 1, 1, 1)).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradients.float().flatten(1).norm(dim=1)


def gradient_penalty(norms: Tensor) -> Tensor:
    """E[(‖∇f(x̂)‖₂ - 1)²]: Eq. 3 of arXiv:1704.00028 without its lambda. [N] -> []."""
    return (norms - 1).square().mean()


# A value for each size: pairs (from this size on, value), the smallest size first.
Counts = tuple[tuple[PositiveInt, PositiveInt], ...]
FadeCounts = tuple[tuple[PositiveInt, NonNegativeInt], ...]  # 0: no fade
Rates = tuple[tuple[PositiveInt, PositiveFloat], ...]


def at(table: Counts | FadeCounts | Rates, size: int) -> int | float:
    """What a table "from this size on" says for a size: at(((4, 16), (64, 8)), 32) = 16."""
    return max((start, value) for start, value in table if start <= size)[1]


@dataclass
class Config(Settings):
    """Train chapter 07: a GAN that grows from 4×4 pixels to the size of its pictures."""

    data: str = "avatars"  # a named data set, or a folder or zip of pictures
    size: int = 64  # pixels per side in the end: a power of two from 4 to 1024
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: NonNegativeInt = 13_500  # updates of the generator at all sizes; the last size gets those that are left
    sample_every: PositiveInt = 500  # steps between two sample grids

    # The schedule. Each is a list "from this size on, this value": 4 16 64 8 is 16 from 4×4 on, and 8 from 64×64 on
    fade_images: FadeCounts = ((4, 20_000),)  # real pictures shown in a fade; ours: appendix A.1 has 800,000
    stable_images: Counts = ((4, 10_000), (8, 20_000), (32, 28_000))  # then at rest; ours: appendix A.1 has 800,000
    batch_sizes: Counts = ((4, 16),)  # pictures of all devices together; appendix A.1 has 16 up to 128×128
    learning_rates: Rates = ((4, 2e-2), (64, 1e-2))  # ours, for short runs; appendix A.1 has 0.001 throughout
    decay_steps: NonNegativeInt = 0  # at the end of the run, in which the rates fall linearly to 0; ours, for long runs

    # The game: WGAN-GP, appendix A.1
    lambda_gp: NonNegativeFloat = 10.0  # weight of the gradient penalty; arXiv:1704.00028
    epsilon_drift: NonNegativeFloat = 1e-3  # weight of E[f(x)²], which keeps the scores near zero; appendix A.1
    n_critic: PositiveInt = 1  # updates of the critic for each of the generator; appendix A.1
    penalty_share: PositiveInt = 4  # the penalty is measured on one of so many, in fours; ours: the paper has 1, all

    # The networks
    latent_dim: PositiveInt = 128  # numbers in z; ours: table 2 has 512
    channels_times_size: PositiveInt = 1024  # a map of r×r pixels has this / r channels; ours: table 2 has 16384
    most_channels: PositiveInt = 96  # but not more than these; ours: table 2 has 512
    convs: Convs = 1  # convolutions at each size; ours, for speed: table 2 has 2
    without: tuple[Part, ...] = ()  # parts of the method to take away, to see what they are for

    # The optimisers
    beta1: Share = 0.0  # Adam's momentum; appendix A.1
    beta2: Share = 0.99  # Adam's memory of squared gradients; appendix A.1
    ema_decay: Share = 0.999  # the samples come from an average of the generator over about 1,000 steps; appendix A.1

    def __post_init__(self) -> None:
        for name in ("fade_images", "stable_images", "batch_sizes", "learning_rates"):
            starts = [start for start, _ in getattr(self, name)]
            rising = starts[:1] == [4] and starts == sorted({*starts}) and {*starts} <= {*resolutions(1024)}
            what = "sizes in rising order, powers of two that begin with 4"
            require(rising, f"--{name.replace('_', '-')} must name {what}, not {starts}")
        for size in resolutions(self.size):
            batch_size = at(self.batch_sizes, size)
            shared = f"{batch_size} (at {size}×{size}) cannot be shared evenly by {self.processes} processes"
            require(batch_size % self.processes == 0, f"--batch-sizes: {shared}")

    @property
    def batch_size(self) -> int:
        """Pictures of a step at the full size."""
        return int(at(self.batch_sizes, self.size))


# Table 2 and appendix A.1; the batches shrink from 256×256 on as there. 17 phases of 800,000 pictures. Differs from
# paper: drawn faces instead of CelebA-HQ; --data FOLDER for photographs.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", size=1024, max_steps=1_464_288, fade_images=((4, 800_000),), stable_images=((4, 800_000),),
        batch_sizes=((4, 16), (256, 14), (512, 6), (1024, 3)), penalty_share=1, latent_dim=512, channels_times_size=16384,
        most_channels=512, convs=2, learning_rates=((4, 1e-3),), sample_every=5000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


class Moment(NamedTuple):
    """All that the schedule decides about one step."""

    stage: int  # 0 is the first size
    resolution: int  # pixels per side
    alpha: float  # weight of the newest block, 0 to 1
    batch_size: int
    lr: float
    step: int  # of this stage, from 0


def growth(config: Config, step: int) -> Moment:
    """The schedule of figure 2 and appendix A.1 as a pure function of the step, from 0.

    At each size but the first the new block fades in, while alpha rises from 0 to 1 with the pictures shown; then the
    networks train at rest. The last size has no end. Nothing else remembers where a run stands: so it can go on anywhere.
    Only `decay_steps` looks at the end of the run: a longer `--max-steps` puts the fall of the rates off.
    """
    sizes = [config.size] if "growth" in config.without else resolutions(config.size)
    decay = min(1.0, (config.max_steps - step) / config.decay_steps) if config.decay_steps else 1.0
    for stage, size in enumerate(sizes):
        batch_size = int(at(config.batch_sizes, size))
        fades = stage > 0 and "fade-in" not in config.without
        fade = math.ceil(at(config.fade_images, size) / batch_size) if fades else 0  # steps
        stable = math.ceil(at(config.stable_images, size) / batch_size)
        if size == config.size or step < fade + stable:
            alpha = step / fade if step < fade else 1.0
            return Moment(stage, size, alpha, batch_size, decay * at(config.learning_rates, size), step)
        step -= fade + stable
    raise AssertionError("the last size has no end")


def faded(real: Tensor, alpha: float) -> Tensor:
    """Real pictures while a block fades in: alpha x + (1 - alpha) up(down(x)), as the generator's are. [N, C, H, W] -> the same.

    The critic would otherwise know the real ones by the detail that the generator cannot draw yet.
    """
    return real if alpha == 1 else torch.lerp(upsample(downsample(real)), real, alpha)


def penalised(n: int, share: int) -> int:
    """How many of n pairs the penalty is measured on: one of `share`, in whole groups of 4, as the minibatch deviation has them."""
    return min(n, 4 * math.ceil(n / (4 * share)))


def train(config: Config) -> Path:
    """Algorithm 1 of arXiv:1704.00028 on networks that grow; returns the folder of the run."""
    fabric = make_fabric(config, growing=True)
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = load(config.data, growth(config, 0).resolution, config.channels, **config.reading)

    most = max(int(at(config.batch_sizes, size)) for size in resolutions(config.size))
    require(most <= len(data), f"--batch-sizes: {most} is more than the {len(data):,} pictures of {data.name}")

    # Networks of the full size, their optimisers, and the averaged generator that is sampled from
    build = {
        "latent_dim": config.latent_dim, "size": config.size, "picture_channels": data.channels,
        "channels_times_size": config.channels_times_size, "most": config.most_channels,
        "convs": config.convs, "without": config.without,
    }  # fmt: skip
    generator = Generator(**build)
    widths = config.channels_times_size, config.most_channels
    critic = Critic(config.size, data.channels, *widths, config.convs, config.without)
    # The critic's colours lie side by side in memory: faster convolutions. The generator's pixel norm is slower so.
    critic.to(memory_format=torch.channels_last)
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    betas = (config.beta1, config.beta2)  # Differs from paper: Adam is not reset at a new size; it forgets in 100 steps
    opt_g = torch.optim.Adam(generator.parameters(), betas=betas, eps=1e-8, fused=True)
    opt_d = torch.optim.Adam(critic.parameters(), betas=betas, eps=1e-8, fused=True)
    generator, opt_g = fabric.setup(generator, opt_g)
    critic, opt_d = fabric.setup(critic, opt_d)

    networks = {"generator": generator, "critic": critic}
    run = Run(config, fabric, CHAPTER, data, networks, ema=ema, opt_g=opt_g, opt_d=opt_d)
    if fabric.is_global_zero:
        last = growth(config, config.max_steps - 1).resolution if config.max_steps else config.size
        more = f"; for {config.size}×{config.size} raise --max-steps" if last < config.size else ""
        print(f"growth         {data.size}×{data.size} to {last}×{last}{more}", flush=True)
    shown = max(4, min(64, (1024 // config.size) ** 2))  # 64 pictures of 1024×1024 would be 67 million pixels
    fixed_z = torch.randn(shown, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    stage = None  # whose pictures are being read

    for step in run.steps():
        # (0) Growth: which size, how much of the newest block, and at a new size its pictures.
        moment = growth(config, step - 1)
        size, alpha = moment.resolution, moment.alpha
        if stage != moment.stage:
            stage = moment.stage
            with rank_zero_first(fabric):
                data = load(config.data, size, config.channels, **config.reading)  # drawn or decoded at this size
            seen = moment.step * config.n_critic  # batches of this size, when a run goes on in its middle
            real_batches = batches(data, moment.batch_size, config.seed + stage, fabric, start=seen)
            if moment.step == 0:  # the average begins anew, else a new block's untrained weights would linger in it
                ema.n_averaged.zero_()
        for group in (*opt_g.param_groups, *opt_d.param_groups):
            group["lr"] = moment.lr
        if config.compile:  # only what is full-grown: a fade is another function in each step
            torch.compiler.set_stance("default" if (size, alpha) == (config.size, 1) else "force_eager")

        # (1) Critic, n_critic times: descend the loss of appendix A.1, so that the scores measure the distance.
        for _ in range(config.n_critic):
            real, _ = next(real_batches)  # [N, C, H, W]
            real = faded(real.contiguous(memory_format=torch.channels_last), alpha)
            z = run.randn(moment.batch_size, config.latent_dim)  # [N, D]
            with torch.no_grad():
                fake = generator(z, size, alpha)
            epsilon = torch.special.ndtr(run.randn(moment.batch_size))  # [N], U[0, 1]: a normal number's own quantile
            real_scores, fake_scores = critic(real, size, alpha), critic(fake, size, alpha)
            # `.module.forward` is the critic outside of Fabric's wrapper and of --compile, which bear no gradient of a
            # gradient. Ours: on a few of the pairs, an estimate of the same mean, in the run's precision; norms in fp32.
            few = penalised(len(real), config.penalty_share)
            with fabric.autocast():
                score = partial(critic.module.forward, resolution=size, alpha=alpha)
                norms = gradient_norms(score, real[:few], fake[:few], epsilon[:few])
            penalty = gradient_penalty(norms)
            loss_d = critic_loss(real_scores, fake_scores, config.epsilon_drift) + config.lambda_gp * penalty
            opt_d.zero_grad()
            fabric.backward(loss_d)
            opt_d.step()

        # (2) Generator: new latents, and the scores' gradient flows through the critic into the generator.
        z = run.randn(moment.batch_size, config.latent_dim)
        with without_weight_gradients(fabric, critic):
            loss_g = generator_loss(critic(generator(z, size, alpha), size, alpha))
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        ema.update_parameters(generator.module)

        # (3) Look at it; small pictures are enlarged, so that all grids of a run have one size.
        if run.log_now:
            curves = {"loss/d": loss_d, "loss/g": loss_g}
            curves |= {"wasserstein/estimate": wasserstein_estimate(real_scores, fake_scores)}
            curves |= {"gradient/norm": norms.mean()}
            run.log(curves | {"growth/log2_size": math.log2(size), "growth/alpha": alpha})
        if run.sample_now:
            with run.without_side_effects():
                run.sample("fixed_z", F.interpolate(ema.module.eval()(fixed_z, size, alpha), config.size))
        if run.save_now:
            # `most_channels` is the flag's name for `most`: --start-from can say which value the weights need.
            settings = {"data": config.data, "resolution": size, "alpha": alpha, "most_channels": config.most_channels}
            run.save(copy.deepcopy(ema.module).half(), build | settings)  # half the size on disk

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
