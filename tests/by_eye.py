"""Count faulty pictures by eye: generated and real ones, shuffled, at three times their size.

python tests/by_eye.py 08_stylegan                              # eight sheets of 16 numbered pictures, into runs/by_eye/
python tests/by_eye.py 08_stylegan --faulty 3 17 98             # you call these faulty: how many of each kind are they?
python tests/by_eye.py 08_stylegan --seed 1                     # another order: for a second viewer, or the same one again

Of 128 pictures 64 are the generator's (seed 0, not chosen) and 64 are real. Call a picture faulty if you see a smear, a torn or missing
part, a glow, a raster, or colours that run. Do not look at how the sheets were made, and count before you see who drew what.
What two viewers said is in by_eye.json, a list of numbers for seed 0 and one for seed 1.
"""

import sys
import zlib
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
import tyro
from PIL import Image, ImageDraw
from pydantic.dataclasses import dataclass
from torch import Tensor

from common import images, load_chapter, relative, require
from common.command_line import Flags, command_line
from common.data import load

EACH = 64  # pictures of each kind
SHEET = 16  # pictures on a sheet
Chapter = Literal["02_dcgan", "05_pix2pix", "06_cyclegan", "07_progan", "08_stylegan"]


@dataclass
class Config(Flags):
    """Make the sheets of a chapter's shipped generator, or count what you called faulty."""

    chapter: tyro.conf.Positional[Chapter] = "08_stylegan"  # whose pictures
    faulty: tuple[int, ...] | None = None  # the numbers of the faulty ones: counts them instead of making sheets
    out: Path = ROOT / "runs" / "by_eye"  # folder for the sheets


@torch.no_grad()
def generated(chapter: str) -> Tensor:
    """64 pictures of the shipped generator, float [64, 3, 64, 64]: of test drawings in 05 and 06, else of the latents of seed 0."""
    torch.manual_seed(0)  # of the noise in 05 and 08
    if chapter == "08_stylegan":
        painter, _ = load_chapter(chapter, "painter").load_painter()
        return painter.draw(painter.styles(painter.w(painter.latents(EACH, 0))))
    generate = load_chapter(chapter, "generate")
    if chapter in ("05_pix2pix", "06_cyclegan"):
        drawings = images.to_float(load("sketches", split="test").all()[:EACH])
        to_face, *_ = generate.load_generator() if chapter == "05_pix2pix" else generate.load_generators()
        return to_face(drawings.expand(-1, 3, -1, -1))
    generator, settings = generate.load_generator()
    z = torch.randn(EACH, int(settings["latent_dim"]), generator=torch.Generator().manual_seed(0))
    return generator(z)


def shuffled(chapter: str, seed: int) -> list[int]:
    """Which picture has which number, another one in each chapter: below 64 the generated ones, from 64 on the real ones."""
    own = zlib.crc32(f"{chapter} {seed}".encode())
    return torch.randperm(2 * EACH, generator=torch.Generator().manual_seed(own)).tolist()


def count(chapter: str, seed: int, faulty: tuple[int, ...]) -> tuple[int, int]:
    """How many of the numbers belong to generated and to real pictures."""
    require(all(1 <= number <= 2 * EACH for number in faulty), f"--faulty takes numbers from 1 to {2 * EACH}")
    places = shuffled(chapter, seed)
    which = [places[number - 1] < EACH for number in set(faulty)]
    return sum(which), len(which) - sum(which)


def main(config: Config) -> None:
    if config.faulty is not None:
        drawn, known = count(config.chapter, config.seed, config.faulty)
        print(f"{config.chapter}, seed {config.seed}: {drawn} of {EACH} generated, {known} of {EACH} real are faulty")
        return
    real = images.to_float(load("avatars", split="test").all()[-EACH:])
    both: Tensor = torch.cat([generated(config.chapter), real])
    pictures = both[shuffled(config.chapter, config.seed)]
    for first in range(0, 2 * EACH, SHEET):
        sheet = Image.new("RGB", (4 * 200 + 8, 4 * 214 + 8), "white")
        for place, picture in enumerate(pictures[first : first + SHEET]):
            left, top = 8 + 200 * (place % 4), 8 + 214 * (place // 4)
            sheet.paste(images.grid(picture[None], 1, scale=3), (left, top + 14))
            ImageDraw.Draw(sheet).text((left, top), str(first + place + 1), fill="black")
        path = config.out / f"{config.chapter}_seed-{config.seed}" / f"sheet_{first // SHEET + 1}.png"
        print(f"wrote {relative(images.save_picture(sheet, path))}")


if __name__ == "__main__":
    command_line(main, Config)
