"""The checks of the exercises say the right thing, and the plots show what they are given."""

import pytest
import torch

from common import checks, notebook


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., "not answered yet"),
        (2.0, "right"),
        (2.019, "right"),
        (3, "too large"),
        (1.0, "too small"),
        ("2", "give a number, not str"),
    ],
)
def test_numbers(answer: object, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    checks.check_number(answer, 2.0, hint="think")
    printed = capsys.readouterr().out
    assert said in printed
    assert ("think" in printed) == ("too" in said)


@pytest.mark.parametrize(
    ("answer", "said"), [(..., "not answered yet"), ("a", "right"), ("b", "because"), ("z", "one of ['a', 'b']")]
)
def test_choices(answer: object, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    checks.check_choice(answer, "a", {"b": "because"})
    assert said in capsys.readouterr().out


def test_functions(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0]),)]

    def said(answer: object) -> str:
        checks.check_function(answer, lambda x: x * 2, cases, hint="double it")
        return capsys.readouterr().out.strip()

    assert said(...) == "not answered yet"
    assert said(lambda x: x + x) == "right"
    assert said(lambda x: x + 1).startswith("not yet: your result in case 1 is off by up to")
    assert "shape" in said(lambda x: x.sum())
    assert "raised ZeroDivisionError" in said(lambda x: 1 / 0)
    assert said(lambda x: x * float("nan")).startswith("not yet")


def test_source_comes_from_the_file() -> None:
    from common.images import to_uint8

    shown = notebook.show_source(to_uint8).data
    assert shown.startswith("```python\ndef to_uint8(") and "clamp(0, 255)" in shown


def test_curves_keep_the_colours_of_the_course() -> None:
    history = {"step": [1, 2, 3], "loss/d": [1.0, 2.0, 3.0], "loss/g": [1.0, 1.0, 1.0], "prob/real": [0.5, 0.6, 0.7]}
    assert [axis.get_ylabel() for axis in notebook.plot_curves(history, {"prob": "Beliefs"}).axes] == ["prob"]
    figure = notebook.plot_curves(history, {"loss": "The two losses", "prob": "Beliefs"})
    left, right = figure.axes
    colours = {line.get_label(): line.get_color() for axis in (left, right) for line in axis.lines}
    assert (colours["d"], colours["g"], colours["real"]) == (notebook.JUDGE, notebook.FAKE, notebook.REAL)
    assert left.get_title() == "The two losses"
    smooth = next(line for line in left.lines if line.get_label() == "d")
    assert list(smooth.get_ydata()) == [1.0, 1.5, 2.0]  # type: ignore[arg-type]
