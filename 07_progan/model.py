"""The two growing networks of chapter 07.

Paper: Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196:
table 2 for the layers, figure 2 for the fade-in, section 3 for the minibatch standard deviation, section 4 for the equalised learning
rate and the pixel norm, appendix A.1 for the rest. With size 1024, channels_times_size 16384, 512 channels at most and a latent of 512 the
networks have the paper's 23.1 million parameters each (exactly 23,079,115 and 23,087,249, all toRGB and fromRGB layers counted).

ONE network holds the blocks of all sizes. A forward pass uses those up to `resolution`, and `alpha` weighs the newest of them; the others
get no gradient, and so no update. Nothing is built, copied or thrown away when the networks grow.

Differs from paper: the standard deviation is taken over groups of 4 (as in the authors' code), or of 3, 2 or 1 where the batch has no
groups of 4; channels are a setting, and so is whether a size has two convolutions, as in table 2, or one (`convs`); a convolution and
the doubling or halving beside it are computed as one (`Doubled`, `Halved`), as in the authors' code: the same function in
the generator; in the critic the mean is taken before the LeakyReLU and not behind it.

Shape letters: N pictures in a batch, C channels of a picture, K channels of a hidden map, H = W = resolution, D latent numbers, G group size.
"""

import math
from collections.abc import Collection
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import require

Part = Literal["equalised-rate", "pixel-norm", "minibatch-deviation", "fade-in", "growth"]
Convs = Literal[1, 2]  # convolutions at each size


def resolutions(size: int) -> list[int]:
    """The sizes through which the networks grow: 32 -> [4, 8, 16, 32]. Raises `UserError` for other than powers of two from 4 to 1024."""
    allowed = [2**i for i in range(2, 11)]
    require(size in allowed, f"--size must be a power of two from 4 to 1024, not {size}")
    return allowed[: allowed.index(size) + 1]


def channels(resolution: int, channels_times_size: int, most: int) -> int:
    """Channels of the maps with `resolution` pixels a side: halved when the side is doubled, `most` at most (table 2)."""
    return max(1, min(channels_times_size // resolution, most))


# ------------------------------------------------------------------------------------------------ layers


class Equalised(nn.Module):
    """A layer whose weights are N(0, 1) and are multiplied by He's constant c = gain / sqrt(fan_in) when they are used (section 4.1).

    Adam moves each weight by about its learning rate, however large the weight is. If all weights have one spread, all learn
    at one speed. Without equalisation the constant is in the initial weights, N(0, c²), and 1 later.
    """

    def __init__(self, shape: tuple[int, ...], gain: float, equalised: bool, biases: int) -> None:
        super().__init__()
        constant = gain / math.sqrt(math.prod(shape[1:]))  # fan_in: inputs of one output
        self.scale = constant if equalised else 1.0
        self.weight = nn.Parameter(torch.randn(shape) * (1.0 if equalised else constant))
        self.bias = nn.Parameter(torch.zeros(biases))

    def scaled(self) -> Tensor:
        """The weights that are used: c w, where w is the stored `weight` and c the constant of section 4.1."""
        return self.weight * self.scale


class Dense(Equalised):
    """Fully connected: [N, in] -> [N, out]."""

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2), equalised: bool = True) -> None:
        super().__init__((outputs, inputs), gain, equalised, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled(), self.bias)


class First(Equalised):
    """From the latent to the smallest map: [N, D] -> [N, K, 4, 4]. Table 2: a "4×4 convolution" of a 1×1 map, with K biases."""

    def __init__(self, latent_dim: int, out_channels: int, equalised: bool = True) -> None:
        # The gain is that of the authors' code. A quarter of the usual one: the pixel norm behind it takes it away again.
        super().__init__((out_channels * 16, latent_dim), math.sqrt(2) / 4, equalised, out_channels)

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self.scaled()).unflatten(1, (-1, 4, 4)) + self.bias.view(-1, 1, 1)


class Conv(Equalised):
    """A convolution that keeps the size: [N, in, H, W] -> [N, out, H, W], kernel 3 or 1."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, gain: float = math.sqrt(2), equalised: bool = True
    ) -> None:
        super().__init__((out_channels, in_channels, kernel, kernel), gain, equalised, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scaled(), self.bias, padding=self.weight.shape[-1] // 2)


class Doubled(Conv):
    """`Conv(upsample(x))` in one: [N, in, H, W] -> [N, out, 2H, 2W].

    After nearest-neighbour doubling each kernel place meets pixels that are equal in twos. Adding up the weights that meet the same
    pixel leaves a 4×4 stamp of stride 2 (a transposed convolution): 16 products for four pixels in place of 36.
    """

    def forward(self, x: Tensor) -> Tensor:
        stamp = overlapped(self.scaled().flip(2, 3)).transpose(0, 1)  # [in, out, 4, 4]
        return F.conv_transpose2d(x, stamp, self.bias, stride=2, padding=1)


class Halved(Conv):
    """`downsample(Conv(x))` in one: [N, in, 2H, 2W] -> [N, out, H, W], by the same stamp as a convolution of stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, overlapped(self.scaled()) / 4, self.bias, stride=2, padding=1)


def overlapped(kernel: Tensor) -> Tensor:
    """Four copies of 3×3 kernels, each shifted by a pixel, added up: [out, in, 3, 3] -> [out, in, 4, 4]."""
    once = torch.eye(3, 4, device=kernel.device)  # place i of three -> place i of four …
    twice = (once + once.roll(1, 1)).to(kernel.dtype)  # … and place i + 1
    return (kernel.flatten(2) @ torch.kron(twice, twice)).unflatten(2, (4, 4))


def upsample(x: Tensor) -> Tensor:
    """Each pixel becomes 2×2 equal ones (appendix A: element replication)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Each 2×2 pixels become their mean (appendix A: average pooling)."""
    return F.avg_pool2d(x, 2)


def pixel_norm(x: Tensor) -> Tensor:
    """b = a / sqrt(mean over channels of a² + 1e-8), at each place on its own (section 4.2): [N, K, ...] -> the same.

    It has no weights. On latents [N, D] it is the way to the hypersphere: all get the length sqrt(D).
    """
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """One more map that says how much the pictures of a group differ (section 3): [N, K, H, W] -> [N, K + 1, H, W].

    The standard deviation of each feature at each place over the G pictures of a group, averaged over features and places to
    one number. A generator that draws the same picture over and over gives itself away by a small one.
    """
    size = max(g for g in range(1, group + 1) if len(x) % g == 0)
    groups = x.float().unflatten(0, (-1, size))  # [N / G, G, K, H, W]
    variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)  # [N / G, K, H, W]
    deviation = (variance + 1e-8).sqrt().mean((1, 2, 3))  # [N / G]; 1e-8: no endless slope at 0
    deviation = deviation.repeat_interleave(size).view(-1, 1, 1, 1)  # [N, 1, 1, 1]
    return torch.cat([x, deviation.to(x.dtype).expand(-1, 1, *x.shape[2:])], 1)


# ---------------------------------------------------------------------------------------------- networks


class Grow(nn.Module):
    """A block of the generator: [N, in, H, W] -> [N, out, 2H, 2W]; of one or two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, equalised: bool, normalised: bool, convs: Convs) -> None:
        super().__init__()
        self.conv1 = Doubled(in_channels, out_channels, equalised=equalised)
        self.conv2 = Conv(out_channels, out_channels, equalised=equalised) if convs == 2 else None
        self.normalised = normalised

    def forward(self, x: Tensor) -> Tensor:
        x = active(self.conv1(x), self.normalised)
        return active(self.conv2(x), self.normalised) if self.conv2 else x


class Shrink(nn.Module):
    """A block of the critic: [N, in, 2H, 2W] -> [N, out, H, W]; of one or two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, equalised: bool, convs: Convs) -> None:
        super().__init__()
        self.conv1 = Conv(in_channels, in_channels, equalised=equalised) if convs == 2 else None
        self.conv2 = Halved(in_channels, out_channels, equalised=equalised)

    def forward(self, x: Tensor) -> Tensor:
        return active(self.conv2(active(self.conv1(x)) if self.conv1 else x))


def active(x: Tensor, normalised: bool = False) -> Tensor:
    """LeakyReLU with slope 0.2 (table 2), and in the generator the pixel norm behind it."""
    x = F.leaky_relu(x, 0.2)
    return pixel_norm(x) if normalised else x


class Generator(nn.Module):
    """G(z): latent z [N, D] -> pictures [N, C, H, W], H = W = resolution; no tanh, the output is linear.

    Args:
        latent_dim: numbers in z.
        size: the largest resolution.
        picture_channels: 1 grey, 3 colour.
        channels_times_size: a map of r pixels a side has this / r channels.
        most: channels at most, which the small maps have.
        convs: convolutions at each size, 2 as in table 2, or 1 (ours).
        without: parts of the method that are taken away, to see what they are for.
    """

    def __init__(
        self, latent_dim: int = 512, size: int = 1024, picture_channels: int = 3, channels_times_size: int = 16384,
        most: int = 512, convs: Convs = 2, without: Collection[Part] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.latent_dim, self.size, self.picture_channels = latent_dim, size, picture_channels
        self.normalised, equalised = "pixel-norm" not in without, "equalised-rate" not in without
        width = [channels(side, channels_times_size, most) for side in resolutions(size)]
        self.first = First(latent_dim, width[0], equalised)
        self.second = Conv(width[0], width[0], equalised=equalised) if convs == 2 else None
        self.blocks = nn.ModuleList(
            Grow(small, large, equalised, self.normalised, convs) for small, large in pairwise(width)
        )
        # gain 1, since no activation follows
        self.to_rgb = nn.ModuleList(Conv(k, picture_channels, kernel=1, gain=1, equalised=equalised) for k in width)

    def forward(self, z: Tensor, resolution: int, alpha: float = 1.0) -> Tensor:
        newest = len(resolutions(resolution)) - 1  # 4 -> 0, 8 -> 1, 16 -> 2
        x = active(self.first(pixel_norm(z)), self.normalised)  # [N, D] -> [N, K, 4, 4]
        x = active(self.second(x), self.normalised) if self.second else x
        for block in self.blocks[:newest]:
            before, x = x, block(x)  # [N, K, H, W] -> [N, K', 2H, 2W]
        picture = self.to_rgb[newest](x)
        if alpha < 1 and newest > 0:  # figure 2b: the picture of the smaller network, doubled, fades away
            picture = torch.lerp(upsample(self.to_rgb[newest - 1](before)), picture, alpha)
        return picture


class Critic(nn.Module):
    """f(x): pictures [N, C, H, W] in about [-1, 1], H = W = resolution -> scores [N]. The generator's mirror image.

    Args: as those of `Generator`.
    """

    def __init__(
        self, size: int = 1024, picture_channels: int = 3, channels_times_size: int = 16384, most: int = 512,
        convs: Convs = 2, without: Collection[Part] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.compares, equalised = "minibatch-deviation" not in without, "equalised-rate" not in without
        width = [channels(side, channels_times_size, most) for side in resolutions(size)]
        self.from_rgb = nn.ModuleList(Conv(picture_channels, k, kernel=1, equalised=equalised) for k in width)
        self.blocks = nn.ModuleList(Shrink(large, small, equalised, convs) for small, large in pairwise(width))
        self.second = Conv(width[0] + self.compares, width[0], equalised=equalised) if convs == 2 else None
        maps = width[0] if self.second else width[0] + self.compares
        self.first = Dense(maps * 16, width[0], equalised=equalised)  # table 2: a 4×4 convolution without padding
        self.score = Dense(width[0], 1, gain=1, equalised=equalised)

    def forward(self, pictures: Tensor, resolution: int, alpha: float = 1.0) -> Tensor:
        newest = len(resolutions(resolution)) - 1
        x = active(self.from_rgb[newest](pictures))
        for i in reversed(range(newest)):
            x = self.blocks[i](x)  # [N, K, 2H, 2W] -> [N, K', H, W]
            if alpha < 1 and i == newest - 1:  # figure 2b: what the smaller critic would have seen fades away
                x = torch.lerp(active(self.from_rgb[i](downsample(pictures))), x, alpha)
        if self.compares:
            x = minibatch_deviation(x)
        x = active(self.second(x)) if self.second else x
        x = active(self.first(x.flatten(1)))  # [N, K, 4, 4] -> [N, K]
        return self.score(x).squeeze(1)
