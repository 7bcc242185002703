"""A trained network as ONNX: a file that browsers, telephones and other languages run without PyTorch."""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common import UserError
from common.checkpoint import write_atomically

NEW_ENOUGH = torch.__version__ >= (2, 9)  # type: ignore[operator]  # the exporter of 2.6 fails at batch norm


def save_onnx(
    path: Path, network: nn.Module, inputs: Mapping[str, Tensor | Sequence[Tensor]], output: str, settings: Any
) -> list[Path]:
    """Write `network` twice: with float32 weights to `path`, and with float16 weights beside it. Returns both paths.

    `inputs` are two examples of each input; their number is free in the file. An input without axes is one number for all. A list named
    "noise" becomes the inputs noise_0, noise_1, … `settings` go into the file. The second file has half the size, the same inputs, and
    computes in float32 too, since few processors do more than store float16. Raises `UserError` where a package is missing or old.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch.onnx needs it
    except ImportError as error:
        raise UserError(f"--onnx needs the package {error.name}: pip install -r site/requirements.txt") from error
    if not NEW_ENOUGH:
        raise UserError(f"--onnx needs PyTorch 2.9 or newer, not {torch.__version__}")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # else it tells of operators that no chapter has
    network.eval()  # a chapter's generator is already, the module around it may not be
    number = torch.export.Dim("number")
    names, free = list[str](), list[Any]()
    for name, examples in inputs.items():
        if isinstance(examples, Tensor):
            names.append(name)
            free.append({0: number} if examples.dim() else {})
        else:
            names += [f"{name}_{i}" for i in range(len(examples))]
            free.append([{0: number}] * len(examples))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch to its own authors
        program = torch.onnx.export(
            network, tuple(inputs.values()), input_names=names, output_names=[output], dynamic_shapes=tuple(free),
            dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {"settings": json.dumps(settings)})
    written = [write_atomically(path, model.SerializeToString())]
    for stored in list(model.graph.initializer):
        weights = onnx.numpy_helper.to_array(stored)
        if weights.dtype == np.float32 and weights.size > 1:  # a number alone may be a constant such as 1e-8
            small = onnx.numpy_helper.from_array(weights.astype(np.float16), f"{stored.name}_float16")
            model.graph.initializer.remove(stored)
            model.graph.initializer.append(small)
            cast = onnx.helper.make_node("Cast", [small.name], [stored.name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return [*written, write_atomically(path.with_name(f"{path.stem}_float16.onnx"), model.SerializeToString())]
