"""The thin helpers that all chapters share: what you may skip and still explain the paper.

The command line (`command_line`), devices (`devices`), the run around a loop (`run`), its files (`checkpoint`) and its
reading (`diagnosis`), pictures (`images`), notebook helpers (`notebook`), `data` and `scores`. No layer, loss or training
loop of a GAN is in here.
"""

import os
from pathlib import Path


class UserError(Exception):
    """Something the user can mend: the message is one line that names the thing and the remedy (exit code 2)."""

    exit_code, prefix = 2, "error: "


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def relative(path: Path) -> str:
    """A path as seen from the working folder; whole where there is no way to it (another drive of Windows)."""
    try:
        return os.path.relpath(path)
    except ValueError:
        return str(path)
