"""From the command line to a `Config`, and from an error of any kind to one line and an exit code."""

import argparse
import contextlib
import dataclasses
import errno
import io
import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
import tyro
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from common import UserError
from common.checkpoint import load_checkpoint
from common.devices import rank_zero_only

AnyConfig = TypeVar("AnyConfig")
# A field's type is its range. Most are pydantic's, such as PositiveInt; these two are ours.
Share = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
SHORTER = {
    "Input should": "must", "greater than or equal to": "at least", "less than or equal to": "at most",
    "greater than": "above", "less than": "below",
}  # fmt: skip


@dataclass(config=ConfigDict(allow_inf_nan=False, extra="forbid"))
class Flags:
    """What every program has. The comment beside a field is its help text; a value out of its range is a `UserError`."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # decides all random numbers

    MADE_BY: ClassVar[tuple[str, ...]] = ()  # the flags of a `generate.py` that decide how its pictures look

    def file(self, name: str) -> Path:
        """The path in `out` of something new: behind its name what made it, unless that is the default.

        Besides `MADE_BY` those are the weights and the seed. So nothing overwrites what it is to be compared with.
        """
        given, (stem, ending) = vars(self), name.rsplit(".", 1)
        for flag in ("weights", *self.MADE_BY, "seed"):
            value = given[flag]
            if value != type(self).__dataclass_fields__[flag].default:  # type: ignore[attr-defined]
                if isinstance(value, Path):  # of a run its name, with the step if there is one; else that of the file
                    kind, _, step = value.stem.partition("_")
                    folder = value.resolve().parent.name
                    own = value.stem if value.suffix in (".safetensors", ".ckpt") else value.name
                    value = f"{folder}_{step}".rstrip("_") if kind in ("weights", "last") else own
                stem += f"_{flag}" + ("" if value is True else f"-{value}")
        return Path(given["out"], f"{stem}.{ending}".replace("/", "-").replace(" ", "_"))

    @model_validator(mode="wrap")
    @classmethod
    def _one_line(cls, values: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            flag, wrong = str(first["loc"][0]).replace("_", "-"), first["msg"]
            for long, short in SHORTER.items():
                wrong = wrong.replace(long, short)
            raise UserError(f"--{flag} {wrong}, not {first['input']}") from None


@dataclass
class Settings(Flags):
    """The flags that mean the same in every training; a chapter's `Config` adds its own."""

    preset: Literal["laptop", "paper"] = "laptop"  # a set of defaults; any other flag still overrides it
    out: str = ""  # folder of the run; default: runs/<chapter>/<time>
    resume: str = ""  # a checkpoint or run folder: go on exactly where it stopped, with its settings
    start_from: str = ""  # weights or a run: begin with its networks, at step 0, for other pictures, rates or lengths
    log_every: PositiveInt = 20  # steps between two points of the curves
    sample_every: PositiveInt = 100  # steps between two sample grids
    save_every: PositiveInt = 500  # steps between two checkpoints
    keep_every: NonNegativeInt = 0  # steps between two files of weights that stay, to go back to; 0: only the last
    skip_broken: bool = False  # train without the pictures that cannot be read, instead of naming them and stopping
    white: tuple[PositiveInt, ...] = ()  # the number that is white in your pictures, e.g. 4095; 05, 06: for A and B
    accelerator: str = "auto"  # auto, cpu, gpu, mps, tpu
    devices: PositiveInt = 1  # processes on this machine, one for each GPU
    num_nodes: PositiveInt = 1  # machines
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # auto: bf16-mixed where it is native
    compile: bool = False  # hand the networks to torch.compile

    @property
    def reading(self) -> dict[str, Any]:
        """How pictures of your own are read: for `load` and its like."""
        return {"skip_broken": self.skip_broken, "white": self.white}

    @property
    def processes(self) -> int:
        """How many processes share the batch, on all machines together."""
        return self.devices * self.num_nodes


def command_line(
    function: Callable[[Any], Any], config: type[Any], chapter: str = "", presets: Mapping[str, Any] | None = None
) -> None:
    """Parse the command line into `config` and call `function` with it.

    The defaults are the class's, `--preset`'s or those of the run of `--resume`. The user's mistakes get one line, exit code 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the sign × shows another one
    code = 0
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
            if isinstance(value, Path):
                setattr(parsed, name, value.expanduser())  # no shell does so in --out=~/pictures
        result = function(parsed)
        if isinstance(result, Path) and (result / "metrics.json").exists():  # the folder of a finished training
            with contextlib.suppress(KeyboardInterrupt):  # all is written by now
                _read_aloud(result)
    except (Exception, KeyboardInterrupt) as error:
        told = _in_one_line(error)
        if not told:  # a mistake of this program, not of the user
            raise
        message, code = told
        rank_zero_only(print)(message, file=sys.stderr, flush=True)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        sys.stdout.flush()
        os._exit(code)  # several processes: their connections' threads may abort an ordinary end
    sys.exit(code)


def _in_one_line(error: BaseException) -> tuple[str, int] | None:
    """What the user is told of an error, and the exit code; None for one that they cannot have caused."""
    text = str(error)
    if isinstance(error, UserError):
        return f"{error.prefix}{text}", error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped; what was written before is kept", 130
    if isinstance(error, BrokenPipeError):  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more while it ends
        return "stopped: nobody reads what is printed any more", 141
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "error: the disk is full: free some space, or choose other folders with --out and, for data, GAN_DATA", 2
    if isinstance(error, OSError) and error.filename:  # it may not be read or written, or its name is too long
        return f"error: {error.filename}: {error.strerror}; use another path, or mend its permissions", 2
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"error: --compile fails on this machine ({text.splitlines()[0][:120]}): leave it out", 2
    if isinstance(error, RuntimeError) and "home directory" in text:  # of ~name
        return "error: a path begins with ~ and a user whom this machine does not know: write it out", 2
    full = ("allocate memory", "calculation overflowed", "Overflow when", "too large to convert", "is too big")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text for words in full):
        return "error: out of memory: lower the batch size, --size, --num or the width of the networks", 2
    return None


def _config_of(path: Path, chapter: str, config: type[AnyConfig]) -> AnyConfig:
    """The settings of the run that is resumed; it goes on in its own folder, also when that was moved."""
    saved = load_checkpoint(path, chapter)["config"]
    folder = path if path.is_dir() else path.parent
    known = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    return config(**{key: value for key, value in saved.items() if key in known} | {"out": str(folder)})


@rank_zero_only
def _read_aloud(folder: Path) -> None:
    from common.diagnosis import diagnose  # its libraries take a second to load: not before training

    for sentence in diagnose(folder):
        print(textwrap.fill(f"- {sentence}", 120, subsequent_indent="  "))
