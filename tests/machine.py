"""What a report of a bug should say about the machine: `python tests/machine.py`. No paths and no names of people."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.devices import native_bf16, one_device


def processor() -> str:
    """The processor's name, as Linux tells it; elsewhere what Python knows."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory() -> str:
    """All of the main memory in GiB; "unknown" on Windows, where Python cannot tell."""
    if not hasattr(os, "sysconf"):
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def describe() -> str:
    """One line for each fact."""
    device = one_device("auto")
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    facts = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    facts |= {"torch": torch.__version__} | {name: version(name) for name in ("torchvision", "lightning-fabric")}
    facts |= {"processor": f"{processor()}, {os.cpu_count()} cores", "memory": memory()}
    facts |= {"device": f"{device.type}{name}", "native bf16": "yes" if native_bf16(device) else "no"}
    return "\n".join(f"{fact:<17} {value}" for fact, value in facts.items())


if __name__ == "__main__":
    print(describe())
