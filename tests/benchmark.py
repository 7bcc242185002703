"""How fast is a chapter, and how much of that comes from its settings? No test: it prints, and asserts nothing.

    python tests/benchmark.py                                      # all chapters
    python tests/benchmark.py --flags "--batch-size 256"           # a third row: the chapter with these flags
    python tests/benchmark.py --chapter 01_basic_gan --rounds 5

Each row is the median of several rounds. The rounds of the rows alternate, each in a process of its own, so that a machine that
slows down slows all of them down. "plain" is the loop that one writes first, with the same networks, batch and mathematics:
fp32, a data loader that transforms one picture at a time, PyTorch's default Adam, gradients of weights that nobody
uses. "of matmul" is the share of the rate at which this machine multiplies two 1024 × 1024 matrices in fp32.
"""

import importlib
import json
import os
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
import tyro
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

WARM_UP, MEASURED = 20, 200  # steps


@dataclass
class Config:
    """Compare each chapter's training loop with the plain one."""

    chapter: str = ""  # one chapter; default: all
    rounds: int = 3  # of which the median is printed
    flags: str = ""  # flags of train.py for a third row, in one string
    row: str = ""  # (internal) measure one row in this process


def plain_basic_gan(steps: int) -> Iterator[int]:
    """Chapter 01 as one writes it first; yields after each step."""
    from common.data import load
    from common.run import averaged
    from model import Discriminator, Generator
    from train import Config as Settings

    settings, digits = Settings(), load("mnist-10k")
    size, adam = settings.batch_size, {"betas": (settings.momentum, settings.beta2)}
    transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])

    class PerPicture(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(digits)

        def __getitem__(self, index: int) -> torch.Tensor:
            return transform(digits.images[index])  # type: ignore[index]

    loader = DataLoader(PerPicture(), batch_size=size, shuffle=True, drop_last=True)
    generator, discriminator = Generator(), Discriminator()
    opt_g = torch.optim.Adam(generator.parameters(), lr=settings.lr_g, **adam)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=settings.lr_d, **adam)
    ema = averaged(generator, settings.ema_decay)
    bce, ones, zeros = nn.BCEWithLogitsLoss(), torch.ones(size), torch.zeros(size)
    step = 0
    while step < steps:
        for real in loader:
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
            step += 1
            yield step
            if step == steps:
                return


PLAIN: dict[str, Callable[[int], Iterator[int]]] = {"01_basic_gan": plain_basic_gan}


def measure(chapter: str, flags: list[str] | None) -> dict[str, float]:
    """Images a second and peak memory of one row, in this process; `flags` None is the plain loop."""
    sys.path.insert(0, str(ROOT / chapter))
    train = importlib.import_module("train")
    times: list[float] = []

    def clocked(steps: Iterator[int]) -> Iterator[int]:
        for step in steps:
            times.append(time.perf_counter())
            yield step

    torch.manual_seed(0)
    total = WARM_UP + MEASURED + 1  # the last step also saves and draws: it is not counted
    if flags is None:
        batch_size = train.Config().batch_size
        for _ in clocked(PLAIN[chapter](total)):
            pass
    else:
        from common import run

        steps = run.Run.steps
        run.Run.steps = lambda self: clocked(steps(self))  # type: ignore[method-assign]
        with tempfile.TemporaryDirectory() as folder:
            config = tyro.cli(train.Config, args=[*flags, "--max-steps", str(total), "--out", folder])
            batch_size = config.batch_size
            train.train(config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB
    return {"rate": MEASURED * batch_size / (times[WARM_UP + MEASURED] - times[WARM_UP]), "memory": peak}


def flops_per_picture(chapter: str) -> float:
    """Floating-point operations of one step of the plain loop, for each picture of its batch."""
    sys.path.insert(0, str(ROOT / chapter))
    batch_size = importlib.import_module("train").Config().batch_size
    steps = PLAIN[chapter](2)
    next(steps)
    with FlopCounterMode(display=False) as counter:
        next(steps)
    return counter.get_total_flops() / batch_size


def matmul_rate() -> float:
    """Operations a second of a 1024 × 1024 fp32 matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * 1024**3 / (time.perf_counter() - start))
    return best


def main(config: Config) -> None:
    if config.row:
        flags = None if config.row == "plain" else shlex.split(config.flags)
        print(json.dumps(measure(config.chapter, flags)))
        return
    rows = {"plain": "", "chapter": ""} | ({config.flags: config.flags} if config.flags else {})
    peak_rate = matmul_rate()
    print(f"matrix products: {peak_rate / 1e9:.0f} GFLOP/s in fp32, {torch.get_num_threads()} threads")
    for chapter in [config.chapter] if config.chapter else list(PLAIN):
        found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
        for _ in range(config.rounds):
            for name, flags in rows.items():
                row = "plain" if name == "plain" else "chapter"
                command = [sys.executable, __file__, "--chapter", chapter, "--row", row, f"--flags={flags}"]
                output = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
                found[name].append(json.loads(output.strip().splitlines()[-1]))
        flops = flops_per_picture(chapter)
        base = statistics.median(result["rate"] for result in found["plain"])
        print(f"\n{chapter:<28} {'images/s':>9} {'factor':>7} {'of matmul':>10} {'memory':>9}   rounds")
        for name, results in found.items():
            rate = statistics.median(result["rate"] for result in results)
            memory = max(result["memory"] for result in results)
            rounds = " ".join(f"{result['rate']:.0f}" for result in results)
            share = rate * flops / peak_rate
            print(f"{name:<28} {rate:9.0f} {rate / base:6.2f}× {share:10.0%} {memory:5.2f} GiB   {rounds}")


if __name__ == "__main__":
    main(tyro.cli(Config))
