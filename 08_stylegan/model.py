"""The two networks of chapter 08: a generator whose every layer is told its style, and a discriminator
of two kinds: chapter 02's strided convolutions, grown, or the paper's, which is chapter 07's with `--convs 2` and a blur before each halving.

Paper: Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks", arXiv:1812.04948: figure 1b
and section 2 for the generator, its appendix and the authors' code for the sizes. The equalised learning rate, the growth and the paper's
discriminator are those of arXiv:1710.10196 (ProGAN).

Both networks hold the blocks of all resolutions; a forward pass uses those up to `resolution`, and `alpha` is the weight of the newest.

Differs from paper: the "strided" discriminator and the "replicate" border are ours. The learned constant begins as N(0, 1), as
in the authors' later code (StyleGAN2); in this paper it begins as ones. Without zeros at the border, maps of ones have no differences,
and AdaIN would enlarge rounding errors. The convolutions that double or halve a map are one convolution of 4×4 with stride 2 at every resolution. That is
what resizing and a 3×3 convolution make together, with fewer products (the authors' code does it from 128×128 on). The groups of the
minibatch deviation are neighbours in the batch, so that two processes with half of a batch each have the same ones.
With the paper's sizes at 1024×1024 the generator has 26,219,627 parameters (2,101,248 of the mapping), the discriminator 23,087,249.

Shape letters: N pictures, G of a group, C colours, K channels of a map, H = W its side, D numbers in z, S numbers in w, L layers with a style (2 a resolution).
"""

from collections.abc import Collection
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import require

Part = Literal["mixing", "noise", "mapping", "norm", "blur"]  # what `--without` can take away; train.py knows "mixing"
Kind = Literal["strided", "paper"]  # of the discriminator
Border = Literal["zeros", "replicate"]  # what the generator's convolutions see beyond the border of a map
SMALLEST = 4  # pixels a side of the learned constant


def resolutions(size: int) -> list[int]:
    """4, 8, ..., size. Raises `UserError` where size is no power of two from 4 to 1024."""
    require(4 <= size <= 1024 and size & (size - 1) == 0, f"sizes must be powers of two from 4 to 1024, not {size}")
    return [2**i for i in range(2, size.bit_length())]


def channels_at(resolution: int, base: int, most: int) -> int:
    """Channels of the maps of a resolution: halved when it doubles, base / (resolution / 2), and at most `most`."""
    return max(1, min(2 * base // resolution, most))


def pixel_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean x²) over the numbers of each sample: z [N, D] -> a point on the sphere of radius sqrt(D)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def bordered(x: Tensor) -> Tensor:
    """Maps with a frame of one pixel, copied from their outermost pixels: [N, K, H, W] -> [N, K, H + 2, W + 2]."""
    # The same as F.pad(mode="replicate"), which takes twice as long in bf16, since autocast computes it in fp32.
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
    return torch.cat([x[..., :1], x, x[..., -1:]], 3)


def blur(x: Tensor, border: Border = "zeros") -> Tensor:
    """The low-pass filter [1, 2, 1] / 4 along both sides of each map, [N, K, H, W] -> the same (appendix C)."""
    row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
    x, padding = (bordered(x), 0) if border == "replicate" else (x, 1)
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


def mean_of_shifts(weight: Tensor) -> Tensor:
    """The mean of a kernel [out, in, 3, 3] laid down four times, each time one pixel further: [out, in, 4, 4].

    A 3×3 convolution and then a mean over 2×2 are one convolution of stride 2 with this kernel; doubling by nearest
    neighbour and then a 3×3 convolution are one transposed convolution of stride 2 with four times of it.
    """
    nine = torch.eye(9, device=weight.device).view(9, 1, 3, 3)  # each place of the kernel once
    shifts = F.avg_pool2d(nine, 2, stride=1, padding=1).view(9, 16)  # where it comes to lie in the larger one
    return (weight.flatten(2) @ shifts).unflatten(2, (4, 4))


class EqualLinear(nn.Linear):
    """A fully connected layer with equalised learning rate, [N, in] -> [N, out].

    The weights are N(0, 1) and are multiplied by gain / sqrt(in) whenever they are used, so that Adam moves each of them by the same
    share of its size. `lr_multiplier` m makes it learn m times as fast: stored weights begin with the standard deviation 1/m and count m times as much.
    """

    def __init__(self, in_features: int, out_features: int, gain: float = 2**0.5, lr_multiplier: float = 1.0) -> None:
        super().__init__(in_features, out_features)
        self.scale, self.lr_multiplier = gain * in_features**-0.5 * lr_multiplier, lr_multiplier
        nn.init.normal_(self.weight, 0, 1 / lr_multiplier)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


class EqualConv(nn.Module):
    """A 3×3 (or 1×1) convolution with equalised learning rate that keeps, doubles ("up") or halves ("down") the side of a map.

    With kernel 4, which goes with "down" only, all 16 numbers are free, as in chapter 02, and not the mean of 3×3 ones.
    `lr_multiplier` acts on the weights as in `EqualLinear`, and not on the bias. `border` is for 3×3 kernels, but not for "down".
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, resample: Literal["", "up", "down"] = "",
        gain: float = 2**0.5, bias: bool = True, lr_multiplier: float = 1.0, border: Border = "zeros",
    ) -> None:  # fmt: skip
        super().__init__()
        self.resample, self.border = resample, border
        self.scale = gain * (in_channels * kernel**2) ** -0.5 * lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        padding = weight.shape[-1] // 2
        if self.border == "replicate":
            x, padding = bordered(x), 0
        if self.resample == "up":  # [N, in, H, W] -> [N, out, 2H, 2W]
            kernel = 4 * mean_of_shifts(weight.flip(2, 3)).transpose(0, 1)  # conv_transpose2d flips its kernel
            return F.conv_transpose2d(x, kernel, self.bias, 2, padding=3 - 2 * padding)  # 1; or 3 to cut the frame off
        if self.resample == "down":  # [N, in, H, W] -> [N, out, H/2, W/2]
            kernel = weight if weight.shape[-1] == 4 else mean_of_shifts(weight)
            return F.conv2d(x, kernel, self.bias, 2, padding=1)
        return F.conv2d(x, weight, self.bias, padding=padding)


# ------------------------------------------------------------------------------------------------------ generator


class Mapping(nn.Sequential):
    """f: z [N, D] -> w [N, S], the style of a picture (figure 1b, left): pixel norm, then fully connected layers.

    Its layers learn at a hundredth of the learning rate (appendix C).
    """

    def __init__(self, latent_dim: int, style_dim: int, layers: int) -> None:
        sizes = [latent_dim, *[style_dim] * layers]
        parts: list[nn.Module] = []
        for in_features, out_features in pairwise(sizes):
            parts += [EqualLinear(in_features, out_features, lr_multiplier=0.01), nn.LeakyReLU(0.2)]
        super().__init__(*parts)

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(pixel_norm(z))


class AdaIN(nn.Module):
    """Eq. 1: y_s (x - mean(x)) / std(x) + y_b, mean and std of each map of each picture, y = A(w). x [N, K, H, W], w [N, S]."""

    def __init__(self, style_dim: int, channels: int, norm: bool = True) -> None:
        super().__init__()
        self.norm = norm
        self.style = EqualLinear(style_dim, 2 * channels, gain=1)  # A of figure 1b
        nn.init.constant_(self.style.bias[:channels], 1)  # scales begin around one

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, bias = self.style(w).to(x.dtype)[:, :, None, None].chunk(2, 1)  # [N, K, 1, 1] each
        if self.norm:
            x = F.group_norm(x, x.shape[1], eps=1e-8)  # instance norm: each map is its own group. Inside in fp32
        return x * scale + bias


class StyledLayer(nn.Module):
    """One layer of the synthesis network: convolution (or the constant), noise, bias, LeakyReLU, AdaIN (figure 1b, right)."""

    def __init__(
        self, conv: EqualConv | None, channels: int, style_dim: int, without: Collection[Part] = (),
        noise_rate: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv, self.without, self.noise_rate = conv, frozenset(without), noise_rate
        self.noise = nn.Parameter(torch.zeros(channels))  # B of figure 1b: how much noise each map gets, learned
        self.bias = nn.Parameter(torch.zeros(channels))
        self.adain = AdaIN(style_dim, channels, "norm" not in self.without)

    def forward(self, x: Tensor, w: Tensor, noisy: bool = True) -> Tensor:
        if self.conv:
            x = self.conv(x)
            if self.conv.resample and "blur" not in self.without:
                x = blur(x, self.conv.border)
        if noisy and "noise" not in self.without:  # one picture of noise for all maps, new in each pass: [N, 1, H, W]
            noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device).to(x.dtype)
            x = x + noise * (self.noise_rate * self.noise).to(x.dtype).view(-1, 1, 1)
        x = F.leaky_relu(x + self.bias.to(x.dtype).view(-1, 1, 1), 0.2)
        return self.adain(x, w)


class Generator(nn.Module):
    """G(z) = g(f(z)): latents z [N, D], standard normal, -> pictures [N, C, resolution, resolution]; linear output, no tanh.

    Args:
        size: pixels per side of the full pictures, a power of two.
        channels: 1 grey, 3 colour.
        latent_dim, style_dim: numbers in z and in w.
        mapping_layers: of f.
        base, most: see `channels_at`.
        without: parts to take away, to see what they are for.
        noise_rate, conv_rate: the rates of the strengths of the noise, and of the convolutions, as multiples of the learning rate.
        border: what the convolutions and blurs see beyond the border of a map.
    """

    w_mean: Tensor

    def __init__(
        self, size: int = 1024, channels: int = 3, latent_dim: int = 512, style_dim: int = 512, mapping_layers: int = 8,
        base: int = 8192, most: int = 512, without: Collection[Part] = (), noise_rate: float = 1.0,
        conv_rate: float = 1.0, border: Border = "zeros",
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.channels, self.latent_dim = size, channels, latent_dim
        if "mapping" in without:  # the styles are read from z itself
            style_dim, mapping_layers = latent_dim, 0
        self.mapping = Mapping(latent_dim, style_dim, mapping_layers)
        first = channels_at(SMALLEST, base, most)
        self.constant = nn.Parameter(torch.randn(1, first, SMALLEST, SMALLEST))  # section 2: the only input of g
        self.layers, self.to_rgb = nn.ModuleList(), nn.ModuleList()
        before = first
        for resolution in resolutions(size):  # two layers at each resolution
            width = channels_at(resolution, base, most)
            new = partial(EqualConv, bias=False, lr_multiplier=conv_rate, border=border)
            for conv in (None if resolution == SMALLEST else new(before, width, resample="up"), new(width, width)):
                self.layers.append(StyledLayer(conv, width, style_dim, without, noise_rate))
            self.to_rgb.append(EqualConv(width, channels, kernel=1, gain=1, lr_multiplier=conv_rate))
            before = width
        # The running mean of w, towards which `truncated` pulls. No parameter: nothing is learned through it.
        self.register_buffer("w_mean", torch.zeros(style_dim))

    def forward(
        self, z: Tensor, resolution: int | None = None, alpha: float = 1.0,
        other: Tensor | None = None, cut: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """z [N, D] -> pictures. With `other` [N, D] and `cut` [N], picture i takes the styles of other from layer cut_i on (mixing)."""
        w = self.mapping(z)  # [N, S]
        if self.training:
            self.w_mean.lerp_(w.detach().float().mean(0), 0.005)  # 0.995 of the old: the authors' code
        styles = self.styles(w, resolution)
        if other is not None and cut is not None:
            styles = mixed(styles, self.styles(self.mapping(other), resolution), cut)
        return self.synthesis(styles, resolution, alpha)

    def styles(self, w: Tensor, resolution: int | None = None) -> Tensor:
        """The same w for each of the layers up to a resolution: [N, S] -> [N, L, S]."""
        return w[:, None].expand(-1, 2 * len(resolutions(resolution or self.size)), -1)

    def truncated(self, w: Tensor, psi: float) -> Tensor:
        """w' = mean + psi (w - mean), appendix B; psi 0 is the mean face. Only for sampling. Differs from figure 2: in all layers."""
        return self.w_mean.lerp(w, psi)

    def synthesis(
        self, styles: Tensor, resolution: int | None = None, alpha: float = 1.0,
        noisy_layers: Collection[int] | None = None,
    ) -> Tensor:  # fmt: skip
        """g: styles [N, L, S] -> pictures [N, C, H, W]. `noisy_layers` are the numbers of the layers that get noise; default all."""
        sides = resolutions(resolution or self.size)
        x = self.constant.expand(len(styles), -1, -1, -1)
        smaller = x
        for i, layer in enumerate(self.layers[: 2 * len(sides)]):
            if i == 2 * len(sides) - 2:
                smaller = x  # the last maps of the resolution before: they fade out
            x = layer(x, styles[:, i], noisy_layers is None or i in noisy_layers)  # [N, K, H, W], H doubles at even i
        picture = self.to_rgb[len(sides) - 1](x)
        if alpha < 1:
            before = F.interpolate(self.to_rgb[len(sides) - 2](smaller), scale_factor=2.0)
            picture = torch.lerp(before.float(), picture.float(), alpha)
        return picture.float()


def mixed(styles: Tensor, others: Tensor, cut: Tensor) -> Tensor:
    """Style mixing (section 3.1): of picture i the layers before number cut_i from `styles`, the rest from `others`. [N, L, S], cut [N]."""
    first = torch.arange(styles.shape[1], device=cut.device) < cut[:, None]  # [N, L]
    return torch.where(first[:, :, None], styles, others)


# -------------------------------------------------------------------------------------------------- discriminator


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """How much the maps of a group of pictures differ, as one more map: [N, K, H, W] -> [N, K + 1, H, W] (ProGAN, section 3).

    The standard deviation over the group of each number of the maps, then the mean of all of them: one number a group.
    """
    size = next(g for g in range(min(group, len(x)), 0, -1) if len(x) % g == 0)
    grouped = x.float().unflatten(0, (-1, size))  # [N / G, G, K, H, W]; in fp32, since differences are small
    variance = (grouped - grouped.mean(1, keepdim=True)).square().mean(1)  # [N / G, K, H, W]
    deviation = (variance + 1e-8).sqrt().mean((1, 2, 3))  # [N / G]
    extra = deviation.repeat_interleave(size).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat([x, extra.to(x.dtype)], 1)


class DiscriminatorBlock(nn.Module):
    """Maps of one resolution [N, in, H, W] -> the next smaller one [N, out, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int, without: Collection[Part] = ()) -> None:
        super().__init__()
        self.blurred = "blur" not in without
        self.conv = EqualConv(in_channels, in_channels)
        self.down = EqualConv(in_channels, out_channels, resample="down")

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv(x), 0.2)
        return F.leaky_relu(self.down(blur(x) if self.blurred else x), 0.2)


class Discriminator(nn.Module):
    """D(x): pictures [N, C, H, W] in [-1, 1], H a resolution up to size, -> logits [N]; no sigmoid, no norm.

    Args:
        size, channels, base, most: as for the generator.
        without: "blur" is for the paper's kind; the other has none.
        group: pictures that minibatch deviation compares; 1 leaves it out of use (its map is then the same for all).
        kind: "paper" is chapter 07's with `--convs 2` and a blur before each halving, from 4×4 pictures on. "strided" (the default of train.py) is chapter 02's, grown, from
            8×8 on: a 4×4 convolution of stride 2 a resolution, two layers at the end (there: one), and R1 in place of spectral norm.
    """

    def __init__(
        self, size: int = 1024, channels: int = 3, base: int = 8192, most: int = 512, group: int = 4,
        without: Collection[Part] = (), kind: Kind = "paper",
    ) -> None:  # fmt: skip
        super().__init__()
        self.group = group
        widths = [channels_at(resolution, base, most) for resolution in resolutions(size)]
        least = widths[0]
        self.smallest = SMALLEST if kind == "paper" else 2 * SMALLEST  # pixels a side of the smallest pictures
        if kind == "paper":  # from_rgb keeps the side
            self.from_rgb = nn.ModuleList(EqualConv(channels, width, kernel=1) for width in widths)
            self.blocks = nn.ModuleList(DiscriminatorBlock(big, small, without) for small, big in pairwise(widths))
            head: list[nn.Module] = [EqualConv(least + 1, least), nn.LeakyReLU(0.2)]
        else:  # from_rgb halves it
            widths = widths[:-1]
            self.from_rgb = nn.ModuleList(EqualConv(channels, width, 4, "down") for width in widths)
            self.blocks = nn.ModuleList(
                nn.Sequential(EqualConv(big, small, 4, "down"), nn.LeakyReLU(0.2)) for small, big in pairwise(widths)
            )
            head = []
        # To compare left with right takes a layer that sees all places, and one more: a sum alone compares nothing.
        maps = (least if kind == "paper" else least + 1) * SMALLEST**2  # + 1: the minibatch deviation's
        head += [nn.Flatten(), EqualLinear(maps, least), nn.LeakyReLU(0.2)]
        self.head = nn.Sequential(*head, EqualLinear(least, 1, gain=1))

    def forward(self, pictures: Tensor, resolution: int | None = None, alpha: float = 1.0) -> Tensor:
        sides = [side for side in resolutions(resolution or pictures.shape[-1]) if side >= self.smallest]
        require(bool(sides), f"this discriminator sees pictures from {self.smallest}×{self.smallest} on")
        newest = len(sides) - 1  # 0 for the smallest pictures
        x = F.leaky_relu(self.from_rgb[newest](pictures), 0.2)  # [N, K, H, W], or half of the sides
        for i in range(newest - 1, -1, -1):  # blocks[i] leads from the maps of from_rgb[i + 1] to those of from_rgb[i]
            x = self.blocks[i](x)
            if i == newest - 1 and alpha < 1:  # the newest block fades in beside the smaller picture
                small = F.leaky_relu(self.from_rgb[i](F.avg_pool2d(pictures, 2)), 0.2)
                x = torch.lerp(small.to(x.dtype), x, alpha)
        return self.head(minibatch_deviation(x, self.group)).squeeze(1).float()
