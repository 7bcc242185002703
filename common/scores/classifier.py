"""The frozen networks behind the scores: small classifiers for digits, clothes and faces, and the script that trained them.

    python -m common.scores.classifier --data mnist     # or fashion-mnist; the full training set, about 6 minutes
    python -m common.scores.classifier --data avatars   # the attributes of 30,000 faces of its own

Its 64 features are a linear map (after a ReLU a third of them would be dead), standardised with the statistics of the
training set. The logits are read off behind a ReLU, so that the features need not shrink to the ten classes alone. The script also stores the reference that scores are measured against: mean and covariance of the features of
all training pictures, and 5,000 features drawn from them. `common.scores` pins the files by hash, so a new training needs a
new version in the name: old and new scores cannot be compared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn
from torchvision.transforms.v2 import RandomAffine
from torchvision.transforms.v2.functional import gaussian_blur
from tqdm import tqdm

from common import data
from common.images import to_float

FEATURES = Path(__file__).parent / "features"


# Output channels and stride of each convolution, by the size of the pictures that the network sees.
BODIES = {28: ((32, 1), (32, 2), (64, 1), (48, 2)), 64: ((32, 2), (64, 2), (64, 1), (96, 2), (64, 2))}


class Classifier(nn.Module):
    """A few convolutions, 64 linear features, and one group of logits for each thing that is told apart.

    Args:
        size: pixels per side of the pictures, 28 or 64.
        channels: of the pictures, 1 or 3.
        heads: number of values of each attribute; digits have one attribute with ten values.
    """

    def __init__(self, size: int = 28, channels: int = 1, heads: tuple[int, ...] = (10,), features: int = 64) -> None:
        super().__init__()
        self.size, self.channels, self.heads = size, channels, heads
        layers: list[nn.Module] = []
        side, in_channels = size, channels
        for out_channels, stride in BODIES[size]:
            conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]
            side, in_channels = side // stride, out_channels
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3))
        self.embedding = nn.Linear(in_channels * side**2, features)
        self.standardise = nn.BatchNorm1d(features, affine=False)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(features, sum(heads)))

    def features(self, pictures: Tensor) -> Tensor:
        """float [N, C, size, size] in [-1, 1] -> standardised features [N, 64]."""
        return self.standardise(self.embedding(self.body(pictures)))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """float [N, C, size, size] in [-1, 1] -> features [N, 64] and the logits of all heads, side by side."""
        features = self.features(pictures)
        return features, self.head(features)

    def values(self, logits: Tensor) -> Tensor:
        """Logits of all heads -> the most probable value of each attribute, int64 [N, A]."""
        return torch.stack([part.argmax(1) for part in logits.split(self.heads, 1)], 1)


@dataclass
class Config:
    """Train a classifier on full training data and store it with the reference statistics."""

    data: Literal["mnist", "fashion-mnist", "avatars"] = "mnist"
    epochs: int = 8
    batch_size: int = 128
    lr: float = 4e-3  # the peak of a one-cycle schedule
    version: str = "v1"


@torch.no_grad()
def embed(network: Classifier, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 [N, C, size, size] -> features [N, 64] and logits. Few at a time: blocks of memory that are small are used again."""
    parts = [network(to_float(chunk)) for chunk in pictures.split(25)]
    return torch.cat([features for features, _ in parts]), torch.cat([logits for _, logits in parts])


def _training_data(config: Config) -> tuple[Tensor, Tensor]:
    """Pictures [N, C, H, W] and the value of each of their attributes [N, A]."""
    # Faces that no run trains on and no score refers to; digits and clothes have one training set only.
    splits = ("judge-a", "judge-b", "judge-c") if config.data == "avatars" else ("train",)
    parts = [data.load(config.data, split=split) for split in splits]
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
    torch.manual_seed(0)
    images, labels = _training_data(config)
    test = data.load(config.data, split="test")
    heads = tuple((labels.amax(0) + 1).tolist())
    network = Classifier(test.size, test.channels, heads).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2, fused=True)
    steps = config.epochs * (len(images) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps)
    augment = RandomAffine(degrees=8, translate=(0.07, 0.07), scale=(0.92, 1.08)) if config.data == "mnist" else None
    order = iter(data.ShuffledOrder(len(images), config.batch_size, seed=0))

    for _ in tqdm(range(steps), config.data):
        batch = next(order)
        pictures = images[batch]
        if augment is not None:  # digits may lean and move a little, one draw for every eight of a batch
            pictures = torch.cat([augment(part) for part in pictures.split(8)])
        elif config.data == "fashion-mnist" and torch.rand(()) < 0.5:  # clothes may be mirrored
            pictures = pictures.flip(-1)
        seen = to_float(pictures)
        if config.data == "avatars":
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
    names = test.classes if len(heads) > 1 else (config.data,)
    print("test accuracy", ", ".join(f"{name} {share:.2%}" for name, share in zip(names, right.tolist(), strict=True)))
    if config.data != "avatars":  # the starter digits and clothes are the test pictures, so these are the reference
        features, _ = embed(network, images)

    stem = FEATURES / f"{config.data}-cnn64-{config.version}"
    FEATURES.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}  # not channels_last
    safetensors.torch.save_file(weights, f"{stem}.safetensors", {"accuracy": f"{right.mean():.4f}"})
    reference = {
        "mean": features.double().mean(0),
        "covariance": features.double().T.cov(),
        "sample": features[torch.randperm(len(features))[:5000]].half(),
    }
    safetensors.torch.save_file(reference, f"{stem}-reference.safetensors", {"pictures": str(len(features))})


if __name__ == "__main__":
    main(tyro.cli(Config))
