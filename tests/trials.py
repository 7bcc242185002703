"""Which variant of a chapter learns best in the same time? Equal CPU seconds, the same seeds, one process and one core each.

python tests/trials.py 08_stylegan --seconds 600 --variant "as it is" --variant "batch 32: --batch-sizes 4 32"
python tests/trials.py 02_dcgan --seconds 300 --seeds 0 1 --jobs 2 --variant "as it is" --variant "momentum: --beta1 0.5"

A variant is a name and, after a colon, flags of the chapter's train.py. A run ends at the step that uses up its CPU seconds,
not counting loading and drawing the data. Then the chapter's `generate.py --score` scores it, and it adds its row to
`runs/trials/<chapter>.md`. The runs stay beside that table: `--resume` goes on from the best.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import tyro

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Trials:
    """Train variants of a chapter for equal CPU seconds and score them."""

    chapter: tyro.conf.Positional[str]  # a chapter's folder, such as 08_stylegan
    variant: tyro.conf.UseAppendAction[tuple[str, ...]] = ()  # NAME or "NAME: --flag value …"; once for each
    seconds: float = 600.0  # of CPU time for each run's training
    seeds: tuple[int, ...] = (0,)  # each variant is trained with each
    jobs: int = 1  # runs side by side, one core each
    num: int = 5000  # pictures that are scored


def trained(chapter: str, seconds: float, flags: list[str]) -> dict[str, float]:
    """Train `chapter` in this process until `seconds` of CPU time are used up; returns its steps, pictures and CPU seconds."""
    folder = ROOT / chapter
    sys.path[:0] = [str(folder), str(ROOT)]
    import torch

    import train
    from common.command_line import command_line
    from common.run import Run

    torch.set_num_threads(1)
    steps, spent = Run.steps, {"steps": 0, "pictures": 0, "seconds": 0.0}

    def until_spent(run: Run) -> Iterator[int]:
        started = time.process_time()
        for step in steps(run):
            spent.update(steps=step, seconds=time.process_time() - started)
            if spent["seconds"] >= seconds:
                run.log_now = run.sample_now = run.save_now = True  # the last one
            yield step
            if spent["seconds"] >= seconds:
                return

    def counted(batches: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def count(*arguments: Any, **options: Any) -> Iterator[Any]:
            for batch in batches(*arguments, **options):
                spent["pictures"] += len(batch[0])
                yield batch

        return count

    Run.steps = until_spent  # type: ignore[method-assign]
    train.batches = counted(train.batches)
    sys.argv = [str(folder / "train.py"), *flags, "--max-steps", str(10**9)]
    try:
        command_line(train.train, train.Config, chapter, train.PRESETS)
    except SystemExit as end:
        if end.code:
            raise
    return spent


def trial(chapter: str, variant: str, seed: int, seconds: float, num: int, core: int) -> str:
    """One run in a process of its own, pinned to a core, and its row of the table."""
    name, _, flags = (part.strip() for part in variant.partition(":"))
    folder = f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{seed}-{time.strftime('%m%d%H%M%S')}"
    out = ROOT / "runs" / "trials" / chapter / folder
    command = ["taskset", "-c", str(core)] if sys.platform == "linux" else []
    command += [sys.executable, str(Path(__file__).resolve()), "--one", chapter, str(seconds), "--out", str(out)]
    command += ["--seed", str(seed), *shlex.split(flags)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return f"| {name} | {seed} | failed: {' '.join((done.stderr or done.stdout).split())[-200:]} |"
    spent = json.loads(done.stdout.strip().splitlines()[-1])
    weights = str(out / "weights.safetensors")
    command = [*command[: command.index(sys.executable)], sys.executable, str(ROOT / chapter / "generate.py")]
    command += ["--weights", weights, "--score", "--out", str(out), "--num", str(num)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return f"| {name} | {seed} | no score: {' '.join((done.stderr or done.stdout).split())[-200:]} |"
    (file,) = out.glob("score*.json")  # its name says what made it
    found: dict[str, Any] = json.loads(file.read_text())
    mine = found["scores"]["generated"] if "scores" in found else next(iter(found.values()))
    names = [name for name in ("fcd", "kcd", "precision", "recall", "l1", "ssim", "detail", "lattice") if name in mine]
    scores = ", ".join(f"{name.upper() if len(name) < 5 else name} {mine[name]:.3f}" for name in names)
    cells = (name, seed, f"{spent['seconds']:.0f}", f"{spent['steps']:,}", f"{spent['pictures']:,}", scores)
    return "| " + " | ".join(map(str, cells)) + f" | {f'`{flags}`' if flags else ''} |"


def main(trials: Trials) -> None:
    table = ROOT / "runs" / "trials" / f"{trials.chapter}.md"
    table.parent.mkdir(parents=True, exist_ok=True)
    heading = "| variant | seed | CPU seconds | steps | pictures | scores | flags |\n|---|---|---|---|---|---|---|"
    print(heading, flush=True)
    if not table.exists():
        table.write_text(heading + "\n")
    cores: Queue[int] = Queue()
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(trials.jobs))
    for core in available[: trials.jobs]:
        cores.put(core)

    def work(variant: str, seed: int) -> None:
        core = cores.get()
        try:
            row = trial(trials.chapter, variant, seed, trials.seconds, trials.num, core)
        finally:
            cores.put(core)
        print(row, flush=True)
        with open(table, "a") as file:
            file.write(row + "\n")

    with ThreadPoolExecutor(trials.jobs) as pool:
        jobs = [pool.submit(work, variant, seed) for variant in trials.variant for seed in trials.seeds]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(trained(sys.argv[2], float(sys.argv[3]), sys.argv[4:])))
    else:
        main(tyro.cli(Trials))
