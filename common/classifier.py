"""The frozen network behind the scores: a small classifier for 28×28 grey pictures, and the script that trained it.

    python -m common.classifier --data mnist            # or fashion-mnist; the full training set, about 6 minutes

Its 64 features are a linear map (after a ReLU a third of them would be dead), standardised with the statistics of the
training set. The logits are read off behind a ReLU, so that the features need not shrink to the ten classes alone. The script also stores the reference that scores are measured against: mean and covariance of the features of
all training pictures, and 5,000 features drawn from them. `metrics.py` pins the files by hash, so a new training needs a
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
from tqdm import tqdm

from common import data
from common.images import to_float

FEATURES = Path(__file__).parent / "features"


class Classifier(nn.Module):
    """Four convolutions, 64 linear features, ten logits."""

    def __init__(self, features: int = 64, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for in_channels, out_channels, stride in [(1, 32, 1), (32, 32, 2), (32, 64, 1), (64, 48, 2)]:
            conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3))
        self.embedding = nn.Linear(48 * 7 * 7, features)
        self.standardise = nn.BatchNorm1d(features, affine=False)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(features, classes))

    def features(self, pictures: Tensor) -> Tensor:
        """float [N, 1, 28, 28] in [-1, 1] -> standardised features [N, 64]."""
        return self.standardise(self.embedding(self.body(pictures)))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """float [N, 1, 28, 28] in [-1, 1] -> features [N, 64] and class logits [N, 10]."""
        features = self.features(pictures)
        return features, self.head(features)


@dataclass
class Config:
    """Train the classifier on the full training set and store it with the reference statistics."""

    data: Literal["mnist", "fashion-mnist"] = "mnist"
    epochs: int = 8
    batch_size: int = 128
    lr: float = 4e-3  # the peak of a one-cycle schedule
    version: str = "v1"


@torch.no_grad()
def embed(network: Classifier, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 [N, 1, 28, 28] -> features [N, 64] and logits [N, 10], 500 pictures at a time."""
    parts = [network(to_float(chunk)) for chunk in pictures.split(500)]
    return torch.cat([features for features, _ in parts]), torch.cat([logits for _, logits in parts])


def main(config: Config) -> None:
    torch.manual_seed(0)
    training, test = data.load(config.data), data.load(config.data, split="test")
    assert isinstance(training.images, Tensor) and isinstance(test.images, Tensor)
    network = Classifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2, fused=True)
    steps = config.epochs * (len(training) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps)
    augment = RandomAffine(degrees=8, translate=(0.07, 0.07), scale=(0.92, 1.08)) if config.data == "mnist" else None
    order = iter(data.ShuffledOrder(len(training), config.batch_size, seed=0))

    for _ in tqdm(range(steps), config.data):
        images, labels = training.__getitems__(next(order))
        if augment is not None:  # digits may lean and move a little, one draw for every eight of a batch
            images = torch.cat([augment(part) for part in images.split(8)])
        elif torch.rand(()) < 0.5:  # clothes may be mirrored
            images = images.flip(-1)
        _, logits = network(to_float(images).contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()

    # Freeze the standardisation with the exact statistics of the training set, in place of the running ones.
    network.eval()
    network.standardise.reset_running_stats()
    raw, _ = embed(network, training.images)  # running mean 0 and variance 1: the raw embedding
    network.standardise.running_mean.copy_(raw.mean(0))  # type: ignore[union-attr]
    network.standardise.running_var.copy_(raw.var(0))  # type: ignore[union-attr]
    features, _ = embed(network, training.images)
    _, logits = embed(network, test.images)
    accuracy = (logits.argmax(1) == test.labels).double().mean().item()
    print(f"{config.data}: test accuracy {accuracy:.2%}")

    stem = FEATURES / f"{config.data}-cnn64-{config.version}"
    FEATURES.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}  # not channels_last
    safetensors.torch.save_file(weights, f"{stem}.safetensors", {"accuracy": f"{accuracy:.4f}"})
    reference = {
        "mean": features.double().mean(0),
        "covariance": features.double().T.cov(),
        "sample": features[torch.randperm(len(features))[:5000]].half(),
    }
    safetensors.torch.save_file(reference, f"{stem}-reference.safetensors", {"pictures": str(len(features))})


if __name__ == "__main__":
    main(tyro.cli(Config))
