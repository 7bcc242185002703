"""Verdicts and checks say the right thing, and the plots show what they are given."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from common import checks, notebook
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., "not answered yet"),
        (2.0, "right"),
        (2.019, "right"),
        (3, "too large"),
        (1.0, "too small"),
        ("2", "give a number, not str"),
        (True, "give a number, not bool"),
        ([2.0], "give a number, not list"),
        (torch.tensor(2.0), "right"),
        (-2.0, "of the wrong sign"),
    ],
)
def test_numbers(answer: object, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    checks.check_number(answer, 2.0, hint="think")
    printed = capsys.readouterr().out
    assert said in printed
    assert ("think" in printed) == ("too" in said or "sign" in said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(..., "not answered yet"), ("a", "right: so"), (" A.", "right"), ("b", "because"), ("z", "one of ['a', 'b']")],
)
def test_choices(answer: object, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    checks.check_choice(answer, "a", {"b": "because"}, why="so")
    assert said in capsys.readouterr().out


def test_functions(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0]),)]

    def said(answer: object) -> str:
        checks.check(answer, lambda x: x * 2, checks.on_cases(cases), {}, hint="double it")
        return capsys.readouterr().out.strip()

    assert said(...) == "not answered yet"
    assert said(lambda x: x + x) == "right"
    assert said(lambda x: x + 1).startswith("not yet: your result in case 1 is off by up to")
    assert "shape" in said(lambda x: x.sum())
    assert "raised ZeroDivisionError" in said(lambda x: 1 / 0)
    assert said(lambda x: x * float("nan")).startswith("not yet")


def test_functions_that_are_left_blank_or_return_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def blank(x: torch.Tensor) -> torch.Tensor:  # type: ignore[empty-body]
        """What it should do."""
        ...

    def forgetful(x: torch.Tensor) -> None:
        x * 2

    for answer, said in (
        (blank, "not answered yet\n"),
        (forgetful, "not yet: your code returns nothing: a `return` is missing.\n"),
    ):
        checks.check(answer, lambda x: x * 2, checks.on_cases([(torch.ones(2),)]), {})
        assert capsys.readouterr().out == said


def test_a_check_leaves_random_numbers_and_its_cases_alone(capsys: pytest.CaptureFixture[str]) -> None:
    case, before = torch.ones(2), torch.get_rng_state()
    checks.check(lambda x: x.mul_(2) + 0 * torch.rand(()), lambda x: x * 2, checks.on_cases([(case,)]), {})
    assert capsys.readouterr().out == "right\n"
    assert case.tolist() == [1, 1] and torch.equal(before, torch.get_rng_state())


def test_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    notebook.verdict("Eq. 1 starts with gradients ≈ {:.0f} times smaller", 278.2, "more than", 10)
    notebook.verdict("the loss follows quality: ≈ {:.2f}", torch.tensor(-0.91), "at least", 0.8, meant_to_fail=True)
    notebook.verdict("{} modes", 7, "exactly", 8)
    notebook.verdict("a loss of {:.1f}", float("nan"), "less than", 1)
    assert capsys.readouterr().out.splitlines() == [
        "✓ Eq. 1 starts with gradients ≈ 278 times smaller (required: more than 10)",
        "✗ the loss follows quality: ≈ -0.91 (required: at least 0.8; meant to fail)",
        "✗ 7 modes (required: exactly 8)",
        "✗ a loss of nan (required: less than 1)",
    ]


def test_only_numbers_behind_the_sign_may_differ(tmp_path: Path) -> None:
    """What pytest --nbval says of cells that print the second text where the first is stored."""
    pairs = {
        "another number": (
            "✓ ≈ 278 times (required: more than 10)",
            "✓ ≈ 1,035.5 times (required: more than 10)",
            True,
        ),
        "another sign": ("FCD ≈ -0.5e-05 here", "FCD ≈ 12 here", True),
        "another verdict": (
            "✓ ≈ 278 times (required: more than 10)",
            "✗ ≈ 278 times (required: more than 10)",
            False,
        ),
        "another bound": ("✓ ≈ 278 times (required: more than 10)", "✓ ≈ 278 times (required: more than 5)", False),
        "no such sign": ("FCD = 2.5", "FCD = 2.6", False),
    }
    book = nbformat.v4.new_notebook()
    for stored, now, _ in pairs.values():
        output = nbformat.v4.new_output("stream", name="stdout", text=stored + "\n")
        book.cells.append(nbformat.v4.new_code_cell(f"print({now!r})", execution_count=1, outputs=[output]))
    nbformat.write(book, tmp_path / "book.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "pyproject.toml",
        "-n",
        "0",
        "-rA",
        "--nbval",
        str(tmp_path / "book.ipynb"),
    ]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    found = {
        int(number): word == "PASSED"
        for word, number in re.findall(r"^(PASSED|FAILED) .*Cell (\d+)", said, re.MULTILINE)
    }
    assert list(found.values()) == [passes for _, _, passes in pairs.values()], said


def test_source_comes_from_the_file() -> None:
    from common.images import to_uint8

    shown = notebook.show_source(to_uint8).data
    assert shown.startswith("```python\ndef to_uint8(") and "clamp(0, 255)" in shown


def test_curves_keep_the_colours_of_the_course() -> None:
    steps = [float(step) for step in range(20)]  # of which a running mean takes the last two
    history = {"step": steps, "loss/d": steps, "loss/g": [1.0] * 20, "prob/real": [0.5] * 20}
    assert [axis.get_ylabel() for axis in notebook.plot_curves(history, {"prob": "Beliefs"}).axes] == ["prob"]
    figure = notebook.plot_curves(history, {"loss": "The two losses", "prob": "Beliefs"})
    left, right = figure.axes
    colours = {line.get_label(): line.get_color() for axis in (left, right) for line in axis.lines}
    expected = {"discriminator": notebook.JUDGE, "generator": notebook.FAKE, "D(x), real pictures": notebook.REAL}
    assert {label: colours[label] for label in expected} == expected
    assert left.get_title() == "The two losses"
    smooth = next(line for line in left.lines if line.get_label() == "discriminator")
    assert list(smooth.get_ydata()) == [0.0, *(step - 0.5 for step in steps[1:])]  # type: ignore[arg-type]
    critics = notebook.plot_curves(history | {"wasserstein/estimate": steps}).axes
    assert [axis.get_title() for axis in critics][:2] == ["the losses", "what the discriminator believes"]
    assert critics[0].get_legend().get_texts()[0].get_text() == "critic"
