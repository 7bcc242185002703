"""Devices, precision and processes: what Lightning Fabric is asked for, and what several processes have to agree on."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from common import explained, require

# Fabric imports all of torchmetrics to learn its version, a quarter of the time in which a program starts: so it is hidden.
sys.modules.setdefault("torchmetrics", None)  # type: ignore[arg-type]
from lightning_fabric import Fabric as Fabric  # the other files have it from here
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.rank_zero import rank_zero_only as rank_zero_only

if not sys.modules["torchmetrics"]:
    del sys.modules["torchmetrics"]


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware; elsewhere bf16 is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def make_fabric(settings: Any, growing: bool = False) -> Fabric:
    """Lightning Fabric for the devices and the precision of a chapter's `Config`, launched and seeded.

    `growing` is for networks that do not use all of their weights in every step: no process then waits for their gradients.
    """
    warnings.filterwarnings("ignore", ".*(all_gather|broadcast_buffers`) is deprecated")  # by Fabric: not the learner's
    processes, precision = settings.processes, settings.precision
    torchrun = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
    if torchrun:
        said = f"torchrun started {os.environ['WORLD_SIZE']} process(es), and --devices × --num-nodes is {processes}"
        require(int(os.environ["WORLD_SIZE"]) == processes, f"{said}: make them the same")
    if precision == "auto":
        precision = "bf16-mixed" if native_bf16(one_device(settings.accelerator)) else "32-true"
    # Several forward passes happen before one backward pass, so BatchNorm's buffers must not be overwritten in between.
    several = DDPStrategy(broadcast_buffers=False, find_unused_parameters=growing)
    strategy = several if processes > 1 or torchrun else "auto"  # one process of torchrun, too: one way
    machine = {"accelerator": settings.accelerator, "devices": settings.devices, "num_nodes": settings.num_nodes}
    refused = "--accelerator, --devices, --num-nodes or --precision do not fit this machine"
    with explained(refused, "leave them out", Exception):  # Fabric raises many kinds
        fabric = Fabric(strategy=strategy, precision=precision, **machine)
        fabric.launch()
    torch.manual_seed(settings.seed)
    return fabric


def one_device(accelerator: str) -> torch.device:
    """The device that `accelerator` ("auto", "cpu", "gpu", "mps") means here; `UserError` if there is none."""
    with explained(f"--accelerator {accelerator} is not to be had on this machine", "leave it out", Exception):
        device = Fabric(accelerator=accelerator, devices=1).device
    if accelerator == "auto" and device.type == "mps":
        note = "note: on Apple's GPU, where the course is not tested; --accelerator cpu takes the processor"
        print(note, file=sys.stderr)
    return device


@contextlib.contextmanager
def rank_zero_first(fabric: Fabric) -> Iterator[None]:
    """What the first process draws, downloads or writes in here, the others find ready: they come after it.

    An error stops all processes, one of the user's with its one line (Fabric's `rank_zero_first` leaves the others waiting).
    """
    wrong = fabric.broadcast("") if fabric.global_rank > 0 else ""
    require(not wrong, wrong)
    try:
        yield
    except BaseException as error:
        wrong = str(error) or type(error).__name__
        raise
    finally:
        if fabric.global_rank == 0:
            # After an error the others may have ended by themselves.
            with contextlib.suppress(RuntimeError) if wrong else contextlib.nullcontext():
                fabric.broadcast(wrong)


@contextlib.contextmanager
def without_weight_gradients(fabric: Fabric, network: Any) -> Iterator[None]:
    """Forward passes through a network that is not to learn: no gradients of its weights are computed or exchanged."""
    network.requires_grad_(False)
    with fabric.no_backward_sync(network, enabled=isinstance(fabric.strategy, DDPStrategy)):
        yield
    network.requires_grad_(True)


def exponential_moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of `network`, buffers included; call `update_parameters(network)` after each step.

    In the first steps the average forgets faster, min(decay, (1 + n) / (10 + n)), so that early samples are not those of
    the untrained network.
    """

    def average(old: Any, new: Any, n: Any) -> None:
        forget = 1 - ((1 + n) / (10 + n)).clamp(max=decay)
        for averaged, current in zip(old, new, strict=True):
            if averaged.is_floating_point():
                averaged.lerp_(current, forget.to(averaged.dtype))
            else:  # BatchNorm's counter of batches
                averaged.copy_(current)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def gradient_norm(network: nn.Module) -> Tensor:
    """The L2 norm of the gradients that the last backward pass left at all weights of a network, as one number."""
    return torch.nn.utils.get_total_norm([weight.grad for weight in network.parameters() if weight.grad is not None])
