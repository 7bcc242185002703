"""From the command line to a `Config`, and from an error of any kind to one line and an exit code."""

import argparse
import contextlib
import dataclasses
import errno
import io
import math
import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import tyro
from lightning_fabric.utilities.rank_zero import rank_zero_only

from common import UserError, require
from common.checkpoint import load_checkpoint

AnyConfig = TypeVar("AnyConfig")


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
        _stop(f"{error.prefix}{error}", error.exit_code)
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
