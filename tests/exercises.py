"""From solutions.ipynb to exercises.ipynb: what stands between two marks becomes three dots, and outputs go.

    python tests/exercises.py 01_basic_gan

The marks are lines of their own: `# BEGIN SOLUTION` and `# END SOLUTION`. Of a solution that sets `answer`, "answer = ..." is left.
In text the marks are HTML comments, and nothing is left.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import tyro

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"^( *)# BEGIN SOLUTION\n(.*?)^ *# END SOLUTION$", re.DOTALL | re.MULTILINE)
TEXT = re.compile(r"^<!-- BEGIN SOLUTION -->\n.*?^<!-- END SOLUTION -->\n*", re.DOTALL | re.MULTILINE)


@dataclass
class Config:
    """Make exercises.ipynb from a chapter's solutions.ipynb."""

    chapter: tyro.conf.Positional[str]  # such as 01_basic_gan


def dots(solution: re.Match[str]) -> str:
    """What is left of a solution."""
    return solution[1] + ("answer = ..." if re.search("^answer = ", solution[2], re.MULTILINE) else "...")


def without_solutions(path: Path) -> str:
    """The text of the exercises that belong to a notebook of solutions."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(source=CODE.sub(dots, cell.source), outputs=[], execution_count=None)
        else:
            cell.source = TEXT.sub("", cell.source)
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    path = ROOT / tyro.cli(Config).chapter / "exercises.ipynb"
    path.write_text(without_solutions(path.with_name("solutions.ipynb")), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
