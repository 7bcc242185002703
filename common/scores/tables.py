"""The scores of generated pictures, always beside the same scores of other real ones (the floor) and of blurred ones."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchvision.transforms.v2 import functional as resizing

from common import images, require
from common.data import Pictures, load
from common.scores.classifier import embed
from common.scores.reference import LEAST_OWN, Yardstick, has_classifier, held_out, own_yardstick, statistics, yardstick

MIN_PICTURES = 1000  # twice a subset of the kernel distance
TOO_FEW = f"--num must be at least {MIN_PICTURES:,} to score (5,000 to compare with others)"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"  # the last part is the beginning of its SHA-256


@dataclass(frozen=True)
class Scores:
    """What one set of pictures scored."""

    fcd: float
    kcd: float
    kcd_std: float  # over the 50 subsets: no confidence interval
    cs: float
    precision: float
    recall: float
    class_shares: tuple[float, ...]  # share of the pictures in each class; for faces, with each attribute


def judge(pictures: Tensor, data_name: str, inception: bool = False, **reading: Any) -> tuple[str, dict[str, Any]]:
    """What `generate.py --score` says of float pictures [N, C, H, W] from a run on `data_name`: a table, and the same as numbers.

    With the frozen classifier (`report`), with that of other pictures where there is none (`own_report`), or with the
    published Inception scores (`inception_report`).
    """
    rounded, (channels, size) = images.to_uint8(pictures).cpu(), pictures.shape[1:3]
    if inception:
        return inception_report(rounded, held_out(data_name, size=size, channels=channels, **reading))
    if not has_classifier(data_name):
        return own_report(rounded, own_yardstick(load(data_name, size, channels, **reading)))
    return report(rounded, yardstick(data_name))


def fcd(features: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Fréchet distance between a Gaussian fitted to features [N, D] and the one given."""
    both = [{"mu": mu.numpy(), "sigma": sigma.numpy()} for mu, sigma in (statistics(features), (mean, covariance))]
    return float(fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"])


def kernel_distance(features: Tensor, sample: Tensor, subset: int = 500) -> tuple[float, float]:
    """KCD of features [N, D] and [M, D]: its mean over 50 subsets, and their standard deviation."""
    found = kid_features_to_metric(features, sample, kid_subsets=50, kid_subset_size=subset, verbose=False)
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


def three_scores(features: Tensor, logits: Tensor, mean: Tensor, covariance: Tensor, sample: Tensor) -> list[Any]:
    """FCD, KCD, its spread and CS of features [N, D] and logits [N, K]; of Inception's, these are FID, KID and IS."""
    cs = isc_features_to_metric(logits)["inception_score_mean"]
    return [fcd(features, mean, covariance), *kernel_distance(features, sample), cs]


def evaluate(pictures: Tensor, stick: Yardstick) -> Scores:
    """Score uint8 pictures [N, C, H, W] of the size that the classifier sees (see `images.to_uint8`), N at least 1,000."""
    seen, shape = (stick.network.channels, stick.network.size, stick.network.size), tuple(pictures.shape[1:])
    require(pictures.dtype == torch.uint8, f"scores take uint8 pictures in 0..255, not {pictures.dtype}")
    require(shape == seen, f"this classifier sees pictures of {seen} numbers, not {shape}")
    require(len(pictures) >= MIN_PICTURES, TOO_FEW)
    features, logits = embed(stick.network, pictures.cpu())
    heads, values = stick.network.heads, stick.network.values(logits)
    main = logits[:, -heads[-1] :]  # of digits the only head, of faces the hair styles
    if len(heads) == 1:
        shares = values[:, 0].bincount(minlength=heads[0]) / len(values)
    else:
        shares = values[:, [i for i, number in enumerate(heads) if number == 2]].float().mean(0)
    distance, kernel, spread, cs = three_scores(features, main, stick.mean, stick.covariance, stick.sample)
    pr = prc_features_to_metric(features, stick.sample, prc_neighborhood=3, verbose=False)
    return Scores(distance, kernel, spread, cs, float(pr["precision"]), float(pr["recall"]), tuple(shares.tolist()))


def _shuffled(real: Tensor) -> Tensor:
    return real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))]


def _beside(pictures: Tensor, real: Tensor) -> dict[str, Tensor]:
    """The rows of a table: uint8 pictures, real ones, and these blurred, as widely for the picture at every size: one pixel of 28."""
    sigma = real.shape[-1] / 28
    blurred = [resizing.gaussian_blur(some, 2 * round(2 * sigma) + 1, sigma) for some in real.split(500)]
    return {"generated": pictures, "real (floor)": real, "blurred real": torch.cat(blurred)}


def _table(head: str, names: tuple[str, ...], rows: Mapping[str, Sequence[float]]) -> str:
    """The rows (distance, kernel distance, its spread, classifier score, and perhaps precision and recall) as text."""
    lines = [head, f"{'':<13} {names[0]:>8} {f'{names[1]} × 1000':>16} {names[2]:>7}"]
    for name, (distance, kernel, spread, score, *shares) in rows.items():
        both = f"{1000 * kernel:8.1f} ± {1000 * spread:.1f}"
        lines.append(f"{name:<13} {distance:8.2f} {both:>16} {score:7.2f}")
        if shares:
            lines[-1] += f" {shares[0]:10.3f} {shares[1]:7.3f}"
    lines[1] += f" {'precision':>10} {'recall':>7}" if shares else ""
    return "\n".join(lines)


def own_report(pictures: Tensor, stick: Yardstick) -> tuple[str, dict[str, Any]]:
    """What can be said of uint8 pictures [N, C, H, W] without a classifier of their kind: `own_yardstick` has the network.

    The kernel distance is unbiased at any number. `nearest` is a distance to the nearest picture of the
    reference: a quarter of the pictures lies nearer.
    """
    n, network = len(pictures), stick.network
    require(n >= LEAST_OWN, f"--num must be at least {LEAST_OWN} to score your own pictures")
    pictures = resizing.resize(pictures.expand(-1, 3, -1, -1), [network.size, network.size], antialias=True)
    rows: dict[str, dict[str, float]] = {}
    head = f"network {stick.network_id}, N = {n:,}, reference: {stick.reference}"
    lines = [head, f"{'':<13} {'KCD × 1000':>16} {'precision':>10} {'recall':>7} {'nearest':>8}"]
    for name, some in _beside(pictures, stick.held_out).items():
        features, _ = embed(network, some)
        kernel, spread = kernel_distance(features, stick.sample, min(500, len(features) // 2, len(stick.sample) // 2))
        pr = prc_features_to_metric(features, stick.sample, prc_neighborhood=3, verbose=False)
        near = torch.cdist(features, stick.sample).min(1).values.quantile(0.25).item()
        row = {"kcd": kernel, "kcd_std": spread, "precision": float(pr["precision"]), "recall": float(pr["recall"])}
        rows[name] = row | {"nearest": near}
        both = f"{1000 * kernel:8.1f} ± {1000 * spread:.1f}"
        lines.append(f"{name:<13} {both:>16} {row['precision']:10.3f} {row['recall']:7.3f} {near:8.2f}")
    lines.append("This network was made for drawn faces: compare the rows of this table, and nothing else.")
    if rows["generated"]["nearest"] < 0.7 * rows["real (floor)"]["nearest"]:
        lines.append("They lie much nearer to the reference than real pictures: look for copies with --neighbours.")
    return "\n".join(lines), {"network": stick.network_id, "n": n, "reference": stick.reference, "scores": rows}


def report(pictures: Tensor, stick: Yardstick) -> tuple[str, dict[str, Any]]:
    """Score uint8 pictures beside the floor (held-out real pictures) and blurred real ones, all at the same N.

    Pictures of another size than the classifier's are resized (bilinear, antialiased), and so are the real ones, to that size
    and back: nobody is judged by a resize that others did not have. Returns a table to print and the same as plain numbers.
    """
    n, size, most, seen = len(pictures), pictures.shape[-1], len(stick.held_out), stick.network.size
    require(n <= most, f"--num must be at most {most:,}: the floor is measured on as many real pictures")
    real = _shuffled(stick.held_out)[:n]
    if size != seen:
        real = resizing.resize(resizing.resize(real, [size, size], antialias=True), [seen, seen], antialias=True)
        pictures = resizing.resize(pictures, [seen, seen], antialias=True)
    rows = {name: asdict(evaluate(some, stick)) for name, some in _beside(pictures, real).items()}
    resized = "" if size == seen else f", resized from {size}×{size} to {seen}×{seen}"
    head = f"network {stick.network_id}, N = {n:,}, reference: {stick.reference}{resized}"
    text = _table(head, ("FCD", "KCD", "CS"), {name: list(row.values())[:6] for name, row in rows.items()})
    shares = zip(stick.names, rows["generated"]["class_shares"], strict=True)
    text += "\nseen          " + ", ".join(f"{name} {share:.1%}" for name, share in shares)
    return text, {"network": stick.network_id, "n": n, "reference": stick.reference, "scores": rows}


def inception_report(pictures: Tensor, real: Pictures) -> tuple[str, dict[str, Any]]:
    """The published FID, KID and IS of uint8 pictures [N, C, H, W] against held-out ones, with the same kind of floor.

    Raises `UserError` when the Inception network is not on this machine or is another one.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    remedy = "fetch it there from the releases of torch-fidelity, or leave out --inception for the classifier's scores"
    require(file.is_file(), f"the Inception network {INCEPTION_FILE} is not in {file.parent}: {remedy}")
    prefix = INCEPTION_FILE.removesuffix(".pth").rsplit("-", 1)[1]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    require(sha256.startswith(prefix), f"{file} is damaged (SHA-256 {sha256[:8]}, not {prefix}): {remedy}")
    require(len(pictures) >= MIN_PICTURES, TOO_FEW)
    n, have = len(pictures), len(real)
    require(have >= 2 * n, f"--num {n:,} needs {2 * n:,} real pictures (half for the floor), not {have:,}")
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(file))

    def seen(some: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = zip(*(network(part.expand(-1, 3, -1, -1)) for part in some.split(100)))
        return torch.cat(features), torch.cat(logits)

    reference, floor = _shuffled(real.all())[: 2 * n].chunk(2)
    known, _ = seen(reference)
    measured = {name: three_scores(*seen(s), *statistics(known), known) for name, s in _beside(pictures, floor).items()}
    network_id = f"inception-2015-12-05@{prefix}"
    head = f"network {network_id}, N = {n:,}, reference: {n:,} real pictures of {real.name}"
    rows = {name: dict(zip(("fid", "kid", "kid_std", "is"), row)) for name, row in measured.items()}
    return _table(head, ("FID", "KID", "IS"), measured), {"network": network_id, "n": n, "scores": rows}
