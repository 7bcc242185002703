"""The rooms of `common`: what may import what, the page of their names, and chapters beside each other."""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from common import UserError, load_chapter
from tests.conftest import CHAPTERS, ROOT

# From below: each room imports only what stands to its left. `common` itself is its __init__.
ORDER = (
    "common", "art", "checkpoint", "images", "onnx", "devices", "data", "scores", "notebook", "checks", "diagnosis", "run", "command_line",
)  # fmt: skip


def module(path: Path) -> str:
    """common/data/faces.py -> common.data.faces"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module(path): path for path in sorted(ROOT.glob("common/**/*.py"))}


def room(name: str) -> str:
    return [*name.split("."), "common"][1] if name != "common" else "common"


def names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) for each name of `common` that a program imports, also inside of functions; of a module, what it uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "common")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "common":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole not in FILES:
                    yield node.module or "", alias.name
                    continue
                local = alias.asname or alias.name
                found = {
                    n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == local
                }
                yield from ((whole, attribute) for attribute in found or {""})


def test_rooms_import_only_what_stands_above_them() -> None:
    graph = {name: {used for used, _ in names(ast.parse(path.read_text()))} for name, path in FILES.items()}
    assert {room(name) for name in FILES} == set(ORDER)
    for name, below in graph.items():
        for used in below:
            assert ORDER.index(room(used)) <= ORDER.index(room(name)), (
                f"{name} imports {used}, which stands below it in common/README.md"
            )
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError for files of one room that need each other


def test_a_file_of_common_has_one_job() -> None:
    for path in FILES.values():
        assert len(path.read_text().splitlines()) <= 300, path


# --------------------------------------------------------------------------------------------- the page of names


def programs() -> Iterator[str]:
    """The source of each script and each notebook's cell of the chapters."""
    for chapter in CHAPTERS:
        yield from (path.read_text() for path in (ROOT / chapter).glob("*.py"))
        for path in (ROOT / chapter).glob("*.ipynb"):
            cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
            lines = (line for cell in cells for line in ("".join(cell["source"]) + "\n").splitlines())
            yield "\n".join("" if line.startswith(("%", "!", "    %", "    !")) else line for line in lines)


def test_the_page_of_names_is_complete_and_has_no_stale_ones() -> None:
    page = (ROOT / "common" / "README.md").read_text()
    used = {name for source in programs() for _, name in names(ast.parse(source))}
    listed = re.findall(r"^\| `(\w+)` \| \[`(.+)`\]\(\2\) \| .+ \|$", page, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(used)
    for name, link in listed:
        body = ast.parse((ROOT / "common" / link).read_text()).body
        own = {getattr(node, "name", "") for node in body} | {
            n.id for node in body for n in ast.walk(node) if isinstance(n, ast.Name)
        }
        assert name in own, f"{name} is not defined in {link}"
    rooms = re.findall(r"^\| \[`(\w+)(?:\.py|/)`\]", page, re.MULTILINE)
    assert rooms == ["__init__", *ORDER[1:]]  # in their order


# ------------------------------------------------------------------------------------------ two chapters at once


def test_chapters_stand_beside_each_other(chapter: Callable[[str, str], ModuleType]) -> None:
    loaded = [load_chapter(name, "model") for name in CHAPTERS]
    for first, second in pairwise(loaded):
        assert first.Generator is not second.Generator
    train = load_chapter("02_dcgan", "train")
    assert train.Generator is loaded[1].Generator  # one chapter's files share theirs
    assert sys.modules["02_dcgan.model"] is loaded[1] and train.Config.__module__ == "02_dcgan.train"
    assert not {"model", "train"} & sys.modules.keys() and str(ROOT / "02_dcgan") not in sys.path
    with pytest.raises(UserError, match=r"there is no 02_dcgan/ring\.py"):
        load_chapter("02_dcgan", "ring")


def test_a_program_that_has_a_model_of_its_own_keeps_it(
    chapter: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ModuleType("model")
    monkeypatch.setitem(sys.modules, "model", mine)
    assert load_chapter("01_basic_gan", "model") is not mine and sys.modules["model"] is mine


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapters_import_their_own_files_at_the_top(name: str) -> None:
    """Inside of a function, another chapter's might be found under the same name."""
    own = {path.stem for path in (ROOT / name).glob("*.py")}
    for path in (ROOT / name).glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in tree.body:
                modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert not own & set(modules), f"{path.name} imports {modules} inside of a function"


def test_the_example_of_two_chapters_runs(
    chapter: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "running.md").read_text()
    (example,) = re.findall(r"```python\n(.*?load_chapter.*?)```", text, re.DOTALL)
    program = "\n".join(line.strip() for line in example.splitlines())
    monkeypatch.chdir(ROOT)
    exec(program, {})
    shown = re.search(r"print\(.*\)  # (.*)", program)
    assert shown and capsys.readouterr().out.strip() == shown[1]
