"""The two convolutional networks of chapter 02.

Paper: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs", arXiv:1511.06434: figure 1
for the generator, section 3 for the five guidelines, section 4 for the initialisation. The discriminator is its mirror image, as in
the authors' code (the paper has no table of it). With spectral norm, the default of train.py, it has no BatchNorm.

Differs from paper: the generator's first layer, a transposed convolution on a 1×1 map, is the paper's "project and reshape";
the kernels are 4×4, not 5×5, since the stride of 2 divides 4; any size from 16 to 256; at most 8 × width channels.
Figure 1's width of 128 gives 12,658,432 and 11,036,160 parameters at 64×64; 64, the usual port's, 3,576,704 and 2,765,568.

Shape letters: N pictures in a batch, C channels, H = W = size, D latent numbers, K channels of a hidden map, P = H·W its places.
"""

from collections.abc import Collection
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from common import require

Guideline = Literal["strides", "batch-norm", "all-convolutional", "relu", "leaky-relu"]
Upsampling = Literal["transposed-4", "transposed-3", "resize"]


def stages(size: int) -> tuple[int, int]:
    """size = base × 2^doublings with a base of 4 to 7: 64 -> (4, 4), 28 -> (7, 2). Raises `UserError` for other sizes."""
    base, doublings = size, 0
    while base >= 8 and base % 2 == 0:
        base, doublings = base // 2, doublings + 1
    require(
        4 <= base <= 7 and 16 <= size <= 256,
        f"--size must be 4, 5, 6 or 7 times a power of two, from 16 to 256 (for example 28, 32, 48 or 64), not {size}",
    )
    return base, doublings


def widths(width: int, doublings: int) -> list[int]:
    """Channels of the hidden maps, from the one next to the picture inwards: doubled each time, at most 8 × width."""
    return [min(2**i, 8) * width for i in range(doublings)]


def dcgan_init(layer: nn.Module) -> None:
    """Section 4: weights from N(0, 0.02). The authors' code: BatchNorm scales from N(1, 0.02); around 0 they would switch maps off."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)


class SelfAttention(nn.Module):
    """Each place of a map looks at all others: y = x + gamma · attention(x), [N, K, H, W] -> the same (arXiv:1805.08318, Eq. 1 to 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)  # g of the paper
        self.key = nn.Conv2d(channels, inner, 1, bias=False)  # f
        self.value = nn.Conv2d(channels, channels, 1, bias=False)  # Differs from paper: v and h are one matrix
        self.gamma = nn.Parameter(torch.zeros(()))  # starts as if the layer were not there

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))  # v: [N, P, K]
        seen = F.scaled_dot_product_attention(q, k, v, scale=1.0)  # q, k: [N, P, K / 8]; SAGAN divides by no root
        return x + self.gamma * seen.transpose(1, 2).unflatten(2, x.shape[2:])


class MinibatchDiscrimination(nn.Module):
    """How close each picture of a batch is to the others (arXiv:1606.03498, section 3.2): features [N, A] -> [N, kernels].

    o(x_i)_b = sum over j of exp(-|M_ib - M_jb|_1) with M = features · T, a tensor [N, kernels, dims]. A generator that
    draws one picture over and over gives a batch of large o, and D sees that. With several processes each sees its share.
    """

    def __init__(self, features: int, kernels: int = 32, dims: int = 8) -> None:
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(features, kernels * dims, bias=False)  # T of the paper

    def forward(self, features: Tensor) -> Tensor:
        m = self.project(features).unflatten(1, (self.kernels, -1))  # [N, kernels, dims]
        distance = (m.unsqueeze(0) - m.unsqueeze(1)).abs().sum(3)  # [N, N, kernels]
        return torch.exp(-distance).sum(1)


class Generator(nn.Module):
    """G(z): latent z [N, D], standard normal, -> pictures [N, C, H, W] in [-1, 1].

    Args:
        latent_dim: numbers in z.
        width: channels of the last hidden map; each map further in has twice as many, at most eight times.
        shape: (C, H, W) of the pictures.
        attention: put self-attention after the map of this many pixels a side; 0 for none.
        upsampling: how a map is doubled: transposed convolution with kernel 4 or 3, or nearest neighbour and a convolution.
        without: the guidelines of section 3 that are taken away, to see what they are for.
        uniform_z: spread z evenly over (-1, 1) first: figure 1 has uniform latents.
    """

    def __init__(
        self,
        latent_dim: int = 100,
        width: int = 64,
        shape: tuple[int, int, int] = (3, 64, 64),
        attention: int = 0,
        upsampling: Upsampling = "transposed-4",
        without: Collection[Guideline] = (),
        uniform_z: bool = False,
    ) -> None:
        super().__init__()
        self.latent_dim, self.shape, self.uniform_z = latent_dim, shape, uniform_z
        base, doublings = stages(shape[1])
        channels = widths(width, doublings)[::-1]  # from the smallest map outwards
        norm = "batch-norm" not in without  # guideline 2, but not in G's output (no bias there, as in the usual port)

        def after(out_channels: int) -> list[nn.Module]:  # guideline 4: ReLU in all layers but the output
            activation = nn.Tanh() if "relu" in without else nn.ReLU()
            return [nn.BatchNorm2d(out_channels), activation] if norm else [activation]

        layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1))]  # [N, D] -> [N, D, 1, 1]
        if "all-convolutional" in without:  # guideline 3: no fully connected hidden layers; here are two
            for _ in range(2):
                layers += [nn.Conv2d(latent_dim, latent_dim, 1, bias=not norm), *after(latent_dim)]
        layers += [nn.ConvTranspose2d(latent_dim, channels[0], base, bias=not norm), *after(channels[0])]
        side = base
        for in_channels, out_channels in pairwise(channels):
            layers += [*doubled(in_channels, out_channels, upsampling, bias=not norm), *after(out_channels)]
            side *= 2
            if side == attention:
                layers.append(SelfAttention(out_channels))
        self.layers = nn.Sequential(*layers, *doubled(channels[-1], shape[0], upsampling, bias=False), nn.Tanh())
        self.apply(dcgan_init)

    def forward(self, z: Tensor) -> Tensor:
        z = torch.erf(z / 2**0.5) if self.uniform_z else z  # 2 Φ(z) - 1, with Φ the share of normal numbers below z
        return self.layers(z)  # [N, D] -> [N, D, 1, 1] -> [N, 8·width, base, base] -> ... -> [N, C, H, W]


def doubled(in_channels: int, out_channels: int, kind: Upsampling, bias: bool) -> list[nn.Module]:
    """Layers that turn a map [N, in, H, W] into [N, out, 2H, 2W]; guideline 1: the network learns how to enlarge."""
    if kind == "resize":
        return [nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)]
    kernel, extra = (4, 0) if kind == "transposed-4" else (3, 1)
    return [nn.ConvTranspose2d(in_channels, out_channels, kernel, 2, padding=1, output_padding=extra, bias=bias)]


class Discriminator(nn.Module):
    """D(x): pictures [N, C, H, W] in [-1, 1] -> logits [N]; no sigmoid, the losses want logits.

    Args:
        width: channels of the first hidden map; each map further in has twice as many, at most eight times.
        shape: (C, H, W) of the pictures.
        spectral: spectral norm (arXiv:1802.05957) on every layer, in place of BatchNorm.
        minibatch: also look at the distances between the pictures of a batch (spectral norm divides its T too).
        attention: put self-attention after the map of this many pixels a side; 0 for none.
        without: the guidelines that are taken away.
    """

    def __init__(
        self,
        width: int = 64,
        shape: tuple[int, int, int] = (3, 64, 64),
        spectral: bool = False,
        minibatch: bool = False,
        attention: int = 0,
        without: Collection[Guideline] = (),
    ) -> None:
        super().__init__()
        base, doublings = stages(shape[1])
        channels = [shape[0], *widths(width, doublings)]
        norm = not spectral and "batch-norm" not in without  # with it no convolution has a bias, as in the usual port
        layers: list[nn.Module] = []
        side = shape[1]
        for i, (in_channels, out_channels) in enumerate(pairwise(channels)):
            normed = norm and i > 0  # guideline 2: not in D's input layer
            if "strides" in without:  # guideline 1: strides, so that the network learns its own downsampling
                layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not norm), nn.MaxPool2d(2)]
            else:
                layers.append(nn.Conv2d(in_channels, out_channels, 4, 2, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(out_channels)] if normed else []
            layers.append(nn.ReLU() if "leaky-relu" in without else nn.LeakyReLU(0.2))  # guideline 5
            side //= 2
            if side == attention:
                layers.append(SelfAttention(out_channels))
        self.body = nn.Sequential(*layers)
        flat = channels[-1] * base**2
        self.closeness = MinibatchDiscrimination(flat) if minibatch else None
        self.closeness_head = nn.Linear(self.closeness.kernels, 1) if self.closeness else None
        if "all-convolutional" in without:  # guideline 3
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(flat, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1))
        else:
            self.head = nn.Sequential(nn.Conv2d(channels[-1], 1, base, bias=not norm), nn.Flatten())
        self.apply(dcgan_init)
        if spectral:
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def features(self, pictures: Tensor) -> Tensor:
        """[N, C, H, W] -> the last hidden map [N, K, base, base], which feature matching compares."""
        return self.body(pictures)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.features(pictures)
        logits = self.head(features)  # [N, 1]
        if self.closeness and self.closeness_head:  # one linear layer on [features, closeness], written as a sum
            logits = logits + self.closeness_head(self.closeness(features.flatten(1)))
        return logits.squeeze(1)
