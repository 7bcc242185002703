"""Is it converging? What a run says about itself, read from its folder and put into plain sentences.

    python -m common.diagnosis runs/02_dcgan/TIME        # a finished run; train.py does it at its end

The losses do not answer: they are the scores of two players, and can stand still while the pictures get better (chapter 01).
So four other things are read, each by one function below: how often the discriminator is right, the gradients, how different the
samples are, and the trend of a score. Their thresholds are ours, set so that the runs that the READMEs report fall on the right side.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as resizing

from common import UserError, require
from common.checkpoint import load_weights
from common.data import load
from common.scores import embed, has_classifier, own_yardstick, yardstick
from common.scores.tables import kernel_distance

SHORT = 20  # points of a curve below which nothing is said
WON = 0.95  # share of right answers from which a discriminator has won; the runs that went well stay below 0.9
GUESSING = 0.55  # share of right answers below which it guesses
FACTOR = 100  # growth or decline of the gradients' norm that is called an explosion or a fading
ALIKE = 0.5  # spread of the samples, as a share of the real pictures', below which they are called alike
BETTER = 0.1  # change of the score between the last two quarters of a run that is called a trend
GRIDS = 24  # sample grids that are read, spread over the run

# What to try when the discriminator has won: what the chapter has a flag for, if that is not set already.
REMEDIES = {
    "spectral_norm": "--spectral-norm bounds its slope",
    "label_smoothing": "--label-smoothing 0.1 keeps it from being certain",
    "lr_d": "a lower --lr-d slows it down",
    "r1_gamma": "a larger --r1-gamma makes it flatter",
    "width_d": "a smaller --width-d makes it weaker",
}


def discriminator_says(history: Mapping[str, Sequence[float]], config: Mapping[str, Any]) -> str:
    """How often D was right (`right/real` and `right/fake`), and since when too often. Critics give no answer that is right."""
    if "right/real" not in history:
        return ""
    right = [(real + fake) / 2 for real, fake in zip(history["right/real"], history["right/fake"], strict=True)]
    last = mean(right[-len(right) // 5 :])
    if last < GUESSING:
        return f"The discriminator guesses: right about {last:.0%} at the end. Near the goal that is fine; with bad samples it is too weak: try a higher --lr-d."
    if last < WON:
        return f"The discriminator is right about {last:.0%} at the end: ahead, and not so far that it stops teaching."
    if "lambda_cycle" in config:  # chapter 06: docs/trials.md, "how long, with a U-Net"
        return f"The discriminator is right about {last:.0%} at the end. More steps may give little: let the pictures decide."
    since = next(i for i in range(len(right)) if right[i] >= WON and mean(right[i:]) >= WON)
    switches = ("spectral_norm", "label_smoothing")  # tried already where they are on
    unset = [text for flag, text in REMEDIES.items() if flag in config and not (flag in switches and config[flag])]
    won = f"The discriminator won at step {history['step'][since]:,}: since then it is right about {mean(right[since:]):.0%}"
    return (
        f"{won}, and a generator learns little from a judge that it cannot move. What may help: {', '.join(unset[:3])}."
    )


def gradients_say(history: Mapping[str, Sequence[float]]) -> str:
    """Whether a network's gradients (`gradients/<network>`) grew or faded between the first fifth and the last."""
    found = []
    for tag, norms in history.items():
        fifth = len(norms) // 5
        early, late = median(norms[:fifth]), median(norms[-fifth:])
        if not tag.startswith("gradients/") or early == 0:  # 0: a network that this run does not train
            continue
        whose, change = f"The gradients of the {tag[10:]}", f"from {early:.2g} to {late:.2g}"
        if late > FACTOR * early:
            found.append(f"{whose} grew {change}: try lower learning rates.")
        if late < early / FACTOR:
            found.append(f"{whose} faded {change}: it hardly learns any more; look at the other network.")
    return " ".join(found)


def spread(pictures: Tensor) -> float:
    """How different uint8 pictures [N, C, H, W] are: the standard deviation of a pixel over the pictures, averaged."""
    return pictures.float().std(0).mean().item()


def samples_say(steps: Sequence[int], spreads: Sequence[float], real: float) -> str:
    """Whether the samples are (nearly) all alike, and since when: their spread beside that of real pictures."""
    shares = [one / real for one in spreads]
    if shares[-1] >= ALIKE:
        return f"The samples differ from each other {shares[-1]:.0%} as much as real pictures do."
    healthy = [i for i, share in enumerate(shares) if share >= ALIKE]
    since = f"since step {steps[healthy[-1] + 1]:,}" if healthy else "from the start"
    alike = f"The samples are nearly all alike {since}: they differ {shares[-1]:.0%} as much as real pictures do"
    return f"{alike}. If the generator has collapsed (chapter 01), go back to a checkpoint before that, with a lower --lr-g or a D that sees several pictures at once."


def score_says(steps: Sequence[int], scores: Sequence[float], real: float) -> str:
    """Whether the score of the samples (0 is best) still falls: the mean of the last quarter beside the quarter before.

    `real` is the worst score of several sets of as many real pictures: below it chance decides.
    """
    if (quarter := len(scores) // 4) < 2:
        return ""
    before, now = mean(scores[-2 * quarter : -quarter]), mean(scores[-quarter:])
    if now < real:
        return "A look at so few cannot tell them from real pictures any more: measure with generate.py --score."
    best = min(range(len(scores)), key=scores.__getitem__)
    if now > before * (1 + BETTER) and now > 1.5 * scores[best]:
        way_back = f"with --keep-every {steps[best]} the same command keeps that step; or lower the rates"
        return f"The score was best at step {steps[best]:,} and got worse since: {way_back}."
    if now < before * (1 - BETTER):
        return f"The score still falls, by {1 - now / before:.0%} over the last quarter: a longer run (--resume with a larger --max-steps) will be better."
    return "The score stands still: more steps alone will change little."


def sample_grids(folder: Path, size: int) -> tuple[list[int], list[Tensor]]:
    """The pictures in the sample grids of a run: steps, and uint8 [N, 3, size, size] for each."""
    files = sorted(file for file in (folder / "samples").glob("step_*.png") if file.stem[5:].isdecimal())  # no copies
    files.sort(key=lambda file: int(file.stem[5:]))
    chosen = [files[i] for i in sorted({round(i) for i in np.linspace(0, len(files) - 1, GRIDS)})] if files else []
    grids = []
    for file in chosen:
        sheet = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)[:, 2:, 2:]  # [3, H, W]
        tiles = sheet.unfold(1, size, size + 2).unfold(2, size, size + 2)  # [3, rows, columns, size, size]
        grids.append(tiles.permute(1, 2, 0, 3, 4).flatten(0, 1))
    return [int(file.stem[5:]) for file in chosen], grids


def look_at_samples(folder: Path) -> list[str]:
    """What the sample grids say beside real pictures; of translations (chapters 05 and 06), or without the real ones, nothing."""
    _, settings = load_weights(folder / "weights.safetensors", None)
    if settings["chapter"][:2] in ("05", "06"):
        return []
    name, shape = str(settings["data"]), settings.get("shape")
    channels = (shape or [settings[key] for key in ("picture_channels", "channels") if key in settings])[0]
    size = shape[-1] if shape else settings["size"]
    try:
        own = None if has_classifier(name) else load(name, size, channels, **settings.reading)
        stick = own_yardstick(own) if own else yardstick(name)
        steps, grids = sample_grids(folder, size)
        require(bool(grids) and spread(stick.held_out[:1000]) > 1e-3, "nothing to compare")
    except (UserError, OSError):  # a sample that was cut off
        return []
    grids = [tiles[:, : stick.network.channels] for tiles in grids]
    real = resizing.resize(stick.held_out[:1000], [size, size], antialias=True)

    def kcd(pictures: Tensor) -> float:
        features, _ = embed(stick.network, resizing.resize(pictures, [stick.network.size] * 2, antialias=True))
        return max(0.0, kernel_distance(features, stick.sample, min(len(features), len(stick.sample)))[0])

    chance = max(kcd(part) for part in real.split(len(grids[0]))[:12])
    spreads, scores = [spread(tiles) for tiles in grids], [kcd(tiles) for tiles in grids]
    return [samples_say(steps, spreads, spread(real)), score_says(steps, scores, chance)]


def diagnose(folder: Path) -> list[str]:
    """The reading of a run: a few sentences. Raises `UserError` if the folder holds no finished run."""
    files = [folder / name for name in ("metrics.json", "config.json", "weights.safetensors")]
    require(all(file.is_file() for file in files), f"{folder} holds no finished run: it has no {files[0].name}")
    history, config = (json.loads(file.read_text()) for file in files[:2])
    if (points := len(history["step"])) < SHORT:
        return [f"Too short to say how it goes: {points} points of the curves, at least {SHORT} are needed."]
    return [*filter(None, (discriminator_says(history, config), gradients_say(history), *look_at_samples(folder)))]


if __name__ == "__main__":
    try:
        print("\n".join(diagnose(Path(sys.argv[1] if len(sys.argv) > 1 else "."))))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
