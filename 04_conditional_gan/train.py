"""Train a conditional GAN: the discriminator judges picture and label together, so the generator has to draw what was asked.

python 04_conditional_gan/train.py                              # digits on a laptop, minutes
python 04_conditional_gan/train.py --condition embedding        # or auxiliary: the other two ways to use the label
python 04_conditional_gan/train.py --data fashion-10k           # or mnist, cifar10, or a folder with a subfolder a class
python 04_conditional_gan/train.py --label-blind                # on purpose: only the generator sees the label
python 04_conditional_gan/train.py --preset paper               # the projection paper's optimiser and loss, on CIFAR-10
python 04_conditional_gan/train.py --resume runs/04_conditional_gan/TIME
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import require
from common.command_line import Settings, Share, command_line
from common.data import Pictures, batches, load
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.run import Run
from model import Discriminator, Generator

CHAPTER = "04_conditional_gan"


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, kind: str) -> Tensor:
    """-log D(x, y) - log(1 - D(G(z, y), y)), D = sigmoid(a); hinge: max(0, 1 - a(x, y)) + max(0, 1 + a(G(z, y), y)).

    Logits a [N], [N] -> [].
    """
    if kind == "hinge":
        return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor, kind: str) -> Tensor:
    """-log D(G(z, y), y) (non-saturating), or minus the logit itself (the generator's side of the hinge)."""
    if kind == "hinge":
        return -fake_logits.mean()
    return F.softplus(-fake_logits).mean()  # -log(sigmoid(logits))


def class_loss(class_logits: Tensor | None, labels: Tensor) -> Tensor:
    """-L_C of AC-GAN for one set of pictures: the cross-entropy of class logits [N, K]; 0 where there is no class head."""
    if class_logits is None:
        return torch.zeros((), device=labels.device)
    return F.cross_entropy(class_logits, labels)


@dataclass
class Config(Settings):
    """Train chapter 04: a GAN that draws the class it is asked for."""

    data: str = "mnist-10k"  # a named data set, or a folder or zip of pictures with a subfolder for each class
    size: int | None = None  # pixels per side; default: the data's own, 32 for a folder
    channels: int | None = None  # 1 grey, 3 colour; default: the data's own, 3 for a folder
    max_steps: NonNegativeInt = 8000  # updates of the generator; ours: minutes on two cores
    batch_size: PositiveInt = 64  # pictures of all devices together; the projection authors' configuration for CIFAR-10

    # The condition
    condition: Literal["embedding", "auxiliary", "projection"] = "projection"  # ours: later work builds on it
    lambda_class: NonNegativeFloat = 1.0  # weight of the class loss of "auxiliary"; arXiv:1610.09585 section 3 has none
    label_blind: bool = False  # a mistake on purpose: the discriminator does not see the label
    shuffle_labels: bool = False  # a mistake on purpose: every picture gets the label of another one

    # The game
    loss: Literal["non-saturating", "hinge"] = "hinge"  # arXiv:1802.05637 section 5
    n_discriminator: PositiveInt = 1  # updates of the discriminator for each of the generator; ours

    # The networks
    latent_dim: PositiveInt = 100  # random numbers that a picture is made from; arXiv:1511.06434 section 4
    width: PositiveInt = 32  # channels next to the picture, of both networks; ours, for two cores: DCGAN has 128
    pool: Literal["convolution", "sum"] = "convolution"  # D's last features; ours: the paper's sum obeyed far less here
    batch_norm: bool = True  # in the generator; arXiv:1511.06434 section 3
    spectral_norm: bool = True  # in the discriminator; arXiv:1802.05957, as in arXiv:1802.05637 section 5

    # The optimisers
    lr_g: PositiveFloat = 1e-3  # ours: the projection paper's 2e-4 needs more steps than a laptop has time for
    lr_d: PositiveFloat = 1e-3  # ours: the same
    beta1: Share = 0.0  # Adam's momentum; arXiv:1802.05637 section 5
    beta2: Share = 0.99  # Adam's memory of squared gradients; ours: as in chapter 01
    ema_decay: Share = 0.999  # ours: the samples come from an average of the generator over about 1,000 steps

    def __post_init__(self) -> None:
        require(self.batch_size >= 2 * self.processes, "--batch-size must be at least 2 a process, for BatchNorm")


# The projection paper's section 5 with the numbers of its authors' configuration for CIFAR-10. Differs from paper:
# DCGAN's layers, of width 64, instead of ResNets; the generator's batch is 64 too, not 128; the learning rate does not decay.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", data="cifar10", max_steps=50_000, batch_size=64, n_discriminator=5, latent_dim=128, width=64,
        loss="hinge", spectral_norm=True, pool="sum", lr_g=2e-4, lr_d=2e-4, beta1=0.0, beta2=0.9, ema_decay=0.0,
        sample_every=1000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


def draw_labels(run: Run, labels: Tensor, n: int) -> Tensor:
    """This process's share of labels [n] for a batch of n fakes, drawn from the data's: as frequent as there.

    With p_data(y) = p_g(y) the label alone tells D nothing about real and fake. Where classes are unequal, labels drawn evenly
    would: the best D would add log(p_data(y) / p_g(y)) to every logit.
    """
    whole = labels[torch.randint(len(labels), (n,), generator=run.rng)]
    return run.fabric.to_device(run.share(whole))


def labelled(config: Config) -> Pictures:
    """Load the data of a run, and refuse what has no classes to ask for."""
    data = load(config.data, config.size, config.channels, **config.reading)
    remedy = "put the pictures of each class into a subfolder of its own"
    require(
        len(data.classes) > 0,
        f"--data: the pictures of {data.name} have no labels: {remedy}" + (f" ({data.note})" if data.note else ""),
    )
    require(data.labels.ndim == 1, f"--data: the pictures of {data.name} have several labels each, not one class")
    require(len(data.classes) > 1, f"--data: {data.name} has only the class {data.classes[0]!r}: {remedy}, two or more")
    first, last = int(data.labels.min()), int(data.labels.max())
    known = first >= 0 and last < len(data.classes)
    require(known, f"--data: labels {first} to {last} of {data.name} do not fit its {len(data.classes)} classes")
    if config.shuffle_labels:
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(config.seed))
        data = replace(data, labels=data.labels[order])
    return data


def train(config: Config) -> Path:
    """Play the conditional game; returns the folder of the run."""
    fabric = make_fabric(config)
    with rank_zero_first(fabric):  # the first process draws or downloads, the others read
        data = labelled(config)

    # Networks, their optimisers, and the averaged generator that is sampled from
    shape, classes = (data.channels, data.size, data.size), len(data.classes)
    build = {
        "condition": config.condition, "classes": classes, "latent_dim": config.latent_dim, "width": config.width,
        "shape": shape, "batch_norm": config.batch_norm,
    }  # fmt: skip
    sight = "blind" if config.label_blind else config.condition
    generator = Generator(**build)
    discriminator = Discriminator(sight, classes, config.width, shape, config.pool, config.spectral_norm)
    for network in (generator, discriminator):
        network.to(memory_format=torch.channels_last)  # colours side by side in memory: faster convolutions
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    adam = {"betas": (config.beta1, config.beta2), "fused": True}
    opt_g = torch.optim.Adam(generator.parameters(), config.lr_g, **adam)
    opt_d = torch.optim.Adam(discriminator.parameters(), config.lr_d, **adam)
    generator, opt_g = fabric.setup(generator, opt_g)
    discriminator, opt_d = fabric.setup(discriminator, opt_d)

    networks = {"generator": generator, "discriminator": discriminator}
    run = Run(config, fabric, CHAPTER, data, networks, ema=ema, opt_g=opt_g, opt_d=opt_d)
    columns = min(classes, 10)  # of the sample grid: one class each, and a latent for each of its eight rows
    fixed_z = torch.randn(8, config.latent_dim, generator=torch.Generator().manual_seed(0)).to(fabric.device)
    fixed = fixed_z.repeat_interleave(columns, 0), torch.arange(columns, device=fabric.device).repeat(8)
    start = run.step * config.n_discriminator
    real_batches = batches(data, config.batch_size, config.seed, fabric, start)

    for _ in run.steps():
        for _ in range(config.n_discriminator):
            # (1) Discriminator: judge pictures with their labels. The generator does not learn here: no graph for it.
            real, real_y = next(real_batches)  # [N, C, H, W], [N]
            real = real.contiguous(memory_format=torch.channels_last)
            z = run.randn(config.batch_size, config.latent_dim)  # [N, D]
            fake_y = draw_labels(run, data.labels, config.batch_size)  # [N]
            with torch.no_grad():
                fake = generator(z, fake_y)
            # One pass for both halves is faster, and without BatchNorm in D they do not see each other.
            logits, class_logits = discriminator(torch.cat([real, fake]), torch.cat([real_y, fake_y]))
            real_logits, fake_logits = logits.chunk(2)
            loss_d = discriminator_loss(real_logits, fake_logits, config.loss)
            if class_logits is not None:
                real_class, fake_class = class_logits.chunk(2)
                real_class_loss, fake_class_loss = class_loss(real_class, real_y), class_loss(fake_class, fake_y)
                loss_d = loss_d + config.lambda_class * (real_class_loss + fake_class_loss)
            opt_d.zero_grad()
            fabric.backward(loss_d)
            opt_d.step()

        # (2) Generator: new latents and labels; the gradient flows through the discriminator into the generator.
        z = run.randn(config.batch_size, config.latent_dim)
        fake_y = draw_labels(run, data.labels, config.batch_size)
        with without_weight_gradients(fabric, discriminator):
            logits, class_logits = discriminator(generator(z, fake_y), fake_y)
        loss_g = generator_loss(logits, config.loss) + config.lambda_class * class_loss(class_logits, fake_y)
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()
        ema.update_parameters(generator.module)

        # (3) Look: the losses, what the discriminator says, and how often it is right.
        if run.log_now:
            curves = {"loss/d": loss_d, "loss/g": loss_g}
            curves |= {"logits/real": real_logits.mean(), "logits/fake": fake_logits.mean()}
            curves |= {"right/real": (real_logits > 0).float().mean(), "right/fake": (fake_logits < 0).float().mean()}
            if class_logits is not None:
                curves |= {"class/real": real_class_loss, "class/fake": fake_class_loss}
            run.log(curves)
        if run.sample_now:
            with run.without_side_effects():
                run.sample("fixed_z", ema.module.eval()(*fixed), columns)
        if run.save_now:
            run.save(ema.module, build | {"data": config.data, "names": data.classes})

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
