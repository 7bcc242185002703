"""The pictures of the front page, of docs/scores.md and of chapter 07's idea, computed from the shipped weights and from real pictures.

python docs/pictures.py                   # all of them, about three minutes on one core
python docs/pictures.py before-after      # or one by name
"""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from common import images, load_chapter
from common.scores import held_out

HERE = ROOT / "docs" / "pictures"
DOTS = 100  # per inch: a figure of 8 inches is 800 pixels wide, as wide as a page shows it


def drawn(chapter: str, number: int) -> Tensor:
    """The first pictures of a chapter's shipped generator, seed 0, float [N, C, H, W]."""
    generator, settings = load_chapter(chapter, "generate").load_generator()
    z = torch.randn(number, int(settings["latent_dim"]), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.cat([generator(part) for part in z.split(100)])


def show(plot: plt.Axes, pictures: Tensor, columns: int, title: str = "") -> None:
    """A grid of pictures without axes."""
    plot.imshow(images.grid(pictures, columns))
    plot.set_title(title, fontsize=11)
    plot.axis("off")


def before_after() -> Figure:
    """Chapter 02's generator with its first random weights, and with the shipped ones, for the same latents."""
    shipped, settings = load_chapter("02_dcgan", "generate").load_generator()
    torch.manual_seed(0)
    names = ("latent_dim", "width", "shape", "attention", "upsampling", "without")
    first = type(shipped)(**{name: settings[name] for name in names})  # in train mode: BatchNorm knows no means yet
    z = torch.randn(16, int(settings["latent_dim"]), generator=torch.Generator().manual_seed(0))
    figure, plots = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
    with torch.no_grad():
        show(plots[0], first(z), 4, "before training")
        show(plots[1], shipped(z), 4, "after 9 minutes")
    show(plots[2], images.to_float(held_out("avatars").images[:16]), 4, "real faces")
    return figure


def main(names: list[str]) -> None:
    for name in names or PICTURES:
        path, draw = PICTURES[name]
        figure = draw()
        figure.savefig(path, dpi=DOTS)
        plt.close(figure)
        print(f"wrote {path.relative_to(ROOT)}")


PICTURES: dict[str, tuple[Path, Callable[[], Figure]]] = {
    "before-after": (HERE / "before-after.png", before_after),
}

if __name__ == "__main__":
    main(sys.argv[1:])
