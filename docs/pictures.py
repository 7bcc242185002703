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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from common import images, load_chapter
from common.data import load
from common.notebook import FAKE, JUDGE, REAL
from common.scores import held_out

HERE = ROOT / "docs" / "pictures"
DOTS = 100  # per inch: a figure of 8 inches is 800 pixels wide, as wide as a page shows it


def drawn(chapter: str, number: int) -> Tensor:
    """The first pictures of a chapter's shipped generator, seed 0, float [N, C, H, W]."""
    generator, settings = load_chapter(chapter, "generate").load_generator()
    z = torch.randn(number, int(settings["latent_dim"]), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.cat([generator(part) for part in z.split(100)])


def show(plot: Axes, pictures: Tensor, columns: int, title: str = "") -> None:
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


def growing() -> Figure:
    """Chapter 07: both networks while the block of 32×32 fades in. Lines are as thick as what they carry counts."""
    faded = load_chapter("07_progan", "train").faded
    face = images.to_float(load("avatars", 32).images[3:4])
    figure, plots = plt.subplots(3, 1, figsize=(8, 4.2), layout="constrained")
    sides, width = ("4", "8", "16", "32"), 0.62

    def box(plot: Axes, x: float, text: str, colour: str, strength: float = 1.0) -> None:
        plot.text(
            x, 0, text, ha="center", va="center", fontsize=10, color="white" if strength > 0.7 else "black",
            bbox={"boxstyle": "round,pad=0.45", "fc": (*matplotlib.colors.to_rgb(colour), strength), "ec": colour},
        )  # fmt: skip

    def arrow(plot: Axes, start: float, end: float, weight: float, text: str = "", bend: float = 0.0) -> None:
        if weight:
            style = {
                "arrowstyle": "-|>",
                "lw": 0.6 + 2.4 * weight,
                "color": "black",
                "connectionstyle": f"arc3,rad={bend}",
            }
            height = 0.28 if bend else 0
            plot.annotate("", (end, height), (start, height), arrowprops=style)
            if text:
                plot.text((start + end) / 2, height + (0.45 if bend else 0.15), text, ha="center", fontsize=9)

    for plot, alpha in zip(plots, (0.0, 0.5, 1.0)):
        plot.set(xlim=(-0.4, 10.4), ylim=(-0.72, 1.1))
        plot.axis("off")
        plot.text(-0.4, 0.72, f"α = {'½' if alpha == 0.5 else int(alpha)}", fontsize=13, weight="bold")
        for i, side in enumerate(sides):
            box(plot, i + 0.9, side, FAKE, 1.0 if i < 3 else alpha)  # the generator
            box(plot, 9.1 - i, side, JUDGE, 1.0 if i < 3 else alpha)  # the critic
            if i < 2:
                arrow(plot, i + 0.9 + width / 2, i + 1.9 - width / 2, 1)
                arrow(plot, 8.1 - i + width / 2, 9.1 - i - width / 2, 1)
        arrow(plot, 2.9 + width / 2, 3.9 - width / 2, alpha)
        arrow(plot, 6.1 + width / 2, 7.1 - width / 2, alpha)
        plot.text(0, 0, "z", ha="center", va="center", fontsize=12)
        arrow(plot, 0.12, 0.9 - width / 2, 1)
        plot.text(10.15, 0, "score", ha="center", va="center", fontsize=10)
        arrow(plot, 9.1 + width / 2, 9.85, 1)
        arrow(plot, 3.9 + width / 2, 4.55, alpha)
        arrow(plot, 5.45, 6.1 - width / 2, alpha)
        arrow(plot, 2.9, 4.55, 1 - alpha, "doubled", -0.35)
        arrow(plot, 5.45, 7.1, 1 - alpha, "halved", -0.35)
        place = plot.inset_axes((4.58, -0.68, 0.84, 1.4), transform=plot.transData)
        place.imshow(images.grid(faded(face, alpha), 1))
        place.axis("off")
    plots[0].text(2.4, -0.68, "generator", ha="center", color=FAKE, fontsize=11)
    plots[0].text(7.6, -0.68, "critic", ha="center", color=JUDGE, fontsize=11)
    return figure


def main(names: list[str]) -> None:
    for name in names or PICTURES:
        path, draw = PICTURES[name]
        figure = draw()
        figure.savefig(path, dpi=DOTS)
        plt.close(figure)
        print(f"wrote {path.relative_to(ROOT)}")


PICTURES: dict[str, tuple[Path, Callable[[], Figure]]] = {
    "growing": (ROOT / "07_progan" / "assets" / "growing.png", growing),
    "before-after": (HERE / "before-after.png", before_after),
}

if __name__ == "__main__":
    main(sys.argv[1:])
