"""Exercises: made from the solutions, answered by nobody, and checked by checks that know the usual mistakes.

Each wrong answer below is the solution with one edit, and `words` is what the check says about it.
"""

import io
import json
import linecache
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from types import ModuleType
from typing import Any

import IPython.display
import pytest

from tests.conftest import CHAPTERS, ROOT, forget_chapters
from tests.exercises import without_solutions

Chapter = Callable[[str, str], ModuleType]
# Chapters whose exercises still stand in their notebook: to become empty.
NOT_YET = [
    "02_dcgan", "03_wgan_gp", "04_conditional_gan", "05_pix2pix", "06_cyclegan", "07_progan", "08_stylegan",
]  # fmt: skip
BUILT = [name for name in CHAPTERS if name not in NOT_YET]
CALL = re.compile(r"^checks\.(\w+)\(", re.MULTILINE)


@cache
def cells(chapter: str, name: str, kind: str = "code") -> list[dict[str, Any]]:
    notebook = json.loads((ROOT / chapter / f"{name}.ipynb").read_text())
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """inside("01_basic_gan"): where a notebook of that chapter runs."""

    def enter(chapter: str) -> None:
        forget_chapters()
        monkeypatch.setattr(sys, "path", [str(ROOT / chapter), *sys.path])
        monkeypatch.chdir(ROOT / chapter)
        monkeypatch.setattr(IPython.display, "display", lambda *things, **options: None)

    yield enter
    forget_chapters()


def run(source: str, names: dict[str, Any]) -> list[str]:
    """What a cell prints."""
    said = io.StringIO()
    with redirect_stdout(said):
        source = re.sub("^%.*", "", source, flags=re.MULTILINE)
        file = f"<cell {hash(source)}>"
        linecache.cache[file] = (
            len(source),
            None,
            source.splitlines(True),
            file,
        )  # as IPython does: errors show their line
        exec(compile(source, file, "exec"), names)
    return said.getvalue().splitlines()


def test_chapters_to_come_are_named_once() -> None:
    assert all((ROOT / name / "solutions.ipynb").exists() == (name in BUILT) for name in CHAPTERS)
    assert set(CASES) == set(BUILT)


@pytest.mark.parametrize("chapter", BUILT)
def test_exercises_are_the_solutions_with_blanks(chapter: str) -> None:
    made = without_solutions(ROOT / chapter / "solutions.ipynb")
    assert (ROOT / chapter / "exercises.ipynb").read_text() == made, f"run python tests/exercises.py {chapter}"
    assert "SOLUTION" not in made and "source_hidden" not in made


@pytest.mark.parametrize("chapter", BUILT)
def test_steps_have_all_that_a_learner_needs(chapter: str) -> None:
    """At least eight steps, at least four of them code; each with its difficulty, its minutes and a check."""
    text = "\n".join(cell["source"] for cell in cells(chapter, "exercises", "markdown"))
    steps = re.findall(r"^### Step (\d+) · .+\n\n●{1,3} · \d+ minutes$", text, re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)] and len(steps) >= 8
    assert text.count("<details><summary>Hint") >= len(steps) / 2
    code = [cell["source"] for cell in cells(chapter, "exercises")]
    blanks = [source for source in code if re.search(r"^ *(answer = )?\.\.\.$", source, re.MULTILINE)]
    assert all(CALL.search(source) for source in blanks)
    assert sum("def " in source for source in blanks) >= 4
    assert all(len(source.splitlines()) <= 50 for source in code)
    written = [part for source in blanks for part in re.split(r"^(?=def |class )", source, flags=re.MULTILINE)[1:]]
    assert all('"""' in part for part in written), "a signature has a docstring with the shapes"


@pytest.mark.parametrize("chapter", BUILT)
def test_solutions_are_executed_and_right(chapter: str) -> None:
    code = cells(chapter, "solutions")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        said = "".join("".join(output.get("text", "")) for output in cell["outputs"]).splitlines()
        assert sum(line.startswith("right") for line in said) == len(CALL.findall(cell["source"])), said
        assert not [line for line in said if line.startswith("✗") and "meant to fail" not in line]
    assert any('os.environ.get("GAN_STEPS", ' in cell["source"] for cell in code)
    assert not any("NBVAL_IGNORE_OUTPUT" in cell["source"] for cell in code)


@pytest.mark.parametrize("chapter", BUILT)
def test_the_chapters_notebook_is_plain(chapter: str) -> None:
    """Short cells, verdicts with their numbers, and exercises where they belong."""
    code = cells(chapter, chapter[3:])
    assert code[0]["source"].startswith("# This notebook needs")
    assert not [cell["source"] for cell in code if len(cell["source"].splitlines()) > 25]
    assert sum("NBVAL_IGNORE_OUTPUT" in cell["source"] for cell in code) <= 1
    assert not any("answer = ..." in cell["source"] for cell in code)
    said = "".join("".join(output.get("text", "")) for cell in code for output in cell["outputs"]).splitlines()
    assert sum(line[0] in "✓✗" for line in said if line) >= 10
    assert not [line for line in said if re.search(r"\b(True|False)$", line)]
    assert not [line for line in said if line.startswith("✗") != ("meant to fail" in line)]


@pytest.mark.parametrize("chapter", BUILT)
def test_blanks_are_called_blank(chapter: str, inside: Callable[[str], None]) -> None:
    """From top to bottom without an answer: nothing fails, and every check says so."""
    inside(chapter)
    names: dict[str, Any] = {}
    for cell in cells(chapter, "exercises"):
        said = run(cell["source"], names)
        assert len(said) >= len(CALL.findall(cell["source"])) and set(said) <= {"not answered yet"}, cell["source"]


# --------------------------------------------------------------------------------------------------------- answers

END = "# END SOLUTION"


def numbers(name: str) -> list[tuple[str, str, str, str]]:
    """What a check of a number has to tell apart."""
    edits = {
        "torch.tensor(answer)": "right", "-answer": "of the wrong sign", "answer + 1": "too large", "answer - 1": "too small",
        "str(answer)": "give a number, not str", "[answer]": "give a number, not list",
    }  # fmt: skip
    return [(name, END, f"answer = {edit}", words) for edit, words in edits.items()]


# For each check: what is edited in its solution, what takes the place, and what the check says of it.
CASES: dict[str, list[tuple[str, str, str, str]]] = {
    "01_basic_gan": [
        ("update_discriminator", "with torch.no_grad():\n        fake = generator(z)", "fake = generator(z).detach()", "right"),
        ("update_discriminator", "cross_entropy(real_logits, torch.ones_like(real_logits))", "F.softplus(-real_logits).mean()", "right"),
        ("update_discriminator", "with torch.no_grad():\n        fake", "fake", "gradients reached the generator"),
        ("update_discriminator", "opt_d.zero_grad()\n", "\n", "opt_d.zero_grad() is missing"),
        ("update_discriminator", "discriminator(real), discriminator(fake)", "discriminator(fake), discriminator(real)", "labels are swapped"),
        ("update_discriminator", "opt_d.step()", "pass", "did not move"),
        ("update_discriminator", "return loss_d", "return", "a `return` is missing"),
        ("update_discriminator", "loss_d = loss_d + cross", "cross", "the fakes are missing"),
        ("update_discriminator", "loss_d = cross_entropy(real", "loss_d = 0 * cross_entropy(real", "the real points are missing"),
        ("update_discriminator", "opt_d.zero_grad()", "loss_d = -loss_d\n    opt_d.zero_grad()", "a step uphill"),
        ("update_discriminator", "opt_d.zero_grad()", "loss_d = loss_d / 2\n    opt_d.zero_grad()", "half of the loss"),
        ("update_discriminator", "opt_d.zero_grad()", "loss_d = len(z) * loss_d\n    opt_d.zero_grad()", "a sum over the batch"),
        ("update_discriminator", "cross_entropy = ", "real_logits, fake_logits = real_logits.sigmoid(), fake_logits.sigmoid()\n    cross_entropy = ", "a sigmoid comes twice"),
        ("update_discriminator", "generator(z)", "nobody(z)", "raised NameError in the line `fake = nobody(z)`"),
        ("update_generator", "F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))", "-F.logsigmoid(fake_logits).mean()", "right"),
        ("update_generator", "torch.ones_like", "torch.zeros_like", "the fakes are to be called real"),
        ("update_generator", "F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))", "-F.softplus(fake_logits).mean()", "the saturating loss"),
        ("update_generator", "opt_g.zero_grad()", "pass", "opt_g.zero_grad() is missing"),
        ("update_generator", "generator(z)", "generator(z).detach()", "no gradient reached the generator|raised RuntimeError"),
        ("update_generator", "opt_g.step()", "pass", "the generator did not move"),
        ("update_generator", "opt_g.step()", "opt_g.step()\n    [p.data.sub_(p.grad) for p in discriminator.parameters()]", "the discriminator moved"),
        ("update_generator", "(fake_logits))", "(fake_logits), reduction='sum')", "a sum over the batch"),
        ("update_generator", "discriminator(generator(z))", "discriminator(generator(z)).sigmoid()", "a sigmoid comes twice"),
        ("no_detach", "fake = generator(z)", "fake = generator(z) * 1.0", "right"),
        ("no_detach", "generator(z)", "generator(z).detach()", "this is the right update"),
        ("no_detach", ".mean() + F", ".mean() - F", "is off by"),
        ("no_detach", "opt_d.zero_grad()\n", "\n", "is off by"),
        ("no_detach", "opt_d.step()", "opt_d.stop()", "raised AttributeError in the line `opt_d.stop()`"),
        ("swapped_labels", "fake = generator(z).detach()", "with torch.no_grad():\n        fake = generator(z)", "right"),
        ("swapped_labels", "loss_d = ", "real, fake = fake, real\n    loss_d = ", "this is the right update"),
        ("swapped_labels", "F.softplus(discriminator(real)).mean() + ", "", "is off by"),
        ("swapped_labels", "return loss_d", "", "a `return` is missing"),
        ("no_zero_grad", "loss_d.backward()", "torch.autograd.backward(loss_d)", "right"),
        ("no_zero_grad", "loss_d.backward()", "opt_d.zero_grad()\n    loss_d.backward()", "this is the right update"),
        ("no_zero_grad", "discriminator(real)", "discriminator(real).sigmoid()", "is off by"),
        ("no_zero_grad", "return loss_d", "", "a `return` is missing"),
        *numbers("half_of_the_ring"),
        ("generator", "nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh())", "nn.Sequential(nn.Sequential(*layers), nn.Linear(1024, 784), nn.Tanh())", "right"),
        ("generator", ".unflatten(1, (1, 28, 28))", ".view(-1, 1, 28, 28)", "right"),
        ("generator", "nn.BatchNorm1d(widths[i + 1])", "nn.Identity()", "there is no nn.BatchNorm1d"),
        ("generator", "nn.Tanh()", "nn.Sigmoid()", "a sigmoid gives 0 to 1"),
        ("generator", ", nn.Tanh()", "", "the pictures have no bounds"),
        ("generator", "nn.ReLU()", "nn.LeakyReLU(0.2)", "LeakyReLU is for the discriminator"),
        ("generator", ", nn.ReLU()]", "]", "the activations are missing"),
        ("generator", ".unflatten(1, (1, 28, 28))", "", "pictures in train mode has the shape (16, 784), not (16, 1, 28, 28)"),
        ("generator", ", bias=False", "", "has the shape (256,), not"),
        ("generator", "[100, 256, 512, 1024]", "[100, 256, 512, 512]", "has the shape (512, 512), not (1024, 512)|raised RuntimeError"),
        ("discriminator", ".squeeze(1)", ".flatten()", "right"),
        ("discriminator", "nn.Dropout(0.1)", "nn.Dropout(p=0.1, inplace=False)", "right"),
        ("discriminator", ".squeeze(1)", "", "has the shape (16, 1), not (16,)"),
        ("discriminator", ".squeeze(1)", ".squeeze(1).sigmoid()", "a sigmoid: the loss wants logits"),
        ("discriminator", "nn.Linear(256, 1),", "nn.Linear(256, 1), nn.Sigmoid(),", "a sigmoid: the loss wants logits"),
        ("discriminator", "nn.Flatten(),", "", "raised RuntimeError"),
        ("discriminator", "def forward", "nn = torch.nn\n\n    def forward", "right"),
        ("discriminator_loss", "(1 - smoothing) * F.softplus(-real_logits) + smoothing * F.softplus(real_logits)", "F.binary_cross_entropy_with_logits(real_logits, torch.full_like(real_logits, 1 - smoothing), reduction='none')", "right"),
        ("discriminator_loss", "return real.mean()", "return real.mean(0)", "right"),
        ("discriminator_loss", "F.softplus(fake_logits).mean()", "F.softplus(-fake_logits).mean()", "is off by"),
        ("discriminator_loss", "real = ", "real_logits, fake_logits = -real_logits, -fake_logits\n    real = ", "the signs are swapped"),
        ("discriminator_loss", "real.mean() + F.softplus(fake_logits).mean()", "real.sum() + F.softplus(fake_logits).sum()", "8 times what it should be: a sum instead of a mean"),
        ("discriminator_loss", "real.mean() + F.softplus(fake_logits).mean()", "real + F.softplus(fake_logits)", "the shape (8,), not (); it has to be one number"),
        ("discriminator_loss", "(1 - smoothing) * F.softplus(-real_logits) + smoothing * F.softplus(real_logits)", "F.softplus(-real_logits)", "the smoothing has no effect"),
        ("discriminator_loss", " + smoothing * F.softplus(real_logits)", "", "the other part of the smoothing is missing"),
        ("discriminator_loss", "real = ", "real_logits, fake_logits = real_logits.sigmoid(), fake_logits.sigmoid()\n    real = ", "a sigmoid comes twice"),
        ("discriminator_loss", "F.softplus(fake_logits)", "((1 - smoothing) * F.softplus(fake_logits) + smoothing * F.softplus(-fake_logits))", "fakes are not smoothed"),
        ("discriminator_loss", "F.softplus(fake_logits).mean()", "-torch.log(1 - fake_logits.sigmoid()).mean()", "is not finite"),
        ("discriminator_loss", "real.mean()", "real.mean().item()", "right"),
        ("discriminator_loss", "return real.mean() + F.softplus(fake_logits).mean()", "return (real.mean() + F.softplus(fake_logits).mean()).item()", "no gradient flows back"),
        ("discriminator_loss", "return real", "return -real", "is off by"),
        ("discriminator_loss", "return real.mean() + F.softplus(fake_logits).mean()", "return -(real.mean() + F.softplus(fake_logits).mean())", "has the wrong sign"),
        *numbers("smoothed_optimum"),
        ("mended", "F.binary_cross_entropy(real_outputs, torch.ones_like(real_outputs))", "-real_outputs.log().mean()", "right"),
        ("mended", "real = F.binary_cross_entropy(", "real = F.binary_cross_entropy_with_logits(", "is off by"),
        ("mended", "real = ", "return checks.published(real_outputs, fake_outputs)\n    real = ", "as it was"),
        ("mended", "real = ", "return checks.published(real_outputs.sigmoid(), fake_outputs.sigmoid())\n    real = ", "a third sigmoid"),
        ("mended", "real = ", "real_outputs, fake_outputs = 1 - real_outputs, 1 - fake_outputs\n    real = ", "the targets are swapped"),
        *numbers("smallest"),
        ("generator_loss", "F.softplus(-fake_logits).mean()", "F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))", "right"),
        ("generator_loss", 'if kind == "saturating"', 'if kind != "saturating"', "the two kinds are swapped"),
        ("generator_loss", "return -F", "return F", "the sign of the saturating one"),
        ("generator_loss", "if kind", "fake_logits = fake_logits.sigmoid()\n    if kind", "a sigmoid comes twice"),
        ("generator_loss", 'if kind == "saturating"', "if not kind", "both kinds are the same"),
        ("generator_loss", "F.softplus(-fake_logits).mean()", "-torch.log(fake_logits.sigmoid()).mean()", "is not finite"),
        ("generator_loss", "return F.softplus(-fake_logits).mean()", "return F.softplus(-fake_logits)", "it has to be one number"),
        ("saturating_ring", '"a"', '" A."', "right: all eight"),
        ("saturating_ring", '"a"', '"b"', "run it and count"),
        ("saturating_ring", '"a"', '"c"', "answer with one of ['a', 'b']"),
        ("saturating_ring", '"a"', "8", "answer with one of"),
        ("whole_update", "with torch.no_grad():\n        fake = generator(z_d)", "fake = generator(z_d).detach()", "right"),
        ("whole_update", "generator_loss(discriminator(generator(z_g)))", "F.softplus(-discriminator(generator(z_g))).mean()", "right"),
        ("whole_update", "generator(z_g)", "generator(z_d)", "the generator got the latents z_d"),
        ("whole_update", "opt_d.step()", "pass", "the discriminator did not move"),
        ("whole_update", "opt_d.zero_grad()", "pass", "in the discriminator's part, the gradients of an earlier update"),
        ("whole_update", "opt_g.zero_grad()", "pass", "in the generator's part, the gradients of an earlier update"),
        ("whole_update", "generator_loss(discriminator(generator(z_g)))", "generator_loss(discriminator(generator(z_g)), 'saturating')", "in the generator's part, that is the saturating loss"),
        ("whole_update", "discriminator(real), discriminator(fake)", "discriminator(fake), discriminator(real)", "in the discriminator's part, the labels are swapped"),
        ("whole_update", "return loss_d, loss_g", "return loss_d + loss_g", "return two losses"),
        ("whole_update", "return loss_d, loss_g", "", "return two losses"),
        ("draw", "with torch.no_grad():\n        pictures = generator(z)", "pictures = generator(z).detach()", "right"),
        ("draw", "generator.eval()", "pass", "train mode: each picture depends on its batch"),
        ("draw", "generator.train()", "pass", "stays in eval mode"),
        ("draw", "with torch.no_grad():\n        pictures", "pictures", "carry a graph"),
        ("draw", "return pictures", "", "a `return` is missing"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("chapter", BUILT)
def test_checks_know_the_usual_mistakes(chapter: str, inside: Callable[[str], None]) -> None:
    """Every solution in two forms is right, and what is wrong in an edited one is said in the words that fit."""
    inside(chapter)
    code = [cell["source"] for cell in cells(chapter, "solutions")]
    names: dict[str, Any] = {}
    for source in code:  # all functions, and nothing that trains
        if "import " in source or CALL.search(source):
            run(source, names)
    heard, wrong = defaultdict(set), []
    for name, old, new, words in CASES[chapter]:
        source = next(source for source in code if f"checks.{name}(" in source)
        start = max(0, source.find(f"def {name}("))
        assert old in source[start:], (name, old)
        said = run(source[:start] + source[start:].replace(old, new, 1), dict(names))
        line = said[CALL.findall(source).index(name)]
        fits = line.startswith("right") if words == "right" else any(word in line for word in words.split("|"))
        if not fits:
            wrong.append(f"{name}: {new!r} should get {words!r}, and gets {line!r}")
        heard[name].add(words)
    assert not wrong, "\n".join(wrong)
    for name in (name for source in code for name in CALL.findall(source)):
        assert any(words.startswith("right") for words in heard[name]), f"{name} in a second form"
        assert len([words for words in heard[name] if not words.startswith("right")]) >= 3, f"wrong answers of {name}"
