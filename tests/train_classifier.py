"""How the classifiers of the scores were trained, and the reference that scores are measured against was stored.

    python tests/train_classifier.py --name mnist       # or fashion-mnist; the full training set, about 6 minutes
    python tests/train_classifier.py --name avatars     # the attributes of 30,000 faces of its own

The reference is the mean and covariance of the features of all training pictures, and 5,000 features drawn from them.
`common/scores/reference.py` pins the files by hash, so a new training needs a new version in the name: old and new
scores cannot be compared.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor
from torchvision.transforms.v2 import RandomAffine
from torchvision.transforms.v2.functional import gaussian_blur
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.data import load, shuffled_order
from common.images import to_float
from common.scores.classifier import FEATURES, Classifier, embed
from common.scores.reference import statistics

EPOCHS, BATCH_SIZE = 8, 128
RATE = 4e-3  # the peak of a one-cycle schedule


@dataclass
class Config:
    """Train a classifier on full training data and store it with the reference statistics."""

    name: Literal["mnist", "fashion-mnist", "avatars"] = "mnist"  # what it tells apart


def _training_data(name: str) -> tuple[Tensor, Tensor]:
    """Pictures [N, C, H, W] and the value of each of their attributes [N, A]."""
    # Faces that no run trains on and no score refers to; digits and clothes have one training set only.
    splits = ("judge-a", "judge-b", "judge-c") if name == "avatars" else ("train",)
    parts = [load(name, split=split) for split in splits]
    labels = torch.cat([part.labels for part in parts])
    return torch.cat([part.all() for part in parts]), labels if labels.ndim == 2 else labels[:, None]


def _slightly_spoilt(pictures: Tensor) -> Tensor:
    """A little blur and noise, of a random strength: float [N, C, H, W] -> the same.

    Drawn faces are perfectly clean. A judge that has seen only those is shaken by noise that the eye hardly sees (a
    deviation of 10 of 255 cost an FCD of 6.9, as much as a third of all that blurred faces lose), and would score little else.
    """
    if torch.rand(()) < 0.5:
        strength = float(torch.empty(()).uniform_(0.2, 1.2))
        pictures = gaussian_blur(pictures, [5, 5], [strength, strength])
    return pictures + 0.2 * torch.rand(()) * torch.randn_like(pictures)


def main(config: Config) -> None:
    name = config.name
    torch.manual_seed(0)
    images, labels = _training_data(name)
    test = load(name, split="test")
    heads = tuple((labels.amax(0) + 1).tolist())
    network = Classifier(test.size, test.channels, heads).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2, fused=True)
    steps = EPOCHS * (len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    augment = RandomAffine(degrees=8, translate=(0.07, 0.07), scale=(0.92, 1.08)) if name == "mnist" else None
    order = shuffled_order(len(images), BATCH_SIZE, seed=0)

    for _ in tqdm(range(steps), name):
        batch = next(order)
        pictures = images[batch]
        if augment is not None:  # digits may lean and move a little, one draw for every eight of a batch
            pictures = torch.cat([augment(part) for part in pictures.split(8)])
        elif name == "fashion-mnist" and torch.rand(()) < 0.5:  # clothes may be mirrored
            pictures = pictures.flip(-1)
        seen = to_float(pictures)
        if name == "avatars":
            seen = torch.cat([_slightly_spoilt(part) for part in seen.split(16)])
        _, logits = network(seen.contiguous(memory_format=torch.channels_last))
        parts = zip(logits.split(heads, 1), labels[batch].unbind(1), strict=True)
        loss = torch.stack([F.cross_entropy(part, value) for part, value in parts]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    # Freeze the standardisation with the exact statistics of the training set, in place of the running ones.
    network.eval()
    network.standardise.reset_running_stats()
    raw, _ = embed(network, images)  # running mean 0 and variance 1: the raw embedding
    network.standardise.running_mean.copy_(raw.mean(0))  # type: ignore[union-attr]
    network.standardise.running_var.copy_(raw.var(0))  # type: ignore[union-attr]
    features, logits = embed(network, test.all())
    right = (network.values(logits) == test.labels.view(len(test), -1)).double().mean(0)
    names = test.classes if len(heads) > 1 else (name,)
    print("test accuracy", ", ".join(f"{head} {share:.2%}" for head, share in zip(names, right.tolist(), strict=True)))
    if name != "avatars":  # the starter digits and clothes are the test pictures, so these are the reference
        features, _ = embed(network, images)

    stem = FEATURES / f"{name}-cnn64-v1"
    weights = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}  # not channels_last
    safetensors.torch.save_file(weights, f"{stem}.safetensors", {"accuracy": f"{right.mean():.4f}"})
    mean, covariance = statistics(features)
    sample = features[torch.randperm(len(features))[:5000]].half()
    reference = {"mean": mean, "covariance": covariance, "sample": sample}
    safetensors.torch.save_file(reference, f"{stem}-reference.safetensors", {"pictures": str(len(features))})


if __name__ == "__main__":
    main(tyro.cli(Config))
