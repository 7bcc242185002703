"""The pictures of the front page, of docs/scores.md and of some chapters' ideas, computed from the shipped weights and from real pictures.

python docs/pictures.py                   # all of them, about two minutes on one core
python docs/pictures.py before-after      # or one by name
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from PIL import Image
from scipy.optimize import linprog  # type: ignore[import-untyped]
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from common import images, load_chapter, relative
from common.data import load
from common.notebook import FAKE, JUDGE, REAL
from common.scores import embed, fcd, held_out, yardstick
from common.scores.tables import kernel_distance

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
        show(plots[1], shipped(z), 4, "after 45 minutes")
    show(plots[2], images.to_float(held_out("avatars").images[:16]), 4, "real faces")
    return figure


@cache
def digits() -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Three sets of 5,000 digits: uint8 pictures, their features [5000, 64] and the classifier's probabilities [5000, 10]."""
    stick = yardstick("mnist-10k")
    real = stick.held_out[torch.randperm(len(stick.held_out), generator=torch.Generator().manual_seed(0))[:5000]]
    sets = {
        "other real digits": real,
        "chapter 01's digits": images.to_uint8(drawn("01_basic_gan", 5000)),
        "blurred real digits": gaussian_blur(real, [5, 5], [1.0, 1.0]),  # as the tables blur pictures of 28 pixels
    }
    found = {name: (some, *embed(stick.network, some)) for name, some in sets.items()}
    return {name: (some, features, logits.softmax(1)) for name, (some, features, logits) in found.items()}


def plane() -> Tensor:
    """Two directions in the 64 features, [64, 2]: those in which blurred and drawn digits lie apart from real ones."""
    stick = yardstick("mnist-10k")
    apart = [digits()[name][1].mean(0) - stick.mean.float() for name in ("blurred real digits", "chapter 01's digits")]
    return torch.linalg.qr(torch.stack(apart, 1))[0]


def clouds() -> Figure:
    """FCD: real and other features as two clouds with the Gaussians that are fitted to them."""
    stick, axes = yardstick("mnist-10k"), plane()
    figure, plots = plt.subplots(1, 3, figsize=(8, 3.1), layout="constrained", sharex=True, sharey=True)
    for plot, (name, (_, features, _)) in zip(plots, digits().items()):
        for some, colour in ((stick.sample, REAL), (features, FAKE)):
            flat = some @ axes
            plot.scatter(*flat[:700].T, s=3, color=colour, alpha=0.35, lw=0)
            sizes, turns = torch.linalg.eigh(flat.T.cov())
            angle = torch.rad2deg(torch.atan2(turns[1, 1], turns[0, 1])).item()
            wide, high = (4 * sizes.sqrt()).flip(0).tolist()  # two standard deviations to each side
            plot.add_patch(Ellipse(flat.mean(0).tolist(), wide, high, angle=angle, fill=False, ec=colour, lw=2))
            plot.plot(*flat.mean(0), "+", color=colour, ms=10, mew=2)
        plot.set_title(f"{name}\nFCD {fcd(features, stick.mean, stick.covariance):.2f}", fontsize=10)
        plot.set(xticks=[], yticks=[], xlim=(-6.5, 6.5), ylim=(-6.5, 6.5))
    return figure


def balls() -> Figure:
    """Precision and recall of 40 real and 40 drawn digits, in the plane."""
    stick, axes = yardstick("mnist-10k"), plane()
    real, fake = stick.sample[:40] @ axes, digits()["blurred real digits"][1][:40] @ axes
    figure, plots = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharex=True, sharey=True)
    for plot, centres, points, colours, what in (
        (plots[0], real, fake, (REAL, FAKE), "precision: blurred digits in balls of real ones"),
        (plots[1], fake, real, (FAKE, REAL), "recall: real digits in balls of blurred ones"),
    ):
        radius = torch.cdist(centres, centres).kthvalue(4).values  # the point itself is the first
        for centre, size in zip(centres, radius):
            plot.add_patch(Circle(centre.tolist(), size.item(), color=colours[0], alpha=0.12, lw=0))
        inside = (torch.cdist(points, centres) <= radius).any(1)
        plot.scatter(*centres.T, s=6, color=colours[0])
        plot.scatter(*points[inside].T, s=28, color=colours[1], ec="black", lw=0.5)
        plot.scatter(*points[~inside].T, s=28, color="white", ec=colours[1], lw=1.3)
        plot.set_title(f"{what}: {int(inside.sum())} of 40", fontsize=10)
        plot.set(xticks=[], yticks=[], aspect="equal")
    return figure


def kernel() -> Figure:
    """KCD: how alike one digit is to others, by the kernel, and what the three means come to."""
    stick = yardstick("mnist-10k")
    pictures, features, _ = digits()["other real digits"]
    like = (features @ features[0] / 64 + 1) ** 3
    order = like[1:401].sort(descending=True).indices + 1
    chosen = torch.cat([torch.tensor([0]), order[[0, 1, 40, 120, 250, 399]]])
    figure, plots = plt.subplots(1, 7, figsize=(8, 1.45), layout="constrained")
    for plot, i in zip(plots, chosen.tolist()):
        plot.imshow(pictures[i, 0], cmap="gray")
        plot.axis("off")
        plot.set_title(f"k = {like[i]:.1f}" if i else f"x: {like[0]:.1f}", fontsize=11)
    for name, (_, some, _) in digits().items():
        print(f"KCD × 1000 of {name}: {1000 * kernel_distance(some, stick.sample)[0]:.1f}")
    return figure


def certainty() -> Figure:
    """CS: what the classifier says of a clear and of a torn drawn digit, and of all together."""
    pictures, _, said = digits()["chapter 01's digits"]
    sure = said[:200].amax(1)
    clear, torn = int(sure.argmax()), int(sure.argmin())
    figure, plots = plt.subplots(1, 3, figsize=(8, 2.5), layout="constrained", sharey=True)
    for plot, share, title in (
        (plots[0], said[clear], "a clear digit"),
        (plots[1], said[torn], "a torn digit"),
        (plots[2], said.mean(0), "the mean over 5,000 digits"),
    ):
        plot.bar(range(10), share, color=FAKE)
        plot.set(xticks=range(10), ylim=(0, 1.05), xlabel="digit")
        plot.set_title(title, fontsize=10)
    plots[0].set_ylabel("probability")
    for plot, i in ((plots[0], clear), (plots[1], torn)):
        place = plot.inset_axes((0.72, 0.5, 0.27, 0.48) if said[i][7:].max() < 0.4 else (0.02, 0.5, 0.27, 0.48))
        place.imshow(pictures[i, 0], cmap="gray")
        place.axis("off")
    return figure


def distances() -> Figure:
    """L1, SSIM, detail and lattice of one face that was changed in five ways."""
    compare = load_chapter("05_pix2pix", "scores").compare
    faces = images.to_float(held_out("avatars").images[[6, 12]])
    face = faces[:1]
    raster = face.clone()
    raster[:, :, ::4, ::4] -= 0.3
    changed = {
        "the true face": face,
        "blurred": gaussian_blur(face, [9, 9], [1.5, 1.5]),
        "darker": (face - 0.3).clamp(-1, 1),
        "moved by 3 pixels": face.roll(3, 3),
        "with a raster": raster.clamp(-1, 1),
        "another face": faces[1:],
    }
    figure, plots = plt.subplots(1, 6, figsize=(8, 2.5), layout="constrained")
    for plot, (name, some) in zip(plots, changed.items()):
        found = compare(some, face)
        show(plot, some, 1, name)
        plot.title.set_fontsize(9)
        numbers = f"L1 {found['l1']:.3f}\nSSIM {found['ssim']:.2f}\ndetail {found['detail']:.2f}\nlattice {found['lattice']:.3g}"
        plot.text(0.5, -0.06, numbers, ha="center", va="top", transform=plot.transAxes, fontsize=9, linespacing=1.35)
    return figure


def slices() -> Figure:
    """SWD: a face taken apart, and the shadows of real and of blurred patches on one line."""
    swd = load_chapter("07_progan", "swd")
    real = images.to_float(held_out("avatars").images[:1000])
    sets = {"real": real[:500], "other real": real[500:], "blurred": gaussian_blur(real[500:], [5, 5], [1.0, 1.0])}
    rng = torch.Generator().manual_seed(2)
    figure, plots = plt.subplots(1, 5, figsize=(8, 2.5), layout="constrained", width_ratios=(1, 1, 1, 1, 2.1))
    pyramid = swd.laplacian_pyramid(real[6:7])
    show(plots[0], real[6:7], 1, "a face")
    for plot, level in zip(plots[1:], pyramid):
        show(plot, level / level.abs().amax(), 1, f"{level.shape[-1]}×{level.shape[-1]}")
    lines = F.normalize(torch.randn(147, 512, generator=rng), dim=0)
    finest = [swd.patches(swd.laplacian_pyramid(some)[0], 4, rng) for some in sets.values()]
    shadows = torch.stack([(swd.normalised(some).flatten(1) @ lines).sort(dim=0).values for some in finest])
    most = int((shadows[2] - shadows[0]).abs().mean(0).argmax())  # the line on which one sees most
    for name, shadow, colour, style in zip(sets, shadows[:, :, most], (REAL, REAL, FAKE), ("-", ":", "-")):
        plots[4].plot(torch.linspace(0, 100, len(shadow)), shadow, style, color=colour, label=name)
    plots[4].set(ylim=(-4, 4), xlabel="patches, sorted (%)")
    plots[4].set_title("shadows of 64×64 on a line", fontsize=10)
    plots[4].legend(fontsize=8)
    return figure


def plan() -> Figure:
    """Chapter 03: the cheapest plan on five points, and the best prices. The notebook's own numbers and figure."""
    positions = torch.tensor([0.0, 1.0, 2.0, 4.0, 7.0])
    p, q = torch.tensor([0.3, 0.3, 0.0, 0.1, 0.3]), torch.tensor([0.1, 0.2, 0.2, 0.4, 0.1])
    cost = (positions[:, None] - positions).abs().double()
    sums = torch.cat([torch.kron(torch.eye(5), torch.ones(1, 5)), torch.kron(torch.ones(1, 5), torch.eye(5))])
    cheapest = linprog(cost.flatten(), A_eq=sums, b_eq=torch.cat([p, q]).double())  # rows sum to p, columns to q
    steepest = -(p - q).cumsum(0)[:-1].sign() * positions.diff()
    prices = torch.cat([torch.zeros(1), steepest.cumsum(0)])
    print(f"the carrier pays {cheapest.fun:.2f}, the trader gains {((p - q) * prices).sum():.2f}")
    return load_chapter("03_wgan_gp", "plots").plan_and_prices(
        positions, p, q, torch.tensor(cheapest.x).view(5, 5), prices
    )


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


def game() -> Figure:
    """Chapter 01: a generator of one number follows the best discriminator (Eq. 2) uphill until nothing is left to see."""
    best = load_chapter("01_basic_gan", "ring").optimal_discriminator
    x = torch.linspace(-4, 4, 400)
    density = lambda mean: torch.distributions.Normal(mean, 0.8).log_prob(x).exp()  # noqa: E731
    figure, plots = plt.subplots(1, 3, figsize=(8, 2.5), layout="constrained", sharey=True)
    titles = ("1. the fakes are elsewhere", "2. they have moved uphill", "3. D cannot tell them apart")
    for plot, mean, title in zip(plots, (-1.5, 0.0, 1.5), titles):
        real, fake = density(1.5), density(mean)
        plot.fill_between(x, real, color=REAL, alpha=0.3, lw=0)
        plot.plot(x, real, color=REAL, label="real")
        plot.fill_between(x, fake, color=FAKE, alpha=0.3, lw=0)
        plot.plot(x, fake, "--", color=FAKE, label="fake")
        plot.plot(x, best(real, fake), color=JUDGE, lw=2.5, label="D(x)")
        if mean < 1.5:
            plot.annotate("", (mean + 1.1, 0.2), (mean, 0.2), arrowprops={"arrowstyle": "-|>", "color": FAKE, "lw": 2})
        plot.set(xlabel="x", ylim=(0, 1.05), yticks=(0, 0.5, 1), xticks=())
        plot.set_title(title, fontsize=10)
    plots[0].legend(fontsize=8, loc="upper left")
    return figure


def stamps() -> Figure:
    """Chapter 02: a transposed convolution with kernel 4 and stride 2 paints a map of 3×3, one stamp for each number."""
    small = torch.tensor([[[[1.0, 0.4, 0.3], [0.9, 0.2, 0.7], [0.5, 0.6, 1.0]]]])
    bump = torch.tensor([0.35, 1.0, 1.0, 0.35])
    stamp = torch.outer(bump, bump)[None, None]  # [in, out, 4, 4]
    figure, plots = plt.subplots(1, 5, figsize=(8, 1.85), layout="constrained")
    panels: dict[str, Tensor] = {"a map of 3×3": small, "the stamp, 4×4": stamp}
    for count, title in ((1, "1 stamp"), (2, "2 stamps"), (9, "all 9: 6×6")):
        some = small.flatten().where(torch.arange(9) < count, 0.0).view_as(small)
        panels[title] = F.conv_transpose2d(some, stamp, stride=2, padding=1)
    for plot, (title, some) in zip(plots, panels.items()):
        plot.imshow(some[0, 0], cmap="Greys", vmin=0, vmax=1.6)
        for side in range(some.shape[-1] + 1):  # the borders of the pixels
            plot.axhline(side - 0.5, color="silver", lw=0.6)
            plot.axvline(side - 0.5, color="silver", lw=0.6)
        plot.set(xticks=(), yticks=())
        plot.set_title(title, fontsize=10)
    for (y, x), number in zip(((y, x) for y in range(3) for x in range(3)), small.flatten().tolist()):
        plots[0].text(
            x, y, f"{number:.1f}", ha="center", va="center", fontsize=9, color="white" if number > 0.7 else "black"
        )
    return figure


def cycle() -> Figure:
    """Chapter 06: both cycles, with pictures of the shipped weights on the arrows. Nothing belongs together in the two rows."""
    generate, scores = (load_chapter("06_cyclegan", name) for name in ("generate", "scores"))
    to_b, to_a, settings = generate.load_generators()
    drawings, faces = scores.held_out("sketches", int(settings["size"]), 8)
    with torch.no_grad():
        both = generate.strip((to_b, to_a), drawings[2:3]), generate.strip((to_a, to_b), faces[5:6])
    return load_chapter("06_cyclegan", "plots").cycle_picture(*both)


def both_ways() -> Figure:
    """Chapter 06: held-out drawings and faces, not chosen, their translations and the ways back."""
    generate, scores, plots = (load_chapter("06_cyclegan", name) for name in ("generate", "scores", "plots"))
    to_b, to_a, settings = generate.load_generators()
    drawings, faces = scores.held_out("sketches", int(settings["size"]), 16)
    with torch.no_grad():  # the faces of other people than the drawings
        first, second = generate.strip((to_b, to_a), drawings[:8]), generate.strip((to_a, to_b), faces[8:])
    names = ("drawing", "G: a face", "F: back again", "face", "F: a drawing", "G: back again")
    return plots.rows(dict(zip(names, (*first.split(8), *second.split(8)), strict=True)))


def no_cycle() -> Figure:
    """Chapter 06: the same drawings under the translators that had no cycle loss."""
    generate, scores, plots = (load_chapter("06_cyclegan", name) for name in ("generate", "scores", "plots"))
    to_b, to_a, settings = generate.load_generators(ROOT / "06_cyclegan" / "without-cycle.safetensors")
    drawings, _ = scores.held_out("sketches", int(settings["size"]), 16)
    with torch.no_grad():
        parts = generate.strip((to_b, to_a), drawings[:8]).split(8)
    return plots.rows(dict(zip(("drawing", "G: a face", "F: back again"), parts, strict=True)))


def tiles() -> Figure:
    """Chapter 06: held-out satellite pictures, their maps beside the true ones, and the way back."""
    generate, scores, plots = (load_chapter("06_cyclegan", name) for name in ("generate", "scores", "plots"))
    to_map, to_satellite, settings = generate.load_generators(ROOT / "06_cyclegan" / "satellite-map.safetensors")
    pictures, maps = scores.held_out("satellite-map", int(settings["size"]), 8)
    with torch.no_grad():
        _, drawn_maps, back = generate.strip((to_map, to_satellite), pictures).split(8)
        others = to_satellite(maps)
    return plots.rows(
        {
            "satellite": pictures,
            "its map": drawn_maps,
            "back again": back,
            "the true map": maps,
            "a satellite\npicture of it": others,
        }
    )


def hidden() -> Figure:
    """Chapter 06: what the drawing of a face hides, and the way back with it and without."""
    generate, scores, plots = (load_chapter("06_cyclegan", name) for name in ("generate", "scores", "plots"))
    to_b, to_a, settings = generate.load_generators()
    _, faces = scores.held_out("sketches", int(settings["size"]), 8)
    with torch.no_grad():
        drawn_faces = images.to_float(images.to_uint8(to_a(faces)))  # as a file would keep them
        lines = scores.erased(drawn_faces)
        return plots.rows(
            {
                "face": faces,
                "its drawing": drawn_faces,
                "what is erased,\n12 times as strong": plots.stretched(1 + drawn_faces - lines),
                "back from it": to_b(drawn_faces, made=True),
                "back from its lines": to_b(lines, made=True),
            }
        )


def main(names: list[str]) -> None:
    for name in names or PICTURES:
        path, draw = PICTURES[name]
        figure = draw()
        figure.savefig(path, dpi=DOTS)
        plt.close(figure)
        Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
            path, optimize=True
        )  # a small file
        print(f"wrote {relative(path)}")


PICTURES: dict[str, tuple[Path, Callable[[], Figure]]] = {
    "clouds": (HERE / "clouds.png", clouds),
    "balls": (HERE / "balls.png", balls),
    "kernel": (HERE / "kernel.png", kernel),
    "certainty": (HERE / "certainty.png", certainty),
    "distances": (HERE / "distances.png", distances),
    "slices": (HERE / "slices.png", slices),
    "game": (ROOT / "01_basic_gan" / "assets" / "game.png", game),
    "stamps": (ROOT / "02_dcgan" / "assets" / "stamps.png", stamps),
    "plan": (ROOT / "03_wgan_gp" / "assets" / "plan.png", plan),
    "cycle": (ROOT / "06_cyclegan" / "assets" / "cycle.png", cycle),
    "both-ways": (ROOT / "06_cyclegan" / "assets" / "strips.png", both_ways),
    "no-cycle": (ROOT / "06_cyclegan" / "assets" / "no_cycle.png", no_cycle),
    "tiles": (ROOT / "06_cyclegan" / "assets" / "maps.png", tiles),
    "hidden": (ROOT / "06_cyclegan" / "assets" / "hidden.png", hidden),
    "growing": (ROOT / "07_progan" / "assets" / "growing.png", growing),
    "before-after": (HERE / "before-after.png", before_after),
}

if __name__ == "__main__":
    main(sys.argv[1:])
