"""The networks of chapter 04: chapter 02's convolutions, told which class to draw and to judge, in three ways.

- "embedding": conditional GAN, Mirza and Osindero, arXiv:1411.1784, Figure 1. The label joins the input of both networks.
  Differs from paper: convolutions in place of maxout layers; G's label is a learned embedding beside z, D's a learned map
  beside the picture's channels (the paper gives each input a hidden layer of its own and joins those).
- "auxiliary": AC-GAN, Odena et al., arXiv:1610.09585, section 3. D does not get the label: a second head has to name it.
  Differs from paper: no dropout, noise or BatchNorm in D; the label joins z as a learned embedding.
- "projection": Miyato and Koyama, arXiv:1802.05637, section 3 and Figure 1d. D adds an inner product of the label's
  embedding and the pooled features; G has conditional BatchNorm. Differs from paper: DCGAN's layers in place of ResNets.

The topology is DCGAN's (arXiv:1511.06434) with a first layer that fits the size. Differs from it: no BatchNorm in D, so that
real and fake can share a forward pass (spectral normalisation, arXiv:1802.05957, takes its place); and D ends in a
convolution as large as its feature map, from which all heads read. The projection paper sums the features over all places
instead, which its deep ResNets can afford: behind two strided layers a place sees 10 of 28 pixels.

Shape letters: N pictures in a batch, C channels, H = W = size, D latent numbers, K classes, F features. Labels are int64 [N].
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from common import require

EMBEDDING_DIM = 32  # numbers that stand for a label beside z; ours: a third of the latent's


def stages(size: int) -> tuple[int, int]:
    """(base, doublings) with size = base * 2^doublings and base in 4..7: 28 -> (7, 2), 32 -> (4, 3), 64 -> (4, 4)."""
    base, doublings = size, 0
    while base > 7 and base % 2 == 0:
        base, doublings = base // 2, doublings + 1
    require(
        4 <= base <= 7 and 16 <= size <= 256,
        f"--size must be 4, 5, 6 or 7 times a power of two, from 16 to 256 (for example 28, 32, 48 or 64), not {size}",
    )
    return base, doublings


def widths(width: int, doublings: int) -> list[int]:
    """Channels from the layer next to the picture inwards: doubled at each step, at most 8 * width."""
    return [width * min(2**i, 8) for i in range(doublings)]


def look_up(table: nn.Embedding, labels: Tensor) -> Tensor:
    """Rows [N, F] of a table [K, F]: for int64 labels [N] their own, for weights [N, K] the weighted mean of all rows.

    The second form is for walks from class to class; training uses the first.
    """
    return labels @ table.weight if labels.is_floating_point() else table(labels)


class ConditionalBatchNorm2d(nn.Module):
    """BatchNorm without scale and shift, then the class's own: gain[y] * (x - mean) / std + shift[y] (arXiv:1707.00683).

    [N, F, H, W] and labels -> [N, F, H, W]. Mean and std are those of the whole batch, all classes together.
    `batch_norm=False` leaves the normalisation out.
    """

    def __init__(self, features: int, classes: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(features, affine=False) if batch_norm else nn.Identity()
        self.gain, self.shift = nn.Embedding(classes, features), nn.Embedding(classes, features)
        nn.init.ones_(self.gain.weight)  # all classes start alike
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        gain, shift = (look_up(table, labels)[:, :, None, None] for table in (self.gain, self.shift))  # [N, F, 1, 1]
        return gain * self.normalise(x) + shift


class Generator(nn.Module):
    """G(z, y): latent z [N, D], standard normal, and labels [N] -> pictures [N, C, H, W] in [-1, 1].

    Args:
        condition: "projection" puts the label into every BatchNorm; "embedding" and "auxiliary" put it beside z.
        classes: K.
        latent_dim: D.
        width: channels of the layer next to the picture.
        shape: (C, H, W) of the pictures.
        batch_norm: normalise over the batch; without it a layer keeps only its scale and shift, or its bias.
    """

    def __init__(
        self,
        condition: str = "projection",
        classes: int = 10,
        latent_dim: int = 100,
        width: int = 32,
        shape: tuple[int, int, int] = (1, 28, 28),
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.latent_dim, self.classes, self.shape = latent_dim, classes, shape
        in_channels = latent_dim
        self.embed = None
        if condition != "projection":
            self.embed = nn.Embedding(classes, EMBEDDING_DIM)  # starts as N(0, 1), the scale of z
            in_channels += EMBEDDING_DIM
        base, doublings = stages(shape[-1])
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        bias = not batch_norm and condition != "projection"  # elsewhere the shift stands in for it
        for i, out_channels in enumerate(reversed(widths(width, doublings))):
            up = (base, 1, 0) if i == 0 else (4, 2, 1)  # kernel, stride, padding: 1×1 -> base×base, then doubled
            self.convs.append(nn.ConvTranspose2d(in_channels, out_channels, *up, bias=bias))
            if condition == "projection":
                self.norms.append(ConditionalBatchNorm2d(out_channels, classes, batch_norm))
            else:
                self.norms.append(nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity())
            in_channels = out_channels
        self.to_picture = nn.ConvTranspose2d(in_channels, shape[0], 4, 2, 1)
        self.apply(initialise)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = z if self.embed is None else torch.cat([z, look_up(self.embed, labels)], dim=1)
        x = x[:, :, None, None]  # [N, D] -> [N, D, 1, 1]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x)  # [N, F, base * 2^i, base * 2^i]
            x = norm(x, labels) if isinstance(norm, ConditionalBatchNorm2d) else norm(x)
            x = torch.relu(x)
        return torch.tanh(self.to_picture(x))  # [N, C, H, W]


class Discriminator(nn.Module):
    """D(x, y): pictures [N, C, H, W] in [-1, 1] and labels [N] -> logits [N], and class logits [N, K] or None.

    The probability of "real" is sigmoid(logit). Only "auxiliary" returns class logits; no softmax, the loss has its own.

    Args:
        condition: where the label enters; "blind" does not look at it.
        classes: K.
        width: channels of the layer next to the picture.
        shape: (C, H, W) of the pictures.
        pool: how features that stand at base × base places become one list: a "convolution" as large as that, or their "sum".
        spectral: divide each weight by its largest singular value, estimated anew in each training forward pass.
    """

    def __init__(
        self,
        condition: str = "projection",
        classes: int = 10,
        width: int = 32,
        shape: tuple[int, int, int] = (1, 28, 28),
        pool: str = "convolution",
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.condition, self.classes = condition, classes
        channels, size, _ = shape
        base, doublings = stages(size)
        layers: list[nn.Module] = []
        in_channels = channels + (condition == "embedding")
        for out_channels in widths(width, doublings):
            layers += [nn.Conv2d(in_channels, out_channels, 4, 2, 1), nn.LeakyReLU(0.2)]
            in_channels = out_channels
        if pool == "convolution":
            layers += [nn.Conv2d(in_channels, 2 * in_channels, base), nn.LeakyReLU(0.2)]  # -> [N, F, 1, 1]
            in_channels *= 2
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(in_channels, 1)  # psi of the projection paper
        if condition == "embedding":
            self.label_map = nn.Embedding(classes, size * size)
        elif condition == "auxiliary":
            self.class_head = nn.Linear(in_channels, classes)
        elif condition == "projection":
            self.embed = nn.Embedding(classes, in_channels)
        self.apply(initialise)
        if spectral:  # not for label_map: it is an input like the picture, not a weight that multiplies one
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear) or module is getattr(self, "embed", None):
                    spectral_norm(module)

    def forward(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.condition == "embedding":
            label_map = self.label_map(labels).view(-1, 1, *pictures.shape[2:])  # [N, H*W] -> [N, 1, H, W]
            pictures = torch.cat([pictures, label_map], dim=1)  # [N, C + 1, H, W]
        features = self.body(pictures).sum((2, 3))  # phi(x): [N, F, h, w] -> [N, F]; after a convolution h = w = 1
        logits = self.head(features).squeeze(1)  # [N, 1] -> [N]
        class_logits = None
        if self.condition == "auxiliary":
            class_logits = self.class_head(features)  # [N, K]
        elif self.condition == "projection":
            logits = logits + (self.embed(labels) * features).sum(1)  # + v_y · phi(x)
        return logits, class_logits


def initialise(module: nn.Module) -> None:
    """DCGAN's start: weights of convolutions and linear maps N(0, 0.02), scales of BatchNorm N(1, 0.02), biases and shifts 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
