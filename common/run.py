"""A training run around the loop: command line, devices, run folder, logs, sample grids, saving and resuming.

Nothing here decides how a network learns. A chapter's loop looks like this:

    fabric = run.make_fabric(config)
    state = {"generator": generator, "opt_g": opt_g, ...}           # all that decides the next step
    job = run.Run(config, fabric, CHAPTER, state)                    # resumes here if asked to
    for step in job.steps():
        ...                                                          # the method
        if job.log_now: job.log({"loss/d": loss_d, "loss/g": loss_g})
        if job.sample_now: job.sample("fixed_z", ema(fixed_z))
        if job.save_now: job.save()
    job.finish(ema, settings)
"""

import argparse
import contextlib
import dataclasses
import errno
import io
import math
import os
import signal
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from shlex import quote
from subprocess import list2cmdline
from typing import Any, Literal, TypeVar

import torch
import tyro
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from common import UserError, images, relative, require
from common.checkpoint import load_checkpoint, load_state, load_weights, save_checkpoint, save_weights, write_atomically
from common.data import Pictures

ROOT = Path(__file__).parent.parent
# What may differ when a run goes on: how long, how often it is looked at, on which machine, and where the data lie now.
FREE_WHEN_RESUMED = {
    "out", "resume", "max_steps", "log_every", "sample_every", "save_every", "accelerator", "devices", "num_nodes",
    "precision", "compile", "data",
}  # fmt: skip
AnyConfig = TypeVar("AnyConfig")


class Diverged(UserError):
    """The training itself failed: a loss is no number any more."""

    exit_code = 1


# ------------------------------------------------------------------------------------------------ command line


@dataclass
class Settings:
    """The flags that mean the same in every chapter; a chapter's `Config` adds its own."""

    preset: Literal["laptop", "paper"] = "laptop"  # a set of defaults; any other flag still overrides it
    seed: int = 0  # decides the initial weights, the order of the pictures and every latent
    out: str = ""  # folder of the run; default: runs/<chapter>/<time>
    resume: str = ""  # a checkpoint or run folder: go on exactly where it stopped, with its settings
    log_every: int = 20  # steps between two points of the curves
    sample_every: int = 100  # steps between two sample grids
    save_every: int = 500  # steps between two checkpoints
    accelerator: str = "auto"  # auto, cpu, gpu, mps, tpu
    devices: int = 1  # processes on this machine, one for each GPU
    num_nodes: int = 1  # machines
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # auto: bf16-mixed where it is native
    compile: bool = False  # hand the networks to torch.compile

    def __post_init__(self) -> None:
        for name in ("log_every", "sample_every", "save_every", "devices", "num_nodes"):
            require(
                getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}"
            )


def command_line(
    function: Callable[[Any], Any], config: type[Any], chapter: str = "", presets: Mapping[str, Any] | None = None
) -> None:
    """Parse the command line into `config` and call `function` with it.

    The defaults are the class's, `--preset`'s or those of the run of `--resume`. The user's mistakes get one line, exit code 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the sign × shows another one
    try:
        default = None
        if presets is not None:
            first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
            first.add_argument("--preset", default="laptop")
            first.add_argument("--resume", default="")
            known, _ = first.parse_known_args()
            default = presets.get(known.preset)  # an unknown preset is reported by tyro below
            if known.resume:
                default = _config_of(Path(known.resume).expanduser(), chapter, config)
        parsed = tyro.cli(config, default=default, config=(tyro.conf.AvoidSubcommands,))
        for name, value in vars(parsed).items():
            finite = not isinstance(value, float) or math.isfinite(value)
            require(finite, f"--{name.replace('_', '-')} must be a finite number, not {value}")
            if isinstance(value, Path):
                setattr(parsed, name, value.expanduser())  # no shell does so in --out=~/pictures
        seed = getattr(parsed, "seed", 0)
        require(0 <= seed < 2**31, f"--seed must lie between 0 and {2**31 - 1}, not {seed}")
        result = function(parsed)
        if isinstance(result, Path) and (result / "metrics.json").exists():  # the folder of a finished training
            with contextlib.suppress(KeyboardInterrupt):  # all is written by now
                _read_aloud(result)
        _leave(0)
    except UserError as error:
        _stop(f"error: {error}", error.exit_code)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more while it ends
        _stop("stopped: nobody reads what is printed any more", 141)
    except OSError as error:  # a path that may not be read or written, or is too long
        if error.errno == errno.ENOSPC:
            _stop("error: the disk is full: free some space, or choose another folder with --out", 2)
        if not error.filename:
            raise
        _stop(f"error: {error.filename}: {error.strerror}; use another path, or mend its permissions", 2)
    except (RuntimeError, MemoryError) as error:  # on a GPU an OutOfMemoryError, on a CPU a plain RuntimeError
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            _stop(f"error: --compile fails on this machine ({str(error).splitlines()[0][:120]}): leave it away", 2)
        if "home directory" in str(error):  # of ~name
            _stop("error: a path begins with ~ and a user whom this machine does not know: write it out", 2)
        large = any(words in str(error) for words in ("allocate memory", "calculation overflowed"))
        if not large and not isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        _stop("error: out of memory: lower the batch size, --size, --num or the width of the networks", 2)
    except KeyboardInterrupt:
        _stop("stopped; what was written before is kept", 130)


def _config_of(path: Path, chapter: str, config: type[AnyConfig]) -> AnyConfig:
    """The settings of the run that is resumed; it goes on in its own folder, also when that was moved."""
    saved = load_checkpoint(path, chapter)["config"]
    folder = path if path.is_dir() else path.parent
    known = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    missing = ", ".join(sorted(known - saved.keys()))
    require(not missing, f"--resume: {path} is of an older version of this chapter (it has no {missing}): train anew")
    return config(**{key: value for key, value in saved.items() if key in known} | {"out": str(folder)})


@rank_zero_only
def _read_aloud(folder: Path) -> None:
    from common.diagnosis import diagnose  # its libraries take a second to load: not before training

    for sentence in diagnose(folder):
        print(textwrap.fill(f"- {sentence}", 120, subsequent_indent="  "))


@rank_zero_only
def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _stop(message: str, code: int) -> None:
    _say(message)
    _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        sys.stdout.flush()
        os._exit(code)  # several processes: their connections' threads may abort an ordinary end


# ---------------------------------------------------------------------------------------------------- devices


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware; elsewhere bf16 is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
    return False


def make_fabric(settings: Settings, growing: bool = False) -> Fabric:
    """Lightning Fabric for the wanted devices and precision, launched and seeded.

    `growing` is for networks that do not use all of their weights in every step: no process then waits for their gradients.
    """
    warnings.filterwarnings("ignore", ".*(all_gather|broadcast_buffers`) is deprecated")  # by Fabric: not the learner's
    processes = settings.devices * settings.num_nodes
    # Several forward passes happen before one backward pass, so BatchNorm's buffers must not be overwritten in between.
    several = DDPStrategy(broadcast_buffers=False, find_unused_parameters=growing)
    strategy = several if processes > 1 else "auto"
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        started = int(os.environ["WORLD_SIZE"])
        require(
            started == processes,
            f"torchrun started {started} process(es), and --devices × --num-nodes is {processes}: make them the same",
        )
    try:
        devices: dict[str, Any] = {
            "accelerator": settings.accelerator,
            "devices": settings.devices,
            "num_nodes": settings.num_nodes,
        }
        precision = settings.precision
        if precision == "auto":
            precision = "bf16-mixed" if native_bf16(one_device(settings.accelerator)) else "32-true"
        fabric = Fabric(strategy=strategy, precision=precision, **devices)  # type: ignore[arg-type]
        fabric.launch()
    except UserError:
        raise
    except Exception as error:  # all are about these flags
        message = str(error).split(". ")[0].replace("\n", " ")
        raise UserError(
            f"--accelerator, --devices, --num-nodes or --precision do not fit this machine: {message}"
        ) from error
    torch.manual_seed(settings.seed)
    return fabric


def one_device(accelerator: str) -> torch.device:
    """The device that `accelerator` ("auto", "cpu", "gpu", "mps") means here; `UserError` if there is none."""
    try:
        return Fabric(accelerator=accelerator, devices=1).device
    except Exception as error:  # Fabric uses many kinds of error
        message = str(error).split(". ")[0].replace("\n", " ")
        raise UserError(f"--accelerator {accelerator} is not to be had on this machine: {message}") from error


@contextlib.contextmanager
def in_turn(fabric: Fabric) -> Iterator[None]:
    """What the first process draws, downloads or writes in here, the others find ready: they come after it.

    An error stops all processes, one of the user's with its one line (Fabric's `rank_zero_first` leaves the others waiting).
    """
    wrong = fabric.broadcast("") if fabric.global_rank > 0 else ""
    require(not wrong, wrong)
    try:
        yield
    except BaseException as error:
        wrong = str(error) or type(error).__name__
        raise
    finally:
        if fabric.global_rank == 0:
            fabric.broadcast(wrong)


@contextlib.contextmanager
def frozen(fabric: Fabric, network: Any) -> Iterator[None]:
    """Forward passes through a network that is not to learn: no gradients of its weights are computed or exchanged."""
    network.requires_grad_(False)
    with fabric.no_backward_sync(network, enabled=fabric.world_size > 1):
        yield
    network.requires_grad_(True)


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of `network`, buffers included; call `update_parameters(network)` after each step.

    In the first steps the average forgets faster, min(decay, (1 + n) / (10 + n)), so that early samples are not those of
    the untrained network.
    """

    def average(old: Any, new: Any, n: Any) -> None:
        forget = 1 - ((1 + n) / (10 + n)).clamp(max=decay)
        for averaged, current in zip(old, new, strict=True):
            if averaged.is_floating_point():
                averaged.lerp_(current, forget.to(averaged.dtype))
            else:  # BatchNorm's counter of batches
                averaged.copy_(current)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def gradient_norm(network: nn.Module) -> Tensor:
    """The L2 norm of the gradients that the last backward pass left at all weights of a network, as one number."""
    return torch.nn.utils.get_total_norm([weight.grad for weight in network.parameters() if weight.grad is not None])


def parameters(network: nn.Module) -> int:
    """The number of trainable numbers in a network."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


# ---------------------------------------------------------------------------------------------------- the run


def _unused(folder: Path) -> Path:
    """Create `folder`, or the same name with -2, -3, …, so that runs that begin in the same second have one each."""
    name, number = folder.name, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = folder.with_name(f"{name}-{number}")


class Run:
    """One training run: what it writes, when, and how it goes on after a stop. Only process 0 writes.

    `state` maps names to everything with a `state_dict` that decides the next step. With `config.resume` it is filled from
    the checkpoint, and the random states with it, so that the next step is the one that would have come.
    """

    def __init__(self, config: Any, fabric: Fabric, chapter: str, state: Mapping[str, Any]) -> None:
        self.config, self.fabric, self.chapter, self.state = config, fabric, chapter, state
        self.step = 0
        self.history: dict[str, list[float]] = {}  # the logged curves; "step" and one list for each tag
        self.networks: Mapping[str, nn.Module] = {}  # those that learn, by the names that the user sees
        self.latents = torch.Generator().manual_seed(config.seed)  # on the CPU: the same draws on every device
        name = time.strftime("%Y-%m-%d_%H-%M-%S")
        self.folder = Path(config.out).expanduser() if config.out else ROOT / "runs" / chapter / name
        self._interrupted = self._stopping = False
        self._started = time.perf_counter()
        self._writer: SummaryWriter | None = None
        torch.manual_seed(config.seed + fabric.global_rank)  # from here on dropout differs between the processes
        resumed = Path(config.resume).expanduser()
        source = resumed if resumed.is_dir() else resumed.parent
        own = bool(config.resume) and self.folder.resolve() == source.resolve()
        taken = config.out and config.max_steps > 0 and not own and (self.folder / "last.ckpt").exists()
        require(not taken, f"{self.folder} holds a run: go on with --resume {self.folder}, or choose another --out")
        if config.resume:
            self._load(resumed)

    def describe(self, data: Pictures, networks: Mapping[str, nn.Module]) -> None:
        """Print what is about to happen, and open the run folder."""
        self.networks = networks
        precision = self.fabric.strategy.precision.precision
        shape = f"{data.channels}×{data.size}×{data.size}"
        if self.fabric.is_global_zero:
            print(f"data       {data.name}: {len(data):,} pictures, {shape}" + (f"; {data.note}" if data.note else ""))
            print(f"device     {self.fabric.device}, {self.fabric.world_size} process(es), precision {precision}")
            for name, network in networks.items():
                print(f"{name:<14} {parameters(network):,} parameters")
        with in_turn(self.fabric):
            if self.fabric.is_global_zero and self.step < self.config.max_steps:
                if not self.config.out:
                    self.folder = _unused(self.folder)
                for rest in self.folder.glob(".*.part"):  # of a file that a kill cut off
                    rest.unlink()
                write_atomically(self.folder / "config.json", dumps(dataclasses.asdict(self.config), indent=1).encode())
                self._writer = SummaryWriter(str(self.folder), purge_step=self.step + 1)
                print(f"writing to {relative(self.folder)}", flush=True)
        if self.config.compile:
            for network in networks.values():
                # The network inside of Fabric's wrapper: the wrapper would call itself for ever.
                getattr(network, "module", network).compile()

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers for the whole batch, of which this process gets its share [shape[0] / world, ...]."""
        whole = torch.randn(*shape, generator=self.latents)
        return self.fabric.to_device(whole.chunk(self.fabric.world_size)[self.fabric.global_rank])

    def steps(self) -> Iterator[int]:
        """Count the steps from where the run stands; Ctrl-C or a polite kill lets the step end and saves first."""
        total = self.config.max_steps
        previous = {number: self._catch(number) for number in (signal.SIGINT, signal.SIGTERM)}
        quiet = None if self.fabric.is_global_zero else True  # None: a bar on a terminal, none in a file or notebook
        self._bar = tqdm(total=total, initial=self.step, unit="step", disable=quiet)
        try:
            while self.step < total:
                self.step += 1
                self._stopping = self._anybody_interrupted()
                yield self.step
                self._bar.update()
                if self._stopping and self.step < total:
                    self._bar.close()
                    self._close()
                    where = relative(self.folder)
                    where = quote(where) if os.name == "posix" else list2cmdline([where])
                    _stop(f"stopped at step {self.step}; go on with --resume {where}", 130)
        finally:
            self._bar.close()
            for number, handler in previous.items():
                with contextlib.suppress(ValueError):  # not the main thread: nothing was caught either
                    signal.signal(number, handler)

    def _catch(self, number: int) -> Any:
        try:
            return signal.signal(number, lambda *_: setattr(self, "_interrupted", True))
        except ValueError:
            return None

    def _anybody_interrupted(self) -> bool:
        """All processes must stop at the same step."""
        if self.fabric.world_size == 1:
            return self._interrupted
        return bool(self.fabric.strategy.reduce_boolean_decision(self._interrupted, all=False))  # type: ignore[attr-defined]

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.max_steps or self._stopping

    @property
    def log_now(self) -> bool:
        return self._due(self.config.log_every)

    @property
    def sample_now(self) -> bool:
        return self._due(self.config.sample_every)

    @property
    def save_now(self) -> bool:
        return self._due(self.config.save_every)

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
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
        averaged_over_processes = torch.as_tensor(self.fabric.all_reduce(found.float(), reduce_op="mean"))
        values = dict(zip(scalars, averaged_over_processes.tolist(), strict=True))
        for tag, value in values.items():
            if not math.isfinite(value):
                last = self.folder / "last.ckpt"
                good = f"the last good checkpoint is {last}" if last.exists() else "there is no checkpoint yet"
                raise Diverged(
                    f"{tag} is {value} at step {self.step}: usually a learning rate that is too high, or half precision "
                    f"(try --precision 32-true); {good}"
                )
        for tag, value in {"step": self.step, **values}.items():
            self.history.setdefault(tag, []).append(value)
        self._bar.set_postfix({tag: f"{value:.3f}" for tag, value in values.items() if tag.startswith("loss/")})
        if self._writer:
            for tag, value in values.items():
                self._writer.add_scalar(tag, value, self.step)

    def sample(self, tag: str, pictures: Tensor, columns: int = 8) -> None:
        """Write a grid of float [N, C, H, W] in [-1, 1] to `samples/` and to TensorBoard."""
        with in_turn(self.fabric):
            if self._writer:
                images.save_picture(images.grid(pictures, columns), self.folder / f"samples/step_{self.step:06d}.png")
                self._writer.add_images(f"samples/{tag}", images.to_uint8(pictures), self.step)

    def save(self) -> None:
        """Write `last.ckpt`: everything that decides the next step. No process goes on before it is written."""
        random = {"cpu": torch.get_rng_state()}
        if self.fabric.device.type != "cpu":
            random[self.fabric.device.type] = torch.get_device_module(self.fabric.device).get_rng_state()
        for name, own in random.items():  # [world, numbers]: each process goes on with its own
            everybodys = torch.as_tensor(self.fabric.all_gather(own))
            random[name] = everybodys.reshape(-1, own.numel()).cpu()
        with in_turn(self.fabric):
            if self.fabric.is_global_zero:
                content = {"chapter": self.chapter, "config": dataclasses.asdict(self.config), "step": self.step}
                content |= {"history": self.history, "random": random, "latents": self.latents.get_state()}
                content |= {name: part.state_dict() for name, part in self.state.items()}
                save_checkpoint(self.folder / "last.ckpt", content)

    def _load(self, path: Path) -> None:
        content = load_checkpoint(path, self.chapter)
        settings = dataclasses.asdict(self.config)
        changed = [
            f"--{name.replace('_', '-')}"
            for name, value in content["config"].items()
            if name in settings and name not in FREE_WHEN_RESUMED and settings[name] != value
        ]
        require(not changed, f"{', '.join(changed)} cannot be changed by --resume: a run goes on with its own settings")
        absent = ", ".join(sorted(self.state.keys() - content.keys()))
        require(not absent, f"--resume: {path} is of an older version of this chapter (it has no {absent}): train anew")
        done, total = content["step"], self.config.max_steps
        weights = self.folder / "weights.safetensors"  # written last: without them the run was stopped while it ended
        ended = done > total or (weights.exists() and load_weights(weights, None)[1]["step"] >= done)
        require(done < total or not ended, f"{path} already stands at step {done}: give a --max-steps above that")
        for name, part in self.state.items():
            if isinstance(part, nn.Module):
                load_state(part, content[name], str(path))
            else:
                part.load_state_dict(content[name])
        self.step, self.history = content["step"], content["history"]
        self.latents.set_state(content["latents"])
        for name, states in content["random"].items():
            own = states[self.fabric.global_rank % len(states)].clone()  # a view into all of them would crash PyTorch
            if name == "cpu":
                torch.set_rng_state(own)
            elif name == self.fabric.device.type:
                torch.get_device_module(self.fabric.device).set_rng_state(own)

    def finish(self, network: nn.Module, settings: Mapping[str, Any]) -> Path:
        """Write the weights that `generate.py` reads, the curves as numbers and as a picture; say where they are."""
        if self.fabric.is_global_zero and self.config.max_steps > 0:
            from common.notebook import plot_curves  # matplotlib takes a second to load: not before training

            write_atomically(self.folder / "metrics.json", dumps(self.history).encode())
            plot_curves(self.history).savefig(self.folder / "curves.png", dpi=80)
            settings = {"chapter": self.chapter, "step": self.step, **settings}
            save_weights(self.folder / "weights.safetensors", network, settings)
            minutes = (time.perf_counter() - self._started) / 60
            print(f"{self.step} steps, {minutes:.1f} minutes; pictures, curves and weights: {relative(self.folder)}")
        self._close()
        return self.folder

    def _close(self) -> None:
        if self._writer:
            self._writer.close()
