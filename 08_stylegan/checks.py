"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model
import train
from common.checks import NotYet, answered, check, check_choice, check_number, copy_weights, on_cases

DIM, WIDTH, LAYERS = 12, 6, 8  # numbers in w, maps of a layer, and layers of the networks that are compared


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _biased(network: nn.Module, size: float = 1.0) -> nn.Module:
    """The network with biases that are not zero, so that it matters where they are added."""
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight, 0.5, size)
    return network


# ---------------------------------------------------------------------------------------------------------- mapping


def pixel_norm(answer: Any) -> None:
    """Step 1: each row has a mean square of one."""
    mistakes = {
        "that divides by the root of the sum: it is the mean of the squares": lambda z: F.normalize(z, dim=1),
        "one mean for the whole batch: each row has its own": lambda z: z / z.square().mean().sqrt(),
        "the mean is over the batch: it is over the numbers of a row, dim=1": lambda z: z / z.square().mean(0).sqrt(),
        "the root is missing": lambda z: z / z.square().mean(1, keepdim=True),
        "nothing is subtracted here: the mean of the squares, not the deviation": lambda z: (
            (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True, unbiased=False)
        ),
    }
    cases = [((3 * _draw(5, 7, seed=i) + 1).requires_grad_(),) for i in (0, 1)]
    check(answer, model.pixel_norm, on_cases(cases), mistakes, "z.square().mean(1, keepdim=True), and its root.")


class _Mapping(model.Mapping):
    def __init__(self, dim: int = DIM, depth: int = 3) -> None:
        super().__init__(dim, dim, depth)


def mapping(answer: Any) -> None:
    """Step 2: the same w as the chapter's network from the same weights."""

    def pattern() -> nn.Module:
        return _biased(_Mapping(), 100)  # they count a hundredth

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(DIM, 3)
        copy_weights(network, pattern)
        return {"w": network(5 * _draw(8, DIM))}

    def faster(network: nn.Module) -> None:
        for layer in network.modules():
            if isinstance(layer, model.EqualLinear):
                layer.scale, layer.lr_multiplier = 100 * layer.scale, 1.0

    class Fast(_Mapping):
        def __init__(self, dim: int, depth: int) -> None:
            super().__init__(dim, depth)
            faster(self)

    class Raw(_Mapping):
        def forward(self, z: Tensor) -> Tensor:
            return nn.Sequential.forward(self, z)

    class Short(_Mapping):
        def forward(self, z: Tensor) -> Tensor:
            return nn.Sequential.forward(self, F.normalize(z, dim=1))

    class Open(_Mapping):
        def forward(self, z: Tensor) -> Tensor:
            x = model.pixel_norm(z)
            for layer in list(self)[:-1]:
                x = layer(x)
            return x

    class Straight(_Mapping):
        def forward(self, z: Tensor) -> Tensor:
            x = model.pixel_norm(z)
            for layer in list(self)[::2]:
                x = layer(x)
            return x

    class Flat(_Mapping):
        def forward(self, z: Tensor) -> Tensor:
            x = model.pixel_norm(z)
            for layer in list(self)[::2]:
                x = F.relu(layer(x))
            return x

    class Plain(_Mapping):
        def forward(self, z: Tensor) -> Tensor:
            x = model.pixel_norm(z)
            for layer in list(self)[::2]:
                x = F.leaky_relu(F.linear(x, layer.weight, layer.bias), 0.2)  # type: ignore[arg-type]
            return x

    mistakes = {
        "lr_multiplier=0.01 is missing: these layers learn a hundred times more slowly": Fast,
        "pixel_norm is missing: z comes onto the sphere first": Raw,
        "z has a length of one: divide by the root of the mean square, as in step 1": Short,
        "the last LeakyReLU is missing: there is one behind each layer": Open,
        "the activations are missing: without them all layers are one": Straight,
        "that is a ReLU: here it is LeakyReLU(0.2)": Flat,
        "plain linear layers: EqualLinear scales its weights when it uses them": Plain,
    }
    check(answer, _Mapping, experiment, mistakes, "pixel_norm, then EqualLinear and LeakyReLU(0.2) in turn.")


def mapping_size(answer: Any) -> None:
    """Step 3: the parameters of the default run's mapping network."""
    hint = "Each layer has 128 · 128 weights and 128 biases."
    check_number(answer, _parameters(model.Mapping(128, 128, 4)), tolerance=1e-6, hint=hint)


def published(w_mean: Tensor, w: Tensor) -> Tensor:
    """The running mean with the bug."""
    return 0.995 * w_mean + 0.005 * w.mean(0)


def running_mean(answer: Any) -> None:
    """Step 4: the values of several steps, and whether they drag a graph along."""

    def right(w_mean: Tensor, w: Tensor) -> Tensor:
        return published(w_mean, w.detach())

    def experiment(function: Any) -> dict[str, Any]:
        weight, w_mean = torch.ones(4, requires_grad=True), torch.zeros(4)
        for seed in range(5):
            w_mean = function(w_mean, _draw(8, 4, seed=seed) * weight + 1)
            if not isinstance(w_mean, Tensor):
                raise NotYet("your code returns nothing: a `return` is missing")
        if w_mean.requires_grad:
            raise NotYet("a gradient still flows through the mean, so the graph of every step is kept")
        return {"mean": w_mean}

    mistakes = {
        "old and new are swapped: 0.995 of the old mean stays": lambda m, w: 0.005 * m + 0.995 * w.detach().mean(0),
        "one mean of all numbers: each number of w has its own, mean(0)": lambda m, w: right(m, w.mean().expand(1, 4)),
        "the old mean is gone: it is a running one": lambda m, w: w.detach().mean(0),
    }
    check(answer, right, experiment, mistakes, "The values were right as they were.")


# ------------------------------------------------------------------------------------------------------------ style


def _adain(
    x: Tensor, y_s: Tensor, y_b: Tensor, dims: tuple[int, ...] = (2, 3), unbiased: bool = False, epsilon: float = 1e-8
) -> Tensor:
    mean, variance = x.mean(dims, keepdim=True), x.var(dims, keepdim=True, unbiased=unbiased)
    return y_s[:, :, None, None] * (x - mean) / (variance + epsilon).sqrt() + y_b[:, :, None, None]


def adain(answer: Any) -> None:
    """Step 5: Eq. 1, against PyTorch's instance normalisation."""

    def right(x: Tensor, y_s: Tensor, y_b: Tensor) -> Tensor:
        return F.instance_norm(x, eps=1e-8) * y_s[:, :, None, None] + y_b[:, :, None, None]

    mistakes = {
        "mean and deviation are those of a batch, as in BatchNorm: here each picture has its own": partial(_adain, dims=(0, 2, 3)),
        "one mean for all maps of a picture: each map has its own, dim=(2, 3)": partial(_adain, dims=(1, 2, 3)),
        "the deviation is over the maps: it is over the places, dim=(2, 3)": partial(_adain, dims=(1,)),
        "divided by one place too few: unbiased=False": partial(_adain, unbiased=True),
        "scale and bias are swapped: y_s multiplies": lambda x, s, b: right(x, b, s),
        "divided by the variance: its root is missing": lambda x, s, b: (
            s[:, :, None, None] * (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-8) + b[:, :, None, None]
        ),
        "the mean is not taken away": lambda x, s, b: (
            s[:, :, None, None] * x / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-8).sqrt() + b[:, :, None, None]
        ),
        "the bias is scaled, too: it is added at the end": lambda x, s, b: right(x, s, s * b),
        "1e-8 belongs under the root, beside the variance": lambda x, s, b: (
            s[:, :, None, None] * (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True, unbiased=False) + 1e-8) + b[:, :, None, None]
        ),
        "1e-8 is missing: a map that is the same everywhere becomes 0 / 0": partial(_adain, epsilon=0.0),
    }  # fmt: skip
    cases = [(5 * _draw(n, 3, 8, 8, seed=n) + 2, _draw(n, 3, seed=7), _draw(n, 3, seed=8)) for n in (2, 4)]
    cases += [(torch.full((2, 3, 8, 8), 0.5), *cases[0][1:]), (1e-4 * cases[0][0], *cases[0][1:])]  # flat, and faint
    check(answer, right, on_cases(cases), mistakes, "Mean and deviation of each map of each picture.", tolerance=1e-4)


def style(answer: Any) -> None:
    """Step 6: a new layer, and one with other biases."""

    def pattern() -> nn.Module:
        return _biased(model.AdaIN(DIM, WIDTH))

    def experiment(kind: Any) -> dict[str, Any]:
        x, w = 3 * _draw(4, WIDTH, 5, 5) + 1, _draw(4, DIM, seed=1)
        layer = kind(DIM, WIDTH)
        copy_weights(layer, lambda: model.AdaIN(DIM, WIDTH))
        fresh = kind(DIM, WIDTH)
        biases = [weight for name, weight in fresh.named_parameters() if name.endswith("bias")]
        found = {"bias at the start": biases[0].clone(), "maps of a new layer": layer(x, w)}
        copy_weights(layer, pattern)
        return found | {"maps": layer(x, w)}

    class Wrong(model.AdaIN):
        def __init__(self, dim: int, channels: int) -> None:
            super().__init__(dim, channels)
            self.change()

        def change(self) -> None: ...

    class Zero(Wrong):
        def change(self) -> None:
            nn.init.zeros_(self.style.bias)

    class Ones(Wrong):
        def change(self) -> None:
            nn.init.ones_(self.style.bias)

    class Second(Wrong):
        def change(self) -> None:
            self.style.bias.data = self.style.bias.data.flip(0)

    class Loud(Wrong):
        def change(self) -> None:
            self.style.scale *= 2**0.5

    class Swapped(Wrong):
        def forward(self, x: Tensor, w: Tensor) -> Tensor:
            return _adain(x, *self.style(w).chunk(2, 1)[::-1])

    class Turns(Wrong):
        def forward(self, x: Tensor, w: Tensor) -> Tensor:
            y = self.style(w)
            return _adain(x, y[:, ::2], y[:, 1::2])

    mistakes = {
        "the first K biases of style begin at one, so that scales do": Zero,
        "all biases begin at one: only the first K, those of the scales": Ones,
        "the last K biases begin at one: the scales are the first K": Second,
        "gain=1 is missing: EqualLinear's own is for layers with an activation": Loud,
        "the first K numbers are the scales, the last K the biases": Swapped,
        "scales and biases in turn: the first K numbers are the scales, the last K the biases": Turns,
    }
    check(answer, model.AdaIN, experiment, mistakes, "style(w), cut in two, and your adain.", tolerance=1e-4)


# ------------------------------------------------------------------------------------------------------------ layer


def noisy(answer: Any) -> None:
    """Step 7: what the noise is like, since its numbers are chance."""
    x, strength = _draw(2, 3, 60, 60), torch.tensor([0.5, -1.0, 2.0])

    def experiment(function: Any) -> dict[str, Any]:
        first, second = (torch.as_tensor(function(x.clone(), strength)) for _ in range(2))
        if first.shape != x.shape:
            raise NotYet(f"your maps have the shape {tuple(first.shape)}, not {tuple(x.shape)}")
        noise = (first - x) / strength[:, None, None]
        if noise.abs().max() < 1e-6:
            raise NotYet("nothing was added to x")
        if torch.equal(first, second):
            raise NotYet("the same noise each time: draw it at random, in each call")
        if (noise[0] - noise[1]).abs().mean() < 0.1:
            raise NotYet("all pictures get the same noise: each has its own, [N, 1, H, W]")
        if min(noise.std((0, 1, 2)).min(), noise.std((0, 1, 3)).min(), noise.std((2, 3)).min()) < 0.2:
            raise NotYet("the noise is the same at several places: each place has its own number")
        if (torch.corrcoef(noise[0].flatten(1)) < 0.5).any() and noise.std() < 1.2:
            raise NotYet("each map gets noise of its own: one picture of noise serves all maps")
        if (noise.var(1) > 1e-6).any():
            raise NotYet("the maps' noise differs by more than its strength: b_i is one number for each map")
        return {"noise's mean": noise[:, 0].mean(), "noise's deviation": noise[:, 0].std()}

    def right(x: Tensor, strength: Tensor) -> Tensor:
        return x + strength[:, None, None] * torch.randn(len(x), 1, *x.shape[2:])

    mistakes = {
        "that is uniform noise from 0 to 1: torch.randn draws normal numbers": lambda x, s: (
            x + s[:, None, None] * torch.rand(len(x), 1, *x.shape[2:])
        )
    }
    check(answer, right, experiment, mistakes, "torch.randn(len(x), 1, height, width).", tolerance=0.08)


def slope(answer: Any) -> None:
    """Step 8: the difference of two pixels, by the chapter's filter."""
    impulse = torch.zeros(1, 1, 12, 12)
    impulse[:, :, :, 5] = 1.0
    found = model.blur(F.interpolate(impulse, scale_factor=2.0))[0, 0, 12]
    check_number(answer, (found[10] - found[9]).item(), hint="Pixel 9 sees one of the two ones, pixel 10 sees both.")


class _Layer(model.StyledLayer):
    """The chapter's layer, in the learner's signature."""

    def __init__(self, conv: Any, channels: int, dim: int) -> None:
        super().__init__(conv, channels, dim)


def styled_layer(answer: Any, own_noisy: Any) -> None:
    """Step 9: a layer with a convolution and one without, with the learner's noise and without."""
    if not answered(answer, own_noisy):
        return

    def make(kind: Any, with_conv: bool) -> Any:
        layer = kind(model.EqualConv(4, WIDTH, bias=False) if with_conv else None, WIDTH, DIM)
        return layer

    def experiment(kind: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        fresh = make(kind, True)
        for name, weight in fresh.named_parameters():
            if weight.ndim == 1 and name.count(".") == 0:
                found[f"{name} at the start"] = weight.clone()
        for with_conv, words in ((True, ""), (False, " without a convolution")):
            x, w = 2 * _draw(4, 4 if with_conv else WIDTH, 6, 6) + 1, _draw(4, DIM, seed=1)
            layer = make(kind, with_conv)

            def pattern(with_conv: bool = with_conv) -> nn.Module:
                pattern = _biased(make(_Layer, with_conv))
                nn.init.normal_(pattern.get_parameter("noise"), 1.0, 1.0)
                return pattern

            copy_weights(layer, pattern)
            found[f"maps without noise{words}"] = layer(x, w, False)
            torch.manual_seed(2)
            found[f"maps{words}"] = layer(x, w)
        return found

    def ordered(*steps: str) -> type[_Layer]:
        class Wrong(_Layer):
            def forward(self, x: Tensor, w: Tensor, noise: bool = True) -> Tensor:
                x = self.conv(x) if self.conv else x
                for step in steps:
                    if step == "noise" and noise:
                        x = own_noisy(x, self.noise)
                    if step == "bias":
                        x = x + self.bias[:, None, None]
                    if step in ("leaky", "relu", "twice"):
                        x = F.leaky_relu(x, {"leaky": 0.2, "relu": 0.0, "twice": 0.01}[step])
                    if step == "adain":
                        x = self.adain(x, w)
                return x

        return Wrong

    right = ordered("noise", "bias", "leaky", "adain")

    class Deaf(right):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor, w: Tensor, noise: bool = True) -> Tensor:
            result: Tensor = super().forward(x, w, False)
            return result

    class Always(right):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor, w: Tensor, noise: bool = True) -> Tensor:
            result: Tensor = super().forward(x, w, True)
            return result

    mistakes = {
        "there is no noise": Deaf,
        "noise comes even where it is False": Always,
        "the noise comes behind the activation: it comes before, right after the convolution": ordered("bias", "leaky", "noise", "adain"),
        "the noise comes behind AdaIN: it comes right after the convolution": ordered("bias", "leaky", "adain", "noise"),
        "AdaIN comes before the activation: it is the last": ordered("noise", "bias", "adain", "leaky"),
        "AdaIN comes first: it is the last": ordered("adain", "noise", "bias", "leaky"),
        "the bias is missing, or comes where AdaIN takes it away again: it comes before the activation": ordered("noise", "leaky", "adain"),
        "the activation is missing": ordered("noise", "bias", "adain"),
        "AdaIN is missing": ordered("noise", "bias", "leaky"),
        "that is a ReLU: here it is LeakyReLU with the slope 0.2": ordered("noise", "bias", "relu", "adain"),
        "the slope is 0.2: PyTorch's own is 0.01": ordered("noise", "bias", "twice", "adain"),
    }  # fmt: skip
    check(answer, right, experiment, mistakes, "Convolution, noise, bias, LeakyReLU(0.2), AdaIN.", tolerance=1e-4)


# --------------------------------------------------------------------------------------------------------- two styles


def mixed(answer: Any) -> None:
    """Step 10: each cut from 0 to L."""
    right = model.mixed
    mistakes = {
        "one layer too many from `styles`: layer number cut takes its style from `others`": lambda s, o, c: right(s, o, c + 1),
        "the other way around: the layers before the cut are from `styles`": lambda s, o, c: right(o, s, c),
        "all pictures are cut at one place: each has its own": lambda s, o, c: right(s, o, c[:1].expand(len(c))),
        "only layer number cut is exchanged: it and all behind it": lambda s, o, c: torch.where(
            (torch.arange(s.shape[1]) == c[:, None])[:, :, None], o, s
        ),
    }  # fmt: skip
    cases = [(_draw(6, 5, 3, seed=i), _draw(6, 5, 3, seed=i + 1), torch.arange(6).roll(i)) for i in (1, 3)]
    check(answer, right, on_cases(cases), mistakes, "Compare the layers' numbers with cut[:, None].")


def cuts(answer: Any) -> None:
    """Step 11: how often each layer is chosen."""
    n, layers, share = 40_000, 6, 0.4

    def right(n: int, layers: int, share: float) -> Tensor:
        return torch.where(torch.rand(n) < share, torch.randint(1, layers, (n,)), layers)

    def experiment(function: Any) -> dict[str, Any]:
        drawn = [torch.as_tensor(function(n, layers, share)) for _ in range(2)]
        if drawn[0].shape != (n,):
            raise NotYet(f"your cuts have the shape {tuple(drawn[0].shape)}, not ({n},)")
        if drawn[0].is_floating_point():
            raise NotYet("cuts are whole numbers, of the type int64")
        if torch.equal(*drawn):
            raise NotYet("the same cuts each time: draw them at random")
        if drawn[0].min() < 1:
            raise NotYet("a cut before layer 0 leaves one style, the other one: the smallest cut is 1")
        if drawn[0].max() > layers:
            raise NotYet(f"a cut beyond {layers}: there are {layers} layers")
        return {"frequencies of the cuts": drawn[0].bincount(minlength=layers + 1) / n}

    mistakes = {
        "the share is the other one: those that are *not* mixed get L": lambda n, m, p: right(n, m, 1 - p),
        "every picture is mixed: only a share of them": lambda n, m, p: right(n, m, 1),
        "no picture is mixed": lambda n, m, p: right(n, m, 0),
        "the cut of a mixed picture can be L, which mixes nothing: at most L - 1": lambda n, m, p: torch.where(
            torch.rand(n) < p, torch.randint(1, m + 1, (n,)), m
        ),
        "all or none: each picture has its own chance": lambda n, m, p: right(n, m, float(torch.rand(1) < p)),
        "the layer L - 1 is never chosen: randint's `high` is not drawn": lambda n, m, p: torch.where(
            torch.rand(n) < p, torch.randint(1, m - 1, (n,)), m
        ),
    }
    check(answer, right, experiment, mistakes, tolerance=0.015)


class _Generator(nn.Module):
    """The chapter's generator at 32×32, with its layers in the order of the exercise."""

    def __init__(self, dim: int = DIM, width: int = WIDTH) -> None:
        super().__init__()
        # Not a layer of this one: its own parts are, in its order
        self.chapters = [model.Generator(32, 3, dim, dim, 2, 256, width, conv_rate=10.0, border="replicate")]
        inside = self.chapters[0]
        self.constant, self.mapping, self.layers, self.last = (
            inside.constant, inside.mapping, inside.layers, inside.to_rgb[-1],
        )  # fmt: skip

    @property
    def mean(self) -> Tensor:
        return self.chapters[0].w_mean

    def forward(self, z: Tensor, other: Tensor | None = None, cut: Tensor | None = None) -> Tensor:
        self.chapters[0].train(self.training)
        pictures: Tensor = self.chapters[0](z, None, 1.0, other, cut)
        return pictures


def _lively() -> _Generator:
    """The pattern with biases that are not zero."""
    network = _Generator()
    for name, weight in network.layers.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight, 0.5, 0.5)
    return network


def generator(answer: Any) -> None:
    """Step 12: the same pictures as the chapter's generator, and the same running mean."""
    z, other, cut = _draw(9, DIM), _draw(9, DIM, seed=1), torch.arange(9)

    def mean_of(network: Any) -> Tensor:
        mean: Tensor = network.mean if isinstance(network, _Generator) else network.w_mean
        return mean

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(DIM, WIDTH)
        copy_weights(network, _lively)
        found = {"pictures of one style": network(z)}
        found["w_mean after a step of training, a hundred times,"] = 100 * mean_of(network).clone()
        if mean_of(network).requires_grad:
            raise NotYet("w_mean has a graph: write into it with self.w_mean.copy_(…), after your running_mean")
        found["pictures of two styles"] = network(z, other, cut)
        network.eval()
        kept = mean_of(network).clone()
        found["pictures in eval mode"] = network(z)
        if kind is answer and not torch.equal(kept, mean_of(network)):
            raise NotYet("w_mean moves in eval mode: only while self.training")
        return found

    class Wrong(_Generator):
        def forward(self, z: Tensor, other: Tensor | None = None, cut: Tensor | None = None) -> Tensor:
            return self.wrong(self.chapters[0].train(self.training), z, other, cut)

        def wrong(self, inside: model.Generator, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            raise NotImplementedError

    class Single(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            pictures: Tensor = inside(z)
            return pictures

    class Swapped(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            if other is None:
                pictures: Tensor = inside(z)
            else:
                pictures = inside.eval()(other, None, 1.0, z, cut)
            return pictures

    class Direct(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            pictures: Tensor = inside(z)
            if other is not None and cut is not None:
                styles = model.mixed(inside.styles(inside.mapping(z)), inside.styles(other), cut)
                pictures = inside.synthesis(styles)
            return pictures

    class Bounded(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            pictures: Tensor = inside(z, None, 1.0, other, cut)
            return pictures.tanh()

    class Unread(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            styles = inside.styles(z)
            if self.training:
                inside.w_mean.copy_(0.995 * inside.w_mean + 0.005 * inside.mapping(z).detach().mean(0))
            if other is not None and cut is not None:
                styles = model.mixed(styles, inside.styles(other), cut)
            pictures: Tensor = inside.synthesis(styles)
            return pictures

    class Still(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            pictures: Tensor = inside.eval()(z, None, 1.0, other, cut)
            return pictures

    class One(Wrong):
        def wrong(self, inside: Any, z: Tensor, other: Tensor | None, cut: Tensor | None) -> Tensor:
            inside(z)
            styles = inside.styles(inside.mapping(z))
            if other is not None and cut is not None:
                styles = model.mixed(styles, inside.styles(inside.mapping(other)), cut)
            pictures: Tensor = inside.synthesis(styles[:, :1].expand(-1, LAYERS, -1))
            return pictures

    mistakes = {
        "`other` is not used: mix the styles at `cut`": Single,
        "the styles before the cut are those of z, the others those of `other`": Swapped,
        "the other style is `other` itself: it has to go through the mapping network, too": Direct,
        "a tanh: the pictures have none": Bounded,
        "the styles are z itself: w is self.mapping(z)": Unread,
        "w_mean has not moved: in train mode, forward keeps the running mean": Still,
        "all layers get the style of the first: layer i has its own, styles[:, i]": One,
    }
    hint = "The constant through all layers, each with its own style, and to_rgb at the end."
    check(answer, _Generator, experiment, mistakes, hint, tolerance=1e-4)


# ------------------------------------------------------------------------------------------------------------- game


def _judge() -> model.Discriminator:
    return model.Discriminator(32, 3, 32, 6, kind="strided")


def r1_penalty(answer: Any) -> None:
    """Step 13: the penalty, and what the discriminator would learn from it."""

    def slopes(network: Any, real: Tensor, graph: bool = True) -> Tensor:
        real = real.detach().requires_grad_()
        (found,) = torch.autograd.grad(network(real).sum(), real, create_graph=graph)
        return found

    def right(network: Any, real: Tensor) -> Tensor:
        return train.r1_penalty(lambda pictures, *_: network(pictures), real, 32, 1.0)

    def experiment(function: Any) -> dict[str, Any]:
        network = _judge()
        real = _draw(8, 3, 32, 32).clamp(-1, 1)
        penalty = torch.as_tensor(function(network, real))
        if penalty.shape == () and not penalty.requires_grad:
            raise NotYet("D cannot learn from your penalty: its graph is gone, so write create_graph=True")
        found = {"penalty": penalty}
        if penalty.shape == ():
            gradients = torch.autograd.grad(penalty, list(network.parameters()), allow_unused=True)
            found["penalty's gradient"] = torch.cat([part.flatten() for part in gradients if part is not None])
        return found

    def of(reduce: Callable[[Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
        return lambda network, real: reduce(slopes(network, real))

    mistakes = {
        "a mean over the pixels: the squared length is a sum over all numbers of a picture": of(lambda g: g.square().mean()),
        "a sum over the pictures: the mean of their squared lengths": of(lambda g: g.square().sum()),
        "that is the length: R1 squares it": of(lambda g: g.flatten(1).norm(dim=1).mean()),
        "that is chapter 03's penalty, which asks for a length of 1: here it should be 0": of(
            lambda g: (g.flatten(1).norm(dim=1) - 1).square().mean()
        ),
        "gamma / 2 comes later: here is the mean of the squared lengths alone": of(
            lambda g: g.square().sum((1, 2, 3)).mean() / 2
        ),
        "the gradient of the logits' mean is N times too small: take that of their sum": of(
            lambda g: (g / len(g)).square().sum((1, 2, 3)).mean()
        ),
        "the lengths of a colour each: sum over the colours, too": of(lambda g: g.square().sum((2, 3)).mean()),
    }  # fmt: skip
    check(answer, right, experiment, mistakes, "Square, sum over dim=(1, 2, 3), mean.", tolerance=1e-4)


def one_update(
    generator: Any, discriminator: Any, opt_g: Any, opt_d: Any,
    real: Tensor, z: Tensor, other: Tensor, cut: Tensor, gamma: float, **mistake: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Banners (2) and (3) of the chapter's loop; a test holds them together. `mistake` breaks a part."""

    def judge(pictures: Tensor) -> Tensor:
        logits: Tensor = discriminator(pictures, pictures.shape[-1])
        return logits

    def penalty(pictures: Tensor) -> Tensor:
        return train.r1_penalty(discriminator, pictures, pictures.shape[-1], 1.0)

    fake = generator(z) if mistake.get("unmixed") else generator(z, other, cut)
    real_logits, fake_logits = judge(real), judge(fake.detach())
    loss_d = train.discriminator_loss(
        *((fake_logits, real_logits) if mistake.get("swapped") else (real_logits, fake_logits))
    )
    if gamma > 0:
        loss_d = loss_d + mistake.get("share", 0.5) * gamma * penalty(
            fake.detach() if mistake.get("at_fakes") else real
        )
    if mistake.get("clear_d", True):
        opt_d.zero_grad()
    loss_d.backward()
    if mistake.get("step_d", True):
        opt_d.step()

    loss_g = -F.softplus(judge(fake)).mean() if mistake.get("saturating") else train.generator_loss(judge(fake))
    loss_g = mistake.get("sign", 1) * loss_g
    if mistake.get("clear_g", True):
        opt_g.zero_grad()
    loss_g.backward()
    if mistake.get("step_g", True):
        opt_g.step()
    return loss_d, loss_g


def whole_update(answer: Any, own_generator: Any) -> None:
    """Step 14: all weights after one step of the learner's generator and update, and of the chapter's."""
    if not answered(answer, own_generator):
        return

    def weights(network: nn.Module) -> Tensor:
        """All but the strengths of the noise, whose gradients are chance."""
        parts = [weight.detach().flatten() for name, weight in network.named_parameters() if "noise" not in name]
        return torch.cat(parts)

    def experiment(update: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for gamma, words in ((24.0, ""), (0.0, ", where gamma is 0,")):
            networks: list[Any] = [own_generator(DIM, WIDTH) if update is answer else _Generator(), _judge()]
            for network, pattern in zip(networks, (_lively, _judge), strict=True):
                copy_weights(network, pattern)
                for weight in network.parameters():
                    weight.grad = _draw(*weight.shape, seed=weight.numel())
            optimizers = [torch.optim.SGD(network.parameters(), 0.05) for network in networks]
            parts = _draw(8, 3, 32, 32).clamp(-1, 1), _draw(8, DIM), _draw(8, DIM, seed=1), torch.arange(1, 9)
            losses = update(*networks, *optimizers, *parts, gamma)
            if not isinstance(losses, (tuple, list)) or len(losses) != 2:
                raise NotYet("return two losses: loss_d, loss_g")
            found |= {f"loss_{who}{words}": torch.as_tensor(x).detach() for who, x in zip("dg", losses, strict=True)}
            names = (f"discriminator's weights{words}", f"generator's weights{words}")
            found |= {name: weights(network) for name, network in zip(names, networks[::-1], strict=True)}
        return found

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "the penalty is missing: D's loss has gamma / 2 times r1_penalty": wrong(share=0.0),
        "gamma is not halved: the penalty counts gamma / 2": wrong(share=1.0),
        "gamma has the eight in it already: the penalty counts gamma / 2": wrong(share=4.0),
        "the generator did not move: loss_g.backward() or opt_g.step() is missing, or its fakes were detached": wrong(
            step_g=False
        ),
        "the penalty is at the fakes: R1 is at real pictures": wrong(at_fakes=True),
        "`other` and `cut` are not used: the fakes have two styles": wrong(unmixed=True),
        "real and fake are swapped in D's loss": wrong(swapped=True),
        "the generator's loss has the wrong sign": wrong(sign=-1),
        "that is the saturating loss: G minimises softplus(-logits)": wrong(saturating=True),
        "opt_d.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_d=False
        ),
        "opt_g.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_g=False
        ),
        "the discriminator did not move: loss_d.backward() or opt_d.step() is missing": wrong(step_d=False),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-3)


# ------------------------------------------------------------------------------------------------------------ knobs


def truncated(answer: Any) -> None:
    """Step 15: towards the mean."""

    def right(w: Tensor, w_mean: Tensor, psi: float) -> Tensor:
        return w_mean.lerp(w, psi)

    mistakes = {
        "the wrong way around: with psi 1 nothing changes": lambda w, m, p: m.lerp(w, 1 - p),
        "the mean is not added again": lambda w, m, p: p * (w - m),
        "towards zero: it goes towards the mean": lambda w, m, p: p * w,
        "psi scales the mean: only the way from it": lambda w, m, p: p * m + w - m,
        "that is the mean of these w: use w_mean": lambda w, m, p: w.mean(0).lerp(w, p),
    }
    cases = [(_draw(5, 4, seed=i), 3 + _draw(4, seed=i + 1), psi) for i, psi in ((0, 0.7), (2, 0.0), (4, -0.5))]
    check(answer, right, on_cases(cases), mistakes, "w_mean, and psi times the way from there to w.")


def only_coarse(answer: Any) -> None:
    """Step 16: what differs when only the coarse styles do."""
    wrong = {
        "a": "the middle and fine layers all draw the mean face's details and colours",
        "c": "the coarse layers still see different styles",
    }
    check_choice(answer, "b", wrong, "shapes differ, and most colours are those of the mean face.")


def moved_by_noise(answer: Any) -> None:
    """Step 17: how far each layer's noise moves a value, for a painter whose noise is known."""
    strengths = torch.tensor([0.02, 0.3, 0.0, 0.1])

    def draw(styles: Tensor, layers: Any = None) -> Tensor:
        pictures = styles.mean((1, 2)).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone()
        for layer in range(styles.shape[1]) if layers is None else layers:
            noise = _draw(*pictures.shape, seed=layer) + 0.5
            pictures = pictures + strengths[layer] * noise
        return pictures

    def measured(change: Callable[[Tensor, int], Tensor]) -> Any:
        def function(draw: Any, styles: Tensor) -> Tensor:
            still = draw(styles, ())
            numbers = range(styles.shape[1])
            return torch.stack([change(draw(styles, (layer,)) - still, layer) for layer in numbers])

        return function

    def before(draw: Any, styles: Tensor, base: Any, layers: Callable[[int], Any]) -> Tensor:
        numbers = range(styles.shape[1])
        still = draw(styles, base)
        return torch.stack([127.5 * (draw(styles, layers(layer)) - still).abs().mean() for layer in numbers])

    mistakes = {
        "in units of the picture: from -1 to 1 are 255 grey levels, so 127.5 for each unit": measured(lambda d, _: d.abs().mean()),
        "255 for each unit: from -1 to 1 are *two* units": measured(lambda d, _: 255 * d.abs().mean()),
        "up and down cancel: .abs() comes before the mean": measured(lambda d, _: 127.5 * d.mean()),
        "that is the root of the mean square: take the mean of .abs()": measured(lambda d, _: 127.5 * d.square().mean().sqrt()),
        "compared with noise in all layers: compare with none": lambda draw, s: before(draw, s, None, lambda i: (i,)),
        "all layers have noise each time: draw(styles, (layer,))": lambda draw, s: before(draw, s, (), lambda _: None),
        "noise in the first layers up to this one: in this one alone": lambda draw, s: before(draw, s, (), lambda i: range(i + 1)),
    }  # fmt: skip

    def experiment(function: Any) -> dict[str, Any]:
        found = function(draw, _draw(5, 4, 6))
        if isinstance(found, list | tuple):
            found = torch.stack([torch.as_tensor(part) for part in found])
        return {"grey levels": found}

    right = measured(lambda d, _: 127.5 * d.abs().mean())
    check(answer, right, experiment, mistakes, tolerance=1e-4)


def direction(answer: Any) -> None:
    """Step 18: the difference of two means."""

    def right(w: Tensor, has: Tensor) -> Tensor:
        return w[has].mean(0) - w[~has].mean(0)

    mistakes = {
        "the wrong way around: it should lead *to* glasses": lambda w, h: right(w, ~h),
        "sums: there are more faces without glasses, so take means": lambda w, h: w[h].sum(0) - w[~h].sum(0),
        "from the mean of all faces: it is from those without glasses": lambda w, h: w[h].mean(0) - w.mean(0),
        "that is a place and no direction: subtract the mean of those without glasses": lambda w, h: w[h].mean(0),
        "it has been made one long: the length belongs to the answer": lambda w, h: F.normalize(right(w, h), dim=0),
        "one number: a mean over the faces, dim 0, keeps the numbers of w": lambda w, h: w[h].mean() - w[~h].mean(),
    }
    cases = [(_draw(30, 6, seed=i) + 1, torch.arange(30) % 5 < 1 + i) for i in (0, 1)]
    check(answer, right, on_cases(cases), mistakes, "w[has] are the rows of those that have it.")


def knob(answer: Any) -> None:
    """Step 19: what else changes with the glasses."""
    wrong = {
        "a": "run it. What else do the faces with glasses have in common, in this w?",
        "c": "run it. It is a short step: most of a face stays.",
    }
    check_choice(answer, "b", wrong, "glasses come, and nearly a third of what else can be named changes with them.")


# ---------------------------------------------------------------------------------------------------------- StyleGAN2


def modulated_conv(answer: Any) -> None:
    """Step 20: by another road: scale what comes in, and divide what comes out."""

    def by(scale: Tensor, size: Tensor | float, x: Tensor, weight: Tensor) -> Tensor:
        out = F.conv2d(x * scale[:, :, None, None], weight, padding=1)
        return out / (size[:, :, None, None] if isinstance(size, Tensor) else size)

    def sizes(weight: Tensor, scale: Tensor) -> Tensor:
        return torch.einsum("ni,oihw->no", scale.square(), weight.square()).add(1e-8).sqrt()

    def first(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        scale = scale[:1].expand_as(scale)
        return by(scale, sizes(weight, scale), x, weight)

    mistakes = {
        "the division is missing: each output map's weights are divided by their expected size": lambda x, w, s: by(s, 1.0, x, w),
        "the scale is missing: s_i multiplies the weights": lambda x, w, s: by(torch.ones_like(s), sizes(w, torch.ones_like(s)), x, w),
        "divided by the size of the weights before they were scaled": lambda x, w, s: by(s, sizes(w, torch.ones_like(s)), x, w),
        "one size for all output maps: each has its own": lambda x, w, s: by(
            s, sizes(w, s).square().sum(1, keepdim=True).sqrt().expand(-1, len(w)), x, w
        ),
        "the root is missing": lambda x, w, s: by(s, sizes(w, s).square(), x, w),
        "all pictures have the kernel of the first: each has its own": first,
    }  # fmt: skip
    cases = [(_draw(n, 3, 6, 6), _draw(5, 3, 3, 3, seed=1), 1 + _draw(n, 3, seed=2)) for n in (2, 3)]
    check(
        answer, lambda x, w, s: by(s, sizes(w, s), x, w), on_cases(cases), mistakes,
        "One kernel for each picture: scale it, divide it, convolve.", tolerance=1e-4,
    )  # fmt: skip
