"""The networks of CycleGAN: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
arXiv:1703.10593, section 4 and the appendix (7.2).

In the appendix's notation `Generator` is c7s1-64, d128, d256, R256 × 6 or 9, u128, u64, c7s1-3 (`blocks` 6 below 256
pixels, 9 from there), and the discriminator C64-C128-C256-C512 and one last convolution: the 70×70 PatchGAN. Both are
used twice, once for each direction.

Reflection padding goes around every convolution of stride 1 in the generator, as the appendix says in one line.

Differs from paper: the default is `UNet`, chapter 05's, with `BatchNorm`; fewer channels (`width` 64 is the paper's); smaller
patches by `layers`; `upsampling="resize"` for u (see `doubled`).

Shape letters: N pictures in a batch, C channels, H × W pixels, F features.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import require

Upsampling = Literal["transposed", "resize"]
Norm = Literal["batch", "instance", "none"]
STRIDE = 4  # each generator halves the sides at least twice, so they must be divisible by this


def check_size(size: int, layers: int) -> None:
    """Refuse sides that cannot be halved twice, are not from 16 to 1024, or leave a discriminator of so many `layers` fewer than 2×2 outputs."""
    least = max(16, 4 * 2**layers)
    require(
        size % STRIDE == 0 and least <= size <= 1024,
        f"--size must be divisible by {STRIDE} and lie from {least} (with this --patch) to 1024, not {size}",
    )


def default_blocks(size: int) -> int:
    """Residual blocks for pictures of this size: 9 from 256 pixels up, 6 below (section 4)."""
    return 9 if size >= 256 else 6


class BatchNorm(nn.BatchNorm2d):
    """Chapter 02's BatchNorm [N, F, H, W] -> the same, with two kinds of running averages (arXiv:1906.03950).

    A translator meets true pictures, and on the way back those that the other translator `made`. In training each batch is
    normalised by itself. Afterwards either kind has averages of its own: those of both together would fit neither.
    """

    made_mean: Tensor
    made_var: Tensor
    made = False  # which pictures come; see `tell`

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.register_buffer("made_mean", torch.zeros(features))
        self.register_buffer("made_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = (self.made_mean, self.made_var) if self.made else (self.running_mean, self.running_var)
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.momentum or 0.1, self.eps)


def tell(network: nn.Module, made: bool) -> None:
    """Say to every BatchNorm of a network whether the next pictures are made by a translator, or true ones."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            layer.made = made


def normalised(features: int, norm: Norm = "instance") -> nn.Module:
    """Instance normalisation (arXiv:1607.08022): (x - mean) / sqrt(variance + eps) over the pixels of one map.

    No scale or shift, nothing learned, nothing remembered: the same in training and at test time. Whatever is equal in all
    places of a map is gone afterwards, so a uniform map becomes 0, whatever its colour was. "batch" is `BatchNorm`:
    over the pixels of all pictures of a batch, so that a picture keeps what tells it from the others. "none" is nothing.
    """
    layers = {"batch": BatchNorm, "instance": nn.InstanceNorm2d, "none": nn.Identity}
    return layers[norm](features)


def padded(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    """A convolution of stride 1 behind reflection padding: the border is mirrored pixels, not a frame of zeros."""
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(in_channels, out_channels, kernel)]


class ResizeConv2d(nn.Conv2d):
    """Double a map by nearest neighbour, then convolve with kernel 3: [N, in, H, W] -> [N, out, 2 H, 2 W].

    Calculated as one transposed convolution, as in chapter 05: its 4×4 kernel is the sum of the 3×3 one at four places. With
    `reflect` a border of one place, repeated, is after the doubling the reflection padding of the residual generator's other
    convolutions; it is cut off at the end. Without it the border is zeros, which is twice as fast.
    """

    def __init__(self, in_channels: int, out_channels: int, reflect: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.reflect = reflect

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] < 8 and not self.reflect:  # where adding up the kernels would take longer
            return F.conv2d(F.interpolate(x, scale_factor=2), self.weight, self.bias, padding=1)
        padded = F.pad(self.weight.transpose(0, 1).flip(2, 3), (1, 1, 1, 1))  # [in, out, 5, 5]
        kernel = padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]
        if not self.reflect:
            return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)
        # As F.pad(mode="replicate"), through whose gradient torch.compile does not come where channels are last.
        x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
        x = torch.cat([x[..., :1], x, x[..., -1:]], 3)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=3)


def doubled(in_channels: int, out_channels: int, kind: Upsampling, reflect: bool = True) -> nn.Module:
    """u: what doubles a map, [N, in, H, W] -> [N, out, 2 H, 2 W]: the paper's transposed convolution, or resize and convolve.

    With kernel 3 and stride 2 a transposed convolution gives one place in four a single weight and another one four: a raster.
    """
    if kind == "resize":
        return ResizeConv2d(in_channels, out_channels, reflect)
    return nn.ConvTranspose2d(in_channels, out_channels, 3, 2, 1, output_padding=1)


class ResidualBlock(nn.Module):
    """R: x + f(x), f = two 3×3 convolutions (arXiv:1512.03385); [N, F, H, W] -> the same. No ReLU behind the sum."""

    def __init__(self, features: int, norm: Norm = "instance") -> None:
        super().__init__()
        first, second = padded(features, features, 3), padded(features, features, 3)
        self.layers = nn.Sequential(*first, normalised(features, norm), nn.ReLU(), *second, normalised(features, norm))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Generator(nn.Module):
    """G or F as in the paper: pictures of one kind [N, C, H, W] in [-1, 1] -> pictures of the other kind, the same shape and range.

    Args:
        channels: C of both kinds.
        width: channels of the layers next to the pictures; the paper's 64.
        blocks: residual blocks in the middle.
        norm: see `normalised`.
        upsampling: how a map is doubled; see `doubled`.
    """

    stride = STRIDE  # the sides of a picture are divisible by it

    def __init__(
        self, channels: int = 3, width: int = 16, blocks: int = 6, norm: Norm = "instance", upsampling: Upsampling = "transposed",
    ) -> None:  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = [*padded(channels, width, 7), normalised(width, norm), nn.ReLU()]  # c7s1-64
        for features in (2 * width, 4 * width):  # d128, d256: [N, F, H, W] -> [N, 2 F, H / 2, W / 2]
            layers += [nn.Conv2d(features // 2, features, 3, 2, 1), normalised(features, norm), nn.ReLU()]
        layers += [ResidualBlock(4 * width, norm) for _ in range(blocks)]  # R256
        for features in (2 * width, width):  # u128, u64: [N, F, H, W] -> [N, F / 2, 2 H, 2 W]
            layers += [doubled(2 * features, features, upsampling), normalised(features, norm), nn.ReLU()]
        layers += [*padded(width, channels, 7), nn.Tanh()]  # c7s1-3: no norm, which would take the colours away
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, pictures: Tensor, made: bool = False) -> Tensor:
        """`made`: the pictures come from the other translator, as on the way back."""
        tell(self, made)
        return self.layers(pictures)


class UNet(nn.Module):
    """G or F as in chapter 05: pictures of one kind [N, C, H, W] in [-1, 1] -> pictures of the other kind, the same shape and range.

    Halved again and again, then doubled as often; each layer that doubles also gets the features of its own size (the skips).
    A residual block carries information a few pixels further. Here the innermost features are one place for the whole
    drawing, and can choose one colour for its background.

    Args:
        channels: C of both kinds.
        width: features of the first layer that halves; doubled at each step down, at most 8 * width.
        size: pixels per side of the pictures that it is trained on. It is halved as often as that comes out even: 64 -> 6 times.
        norm: see `normalised`.
        upsampling: how a map is doubled; see `doubled`.
    """

    def __init__(
        self, channels: int = 3, width: int = 16, size: int = 64, norm: Norm = "batch", upsampling: Upsampling = "resize"
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride = size & -size  # the largest power of two in it: the sides of a picture are divisible by it
        steps = self.stride.bit_length() - 1
        features = [max(1, width // 2), *(width * min(2**step, 8) for step in range(steps))]  # 8, 16, 32, 64, 128, …
        self.first = nn.Conv2d(channels, features[0], 3, 1, 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for step, (fine, coarse) in enumerate(pairwise(features)):
            innermost = step == steps - 1
            after = [] if step == 0 or innermost else [normalised(coarse, norm)]  # a single place has no deviation
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(fine, coarse, 4, 2, 1), *after))
            joined = coarse if innermost else 2 * coarse  # with the skip
            up = nn.ReLU(), doubled(joined, fine, upsampling, reflect=False), normalised(fine, norm)
            self.up.insert(0, nn.Sequential(*up))
        self.to_picture = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * features[0], channels, 3, 1, 1), nn.Tanh())
        self.apply(initialise)

    def forward(self, pictures: Tensor, made: bool = False) -> Tensor:
        """`made`: the pictures come from the other translator, as on the way back."""
        tell(self, made)
        encoded = [self.first(pictures)]
        for down in self.down:
            encoded.append(down(encoded[-1]))  # [N, F, H / 2, W / 2]
        x = encoded.pop()
        for up in self.up:
            x = torch.cat([up(x), encoded.pop()], dim=1)  # [N, 2 F, 2 H, 2 W]
        return self.to_picture(x)


class Discriminator(nn.Module):
    """D_X or D_Y: pictures [N, C, H, W] in [-1, 1] -> one logit for each overlapping patch [N, 1, h, w]; no sigmoid.

    Args:
        channels: C.
        width: channels of the first layer; the paper's 64. Doubled at each layer, at most 8 · width.
        layers: layers of stride 2. A logit sees a patch of 16 × 16 pixels with 1, 34 with 2, 70 with 3 (the paper's).
        norm: see `normalised`.
    """

    def __init__(self, channels: int = 3, width: int = 16, layers: int = 3, norm: Norm = "instance") -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]  # C64: no norm here
        features = width
        for i in range(1, layers + 1):
            wider, stride = min(2**i, 8) * width, 2 if i < layers else 1  # the last has stride 1
            parts += [nn.Conv2d(features, wider, 4, stride, 1), normalised(wider, norm), nn.LeakyReLU(0.2)]
            features = wider
        self.layers = nn.Sequential(*parts, nn.Conv2d(features, 1, 4, 1, 1))
        self.apply(initialise)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)


def initialise(module: nn.Module) -> None:
    """Section 7.1: weights of all convolutions N(0, 0.02). Biases 0, as in the authors' code."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


class ImagePool:
    """Up to `size` earlier translations, which the discriminator sees again (section 4; arXiv:1612.07828).

    While fewer than `size` pictures are in it, each new one is kept and handed out. Then for each new picture a coin
    decides: the picture itself, or a kept one in its stead, whose place it takes. `size` 0 hands out what comes in.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: Tensor | None = None  # [at most size, C, H, W]

    def exchange(self, fake: Tensor, rng: torch.Generator) -> Tensor:
        """New pictures [N, C, H, W] (detached) -> as many to show the discriminator; `rng` throws the coins (on the CPU)."""
        if self.size == 0:
            return fake
        coins = torch.rand(len(fake), generator=rng).tolist()
        places = torch.randint(self.size, (len(fake),), generator=rng).tolist()
        kept = fake[:0] if self.pictures is None else self.pictures.to(fake.device)
        shown = fake.clone()
        for i, (coin, place) in enumerate(zip(coins, places, strict=True)):
            if len(kept) < self.size:
                kept = torch.cat([kept, fake[i : i + 1]])
            elif coin < 0.5:
                shown[i], kept[place] = kept[place].clone(), fake[i]
        self.pictures = kept
        return shown

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint has to keep."""
        return {} if self.pictures is None else {"pictures": self.pictures}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.pictures = state.get("pictures")
