"""Train pix2pix: a U-Net translates a picture, L1 says how far it is off, and a judge of patches says whether it looks real.

python 05_pix2pix/train.py                              # drawings to coloured faces, minutes on a laptop
python 05_pix2pix/train.py --direction BtoA             # faces to drawings
python 05_pix2pix/train.py --lambda-gan 0               # L1 alone; --lambda-l1 0 is the conditional GAN alone
python 05_pix2pix/train.py --patch 1                    # or 16, 34, 70, 142, 286, whole: how much a logit sees
python 05_pix2pix/train.py --data satellite-map --no-mirror   # satellite pictures to maps
python 05_pix2pix/train.py --data my_pairs              # a folder of pictures side by side, or with folders A/ and B/
python 05_pix2pix/train.py --data my_pairs --channels 1 # the same in grey
python 05_pix2pix/train.py --preset paper               # the paper's networks and numbers, at 256×256
python 05_pix2pix/train.py --resume runs/05_pix2pix/TIME
"""

import sys
from functools import partial
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import require
from common.command_line import Fraction, Settings, Share, command_line
from common.data import NoTestPictures, batches, load_pairs
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.images import to_float
from common.run import Run
from model import Discriminator, Generator, Upsampling, check_patch, depth, half_precision

CHAPTER = "05_pix2pix"


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half of -log D(x, y) - log(1 - D(x, G(x, z))), mean over all patches; D = sigmoid(logits). Eq. 1, halved as in section 3.3."""
    return (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()) / 2


def adversarial_loss(fake_logits: Tensor) -> Tensor:
    """-log D(x, G(x, z)), mean over all patches: the non-saturating form of section 3.3."""
    return F.softplus(-fake_logits).mean()


def l1_loss(fake: Tensor, y: Tensor) -> Tensor:
    """Mean distance of corresponding numbers, in units of [-1, 1]. Eq. 3."""
    return (fake - y).abs().mean()


@dataclass
class Config(Settings):
    """Train chapter 05: a network that translates pictures, learned from pairs."""

    data: str = "sketches"  # drawings and faces; satellite-map, facades, maps, …; or a folder or zip of your own
    direction: Literal["AtoB", "BtoA"] = "AtoB"  # which side is the input
    size: int = 64  # pixels per side: 32, 64, 128, 256 or 512; ours: a quarter of the paper's, for two cores
    channels: Literal[1, 3] = 3  # 1 grey, 3 colour, of both sides
    max_steps: NonNegativeInt = 2000  # updates of the generator; ours: about ten minutes; README.md has a longer run
    batch_size: PositiveInt = 16  # pairs of all devices together; section 3.3: 1 to 10; ours: small ones waste a core
    accumulate: PositiveInt = 1  # work on the batch in so many parts, one after the other, to save memory

    # The game
    lambda_l1: NonNegativeFloat = 10.0  # weight of the L1 loss; ours: vivid sooner than with the 100 of section 4.2
    lambda_gan: NonNegativeFloat = 1.0  # weight of the adversarial loss; section 3.1 has none, that is 1; 0 is L1 alone
    patch: Literal["1", "16", "34", "70", "142", "286", "whole"] = "70"  # pixels that a logit sees; section 3.2.2
    blind: bool = False  # a mistake on purpose: the discriminator does not see the input

    # The pictures
    jitter: bool = False  # enlarge to 286/256 and cut at random, section 6.2; ours: at 64 pixels that blurs lines
    mirror: bool = True  # mirror half of the pairs, section 6.2; not for satellite-map: mountains are lit from one side

    # The networks
    width_g: PositiveInt = 24  # features of the first layer that halves; ours: the paper's 64 is for a GPU
    width_d: PositiveInt = 16  # the same, of the discriminator; ours: a narrow one does as well in minutes; 48 in hours
    norm: Literal["batch", "instance"] = "batch"  # ours: running averages at test time keep a tile's colour
    dropout: Share = 0.5  # the noise; section 6.1.1
    noise: Literal["maps", "numbers"] = "maps"  # what it drops; ours: maps, so that colours differ; paper: numbers
    skips: bool = True  # False: an encoder and decoder without the U-Net's skips; section 3.2.1
    upsampling: Upsampling = "resize"  # how the decoder doubles a map; ours: hardly a checkerboard; paper: transposed
    full_size: bool = True  # G's first and last layer see every pixel; ours: our lines are one pixel wide; paper: False

    # The optimisers
    lr: PositiveFloat = 1e-3  # of both networks; ours: five times that of section 3.3, for fewer steps
    beta1: Share = 0.0  # Adam's momentum; ours: none, as in chapter 02; section 3.3 has 0.5
    beta2: Share = 0.99  # Adam's memory of squared gradients; ours: as in chapter 02; section 3.3 has 0.999
    ema_decay: Share = 0.999  # ours: the answers come from an average of the generator over about 1,000 steps; paper: 0
    decay_from: Fraction = 0.5  # share of the steps after which the rate falls to 0; the later program; paper: 1

    def __post_init__(self) -> None:
        depth(self.size)  # before anything is drawn or downloaded
        check_patch(self.patch, self.size)
        shares = self.processes * self.accumulate
        even = self.batch_size % shares == 0
        shared = f"{self.processes} process(es) and --accumulate {self.accumulate}"
        require(even, f"--batch-size {self.batch_size} cannot be shared evenly by {shared}")
        remedy = "take a larger --batch-size, or --norm instance"
        enough = self.norm == "instance" or self.batch_size // shares >= 2
        require(enough, f"--norm batch needs at least 2 pairs a process (and a part): {remedy}")
        require(self.lambda_l1 + self.lambda_gan > 0, "--lambda-l1 and --lambda-gan are both 0: nothing to learn")


# Section 6.2 with its training for "maps": 200 epochs of batch 1, here 1,096 steps each as in that data set, at a constant rate.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", size=256, max_steps=219_200, batch_size=1, lambda_l1=100.0, jitter=True, width_g=64, width_d=64,
        norm="instance", noise="numbers", upsampling="transposed", full_size=False, lr=2e-4, beta1=0.5, beta2=0.999,
        ema_decay=0.0, decay_from=1.0, sample_every=1000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


def learning_rate_factor(step: int, max_steps: int, decay_from: float) -> float:
    """The share of the learning rate that update number `step` (from 0) uses: 1, then linearly to 0 after the last one."""
    start = decay_from * max_steps
    return 1.0 if step < start else (max_steps - step) / max(max_steps - start, 1)


def augment(run: Run, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Jitter and mirror of section 6.2, if the run wants them: pairs [N, C, S, S] -> the same, both sides treated alike."""
    config = run.config  # what is random is drawn for the whole batch, and each process takes its share
    if not (config.jitter or config.mirror):
        return x, y
    larger = round(config.size * 286 / 256) if config.jitter else config.size
    both = F.interpolate(torch.cat([x, y], dim=1), size=larger, mode="bilinear")  # [N, 2 C, larger, larger]
    corners = torch.randint(larger - config.size + 1, (config.batch_size, 2), generator=run.rng)
    mirrored = torch.randint(2, (config.batch_size,), generator=run.rng) * config.mirror
    x, y = cut(both, run.share(corners), run.share(mirrored), config.size).chunk(2, dim=1)
    return x, y


def cut(both: Tensor, corners: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """Cut each pair [2 C, S, S] at its row and column of `corners` [N, 2], and mirror it where `mirrored` [N] says so."""
    pieces = [pair[:, r : r + size, c : c + size] for pair, (r, c) in zip(both, corners.tolist(), strict=True)]
    flips = zip(pieces, mirrored.tolist(), strict=True)
    return torch.stack([piece.flip(2) if flip else piece for piece, flip in flips])


def mean_of(points: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The points of the parts of a batch -> one point of each curve, of the whole batch."""
    return {tag: torch.stack([point[tag].detach() for point in points]).mean() for tag in (points[0] if points else ())}


def examples(config: Config, most: int = 8) -> tuple[Tensor, Tensor]:
    """Pairs to look at while training, spread over the test split, or over the training pairs where there is none."""
    try:
        pairs = load_pairs(config.data, config.size, "test", most, **config.reading, channels=config.channels)
    except NoTestPictures:  # a folder of your own may have no test/
        pairs = load_pairs(config.data, config.size, "train", most, **config.reading, channels=config.channels)
    return pairs[list(range(len(pairs)))]


def train(config: Config) -> Path:
    """Learn the translation; returns the folder of the run."""
    fabric = make_fabric(config)
    with rank_zero_first(fabric):  # the first process cuts or downloads, the others read
        data = load_pairs(config.data, config.size, **config.reading, channels=config.channels)
        shown = examples(config)

    # Networks, their optimisers and the decay of the learning rate
    build = {
        "size": config.size, "width": config.width_g, "channels": data.channels, "norm": config.norm, "noise": config.noise,
        "dropout": config.dropout, "skips": config.skips, "upsampling": config.upsampling, "full_size": config.full_size,
    }  # fmt: skip
    generator = Generator(**build)
    discriminator = Discriminator(config.size, config.width_d, data.channels, config.norm, config.patch, config.blind)
    for network in (generator, discriminator):
        network.to(memory_format=torch.channels_last)  # colours side by side in memory: faster convolutions
    ema = fabric.to_device(exponential_moving_average(generator, config.ema_decay))
    adam = {"betas": (config.beta1, config.beta2), "fused": True}
    opt_g = torch.optim.Adam(generator.parameters(), config.lr, **adam)
    opt_d = torch.optim.Adam(discriminator.parameters(), config.lr, **adam)
    rate = partial(learning_rate_factor, max_steps=config.max_steps, decay_from=config.decay_from)
    decay_g, decay_d = (torch.optim.lr_scheduler.LambdaLR(optimiser, rate) for optimiser in (opt_g, opt_d))
    generator, opt_g = fabric.setup(generator, opt_g)
    discriminator, opt_d = fabric.setup(discriminator, opt_d)

    networks = {"generator": generator, "discriminator": discriminator}
    others = {"ema": ema, "opt_g": opt_g, "opt_d": opt_d, "decay_g": decay_g, "decay_d": decay_d}
    run = Run(config, fabric, CHAPTER, data, networks, **others)
    sides = slice(None, None, 1 if config.direction == "AtoB" else -1)  # -1 turns a pair (A, B) round
    fixed_x, fixed_y = (fabric.to_device(to_float(side)) for side in shown[sides])
    real_batches = batches(data, config.batch_size, config.seed, fabric, start=run.step)
    keep_graphs = config.accumulate == 1  # several parts are there to save memory: (2) makes each of their fakes anew

    for _ in run.steps():
        pair = augment(run, *next(real_batches)[sides])
        x, y = (side.contiguous(memory_format=torch.channels_last) for side in pair)  # [N, C, H, W] each
        parts = list(zip(x.chunk(config.accumulate), y.chunk(config.accumulate), strict=True))
        with torch.set_grad_enabled(keep_graphs):
            fakes = [generator(x_part) for x_part, _ in parts]
        points_d, points_g = [], []  # of the curves: one of each part

        # (1) Discriminator: judge pairs, Eq. 1. The gradients of the parts add up to that of the whole batch.
        if config.lambda_gan > 0:
            opt_d.zero_grad()
            for (x_part, y_part), fake in zip(parts, fakes, strict=True):
                real_logits = discriminator(x_part, y_part)  # [N, 1, rows, columns], one for each patch
                fake_logits = discriminator(x_part, fake.detach())
                loss_d = discriminator_loss(real_logits, fake_logits)
                fabric.backward(loss_d / len(parts))
                point = {"loss/d": loss_d, "logits/real": real_logits.mean(), "logits/fake": fake_logits.mean()}
                real_right, fake_right = (real_logits > 0).float().mean(), (fake_logits < 0).float().mean()
                points_d.append(point | {"right/real": real_right, "right/fake": fake_right})
            opt_d.step()
            decay_d.step()

        # (2) Generator: Eq. 4, look real to the judge, and be near the truth. G is as in (1): without parts its fakes serve.
        opt_g.zero_grad()
        for (x_part, y_part), fake in zip(parts, fakes, strict=True):
            answer = fake if keep_graphs else generator(x_part)
            l1 = l1_loss(answer, y_part)
            loss_g = config.lambda_l1 * l1
            if config.lambda_gan > 0:
                with without_weight_gradients(fabric, discriminator):
                    loss_g = loss_g + config.lambda_gan * adversarial_loss(discriminator(x_part, answer))
            fabric.backward(loss_g / len(parts))
            points_g.append({"loss/g": loss_g, "l1/train": l1})
        opt_g.step()
        decay_g.step()
        ema.update_parameters(generator.module)

        # (3) Look: the curves of the whole batch, and a sheet of inputs, answers and truths.
        if run.log_now:
            run.log(mean_of(points_g) | mean_of(points_d) | {"rate/lr": opt_g.param_groups[0]["lr"]})
        if run.sample_now:
            with run.without_side_effects():
                answers = ema.module.eval()(fixed_x)  # the noise stays on; BatchNorm uses its averages, as at test time
                run.sample("input_output_truth", torch.cat([fixed_x, answers, fixed_y]), len(fixed_x))
        if run.save_now:
            run.save(half_precision(ema.module), build | {"data": config.data, "direction": config.direction})

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
