"""How far a translation is from the true one, which the training never saw, and what the way back lives on.

    L1     mean distance of two pictures, in the units of [-1, 1]; 0 is best, at most 2
    PSNR   10 log10(peak² / mean squared error) in decibels, peak = 2; more is better
    SSIM   structural similarity, at most 1 (Wang et al., 2004): means, variances and covariance in small windows, of
           intensities from 0 to 1
    FCD    of coloured drawings alone: are they, as a whole, like real faces? Needs no truth of the single picture
    KCD    the same question for your own piles, which have no pairs

Only true pairs can tell whether a translation is right. The cycle cannot: a translator and its way back may agree on
anything, also on marks too faint to see (Chu, Zhmoginov, Sandler, "CycleGAN, a Master of Steganography", arXiv:1712.02950).
So the way back is measured three times: as it is, with a little noise on the translation, and with what is faint erased.

Shape letters: N pictures, C channels, H × W pixels. Pictures are rounded as they would be on disk.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import require
from common.data import NoTestPictures, load_pairs, load_unpaired, spread
from common.images import to_float, to_uint8
from common.scores import distances, evaluate, own_yardstick, yardstick
from common.scores.reference import LEAST_OWN
from common.scores.tables import MIN_PICTURES, own_report

PAIRED = ("sketches", "satellite-map")  # whose test pictures are true pairs
MOST = 5000  # pairs that are scored, unless --num says otherwise
COLUMNS = {"l1": 4, "psnr": 2, "ssim": 3, "fcd": 2}  # and digits behind the point
NOISE = 4 / 127.5  # standard deviation of the noise on a translation: 4 of 255 levels, hardly to be seen


def held_out(name: str, size: int, n: int, every: bool = False, **reading: Any) -> tuple[Tensor, Tensor]:
    """At most n pictures of each kind, spread over the test split: float [n, C, size, size] each, pairs where there are any.

    `every` face is drawn first, and kept for the next time; without it the n alone. Raises `UserError`.
    """
    if name in PAIRED:
        pairs = load_pairs(name, size, "test", None if every else n, channels=reading.get("channels", 3))
        both = pairs[spread(len(pairs), n)]
    else:
        try:
            piles = load_unpaired(name, size, "test", **reading)
        except NoTestPictures:  # a folder of your own may have trainA/ and trainB/ alone
            piles = load_unpaired(name, size, "train", **reading)
            print(f"{name} has no test pictures: these are the training's")
        both = piles[0][spread(len(piles[0]), n)][0], piles[1][spread(len(piles[1]), n)][0]
    return to_float(both[0]), to_float(both[1])


@torch.no_grad()
def translate(generator: nn.Module, pictures: Tensor, made: bool = False) -> Tensor:
    """Translations of float [N, C, H, W], 25 at a time; `made`: a translator made them, as on the way back."""
    return torch.cat([generator(part, made=made) for part in pictures.split(25)])


def erased(drawings: Tensor) -> Tensor:
    """Drawings [N, C, H, W] in grey, white where no pixel in a square of 3 is darker than medium grey: lines alone are left."""
    grey = to_float(to_uint8(drawings)).mean(1, keepdim=True)
    near_a_line = F.max_pool2d((grey < 0).float(), 3, stride=1, padding=1) > 0
    return grey.where(near_a_line, 1.0).expand_as(drawings)


def noisy(pictures: Tensor) -> Tensor:
    """The pictures with faint noise, always the same one."""
    return (pictures + NOISE * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


def measure(fake: Tensor, truth: Tensor, faces: bool) -> dict[str, float]:
    """L1, PSNR and SSIM of float [N, C, H, W] against their truths; of `faces`, 64×64 and at least 1,000, also the FCD."""
    found = distances(fake, truth)
    return found | ({"fcd": evaluate(to_uint8(fake), yardstick("avatars")).fcd} if faces else {})


Report = tuple[str, dict[str, dict[str, float]]]  # a table, and the same as numbers


def report(to_b: nn.Module, to_a: nn.Module, data: str, size: int, n: int | None = None, **reading: Any) -> Report:
    """Both directions beside references, as a table and as numbers; and the error of the way there and back.

    The references: the per-pixel mean of training pictures of the wanted kind, the picture itself, not translated, and the
    true translation of another place or face. For drawings also blank paper, and for the FCD the true faces. Data without
    pairs get `report_of_piles`.
    """
    if data not in PAIRED:
        return report_of_piles(to_b, to_a, data, size, n, **reading)
    channels = reading.get("channels", 3)
    a, b = held_out(data, size, n or MOST, every=n is None, channels=channels)
    drawings, other = data == "sketches", "of another face" if data == "sketches" else "of another place"
    if drawings:
        some = load_pairs(data, size, most=1000, channels=channels)  # enough for the mean, and sooner drawn than all
        kinds = some[list(range(len(some)))]
    else:
        first, second = load_unpaired(data, size, channels=channels)
        kinds = first.all(), second.all()
    means = [to_float(kind).mean(0, keepdim=True) for kind in kinds]
    rows: dict[str, dict[str, float]] = {}
    for way, there, back, source, truth, mean in (
        ("a to b", to_b, to_a, a, b, means[1]),
        ("b to a", to_a, to_b, b, a, means[0]),
    ):
        fake = translate(there, source)
        faces = drawings and way == "a to b" and a.shape[1:] == (3, 64, 64) and len(a) >= MIN_PICTURES
        rows[f"{way}, translated"] = measure(fake, truth, faces)
        rows[f"{way}, mean of its kind"] = measure(mean.expand_as(truth), truth, False)
        rows[f"{way}, not translated"] = measure(source, truth, False)
        rows[f"{way}, {other}"] = measure(truth.roll(len(truth) // 2, 0), truth, False)
        if drawings and way == "b to a":
            rows[f"{way}, blank paper"] = measure(torch.ones_like(truth), truth, False)
        if faces:
            rows[f"{way}, true faces"] = {"fcd": evaluate(to_uint8(truth), yardstick("avatars")).fcd}
        seen = to_float(to_uint8(fake))  # rounded: what a file of the translation would keep
        rows[f"{way} and back"] = distances(translate(back, seen, made=True), source)
        rows[f"{way} and back, noise"] = distances(translate(back, noisy(seen), made=True), source)
        if drawings and way == "b to a":
            rows[f"{way} and back, erased"] = distances(translate(back, erased(seen), made=True), source)
    scored = any("fcd" in row for row in rows.values())
    head = f"{'':<26} {'L1':>7} {'PSNR':>7} {'SSIM':>7}" + (f" {'FCD':>7}" if scored else "")
    lines = [f"{len(a):,} held-out pairs of {data} at {size}×{size}", head]
    for name, row in rows.items():
        cells = [f"{row[key]:7.{digits}f}" if key in row else " " * 7 for key, digits in COLUMNS.items()]
        lines.append(" ".join([f"{name:<26}", *cells]).rstrip())
    return "\n".join(lines), rows


def report_of_piles(
    to_b: nn.Module, to_a: nn.Module, data: str, size: int, n: int | None = None, **reading: Any
) -> Report:
    """Both directions where nobody knows a picture's true translation: do all translations together look like the other kind?

    Of at most n held-out pictures of each kind. The scores are those of `own_report`, in the features of a network for drawn
    faces. The references: other training pictures of the wanted kind, and the pictures themselves, not translated. Raises `UserError`.
    """
    piles, rows = load_unpaired(data, size, "train", **reading), dict[str, dict[str, float]]()
    for way, there, back, source, kind in zip(
        ("a to b", "b to a"), (to_b, to_a), (to_a, to_b), held_out(data, size, n or MOST, **reading), piles[::-1]
    ):
        few = f"a score needs {LEAST_OWN} pictures of each kind to translate, and there are {len(source)}"
        require(len(source) >= LEAST_OWN, f"{few}: raise --num, or have more pictures in testA/ and testB/")
        stick, seen = own_yardstick(kind), to_uint8(translate(there, source))
        scored = own_report(seen, stick)[1]["scores"]
        rows[f"{way}, translated"], rows[f"{way}, true (floor)"] = scored["generated"], scored["real (floor)"]
        rows[f"{way}, not translated"] = own_report(to_uint8(source), stick)[1]["scores"]["generated"]
        rows[f"{way} and back"] = distances(translate(back, to_float(seen), made=True), source)
    lines = [f"{data} at {size}×{size}", f"{'':<22} {'KCD × 1000':>10} {'precision':>9} {'recall':>6} {'L1':>6}"]
    for name, row in rows.items():
        if "kcd" in row:
            lines.append(f"{name:<22} {1000 * row['kcd']:10.1f} {row['precision']:9.3f} {row['recall']:6.3f}")
        else:
            lines.append(f"{name:<22} {'':27} {row['l1']:6.3f}")
    lines.append(
        "The network was made for drawn faces: compare rows, and nothing else. The way back proves no translation right."
    )
    return "\n".join(lines), rows
