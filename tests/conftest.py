"""Shared fixtures: a chapter's modules, and a chapter's scripts run as a learner runs them."""

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.figure import Figure

# glibc hands each large block of memory back to the system, to have it mapped and cleared anew a moment later: without this the
# tests took 6.4 minutes of system time, with it 1.8. It is read when a process starts: a worker, a notebook's kernel, a script.
for name in ("MMAP", "TRIM"):
    os.environ.setdefault(f"MALLOC_{name}_THRESHOLD_", str(2**32))

os.environ.setdefault("GAN_STEPS", "60")  # updates of the long training at the end of each solutions.ipynb

if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side: the cores are shared out before torch takes them all
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import torch

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(path.name for path in ROOT.glob("[0-9][0-9]_*") if (path / "train.py").exists())
# The tests that `pytest -m quick` runs: about a minute, on any system.
QUICK = ("test_checkpoint", "test_diagnosis", "test_images", "test_scores", "test_notebook", "test_project")
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from common import load_chapter, notebook


def forget_chapters() -> None:
    """Chapters' modules are imported anew next time."""
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent.name in CHAPTERS:
            del sys.modules[name]


@pytest.fixture
def chapter() -> Iterator[Callable[[str, str], ModuleType]]:
    """chapter("01_basic_gan", "model"): that module of that chapter, as no other test has changed it."""
    forget_chapters()
    yield load_chapter
    forget_chapters()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """script("01_basic_gan/train.py", "--max-steps", 2): exit code, output and errors of the real command line."""

    def run(path: str, *arguments: object) -> tuple[int, str, str]:
        forget_chapters()
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


def no_curves(history: object) -> Figure:
    """In the place of `plot_curves`: the picture of a short run's curves takes longer than all of its steps."""
    return Figure(figsize=(1, 1))


@pytest.fixture(autouse=True)
def only_some_draw_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each README's first command and tests of curves draw them; all other runs write an empty picture."""
    if request.path.stem != "test_notebook" and not any(s in request.node.name for s in ("curves", "/train.py]")):
        monkeypatch.setattr(notebook, "plot_curves", no_curves)


def start(path: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start a script, or a module with "-m", in a process of its own."""
    command = [sys.executable, path if path == "-m" else str(ROOT / path), *map(str, arguments)]
    environment = {
        key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE")
    }
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options  # type: ignore[call-overload]
    )  # fmt: skip


def live(path: str, arguments: list[str], environment: dict[str, str], log: str) -> None:
    """One life of a script, as from the command line; what it says is appended to the file `log`."""
    torch.set_num_threads(1)  # sums in one order
    notebook.plot_curves = no_curves
    os.environ.update(environment)
    sys.path.insert(0, str((ROOT / path).parent))
    sys.argv = [path, *arguments]
    with open(log, "a", buffering=1) as said, redirect_stdout(said), redirect_stderr(said):
        runpy.run_path(str(ROOT / path), run_name="__main__")


def fork(path: str, *arguments: object, log: Path | str = os.devnull, **environment: str) -> BaseProcess:
    """Start a script in a fork of one process that has everything imported: it begins at once."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.conftest", "common.run", "common.data.pairs", "common.diagnosis"])
    life = processes.Process(target=live, args=(path, [str(word) for word in arguments], environment, str(log)))
    life.start()
    return life


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def pair(path: str, *arguments: object, log: Path, code: int = 0) -> None:
    """Run a script with `--devices 2`, as torchrun would start it: two forks that find each other by their environment."""
    both = {"TORCHELASTIC_RUN_ID": "tests", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    both |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    lives = [fork(path, *arguments, "--devices", 2, log=log, **both, RANK=rank, LOCAL_RANK=rank) for rank in "01"]
    for life in lives:
        life.join(120)
    assert [life.exitcode for life in lives] == [code, code], log.read_text()


@pytest.fixture
def one_and_two(script: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Callable[..., None]:
    """one_and_two("01_basic_gan/train.py", "--max-steps", 2): a run of one process in tmp_path / "1", the same of two in "2"."""

    def run(path: str, *arguments: object) -> None:
        code, _, errors = script(path, *arguments, "--out", tmp_path / "1")
        assert code == 0, errors
        pair(path, *arguments, "--out", tmp_path / "2", log=tmp_path / "said")
        said = (tmp_path / "said").read_text()
        assert said.count("writing to") == 1 and "deprecated" not in said  # only the first process speaks, of the run
        assert len(list((tmp_path / "2").glob("events*"))) == 1  # and writes

    return run


def peak_memory() -> float:
    """The most memory that this process has used, in GiB."""
    import resource  # not on Windows, where only the slow tests would need it

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)  # bytes there, KiB elsewhere


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: a worker that began one last would be left alone with it. `QUICK` gets its mark."""
    items.sort(key=lambda item: ("test_contract" not in item.nodeid, ".ipynb" not in item.nodeid))
    for item in items:
        if item.path.stem in QUICK:
            item.add_marker("quick")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The times that the browser took, which are printed and not asserted."""
    for report in terminalreporter.stats.get("passed", []):
        if report.nodeid.endswith("test_the_site_in_a_browser"):
            terminalreporter.write(report.capstdout)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
