"""The two convolutional networks of chapter 03: a generator, and a critic that scores pictures.

Paper: Gulrajani et al., "Improved Training of Wasserstein GANs", arXiv:1704.00028 (WGAN-GP), after Arjovsky et al.,
"Wasserstein GAN", arXiv:1701.07875 (WGAN). The topology is that of DCGAN, arXiv:1511.06434, which both papers use.

The critic differs from a discriminator in two places: its output is a score without bounds and never a probability, and it
has no BatchNorm. The penalty asks for the gradient of each picture's own score (section 4 of arXiv:1704.00028); BatchNorm
would mix the pictures of a batch into it.

Differs from paper: one or two layers fewer, so that digits are drawn at their own 28×28, and PyTorch's initial weights.
`--critic-norm layer` is GroupNorm with one group: it normalises each picture over C, H and W as LayerNorm does, with one
scale and shift for each channel in place of one for each of the C*H*W numbers, so that it fits any size.

Shape letters: N pictures in a batch, C channels, H = W = size, D latent numbers.
"""

from itertools import pairwise

from torch import Tensor, nn

from common import require


def stages(size: int) -> tuple[int, int]:
    """(base, doublings) with size = base * 2**doublings and base 4, 5, 6 or 7; raises `UserError` for other sizes."""
    base, doublings = size, 0
    while base > 7 and base % 2 == 0:
        base, doublings = base // 2, doublings + 1
    require(
        4 <= base <= 7 and 16 <= size <= 256,
        f"--size must be 4, 5, 6 or 7 times a power of two, from 16 to 256 (for example 28, 32, 48 or 64), not {size}",
    )
    return base, doublings


def widths(width: int, doublings: int) -> list[int]:
    """Channels of the hidden layers, from the one next to the picture inwards: doubled each time, at most 8 * width."""
    return [width * min(2**i, 8) for i in range(doublings)]


class Generator(nn.Module):
    """G(z): latent z [N, D], standard normal, -> pictures [N, C, H, W] in [-1, 1].

    Args:
        latent_dim: numbers in z.
        width: channels of the layer next to the picture; doubled at each step inwards, at most 8 * width.
        shape: (C, H, W) of the pictures.
        batch_norm: normalise each hidden layer over the batch. Here it is allowed: no penalty looks at the generator.
    """

    def __init__(
        self,
        latent_dim: int = 128,
        width: int = 32,
        shape: tuple[int, int, int] = (1, 28, 28),
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.latent_dim, self.shape = latent_dim, shape
        base, doublings = stages(shape[-1])
        channels = [latent_dim, *reversed(widths(width, doublings))]
        layers: list[nn.Module] = []
        for i, (in_channels, out_channels) in enumerate(pairwise(channels)):
            kernel, stride, padding = (base, 1, 0) if i == 0 else (4, 2, 1)  # 1×1 -> base×base, then twice the size
            layers.append(nn.ConvTranspose2d(in_channels, out_channels, kernel, stride, padding, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU())
        last = nn.ConvTranspose2d(channels[-1], shape[0], 4, stride=2, padding=1)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])  # [N, D] -> [N, D, 1, 1] -> [N, C, H, W]


class Critic(nn.Module):
    """f(x): pictures [N, C, H, W] in [-1, 1] -> scores [N], any real number; only differences of scores mean something.

    Args:
        width: channels of the layer next to the picture; doubled at each step inwards, at most 8 * width.
        shape: (C, H, W) of the pictures.
        norm: "layer" normalises each picture on its own (see above), "none" does nothing. There is no "batch".
    """

    def __init__(self, width: int = 32, shape: tuple[int, int, int] = (1, 28, 28), norm: str = "layer") -> None:
        super().__init__()
        base, doublings = stages(shape[-1])
        channels = [shape[0], *widths(width, doublings)]
        layers: list[nn.Module] = []
        for i, (in_channels, out_channels) in enumerate(pairwise(channels)):
            normed = norm == "layer" and i > 0  # as in DCGAN, not on the layer that sees the picture
            # Half the size; no bias where a norm brings its own
            layers.append(nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=not normed))
            if normed:
                layers.append(nn.GroupNorm(1, out_channels))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, base))  # base×base -> 1×1, and no sigmoid

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures).flatten()  # [N, C, H, W] -> [N, 1, 1, 1] -> [N]
