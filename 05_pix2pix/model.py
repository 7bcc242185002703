"""The networks of chapter 05: a U-Net that turns a picture into a picture, and a judge of patches.

Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004, section 6.1:
the U-Net of 6.1.1 and the discriminators of 6.1.2. With width 64 at 256×256 both have the authors' numbers of parameters.

Convolutions have no bias where a normalisation follows, which would take it away again; nor have the first and the innermost
layer of the U-Net that halves, as in the authors' program. Differs from paper: `norm="batch"` tests with running averages ("instance" is
what the paper does with batches of one, see `norm_layer`); patch "whole" ends in one logit, where the paper's largest discriminator
has many, each with a field of 286×286; other sizes than 256 have as many steps down as they can be halved. `noise="maps"`,
`upsampling="resize"` and `full_size` are ours.

Shape letters: N pictures in a batch, C channels, H = W = size, F features.
"""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import require

Upsampling = Literal["transposed", "resize"]
PATCHES = {"16": 1, "34": 2, "70": 3, "142": 4, "286": 5}  # receptive field 9 * 2^n - 2: strided layers n


def depth(size: int) -> int:
    """Steps down from size × size to 1 × 1: 64 -> 6, 256 -> 8. Raises `UserError` for sizes other than 32, 64, 128, 256 and 512."""
    require(
        32 <= size <= 512 and size & (size - 1) == 0,
        f"--size must be 32, 64, 128, 256 or 512 (the U-Net halves it down to one pixel), not {size}",
    )
    return size.bit_length() - 1


def check_patch(patch: str, size: int) -> None:
    """Refuse a patch that leaves no logit: two layers of kernel 4 and padding 1 follow the strided ones, and take a pixel each."""
    least = 3 * 2 ** PATCHES.get(patch, 0)  # 3 places after the strided layers, then 2, then 1
    hint = "take a smaller one, or whole"
    require(size >= least, f"--patch {patch} needs pictures of at least {least} pixels, not {size}; {hint}")


class ResizeConv2d(nn.Conv2d):
    """Double a map by nearest neighbour, then convolve with kernel 3: [N, in, H, W] -> [N, out, 2 H, 2 W].

    Each place gets the sum of all nine weights, so an even map stays even, but for its border (Odena, Dumoulin, Olah, "Deconvolution and Checkerboard
    Artifacts"). Both steps together are a transposed convolution whose 4×4 kernel is the sum of the 3×3 one at four places:
    on large maps that is up to five times as fast.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] < 8:  # where adding up the kernels would take longer
            return super().forward(F.interpolate(x, scale_factor=2))
        padded = F.pad(self.weight.transpose(0, 1).flip(2, 3), (1, 1, 1, 1))  # [in, out, 5, 5]
        kernel = padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


def doubled(in_channels: int, out_channels: int, kind: Upsampling, bias: bool = False) -> nn.Module:
    """What doubles a map, [N, in, H, W] -> [N, out, 2 H, 2 W]: the paper's transposed convolution, or resize and convolve."""
    if kind == "resize":
        return ResizeConv2d(in_channels, out_channels, bias)
    return nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=bias)


def norm_layer(norm: str, features: int) -> nn.Module:
    """Subtract the mean, divide by the deviation, then scale and shift each feature. [N, F, H, W] -> the same.

    "instance": mean and deviation of each picture alone, in training and at test time. That is the paper's BatchNorm where
    its batch is 1 (it has 1 to 10, by data set), since its test uses "the statistics of the test batch" (section 3.3). "batch":
    those of the batch in training, their running average at test time, so that a picture keeps its overall colour.
    """
    return nn.InstanceNorm2d(features, affine=True) if norm == "instance" else nn.BatchNorm2d(features)


class Noise(nn.Dropout):
    """Dropout that is on at test time too: the only noise z of the generator (section 3.1). [N, F, H, W] -> the same.

    It drops single numbers, as in the paper, or with `maps` whole feature maps. The colour of a coat is one decision for all its
    places. A map that is gone everywhere can make it; numbers dropped one by one hardly change it. Backgrounds are less even for it.
    """

    def __init__(self, p: float, maps: bool = False) -> None:
        super().__init__(p)
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        drop = F.dropout2d if self.maps else F.dropout
        return drop(x, self.p, training=True)


class Generator(nn.Module):
    """G(x, z): pictures x [N, C, H, W] in [-1, 1] -> pictures [N, C, H, W] in [-1, 1]; z is the dropout.

    The encoder halves the picture down to one pixel, the decoder doubles that again. Each decoder layer also gets the encoder's
    features of its own size (the skips): they know where things are.

    Args:
        size: H = W of the pictures that it is trained on, which decides the number of layers.
        width: features of the first layer that halves; doubled at each step down, at most 8 * width.
        channels: C.
        norm: "batch" or "instance"; see `norm_layer`.
        dropout: share of what the noise drops in the decoder's first three layers (2×2, 4×4 and 8×8 places).
        noise: what it drops: single "numbers", as in the paper, or whole "maps"; see `Noise`.
        skips: False takes the skips away, for comparison: an encoder and a decoder with a bottleneck of one pixel.
        upsampling: how the decoder doubles a map; see `doubled`.
        full_size: a first and a last layer of width / 2 features at the size of the picture. The paper's finest features have half of it, 128×128. At
            64×64 those would be 32×32, and an ink line is one pixel wide.
    """

    def __init__(
        self, size: int = 64, width: int = 64, channels: int = 3, norm: str = "instance", dropout: float = 0.5,
        noise: str = "numbers", skips: bool = True, upsampling: Upsampling = "transposed", full_size: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.skips, self.noise, steps = skips, noise, depth(size)
        features = [width * min(2**step, 8) for step in range(steps)]  # next to the picture first: 64, 128, 256, …
        thin, joined = max(1, width // 2), 2 if skips else 1  # a skip doubles what a layer of the decoder gets
        before = thin if full_size else channels
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        if full_size:
            self.down.append(nn.Conv2d(channels, thin, 3, 1, 1))
        for step, out_features in enumerate(features):
            block: list[nn.Module] = [nn.LeakyReLU(0.2)] if len(self.down) else []
            block.append(nn.Conv2d(before, out_features, 4, 2, 1, bias=False))
            if 0 < step < steps - 1:  # not in the first layer (6.1.1), nor on one pixel, whose deviation would be 0
                block.append(norm_layer(norm, out_features))
            self.down.append(nn.Sequential(*block))
            before = out_features
        for i, step in enumerate(range(steps - 1, 0, -1)):  # 1×1 -> 2×2 first
            in_features = features[step] * (joined if i > 0 else 1)
            block = [nn.ReLU(), doubled(in_features, features[step - 1], upsampling)]
            block.append(norm_layer(norm, features[step - 1]))
            self.up.append(nn.Sequential(*block, *([Noise(dropout, noise == "maps")] if i < 3 else [])))
        last: nn.Module = doubled(features[0] * joined, thin if full_size else channels, upsampling, bias=not full_size)
        if full_size:
            self.up.append(nn.Sequential(nn.ReLU(), last, norm_layer(norm, thin)))
            last = nn.Conv2d(thin * joined, channels, 3, 1, 1)
        self.to_picture = nn.Sequential(nn.ReLU(), last, nn.Tanh())
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        encoded = []
        for block in self.down:
            x = block(x)  # [N, F, H / 2, W / 2]; the first one of `full_size` halves nothing
            encoded.append(x)
        encoded.pop()  # the innermost is the decoder's input, and no skip
        for block in self.up:
            x = block(x)  # [N, F, 2 H, 2 W]
            skip = encoded.pop()
            if self.skips:
                x = torch.cat([x, skip], dim=1)  # [N, 2 F, 2 H, 2 W]
        return self.to_picture(x)  # [N, C, H, W]


class Discriminator(nn.Module):
    """D(x, y): pictures x and y, each [N, C, H, W] in [-1, 1] -> logits, one for each patch: [N, 1, h, w].

    The loss averages the logits of all patches. The probability of "real" is sigmoid(logit).

    Args:
        size: H = W.
        width: features of the first layer; doubled at each layer, at most 8 * width.
        channels: C.
        norm: "batch" or "instance"; not in the first layer, nor in the last.
        patch: pixels per side that a logit sees: "1", "16", "34", "70", "142", "286", or "whole" for one logit of everything.
        blind: a mistake on purpose: x is not looked at, only y.
    """

    def __init__(
        self, size: int = 64, width: int = 64, channels: int = 3, norm: str = "instance", patch: str = "70",
        blind: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        check_patch(patch, size)
        self.blind = blind
        in_channels = channels * (1 if blind else 2)
        if patch == "1":
            plan = [(width, 1, 1, 0), (2 * width, 1, 1, 0)]  # features, kernel, stride, padding
            last = (1, 1, 0)
        elif patch == "whole":
            plan = [(width * min(2**i, 8), 4, 2, 1) for i in range(depth(size) - 2)]  # down to 4×4
            last = (4, 1, 0)
        else:
            strided = PATCHES[patch]
            plan = [(width * min(2**i, 8), 4, 2, 1) for i in range(strided)]
            plan.append((width * min(2**strided, 8), 4, 1, 1))  # stride 1, as in 6.1.2
            last = (4, 1, 1)
        layers: list[nn.Module] = []
        for i, (features, kernel, stride, padding) in enumerate(plan):
            layers.append(nn.Conv2d(in_channels, features, kernel, stride, padding, bias=i == 0))
            layers += [norm_layer(norm, features)] if i > 0 else []
            layers.append(nn.LeakyReLU(0.2))
            in_channels = features
        self.body = nn.Sequential(*layers, nn.Conv2d(in_channels, 1, *last))
        self.apply(initialise)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.body(y if self.blind else torch.cat([x, y], dim=1))  # [N, 2 C, H, W] -> [N, 1, h, w]


def half_precision(network: nn.Module) -> nn.Module:
    """A copy in 16 bits, for a file of half the size. Norms stay in 32: in long runs a variance exceeds 65,504, the most of 16 bits."""
    small = copy.deepcopy(network)
    for layer in small.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.half()
    return small


def initialise(module: nn.Module) -> None:
    """Section 6.2: weights of convolutions N(0, 0.02); scales N(1, 0.02), as in DCGAN; biases and shifts 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
