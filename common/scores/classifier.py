"""The frozen networks behind the scores: small classifiers for digits, clothes and faces.

`tests/train_classifier.py` has trained them. Their 64 features are a linear map (after a ReLU a third of them would be
dead), standardised with the statistics of the training set. The logits are read off behind a ReLU, so that the features
need not shrink to the ten classes alone.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

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

    def __init__(self, size: int = 28, channels: int = 1, heads: tuple[int, ...] = (10,)) -> None:
        super().__init__()
        self.size, self.channels, self.heads = size, channels, heads
        layers: list[nn.Module] = []
        side, in_channels = size, channels
        for out_channels, stride in BODIES[size]:
            conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]
            side, in_channels = side // stride, out_channels
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3))
        self.embedding = nn.Linear(in_channels * side**2, 64)
        self.standardise = nn.BatchNorm1d(64, affine=False)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(64, sum(heads)))

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


@torch.no_grad()
def embed(network: Classifier, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 [N, C, size, size] -> features [N, 64] and logits. Few at a time: blocks of memory that are small are used again."""
    parts = [network(to_float(chunk)) for chunk in pictures.split(25)]
    return torch.cat([features for features, _ in parts]), torch.cat([logits for _, logits in parts])
