"""Each chapter's `--onnx`: what ONNX Runtime draws from the files is what PyTorch draws, with float16 weights too."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common import onnx
from common.images import to_uint8
from common.onnx import NEW_ENOUGH
from tests.conftest import CHAPTERS, ROOT

WHY = "pip install -r site/requirements.txt brings onnx, onnxscript and onnxruntime, which this test needs"
N = 3  # other than the two pictures with which the files are made


@pytest.fixture
def files(chapter: Callable[[str, str], ModuleType], tmp_path: Path) -> Callable[[str], tuple[ModuleType, list[Path]]]:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=WHY)
    if not NEW_ENOUGH:
        pytest.skip(f"PyTorch {torch.__version__} is too old to export")

    def write(name: str, weights: str = "weights") -> tuple[ModuleType, list[Path]]:
        generate = chapter(name, "generate")
        return generate, generate.write_onnx(tmp_path, ROOT / name / f"{weights}.safetensors")

    return write


def agree(path: Path, inputs: dict[str, Tensor], wanted: Tensor, most: int = 2) -> None:
    """The file's pictures are the wanted ones, to `most` of 255 in any pixel."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    assert [given.name for given in session.get_inputs()] == list(inputs)
    drawn = torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])
    assert drawn.shape == wanted.shape
    apart = (to_uint8(drawn).int() - to_uint8(wanted).int()).abs().max().item()
    assert apart <= most, f"{path.name}: {apart} of 255"
    assert to_uint8(wanted).float().std() > 5, "no picture"


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name[:2] in ("01", "02", "03")])
def test_a_latent_becomes_the_same_picture(name: str, files: Callable[[str], tuple[ModuleType, list[Path]]]) -> None:
    generate, (whole, half) = files(name)
    generator, settings = generate.load_generator()
    z = torch.randn(N, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    for path in (whole, half):
        agree(path, {"z": z}, generator(z))
    assert half.stat().st_size < 0.55 * whole.stat().st_size

    import onnx

    stored = {entry.key: entry.value for entry in onnx.load(half).metadata_props}
    assert json.loads(stored["settings"]) == settings


def test_the_class_is_asked_for(files: Callable[[str], tuple[ModuleType, list[Path]]]) -> None:
    generate, paths = files("04_conditional_gan")
    generator, _ = generate.load_generator()
    z, labels = torch.randn(N, generator.latent_dim), torch.tensor([7, 0, 3])
    for path in paths:
        agree(path, {"z": z, "labels": F.one_hot(labels, generator.classes).float()}, generator(z, labels))


@pytest.mark.parametrize(("name", "noise"), [("weights", "maps"), ("satellite-to-map", "numbers")])
def test_dropout_is_an_input(
    name: str, noise: str, files: Callable[..., tuple[ModuleType, list[Path]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch drops what it likes; told which numbers or maps those were, the file gives the same picture."""
    generate, paths = files("05_pix2pix", name)
    generator, _ = generate.load_generator(generate.HERE / f"{name}.safetensors")
    x = torch.rand(N, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    kept: list[Tensor] = []
    drop = "dropout2d" if noise == "maps" else "dropout"
    real: Callable[..., Tensor] = getattr(F, drop)

    def watched(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        dropped = real(x, *arguments, **options)
        seen = (dropped != 0).float() * 0.999
        kept.append(seen.amax((2, 3), keepdim=True) if noise == "maps" else seen)
        return dropped

    monkeypatch.setattr(F, drop, watched)
    wanted = generator(x)
    monkeypatch.undo()
    assert 0.3 < kept[0].mean() < 0.7
    for path in paths:
        agree(path, {"x": x} | {f"noise_{i}": mask for i, mask in enumerate(kept)}, wanted)


def test_both_ways(files: Callable[[str], tuple[ModuleType, list[Path]]]) -> None:
    generate, paths = files("06_cyclegan")
    *both, _ = generate.load_generators()
    x = (
        F.interpolate(torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(1)), size=64, mode="bilinear") * 2
        - 1
    )
    assert [path.stem for path in paths] == ["to_b", "to_b_float16", "to_a", "to_a_float16"]
    for i, path in enumerate(paths):
        agree(path, {"x": x}, both[i // 2](x))


def test_each_resolution_and_alpha(files: Callable[[str], tuple[ModuleType, list[Path]]]) -> None:
    generate, paths = files("07_progan")
    generator = generate.load_generator()[0].generator
    z = torch.randn(N, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    assert [path.stem for path in paths[::2]] == [f"generator_{side}" for side in (4, 8, 16, 32, 64)]
    for path in paths:
        side = int(path.stem.split("_")[1])
        for alpha in (0.0, 0.3, 1.0) if side > 4 else (1.0,):
            agree(path, {"z": z, "alpha": torch.tensor(alpha)}, generator(z, side, alpha))


def test_mapping_and_synthesis(
    files: Callable[[str], tuple[ModuleType, list[Path]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The styles of each layer are an input, and so is the noise: here the one that PyTorch drew."""
    import onnxruntime

    generate, paths = files("08_stylegan")
    painter, _ = generate.load_painter()
    z = painter.latents(2 * N, 1)
    w = painter.w(z, 0.7)

    def mixed(w: Tensor) -> Tensor:
        styles, others = painter.styles(w).chunk(2)
        return torch.cat([styles[:, :4], others[:, 4:]], 1)

    noise: list[Tensor] = []
    real = torch.randn

    def watched(*size: int, **options: Any) -> Tensor:
        noise.append(real(*size, **options))
        return noise[-1]

    monkeypatch.setattr(torch, "randn", watched)
    wanted = painter.draw(mixed(w))
    monkeypatch.undo()
    assert len(noise) == painter.layers
    drawn = {f"noise_{i}": one for i, one in enumerate(noise)}
    for mapping, synthesis in zip(paths[:2], paths[2:], strict=True):
        found = onnxruntime.InferenceSession(mapping).run(None, {"z": z.numpy(), "psi": torch.tensor(0.7).numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(found), w, atol=0.02, rtol=0.02)
        agree(synthesis, {"styles": mixed(w)} | drawn, wanted)
        agree(
            synthesis, {"styles": mixed(torch.from_numpy(found))} | drawn, wanted
        )  # one after the other, as the page does


def test_a_missing_package_gets_one_line(
    script: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, errors = script("01_basic_gan/generate.py", "--onnx", "--out", tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert "--onnx needs the package" in errors and "pip install -r site/requirements.txt" in errors


def test_an_old_pytorch_gets_one_line(
    script: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason=WHY)
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    monkeypatch.setattr(onnx, "NEW_ENOUGH", False)
    code, _, errors = script("01_basic_gan/generate.py", "--onnx", "--out", tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert "--onnx needs PyTorch 2.9 or newer, not 2.6.0+cpu" in errors
