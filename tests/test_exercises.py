"""Exercises: made from the solutions, answered by nobody, and checked by checks that know the usual mistakes.

tests/answers.py has the answers, right and wrong.
"""

import copy
import importlib
import io
import json
import linecache
import re
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import IPython.display
import pytest
import torch

import common.checks
from common.data import Pictures, load
from common.images import to_float
from tests.answers import CASES
from tests.conftest import CHAPTERS, ROOT, forget_chapters
from tests.exercises import without_solutions

Chapter = Callable[[str, str], ModuleType]
CALL = re.compile(r"^checks\.(\w+)\(", re.MULTILINE)


@cache
def cells(chapter: str, name: str, *kinds: str) -> list[dict[str, Any]]:
    notebook = json.loads((ROOT / chapter / f"{name}.ipynb").read_text())
    return [
        cell | {"source": "".join(cell["source"])}
        for cell in notebook["cells"]
        if cell["cell_type"] in (kinds or ("code",))
    ]


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


def test_each_chapter_has_exercises_and_answers() -> None:
    assert all((ROOT / name / "solutions.ipynb").exists() for name in CHAPTERS)
    assert set(CASES) == set(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_exercises_are_the_solutions_with_blanks(chapter: str) -> None:
    made = without_solutions(ROOT / chapter / "solutions.ipynb")
    assert (ROOT / chapter / "exercises.ipynb").read_text() == made, f"run python tests/exercises.py {chapter}"
    assert "SOLUTION" not in made and "source_hidden" not in made


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_steps_have_all_that_a_learner_needs(chapter: str) -> None:
    """At least eight steps, at least four of them code; each with difficulty, minutes, a check, and a hint where there is a blank."""
    text = "\n".join(cell["source"] for cell in cells(chapter, "exercises", "markdown"))
    steps = re.findall(r"^### Step (\d+) · .+\n\n●{1,3} · \d+ minutes$", text, re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)] and len(steps) >= 8
    whole = "\n".join(cell["source"] for cell in cells(chapter, "exercises", "markdown", "code"))
    for step in re.split(r"^### ", whole, flags=re.MULTILINE)[1:]:
        blank = re.search(r"^ *(answer = )?\.\.\.$", step, re.MULTILINE)
        assert not blank or "<summary>Hint" in step, step[:60]
    code = [cell["source"] for cell in cells(chapter, "exercises")]
    blanks = [source for source in code if re.search(r"^ *(answer = )?\.\.\.$", source, re.MULTILINE)]
    assert all(CALL.search(source) for source in blanks)
    assert sum("def " in source for source in blanks) >= 4
    assert all(len(source.splitlines()) <= 50 for source in code)
    written = [part for source in blanks for part in re.split(r"^(?=def |class )", source, flags=re.MULTILINE)[1:]]
    assert all('"""' in part for part in written), "a signature has a docstring with the shapes"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_solutions_are_executed_and_right(chapter: str) -> None:
    code = cells(chapter, "solutions")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        said = "".join("".join(output.get("text", "")) for output in cell["outputs"]).splitlines()
        assert sum(line.startswith("right") for line in said) == len(CALL.findall(cell["source"])), said
        assert not [line for line in said if line.startswith("✗") and "meant to fail" not in line]
    assert any('os.environ.get("GAN_STEPS", ' in cell["source"] for cell in code)
    assert not any("NBVAL_IGNORE_OUTPUT" in cell["source"] for cell in code)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapters_notebook_is_plain(chapter: str) -> None:
    """Short cells, verdicts with their numbers, and exercises where they belong."""
    code = cells(chapter, chapter[3:])
    assert code[0]["source"].startswith("# This notebook needs")
    assert not [cell["source"] for cell in code if len(cell["source"].splitlines()) > 25]
    assert not any("NBVAL_IGNORE_OUTPUT" in cell["source"] for cell in code)
    assert not any("answer = ..." in cell["source"] for cell in code)
    said = "".join("".join(output.get("text", "")) for cell in code for output in cell["outputs"]).splitlines()
    assert sum(line[0] in "✓✗" for line in said if line) >= 10
    assert not [line for line in said if re.search(r"\b(True|False)$", line)]
    assert not [line for line in said if line.startswith("✗") != ("meant to fail" in line)]


# Small networks without dropout, and what the other chapters' loops have otherwise.
SMALL: dict[str, dict[str, Any]] = {
    "01_basic_gan": {"dropout": 0.0},
    "02_dcgan": {"width_g": 4, "width_d": 4, "spectral_norm": False},
    "03_wgan_gp": {"width_g": 4, "width_d": 4, "n_critic": 2},
    "04_conditional_gan": {"width": 4, "spectral_norm": False, "condition": "embedding"},
}


Built = Callable[..., tuple[ModuleType, ModuleType, list[torch.nn.Module], list[torch.nn.Module]]]


@pytest.fixture
def built(inside: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Built:
    """built("02_dcgan", layout): its train and checks, and the networks that a training builds, as they begin and as they become.

    `layout` is that of the copies in memory: the loop's own, so that sums have one order.
    """

    def enter(chapter: str, layout: torch.memory_format = torch.preserve_format) -> Any:
        inside(chapter)
        train, checks = importlib.import_module("train"), importlib.import_module("checks")
        before: list[torch.nn.Module] = []
        after: list[torch.nn.Module] = []

        def kept(kind: Any, *sizes: Any, **settings: Any) -> torch.nn.Module:
            after.append(kind(*sizes, **settings))
            before.append(copy.deepcopy(after[-1]).to(memory_format=layout))
            return after[-1]

        for name in {"Generator", "Discriminator", "Critic"} & set(vars(train)):
            monkeypatch.setattr(train, name, partial(kept, getattr(train, name)))
        # A step of Adam has the size of the rate even where the halves of a gradient cancel but for roundings, as a bias's under the
        # hinge: its sign is chance there. With this eps such a step is small.
        adam = torch.optim.Adam
        monkeypatch.setattr(
            torch.optim, "Adam", lambda weights, *rest, **own: adam(weights, *rest, **own | {"eps": 1e-5})
        )
        return train, checks, before, after

    return enter


def assert_alike(before: list[torch.nn.Module], after: list[torch.nn.Module]) -> None:
    """Networks after a step of the checks, and those of the loop; a step of Adam is 5e-4 or more."""
    for mine, chapters in zip(before, after, strict=True):
        for (name, one), other in zip(mine.named_parameters(), chapters.parameters(), strict=True):
            apart = (one - other).abs().mean().item()
            assert apart < 1e-6, f"{name}: {apart}"


@pytest.mark.parametrize("chapter", SMALL)
def test_the_update_in_the_checks_is_the_chapters(
    chapter: str, built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One step of `train` and of the checks' `one_update`, from the same weights and random numbers: all weights agree."""
    train, checks, before, after = built(chapter, torch.channels_last)
    common = {"data": "mnist-10k", "batch_size": 8, "out": str(tmp_path), "accelerator": "cpu", "precision": "32-true"}
    config = train.Config(**common, **SMALL[chapter], max_steps=1)
    rounds, betas = getattr(config, "n_critic", 1), (0.0, config.beta2)
    reals = to_float(load("mnist-10k").images[: 8 * rounds]).contiguous(memory_format=torch.channels_last).split(8)
    zs, noise, z_g = *torch.randn(2, rounds, 8, config.latent_dim), torch.randn(8, config.latent_dim)
    drawn = iter(
        [part for z, line in zip(zs, noise, strict=True) for part in ((z, line[:, 0]) if rounds > 1 else (z,))] + [z_g]
    )
    real_y, fake_ys = torch.randint(5, (8,)), torch.randint(5, 10, (2, 8))  # labels, where a chapter has them
    asked = iter(fake_ys)
    monkeypatch.setattr(train, "batches", lambda *settings, **more: iter([(real, real_y) for real in reals]))
    monkeypatch.setattr(train, "draw_labels", lambda *settings: next(asked), raising=False)
    monkeypatch.setattr(train.Run, "randn", lambda run, *shape: next(drawn))
    train.train(config)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3, betas, fused=True) for net in before]  # the defaults
    if rounds > 1:
        checks.one_update(*before, *optimizers, reals, zs, torch.special.ndtr(noise[:, :, 0]), z_g)
    elif hasattr(config, "condition"):
        checks.one_update(*before, *optimizers, reals[0], real_y, zs[0], fake_ys[0], z_g, fake_ys[1])
    else:
        checks.one_update(*before, *optimizers, reals[0], zs[0], z_g)
    assert_alike(before, after)


def test_the_update_of_pairs_in_the_checks_is_the_chapters(
    built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same for chapter 05, whose loop gets pairs and draws no latents."""
    train, checks, before, after = built("05_pix2pix", torch.channels_last)
    common = {"data": "satellite-map", "size": 32, "patch": "16", "out": str(tmp_path), "accelerator": "cpu"}
    own = {"width_g": 4, "width_d": 4, "dropout": 0.0, "mirror": False, "decay_from": 1.0, "precision": "32-true"}
    config = train.Config(**common, **own, max_steps=1, batch_size=4)
    x, y = torch.rand(2, 4, 3, 32, 32) * 2 - 1
    monkeypatch.setattr(train, "batches", lambda *settings, **more: iter([(x, y)]))
    train.train(config)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99), fused=True) for net in before]
    x, y = (side.contiguous(memory_format=torch.channels_last) for side in (x, y))
    checks.one_update(*before, *optimizers, x, y)
    assert_alike(before, after)


def test_progans_update_in_the_checks_is_the_chapters(
    built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same for chapter 07, in the middle of a fade."""
    train, checks, before, after = built("07_progan")
    small = {"size": 8, "channels_times_size": 32, "batch_sizes": ((4, 8),), "penalty_share": 1, "max_steps": 1}
    config = train.Config(data="mnist-10k", **small, out=str(tmp_path), accelerator="cpu", precision="32-true")
    real, z, z_g = torch.rand(8, 1, 8, 8) * 2 - 1, *torch.randn(2, 8, config.latent_dim)
    noise = torch.randn(8)
    drawn = iter([z, noise, z_g])
    monkeypatch.setattr(train, "growth", lambda *settings: train.Moment(1, 8, 0.3, 8, 1e-3, 5))
    monkeypatch.setattr(train, "batches", lambda *settings, **more: iter([(real, None)]))
    monkeypatch.setattr(train.Run, "randn", lambda run, *shape: next(drawn))
    train.train(config)
    betas = (config.beta1, config.beta2)
    optimizers = [torch.optim.Adam(network.parameters(), 1e-3, betas) for network in before]
    checks.one_update(*before, *optimizers, real, z, torch.special.ndtr(noise), z_g, 8, 0.3)
    assert_alike(before, after)
    assert any((p.grad is not None and p.grad.abs().sum() > 0) for p in before[0].parameters())


def test_the_update_in_the_checks_of_08_is_the_chapters(
    built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same for chapter 08, whose loop grows, mixes styles, and penalises D's slope."""
    train, checks, before, after = built("08_stylegan")
    config = train.Config(
        data="mnist-10k", out=str(tmp_path), accelerator="cpu", precision="32-true", max_steps=1, size=16, start_size=16,
        batch_sizes=((4, 8),), base=32, most=8, latent_dim=8, style_dim=8, lrs=((4, 1e-3),), d_rate=2.0,
        without=("noise",), r1_every=1, r1_gamma=5.0,
    )  # fmt: skip
    real, z, other = torch.randn(8, 1, 16, 16), torch.randn(8, 8), torch.randn(8, 8)
    cut = torch.tensor([1, 2, 3, 4, 4, 3, 2, 1])
    monkeypatch.setattr(train, "batches", lambda *settings, **more: iter([(real, None)]))
    monkeypatch.setattr(train, "latents", lambda *settings: (z, other, cut))
    train.train(config)

    generator, discriminator = before
    opt_g = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.99), fused=True)
    opt_d = torch.optim.Adam(discriminator.parameters(), 2e-3, (0.0, 0.99), fused=True)

    def drawn(z: torch.Tensor, other: torch.Tensor, cut: torch.Tensor) -> Any:
        return generator(z, None, 1.0, other, cut)

    checks.one_update(drawn, discriminator, opt_g, opt_d, real, z, other, cut, config.r1_gamma)
    assert_alike(before, after)


def test_the_update_of_four_networks_in_the_checks_is_the_chapters(
    built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same for chapter 06: its loop builds the translators to B and to A, and then the judges of A and of B."""
    train, checks, before, after = built("06_cyclegan")
    a, b = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    piles = iter([iter([(a, None)]), iter([(b, None)])])
    monkeypatch.setattr(train, "batches", lambda *settings: next(piles))
    pile = Pictures("noise", (127.5 * (a + 1)).byte())
    monkeypatch.setattr(train, "load_unpaired", lambda *settings, **more: (pile, pile))
    papers = {"generator": "resnet", "norm": "instance", "loss": "squares"}
    small = papers | {"width": 2, "width_d": 2, "blocks": 1, "patch": 16, "mirror": False, "batch_size": 2, "size": 16}
    config = train.Config(**small, out=str(tmp_path), accelerator="cpu", precision="32-true", max_steps=1)
    train.train(config)
    to_b, to_a, judge_a, judge_b = before
    parts = [[*one.parameters(), *other.parameters()] for one, other in ((to_b, to_a), (judge_a, judge_b))]
    optimizers = [torch.optim.Adam(part, config.lr, (config.beta1, config.beta2), fused=True) for part in parts]
    checks.one_update(to_b, to_a, judge_b, judge_a, *optimizers, a, b, [], [])
    assert_alike(before, after)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_blanks_are_called_blank(chapter: str, inside: Callable[[str], None]) -> None:
    """From top to bottom without an answer: nothing fails, and every check says so."""
    inside(chapter)
    names: dict[str, Any] = {}
    for cell in cells(chapter, "exercises"):
        said = run(cell["source"], names)
        assert len(said) >= len(CALL.findall(cell["source"])) and set(said) <= {"not answered yet"}, cell["source"]


# --------------------------------------------------------------------------------------------------------- answers


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Each check tries the right code and the usual mistakes once, however many answers are compared with them.

    Call what is returned before each answer. A check's first call of `_run` is the right code, its second is the answer.
    """
    known: dict[tuple[Any, ...], Any] = {}
    counts: Counter[Any] = Counter()
    real = common.checks._run

    def run(experiment: Any, function: Any) -> Any:
        stack = [frame[:2] for frame in traceback.walk_stack(sys._getframe(2))]  # who called `check`, and from where
        place = tuple((frame.f_code, line) for frame, line in stack if frame.f_code.co_filename.endswith("checks.py"))
        counts[place] += 1
        if counts[place] == 2:
            return real(experiment, function)
        if (*place, counts[place]) not in known:
            known[*place, counts[place]] = real(experiment, function)
        return known[*place, counts[place]]

    monkeypatch.setattr(common.checks, "_run", run)
    return counts.clear


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_checks_know_the_usual_mistakes(
    chapter: str, inside: Callable[[str], None], remembered: Callable[[], None]
) -> None:
    """Every solution in two forms is right, and what is wrong in an edited one is said in the words that fit."""
    inside(chapter)
    code = [cell["source"] for cell in cells(chapter, "solutions")]
    names: dict[str, Any] = {}
    for source in code:  # all functions, and nothing that trains
        if "import " in source or CALL.search(source):
            remembered()
            run(source, names)
    heard, wrong = defaultdict(set), []
    for name, old, new, words in CASES[chapter]:
        source = next(source for source in code if f"checks.{name}(" in source)
        start = max(0, source.find(f"def {name}("))
        assert old in source[start:], (name, old)
        remembered()
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
