"""The thin helpers that all chapters share: what you may skip and still explain the paper.

`README.md` has the rooms, and every name that a chapter uses. No layer, loss or training loop of a GAN is in here.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class UserError(Exception):
    """Something the user can mend: the message is one line that names the thing and the remedy (exit code 2)."""

    exit_code, prefix = 2, "error: "


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


@contextmanager
def explained(what: str, remedy: str, *kinds: type[Exception]) -> Iterator[None]:
    """An error of a library in here, of these kinds, becomes a `UserError` of one line: what (the reason); remedy."""
    try:
        yield
    except kinds as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{what} ({reason}); {remedy}") from error


def relative(path: Path) -> str:
    """A path as seen from the working folder; whole where there is no way to it (another drive of Windows)."""
    try:
        return os.path.relpath(path)
    except ValueError:
        return str(path)


def load_chapter(chapter: str, name: str) -> ModuleType:
    """A file of a chapter, `load_chapter("02_dcgan", "generate")`, whatever other chapters were loaded before.

    All chapters have a model.py, and import it by that name. Here each gets a name of its own, `02_dcgan.model`.
    """
    folder = Path(__file__).parents[1] / chapter
    own = {file.stem for file in folder.glob("*.py")}
    require(name in own, f"there is no {chapter}/{name}.py")
    others = {file: sys.modules.pop(file) for file in own & sys.modules.keys()}
    sys.modules.update({file: sys.modules[f"{chapter}.{file}"] for file in own if f"{chapter}.{file}" in sys.modules})
    sys.path.insert(0, str(folder))
    try:
        importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        loaded = {file: sys.modules.pop(file) for file in own & sys.modules.keys()}
        sys.modules.update(others)
    for file, module in loaded.items():
        sys.modules[f"{chapter}.{file}"] = module
        for thing in vars(module).values():
            if getattr(thing, "__module__", None) == file:  # a class or function of this file
                thing.__module__ = f"{chapter}.{file}"
    return loaded[name]
