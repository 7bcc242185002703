"""What every chapter promises: its files and sections, its size, and that its README tells the truth about the code."""

import ast
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tyro
from PIL import Image

from common import UserError
from tests.conftest import CHAPTERS, ROOT

Script = Callable[..., tuple[int, str, str]]
SECTIONS = [
    "The problem", "The idea", "The mathematics", "A tour of the code", "What changed", "Run it", "Results",
    "What goes wrong", "Exercises", "References",
]  # fmt: skip
# Lines of code files at most; CONTRIBUTING.md says why they are what they are.
LARGE = {"model.py": 350, "train.py": 300, "generate.py": 220}
BUDGETS = {"01": {"model.py": 110, "train.py": 170, "generate.py": 125}, "07": LARGE, "08": LARGE}
DEFAULT_BUDGET = {"model.py": 210, "train.py": 240, "generate.py": 185}
COMMON = sorted(ROOT.glob("common/**/*.py"))
COMMON_BUDGET = 2390
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("[0-9][0-9]_*/README.md")]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_its_files_and_sections(chapter: str) -> None:
    folder = ROOT / chapter
    for name in ("README.md", f"{chapter[3:]}.ipynb", "model.py", "train.py", "generate.py", "weights.safetensors"):
        assert (folder / name).is_file(), name
    assert (folder / "weights.safetensors").stat().st_size < 8 * 2**20
    headings = re.findall(r"^## (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_line_budgets(chapter: str) -> None:
    for name, most in BUDGETS.get(chapter[:2], DEFAULT_BUDGET).items():
        lines = len((ROOT / chapter / name).read_text().splitlines())
        assert lines <= most, f"{chapter}/{name} has {lines} lines, the budget is {most}"


def test_common_stays_thin() -> None:
    assert sum(len(path.read_text().splitlines()) for path in COMMON) <= COMMON_BUDGET


def imports(path: Path) -> set[str]:
    """The names of all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapters_stand_alone(chapter: str) -> None:
    """A chapter imports its own files, common and libraries: never another chapter, never the tests."""
    for path in (ROOT / chapter).glob("*.py"):
        own = {file.stem for file in path.parent.glob("*.py")}
        neighbours = {file.stem for file in ROOT.glob("[0-9][0-9]_*/*.py")} - own
        assert not {name.split(".")[0] for name in imports(path)} & (neighbours | {"tests"})
        inserted = [line for line in path.read_text().splitlines() if "sys.path" in line]
        assert all("parents[1]" in line for line in inserted), "only the repository root is put on the path"


@pytest.mark.parametrize(
    "path", [ROOT / "common/command_line.py", *ROOT.glob("[0-9][0-9]_*/*.py")], ids=lambda p: p.name
)
def test_every_flag_is_one_line_with_its_help_behind_it(path: Path) -> None:
    """A comment on a line of its own is no help text, and a number alone in parentheses has pushed its comment there."""
    lines = path.read_text().splitlines()
    for kind in ast.parse("\n".join(lines)).body:
        if isinstance(kind, ast.ClassDef) and kind.name in ("Config", "Settings", "Flags"):
            for field in (node for node in kind.body if isinstance(node, ast.AnnAssign)):
                behind = lines[field.lineno - 1][field.end_col_offset :] if field.lineno == field.end_lineno else ""
                assert behind.startswith("  # "), f"{path.name}: {ast.unparse(field)}"


def test_common_defines_no_layer() -> None:
    modules = {}
    for path in COMMON:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("Module" in ast.unparse(base) for base in node.bases):
                modules[node.name] = path.name
    assert modules == {"Classifier": "classifier.py"}  # the frozen feature network of the scores


@pytest.mark.parametrize("path", sorted([*COMMON, *ROOT.glob("[0-9][0-9]_*/*.py")]), ids=lambda p: p.name)
def test_importing_a_module_does_nothing(path: Path) -> None:
    """At the top of a file there are only definitions, imports, constants, and the path line."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Expr):
            text = ast.unparse(node)
            assert isinstance(node.value, ast.Constant) or text.startswith("sys.path.insert"), text
        elif isinstance(node, ast.If):
            assert "__main__" in ast.unparse(node.test)
        else:
            allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
            assert isinstance(node, allowed), ast.unparse(node)


def test_public_functions_are_documented_and_typed() -> None:
    for path in [*COMMON, *ROOT.glob("[0-9][0-9]_*/*.py")]:
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and node.name != "main"
            ):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"
            if isinstance(node, ast.FunctionDef):
                assert node.returns is not None, f"{path.name}: {node.name}"


# ---------------------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.parent.name)
def test_links_and_names_resolve(document: Path) -> None:
    """Relative links lead somewhere, and [`name`](file.py) is defined in that file."""
    text = document.read_text()
    for label, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", text):
        if target.startswith(("http", "#")):
            continue
        file = document.parent / target.split("#")[0]
        assert file.exists(), f"{document}: {target}"
        name = re.fullmatch(r"`(\w+)`", label)
        if name and file.suffix == ".py":
            defined = {
                node.name
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
            }
            assert name[1] in defined, f"{document}: {name[1]} is not in {target}"
    for image in re.findall(r'<img src="([^"]+)"', text):
        assert (document.parent / image).exists(), image


def commands(document: Path) -> list[str]:
    """The lines that a README tells the learner to run."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.split("#")[0].strip()]


PYTHON = [
    (document, command)
    for document in DOCUMENTS
    for command in commands(document)
    if re.match(r"python [0-9]", command)
]


def own_pictures(folder: Path, chapter: str) -> None:
    """What a README calls my_pictures: small pictures, laid out as the chapter wants them."""
    rng = np.random.default_rng(0)
    names = {
        "04_conditional_gan": [f"{kind}/{i}.png" for kind in ("cats", "dogs") for i in range(40)],
        "06_cyclegan": [f"{side}/{i}.png" for side in ("trainA", "trainB", "testA", "testB") for i in range(4)],
    }.get(chapter, [f"{i}.png" for i in range(70)])
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        width = 80 if chapter == "05_pix2pix" else 40  # input and answer side by side
        Image.fromarray(rng.integers(0, 256, (40, width, 3), np.uint8)).save(folder / name)


@pytest.mark.parametrize(("document", "command"), PYTHON, ids=[command for _, command in PYTHON])
def test_readme_commands_run_as_written(
    document: Path, command: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of a README, word for word, with only its length, and the folder it writes to, replaced."""
    monkeypatch.chdir(tmp_path)  # where the learner has pictures, and a run
    path, *arguments = shlex.split(command)[1:]
    chapter = path.split("/")[0]
    assert "--devices" not in arguments, "a test of its own has to run this"
    if f"runs/{chapter}/TIME" in command:
        before = ["--max-steps", 2, "--out", f"runs/{chapter}/TIME"]
        assert script(f"{chapter}/train.py", *before)[0] == 0
    if any(word.startswith("my_pictures/") for word in arguments):  # a single picture
        own = tmp_path / next(word for word in arguments if word.startswith("my_pictures/"))
        own.parent.mkdir()
        Image.new("RGB", (90, 70), "tomato").save(own)
    elif "my_pictures" in arguments:
        own_pictures(tmp_path / "my_pictures", chapter)
    if "--resume" in arguments:
        arguments += ["--max-steps", "3"]
    elif path.endswith("train.py"):
        arguments += ["--max-steps", "1" if "paper" in arguments else "2", "--out", str(tmp_path / "run")]
        if {"paper", "mnist", "fashion-mnist", "cifar10", "celeba", "maps"} & set(arguments):  # a download, or large
            starter = (
                ["--data", "satellite-map", "--size", "64"] if path[:2] in ("05", "06") else ["--data", "mnist-10k"]
            )
            arguments += starter
    elif not path.endswith("generate.py"):  # an experiment in the plane
        arguments += ["--steps", "2", "--out", str(tmp_path / "plane.gif")]
    else:
        fewer = {"--score": "1000", "--attribute": "500", "--swap-table": "100", "--path-length": "100"}
        arguments += [
            "--out",
            str(tmp_path),
            *(word for flag in arguments for word in ("--num", fewer.get(flag)) if flag in fewer),
        ]
    code, _, errors = script(path, *arguments)
    assert code == 0, errors


def mentioned(document: Path) -> list[str]:
    """Commands and flags with a value inside of sentences and tables, such as `generate.py --noise` or `--dropout 0.3`."""
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    found = re.findall(r"`((?:python [0-9]\S*/)?\w+\.py --[^`\n]+|--[a-z][\w-]* [^`\n]+)`", prose)
    return [words for words in dict.fromkeys(found) if not re.search(r"NAME|FOLDER|TIME|[<…]| t$", words)]


@pytest.mark.parametrize("name", CHAPTERS)
def test_flags_inside_of_sentences_are_understood(name: str, chapter: Callable[[str, str], ModuleType]) -> None:
    """The parser and the checks of the script that a sentence means take them as they are written; nothing is run."""
    own = [path.stem for path in (ROOT / name).glob("*.py") if "command_line(" in path.read_text()]

    def understood(folder: str, script: str, arguments: list[str]) -> bool:
        module = chapter(folder, script)  # one at a time: the parser looks its Config up among the imported modules
        presets = getattr(module, "PRESETS", {})
        paper = arguments[arguments.index("--preset") + 1] if "--preset" in arguments else "laptop"
        try:
            tyro.cli(module.Config, args=arguments, default=presets.get(paper), config=(tyro.conf.AvoidSubcommands,))
        except (SystemExit, UserError):
            return False
        return True

    found = mentioned(ROOT / name / "README.md")
    assert found
    for words in found:
        path = re.match(r"(?:python ([0-9]\S*)/)?(\w+)\.py ", words)
        arguments = shlex.split(words[path.end() :] if path else words)
        folder = (path and path[1]) or name  # a sentence may speak of another chapter
        meant = [path[2]] if path else sorted(own, key="train".__ne__)
        assert any(understood(folder, script, arguments) for script in meant), f"{name}/README.md: {words}"


# ---------------------------------------------------------------------------------------------------- notebooks


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_notebooks_are_executed_and_their_solutions_are_hidden(chapter: str) -> None:
    notebook = json.loads((ROOT / chapter / f"{chapter[3:]}.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in code]
    assert counts == list(range(1, len(code) + 1)), "execute the notebook from top to bottom: see CONTRIBUTING.md"
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])
    sources = ["".join(cell["source"]) for cell in code]
    exercises = sum("answer = ..." in source for source in sources)
    solutions = [cell for cell in code if "".join(cell["source"]).startswith("# @title Solution")]
    assert exercises >= 4 and len(solutions) == exercises
    for cell in solutions:
        assert cell["metadata"]["jupyter"]["source_hidden"] is True
        said = "".join("".join(output.get("text", "")) for output in cell["outputs"])
        assert "right" in said.splitlines() and "not yet" not in said
    ignored = sum("NBVAL_IGNORE_OUTPUT" in source for source in sources)
    assert ignored <= len(code) // 4, "as little as possible is ignored"


def test_nothing_names_a_private_place() -> None:
    """No registry, and no path of the machine that something was made on."""
    for path in [*DOCUMENTS, *ROOT.glob("**/*.py"), *ROOT.glob("[0-9][0-9]_*/*.ipynb")]:
        if ".venv" in path.parts or "runs" in path.parts:
            continue
        text = path.read_text().replace("/no/such", "")
        assert not re.search(r"(?<![\w.])/(root|work|home/\w+|Users/\w+)/", text), path
