"""Shared fixtures: a chapter's modules, and a chapter's scripts run as a learner runs them."""

import importlib
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

# glibc hands each large block of memory back to the system, to have it mapped and cleared anew a moment later: without this the
# tests took 6.4 minutes of system time, with it 1.8. It is read when a process starts: a worker, a notebook's kernel, a script.
for name in ("MMAP", "TRIM"):
    os.environ.setdefault(f"MALLOC_{name}_THRESHOLD_", str(2**32))

if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side: the cores are shared out before torch takes them all
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import torch

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(path.name for path in ROOT.glob("[0-9][0-9]_*") if (path / "train.py").exists())
NEIGHBOURS = (
    "model", "train", "generate", "ring", "gaussians", "transport", "line", "scores", "swd", "painter",
)  # fmt: skip
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture
def chapter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """chapter("01_basic_gan", "model"): that module of that chapter, freshly imported."""

    def load(folder: str, module: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(ROOT / folder))
        for name in NEIGHBOURS:
            sys.modules.pop(name, None)
        return importlib.import_module(module)

    yield load
    for name in NEIGHBOURS:
        sys.modules.pop(name, None)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """script("01_basic_gan/train.py", "--max-steps", 2): exit code, output and errors of the real command line."""

    def run(path: str, *arguments: object) -> tuple[int, str, str]:
        for name in NEIGHBOURS:
            sys.modules.pop(name, None)
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        monkeypatch.syspath_prepend(str((ROOT / path).parent))
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(str(ROOT / path), run_name="__main__")
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


def start(path: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start a script, or a module with "-m", in a process of its own."""
    command = [sys.executable, path if path == "-m" else str(ROOT / path), *map(str, arguments)]
    environment = {
        key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE")
    }
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.fixture
def one_and_two(script: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Callable[..., None]:
    """one_and_two("01_basic_gan/train.py", "--max-steps", 2): a run of one process in tmp_path / "1", the same of two in "2"."""

    def run(path: str, *arguments: object) -> None:
        code, _, errors = script(path, *arguments, "--out", tmp_path / "1")
        assert code == 0, errors
        process = start(path, *arguments, "--devices", 2, "--out", tmp_path / "2")
        printed, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert printed.count("writing to") == 1  # only the first process speaks
        assert len(list((tmp_path / "2").glob("events*"))) == 1  # and writes

    return run


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
