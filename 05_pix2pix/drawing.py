"""From a drawing of yours, on paper or on a screen, to the ink drawings that the network knows: thin black lines on white.

    picture, done = prepare(picture, 64, clean=True)     # PIL pictures; `done` says what was done

Reducing a large drawing makes its lines pale: a line of 3 pixels in 1,000 is a fifth of one in 64. So lines are made thicker
first, until they are as wide in the small picture as those that the network learned from.
"""

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

PEN = 1 / 64  # width of a line that the network knows, as a share of the picture's side: a pixel at 64×64
WORK = 512  # pixels of the longer side while lines are measured and thickened
MARGIN = 0.06  # paper around a drawing that was cut out, as a share of its longer side


def prepare(picture: Image.Image, size: int, clean: bool = False) -> tuple[Image.Image, list[str]]:
    """A drawing in RGB, of any size -> [size, size] in grey: dark lines on white, on a square of paper; and what was done.

    `clean` is for photographs: uneven light and grey paper become white, pencil becomes black, and the drawing is cut out.
    """
    grey, done = ImageOps.grayscale(picture), []
    grey.thumbnail((WORK, WORK), Image.Resampling.LANCZOS)
    if clean:
        grey = levelled(grey)
        box = ImageChops.invert(grey).point(lambda dark: 255 * (dark > 127)).getbbox()
        done += ["paper to white and lines to black"]
        if box and box != (0, 0, *grey.size):
            margin = round(MARGIN * max(box[2] - box[0], box[3] - box[1]))
            grey = ImageOps.expand(grey.crop(box), (margin, margin, margin, 0), 255)  # shoulders end at the edge
            done += ["cut out the drawing"]
    elif np.median(np.asarray(grey)) < 230:
        done += ["its paper is not white: try --clean"]
    if grey.width != grey.height:
        grey = ImageOps.pad(grey, (max(grey.size),) * 2, color=255)
        done += ["paper added to make it square"]
    missing = round(PEN * grey.width - line_width(grey)) // 2 * 2  # a filter adds as much on both sides
    if missing > 0:
        grey = grey.filter(ImageFilter.MinFilter(missing + 1))
        done += [f"lines made thicker by {missing / grey.width:.1%} of the side"]
    return grey.resize((size, size), Image.Resampling.BOX if grey.width >= size else Image.Resampling.LANCZOS), done


def levelled(grey: Image.Image) -> Image.Image:
    """Divide by the paper around each place, so that shadows go; then stretch: paper 255, the darkest lines 0."""
    coarse = grey.reduce(8).filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.GaussianBlur(3))
    paper = coarse.resize(grey.size)
    share = np.asarray(grey, np.float32) / np.maximum(np.asarray(paper, np.float32), 1)
    darkest = min(np.quantile(share, 0.01), 0.8)  # even a sparse drawing is 1 % line; 0.8 keeps empty paper white
    stretched = np.clip((share - darkest) / (0.85 - darkest), 0, 1)  # grain of paper is up to a tenth darker: white
    return Image.fromarray((255 * stretched).astype(np.uint8))


def line_width(grey: Image.Image) -> float:
    """Width of the lines in pixels: the lower quartile of all runs of ink, along rows and along columns; 0 on empty paper.

    A line crosses rows or columns at a slant, which makes its runs longer, and dots of ink have long ones: hence not the mean.
    """
    ink = np.pad(np.asarray(grey) < 128, 1)
    changes = [np.flatnonzero(np.diff(lines.ravel())) for lines in (ink, ink.T)]  # where runs begin and end, in turn
    runs = np.concatenate([ends[1::2] - ends[::2] for ends in changes])
    return float(np.quantile(runs, 0.25)) if len(runs) else 0.0
