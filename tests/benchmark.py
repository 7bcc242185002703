"""How fast is a chapter, and how much of that comes from its settings? No test: it prints, and asserts nothing.

    python tests/benchmark.py                                      # all chapters
    python tests/benchmark.py --flags="--batch-size 256"           # a third row: the chapter with these flags
    python tests/benchmark.py --chapter 01_basic_gan --rounds 5
    python tests/benchmark.py --paper --steps 80                   # on a GPU: the papers' presets at their full size

Each row is the median of several rounds. The rounds of the rows alternate, each in a process of its own, so that a machine that
slows down slows all of them down. "plain" is the loop that one writes first, with the same networks, batch and mathematics:
fp32, a data loader that transforms one picture at a time, PyTorch's default Adam, gradients of weights that nobody
uses. "of matmul" is the share of the rate at which this machine multiplies two 1024 × 1024 matrices in the precision of the row.
Where there is a GPU, the chapter's rows run on it and the plain loop on the processor; the chapter's memory is then the GPU's.
"""

import contextlib
import importlib
import json
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
import tyro
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

WARM_UP = 20  # steps
FULL_SIZE = {"07_progan": "--without growth", "08_stylegan": "--start-size 64"}  # not the small sizes before
PAPER = {
    "05_pix2pix": "--preset paper", "06_cyclegan": "--preset paper", "07_progan": "--preset paper --without growth",
    "08_stylegan": "--preset paper --start-size 1024 --batch-sizes 4 4",  # one GPU's share of the paper's eight
}  # fmt: skip


@dataclass
class Config:
    """Compare each chapter's training loop with the plain one."""

    chapter: str = ""  # one chapter; default: all
    rounds: int = 3  # of which the median is printed
    steps: int = 200  # that are measured, behind 20 to warm up
    flags: str = ""  # flags of train.py for a third row, in one string
    paper: bool = False  # in place of all that: seconds a step and memory of --preset paper of chapters 05 to 08
    row: str = ""  # (internal) measure one row in this process


def one_at_a_time(name: str, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of a named data set for ever, each picture transformed on its own, as most tutorials do it."""
    from common.data import load

    data = load(name)
    half = [0.5] * data.channels
    transform = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.Resize(data.size),
            transforms.CenterCrop(data.size),
            transforms.ToTensor(),
            transforms.Normalize(half, half),
        ]
    )

    class PerPicture(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return transform(data.images[index]), data.labels[index]  # type: ignore[index]

    loader = DataLoader(PerPicture(), batch_size=batch_size, shuffle=True, drop_last=True)
    while True:
        yield from loader


def plain_basic_gan(steps: int) -> Iterator[int]:
    """Chapter 01 as one writes it first; yields after each step."""
    from common.devices import exponential_moving_average
    from model import Discriminator, Generator
    from train import Config as Settings

    settings = Settings()
    size, adam = settings.batch_size, {"betas": (settings.momentum, settings.beta2)}
    generator, discriminator = Generator(), Discriminator()
    opt_g = torch.optim.Adam(generator.parameters(), lr=settings.lr_g, **adam)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.lr_d, **adam)
    ema = exponential_moving_average(generator, settings.ema_decay)
    bce, ones, zeros = nn.BCEWithLogitsLoss(), torch.ones(size), torch.zeros(size)
    for step, (real, _) in zip(range(1, steps + 1), one_at_a_time(settings.data, size), strict=False):
        fake = generator(torch.randn(size, settings.latent_dim)).detach()
        loss_d = bce(discriminator(real), ones) + bce(discriminator(fake), zeros)
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = bce(discriminator(generator(torch.randn(size, settings.latent_dim))), ones)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        ema.update_parameters(generator)
        yield step


def plain_dcgan(steps: int) -> Iterator[int]:
    """Chapter 02 as one writes it first: default memory layout, fp32, pictures transformed one at a time."""
    from common.devices import exponential_moving_average
    from model import Discriminator, Generator
    from train import Config as Settings

    settings = Settings()
    size, betas = settings.batch_size, (settings.beta1, settings.beta2)
    generator, discriminator = Generator(width=settings.width_g), Discriminator(settings.width_d, spectral=True)
    opt_g = torch.optim.Adam(generator.parameters(), lr=settings.lr_g, betas=betas)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.lr_d, betas=betas)
    ema = exponential_moving_average(generator, settings.ema_decay)
    for step, (real, _) in zip(range(1, steps + 1), one_at_a_time(settings.data, size), strict=False):
        fake = generator(torch.randn(size, settings.latent_dim)).detach()
        loss_d = torch.relu(1 - discriminator(real)).mean() + torch.relu(1 + discriminator(fake)).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = -discriminator(generator(torch.randn(size, settings.latent_dim))).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        ema.update_parameters(generator)
        yield step


def plain_wgan_gp(steps: int) -> Iterator[int]:
    """Chapter 03 as one writes it first; yields after each step."""
    from common.devices import exponential_moving_average
    from model import Critic, Generator
    from train import RATES
    from train import Config as Settings

    settings = Settings()
    size, lr = settings.batch_size, RATES[settings.preset]
    generator = Generator(settings.latent_dim, settings.width_g)
    critic = Critic(settings.width_d, norm=settings.critic_norm)
    opt_g, opt_d = (
        torch.optim.Adam(network.parameters(), lr=lr, betas=(settings.beta1, settings.beta2))
        for network in (generator, critic)
    )
    ema = exponential_moving_average(generator, settings.ema_decay)
    for update, (real, _) in enumerate(one_at_a_time(settings.data, size), 1):
        fake = generator(torch.randn(size, settings.latent_dim)).detach()
        epsilon = torch.rand(size, 1, 1, 1)
        points = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
        scores = critic(points)
        (gradient,) = torch.autograd.grad(scores, points, torch.ones_like(scores), create_graph=True)
        penalty = ((gradient.view(size, -1).norm(2, dim=1) - 1) ** 2).mean()
        loss_d = critic(fake).mean() - critic(real).mean() + settings.lambda_gp * penalty
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        if update % settings.n_critic:
            continue
        loss_g = -critic(generator(torch.randn(size, settings.latent_dim))).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        ema.update_parameters(generator)
        yield update // settings.n_critic
        if update == steps * settings.n_critic:
            return


def plain_conditional_gan(steps: int) -> Iterator[int]:
    """Chapter 04 as one writes it first; yields after each step."""
    from common.devices import exponential_moving_average
    from model import Discriminator, Generator
    from train import Config as Settings

    settings = Settings()
    size, adam = settings.batch_size, {"betas": (settings.beta1, settings.beta2)}
    generator, discriminator = Generator(width=settings.width), Discriminator(width=settings.width)
    opt_g = torch.optim.Adam(generator.parameters(), lr=settings.lr_g, **adam)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.lr_d, **adam)
    ema = exponential_moving_average(generator, settings.ema_decay)
    for step, (real, real_y) in zip(range(1, steps + 1), one_at_a_time(settings.data, size), strict=False):
        fake_y = torch.randint(10, (size,))
        fake = generator(torch.randn(size, settings.latent_dim), fake_y).detach()
        real_logits, fake_logits = discriminator(real, real_y)[0], discriminator(fake, fake_y)[0]
        loss_d = torch.relu(1 - real_logits).mean() + torch.relu(1 + fake_logits).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = -discriminator(generator(torch.randn(size, settings.latent_dim), fake_y), fake_y)[0].mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        ema.update_parameters(generator)
        yield step


def plain_cyclegan(steps: int) -> Iterator[int]:
    """Chapter 06 as one writes it first: one picture at a time, no network frozen, no pool."""
    from common.data import load_unpaired
    from model import Discriminator, UNet
    from train import LAYERS
    from train import Config as Settings

    settings = Settings()
    adam = {"lr": settings.lr, "betas": (settings.beta1, settings.beta2)}
    to_b, to_a = (UNet(width=settings.width) for _ in range(2))
    judge_a, judge_b = (Discriminator(3, settings.width_d, LAYERS[settings.patch], settings.norm) for _ in range(2))
    opt_g = torch.optim.Adam([*to_b.parameters(), *to_a.parameters()], **adam)
    opt_d = torch.optim.Adam([*judge_a.parameters(), *judge_b.parameters()], **adam)
    l1, bce = nn.L1Loss(), nn.BCEWithLogitsLoss()
    transform = transforms.Compose(
        [transforms.ToPILImage(), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )

    def one_by_one(pictures: torch.Tensor) -> Iterator[torch.Tensor]:
        class PerPicture(Dataset):  # type: ignore[type-arg]
            def __len__(self) -> int:
                return len(pictures)

            def __getitem__(self, index: int) -> torch.Tensor:
                return transform(pictures[index])

        while True:
            yield from DataLoader(PerPicture(), batch_size=settings.batch_size, shuffle=True, drop_last=True)

    sides = [one_by_one(side.all()) for side in load_unpaired(settings.data)]
    for step, real_a, real_b in zip(range(1, steps + 1), *sides, strict=False):
        fake_b, fake_a = to_b(real_a), to_a(real_b)
        cycle = l1(to_a(fake_b, made=True), real_a) + l1(to_b(fake_a, made=True), real_b)
        loss_g = settings.lambda_cycle * cycle
        for judge, fake in ((judge_b, fake_b), (judge_a, fake_a)):
            logits = judge(fake)
            loss_g = loss_g + bce(logits, torch.ones_like(logits))
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        opt_d.zero_grad()
        for judge, real, fake in ((judge_a, real_a, fake_a), (judge_b, real_b, fake_b)):
            real_logits, fake_logits = judge(real), judge(fake.detach())
            loss_d = bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))
            (0.5 * loss_d).backward()
        opt_d.step()
        yield step


def plain_pix2pix(steps: int) -> Iterator[int]:
    """Chapter 05 as one writes it first; yields after each step."""
    from common.data import load_pairs
    from model import Discriminator, Generator
    from train import Config as Settings

    settings = Settings()
    size, betas = settings.batch_size, (settings.beta1, settings.beta2)
    data = load_pairs(settings.data, settings.size)
    half = [0.5] * 3
    transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor(), transforms.Normalize(half, half)])

    class PerPair(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return transform(data.images[index, :3]), transform(data.images[index, 3:])  # type: ignore[call-overload]

    loader = DataLoader(PerPair(), batch_size=size, shuffle=True, drop_last=True)
    build = {name: getattr(settings, name) for name in ("norm", "noise", "upsampling", "full_size")}
    generator = Generator(settings.size, settings.width_g, **build)
    discriminator = Discriminator(settings.size, settings.width_d, norm=settings.norm, patch=settings.patch)
    opt_g = torch.optim.Adam(generator.parameters(), lr=settings.lr, betas=betas)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.lr, betas=betas)
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
    for step in range(1, steps + 1):
        if step % len(loader) == 1:
            pairs = iter(loader)
        x, y = next(pairs)
        fake = generator(x)
        real_logits, fake_logits = discriminator(x, y), discriminator(x, fake.detach())
        loss_d = (bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))) / 2
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        logits = discriminator(x, fake)
        loss_g = bce(logits, torch.ones_like(logits)) + settings.lambda_l1 * l1(fake, y)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        yield step


def plain_progan(steps: int) -> Iterator[int]:
    """Chapter 07 at its full size as one writes it first: default memory layout, fp32; yields after each step."""
    from common.devices import exponential_moving_average
    from model import Critic, Generator
    from train import Config as Settings
    from train import growth

    settings = Settings(without=("growth",))
    now = growth(settings, 0)
    widths = (settings.channels_times_size, settings.most_channels, settings.convs)
    generator, critic = Generator(settings.latent_dim, settings.size, 3, *widths), Critic(settings.size, 3, *widths)
    betas = (settings.beta1, settings.beta2)
    opt_g = torch.optim.Adam(generator.parameters(), lr=now.lr, betas=betas)
    opt_d = torch.optim.Adam(critic.parameters(), lr=now.lr, betas=betas)
    ema = exponential_moving_average(generator, settings.ema_decay)
    part = now.batch_size // settings.penalty_share
    for step, (real, _) in zip(range(1, steps + 1), one_at_a_time(settings.data, now.batch_size), strict=False):
        fake = generator(torch.randn(now.batch_size, settings.latent_dim), settings.size).detach()
        real_scores, fake_scores = critic(real, settings.size), critic(fake, settings.size)
        epsilon = torch.rand(part, 1, 1, 1)
        points = (epsilon * real[:part] + (1 - epsilon) * fake[:part]).requires_grad_()
        (gradients,) = torch.autograd.grad(critic(points, settings.size).sum(), points, create_graph=True)
        penalty = (gradients.flatten(1).norm(dim=1) - 1).square().mean()
        loss_d = fake_scores.mean() - real_scores.mean() + settings.epsilon_drift * real_scores.square().mean()
        opt_d.zero_grad()
        (loss_d + settings.lambda_gp * penalty).backward()
        opt_d.step()
        loss_g = -critic(
            generator(torch.randn(now.batch_size, settings.latent_dim), settings.size), settings.size
        ).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        ema.update_parameters(generator)
        yield step


def plain_stylegan(steps: int) -> Iterator[int]:
    """Chapter 08 at its full size as one writes it first: default memory layout, fp32; yields after each step."""
    from torch.nn.functional import softplus

    from common.devices import exponential_moving_average
    from model import Discriminator, Generator
    from train import Config as Settings
    from train import r1_penalty, schedule

    settings = Settings()
    size, stage = settings.size, schedule(settings)[-1]
    widths = {"base": settings.base, "most": settings.most}
    generator = Generator(
        size, 3, settings.latent_dim, settings.style_dim, settings.mapping_layers, **widths,
        noise_rate=settings.noise_rate, conv_rate=settings.conv_rate, border=settings.border,
    )  # fmt: skip
    discriminator = Discriminator(size, 3, group=settings.group, kind=settings.discriminator, **widths)
    betas = (settings.beta1, settings.beta2)
    opt_g = torch.optim.Adam(generator.parameters(), lr=stage.lr, betas=betas)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.d_rate * stage.lr, betas=betas)
    ema = exponential_moving_average(generator, settings.ema_decay)

    for step, (real, _) in zip(range(1, steps + 1), one_at_a_time(settings.data, stage.batch_size), strict=False):
        z, other = torch.randn(2, stage.batch_size, settings.latent_dim)
        cut = torch.where(torch.rand(stage.batch_size) < settings.mixing, torch.randint(1, 10, (stage.batch_size,)), 10)
        fake = generator(z, size, 1.0, other, cut)
        loss_d = softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()
        if step % settings.r1_every == 0:
            penalty = r1_penalty(discriminator, real, size, 1.0)
            loss_d = loss_d + settings.r1_every * settings.r1_gamma / 2 * penalty
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = softplus(-discriminator(fake)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        ema.update_parameters(generator)
        yield step


PLAIN: dict[str, Callable[[int], Iterator[int]]] = {
    "01_basic_gan": plain_basic_gan,
    "02_dcgan": plain_dcgan,
    "03_wgan_gp": plain_wgan_gp,
    "04_conditional_gan": plain_conditional_gan,
    "05_pix2pix": plain_pix2pix,
    "06_cyclegan": plain_cyclegan,
    "07_progan": plain_progan,
    "08_stylegan": plain_stylegan,
}


def measure(chapter: str, flags: list[str] | None, measured: int) -> dict[str, Any]:
    """Images a second, peak memory and precision of one row, in this process; `flags` None is the plain loop."""
    sys.path.insert(0, str(ROOT / chapter))
    train = importlib.import_module("train")
    on_gpu = flags is not None and torch.cuda.is_available()
    times: list[float] = []

    def clocked(steps: Iterator[int]) -> Iterator[int]:
        for step in steps:
            if on_gpu and len(times) in (WARM_UP, WARM_UP + measured):
                torch.cuda.synchronize()  # what was asked of it so far is done
            times.append(time.perf_counter())
            yield step

    torch.manual_seed(0)
    precision = "32-true"
    total = WARM_UP + measured + 1  # the last step also saves and draws: it is not counted
    if flags is None:
        batch_size = train.Config().batch_size
        for _ in clocked(PLAIN[chapter](total)):
            pass
    else:
        from common import devices, run

        steps = run.Run.steps
        run.Run.steps = lambda self: clocked(steps(self))  # type: ignore[method-assign]
        preset = train.PRESETS[flags[flags.index("--preset") + 1] if "--preset" in flags else "laptop"]
        with tempfile.TemporaryDirectory() as folder:
            config = tyro.cli(train.Config, default=preset, args=[*flags, "--max-steps", str(total), "--out", folder])
            precision = devices.make_fabric(config, growing=True).strategy.precision.precision  # what "auto" means here
            batch_size = config.batch_size
            train.train(config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)  # GiB
    if on_gpu:
        peak = torch.cuda.max_memory_allocated() / 2**30
    seconds = times[WARM_UP + measured] - times[WARM_UP]
    return {"rate": measured * batch_size / seconds, "step": seconds / measured, "memory": peak, "precision": precision}


class WholeStep(contextlib.nullcontext[None]):
    """Counts for the whole step, not by module: PyTorch's hooks for that do not bear a gradient of a gradient."""

    parents = frozenset({"Global"})


def flops_per_picture(chapter: str) -> float:
    """Floating-point operations of one step of the plain loop, for each picture of its batch."""
    sys.path.insert(0, str(ROOT / chapter))
    for name in ("model", "train"):  # of the chapter before
        sys.modules.pop(name, None)
    batch_size = importlib.import_module("train").Config().batch_size
    steps = PLAIN[chapter](2)
    next(steps)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = WholeStep()  # type: ignore[assignment]
    with counter:
        next(steps)
    return counter.get_total_flops() / batch_size


def matmul_rate(precision: str) -> float:
    """Operations a second of a product of two 1024 × 1024 matrices, in the precision of a run."""
    a, b = torch.randn(2, 1024, 1024).to(torch.bfloat16 if precision == "bf16-mixed" else torch.float32)
    best = 0.0
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * 1024**3 / (time.perf_counter() - start))
    return best


def row(config: Config, chapter: str, flags: str | None) -> dict[str, Any]:
    """`measure` in a process of its own."""
    kind = "plain" if flags is None else "chapter"
    command = [sys.executable, __file__, "--chapter", chapter, "--row", kind, f"--flags={flags or ''}"]
    command += ["--steps", str(config.steps)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(output.strip().splitlines()[-1]))


def main(config: Config) -> None:
    if config.row:
        flags = None if config.row == "plain" else shlex.split(config.flags)
        print(json.dumps(measure(config.chapter, flags, config.steps)))
        return
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
    if config.paper:
        for chapter in [config.chapter] if config.chapter else PAPER:
            found = row(config, chapter, PAPER[chapter])
            print(
                f"{chapter:<14} {PAPER[chapter]:<60} {found['step']:7.3f} s a step, {found['memory']:.1f} GiB",
                flush=True,
            )
        return
    rows = {"plain": None, "chapter": ""} | ({config.flags: config.flags} if config.flags else {})
    peaks = {precision: matmul_rate(precision) for precision in ("32-true", "bf16-mixed")}
    print(f"matrix products with {torch.get_num_threads()} threads, GFLOP/s:", end="")
    print(", ".join(f" {precision} {rate / 1e9:.0f}" for precision, rate in peaks.items()))
    for chapter in [config.chapter] if config.chapter else list(PLAIN):
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
        for _ in range(config.rounds):
            for name, flags in rows.items():
                full = flags if flags is None else f"{flags} {FULL_SIZE.get(chapter, '')}"
                found[name].append(row(config, chapter, full))
        flops = flops_per_picture(chapter)
        base = statistics.median(result["rate"] for result in found["plain"])
        print(f"\n{chapter:<28} {'images/s':>9} {'factor':>7} {'of matmul':>10} {'memory':>9}   rounds")
        for name, results in found.items():
            rate = statistics.median(result["rate"] for result in results)
            memory = max(result["memory"] for result in results)
            rounds = " ".join(f"{result['rate']:.0f}" for result in results)
            share = rate * flops / peaks[results[0]["precision"]]
            print(f"{name:<28} {rate:9.0f} {rate / base:6.2f}× {share:10.0%} {memory:5.2f} GiB   {rounds}")


if __name__ == "__main__":
    main(tyro.cli(Config))
