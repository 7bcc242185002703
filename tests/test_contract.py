"""What every chapter promises: its files and sections, its size, and that its README tells the truth about the code."""

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import numpy as np
import pytest
import tyro
from PIL import Image
from torch.distributed.run import get_args_parser

from common import UserError
from tests.conftest import CHAPTERS, ROOT

Script = Callable[..., tuple[int, str, str]]
SECTIONS = [
    "The problem", "The idea", "The mathematics", "A tour of the code", "What changed", "Run it", "Results",
    "What goes wrong", "Exercises", "References",
]  # fmt: skip
# Lines of code files at most.
LARGE = {"model.py": 350, "train.py": 300, "generate.py": 235}
BUDGETS = {"01": {"model.py": 110, "train.py": 170, "generate.py": 125}, "07": LARGE, "08": LARGE}
DEFAULT_BUDGET = {"model.py": 210, "train.py": 240, "generate.py": 185}
BUDGETS["05"] = DEFAULT_BUDGET | {"model.py": 225, "generate.py": 240}
BUDGETS["06"] = DEFAULT_BUDGET | {
    "model.py": 280,
    "train.py": 275,
    "generate.py": 190,
}  # the paper's translator, and the default's
COMMON_BUDGET = 3042
WALKTHROUGHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("[0-9][0-9]_*/README.md"))]
ROOMS = [folder for folder in sorted(ROOT.iterdir()) if re.match(r"\.github$|[^.]", folder.name)]
ROOMS = [room for room in ROOMS if room.name not in ("runs", "data") and not (room / "pyvenv.cfg").exists()]
MARKDOWN = [*ROOT.glob("*.md"), *(path for room in ROOMS for path in sorted(room.rglob("*.md")))]
MARKDOWN = [path for path in MARKDOWN if "node_modules" not in path.parts]
NOTEBOOKS = sorted(ROOT.glob("[0-9][0-9]_*/*.ipynb"))
COMMON = sorted(ROOT.glob("common/**/*.py"))


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
                if ast.unparse(field.annotation).startswith("ClassVar"):
                    continue  # no flag
                behind = lines[field.lineno - 1][field.end_col_offset :] if field.lineno == field.end_lineno else ""
                assert behind.startswith("  # "), f"{path.name}: {ast.unparse(field)}"


def test_a_program_does_not_wait_for_what_it_does_not_use() -> None:
    """Each of these takes a second to load; without them a training starts in three quarters of the time."""
    slow = ("torchmetrics", "scipy.signal", "matplotlib.pyplot", "onnx", "dicebear")
    program = (
        f"import sys, common.command_line, common.run, common.scores; print([n for n in {slow} if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_scripts_of_the_tests_find_common() -> None:
    """`python tests/NAME.py` has only its own folder on the path."""
    texts = {path: path.read_text() for path in ROOT.glob("tests/*.py")}
    scripts = [path for path, text in texts.items() if "\nif __name__" in text and "\nfrom common" in text]
    assert len(scripts) >= 3
    for path in scripts:
        assert "\nsys.path.insert(0, str(" in texts[path], path


def test_common_defines_no_layer() -> None:
    modules = {}
    for path in COMMON:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("Module" in ast.unparse(base) for base in node.bases):
                modules[node.name] = path.name
    assert modules == {"Classifier": "classifier.py"}  # the frozen feature network of the scores


@pytest.mark.parametrize("path", sorted([*COMMON, *ROOT.glob("[0-9][0-9]_*/*.py")]), ids=lambda p: p.name)
def test_importing_a_module_does_nothing(path: Path) -> None:
    """At the top of a file there are only definitions, imports and what these need, and constants."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Expr):
            text = ast.unparse(node)
            assert isinstance(node.value, ast.Constant) or text.startswith(("sys.path.insert", "sys.modules.")), text
        elif isinstance(node, ast.If):
            assert "__main__" in ast.unparse(node.test) or "sys.modules" in ast.unparse(node.test)
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


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def prose(document: Path) -> str:
    """A Markdown file, or the Markdown cells of a notebook, without blocks of code."""
    text = document.read_text()
    if document.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: letters, digits, "_" and "-" of what is shown, spaces as "-"."""
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]+>", r"\1", heading).lower()
    return "".join(sign for sign in shown if sign.isalpha() or sign.isdecimal() or sign in "_- ").replace(" ", "-")


@cache
def anchors(document: Path) -> set[str]:
    """All that a link with a # can point at: a heading's second occurrence ends in -1, and HTML names its own."""
    text, seen, found = prose(document), Counter[str](), set()
    for heading in re.findall(r"^ {0,3}#{1,6} +(.+?)[ #]*$", text, re.MULTILINE):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found | set(re.findall(r'\b(?:id|name)="([^"]+)"', text))


def test_slugs_are_githubs() -> None:
    cases = {
        "Run it": "run-it", "What's `next`?": "whats-next", "Pix2pix: L1 & GAN": "pix2pix-l1--gan", "Größe 3×3²": "größe-33",
        "snake_case - and more": "snake_case---and-more", "A [link](x.md) here": "a-link-here",
    }  # fmt: skip
    assert {heading: slug(heading) for heading in cases} == cases


@pytest.mark.parametrize("document", [*MARKDOWN, *NOTEBOOKS], ids=named)
def test_links_resolve(document: Path) -> None:
    """Relative links lead to a file of the repository and to a heading in it, and [`name`](file.py) is defined there."""
    text = re.sub(r"`[^`\n]*`", lambda code: code[0].replace("](", ""), prose(document))  # maps[i](x) is no link
    targets = re.findall(r"\]\(<?([^)\s>]+)", text)  # [name](target), ![picture](target)
    targets += re.findall(r"^ {0,3}\[[^\]]+\]: +(\S+)", text, re.MULTILINE)
    targets += re.findall(r'\b(?:src|href)="([^"]+)"', text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists() and (file == ROOT or ROOT in file.parents), f"{named(document)}: {target}"
        assert not {ROOT / "runs", ROOT / "data"} & {file, *file.parents}, (
            f"{named(document)}: {target} is not committed"
        )
        if anchor:
            assert file.suffix == ".md", (
                f"{named(document)}: {target}: only headings of Markdown files have safe anchors"
            )
            assert anchor in anchors(file), f"{named(document)}: {target}; there is: {', '.join(sorted(anchors(file)))}"
    for name, target in re.findall(r"\[`(\w+)`\]\(([^)\s#]+\.py)\)", text):
        tree = ast.walk(ast.parse((document.parent / target).read_text()))
        defined = {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert name in defined, f"{named(document)}: {name} is not in {target}"


def commands(document: Path) -> list[str]:
    """The lines that a README tells the learner to run."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.split("#")[0].strip()]


# A test of its own runs this one whole, and compares the score with the table's.
ELSEWHERE = {"python 03_wgan_gp/generate.py --score": "test_results.py"}
PYTHON = [
    (document, command)
    for document in WALKTHROUGHS
    for command in commands(document)
    if re.match(r"python [0-9]", command) and command not in ELSEWHERE
]


def own_pictures(folder: Path, chapter: str) -> None:
    """What a README calls my_pictures: small pictures, laid out as the chapter wants them."""
    rng = np.random.default_rng(0)
    names = {
        "04_conditional_gan": [f"{kind}/{i}.png" for kind in ("cats", "dogs") for i in range(40)],
        "06_cyclegan": [f"{side}/{i}.png" for side in ("trainA", "trainB", "testA", "testB") for i in range(16)],
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
    shipped = {word: str(ROOT / word) for word in arguments if word.endswith(".safetensors") and "runs/" not in word}
    arguments = [shipped.get(word, word) for word in arguments]
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
        fewer = {
            "02": ["--batch-size", "8"],
            "08": ["--batch-sizes", "4", "8"],
        }  # 128 or 256 pictures at that width take long
        arguments += fewer.get(path[:2], []) if "paper" in arguments else []
    elif not path.endswith("generate.py"):  # an experiment in the plane
        arguments += ["--steps", "2", "--out", str(tmp_path / "plane.gif")]
    else:
        fewer = {
            "--score": "200" if path[:2] in ("05", "06") else "1000",
            "--attribute": "500",
            "--swap-table": "100",
            "--path-length": "100",
        }
        arguments += [
            "--out",
            str(tmp_path),
            *(word for flag in arguments for word in ("--num", fewer.get(flag)) if flag in fewer),
        ]
    code, printed, errors = script(path, *arguments)
    assert code == 0, errors
    written = [Path(name) for name in re.findall("^wrote (.+)", printed, re.MULTILINE)]
    for file in written:
        assert file.stat().st_size > 300, file
    if path.endswith("generate.py"):
        assert written and all(
            getattr(Image.open(file), "n_frames", 1) > 10 for file in written if file.suffix == ".gif"
        )
    if "--score" in arguments:
        (scores,) = [file for file in written if file.name.startswith("score")]
        found = json.loads(scores.read_text())
        rows = found.get("scores", found).values()
        assert len(rows) >= 3 and all(f"{row['fcd']:.2f}" in printed for row in rows if "fcd" in row)
        assert all(f"{row['l1']:.4f}" in printed for row in rows if "l1" in row)
        if "scores" in found:
            assert list(found["scores"]) == ["generated", "real (floor)", "blurred real"] and found["n"] == 1000
            assert found["network"] in printed
        if "asked_for" in found:  # chapter 04
            assert f"asked-for class  {found['asked_for']:.1%}" in printed
            assert len(found["asked_for_by_class"]) == len(found["variety_by_class"]) == 10


def mentioned(document: Path) -> list[str]:
    """Commands and flags with a value inside of sentences and tables, such as `generate.py --noise` or `--dropout 0.3`."""
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    found = re.findall(r"`((?:python [0-9]\S*/)?\w+\.py --[^`\n]+|--[a-z][\w-]* [^`\n]+)`", prose)
    return [words for words in dict.fromkeys(found) if not re.search(r"NAME|FOLDER|TIME|[<…]| t$", words)]


def parsed(module: ModuleType, arguments: list[str]) -> object:
    """What a script makes of arguments: its `Config`, or None where its parser or its checks refuse them."""
    config = next(kind for name, kind in vars(module).items() if name in ("Config", "Trials"))
    preset = arguments[arguments.index("--preset") + 1] if "--preset" in arguments else "laptop"
    default = getattr(module, "PRESETS", {}).get(preset)
    try:
        return tyro.cli(config, args=arguments, default=default, config=(tyro.conf.AvoidSubcommands,))
    except (SystemExit, UserError):
        return None


def scripts(folder: str) -> list[str]:
    """The names of a chapter's scripts with a command line, train.py first."""
    found = [path.stem for path in (ROOT / folder).glob("*.py") if "command_line(" in path.read_text()]
    return sorted(found, key="train".__ne__)


@pytest.mark.parametrize("name", CHAPTERS)
def test_flags_inside_of_sentences_are_understood(name: str, chapter: Callable[[str, str], ModuleType]) -> None:
    """The parser and the checks of the script that a sentence means take them as they are written; nothing is run."""
    for words in mentioned(ROOT / name / "README.md"):
        path = re.match(r"(?:python ([0-9]\S*)/)?(\w+)\.py ", words)
        arguments = shlex.split(words[path.end() :] if path else words)
        folder = (path and path[1]) or name  # a sentence may speak of another chapter
        meant = [path[2]] if path else scripts(name)
        assert any(parsed(chapter(folder, script), arguments) for script in meant), f"{name}/README.md: {words}"


def test_sentences_do_name_flags() -> None:
    assert sum(len(mentioned(ROOT / name / "README.md")) for name in CHAPTERS) > 20


def sections(document: Path) -> list[tuple[list[str], str]]:
    """The parts of a document, each with the chapters that its heading means: the one that it names, or all."""
    parts = re.split(r"^##+ ", re.sub(r"\\\n\s*", "", document.read_text()), flags=re.MULTILINE)
    found = []
    for part in parts:
        number = re.match(r".*\bChapter (\d\d)\b", part)
        found.append(([name for name in CHAPTERS if not number or name.startswith(number[1])], part))
    return found


def said(part: str) -> list[str]:
    """The commands of a text, one a line in blocks of code or inside of sentences, and the flags with a value."""
    blocks = "\n".join(re.findall(r"^ *```bash\n(.*?)^ *```", part, re.DOTALL | re.MULTILINE))
    inline = re.sub(r"^ *```.*?^ *```", "", part, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^ *(python (?:[0-9]|tests/|-m common).*)", blocks, re.MULTILINE)
    found += re.findall(r"`(python (?:[0-9]|tests/|-m common)[^`\n]+|--[a-z][\w-]* [^`\n]+)`", inline)
    return [words for words in dict.fromkeys(found) if not re.search(r"NAME|FOLDER|TIME|[<…]", words)]


GENERAL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("document", GENERAL, ids=named)
def test_commands_of_general_documents_are_understood(
    document: Path, chapter: Callable[[str, str], ModuleType]
) -> None:
    """Trials take hours, so they are not run: the scripts' own parsers take every flag, also those inside of --flags and --variant."""

    def fails(words: str, chapters: list[str]) -> bool:
        if words.startswith("--"):
            arguments = shlex.split(words)
            return not any(parsed(chapter(name, script), arguments) for name in chapters for script in scripts(name))
        path, *arguments = shlex.split(words, comments=True)[1:]
        folder, _, file = path.rpartition("/")
        if path == "-m":
            module = importlib.import_module(arguments[0])
            return hasattr(module, "Config") and parsed(module, arguments[1:]) is None
        if folder != "tests":
            return parsed(chapter(folder, file.removesuffix(".py")), arguments) is None
        config = parsed(importlib.import_module(f"tests.{file.removesuffix('.py')}"), arguments)
        if config is None:
            return True
        inner = [shlex.split(getattr(config, "flags", ""))]  # of the benchmark
        inner += [shlex.split(variant.partition(":")[2]) for variant in getattr(config, "variant", ())]
        meant = [config.chapter] if getattr(config, "chapter", "") else chapters  # type: ignore[attr-defined]
        return not all(parsed(chapter(name, "train"), flags) for name in meant for flags in inner)

    wrong = [words for chapters, part in sections(document) for words in said(part) if fails(words, chapters)]
    assert not wrong, f"{named(document)}: {wrong}"


def test_flags_that_stand_alone_exist() -> None:
    """`--batch-size` in a sentence or notebook is a flag of some script of the course, or of torchrun."""
    known = set(re.findall(r"--[a-z][\w-]*", get_args_parser().format_help()))
    for path in [*COMMON, *ROOT.glob("[0-9][0-9]_*/*.py"), *ROOT.glob("tests/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name in ("Config", "Settings", "Flags", "Trials"):
                fields = [line for line in node.body if isinstance(line, ast.AnnAssign)]
                names = [ast.unparse(field.target).replace("_", "-") for field in fields]
                known |= {f"--{no}{name}" for name in names for no in ("", "no-")}
    for document in [*MARKDOWN, *NOTEBOOKS]:
        flags = set(re.findall(r"`(--[a-z][\w-]*)", prose(document)))
        assert not flags - known, f"{named(document)}: {flags - known}"


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
    assert len(solutions) == exercises and (exercises >= 4 or (ROOT / chapter / "exercises.ipynb").exists())
    for cell in solutions:
        assert cell["metadata"]["jupyter"]["source_hidden"] is True
        said = "".join("".join(output.get("text", "")) for output in cell["outputs"])
        assert "right" in said.splitlines() and "not yet" not in said
    ignored = sum("NBVAL_IGNORE_OUTPUT" in source for source in sources)
    assert ignored <= len(code) // 4, "as little as possible is ignored"


def test_nothing_names_a_private_place() -> None:
    """No registry, and no path of the machine that something was made on."""
    for path in [*MARKDOWN, *ROOT.glob("**/*.py"), *NOTEBOOKS]:
        if ".venv" in path.parts or "runs" in path.parts:
            continue
        text = path.read_text().replace("/no/such", "")
        assert not re.search(r"(?<![\w.])/(root|work|home/\w+|Users/\w+)/", text), path
