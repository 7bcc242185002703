"""Write the repository's address from CITATION.cff into the root README and the first cell of each notebook: python site/address.py"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

from common.checkpoint import write_atomically

ROOT = Path(__file__).resolve().parents[1]


def stated() -> str:
    """The address in CITATION.cff, or nothing."""
    found = re.search(
        r'^repository-code: *"?([^"\s]+)', (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )
    return found[1] if found else ""


def addressed(text: str, address: str) -> str:
    """The text of a notebook's file, or of the README, with this address; nothing else of it changes."""
    inside = json.dumps(f'REPOSITORY = "{address}"')[1:-1]  # as it stands in a string of JSON
    text = re.sub(r'REPOSITORY = \\"[^"\\]*\\"', lambda _: inside, text)
    return re.sub(r"git clone --depth 1 \S+ gans", lambda _: f"git clone --depth 1 {address or 'ADDRESS'} gans", text)


def main() -> None:
    for path in (ROOT / "README.md", *sorted(ROOT.glob("[0-9][0-9]_*/*.ipynb"))):
        before = path.read_text(encoding="utf-8")
        after = addressed(before, stated())
        if after != before:
            write_atomically(path, after.encode())
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
