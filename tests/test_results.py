"""The numbers in the READMEs are those that `results.py` measured from the shipped weights, and from no others."""

import hashlib
import json
import re
from collections.abc import Callable

import pytest

from tests import by_eye, results
from tests.conftest import CHAPTERS, ROOT

KEPT = json.loads(results.FILE.read_text())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_numbers_are_those_of_the_shipped_weights(chapter: str) -> None:
    found = hashlib.sha256((ROOT / chapter / "weights.safetensors").read_bytes()).hexdigest()[:16]
    assert KEPT[chapter]["weights"] == found, f"run: python tests/results.py --chapter {chapter} --write"


PAGE = (ROOT / "docs" / "results.md").read_text()


def section(name: str) -> str:
    """One part of docs/results.md: "All chapters", or that of a chapter by its number; empty if it has none."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_table_of_the_course_says_what_was_measured(chapter: str) -> None:
    row = next(line for line in section("All chapters").splitlines() if f"](../{chapter}/README.md) |" in line)
    assert f"| {sum(KEPT[chapter]['parameters'].values()):,} | {results.cell(KEPT[chapter])}" in row


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapters_own_readme_says_what_was_measured(chapter: str) -> None:
    """All numbers of the table of scores, each seed's and those of the references: in the README, or there the ranges

    of the seeds, and each seed's numbers in docs/results.md.
    """
    text = (ROOT / chapter / "README.md").read_text()
    for row in [*KEPT[chapter]["scores"], *KEPT[chapter].get("others", {}).values()]:
        ranges = results.ranges([scores["cells"][0] for scores in KEPT[chapter]["scores"]])
        where = text + section(chapter[:2]) if f"| {ranges} |" in text else text
        for cells in row["cells"]:
            assert f"| {cells} |" in where, f"the README does not say what was measured: {cells}"
    for cells in KEPT[chapter]["scores"][0]["cells"][1:]:
        assert f"| {cells} |" in text, "the references belong beside the chapter's own scores"


def test_ranges_of_a_table_are_those_of_its_rows() -> None:
    assert results.ranges(["2.52 | 0.524", "2.24 | 0.524", "2.35 | 0.524"]) == "2.24 to 2.52 | 0.524"


def test_the_table_of_swapped_styles_says_what_was_measured() -> None:
    """Chapter 08's claim: the rows that its README shows, and all of them in docs/results.md."""
    pattern = r"^\| (\w[\w ]*) \| ((?:\d+ % \| ){4}\d+ %) \|"
    measured = dict(row.split(" | ", 1) for row in KEPT["08_stylegan"]["swapped"])
    assert dict(re.findall(pattern, section("08"), re.MULTILINE)) == measured
    shown = re.findall(pattern, (ROOT / "08_stylegan" / "README.md").read_text().replace("**", ""), re.MULTILINE)
    assert len(shown) >= 6
    for attribute, shares in shown:
        assert measured[attribute] == shares, attribute


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapters_own_readme_says_how_long_its_weights_were_trained(chapter: str) -> None:
    assert results.TRAINED[chapter].split(", ")[0] in (ROOT / chapter / "README.md").read_text()


def test_a_span_is_written_as_in_the_tables() -> None:
    assert results.span([{"a": 2.519}, {"a": 2.241}, {"a": 2.35}], "a", 2) == "2.24 to 2.52"
    assert results.span([{"a": 0.1601}, {"a": 0.1604}], "a", 3) == "0.160"


def test_one_chapter_is_measured_anew(
    script: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chapter 03, by the command of its README: the same scores as in the table, but for the processor's rounding."""

    def run(path: str, *arguments: object) -> str:  # in this process, which has everything imported
        code, printed, errors = script(path, *arguments)
        assert code == 0, errors
        return printed

    monkeypatch.setattr(results, "run", run)
    results.main(results.Config(chapter="03_wgan_gp"))
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| 03_wgan_gp"))
    kept = [scores["score"] for scores in KEPT["03_wgan_gp"]["scores"]]
    ends = re.search(r"FCD ([\d.]+) to ([\d.]+)", row)
    assert ends and [float(end) for end in ends.groups()] == pytest.approx([min(kept), max(kept)], abs=0.02)


def test_the_table_of_faults_has_what_the_viewers_said() -> None:
    seen = json.loads((ROOT / "tests" / "by_eye.json").read_text())
    for chapter, lists in seen.items():
        drawn, real = zip(*(by_eye.count(chapter, seed, tuple(faulty)) for seed, faulty in enumerate(lists)))
        row = f"| {chapter[:2]} | {drawn[0]} and {drawn[1]} | {real[0]} and {real[1]} |"
        assert row in section("All chapters"), row
