"""The two fully connected networks of chapter 01.

Paper: Goodfellow et al., "Generative Adversarial Nets", arXiv:1406.2661. The paper names its networks (rectifiers and
sigmoid in G, maxout and dropout in D) but prints no table; sizes of the paper preset are those of the authors' published
configuration (goodfeli/adversarial, mnist.yaml).

Differs from paper: by default three hidden layers that widen, BatchNorm (eight months younger than the paper), tanh for pictures in
[-1, 1], and LeakyReLU in place of maxout. `--preset paper` has the paper's layers, except that its sigmoid is written as
a tanh: tanh(x) = 2 sigmoid(2x) - 1 is the same curve on [-1, 1].

Shape letters: N pictures in a batch, C channels, H = W = size, D latent numbers.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class Maxout(nn.Module):
    """max over `pieces` linear maps for each output (arXiv:1302.4389): [N, in_features] -> [N, out_features]."""

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(in_features, out_features * pieces)

    def forward(self, x: Tensor) -> Tensor:
        pieces = self.linear(x).unflatten(1, (-1, self.pieces))  # [N, out * pieces] -> [N, out, pieces]
        return pieces.amax(2)  # [N, out]


class Generator(nn.Module):
    """G(z): latent z [N, D], standard normal, -> pictures [N, C, H, W] in [-1, 1].

    Args:
        latent_dim: numbers in z.
        hidden: widths of the hidden layers.
        shape: (C, H, W) of the pictures.
        batch_norm: normalise each hidden layer over the batch (arXiv:1502.03167). Without it a unit's
            outputs can drift to where its activation is always zero, and then it learns no more.
        leaky_slope: negative slope of the hidden activations; 0 is ReLU.
    """

    def __init__(
        self,
        latent_dim: int = 100,
        hidden: Sequence[int] = (256, 512, 1024),
        shape: tuple[int, int, int] = (1, 28, 28),
        batch_norm: bool = True,
        leaky_slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.latent_dim, self.shape = latent_dim, shape
        layers: list[nn.Module] = []
        widths = [latent_dim, *hidden]
        for in_features, out_features in pairwise(widths):
            layers.append(nn.Linear(in_features, out_features, bias=not batch_norm))  # BatchNorm has its own bias
            if batch_norm:
                layers.append(nn.BatchNorm1d(out_features))
            layers.append(nn.LeakyReLU(leaky_slope) if leaky_slope else nn.ReLU())
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(shape)), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).unflatten(1, self.shape)  # [N, D] -> [N, C*H*W] -> [N, C, H, W]


class Discriminator(nn.Module):
    """D(x): pictures [N, C, H, W] in [-1, 1] -> logits [N]; the probability of "real" is sigmoid(logit).

    Args:
        hidden: widths of the hidden layers.
        shape: (C, H, W) of the pictures.
        dropout: share of each hidden layer's outputs that is dropped while training (section 5 of the paper).
        input_dropout: the same for the pixels; the authors' configuration drops 0.2 of them.
        maxout_pieces: linear maps behind each maxout unit; 0 for LeakyReLU(0.2) in its place.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (512, 256),
        shape: tuple[int, int, int] = (1, 28, 28),
        dropout: float = 0.1,
        input_dropout: float = 0.0,
        maxout_pieces: int = 0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]  # [N, C, H, W] -> [N, C*H*W]
        if input_dropout:
            layers.append(nn.Dropout(input_dropout))
        widths = [math.prod(shape), *hidden]
        for in_features, out_features in pairwise(widths):
            if maxout_pieces:
                layers.append(Maxout(in_features, out_features, maxout_pieces))
            else:
                layers += [nn.Linear(in_features, out_features), nn.LeakyReLU(0.2)]
            layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))  # no sigmoid: the loss wants logits

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures).squeeze(1)  # [N, 1] -> [N]
