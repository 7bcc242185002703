"""What holds the project together: versions that were tested, files for those who report, and a repository that stays light."""

import base64
import io
import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from docs import pictures
from tests.conftest import CHAPTERS, QUICK, ROOT

NOTEBOOKS = sorted(ROOT.glob("[0-9][0-9]_*/*.ipynb"))
BINARY = {".safetensors", ".gz", ".npz", ".zip", ".png", ".gif", ".jpg", ".webp"}
MOST_BINARY = 80  # MiB in all. Each version of such a file stays in the history: raise it knowingly
MOST_NOTEBOOK = 4.5  # MiB
WIDEST = 1600  # pixels


def requirements(file: str = "requirements.txt") -> dict[str, Requirement]:
    """The lines of a file of requirements by the names of their packages."""
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return {canonicalize_name(found.name): found for found in map(Requirement, filter(None, lines))}


def test_constraints_fit_the_requirements() -> None:
    """Each package that is asked for was tested in an exact version, which is the same on every machine."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    exact = dict(line.split("==") for line in lines)
    assert list(exact) == sorted(canonicalize_name(name) for name in exact)
    assert not [line for line in lines if "+" in line or line.startswith(("nvidia", "cuda", "triton"))]
    for name, asked in (requirements() | requirements("site/requirements.txt")).items():
        assert exact[name] in asked.specifier, f"{asked}: {exact[name]} was tested"


def test_the_oldest_versions_are_those_that_are_tested() -> None:
    """The lower bounds of requirements.txt, which the workflow installs, belong together."""
    oldest = {name: str(asked.specifier).removeprefix(">=") for name, asked in requirements().items()}
    packages = [job["packages"] for job in workflow()["jobs"]["everything"]["strategy"]["matrix"]["include"]]
    assert f"torch=={oldest['torch']}.* torchvision=={oldest['torchvision']}.*" in packages
    torch_minor, vision_minor = (int(oldest[name].split(".")[1]) for name in ("torch", "torchvision"))
    assert vision_minor == torch_minor + 15  # torchvision 0.21 is made for torch 2.6
    assert "-c constraints.txt" in packages and (ROOT / "constraints.txt").exists()


def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text()))


def test_the_workflow_runs_what_is_there() -> None:
    """Scripts, options and actions that exist; a run each week; other systems than Linux."""
    found = workflow()
    assert {"push", "pull_request", "schedule"} == found[True].keys()  # YAML 1.1 reads "on" as true
    steps = [step for job in found["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    commands = [step["run"] for step in steps if "run" in step]
    for command in commands:
        for file in re.findall(r"\S+\.(?:py|txt)|\.ci/run", command):
            assert (ROOT / file).exists(), command
    assert "pytest -m quick" in commands
    assert {"macos-latest", "windows-latest"} == {*found["jobs"]["first-steps"]["strategy"]["matrix"]["system"]}


def test_the_quick_tests_exist() -> None:
    assert all((ROOT / "tests" / f"{name}.py").exists() for name in QUICK)


def test_the_citation_can_be_read() -> None:
    """The keys that CFF 1.2.0 asks for, and the title of the course."""
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= found.keys()
    assert f"# {found['title']}" == (ROOT / "README.md").read_text().splitlines()[0]
    assert found["license"] in (ROOT / "LICENSE").read_text() and found["type"] == "software"


def test_a_report_says_what_machine_it_is() -> None:
    """The issue form names a command that works, and what it prints names neither places nor people."""
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    assert {"name", "description", "body"} <= form.keys()
    asked = " ".join(part["attributes"].get("description", "") for part in form["body"])
    words = re.search(r"`python (tests/\w+\.py)`", asked)
    assert words
    printed = subprocess.run([sys.executable, *words[1].split()], cwd=ROOT, capture_output=True, text=True).stdout
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in printed.splitlines())
    assert facts["Python"] == platform.python_version() and facts["torch"] == torch.__version__
    assert facts["native bf16"] in ("yes", "no") and "cores" in facts["processor"]
    assert str(Path.home()) not in printed


def test_binary_files_stay_few() -> None:
    folders = [*ROOT.glob("[0-9][0-9]_*"), ROOT / "common", ROOT / "docs"]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in BINARY]
    own = {path: path.stat().st_size for path in files}
    largest = sorted(own, key=own.__getitem__)[-5:]
    assert sum(own.values()) <= MOST_BINARY * 2**20, f"{sum(own.values()) / 2**20:.1f} MiB; the largest are {largest}"


def test_pictures_of_the_documents_come_from_their_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each is one that docs/pictures.py makes, no wider than a page shows it; and the script draws one anew, the same."""
    made = {path for path, _ in pictures.PICTURES.values()}
    playground = ROOT / "docs" / "pictures" / "playground.png"  # tests/browser.mjs takes this one
    assert {*(ROOT / "docs" / "pictures").glob("*")} - {playground} <= made
    for path in made:
        assert Image.open(path).width <= 800 and path.stat().st_size < 150_000, path.name
    kept, draw = pictures.PICTURES["distances"]
    monkeypatch.setitem(pictures.PICTURES, "distances", (tmp_path / "distances.png", draw))
    pictures.main(["distances"])
    new, old = (np.asarray(Image.open(path).convert("RGB"), float) for path in (tmp_path / "distances.png", kept))
    assert np.abs(new[60:170] - old[60:170]).mean() < 8  # the faces, not the letters, of which each system has its own


# Walkthroughs that do not keep the measure yet. A name leaves this list when its text does, and the test asks for that.
TOO_LONG_YET: list[str] = []


def sentences(text: str) -> list[str]:
    """The sentences of a Markdown text, without code, formulas, tables, pictures and headings."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$", "\n\n", text, flags=re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not re.match(r"\s*(#|\||<|!\[)", line))
    text = re.sub(r"`[^`\n]*`|\$[^$\n]+\$", "X", text)  # code and a formula inside of a sentence are a word
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # a link is its words
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.)\s", text)]
    found = [part for block in blocks for part in re.split(r"(?<=[.!?])[)\"*_]*\s+(?=[A-Z\"(*_])", block)]
    return [part for part in found if len(part.split()) > 2]


def faults(text: str, most: int) -> list[str]:
    """What makes a walkthrough hard to read: its length, long sentences, many parentheses."""
    parts = sentences(text)
    lengths = [len(part.split()) for part in parts]
    words = len(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split())
    total, brackets = sum(lengths), sum(part.count("(") for part in parts)
    found = {
        f"{words} words, at most {most}": words > most,
        f"a sentence of {max(lengths)} words, at most 35": max(lengths) > 35,
        f"{total / len(parts):.1f} words a sentence, at most 20": total > 20 * len(parts),
        f"{brackets} parentheses in {total} words, at most 1.5 in 100": brackets > 0.015 * total,
    }
    return [fault for fault, is_one in found.items() if is_one]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_walkthrough_reads_in_one_go(chapter: str) -> None:
    """At most 2,000 words (2,800 in 08) as `wc -w` counts, but for code and diagrams; in sentences that one can read aloud."""
    found = faults((ROOT / chapter / "README.md").read_text(), 2800 if chapter.startswith("08") else 2000)
    if chapter in TOO_LONG_YET:
        assert found, f"{chapter} keeps the measure: take it off the list"
    else:
        assert not found, f"{chapter}/README.md: {found}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("A short one here. " * 501, "2004 words"),
        ("Three short words. " + "Word " * 36 + "end.", "a sentence of 37 words"),
        (("Word " * 21 + "end. ") * 3, "22.0 words a sentence"),
        ("One thing (and another) is here. " * 3, "3 parentheses"),
    ],
)
def test_the_measure_of_a_walkthrough_finds_each_fault(text: str, what: str) -> None:
    assert any(fault.startswith(what) for fault in faults(text, 2000))
    assert not faults("A link [to a page](https://a.b/c) is its words. `f(x)` and $g(x)$ are one each.", 2000)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_stay_light(path: Path) -> None:
    """No times, which change with each execution, and no picture wider than a screen."""
    assert path.stat().st_size <= MOST_NOTEBOOK * 2**20
    cells = json.loads(path.read_text())["cells"]
    timed = [number for number, cell in enumerate(cells) if "execution" in cell["metadata"]]
    assert not timed, f"cells with times: {timed}; execute with --ExecutePreprocessor.record_timing=False"
    for number, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture:
                width = Image.open(io.BytesIO(base64.b64decode("".join(picture)))).width
                assert width <= WIDEST, f"cell {number} shows a picture of {width} pixels"


def test_every_picture_is_shown_somewhere() -> None:
    """What no page shows only makes the course heavier."""
    everywhere = " ".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    assets = sorted(ROOT.glob("[0-9][0-9]_*/assets/*"))
    unseen = []
    for asset in assets:
        chapter = asset.parents[1]
        own = " ".join(path.read_text() for path in (*chapter.glob("*.md"), *chapter.glob("*.ipynb")))
        if f"assets/{asset.name}" not in own and f"{chapter.name}/assets/{asset.name}" not in everywhere:
            unseen.append(asset.relative_to(ROOT))
    assert len(assets) > 40 and not unseen
