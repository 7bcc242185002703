"""The thin helpers that all chapters share: what you may skip and still explain the paper.

Data (`data`), run folders and the command line (`run`), checkpoints (`checkpoint`), pictures (`images`), scores
(`metrics`) and notebook helpers (`notebook`). No layer, loss or training loop of a GAN is in here.
"""


class UserError(Exception):
    """Something the user can mend: the message is one line that names the thing and the remedy (exit code 2)."""

    exit_code = 2


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
