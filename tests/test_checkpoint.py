"""Files survive kills and full disks, and cannot run code."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from common import UserError, checkpoint
from tests.conftest import ROOT


def content(step: int = 1, **more: object) -> dict[str, object]:
    return {
        "chapter": "01_basic_gan",
        "step": step,
        "config": {},
        "network": {"weight": torch.full((50,), float(step))},
        **more,
    }


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path / "last.ckpt", content(7))
    for place in (path, tmp_path):  # a run folder stands for its last.ckpt
        loaded = checkpoint.load_checkpoint(place, "01_basic_gan")
        assert loaded["step"] == 7 and (loaded["network"]["weight"] == 7).all()


def test_another_chapters_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path / "last.ckpt", content())
    with pytest.raises(UserError, match="belongs to 01_basic_gan, not to 02_dcgan"):
        checkpoint.load_checkpoint(path, "02_dcgan")
    torch.save([1, 2], tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="belongs to another program"):
        checkpoint.load_checkpoint(tmp_path / "other.ckpt", "02_dcgan")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path / "last.ckpt", content())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="cut off"):
        checkpoint.load_checkpoint(path, "01_basic_gan")
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cut off"):
        checkpoint.load_checkpoint(path, "01_basic_gan")
    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "none.ckpt", "01_basic_gan")


class Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(content(bomb=Exploit(tmp_path / "owned")), path)
    with pytest.raises(UserError, match="more than numbers and plain settings"):
        checkpoint.load_checkpoint(path, "01_basic_gan")
    assert not (tmp_path / "owned").exists()


def test_weights_that_are_not_finite_do_not_replace_good_ones(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path / "last.ckpt", content(3))
    with pytest.raises(UserError, match=r"network.weight is not finite.*stays as it was"):
        checkpoint.save_checkpoint(path, content(4) | {"network": {"weight": torch.tensor([1.0, float("nan")])}})
    assert checkpoint.load_checkpoint(path, "01_basic_gan")["step"] == 3


def test_a_full_disk_keeps_the_last_good_file(tmp_path: Path) -> None:
    """A limit on the size of files is the nearest thing to a full disk that every machine has."""
    path = checkpoint.save_checkpoint(tmp_path / "last.ckpt", content(3))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*last.ckpt.*--out"):
            checkpoint.save_checkpoint(path, content(4, big={"weight": torch.zeros(10**6)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert checkpoint.load_checkpoint(path, "01_basic_gan")["step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]  # nothing half-written is left


KILLED = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from common.checkpoint import save_checkpoint
for step in range(1, 100000):
    save_checkpoint(Path(sys.argv[1]), {"chapter": "x", "step": step, "network": {"weight": torch.full((10**6,), float(step))}})
    print(step, flush=True)
"""


def test_a_kill_in_the_middle_of_saving_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    rng = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, path, str(ROOT)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # the first save is done: from here on it saves all the time
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        printed = [int(line) for line in process.stdout.read().split()]
        process.wait()
        loaded = checkpoint.load_checkpoint(path, "x")
        assert (loaded["network"]["weight"] == loaded["step"]).all()
        assert loaded["step"] >= (printed[-1] if printed else 1)


def test_two_processes_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    """Two first runs fill data/ at the same time: whoever comes last wins, and nobody writes into the other's file."""
    body = "import sys; from pathlib import Path; from common.checkpoint import write_atomically as write\n"
    body += "for _ in range(60): write(Path(sys.argv[1]), sys.argv[2].encode() * 3_000_000)"
    writers = [
        subprocess.Popen([sys.executable, "-c", body, str(tmp_path / "file"), letter], cwd=ROOT, stderr=subprocess.PIPE)
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.communicate(timeout=120)[1] == b""
    found = (tmp_path / "file").read_bytes()
    assert found in (b"a" * 3_000_000, b"b" * 3_000_000)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_name_that_is_too_long_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give your file a shorter name$"):
        checkpoint.write_atomically(tmp_path / ("d" * 300), b"")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_an_older_version_say_so(tmp_path: Path) -> None:
    path = checkpoint.save_weights(
        tmp_path / "old.safetensors", nn.Linear(3, 2).state_dict(), {"chapter": "01_basic_gan"}
    )
    _, settings = checkpoint.load_weights(path, "01_basic_gan")
    with pytest.raises(
        UserError, match=r"old\.safetensors is of an older version of its chapter \(it has no 'hidden'\)"
    ):
        settings["hidden"]


def test_weights_carry_their_settings_and_nothing_else(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    path = checkpoint.save_weights(
        tmp_path / "weights.safetensors", network.state_dict(), {"chapter": "01_basic_gan", "width": 3}
    )
    tensors, settings = checkpoint.load_weights(path, "01_basic_gan")
    twin = nn.Linear(3, 2)
    checkpoint.load_state(twin, tensors, str(path))
    assert torch.equal(twin.weight, network.weight) and settings["width"] == 3
    with pytest.raises(UserError, match="belongs to 01_basic_gan, not to 05_pix2pix"):
        checkpoint.load_weights(path, "05_pix2pix")
    with pytest.raises(UserError, match="other sizes"):
        checkpoint.load_state(nn.Linear(4, 2), tensors, str(path))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="cut off"):
        checkpoint.load_weights(path, "01_basic_gan")
    with pytest.raises(UserError, match="there are no weights"):
        checkpoint.load_weights(tmp_path / "none", "01_basic_gan")
