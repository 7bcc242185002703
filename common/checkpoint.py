"""Files that a kill cannot spoil and that cannot run code when they are opened.

A checkpoint (`last.ckpt`) holds all that decides the next step; `weights.safetensors` holds just what `generate.py` needs.
Both are written beside their place and renamed, so that at every moment the last good file is there whole.
"""

import contextlib
import errno
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from common import UserError, explained, require

BESIDE = "discriminator.safetensors"  # what judged the generator of `weights.safetensors`: for `--start-from`


def write_atomically(path: Path, content: bytes, remedy: str = "--out") -> Path:
    """Write `content` to `path`, or leave `path` as it was and raise `UserError` (no permission, no space)."""
    beside = path.with_name(f".{uuid4().hex}.part")  # two first runs may fill data/ at the same time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on disk before the rename: a power cut must not leave an empty file
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be the problem, and is named below
            beside.unlink(missing_ok=True)
        mend = f"free some space there or choose another folder with {remedy}"
        mend = "give your file a shorter name" if error.errno == errno.ENAMETOOLONG else mend
        raise UserError(f"cannot write {path}: {error.strerror or error}; {mend}") from error
    return path


def save_arrays(path: Path, remedy: str, **arrays: np.ndarray) -> Path:
    """Write arrays that took long to make, for `load_arrays`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return write_atomically(path, buffer.getvalue(), remedy)


def load_arrays(path: Path, *names: str) -> Any:
    """The named arrays of a file as tensors; None if it is not there, or not whole. numpy refuses pickled objects."""
    with (
        contextlib.suppress(OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile),
        np.load(path) as kept,
    ):
        return tuple(torch.from_numpy(kept[name]) for name in names)
    return None


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint of plain types and tensors.

    Raises `UserError` when the disk refuses, and when a network holds a number that is not finite: a checkpoint that
    cannot be trained on must not take the place of one that can.
    """
    for name, value in content.items():
        for key, tensor in value.items() if isinstance(value, Mapping) else ():
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.isfinite().all():
                stays = f"{path} stays as it was: --start-from it, with lower rates"
                raise UserError(f"{name}.{key} is not finite any more; {stays}")
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, chapter: str | None, flag: str = "--resume") -> dict[str, Any]:
    """Read a checkpoint of `chapter` (a run folder stands for its `last.ckpt`); code inside a file is never run."""
    path = path / "last.ckpt" if path.is_dir() else path
    require(path.is_file(), f"{flag}: there is no checkpoint {path}")
    require(path.suffix != ".safetensors", f"{flag}: {path} are weights for generate.py: give the run's folder")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports a cut-off file, a foreign file and forbidden code in many ways
        whole = zipfile.is_zipfile(path)
        reason = "holds more than numbers and plain settings" if whole else "is cut off or is no checkpoint"
        raise UserError(f"{flag}: {path} {reason}, so it was not loaded; use another checkpoint") from error
    found = content.get("chapter") if isinstance(content, dict) else None
    require(chapter in (None, found), f"{flag}: {path} belongs to {found or 'another program'}, not to {chapter}")
    return dict(content)


def step_in(path: Path) -> int:
    """The step at which a checkpoint stands; 0 where there is none."""
    return int(load_checkpoint(path, None)["step"]) if path.exists() else 0


def load_state(module: Any, state: Mapping[str, Any], source: str, flags: str = "") -> None:
    """Fill a network or an optimiser from `state`; networks of other sizes get one line that says so."""
    sizes = f"the networks in {source} have other sizes than these settings and data ask for"
    with explained(sizes, f"use those that they were trained with{flags and ': '}{flags}", RuntimeError, KeyError):
        module.load_state_dict(state)


def save_weights(path: Path, state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Path:
    """Write the weights of a network and, beside them, the `settings` needed to build it again (safetensors)."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return write_atomically(path, safetensors.torch.save(tensors, {"settings": json.dumps(dict(settings))}))


class StoredSettings(dict[str, Any]):
    """The settings beside weights; those of an older version lack some, and then say so in one line."""

    def __init__(self, settings: Mapping[str, Any], path: Path) -> None:
        super().__init__(settings)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise UserError(f"{self.path} is of an older version of its chapter (it has no {name!r}): train again")

    @property
    def reading(self) -> dict[str, Any]:
        """How the run read pictures of your own, for `load` and its like."""
        return {"skip_broken": self.get("skip_broken", False), "white": tuple(self.get("white", ()))}

    def white(self, side: int) -> int:
        """The number that is white in a picture of A (0) or B (1); 0: the largest that its format holds."""
        return (*(white := self.reading["white"]), *white, 0, 0)[side]


def load_weights(path: Path, chapter: str | None, flag: str = "--weights") -> tuple[dict[str, Tensor], StoredSettings]:
    """Read what `save_weights` wrote for `chapter` (None: for any): the tensors and the settings.

    A run's folder stands for its weights; those of a run that was stopped are in its `last.ckpt`.
    """
    if path.is_dir():
        path = path / ("weights.safetensors" if (path / "weights.safetensors").exists() else "last.ckpt")
    if path.suffix == ".ckpt":
        content = load_checkpoint(path, chapter, flag)
        require("weights" in content, f"{flag}: {path} is of an older version of the course: train again")
        return content["weights"], StoredSettings(content["settings"], path)
    require(path.is_file(), f"there are no weights {path}; train first, or leave {flag} away")
    require(path.name != BESIDE or not flag, f"{flag}: {path} judges pictures: give the weights beside it")
    broken, remedy = f"{path} is cut off or is no safetensors file", "train again or use another file"
    with explained(broken, remedy, SafetensorError, OSError, ValueError), safe_open(path, framework="pt") as file:
        settings = json.loads((file.metadata() or {}).get("settings", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    found = settings.get("chapter")
    require(chapter in (None, found), f"{path} belongs to {found or 'another program'}, not to {chapter}")
    return tensors, StoredSettings(settings, path)


def load_networks(path: Path, chapter: str, names: list[str]) -> dict[str, Mapping[str, Any]]:
    """The states of the networks called `names` in a run, and of their average "ema"; or that average of weights, and the judges beside them. With the "settings" that build them."""
    if path.is_dir() or path.suffix == ".ckpt":
        content = load_checkpoint(path, chapter, "--start-from")
        return {name: content[name] for name in (*names, "ema", "settings") if name in content}
    stored, settings = load_weights(path, chapter, "--start-from")
    tensors = {key.removeprefix("averaged."): tensor for key, tensor in stored.items() if not key.startswith("raw.")}
    beside = path.with_name(BESIDE)
    judges = load_weights(beside, chapter, "")[0] if path.name == "weights.safetensors" and beside.exists() else {}
    found: dict[str, Mapping[str, Any]] = {names[0]: tensors}  # a single generator has no name in front
    for name in names:
        every = (tensors | judges).items()
        own = {key.removeprefix(f"{name}."): tensor for key, tensor in every if key.startswith(f"{name}.")}
        found |= {name: own} if own else {}
    average = {f"module.{name}": tensor for name, tensor in tensors.items()}
    return found | {"ema": average | {"n_averaged": torch.tensor(0)}, "settings": settings}
