"""Training as a learner runs it: what is written, what wrong input gets, and what survives a stop."""

import errno
import io
import json
import os
import random
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from common import UserError, checkpoint, command_line, data, devices, load_chapter, relative, run
from tests.conftest import CHAPTERS, ROOT, fork, free_port, pair, same, start

Script = Callable[..., tuple[int, str, str]]
TRAIN, GENERATE = "01_basic_gan/train.py", "01_basic_gan/generate.py"
SMALL = [
    "--generator-hidden",
    16,
    "--discriminator-hidden",
    16,
    "--batch-size",
    16,
    "--log-every",
    1,
    "--accelerator",
    "cpu",
]


def test_a_run_writes_everything_its_curves_too_and_says_where(script: Script, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, printed, _ = script(TRAIN, *SMALL, "--max-steps", 7, "--sample-every", 3, "--out", out)
    assert code == 0
    assert "mnist-10k: 10,000 pictures, 1×28×28" in printed and "parameters" in printed and "run" in printed
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    grids = {f"samples/step_{step:06d}.png" for step in (3, 6, 7)}
    assert {"config.json", "last.ckpt", "weights.safetensors", "metrics.json", "curves.png"} | grids <= files
    assert any("tfevents" in name for name in files)
    history = json.loads((out / "metrics.json").read_text())
    assert history["step"] == list(range(1, 8))
    curves = {"loss/d", "loss/g", "prob/real", "prob/fake", "right/real", "right/fake"}
    assert set(history) == {"step", "gradients/generator", "gradients/discriminator"} | curves
    assert json.loads((out / "config.json").read_text())["batch_size"] == 16
    assert Image.open(out / "samples" / "step_000003.png").size == (8 * 30 + 2, 8 * 30 + 2)

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out))
    events.Reload()
    assert [point.step for point in events.Scalars("loss/d")] == list(range(1, 8))
    assert events.Scalars("prob/real")[2].value == pytest.approx(history["prob/real"][2])


def test_max_steps_0_of_the_paper_preset_shows_sizes_and_writes_nothing(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    code, printed, _ = script(TRAIN, "--preset", "paper", "--max-steps", 0, "--data", "mnist-10k")
    assert code == 0
    assert "2,503,984 parameters" in printed and "1,231,441 parameters" in printed
    assert not list(tmp_path.iterdir())


def test_the_paper_preset_trains_and_flags_override_it(script: Script, tmp_path: Path) -> None:
    code, _, _ = script(
        TRAIN, "--preset", "paper", "--data", "mnist-10k", "--max-steps", 2, "--lr-g", 0.05, "--out", tmp_path / "a"
    )
    assert code == 0
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert (config["maxout_pieces"], config["optimizer"], config["lr_g"], config["lr_d"]) == (5, "sgd", 0.05, 0.05)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "mnist-10"], "did you mean mnist-10k"),
        (["--data", "/no/such/folder"], "unknown data"),
        (["--batch-size", -4], "--batch-size must be above 0, not -4"),
        (["--batch-size", 1], "--batch-size must be at least 2 a process, for BatchNorm"),
        (["--batch-size", 20000], "--batch-size 20000 is more than the 10,000 pictures"),
        (["--max-steps", -1], "--max-steps must be at least 0"),
        (["--lr-g", 0], "--lr-g must be above 0"),
        (["--lr-d", "nan"], "--lr-d must be a finite number, not nan"),
        (["--dropout", 1.5], "--dropout must be below 1"),
        (["--label-flip", -0.1], "--label-flip must be at least 0, not -0.1"),
        (["--log-every", 0], "--log-every must be above 0"),
        (["--latent-dim", 0], "--latent-dim must be above 0"),
        (["--seed", -1], "--seed must be at least 0, not -1"),
        (["--data", "x" * 300], "use another path"),
        (["--generator-hidden", 16, 0], "--generator-hidden must be above 0, not 0"),
        (["--size", 1], "--size must be at least 4"),
        (["--channels", 2], "--channels must be 1"),
        (["--devices", 0], "--devices must be above 0"),
        (["--accelerator", "abacus"], "--accelerator"),
        (["--resume", "/no/such/run"], "there is no checkpoint"),
        (["--latent-dim", 10**18], "out of memory: lower the batch size"),
        (["--latent-dim", 10**20], "out of memory: lower the batch size"),  # more than 64 bits hold
        (["--lr-g", "1e400"], "--lr-g must be a finite number, not inf"),
        (["--data", ""], "--data is empty"),
        (
            ["--resume", ROOT / "01_basic_gan" / "weights.safetensors"],
            "are weights for generate.py: give the run's folder",
        ),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(
    script: Script, tmp_path: Path, arguments: list[object], expected: str
) -> None:
    code, _, errors = script(TRAIN, "--max-steps", 3, "--out", tmp_path / "run", *arguments)
    message = errors.strip().splitlines()[-1]
    assert code == 2
    assert message.startswith("error: ") and expected in message
    assert "Traceback" not in errors


def test_settings_are_checked_wherever_they_are_made(chapter: Callable[[str, str], ModuleType]) -> None:
    """In a notebook, from a saved run, by `replace`: as on the command line."""
    train = chapter("01_basic_gan", "train")
    for wrong, said in {
        "--lr-g must be above 0, not -1": {"lr_g": -1},
        "--beta2 must be below 1, not 1": {"beta2": 1},
        "--generator-hidden must be above 0, not 0": {"generator_hidden": (8, 0)},
        "--loss must be 'non-saturating' or 'saturating', not mean": {"loss": "mean"},
        "--lr Unexpected keyword argument, not 0.1": {"lr": 0.1},
    }.items():
        with pytest.raises(UserError) as error:
            train.Config(**said)
        assert str(error.value) == wrong
    with pytest.raises(UserError, match="--dropout must be a finite number, not nan"):
        replace(train.PRESETS["paper"], dropout=float("nan"))
    saved = json.loads(json.dumps(asdict(train.Config(generator_hidden=(8,)))))
    assert train.Config(**saved) == train.Config(generator_hidden=(8,))
    table = chapter("08_stylegan", "train").Config
    with pytest.raises(UserError, match="--lrs must be a finite number, not inf"):
        table(lrs=((4, float("inf")),))


def test_each_process_needs_two_pictures(chapter: Callable[[str, str], ModuleType]) -> None:
    """By its settings: a script that went on here would leave with the test's own process."""
    with pytest.raises(UserError, match="--batch-size must be at least 2 a process"):
        chapter("01_basic_gan", "train").Config(batch_size=3, devices=2)


@pytest.mark.parametrize(
    "arguments",
    [["--batch-size", "many"], ["--preset", "papre"], ["--precision", "12"], ["--los", "saturating", "--nonsense"]],
)
def test_a_mistyped_flag_is_named(script: Script, arguments: list[object]) -> None:
    code, printed, errors = script(TRAIN, *arguments)
    assert code == 2
    assert "Traceback" not in errors
    assert str(arguments[0]) in printed + errors


def test_a_folder_with_one_broken_file_is_named(script: Script, tmp_path: Path) -> None:
    for i in range(20):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{i}.png")
    (tmp_path / "7.png").write_bytes((tmp_path / "7.png").read_bytes()[:40])
    code, _, errors = script(TRAIN, "--data", tmp_path, "--out", tmp_path / "run", "--max-steps", 2)
    assert code == 2 and "7.png" in errors.splitlines()[-1]


def test_own_colour_pictures_train_and_generate(script: Script, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for i in range(20):
        Image.effect_noise((40, 30), i).convert("RGB").save(tmp_path / "own" / f"{i}.jpg")
    flags = ["--data", tmp_path / "own", "--size", 16, "--max-steps", 2, "--out", tmp_path / "run"]
    code, _, _ = script(TRAIN, *SMALL, *flags)
    assert code == 0
    weights = tmp_path / "run" / "weights.safetensors"
    code, _, _ = script("01_basic_gan/generate.py", "--weights", weights, "--neighbours", "--out", tmp_path / "made")
    assert code == 0
    assert Image.open(tmp_path / "made" / "neighbours_weights-run.png").size == ((16 * 18 + 2) * 2, (2 * 18 + 2) * 2)
    code, _, errors = script("01_basic_gan/generate.py", "--weights", weights, "--score", "--out", tmp_path / "made")
    assert code == 2 and "a score needs 40 real pictures" in errors


def test_unwritable_output_is_named(script: Script, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 2, "--out", tmp_path / "file" / "run")
    assert code == 2
    assert errors.splitlines()[-1].startswith("error: cannot write") and "--out" in errors.splitlines()[-1]


def test_a_disk_that_fills_up_ends_in_one_line(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def full(source: object, target: object) -> None:
        if str(target).endswith("last.ckpt"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 2, "--out", tmp_path / "run")
    assert code == 2
    assert "No space left on device" in errors.splitlines()[-1]
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("first_save", [2, 4])
def test_of_two_runs_in_one_folder_the_later_to_save_stops(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_save: int
) -> None:
    """Another one begins there before the first checkpoint, or goes on from it, and is faster: its checkpoint stays."""
    out, save, other = tmp_path / "run", run.Run.save, list[tuple[int, str, str]]()

    def late(self: run.Run, *arguments: object) -> None:
        if self.step == first_save and not other:
            other.append((0, "", ""))  # while the other one saves, too
            begun = ["--resume", out] if first_save > 2 else [*SMALL, "--out", out, "--save-every", 2]
            other[0] = script(TRAIN, *begun, "--max-steps", 6)
        save(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run.Run, "save", late)
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 8, "--save-every", 2, "--out", out)
    assert other[0][0] == 0, other
    assert code == 2 and f"another run writes to {out}, so this one stops: begin it anew with another --out" in errors
    assert torch.load(out / "last.ckpt", weights_only=True)["step"] == 6


def test_a_run_is_not_overwritten_and_strangers_are_not_resumed(script: Script, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert script(TRAIN, *SMALL, "--max-steps", 2, "--out", out)[0] == 0
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 2, "--out", out)
    assert code == 2 and "holds a run: go on with --resume" in errors
    code, _, errors = script(TRAIN, "--resume", out, "--latent-dim", 50, "--max-steps", 4)
    assert code == 2 and "--latent-dim cannot be changed by --resume" in errors
    code, _, errors = script(TRAIN, "--resume", out, "--preset", "paper", "--max-steps", 4)
    assert code == 2 and "--preset cannot be changed by --resume" in errors
    code, _, errors = script(TRAIN, "--resume", out)
    assert code == 2 and "already stands at step 2: give a --max-steps above that" in errors
    shutil.copy(out / "last.ckpt", out / "kept.ckpt")  # a copy goes on in a folder of its own
    code, _, errors = script(TRAIN, "--resume", out / "kept.ckpt", "--max-steps", 4)
    assert code == 2 and "holds a run" in errors
    code, _, errors = script(TRAIN, "--resume", out / "kept.ckpt", "--max-steps", 4, "--out", tmp_path / "on")
    assert code == 0 and (tmp_path / "on" / "last.ckpt").exists(), errors
    content = checkpoint.load_checkpoint(out, "01_basic_gan") | {"chapter": "08_stylegan"}
    torch.save(content, tmp_path / "other.ckpt")
    code, _, errors = script(TRAIN, "--resume", tmp_path / "other.ckpt")
    assert code == 2 and "belongs to 08_stylegan, not to 01_basic_gan" in errors


@pytest.mark.parametrize("out", ["own", "own/run"])
def test_a_run_does_not_write_its_pictures_among_those_that_it_learns(out: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for name in "ab":
        Image.new("L", (28, 28)).save(tmp_path / "own" / f"{name}.png")
    code, _, errors = script(TRAIN, "--data", tmp_path / "own", "--out", tmp_path / out, "--batch-size", 2)
    assert code == 2 and "lies in --data, where its pictures would be learned: choose another" in errors
    assert len(list((tmp_path / "own").iterdir())) == 2


def test_going_on_elsewhere_does_not_overwrite_the_run_that_is_there(script: Script, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert script(TRAIN, *SMALL, "--max-steps", 2, "--out", tmp_path / name)[0] == 0
    before = (tmp_path / "b" / "last.ckpt").read_bytes()
    code, _, errors = script(TRAIN, "--resume", tmp_path / "a", "--out", tmp_path / "b", "--max-steps", 4)
    assert code == 2 and f"{tmp_path / 'b'} holds a run" in errors
    assert (tmp_path / "b" / "last.ckpt").read_bytes() == before
    assert script(TRAIN, "--resume", tmp_path / "a", "--out", tmp_path / "c", "--max-steps", 4)[0] == 0


@pytest.mark.parametrize("name", ["latent_dim", "opt_g"])
def test_a_checkpoint_of_an_older_version_is_refused(script: Script, tmp_path: Path, name: str) -> None:
    assert script(TRAIN, *SMALL, "--max-steps", 2, "--out", tmp_path)[0] == 0
    content = checkpoint.load_checkpoint(tmp_path, "01_basic_gan")
    (content["config"] if name == "latent_dim" else content).pop(name)
    torch.save(content, tmp_path / "last.ckpt")
    code, _, errors = script(TRAIN, "--resume", tmp_path, "--max-steps", 4)
    assert code == 2 and f"is of an older version of this chapter (it has no {name}): train anew" in errors


def test_runs_of_the_same_second_have_a_folder_each(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "now")
    for _ in range(3):
        assert script(TRAIN, *SMALL, "--max-steps", 1)[0] == 0
    assert {path.name for path in (tmp_path / "runs" / "01_basic_gan").iterdir()} == {"now", "now-2", "now-3"}


def test_resume_takes_the_settings_of_the_run_also_where_it_was_moved(script: Script, tmp_path: Path) -> None:
    out, moved = tmp_path / "run", tmp_path / "moved"
    assert script(TRAIN, *SMALL, "--max-steps", 3, "--lr-g", 0.01, "--out", out)[0] == 0
    shutil.move(out, moved)
    assert script(TRAIN, "--resume", moved, "--max-steps", 5)[0] == 0
    assert not out.exists()
    config = json.loads((moved / "config.json").read_text())
    assert (config["lr_g"], config["batch_size"]) == (0.01, 16)
    assert checkpoint.load_checkpoint(moved, "01_basic_gan")["step"] == 5


def test_a_loss_that_is_no_number_ends_the_run_with_the_causes(script: Script, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, _, errors = script(
        TRAIN,
        *SMALL,
        "--optimizer",
        "sgd",
        "--lr-g",
        1e30,
        "--lr-d",
        1e30,
        "--max-steps",
        50,
        "--save-every",
        1,
        "--out",
        out,
    )
    message = errors.splitlines()[-1]
    assert code in (1, 2)
    assert "learning rate" in message or "not finite" in message
    assert "last.ckpt" in message or "no checkpoint yet" in message
    if (out / "last.ckpt").exists():
        kept = checkpoint.load_checkpoint(out, "01_basic_gan")
        assert all(tensor.isfinite().all() for tensor in kept["generator"].values())


def test_a_run_that_was_stopped_while_it_ended_is_ended(script: Script, tmp_path: Path) -> None:
    """A kill between the last checkpoint and the weights: --resume writes what is missing, and nothing else."""
    out = tmp_path / "run"
    weights, names = out / "weights.safetensors", ("weights.safetensors", "metrics.json", "last.ckpt")
    assert script(TRAIN, *SMALL, "--max-steps", 2, "--out", out)[0] == 0
    shorter = weights.read_bytes()
    assert script(TRAIN, "--resume", out, "--max-steps", 4)[0] == 0
    whole = {name: (out / name).read_bytes() for name in names}
    for before in (None, shorter):  # the first run of this folder, or one that went on
        weights.unlink()
        if before:
            weights.write_bytes(before)
        (out / "metrics.json").unlink()
        assert script(TRAIN, "--resume", out)[0] == 0
        assert whole == {name: (out / name).read_bytes() for name in names}
    assert "already stands at step 4" in script(TRAIN, "--resume", out)[2]


def test_ctrl_c_in_the_last_step_but_one_lets_the_run_end(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.Run, "_anybody_interrupted", lambda self: self.step == 3)
    assert script(TRAIN, *SMALL, "--max-steps", 3, "--out", tmp_path / "ends")[0] == 0
    assert (tmp_path / "ends" / "weights.safetensors").exists()
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 4, "--out", tmp_path / "stops")
    assert code == 130 and "stopped at step 3; go on with --resume" in errors


def test_resume_takes_a_home_folder_and_clears_what_a_kill_left(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert script(TRAIN, *SMALL, "--max-steps", 1, "--out", "~/run")[0] == 0
    rest = tmp_path / "run" / ".last.ckpt.123.part"
    rest.write_bytes(b"half a file")
    assert script(TRAIN, "--resume=~/run", "--max-steps", 2)[0] == 0
    assert checkpoint.load_checkpoint(tmp_path / "run", "01_basic_gan")["step"] == 2 and not rest.exists()


def test_a_run_goes_on_when_its_pictures_were_moved(script: Script, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(16):
        Image.new("L", (20, 20), 15 * i).save(tmp_path / "pictures" / f"{i}.png")
    out = tmp_path / "run"
    assert script(TRAIN, *SMALL, "--data", tmp_path / "pictures", "--max-steps", 1, "--out", out)[0] == 0
    (tmp_path / "pictures").rename(tmp_path / "moved")
    code, _, errors = script(TRAIN, "--resume", out, "--max-steps", 2)
    assert code == 2 and "unknown data" in errors
    assert script(TRAIN, "--resume", out, "--max-steps", 2, "--data", tmp_path / "moved")[0] == 0


def test_torchrun_and_the_flags_have_to_agree(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each of torchrun's processes would train alone, all of them into one folder."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 1, "--out", tmp_path / "run")
    assert code == 2 and "torchrun started 2 process(es), and --devices × --num-nodes is 1" in errors


def test_a_terminal_without_the_signs_shows_others(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    assert script(TRAIN, *SMALL, "--max-steps", 1, "--out", tmp_path / "run")[0] == 0
    assert b"10,000 pictures, 1?28?28" in shown.getvalue()


def test_a_reader_that_has_seen_enough_ends_the_run_in_one_line(tmp_path: Path) -> None:
    process = start(TRAIN, *SMALL, "--max-steps", 5, "--out", tmp_path / "run")
    assert process.stdout and process.stderr
    process.stdout.close()  # as `| head -0` does
    errors = process.stderr.read()
    assert process.wait(60) == 141 and errors.splitlines()[-1] == "stopped: nobody reads what is printed any more"
    assert "Traceback" not in errors and "BrokenPipe" not in errors


def test_a_full_disk_without_a_name_gets_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorBoard's writer does not say which file it was."""

    @dataclass
    class Nothing:
        pass

    def training(_: Nothing) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as stop:
        command_line.command_line(training, Nothing)
    assert stop.value.code == 2 and capsys.readouterr().err.startswith("error: the disk is full: free some space")


def test_a_path_on_another_drive_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # what Windows says

    assert relative(Path("runs")) == "runs"
    monkeypatch.setattr(os.path, "relpath", refuse)
    assert relative(ROOT) == str(ROOT)


@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_first_and_says_how_to_go_on(tmp_path: Path, polite: signal.Signals) -> None:
    out = tmp_path / "a run"
    process = start(TRAIN, *SMALL, "--max-steps", 10**6, "--sample-every", 20, "--save-every", 10**5, "--out", out)
    wait_for(lambda: (out / "samples" / "step_000020.png").exists())
    process.send_signal(polite)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    step, where = errors.splitlines()[-1].split("; go on with --resume ")
    assert step.startswith("stopped at step") and "Traceback" not in errors
    assert "finishing this step and saving; a second Ctrl-C leaves at once" in errors
    assert [os.path.relpath(out)] == shlex.split(where)  # as a shell takes it
    assert checkpoint.load_checkpoint(out, "01_basic_gan")["step"] >= 20


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_ends_the_process_whatever_it_is_doing(tmp_path: Path, second: signal.Signals) -> None:
    """A step that never ends: here it waits for a lock that nobody gives back."""
    program = f"""
import sys, threading
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "01_basic_gan")!r}]
import train
lock = threading.Lock()
lock.acquire()
train.Run.randn = lambda *_: print("stuck", flush=True) or lock.acquire()
train.train(train.Config(max_steps=9, accelerator="cpu", out={str(tmp_path / "run")!r}))
"""
    (tmp_path / "stuck.py").write_text(program)
    process = start(str(tmp_path / "stuck.py"))
    try:
        assert process.stdout and "stuck\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGINT)
        assert process.stderr and any("a second Ctrl-C leaves at once" in process.stderr.readline() for _ in range(9))
        process.send_signal(second)
        assert process.wait(20) == -second
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="asks POSIX whether a process lives")
def test_processes_that_draw_end_with_the_run(tmp_path: Path) -> None:
    """Ctrl-C does not stop them, as the run needs their batch; a run that is gone at once does, in the middle of a picture."""
    slow = """
import os, time
from pathlib import Path

def read(source, size, channels):
    Path(source, str(os.getpid())).touch()
    time.sleep(100)
"""
    (tmp_path / "slow.py").write_text(slow)
    (tmp_path / "drawing").mkdir()
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]
import slow
from common.data import pictures
lazy = pictures.LazyPictures(slow.read, ({str(tmp_path / "drawing")!r},) * 8, 8, 3, drawn=True)
next(pictures._ahead(pictures.Pictures("slow", lazy), iter([[0, 1]] * 9)))
"""
    (tmp_path / "run.py").write_text(program)
    process = start(str(tmp_path / "run.py"))
    try:
        workers: list[int] = []
        for _ in range(600):
            workers = [int(path.name) for path in (tmp_path / "drawing").iterdir()]
            if len(workers) >= 2:
                break
            time.sleep(0.1)
        assert len(workers) >= 2
        for pid in workers:
            os.kill(pid, signal.SIGINT)
        time.sleep(0.5)
        assert all(alive(pid) for pid in workers)
    finally:
        process.kill()
        process.wait(20)
    for _ in range(100):
        if not any(map(alive, workers)):
            return
        time.sleep(0.1)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    raise AssertionError("they still draw ten seconds later")


def alive(pid: int) -> bool:
    """Whether a process runs, and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path("/proc", str(pid), "status")
    return not (status.exists() and "State:\tZ" in status.read_text())


def test_a_run_of_other_classes_is_not_resumed(script: Script, tmp_path: Path) -> None:
    for folder, names in (("pets", ("cats", "dogs")), ("food", ("bread", "cheese"))):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            for number in range(4):
                Image.effect_noise((16, 16), 50 + number).save(tmp_path / folder / name / f"{number}.png")
    train, run = "04_conditional_gan/train.py", tmp_path / "run"
    small = ["--width", 4, "--batch-size", 4, "--accelerator", "cpu", "--size", 16]
    code, printed, errors = script(train, *small, "--data", tmp_path / "pets", "--max-steps", 2, "--out", run)
    assert code == 0 and "classes    cats, dogs\n" in printed, errors
    before = (run / "last.ckpt").read_bytes()
    code, _, errors = script(train, "--resume", run, "--data", tmp_path / "food", "--max-steps", 4)
    assert (
        code == 2 and "--data has the classes bread, cheese, and the run had cats, dogs: give it its pictures" in errors
    )
    assert (run / "last.ckpt").read_bytes() == before
    (tmp_path / "pets").rename(tmp_path / "moved")
    assert script(train, "--resume", run, "--data", tmp_path / "moved", "--max-steps", 4)[0] == 0


def test_a_run_into_a_file_says_now_and_then_how_far_it_is(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, quiet, errors = script(TRAIN, *SMALL, "--max-steps", 4, "--out", tmp_path / "quiet")
    assert code == 0 and "minutes left" not in quiet, errors
    monkeypatch.setattr("common.run.SECONDS_OF_SILENCE", 0)
    _, printed, _ = script(TRAIN, *SMALL, "--max-steps", 4, "--out", tmp_path / "run")
    said = [line for line in printed.splitlines() if line.startswith("step ")]
    assert len(said) == 4 and re.fullmatch(r"step 3 of 4, \d+ minutes left; loss/d \d.\d+, loss/g \d.\d+", said[2])


def test_weights_are_kept_every_n_steps(script: Script, tmp_path: Path) -> None:
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 5, "--keep-every", 2, "--out", tmp_path / "run")
    assert code == 0, errors
    kept = sorted(file.name for file in (tmp_path / "run").glob("weights*"))
    assert kept == ["weights.safetensors", "weights_000002.safetensors", "weights_000004.safetensors"]
    second, fourth, last = (
        checkpoint.load_weights(tmp_path / "run" / name, "01_basic_gan") for name in (*kept[1:], kept[0])
    )
    assert [found[1]["step"] for found in (second, fourth, last)] == [2, 4, 5]
    assert not same(second[0], fourth[0]) and not same(fourth[0], last[0])
    code, printed, _ = script(GENERATE, "--weights", tmp_path / "run" / kept[1], "--num", 4, "--out", tmp_path / "made")
    assert code == 0 and (tmp_path / "made" / "grid_weights-run_000002.png").exists(), printed


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_run_that_was_stopped_has_pictures(chapter: str, script: Script, tmp_path: Path) -> None:
    """Its weights are in last.ckpt; they are those that the end of the run writes."""
    run = tmp_path / "run"
    code, _, errors = script(
        f"{chapter}/train.py", *TINY[chapter], "--max-steps", 2, "--accelerator", "cpu", "--out", run
    )
    assert code == 0, errors
    whole, settings = checkpoint.load_weights(run / "weights.safetensors", chapter)
    (run / "weights.safetensors").unlink()
    for given in (run, run / "last.ckpt"):
        found, same_settings = checkpoint.load_weights(given, chapter)
        assert same(whole, found) and json.loads(json.dumps(same_settings)) == settings
    code, printed, errors = script(f"{chapter}/generate.py", "--weights", run / "last.ckpt", "--out", tmp_path / "made", "--accelerator", "cpu")  # fmt: skip
    assert code == 0 and "wrote" in printed, errors


@pytest.mark.parametrize("chapter", [name for name in CHAPTERS if name[:2] not in ("05", "06")])
def test_as_many_pictures_as_were_asked_for_and_a_file_for_each(chapter: str, script: Script, tmp_path: Path) -> None:
    code, _, errors = script(f"{chapter}/generate.py", "--num", 70, "--separate", "--seed", 5, "--out", tmp_path)
    assert code == 0, errors
    files = sorted((tmp_path / "grid_seed-5").iterdir())
    assert [file.name for file in files] == [f"{number:05d}.png" for number in range(70)]
    grid, single = (np.asarray(Image.open(path).convert("RGB")) for path in (tmp_path / "grid_seed-5.png", files[-1]))
    columns, scale = (10, 2) if chapter[:2] == "04" else (8, 2 if chapter[:2] in ("01", "03") else 1)
    row, column = divmod(69, columns)
    side = len(single) + 2
    cut = grid[::scale, ::scale][row * side + 2 :, column * side + 2 :][: side - 2, : side - 2]
    assert np.array_equal(cut, single)


def test_killed_processes_that_belong_together_lose_nothing(tmp_path: Path) -> None:
    """The first of two processes is killed; the other ends too. Resumed, the run ends as an undisturbed one, bit for bit.

    `test_faults.py` kills single processes, in every chapter.
    """
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    settings = [*SMALL, "--no-batch-norm", "--dropout", 0, "--save-every", 1, "--sample-every", 10**6]
    endless = ["--devices", 2, "--max-steps", 10**6, "--out", killed]
    process = start(TRAIN, *settings, *endless, start_new_session=True)
    wait_for(lambda: saved_step(killed) > 5)
    time.sleep(random.Random(0).uniform(0, 0.3))
    process.kill()
    process.communicate()
    wait_for(lambda: not group_lives(process.pid))
    steps = saved_step(killed) + 5
    pair(TRAIN, "--resume", killed, "--max-steps", steps, log=tmp_path / "said")
    process = start(TRAIN, *settings, "--devices", 2, "--max-steps", steps, "--out", whole)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert same(*(load_file(folder / "weights.safetensors") for folder in (killed, whole)))
    assert json.loads((killed / "metrics.json").read_text())["step"] == list(range(1, steps + 1))


# The fewest flags that make each chapter small.
TINY: dict[str, list[object]] = {
    "01_basic_gan": [],
    "02_dcgan": ["--data", "mnist-10k", "--width-g", 4, "--width-d", 4, "--batch-size", 8],
    "03_wgan_gp": ["--batch-size", 8, "--n-critic", 1],
    "04_conditional_gan": ["--width", 4, "--batch-size", 8],
    "05_pix2pix": [
        "--data",
        "satellite-map",
        "--size",
        32,
        "--patch",
        16,
        "--no-mirror",
        "--width-g",
        4,
        "--width-d",
        4,
    ],
    "06_cyclegan": ["--data", "satellite-map", "--size", 32, "--width", 4, "--patch", 16],
    "07_progan": ["--data", "mnist-10k", "--size", 8],
    "08_stylegan": ["--data", "mnist-10k", "--size", 8],
}


def group_lives(leader: int) -> bool:
    """Whether a process of the group that a process began is still there."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_processes_equal_one(one_and_two: Callable[..., None], tmp_path: Path) -> None:
    """Without BatchNorm and dropout, which look at one process's share only, two processes learn what one does."""
    flags = [
        "--no-batch-norm",
        "--dropout",
        0,
        "--precision",
        "32-true",
    ]  # in bf16 the order of the sums would already show
    one_and_two(TRAIN, *SMALL, *flags, "--max-steps", 12)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("1", "2"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5


def test_wrong_input_stops_all_processes_in_one_line(tmp_path: Path) -> None:
    process = start(TRAIN, *SMALL, "--data", "mnist-10", "--devices", 2, "--out", tmp_path / "run")
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.count("did you mean mnist-10k") == 1 and "Traceback" not in errors and "rank1" not in errors
    assert not (tmp_path / "run").exists() and "parameters" not in printed


@pytest.mark.parametrize("trouble", ["folder", "samples", "weights"])
def test_trouble_of_the_first_process_alone_stops_both_in_one_line(tmp_path: Path, trouble: str) -> None:
    """Only the first process writes, and sees what goes wrong there; the other must not wait for it, or talk on its own."""
    settings = [*SMALL, "--log-every", 50, "--sample-every", 50, "--save-every", 1, "--max-steps", 50]
    out = Path("/dev/null/run") if trouble == "folder" else tmp_path / "run"
    if trouble == "samples":  # a file is where the folder of the grids should be
        out.mkdir()
        (out / "samples").write_text("")
    elif trouble == "weights":
        settings += ["--optimizer", "sgd", "--lr-g", 1e30, "--lr-d", 1e30]
    pair(TRAIN, *settings, "--out", out, log=tmp_path / "said", code=2)
    said = (tmp_path / "said").read_text()
    words = {"folder": "cannot write /dev/null/run", "samples": "samples", "weights": "not finite"}
    assert said.count("error: ") == 1 and words[trouble] in said
    assert "Traceback" not in said


def test_two_machines_equal_one(tmp_path: Path) -> None:
    """The command of docs/running.md for several machines: torchrun on each, here twice on this one."""
    port = free_port()
    settings = [*SMALL, "--no-batch-norm", "--dropout", 0, "--precision", "32-true", "--max-steps", 6]
    alone = fork(TRAIN, *settings, "--out", tmp_path / "one")
    nodes = []
    for rank in (0, 1):
        machines = ["--nnodes", 2, "--node-rank", rank, "--nproc-per-node", 1]
        machines += ["--master-addr", "127.0.0.1", "--master-port", port, ROOT / TRAIN]
        both = ["--devices", 1, "--num-nodes", 2, "--out", tmp_path / "two"]
        nodes.append(start("-m", "torch.distributed.run", *machines, *settings, *both))
    alone.join(60)
    for process in nodes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    assert len(list((tmp_path / "two").glob("events*"))) == 1  # only the first process of the first machine writes


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="--compile needs a C++ compiler")
def test_compiled_networks_train(script: Script, tmp_path: Path) -> None:
    code, _, errors = script(TRAIN, *SMALL, "--compile", "--max-steps", 2, "--out", tmp_path / "run")
    assert code == 0, errors


def test_compile_on_a_machine_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    @dataclass
    class Nothing:
        pass

    def training(_: Nothing) -> None:  # what `CXX=/no/such/compiler python 01_basic_gan/train.py --compile` raises
        raise InductorError(InvalidCxxCompiler(), None)

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as stop:
        command_line.command_line(training, Nothing)
    errors = capsys.readouterr().err
    assert stop.value.code == 2 and len(errors.splitlines()) == 1
    assert errors.startswith("error: --compile fails on this machine (InvalidCxxCompiler") and "leave it out" in errors


def test_bf16_runs_and_is_chosen_only_where_it_is_native(script: Script, tmp_path: Path) -> None:
    assert script(TRAIN, *SMALL, "--precision", "bf16-mixed", "--max-steps", 2, "--out", tmp_path / "run")[0] == 0
    native = devices.native_bf16(torch.device("cpu"))
    code, printed, _ = script(TRAIN, "--max-steps", 0, "--accelerator", "cpu")
    assert code == 0 and ("bf16-mixed" in printed) == native


def test_help_explains_every_flag(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, printed, _ = script(TRAIN, "--help")
    assert code == 0
    for words in ("updates of the generator", "go on exactly where it stopped", "one-sided", "authors' mnist.yaml"):
        assert words in " ".join(printed.replace("│", " ").split())


# ------------------------------------------------------------------------------------------------------- generate


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--weights", "/no/such.safetensors"], "there are no weights"),
        (["--num", 0], "--num must be above 0"),
        (["--score", "--num", 10], "--num must be at least 1,000"),
        (["--score", "--num", 20000], "--num must be at most 10,000"),
        (["--out", "/proc/nowhere"], "cannot write"),
        (["--seed", 10**20], "--seed must be below 2147483648"),
        (["--num", 10**13], "out of memory: lower the batch size"),
        (["--num", 10**18], "out of memory: lower the batch size"),
        (["--num", 10**20], "out of memory: lower the batch size"),
    ],
)
def test_generate_explains_wrong_input(script: Script, arguments: list[object], expected: str) -> None:
    code, _, errors = script("01_basic_gan/generate.py", *arguments)
    assert code == 2 and expected in errors.splitlines()[-1]


@pytest.mark.parametrize("flag", ["--lr-g", "--lr-d", "--unroll-lr"])
def test_ring_explains_wrong_input(script: Script, tmp_path: Path, flag: str) -> None:
    code, _, errors = script("01_basic_gan/ring.py", flag, -1, "--out", tmp_path / "ring.gif")
    assert code == 2 and f"{flag} must be above 0" in errors


def test_ring_writes_its_animation_and_overwrites_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = load_chapter("01_basic_gan", "ring")
    monkeypatch.setattr(ring, "RUNS", tmp_path)
    for unroll in (0, 2):
        ring.main(ring.Config(steps=4, unroll=unroll))
    written = [tmp_path / f"ring_non-saturating_{unroll}.gif" for unroll in (0, 2)]
    assert [getattr(Image.open(file), "n_frames", 1) for file in written] == [4, 4]
    assert written[0].read_bytes() != written[1].read_bytes()


def test_ring_writes_where_it_is_told(script: Script, tmp_path: Path) -> None:
    code, printed, _ = script("01_basic_gan/ring.py", "--steps", 4, "--out", tmp_path / "ring.gif")
    assert code == 0 and "of 8 modes covered" in printed
    assert (tmp_path / "ring.gif").exists()


# -------------------------------------------------------------------------------------------------------- helpers


def saved_step(folder: Path) -> int:
    return int(checkpoint.load_checkpoint(folder, "01_basic_gan")["step"]) if (folder / "last.ckpt").exists() else 0


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_the_default_data_needs_no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    assert len(data.load("mnist-10k")) == len(data.load("fashion-10k")) == 10_000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "device", "said"), [("auto", "mps", True), ("mps", "mps", False), ("auto", "cpu", False)]
)
def test_a_mac_that_takes_its_gpu_by_itself_says_so(
    asked: str, device: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Machine:
        def __init__(self, **_: object) -> None:
            self.device = torch.device(device)

    monkeypatch.setattr(devices, "Fabric", Machine)
    assert devices.one_device(asked).type == device
    assert ("--accelerator cpu" in capsys.readouterr().err) == said


# ----------------------------------------------------------------------------------------------------- start from


@pytest.mark.parametrize("folder", CHAPTERS)
def test_a_run_begins_with_the_shipped_generators(
    folder: str, chapter: Callable[[str, str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train, weights = chapter(folder, "train"), ROOT / folder / "weights.safetensors"
    begun: list[run.Run] = []
    monkeypatch.setattr(run.Run, "steps", lambda self: begun.append(self) or iter(()))
    monkeypatch.setattr(run.Run, "finish", lambda self: self.folder)
    settings = checkpoint.load_weights(weights, folder)[1]
    sketched = {"data": settings["data"]} if folder >= "05" else {}
    kind = {"accelerator": "cpu", "out": str(tmp_path), "start_from": str(weights)} | sketched
    wider = {"04_conditional_gan": ("width", 48), "07_progan": ("most_channels", 256)}
    if folder in wider:  # than the default's, and the one line says how wide
        flag, value = wider[folder]
        said = f"; use those that they were trained with: --{flag.replace('_', '-')} {value}$"
        with pytest.raises(UserError, match=said):
            train.train(train.Config(**kind))
        kind[flag] = value
    train.train(train.Config(**kind))
    (started,) = begun
    stored = {name.removeprefix("averaged."): tensor for name, tensor in load_file(weights).items()}
    for name in ("to_b", "to_a") if folder == "06_cyclegan" else ("generator",):
        prefix = f"{name}." if folder == "06_cyclegan" else ""
        found = started.networks[name].state_dict()
        assert found and all(
            torch.equal(tensor, stored[prefix + key].to(tensor.dtype)) for key, tensor in found.items()
        )
    assert started.step == 0 and not started.history
    if "ema" in started.state:
        averaged = started.state["ema"].module.state_dict()
        assert all(torch.equal(tensor, stored[key].to(tensor.dtype)) for key, tensor in averaged.items())


def test_a_run_begins_with_the_networks_of_another(script: Script, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert script(TRAIN, *SMALL, "--max-steps", 5, "--out", first)[0] == 0
    flags = ["--start-from", first, "--max-steps", 1, "--lr-g", 1e-30, "--lr-d", 1e-30, "--out", second]
    code, printed, errors = script(TRAIN, *SMALL, *flags)
    assert code == 0 and "generator, discriminator" in printed and "new:" not in printed, errors
    old, new = (checkpoint.load_checkpoint(folder, "01_basic_gan") for folder in (first, second))
    assert new["step"] == 1 and new["history"]["step"] == [1]
    for part in ("generator", "discriminator"):
        learned = [name for name in old[part] if name.endswith(("weight", "bias"))]
        assert len(learned) >= 4
        torch.testing.assert_close([new[part][name] for name in learned], [old[part][name] for name in learned])


def test_weights_bring_the_judge_that_lies_beside_them(script: Script, tmp_path: Path) -> None:
    first, alone = tmp_path / "first", tmp_path / "alone"
    assert script(TRAIN, *SMALL, "--max-steps", 5, "--out", first)[0] == 0
    alone.mkdir()
    shutil.copy(first / "weights.safetensors", alone)
    flags = ["--max-steps", 1, "--lr-g", 1e-30, "--lr-d", 1e-30]
    judges = checkpoint.load_checkpoint(first, "01_basic_gan")["discriminator"]
    cases: list[tuple[Path, list[object], bool]] = [  # with its judge; alone; with a judge of other sizes
        (first, [], True), (alone, [], False), (first, ["--discriminator-hidden", 9, 7], False)
    ]  # fmt: skip
    for number, (folder, more, known) in enumerate(cases):
        out = tmp_path / str(number)
        code, printed, errors = script(
            TRAIN, *SMALL, *flags, *more, "--start-from", folder / "weights.safetensors", "--out", out
        )
        assert code == 0 and ("new: discriminator" in printed) != known, errors + printed
        now = checkpoint.load_checkpoint(out, "01_basic_gan")["discriminator"]
        same = all(now[name].shape == judges[name].shape and torch.allclose(now[name], judges[name]) for name in judges)
        assert same == known


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--start-from", "/no/such.safetensors"], "there are no weights /no/such.safetensors"),
        (["--start-from", ROOT], "--start-from: there is no checkpoint"),
        (["--start-from", ROOT / "02_dcgan" / "weights.safetensors"], "belongs to 02_dcgan, not to 01_basic_gan"),
        (["--start-from", ROOT / "01_basic_gan" / "weights.safetensors", "--generator-hidden", 7], "have other sizes"),
        (["--start-from", ROOT / "02_dcgan" / "discriminator.safetensors"], "give the weights beside it"),
    ],
)
def test_what_a_run_cannot_begin_with_gets_one_line(
    script: Script, tmp_path: Path, flags: list[object], said: str
) -> None:
    code, _, errors = script(TRAIN, *SMALL[:4] if "--generator-hidden" not in flags else (), *flags, "--out", tmp_path)
    assert code == 2 and said in errors and len(errors.strip().splitlines()) == 1, errors
    assert not list(tmp_path.iterdir())
