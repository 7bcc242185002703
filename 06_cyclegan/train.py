"""Train a CycleGAN: two translators, learned from two piles of pictures of which no two belong together.

python 06_cyclegan/train.py                              # drawings and faces of which no two are a pair, minutes on a laptop
python 06_cyclegan/train.py --lambda-cycle 0             # on purpose: nothing ties the translation to the picture
python 06_cyclegan/train.py --lambda-identity 0.5        # with the identity loss: what is of the wanted kind stays as it is
python 06_cyclegan/train.py --data satellite-map --no-mirror   # satellite pictures and maps
python 06_cyclegan/train.py --data horse2zebra           # an archive of the authors, or a folder with trainA/, trainB/
python 06_cyclegan/train.py --preset paper               # the paper's networks at 256×256, for a GPU
python 06_cyclegan/train.py --resume runs/06_cyclegan/TIME
"""

import copy
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from common import require
from common.command_line import Fraction, Settings, Share, command_line
from common.data import Pictures, batches, load_unpaired, spread
from common.devices import exponential_moving_average, make_fabric, rank_zero_first, without_weight_gradients
from common.images import to_float
from common.run import Run
from model import BatchNorm, Discriminator, Generator, ImagePool, Norm, UNet, Upsampling, check_size, default_blocks

CHAPTER = "06_cyclegan"
Loss = Literal["logarithms", "squares"]
LAYERS = {16: 1, 34: 2, 70: 3}  # a patch of so many pixels -> layers of stride 2 in the discriminator


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, loss: Loss = "squares") -> Tensor:
    """½ [(D(y) - 1)² + D(G(x))²], the least-squares form of Eq. 1 (section 4); the ½ is section 7.1's.

    With "logarithms" -½ [log σ(D(y)) + log(1 - σ(D(G(x))))], Eq. 1 as it stands, with the same ½.
    """
    if loss == "logarithms":
        return 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
    return 0.5 * ((real_logits - 1).square().mean() + fake_logits.square().mean())


def generator_loss(fake_logits: Tensor, loss: Loss = "squares") -> Tensor:
    """(D(G(x)) - 1)², what G minimises in the least-squares form of Eq. 1; or -log σ(D(G(x))), chapter 01's."""
    if loss == "logarithms":
        return F.softplus(-fake_logits).mean()
    return (fake_logits - 1).square().mean()


def cycle_loss(back: Tensor, picture: Tensor) -> Tensor:
    """‖F(G(x)) - x‖₁ of Eq. 2, as the mean over all numbers of a picture; both [N, C, H, W]."""
    return (back - picture).abs().mean()


def identity_loss(same: Tensor, picture: Tensor) -> Tensor:
    """‖G(y) - y‖₁ of section 5.2, as a mean: a picture of the wanted kind should stay as it is."""
    return (same - picture).abs().mean()


@dataclass
class Config(Settings):
    """Train chapter 06: a CycleGAN, between two kinds of pictures without pairs."""

    data: str = "sketches"  # drawings and faces; satellite-map, horse2zebra, …; or a folder with trainA/, trainB/, …
    size: int = 64  # pixels per side, best a power of two: a U-Net halves it to the end; ours: a quarter of the paper's
    channels: Literal[1, 3] = 3  # 1 grey, 3 colour, of both kinds
    max_steps: NonNegativeInt = 2000  # updates of the generators; ours: about eleven minutes on one core
    batch_size: PositiveInt = 16  # pictures of each kind, of all devices together; ours: for BatchNorm; section 4: 1
    mirror: bool = True  # mirror half of the pictures; not for satellite-map: light on a relief comes from the left
    jitter: NonNegativeInt = 0  # enlarge by so many pixels, cut out at random; ours: off, there are enough pictures

    # The game
    loss: Loss = "logarithms"  # of the adversarial game; ours: Eq. 1 as in chapter 05; section 4: squares
    lambda_cycle: NonNegativeFloat = 10.0  # weight of the cycle loss, section 4; 0 is a mistake on purpose
    lambda_identity: NonNegativeFloat = 0.0  # of the identity loss, times lambda_cycle; section 5.2: 0.5, for paintings
    pool_size: NonNegativeInt = 0  # translations that the discriminators may see again, section 4; 0: only the newest

    # The networks
    generator: Literal["unet", "resnet"] = "unet"  # ours: chapter 05's, which sees the whole picture; section 4: resnet
    width: PositiveInt = 16  # channels of the generators' first layers; ours: the paper's 64 is for a GPU
    width_d: PositiveInt = 16  # the same of the discriminators; ours: a quarter of the paper's
    blocks: NonNegativeInt | None = None  # residual blocks, of resnet alone; section 4: 9 from 256 pixels up, 6 below
    patch: Literal[16, 34, 70] = 70  # pixels that a discriminator's logit sees; section 7.2
    norm: Norm = "batch"  # in all four networks; ours: pictures keep what tells them apart; section 7.2: instance
    upsampling: Upsampling = "resize"  # how the generators double a map; ours: hardly a checkerboard; paper: transposed

    # The optimisers
    lr: PositiveFloat = 1e-3  # of all four networks; ours: section 4 has 2e-4, for many more steps
    beta1: Share = 0.0  # Adam's momentum; ours: none, as in chapter 05; the authors' code has 0.5
    beta2: Share = 0.99  # Adam's memory of squared gradients; ours: as in chapter 05; the authors' code has 0.999
    ema_decay: Share = 0.999  # ours: the translators kept are averages over about 1,000 steps; paper: 0
    decay_from: Fraction = 0.5  # share of the run after which the learning rates fall linearly to 0; section 4

    def __post_init__(self) -> None:
        check_size(self.size, LAYERS[self.patch])  # before anything is drawn or downloaded
        enough = self.batch_size >= self.processes
        require(enough, f"--batch-size must be at least {self.processes} (1 a process), not {self.batch_size}")
        require(self.blocks is None or self.generator == "resnet", "a U-Net has no --blocks: add --generator resnet")


# Section 4 and the appendix; no identity loss, which the paper has for paintings and photographs only (--lambda-identity 0.5).
# Differs from paper: 100 + 100 epochs are counted in steps, of about 1,000 pictures an epoch.
PRESETS = {
    "laptop": Config(),
    "paper": Config(
        preset="paper", size=256, max_steps=200_000, batch_size=1, mirror=True, jitter=30, loss="squares", lambda_identity=0.0,
        pool_size=50, generator="resnet", width=64, width_d=64, blocks=9, patch=70, norm="instance", upsampling="transposed",
        lr=2e-4, beta1=0.5, beta2=0.999, ema_decay=0.0,
        sample_every=1000, save_every=5000, log_every=100,
    ),
}  # fmt: skip


def learning_rate_factor(step: int, total: int, decay_from: float) -> float:
    """What the learning rates are multiplied with at update `step` (from 0): 1, then linearly down, 0 at `total`."""
    start = decay_from * total
    return 1.0 if step <= start else max(0.0, (total - step) / (total - start))


def augmented(run: Run, pictures: Tensor, n: int) -> Tensor:
    """Jitter and mirror [N, C, H, W], each picture on its own. What is random is drawn for the whole batch of n."""
    jitter, size = run.config.jitter, pictures.shape[-1]
    if not jitter and not run.config.mirror:
        return pictures
    draws = run.share(torch.rand(n, 3, generator=run.rng)).tolist()  # row, column and coin of each picture
    if jitter:
        large = F.interpolate(pictures, size=(size + jitter, size + jitter), mode="bicubic", align_corners=False)
        corners = [(int(row * (jitter + 1)), int(column * (jitter + 1))) for row, column, _ in draws]
        pictures = torch.stack([one[:, r : r + size, c : c + size] for one, (r, c) in zip(large, corners)]).clamp(-1, 1)
    if run.config.mirror:
        pictures = torch.stack([one.flip(-1) if coin < 0.5 else one for one, (_, _, coin) in zip(pictures, draws)])
    return pictures


def from_pool(run: Run, pool: ImagePool, fake: Tensor) -> Tensor:
    """Exchange this step's translations with the pool. Every process keeps the same pool, of all processes' pictures."""
    everybodys = run.fabric.all_gather(fake.detach()).reshape(-1, *fake.shape[1:])  # [world * N, C, H, W]
    return run.share(pool.exchange(everybodys, run.rng))


def examples(data: Pictures, n: int = 8) -> Tensor:
    """n pictures, evenly spread over the data, as uint8 [n, C, H, W]: those of the sample grids."""
    return data[spread(len(data), n)][0]


@torch.no_grad()
def calibrated(translators: nn.Module, pictures_a: Tensor, pictures_b: Tensor, batch: int) -> nn.ModuleDict:
    """A copy of both translators to use: both sets of averages of its BatchNorms are measured anew, in batches of the training's size.

    Pictures [N, C, H, W] of each kind. The averages kept in training belong to weights that changed at each step, and not to
    the average of all these weights.
    """
    copies = copy.deepcopy(translators).train()
    to_b, to_a = copies.children()
    norms = [layer for layer in copies.modules() if isinstance(layer, BatchNorm)]
    for n, (a, b) in enumerate(zip(pictures_a.split(batch), pictures_b.split(batch)) if norms else (), 1):
        for norm in norms:
            norm.momentum = 1 / n  # the plain mean over all n batches
        fake_b, fake_a = to_b(a), to_a(b)
        to_a(fake_b, made=True), to_b(fake_a, made=True)
    return nn.ModuleDict({"to_b": to_b, "to_a": to_a}).eval()


def train(config: Config) -> Path:
    """Play two games, one for each direction, that the cycle ties together; returns the folder of the run."""
    fabric = make_fabric(config)
    with rank_zero_first(fabric):  # the first process cuts or downloads, the others read
        data_a, data_b = load_unpaired(config.data, config.size, **config.reading, channels=config.channels)
    size, layers = config.size, LAYERS[config.patch]

    # Two translators and two judges. In the paper's letters: to_b is G: X -> Y, to_a F: Y -> X, judge_a D_X, judge_b D_Y.
    blocks = default_blocks(size) if config.blocks is None else config.blocks
    build = {"channels": data_a.channels, "width": config.width, "norm": config.norm, "upsampling": config.upsampling}
    build |= {"size": size} if config.generator == "unet" else {"blocks": blocks}
    translator = UNet if config.generator == "unet" else Generator
    networks: dict[str, nn.Module] = {name: translator(**build) for name in ("to_b", "to_a")}
    judge = {"channels": data_a.channels, "width": config.width_d, "layers": layers, "norm": config.norm}
    networks |= {name: Discriminator(**judge) for name in ("judge_a", "judge_b")}
    if config.norm != "instance":  # which has no other layout on a CPU, and would copy at each layer
        for network in networks.values():
            network.to(memory_format=torch.channels_last)  # colours side by side in memory: faster convolutions
    translators = nn.ModuleDict({name: networks[name] for name in ("to_b", "to_a")})
    ema = fabric.to_device(exponential_moving_average(translators, config.ema_decay))
    settings = {"lr": config.lr, "betas": (config.beta1, config.beta2), "fused": True}
    adam_g = torch.optim.Adam([*networks["to_b"].parameters(), *networks["to_a"].parameters()], **settings)
    adam_d = torch.optim.Adam([*networks["judge_a"].parameters(), *networks["judge_b"].parameters()], **settings)
    factor = partial(learning_rate_factor, total=config.max_steps, decay_from=config.decay_from)
    decay_g, decay_d = (torch.optim.lr_scheduler.LambdaLR(adam, factor) for adam in (adam_g, adam_d))
    networks = {name: fabric.setup_module(network) for name, network in networks.items()}
    to_b, to_a, judge_a, judge_b = networks.values()
    opt_g, opt_d = (fabric.setup_optimizers(adam) for adam in (adam_g, adam_d))
    pool_a, pool_b = ImagePool(config.pool_size), ImagePool(config.pool_size)

    notes = [f"{len(data_b):,} of {data_b.name}, no pairs", data_a.note, data_b.note]
    data = replace(data_a, note="; ".join(filter(None, notes)))
    others = {"ema": ema, "opt_g": opt_g, "opt_d": opt_d, "decay_g": decay_g, "decay_d": decay_d}
    others |= {"pool_a": pool_a, "pool_b": pool_b}
    run = Run(config, fabric, CHAPTER, data, networks, **others)
    some_a, some_b = (to_float(examples(pile, 128)).to(fabric.device) for pile in (data_a, data_b))
    columns = min(8, len(data_a), len(data_b))  # so that a picture and its translation lie below each other
    fixed_a, fixed_b = (to_float(examples(pile, columns)).to(fabric.device) for pile in (data_a, data_b))
    # Each kind in an order of its own, so that nothing ties one to the other.
    batches_a = batches(data_a, config.batch_size, 2 * config.seed, fabric, run.step)
    batches_b = batches(data_b, config.batch_size, 2 * config.seed + 1, fabric, run.step)

    for _ in run.steps():
        real_a = augmented(run, next(batches_a)[0], config.batch_size)  # [N, C, H, W]
        real_b = augmented(run, next(batches_b)[0], config.batch_size)

        # (1) Generators: both at once, since a cycle runs through both. The discriminators do not learn.
        with without_weight_gradients(fabric, judge_a), without_weight_gradients(fabric, judge_b):
            fake_b, fake_a = to_b(real_a), to_a(real_b)
            with torch.set_grad_enabled(config.lambda_cycle > 0):  # without the cycle loss the way back is only watched
                back_a, back_b = to_a(fake_b, made=True), to_b(fake_a, made=True)
            same_b, same_a = (to_b(real_b), to_a(real_a)) if config.lambda_identity else (real_b, real_a)
            loss_adversarial = generator_loss(judge_b(fake_b), config.loss)
            loss_adversarial = loss_adversarial + generator_loss(judge_a(fake_a), config.loss)
        loss_cycle = cycle_loss(back_a, real_a) + cycle_loss(back_b, real_b)
        loss_identity = identity_loss(same_a, real_a) + identity_loss(same_b, real_b)
        loss_g = loss_adversarial + config.lambda_cycle * (loss_cycle + config.lambda_identity * loss_identity)
        opt_g.zero_grad()
        fabric.backward(loss_g)
        opt_g.step()

        # (2) Discriminators: a real picture against a translation of now or earlier, without its graph.
        pooled_a, pooled_b = from_pool(run, pool_a, fake_a), from_pool(run, pool_b, fake_b)
        real_logits_a, fake_logits_a = judge_a(real_a), judge_a(pooled_a)  # BatchNorm must not see both at once
        real_logits_b, fake_logits_b = judge_b(real_b), judge_b(pooled_b)
        loss_a = discriminator_loss(real_logits_a, fake_logits_a, config.loss)
        loss_d = loss_a + discriminator_loss(real_logits_b, fake_logits_b, config.loss)
        opt_d.zero_grad()
        fabric.backward(loss_d)
        opt_d.step()
        decay_g.step()
        decay_d.step()
        ema.update_parameters(translators)

        # (3) Look: the curves, and a sheet with a picture, its translation and the way back below each other.
        if run.log_now:
            # loss/g without the cycle, which has its own curve; logits and right are those of judge_b.
            curves = {"loss/d": loss_d, "loss/g": loss_adversarial, "cycle/l1": loss_cycle / 2}
            curves |= {"logits/real": real_logits_b.mean(), "logits/fake": fake_logits_b.mean()}
            border = 0.5 if config.loss == "squares" else 0.0  # nearer to 1 than to 0; more probably real than not
            real_right, fake_right = (real_logits_b > border).float().mean(), (fake_logits_b < border).float().mean()
            curves |= {"right/real": real_right, "right/fake": fake_right}
            if config.lambda_identity:
                curves |= {"identity/l1": loss_identity / 2}
            run.log(curves)
        if run.sample_now:
            with run.without_side_effects():
                there, back = calibrated(ema.module, some_a, some_b, config.batch_size // config.processes).values()
                fake_b, fake_a = there(fixed_a), back(fixed_b)
                rows = [fixed_a, fake_b, back(fake_b, made=True), fixed_b, fake_a, there(fake_a, made=True)]
            run.sample("picture_translation_back", torch.cat(rows), len(fixed_a))
        if run.save_now:
            both = calibrated(ema.module, some_a, some_b, config.batch_size // config.processes)
            for layer in both.modules():
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                    layer.half()  # half the size on disk; a variance may exceed 65,504, the most of 16 bits
            run.save(both, build | {"generator": config.generator, "data": config.data, "size": size})

    return run.finish()


if __name__ == "__main__":
    command_line(train, Config, CHAPTER, PRESETS)
