"""How good are the pictures? The scores, each with its floor and a degraded reference beside it.

Classifier path (default, offline): a small frozen classifier gives 64 features a picture. Its scores have names of their own,
because they cannot be compared with published ones:

    FCD        Fréchet distance of two Gaussians fitted to the features, ‖μ₁−μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½); 0 is best
    KCD        kernel distance (unbiased MMD², cubic polynomial kernel); 0 is best, small negative values are noise
    CS         classifier score exp E KL(p(y|x) ‖ p(y)), above 1 and below 10 (digits) or 35 (hair styles of faces). A mean over
               ten parts, as IS: in 500 pictures no class is drawn just as often as another, so that the perfect score of
               5,000 is 9.92 or 33.9. It ignores the reference, so never rank by it alone
    precision  share of generated pictures that lie where real ones do (k = 3 nearest neighbours)
    recall     share of real pictures that lie where generated ones do

Inception path: the published FID, KID and IS, for which torchmetrics needs a network that has to be downloaded.
Compare scores only at the same network, N and reference.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchvision.transforms.v2 import functional as resizing

from common import data, images, require
from common.scores.classifier import FEATURES, Classifier, embed

KCD_SUBSETS, KCD_SUBSET_SIZE = 50, 500
MIN_PICTURES = 2 * KCD_SUBSET_SIZE
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"  # the last part is the beginning of its SHA-256


@dataclass(frozen=True)
class Yardstick:
    """A frozen feature network and the reference pictures as it sees them."""

    network: Classifier
    network_id: str  # name and hash of the weights
    reference: str  # which pictures; never those that the scored run was trained on
    mean: Tensor  # float64 [64]
    covariance: Tensor  # float64 [64, 64]
    sample: Tensor  # float32 [5000, 64]
    held_out: Tensor  # uint8 [M, C, H, W]: real pictures that are not in the reference, for the floor
    names: tuple[str, ...]  # of the classes; for faces, of their attributes with the values 0 and 1


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

    def row(self) -> str:
        kcd = f"{1000 * self.kcd:8.1f} ± {1000 * self.kcd_std:.1f}"
        return f"{self.fcd:8.2f} {kcd:>16} {self.cs:7.2f} {self.precision:10.3f} {self.recall:7.3f}"


# name of the network: SHA-256 of its weights and of its reference
PINNED = {
    "mnist-cnn64-v1": (
        "197bb421b6c5a3a15953ad92d63f60f0db2cf742547320a1f02ce2d9390a49f0",
        "26119f81f9cb15172cf51ebf826068c677d9a0a916f9f286ad88759be739d423",
    ),
    "avatars-cnn64-v1": (
        "9877f445fe4625e07caf51c61b9201153cfd9da58ed26b6485f6d723949ad0a5",
        "a31151a173a1a6fda0e28b0c7d7168b6cc03b188e75d890415d241a1a1a9d2bc",
    ),
    "fashion-mnist-cnn64-v1": (
        "df0e7e4efec7fdd74e711eea33b9152724aba5c18b75ee6406833acd5f896110",
        "4edb8fdc34af11be8c08c955f5daa62d3b0c003a92dc55c870f38cc310a0f2ac",
    ),
}


def _read_pinned(file: str, sha256: str) -> dict[str, Tensor]:
    require((FEATURES / file).is_file(), f"{FEATURES / file} is missing; fetch it again")
    content = (FEATURES / file).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    require(found == sha256, f"{FEATURES / file} is not the file that the scores were defined with; fetch it again")
    return safetensors.torch.load(content)


@cache
def yardstick(data_name: str) -> Yardstick:
    """The feature network and reference for a run trained on `data_name`; raises `UserError` if there is none.

    Runs on the 10,000 starter pictures (MNIST's test set) are scored against the 60,000 training pictures, of which the
    statistics come with the course. Runs on the training set are scored against the 10,000 test pictures.
    """
    family = {"mnist-10k": "mnist", "fashion-10k": "fashion-mnist"}.get(data_name, data_name)
    name = f"{family}-cnn64-v1"
    require(
        name in PINNED,
        f"there is no classifier for the pictures of {data_name}: score them with --inception (the published FID)",
    )
    tensors = _read_pinned(f"{name}.safetensors", PINNED[name][0])
    starter = {"mnist": "mnist-10k", "fashion-mnist": "fashion-10k"}.get(family, family)
    known = data.load(starter)
    faces = known.labels.ndim == 2
    heads = tuple((known.labels.amax(0) + 1).tolist()) if faces else (len(known.classes),)
    network = Classifier(known.size, known.channels, heads).eval().requires_grad_(False)
    network.load_state_dict(tensors)
    network_id = f"{name}@{PINNED[name][0][:8]}"
    names = known.classes
    if faces:
        names = tuple(attribute for attribute, values in zip(known.classes, heads, strict=True) if values == 2)
    if data_name == starter:
        stored = _read_pinned(f"{name}-reference.safetensors", PINNED[name][1])
        mean, covariance, sample = stored["mean"], stored["covariance"], stored["sample"].float()
        reference = "10,000 other faces" if faces else "60,000 training pictures"
        return Yardstick(network, network_id, reference, mean, covariance, sample, _images(known), names)
    features, _ = embed(network, _images(known))
    mean, covariance = _statistics(features)
    training = _images(data.load(data_name))
    drawn = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:5000]  # MNIST's first are easier
    return Yardstick(network, network_id, "10,000 test pictures", mean, covariance, features[drawn], training, names)


def _images(pictures: data.Pictures) -> Tensor:
    assert isinstance(pictures.images, Tensor)
    return pictures.images


def held_out(data_name: str, **sizes: int) -> data.Pictures:
    """Real pictures that a run on `data_name` has not seen; of a learner's own folder there are only the seen ones."""
    name, split = {"mnist-10k": ("mnist", "train"), "fashion-10k": ("fashion-mnist", "train")}.get(
        data_name, (data_name, "test")
    )
    return data.load(name, split=split, **sizes)


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [N, D], in double precision."""
    return features.double().mean(0), features.double().T.cov()


def fcd(features: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Fréchet distance between a Gaussian fitted to features [N, D] and the one given."""
    found = _statistics(features)
    first = {"mu": found[0].numpy(), "sigma": found[1].numpy()}
    second = {"mu": mean.numpy(), "sigma": covariance.numpy()}
    return float(fid_statistics_to_metric(first, second, verbose=False)["frechet_inception_distance"])


def score(pictures: Tensor, stick: Yardstick) -> Scores:
    """Score uint8 pictures [N, C, H, W] of the size that the classifier sees (see `images.to_uint8`), N at least 1,000."""
    seen = (stick.network.channels, stick.network.size, stick.network.size)
    require(pictures.dtype == torch.uint8, f"scores take uint8 pictures in 0..255, not {pictures.dtype}")
    require(
        pictures.shape[1:] == seen, f"this classifier sees pictures of {seen} numbers, not {tuple(pictures.shape[1:])}"
    )
    require(
        len(pictures) >= MIN_PICTURES,
        f"--num must be at least {MIN_PICTURES:,} to score (5,000 to compare with others)",
    )
    features, logits = embed(stick.network, pictures.cpu())
    kcd = kid_features_to_metric(
        features, stick.sample, kid_subsets=KCD_SUBSETS, kid_subset_size=KCD_SUBSET_SIZE, verbose=False
    )
    pr = prc_features_to_metric(features, stick.sample, prc_neighborhood=3, verbose=False)
    heads = stick.network.heads
    main = logits[:, -heads[-1] :]  # of digits the only head, of faces the hair styles
    values = stick.network.values(logits)
    if len(heads) == 1:
        shares = values[:, 0].bincount(minlength=heads[0]) / len(values)
    else:
        shares = values[:, [i for i, number in enumerate(heads) if number == 2]].float().mean(0)
    return Scores(
        fcd=fcd(features, stick.mean, stick.covariance),
        kcd=kcd["kernel_inception_distance_mean"],
        kcd_std=kcd["kernel_inception_distance_std"],
        cs=isc_features_to_metric(main)["inception_score_mean"],
        precision=float(pr["precision"]),
        recall=float(pr["recall"]),
        class_shares=tuple(shares.tolist()),
    )


def report(pictures: Tensor, stick: Yardstick) -> tuple[str, dict[str, Any]]:
    """Score uint8 pictures beside the floor (held-out real pictures) and blurred real ones, all at the same N.

    Pictures of another size than the classifier's are resized (bilinear, antialiased), and so are the real ones: first to the
    size of the pictures, then back, so that nobody is judged by a resize that the others did not have.
    Returns a table to print and the same as plain numbers.
    """
    require(
        len(pictures) <= len(stick.held_out),
        f"--num must be at most {len(stick.held_out):,}: the floor is measured on as many real pictures",
    )
    require(
        pictures.shape[1] == stick.network.channels,
        f"this classifier sees pictures of {stick.network.channels} channel(s), not {pictures.shape[1]}",
    )
    real = stick.held_out[
        torch.randperm(len(stick.held_out), generator=torch.Generator().manual_seed(0))[: len(pictures)]
    ]
    size, seen = pictures.shape[-1], stick.network.size
    if size != seen:
        real = resizing.resize(resizing.resize(real, [size, size], antialias=True), [seen, seen], antialias=True)
        pictures = resizing.resize(pictures, [seen, seen], antialias=True)
    # The blur is as wide for the picture at every size: one pixel of 28.
    kernel = 2 * round(2 * seen / 28) + 1
    blurred = torch.cat([resizing.gaussian_blur(some, kernel, seen / 28) for some in real.split(500)])
    rows = {
        "generated": score(pictures, stick),
        "real (floor)": score(real, stick),
        "blurred real": score(blurred, stick),
    }
    resized = "" if size == seen else f", resized from {size}×{size} to {seen}×{seen}"
    shares = rows["generated"].class_shares
    lines = [
        f"network {stick.network_id}, N = {len(pictures):,}, reference: {stick.reference}{resized}",
        f"{'':<13} {'FCD':>8} {'KCD × 1000':>16} {'CS':>7} {'precision':>10} {'recall':>7}",
        *(f"{name:<13} {scores.row()}" for name, scores in rows.items()),
        "seen          " + ", ".join(f"{name} {share:.1%}" for name, share in zip(stick.names, shares, strict=True)),
    ]
    numbers = {name: asdict(scores) for name, scores in rows.items()}
    return "\n".join(lines), {
        "network": stick.network_id, "n": len(pictures), "reference": stick.reference, "scores": numbers
    }  # fmt: skip


def inception_report(pictures: Tensor, held_out: data.Pictures) -> tuple[str, dict[str, Any]]:
    """The published FID, KID and IS of uint8 pictures [N, C, H, W] against held-out ones, with the same kind of floor.

    Raises `UserError` when the Inception network is not on this machine or is another one.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    remedy = "fetch it there from the releases of torch-fidelity, or leave --inception away for the classifier's scores"
    require(file.is_file(), f"the Inception network {INCEPTION_FILE} is not in {file.parent}: {remedy}")
    prefix = INCEPTION_FILE.removesuffix(".pth").rsplit("-", 1)[1]
    with open(file, "rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    require(sha256.startswith(prefix), f"{file} is damaged (SHA-256 {sha256[:8]}, not {prefix}): {remedy}")
    number = len(pictures)
    require(number >= MIN_PICTURES, f"--num must be at least {MIN_PICTURES:,} to score (5,000 to compare with others)")
    real = held_out.all()
    require(
        len(real) >= 2 * number,
        f"--num {number:,} needs {2 * number:,} real pictures (half for the floor), not {len(real):,}",
    )
    real = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[: 2 * number]]
    reference, floor = real.chunk(2)
    rows: dict[str, dict[str, float]] = {}
    for name, scored in {
        "generated": pictures,
        "real (floor)": floor,
        "blurred real": resizing.gaussian_blur(floor, [5, 5], [1.0, 1.0]),
    }.items():
        fid, inception = FrechetInceptionDistance(), InceptionScore()
        kid = KernelInceptionDistance(subsets=KCD_SUBSETS, subset_size=KCD_SUBSET_SIZE)
        for is_real, shown in ((False, scored), (True, reference)):
            for chunk in shown.expand(-1, 3, -1, -1).split(100):
                fid.update(chunk, real=is_real)
                kid.update(chunk, real=is_real)
                if not is_real:
                    inception.update(chunk)
        mean, std = kid.compute()
        rows[name] = {
            "fid": float(fid.compute()), "kid": float(mean), "kid_std": float(std), "is": float(inception.compute()[0])
        }  # fmt: skip
    lines = [
        f"network inception-2015-12-05@{prefix}, N = {number:,}, reference: {number:,} real pictures of {held_out.name}"
    ]
    lines += [f"{'':<13} {'FID':>8} {'KID × 1000':>16} {'IS':>7}"]
    lines += [
        f"{name:<13} {row['fid']:8.2f} {1000 * row['kid']:8.1f} ± {1000 * row['kid_std']:.1f} {row['is']:7.2f}"
        for name, row in rows.items()
    ]
    return "\n".join(lines), {"network": f"inception-2015-12-05@{prefix}", "n": number, "scores": rows}


def judge(pictures: Tensor, data_name: str, inception: bool = False) -> tuple[str, dict[str, Any]]:
    """What `generate.py --score` says of float pictures [N, C, H, W] from a run on `data_name`: a table, and the same as numbers.

    With the frozen classifier (`report`), or with the published Inception scores (`inception_report`).
    """
    rounded = images.to_uint8(pictures).cpu()
    if inception:
        return inception_report(rounded, held_out(data_name, size=pictures.shape[-1], channels=pictures.shape[1]))
    return report(rounded, yardstick(data_name))


def distances(fake: Tensor, truth: Tensor) -> dict[str, float]:
    """L1, PSNR (dB) and SSIM of float pictures [N, C, H, W] in [-1, 1] against the true ones, each a mean over the pictures.

    Pictures are rounded as they would be on disk. L1 is in units of [-1, 1], 0 to 2; SSIM is at most 1.
    """
    fake, truth = images.to_float(images.to_uint8(fake)), images.to_float(images.to_uint8(truth))
    # SSIM is made for numbers from 0 up: it multiplies means. A few at a time: small blocks of memory are used again.
    pairs = zip(((fake + 1) / 2).split(8), ((truth + 1) / 2).split(8), strict=True)
    ssim = [structural_similarity_index_measure(*pair, data_range=1.0, reduction="none") for pair in pairs]
    return {
        "l1": (fake - truth).abs().mean().item(),
        "psnr": peak_signal_noise_ratio(fake, truth, data_range=2.0, dim=(1, 2, 3)).item(),
        "ssim": torch.cat(ssim).mean().item(),  # type: ignore[arg-type]
    }


def beside_nearest(samples: Tensor, data_name: str) -> Tensor:
    """Float samples [N, C, H, W], and behind them the training picture nearest to each: [2N, C, H, W], two rows of a grid."""
    real = data.load(data_name, size=samples.shape[-1], channels=samples.shape[1]).all()
    return torch.cat([samples.cpu(), images.to_float(real[nearest(images.to_uint8(samples).cpu(), real)])])


def nearest(pictures: Tensor, training: Tensor) -> Tensor:
    """For each of uint8 pictures [N, C, H, W], the index of the nearest training picture in pixel distance (L2), [N]."""
    parts = [torch.cdist(pictures.flatten(1).float(), part.flatten(1).float()).min(1) for part in training.split(1000)]
    part = torch.stack([found.values for found in parts]).argmin(0)  # which thousand has the nearest one
    return 1000 * part + torch.stack([found.indices for found in parts]).gather(0, part[None])[0]


def modes_covered(points: Tensor, centres: Tensor, std: float) -> tuple[int, float]:
    """Count the modes of a Gaussian mixture in the plane that samples reach.

    A point [N, 2] is in a mode if it lies within 3 standard deviations of its centre; a mode is covered if it has at least
    a quarter of its fair share of the points. Returns the modes covered and the share of points that are in any mode.
    """
    distance, mode = torch.cdist(points, centres).min(1)
    inside = mode[distance < 3 * std]
    counts = inside.bincount(minlength=len(centres))
    fair = len(points) / len(centres)
    return int((counts >= fair / 4).sum()), len(inside) / len(points)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation of two curves, in -1..1."""
    return float(torch.corrcoef(torch.tensor([list(first), list(second)], dtype=torch.float64))[0, 1])
