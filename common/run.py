"""The run around a loop: its folder, steps, logs, sample grids, saving, stopping and resuming. Only process 0 writes.

Nothing here decides how a network learns. `train` in `01_basic_gan/train.py` shows how a loop uses it.
"""

import contextlib
import dataclasses
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from json import dumps
from pathlib import Path
from shlex import quote
from subprocess import list2cmdline
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from common import UserError, checkpoint, images, relative, require
from common.data import Pictures
from common.devices import Fabric, gradient_norm, rank_zero_first

ROOT = Path(__file__).parent.parent
SECONDS_OF_SILENCE = 60  # without a terminal, between two lines on how far a run is
# What may differ when a run goes on: how long, how often it is looked at, on which machine, and where the data lie now.
FREE_WHEN_RESUMED = {
    "out", "resume", "max_steps", "log_every", "sample_every", "save_every", "accelerator", "devices", "num_nodes",
    "precision", "compile", "data", "skip_broken", "keep_every",
}  # fmt: skip
JUDGES = ("discriminator", "critic", "judge_a", "judge_b")  # the networks that tell real from generated pictures


class Diverged(UserError):
    """The training itself failed: a loss is no number any more."""

    exit_code = 1


class Stopped(UserError):
    """Ctrl-C or a polite kill: the run has been saved and can go on."""

    exit_code, prefix = 130, ""


class Run:
    """One training run: what it writes, when, and how it goes on after a stop.

    `networks` are those that learn; `rest` is everything with a `state_dict` that decides the next step. With
    `config.resume` all are filled from the checkpoint, and the random states too: the next step is the one that would have come.
    """

    def __init__(
        self, config: Any, fabric: Fabric, chapter: str, data: Pictures, networks: Mapping[str, nn.Module], **rest: Any
    ) -> None:
        self.config, self.fabric, self.chapter = config, fabric, chapter
        self.networks, self.state = networks, {**networks, **rest}
        self.step, self._interrupted = 0, False
        self.history: dict[str, list[float]] = {}  # the logged curves; "step" and one list for each tag
        self.rng = torch.Generator().manual_seed(config.seed)  # on the CPU: the same draws on every device
        self.folder = Path(config.out or ROOT / "runs" / chapter / time.strftime("%Y-%m-%d_%H-%M-%S")).expanduser()
        self.log_now = self.sample_now = self.save_now = False  # whether this step is one to look at, or to keep
        self._classes = list(data.classes)
        self._weights: tuple[Mapping[str, Tensor], Mapping[str, Any]] = {}, {}  # what `generate.py` reads
        self._started = self._said = time.perf_counter()
        self._writer: SummaryWriter | None = None
        torch.manual_seed(config.seed + fabric.global_rank)  # from here on dropout differs between the processes
        resumed = Path(config.resume).expanduser()
        into = self.folder.resolve()
        own = bool(config.resume) and into == (resumed.parent if resumed.name == "last.ckpt" else resumed).resolve()
        taken = config.out and config.max_steps > 0 and not own and (self.folder / "last.ckpt").exists()
        require(not taken, f"{self.folder} holds a run: go on with --resume {self.folder}, or choose another --out")
        among = bool(config.out) and not own and Path(config.data).expanduser().resolve() in (into, *into.parents)
        require(not among, f"--out {self.folder} lies in --data, where its pictures would be learned: choose another")
        if config.resume:
            self._load(resumed)
        elif config.start_from:
            self._start_from(Path(config.start_from).expanduser())
        self._begin(data)

    def _begin(self, data: Pictures) -> None:
        """Print what is about to happen, open the run folder, and compile the networks if that is wanted."""
        if self.fabric.is_global_zero:
            shape, note = f"{data.channels}×{data.size}×{data.size}", f"; {data.note}" if data.note else ""
            print(f"data       {data.name}: {len(data):,} pictures, {shape}{note}")
            if data.labels.ndim == 1 and data.classes:
                print(f"classes    {shorten(', '.join(data.classes), 110, placeholder=' …')}")
            precision = self.fabric.strategy.precision.precision
            print(f"device     {self.fabric.device}, {self.fabric.world_size} process(es), precision {precision}")
            for name, network in self.networks.items():
                learned = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
                print(f"{name:<14} {learned:,} parameters")
        with rank_zero_first(self.fabric):
            if self.fabric.is_global_zero and self.step < self.config.max_steps:
                if not self.config.out:
                    self.folder = _new_folder(self.folder)
                self._kept = checkpoint.step_in(self.folder / "last.ckpt")  # as this run left it, or began from it
                for rest in self.folder.glob(".*.part"):  # of a file that a kill cut off
                    rest.unlink()
                settings = dumps(dataclasses.asdict(self.config), indent=1).encode()
                checkpoint.write_atomically(self.folder / "config.json", settings)
                self._writer = SummaryWriter(str(self.folder), purge_step=self.step + 1)
                print(f"writing to {relative(self.folder)}", flush=True)
        if self.config.compile:
            for network in self.networks.values():
                # The network inside of Fabric's wrapper: the wrapper would call itself for ever.
                getattr(network, "module", network).compile()

    def finish(self) -> Path:
        """Write the weights of the last `save`, the curves as numbers and as a picture; return the folder."""
        if self.fabric.is_global_zero and self.config.max_steps > 0:
            from common.notebook import plot_curves  # matplotlib takes a second to load: not before training

            checkpoint.write_atomically(self.folder / "metrics.json", dumps(self.history).encode())
            plot_curves(self.history).savefig(self.folder / "curves.png", dpi=80)
            judges = nn.ModuleDict({name: self.networks[name] for name in JUDGES if name in self.networks})
            checkpoint.save_weights(self.folder / checkpoint.BESIDE, judges.state_dict(), self._weights[1])
            checkpoint.save_weights(self.folder / "weights.safetensors", *self._weights)
            minutes = (time.perf_counter() - self._started) / 60
            print(f"{self.step} steps, {minutes:.1f} minutes; pictures, curves and weights: {relative(self.folder)}")
        return self.folder

    def steps(self) -> Iterator[int]:
        """Count the steps from where the run stands; Ctrl-C or a polite kill lets the step end and saves first."""
        config, total = self.config, self.config.max_steps
        handlers = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        self._started, self._first = time.perf_counter(), self.step
        quiet = None if self.fabric.is_global_zero else True  # None: a bar on a terminal, none in a file or notebook
        self._bar = tqdm(total=total, initial=self.step, unit="step", disable=quiet)
        try:
            while self.step < total:
                self.step += 1
                stopping = self._anybody_interrupted()
                last = stopping or self.step == total
                due = (last or self.step % n == 0 for n in (config.log_every, config.sample_every, config.save_every))
                self.log_now, self.sample_now, self.save_now = due
                self._keep_now = bool(config.keep_every) and self.step % config.keep_every == 0
                self.save_now |= self._keep_now
                yield self.step
                self._bar.update()
                if stopping and self.step < total:
                    where = relative(self.folder)
                    where = quote(where) if os.name == "posix" else list2cmdline([where])
                    raise Stopped(f"stopped at step {self.step}; go on with --resume {where}")
        finally:
            self._bar.close()
            if self._writer:
                self._writer.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _interrupt(self, *_: Any) -> None:
        self._interrupted = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # the second one ends the process, whatever it is doing
        if self.fabric.is_global_zero:
            os.write(2, b"\nfinishing this step and saving; a second Ctrl-C leaves at once, with the last save alone\n")

    def _anybody_interrupted(self) -> bool:
        """All processes must stop at the same step."""
        return self.fabric.strategy.reduce_boolean_decision(self._interrupted, all=False)

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers for the whole batch, of which this process gets its share [shape[0] / world, ...]."""
        return self.fabric.to_device(self.share(torch.randn(*shape, generator=self.rng)))

    def share(self, whole: Tensor) -> Tensor:
        """This process's part [N / world, ...] of what was drawn for the whole batch [N, ...]."""
        return whole.chunk(self.fabric.world_size)[self.fabric.global_rank]

    @contextlib.contextmanager
    def without_side_effects(self) -> Iterator[None]:
        """What is computed in here has no gradients, and gives the random numbers back: looking must not change the run."""
        device = self.fabric.device
        others = [] if device.type == "cpu" else [device]
        with torch.no_grad(), torch.random.fork_rng(others, device_type=device.type):
            yield

    def log(self, scalars: Mapping[str, Tensor | float]) -> None:
        """Write one point of every curve, and of each network's gradients; raise `Diverged` when one of them is not finite."""
        norms = {f"gradients/{name}": gradient_norm(network) for name, network in self.networks.items()}
        scalars = {**scalars, **norms}
        found = torch.stack([torch.as_tensor(value, device=self.fabric.device).detach() for value in scalars.values()])
        mean_over_processes = torch.as_tensor(self.fabric.all_reduce(found.float(), reduce_op="mean"))
        values = dict(zip(scalars, mean_over_processes.tolist(), strict=True))
        for tag, value in values.items():
            if not math.isfinite(value):
                last = self.folder / "last.ckpt"
                good = f"the last good checkpoint is {last}" if last.exists() else "there is no checkpoint yet"
                why = "usually a learning rate that is too high, or half precision (try --precision 32-true)"
                raise Diverged(f"{tag} is {value} at step {self.step}: {why}; {good}")
        for tag, value in {"step": self.step, **values}.items():
            self.history.setdefault(tag, []).append(value)
        losses = {tag: f"{value:.3f}" for tag, value in values.items() if tag.startswith("loss/")}
        self._bar.set_postfix(losses)
        now, total = time.perf_counter(), self.config.max_steps
        if self.fabric.is_global_zero and self._bar.disable and now - self._said > SECONDS_OF_SILENCE:
            self._said, left = now, (now - self._started) / 60 * (total - self.step) / (self.step - self._first)
            shown = ", ".join(f"{tag} {value}" for tag, value in losses.items())
            print(f"step {self.step:,} of {total:,}, {left:.0f} minutes left; {shown}", flush=True)
        if self._writer:
            for tag, value in values.items():
                self._writer.add_scalar(tag, value, self.step)

    def sample(self, tag: str, pictures: Tensor, columns: int = 8) -> None:
        """Write a grid of float [N, C, H, W] in [-1, 1] to `samples/` and to TensorBoard."""
        with rank_zero_first(self.fabric):
            if self._writer:
                images.save_picture(images.grid(pictures, columns), self.folder / f"samples/step_{self.step:06d}.png")
                self._writer.add_images(f"samples/{tag}", images.to_uint8(pictures), self.step)

    def save(self, network: nn.Module, settings: Mapping[str, Any]) -> None:
        """Write `last.ckpt`: everything that decides the next step. No process goes on before it is written.

        The weights of `network`, and the `settings` that build it again, are what `generate.py` reads: now from here, later from
        `finish`. Every `--keep-every` steps they get a file that stays.
        """
        settings = {"chapter": self.chapter, "step": self.step, **self.config.reading, **settings}
        self._weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, settings
        random = {"cpu": torch.get_rng_state()}
        if self.fabric.device.type != "cpu":
            random[self.fabric.device.type] = torch.get_device_module(self.fabric.device).get_rng_state()
        for name, own in random.items():  # [world, numbers]: each process goes on with its own
            random[name] = torch.as_tensor(self.fabric.all_gather(own)).reshape(-1, own.numel()).cpu()
        with rank_zero_first(self.fabric):
            if self.fabric.is_global_zero:
                lost = f"another run writes to {self.folder}, so this one stops: begin it anew with another --out"
                require(checkpoint.step_in(self.folder / "last.ckpt") == self._kept, lost)
                content = {"chapter": self.chapter, "config": dataclasses.asdict(self.config), "step": self.step}
                content |= {"history": self.history, "random": random, "latents": self.rng.get_state()}
                content |= {"classes": self._classes, "weights": self._weights[0], "settings": settings}
                content |= {name: part.state_dict() for name, part in self.state.items()}
                checkpoint.save_checkpoint(self.folder / "last.ckpt", content)
                self._kept = self.step
                if self._keep_now:
                    checkpoint.save_weights(self.folder / f"weights_{self.step:06d}.safetensors", *self._weights)

    def _start_from(self, path: Path) -> None:
        """Fill the networks from a run or from weights, and say which are new: a judge that is not there, or has other sizes."""
        stored = checkpoint.load_networks(path, self.chapter, list(self.networks))
        for name in stored.keys() & self.networks.keys() & {*JUDGES}:
            states = (self.networks[name].state_dict(), stored[name])
            here, there = ({key: tensor.shape for key, tensor in state.items()} for state in states)
            if here != there:
                del stored[name]
        now, built = dataclasses.asdict(self.config), stored.get("settings", {})
        other = {k: v for k, v in built.items() if isinstance(v, int | str) and k != "data" and now.get(k, v) != v}
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in other.items())
        for name in stored.keys() & self.state.keys():
            checkpoint.load_state(self.state[name], stored[name], f"--start-from {path}", flags)
        found, new = ([name for name in self.networks if (name in stored) == there] for there in (True, False))
        if self.fabric.is_global_zero:
            print(f"started    from {relative(path)}: {', '.join(found)}" + (f"; new: {', '.join(new)}" if new else ""))

    def _load(self, path: Path) -> None:
        content = checkpoint.load_checkpoint(path, self.chapter)
        saved, now = content["config"], dataclasses.asdict(self.config)
        fixed = [name for name in saved if name in now and name not in FREE_WHEN_RESUMED]
        changed = ", ".join(f"--{name.replace('_', '-')}" for name in fixed if now[name] != saved[name])
        require(not changed, f"{changed} cannot be changed by --resume: a run goes on with its own settings")
        parts = {*self.state, "classes", "weights", "settings"}
        absent = ", ".join(sorted((now.keys() - saved.keys()) | (parts - content.keys())))
        require(not absent, f"--resume: {path} is of an older version of this chapter (it has no {absent}): train anew")
        both = [shorten(", ".join(classes), 200) for classes in (self._classes, content["classes"])]
        other = f"--data has the classes {both[0]}, and the run had {both[1]}: give it its pictures, or train anew"
        require(content["classes"] == self._classes, other)
        self._weights = content["weights"], content["settings"]
        done, total = content["step"], self.config.max_steps
        weights = self.folder / "weights.safetensors"  # written last: without them the run was stopped while it ended
        ended = done > total or (weights.exists() and checkpoint.load_weights(weights, None)[1]["step"] >= done)
        require(done < total or not ended, f"{path} already stands at step {done}: give a --max-steps above that")
        for name, part in self.state.items():
            checkpoint.load_state(part, content[name], str(path))
        self.step, self.history = content["step"], content["history"]
        self.rng.set_state(content["latents"])
        for name, states in content["random"].items():
            own = states[self.fabric.global_rank % len(states)].clone()  # a view into all of them would crash PyTorch
            if name == "cpu":
                torch.set_rng_state(own)
            elif name == self.fabric.device.type:
                torch.get_device_module(self.fabric.device).set_rng_state(own)


def _new_folder(folder: Path, number: int = 1) -> Path:
    """Create `folder`, or the same name with -2, -3, …, so that runs that begin in the same second have one each."""
    path = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return _new_folder(folder, number + 1)
    return path
