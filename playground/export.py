"""Write everything that the playground loads: python playground/export.py --out FOLDER

The networks as ONNX with float16 weights, test pictures, and `models.json`, which says what each network wants and what its weights
were trained on. The page is built from that file, so other weights need no other page.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import numpy as np
import onnxruntime
import torch
from PIL import Image
from pydantic.dataclasses import dataclass
from scipy.cluster.vq import kmeans2
from torch import Tensor

from common import load_chapter, relative
from common.command_line import Flags, command_line
from common.data import load_pairs

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = 8
KINDS = {"sketches": ("drawing", "face"), "satellite-map": ("satellite picture", "map")}  # what A and B are
DIRECTIONS = 6
LATENTS = 12  # to find them; 32 span nearly the same space


@dataclass
class Config(Flags):
    """Export all shipped generators for the playground."""

    out: Path = ROOT / "runs" / "site" / "playground" / "models"  # folder for everything that is written


def described(path: Path, folder: Path) -> dict[str, Any]:
    """What the page has to know of a network; a free axis is null."""
    session = onnxruntime.InferenceSession(path)
    shapes = {
        given.name: [side if isinstance(side, int) else None for side in given.shape] for given in session.get_inputs()
    }
    file = path.relative_to(folder).as_posix()
    return {"file": file, "bytes": path.stat().st_size, "inputs": shapes, "output": session.get_outputs()[0].name}


def directions(path: Path, inputs: dict[str, list[int | None]], seed: int) -> list[list[float]]:
    """The unit vectors in z [D] along which the pictures change most: the first eigenvectors of the mean of JᵀJ over some latents.

    J is the derivative of a picture by z, taken here as a difference. Other inputs stay: all classes alike, alpha at 1.
    """
    session = onnxruntime.InferenceSession(path)
    dim, rng, h = inputs["z"][1] or 0, np.random.default_rng(seed), 0.1
    total = np.zeros((dim, dim))
    for _ in range(LATENTS):
        z = np.vstack([np.zeros(dim), h * np.eye(dim)]) + rng.standard_normal(dim)
        feeds = {"z": z.astype(np.float32)}
        if "labels" in inputs:
            feeds["labels"] = np.full((dim + 1, inputs["labels"][1] or 1), 1 / (inputs["labels"][1] or 1), np.float32)
        if "alpha" in inputs:
            feeds["alpha"] = np.ones((), np.float32)
        pictures = session.run(None, feeds)[0].reshape(dim + 1, -1)
        moved = (pictures[1:] - pictures[:1]) / h  # [D, C·H·W]
        total += moved @ moved.T
    vectors = np.linalg.eigh(total)[1].T[::-1][:DIRECTIONS]  # the largest first
    return [[round(float(value), 4) for value in vector] for vector in vectors]


def palette(pictures: Tensor) -> list[str]:
    """The colours to draw with: the commonest of pictures [N, 3, H, W], that of the paper first; or paper and ink."""
    pixels = pictures.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    if np.ptp(pixels, axis=1).max() < 8:  # ink on paper
        colours = np.stack([pixels.max(0), pixels.min(0)])
    else:
        centres, members = kmeans2(pixels, 6, minit="++", rng=0)
        colours = centres[np.argsort(-np.bincount(members, minlength=len(centres)))]
    return ["#" + "".join(f"{round(value):02x}" for value in colour) for colour in colours]


def examples(settings: dict[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """Some test pairs as files, and the colours to draw with on each side."""
    pairs = load_pairs(settings["data"], int(settings["size"]), "test", EXAMPLES)
    both, files = {"a": pairs.a, "b": pairs.b}, []
    for i in range(len(pairs)):
        pair = {}
        for name, pictures in both.items():
            path = folder / f"example_{i}_{name}.png"
            Image.fromarray(pictures[i].permute(1, 2, 0).numpy()).save(path)
            pair[name] = path.relative_to(root).as_posix()
        files.append(pair)
    palettes = {name: palette(pictures) for name, pictures in both.items()}
    return {"examples": files, "palettes": palettes, "kinds": KINDS.get(settings["data"], ("A", "B"))}


def main(config: Config) -> None:
    torch.manual_seed(config.seed)
    config.out.mkdir(parents=True, exist_ok=True)
    chapters = {}
    for readme in sorted(ROOT.glob("[0-9][0-9]_*/README.md")):
        chapter = readme.parent.name
        generate, folder = load_chapter(chapter, "generate"), config.out / chapter
        written = generate.write_onnx(folder, readme.parent / "weights.safetensors")
        halves = [path for path in written if path.stem.endswith("_float16")]
        for path in set(written) - set(halves):
            path.unlink()
        settings = json.loads(onnxruntime.InferenceSession(halves[0]).get_modelmeta().custom_metadata_map["settings"])
        networks = {path.stem.removesuffix("_float16"): described(path, config.out) for path in halves}
        about = {
            "title": readme.read_text().partition("\n")[0].removeprefix("# "),
            "settings": settings,
            "networks": networks,
        }
        inputs = networks[halves[-1].stem.removesuffix("_float16")]["inputs"]
        if "z" in inputs:
            about["directions"] = directions(halves[-1], inputs, config.seed)
        if "x" in inputs:
            about |= examples(settings, folder, config.out)
        chapters[chapter] = about
        print(f"{chapter}: {sum(path.stat().st_size for path in halves) / 2**20:.1f} MB")
    (config.out / "models.json").write_text(json.dumps(chapters))
    print(f"wrote {relative(config.out)}")


if __name__ == "__main__":
    command_line(main, Config)
