"""Train a Wasserstein GAN: Algorithm 1 of arXiv:1704.00028 (gradient penalty) or of arXiv:1701.07875 (clipped weights).

python 03_wgan_gp/train.py                              # digits on a laptop, minutes; the gradient penalty
python 03_wgan_gp/train.py --lipschitz clip --critic-norm none   # the older way: clipped weights and RMSProp
python 03_wgan_gp/train.py --data fashion-10k           # or mnist, cifar10, or a folder or zip of pictures
python 03_wgan_gp/train.py --n-critic 1                 # one critic step for each step of the generator
python 03_wgan_gp/train.py --preset paper               # the paper's setting, on 60,000 digits
python 03_wgan_gp/train.py --resume runs/03_wgan_gp/TIME
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from common import require
from common.command_line import Settings, Share, command_line
from common.data import batches, load
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.run import Run
from model import Critic, Generator, stages

CHAPTER = "03_wgan_gp"


def critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Minimise E[f(G(z))] - E[f(x)]: the negative of the Wasserstein estimate, Eq. 2 of arXiv:1704.00028. [N], [N] -> []."""
    return -wasserstein_estimate(real_scores, fake_scores)


def wasserstein_estimate(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[f(x)] - E[f(G(z))]: for the best f with slopes of at most 1, the distance W (Eq. 2 of arXiv:1701.07875)."""
    return real_scores.mean() - fake_scores.mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Minimise -E[f(G(z))]: of Eq. 2 of arXiv:1704.00028 the only term in which the generator occurs. [N] -> []."""
    return -fake_scores.mean()


def interpolates(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """epsilon x + (1 - epsilon) G(z), Algorithm 1 of arXiv:1704.00028: pairs [N, ...] and epsilon [N] -> [N, ...].

    Each pair has its own epsilon, so that each point lies somewhere else on the line between its real and its fake.
    """
    epsilon = epsilon.view(-1, *[1] * (real.ndim - 1))  # [N] -> [N, 1, 1, 1] for pictures, [N, 1] for points
    return epsilon * real + (1 - epsilon) * fake


def gradient_norms(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """‖∇f(x)‖₂ at points [N, ...], over all numbers of a point: [N]. Can itself be differentiated by f's weights.

    The sum of the scores has all their gradients at once, as long as no score depends on another point: no BatchNorm.
    """
    points = points.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradients.flatten(1).norm(dim=1)  # [N, ...] -> [N, all] -> [N]


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """E[(‖∇f(x̂)‖₂ - 1)²] at the interpolates x̂: the penalty of Eq. 3 of arXiv:1704.00028, without its lambda. -> []."""
    return (gradient_norms(critic, interpolates(real, fake, epsilon)) - 1).square().mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """w <- clip(w, -bound, bound) for all weights, biases and norm scales included: Algorithm 1 of arXiv:1701.07875."""
    for weight in critic.parameters():
        weight.clamp_(-bound, bound)


# Learning rates where --lr-g and --lr-d are not given: the clipped critic's (Algorithm 1 of arXiv:1701.07875), the penalty's
# of the paper (Algorithm 1 of arXiv:1704.00028), and ours: after 800 steps FCD 5.3 at 1e-3, and 14.9 at the paper's 1e-4.
RATES = {"clip": 5e-5, "paper": 1e-4, "laptop": 1e-3}


@dataclass
class Config(Settings):
    """Train chapter 03: a Wasserstein GAN with a gradient penalty, or with clipped weights."""

    data: str = "mnist-10k"  # a named data set, or a folder or zip of pictures
    size: int | None = None  # pixels per side; default: the data's own, 32 for a folder
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: NonNegativeInt = 6000  # updates of the generator; ours: 8 minutes on two cores
    batch_size: PositiveInt = 32  # pictures of all devices together; ours: more and smaller steps than the paper's 64

    # The game
    lipschitz: Literal["penalty", "clip"] = "penalty"  # what bounds the critic's slope: Eq. 3, or clipped weights
    lambda_gp: NonNegativeFloat = 10.0  # weight of the penalty; section 4 of arXiv:1704.00028
    clip: PositiveFloat = 0.01  # bound of the critic's weights with --lipschitz clip; Algorithm 1 of arXiv:1701.07875
    n_critic: PositiveInt = 5  # updates of the critic for each of the generator; Algorithm 1 of both papers

    # The networks
    latent_dim: PositiveInt = 128  # random numbers that a picture is made from; as in the authors' gan_mnist.py
    width_g: PositiveInt = 32  # the generator's channels next to the picture; ours: half of the authors' 64
    width_d: PositiveInt = 32  # the same for the critic; ours: 64 is worse in the same time
    batch_norm: bool = True  # in the generator, as in DCGAN; the critic never has any
    critic_norm: Literal["layer", "none"] = "layer"  # in the critic; section 4 of arXiv:1704.00028 recommends layer

    # The optimisers: Adam with the penalty, RMSProp with clipping (momentum upset the clipped critic: section 3 of 1701.07875)
    lr_g: PositiveFloat | None = None  # default: 1e-3 (ours), 1e-4 with --preset paper, 5e-5 with --lipschitz clip
    lr_d: PositiveFloat | None = None  # the same for the critic
    beta1: Share = 0.0  # Adam's momentum; Algorithm 1 of arXiv:1704.00028
    beta2: Share = 0.9  # Adam's memory of squared gradients; Algorithm 1 of arXiv:1704.00028
    ema_decay: Share = 0.999  # ours: the samples come from an average of the generator over about 1,000 steps

    def __post_init__(self) -> None:
        require(self.batch_size >= 2 * self.processes, "--batch-size must be at least 2 a process, for BatchNorm")
        if self.size is not None:
            stages(self.size)  # a size that the networks cannot have is reported before the data is loaded


# WGAN-GP as in Algorithm 1 and section 4 of arXiv:1704.00028, on digits: width, latents and length are those of the authors'
# gan_mnist.py. Differs from that file: BatchNorm in G and LayerNorm in the critic (as the paper's section 4), tanh instead of
# a sigmoid, batch 64 and beta1 0 (Algorithm 1), one layer less in each network, and kernels of 4 instead of 5.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", data="mnist", max_steps=200_000, batch_size=64, width_g=64, width_d=64, critic_norm="layer",
        ema_decay=0.0, sample_every=1000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


def make_optimizer(network: nn.Module, lr: float | None, config: Config) -> torch.optim.Optimizer:
    """Adam for the penalty, RMSProp for clipping, with the learning rate of `RATES` unless one is given."""
    if config.lipschitz == "clip":
        return torch.optim.RMSprop(network.parameters(), lr or RATES["clip"])
    betas = (config.beta1, config.beta2)
    return torch.optim.Adam(network.parameters(), lr or RATES[config.preset], betas=betas, fused=True)


def train(config: Config) -> Path:
    """Run Algorithm 1 of either paper; returns the folder of the run."""
    fabric = make_fabric(config)
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = load(config.data, config.size, config.channels, **config.reading)

    # Networks, their optimisers, and the averaged generator that is sampled from
    shape = (data.channels, data.size, data.size)
    build = {"latent_dim": config.latent_dim, "width": config.width_g, "shape": shape, "batch_norm": config.batch_norm}
    generator = Generator(**build).to(memory_format=torch.channels_last)
    critic = Critic(config.width_d, shape, config.critic_norm).to(memory_format=torch.channels_last)
    if config.lipschitz == "clip":
        clip_weights(critic, config.clip)  # else the first step would be one with unbounded weights
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    generator, opt_g = fabric.setup(generator, make_optimizer(generator, config.lr_g, config))
    critic, opt_d = fabric.setup(critic, make_optimizer(critic, config.lr_d, config))

    networks = {"generator": generator, "critic": critic}
    run = Run(config, fabric, CHAPTER, data, networks, ema=ema, opt_g=opt_g, opt_d=opt_d)
    fixed_z = torch.randn(64, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    real_batches = batches(data, config.batch_size, config.seed, fabric, start=run.step * config.n_critic)

    for _ in run.steps():
        # (1) Critic, n_critic times: descend Eq. 3, so that its scores measure the distance as well as they can.
        for _ in range(config.n_critic):
            real, _ = next(real_batches)  # [N, C, H, W]
            real = real.contiguous(memory_format=torch.channels_last)  # as the networks: faster convolutions
            z = run.randn(config.batch_size, config.latent_dim)  # [N, D]
            with torch.no_grad():
                fake = generator(z)
            epsilon = torch.special.ndtr(run.randn(config.batch_size))  # [N], U[0, 1]: the normal CDF of normal numbers
            # One pass for both halves is faster, and the same: without BatchNorm they do not see each other.
            real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)  # [N], [N]
            loss_d = critic_loss(real_scores, fake_scores)
            if config.lipschitz == "penalty":
                # `.module.forward` is the same critic in fp32, outside of Fabric's wrapper and of --compile, which bear no
                # gradient of a gradient. One backward pass for both terms: the wrapper then averages their summed gradients.
                penalty = gradient_penalty(critic.module.forward, real, fake, epsilon)
                loss_d = loss_d + config.lambda_gp * penalty
            opt_d.zero_grad()
            fabric.backward(loss_d)
            opt_d.step()
            if config.lipschitz == "clip":
                clip_weights(critic, config.clip)

        # (2) Generator: new latents, and the scores' gradient flows through the critic into the generator.
        z = run.randn(config.batch_size, config.latent_dim)
        with without_weight_gradients(fabric, critic):
            loss_g = generator_loss(critic(generator(z)))
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        ema.update_parameters(generator.module)

        # (3) Look: the last critic step's estimate, and how steep the critic is now where the penalty looks.
        if run.log_now:
            norms = gradient_norms(critic.module.forward, interpolates(real, fake, epsilon)).detach()
            curves = {"loss/d": loss_d, "loss/g": loss_g}
            curves |= {"scores/real": real_scores.mean(), "scores/fake": fake_scores.mean()}
            curves |= {"wasserstein/estimate": wasserstein_estimate(real_scores, fake_scores)}
            run.log(curves | {"gradient/norm": norms.mean(), "penalty/gp": (norms - 1).square().mean()})
        if run.sample_now:
            with run.without_side_effects():
                run.sample("fixed_z", ema.module.eval()(fixed_z))
        if run.save_now:
            run.save(ema.module, build | {"data": config.data})

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
