"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import io
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model
import train
from common.checks import NotYet, answered, check, check_choice, check_number, copy_weights, left_by_update, on_cases
from model import Conv, Critic, Generator, downsample, upsample

WIDTHS = (8, 8, 4)  # channels of the networks that are compared, at 4×4, 8×8 and 16×16
MOMENTS = ((4, 1.0), (4, 0.3), (8, 1.0), (8, 0.3), (16, 1.0), (16, 0.3), (16, 0.0))  # size and alpha
LAMBDA, DRIFT = 10.0, 1e-3
NO_NUMBER = 1e3  # takes the place of nan, which equals nothing: a usual mistake has it at the same places
# What one update is made of, and the step in which it was written.
STEPS = {
    "EqualisedConv": 2, "pixel_norm": 3, "minibatch_deviation": 4, "faded": 5, "Generator": 6, "Critic": 7,
    "critic_loss": 10, "generator_loss": 10, "gradient_penalty": 11,
}  # fmt: skip


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _same_weights(network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
    """Give a network the weights of the one that `build` makes, and biases that are not zero."""
    copy_weights(network, build)
    for bias in (parameter for parameter in network.parameters() if parameter.ndim == 1):
        bias.data = 0.3 * _draw(len(bias), seed=len(bias))
    return network


def _said(function: Callable[..., Any], *arguments: Any) -> str:
    """What a check prints."""
    said = io.StringIO()
    with redirect_stdout(said):
        function(*arguments)
    return said.getvalue().strip()


def _ready(answer: Any, earlier: Mapping[int, Any]) -> bool:
    """Whether an answer is there, and those of the earlier steps that it is built on; says so if one is not."""
    if not answered(answer):
        return False
    blank = [step for step, part in earlier.items() if _said(answered, part)]
    if blank:
        print(f"not yet: step {blank[0]} is still blank, and this one needs it.")
    return not blank


# --------------------------------------------------------------------------------------------------------- layers


def he_constant(answer: Any) -> None:
    """Step 1: the constant of a convolution with 64 channels."""
    try:
        number = float(answer)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    mistakes = {
        math.sqrt(2 / 64): "The fan-in counts both channels and places.",
        math.sqrt(2 / 9): "The fan-in counts both channels and places.",
        math.sqrt(2) / 576: "The root is over the fan-in, too.",
        2 / 576: "The root is missing.",
        2 / 24: "The 2 stands under the root.",
        1 / 24: "The 2 is missing: it stands under the root.",
    }
    near = [words for wrong, words in mistakes.items() if abs(number / wrong - 1) < 0.01]
    hint = near[0] if near else "How many products does one output add up?"
    check_number(answer, Conv(64, 5).scale, tolerance=0.0011, hint=hint)  # 0.06 is right


def equalised_conv(answer: Any) -> None:
    """Step 2: results from the same weights, for both kernels and gains; and what new weights are."""

    def look_at_new(layer: nn.Module) -> None:
        dimensions = [parameter.ndim for parameter in layer.parameters()]
        if not dimensions:
            raise NotYet("`weight` and `bias` do not learn: nn.Parameter")
        if 4 not in dimensions:
            raise NotYet("`weight` does not learn: nn.Parameter, of the shape [out, in, kernel, kernel]")
        if len(dimensions) == 1:
            raise NotYet("`bias` does not learn: nn.Parameter")
        if dimensions[0] != 4:
            raise NotYet("the bias was made before the weight. First weight, then bias")
        weight, bias, *_ = layer.parameters()
        spread = weight.std().item()
        if abs(spread - 1) > 0.05:
            where = "the constant belongs into forward" if spread < 0.2 else "torch.randn draws from N(0, 1)"
            raise NotYet(f"new weights have the deviation {spread:.2g}, not 1: {where}")
        if bias.count_nonzero():
            raise NotYet("a new bias is not zero: only the weights are drawn at random")

    def experiment(kind: Any) -> dict[str, Any]:
        look_at_new(kind(32, 48))
        found = {}
        for kernel, settings in ((3, (6, 5)), (1, (6, 5, 1, 1.0))):
            try:
                layer = _same_weights(kind(*settings), partial(Conv, *settings))
            except NotYet as words:
                raise NotYet(f"{words}. First weight, then bias" if "shape" in str(words) else str(words)) from None
            found[f"result with kernel {kernel}"] = layer(_draw(2, 6, 4, 4))
        return found

    def scaled(scale: Callable[[int, int, int, float], float]) -> Callable[..., Conv]:
        def build(inputs: int, outputs: int, kernel: int = 3, gain: float = math.sqrt(2)) -> Conv:
            layer = Conv(inputs, outputs, kernel, gain)
            layer.scale = scale(inputs, outputs, kernel, gain)
            return layer

        return build

    class Whole(Conv):
        def forward(self, x: Tensor) -> Tensor:
            padding = self.weight.shape[-1] // 2
            return self.scale * F.conv2d(x, self.weight, self.bias, padding=padding)

    mistakes = {
        "the constant is not used: multiply the weights by it in forward": scaled(lambda i, o, k, g: 1.0),
        "the fan-in counts the places of the kernel too: in · kernel · kernel": scaled(
            lambda i, o, k, g: g / math.sqrt(i)
        ),
        "that is the fan-out: one output adds up in · kernel · kernel products": scaled(
            lambda i, o, k, g: g / math.sqrt(o * k * k)
        ),
        "the root of the fan-in is missing": scaled(lambda i, o, k, g: g / (i * k * k)),
        "the gain is not used": scaled(lambda i, o, k, g: 1 / math.sqrt(i * k * k)),
        "the gain is always √2: it is an argument": scaled(lambda i, o, k, g: math.sqrt(2 / (i * k * k))),
        "the gain stands outside the root": scaled(lambda i, o, k, g: math.sqrt(g / (i * k * k))),
        "√2 is in the gain already": scaled(lambda i, o, k, g: g * math.sqrt(2 / (i * k * k))),
        "a kernel of 1 has one place, not nine": scaled(lambda i, o, k, g: g / math.sqrt(i * 9)),
        "the bias is multiplied by the constant, too: only the weights are": Whole,
    }
    check(answer, Conv, experiment, mistakes)


def pixel_norm(answer: Any) -> None:
    """Step 3: latents and maps of several sizes, one of them with places of all zeros."""

    def experiment(function: Any) -> dict[str, Any]:
        found = {}
        for i, case in enumerate(cases, 1):
            x = case.clone()
            result = function(x)
            if not torch.equal(x, case):
                raise NotYet("your function changes x itself, which others still need: make a new tensor")
            found[f"result in case {i}"] = result.nan_to_num(nan=NO_NUMBER) if isinstance(result, Tensor) else result
        return found

    mistakes = {
        "as it was: each latent has the length 1, and its numbers a mean square of 1/D": lambda x: F.normalize(
            x, dim=1
        ),
        "one norm for a whole picture: each place has its own": lambda x: (
            x / (x.square().flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1)) + 1e-8).sqrt()
        ),
        "the mean is over the pictures: it is over the channels, dimension 1": lambda x: (
            x / (x.square().mean(0, keepdim=True) + 1e-8).sqrt()
        ),
        "the root is missing": lambda x: x / (x.square().mean(1, keepdim=True) + 1e-8),
        "1e-8 is missing: a place of zeros becomes 0 / 0": lambda x: x / x.square().mean(1, keepdim=True).sqrt(),
        "that is the deviation: pixel norm subtracts no mean": lambda x: x / x.std(1, keepdim=True, unbiased=False),
        "the mean is subtracted: pixel norm only divides": lambda x: model.pixel_norm(x - x.mean(1, keepdim=True)),
    }
    cases = [_draw(5, 128) * _draw(5, 1, seed=1), 3 * _draw(2, 6, 3, 3) + 1, 0.1 * _draw(4, 3, 2, 2)]
    cases.append(_draw(2, 4, 2, 2) * torch.tensor([[1.0, 0.0], [1.0, 1.0]]))  # one place is 0 in all its channels
    check(answer, model.pixel_norm, experiment, mistakes, "Over dimension 1, for each place.", 1e-4)


def minibatch_deviation(answer: Any) -> None:
    """Step 4: the maps with their deviation behind them, and their gradients; once for four equal pictures."""

    def experiment(function: Any) -> dict[str, Any]:
        found = {}
        for i, case in enumerate(cases, 1):
            x = case.clone().requires_grad_()
            maps = found[f"result in case {i}"] = function(x)
            n, k, *places = case.shape
            if isinstance(maps, Tensor) and maps.shape == (n, k + 1, *places) and maps.requires_grad:
                (of_last,) = torch.autograd.grad(maps[:, -1].sum(), x, retain_graph=True, allow_unused=True)
                if of_last is None or not (i == 3 or of_last.any()):  # case 3 has the slope 0
                    raise NotYet(
                        "no gradient flows back from the new map: item(), detach() or no_grad() has cut it off"
                    )
                (of_all,) = torch.autograd.grad((maps * _draw(*maps.shape, seed=9)).sum(), x)
                found[f"gradient in case {i}"] = of_all.nan_to_num(nan=NO_NUMBER)
        return found

    def right(
        x: Tensor, late: bool = False, unbiased: bool = False, root: bool = True, dims: tuple[int, ...] = (1,),
        small: float = 1e-8,
    ) -> Tensor:  # fmt: skip
        groups = x.unflatten(0, (-1, 4))
        s = groups.var(dims, unbiased=unbiased, keepdim=True) + small
        s = s.mean((1, 2, 3, 4)).sqrt() if late else (s.sqrt() if root else s).mean((1, 2, 3, 4))
        maps = s.repeat_interleave(4).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, maps], 1)

    def last(x: Tensor, number: Tensor) -> Tensor:
        return torch.cat([x, number.view(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])], 1)

    def apart(x: Tensor) -> Tensor:  # groups of pictures that stand apart: 0, 2, 4, 6 of eight
        s = x.unflatten(0, (4, -1)).var(0, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
        return last(x, s.repeat(4))

    mistakes = {
        "the whole batch is one group: split it into groups of four": lambda x: model.minibatch_deviation(x, len(x)),
        "a group's pictures stand one after the other: unflatten(0, (-1, 4))": apart,
        "the numbers go to the wrong pictures: repeat_interleave(4), not repeat(4)": lambda x: last(
            x, right(x)[::4, -1, 0, 0].repeat(4)
        ),
        "you divide by n - 1: unbiased=False divides by 4": partial(right, unbiased=True),
        "the root comes before the average over features and places": partial(right, late=True),
        "the root is missing: that is the variance": partial(right, root=False),
        "the deviation is over the channels: it is over the four pictures": partial(right, dims=(2,)),
        "the deviation is over all numbers of a group: each feature at each place has its own": partial(
            right, dims=(1, 2, 3, 4)
        ),
        "1e-8 belongs under the root: where four pictures are equal, the slope is 0 / 0": partial(right, small=0.0),
        "1e-8 belongs under the root: the deviation of four equal pictures is not 0": lambda x: last(
            x, x.unflatten(0, (-1, 4)).std(1, unbiased=False).mean((1, 2, 3)).repeat_interleave(4)
        ),
        "the new map comes last, behind the K others": lambda x: right(x).roll(1, 1),
    }
    cases = [_draw(8, 3, 2, 2) * torch.linspace(1, 3, 8).view(-1, 1, 1, 1) + _draw(1, 3, 1, 1), _draw(4, 2, 4, 4)]
    cases.append((4 * _draw(1, 2, 2, 2)).round().expand(4, -1, -1, -1))  # whole numbers: their mean is exact
    check(answer, model.minibatch_deviation, experiment, mistakes, "One number for each group of four.")


# ------------------------------------------------------------------------------------------------------- networks


def faded(answer: Any) -> None:
    """Step 5: real pictures at three alphas."""
    mistakes = {
        "alpha is the weight of the picture itself, and 1 - alpha that of the old": lambda x, a: train.faded(x, 1 - a),
        "nothing fades": lambda x, a: x,
        "only the old is left: alpha is not used": lambda x, a: upsample(downsample(x)),
        "the picture is not faded, but added to": lambda x, a: x + (1 - a) * upsample(downsample(x)),
        "half the size is the mean of each 2×2 pixels, not one of them": lambda x, a: torch.lerp(
            upsample(x[..., ::2, ::2]), x, a
        ),
    }
    cases = [(_draw(2, 3, 4, 4), alpha) for alpha in (0.0, 0.3, 1.0)]
    check(answer, train.faded, on_cases(cases), mistakes)


def _generator() -> Generator:
    return Generator(64, 16, 3, 64, 8, convs=1)


def _critic() -> Critic:
    return Critic(16, 3, 64, 8, convs=1)


class Wrong(nn.Module):
    """A chapter's network with another forward."""

    def __init__(self, network: nn.Module, forward: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.other = network, forward

    def forward(self, *inputs: Any) -> Tensor:
        return self.other(self.network, *inputs)


def _check_network(
    answer: Any, right: Any, experiment: Callable[..., Any], mistakes: Mapping[str, Any], hint: str, at_4: str
) -> None:
    """`check` of all moments. If no usual mistake fits and 4×4 is wrong already, the hint is the one for 4×4."""
    said = _said(check, answer, right, experiment, mistakes, hint, 1e-4)
    if said.endswith(hint) and _said(check, answer, right, partial(experiment, moments=MOMENTS[:2]), {}).splitlines()[
        -1:
    ] != ["right"]:
        said = said.removesuffix(hint) + at_4
    print(said)


def _draws(
    g: Any, z: Tensor, size: int, alpha: float, slope: float = 0.2, norm: Any = model.pixel_norm, early: bool = False,
    of_latent: Any = model.pixel_norm,
) -> Tensor:  # fmt: skip
    """The generator's forward, with parts to break."""
    stage = int(math.log2(size)) - 2

    def active(x: Tensor) -> Tensor:
        return F.leaky_relu(norm(x), slope) if early else norm(F.leaky_relu(x, slope))

    before = x = active(g.first(of_latent(z)))
    for block in g.blocks[:stage]:
        before, x = x, active(block.conv1(x))
    picture = g.to_rgb[stage](x)
    if stage > 0:
        picture = torch.lerp(upsample(g.to_rgb[stage - 1](before)), picture, alpha)
    return picture  # type: ignore[no-any-return]


def generator(answer: Any, own_conv: Any, own_norm: Any) -> None:
    """Step 6: the same pictures as the chapter's generator from the same weights, at seven moments."""
    if not _ready(answer, {2: own_conv, 3: own_norm}):
        return

    def experiment(kind: Any, moments: Any = MOMENTS) -> dict[str, Any]:
        network = _same_weights(kind(WIDTHS), _generator)
        z = 2 * _draw(4, 64)
        return {f"pictures at {size}×{size}, alpha {a:g}": network(z, size, a) for size, a in moments}

    def wrong(forward: Callable[..., Tensor]) -> Callable[[Any], nn.Module]:
        return lambda widths: Wrong(_generator(), forward)

    mistakes = {
        "alpha is the weight of the new picture, not of the old": wrong(
            lambda g, z, s, a: g(z, s, 1 - a if s > 4 else 1)
        ),
        "alpha is not used: the old picture is to fade away": wrong(lambda g, z, s, a: g(z, s, 1.0)),
        "the latent needs your pixel norm before the first layer": wrong(partial(_draws, of_latent=lambda z: z)),
        "pixel norm is missing in the blocks: behind each LeakyReLU": wrong(partial(_draws, norm=lambda x: x)),
        "pixel norm comes after LeakyReLU, not before it": wrong(partial(_draws, early=True)),
        "LeakyReLU has a slope of 0.01 if nothing is said: here it is 0.2": wrong(partial(_draws, slope=0.01)),
        "LeakyReLU is missing": wrong(partial(_draws, slope=1.0)),
        "no tanh at the end: the picture is linear": wrong(lambda g, z, s, a: g(z, s, a).tanh()),
    }
    hint = "Doubling, convolution, LeakyReLU, pixel norm; and only then to_rgb."
    at_4 = "At 4×4: pixel norm of z, first, LeakyReLU, pixel norm, to_rgb[0]; alpha does nothing."
    _check_network(answer, lambda widths: _generator(), experiment, mistakes, hint, at_4)


def _judges(
    f: Any, pictures: Tensor, size: int, alpha: float, slope: float = 0.2, old_slope: float = 0.2, every: bool = False,
    late: bool = False,
) -> Tensor:  # fmt: skip
    """The critic's forward, with parts to break."""
    stage = int(math.log2(size)) - 2
    x, small = F.leaky_relu(f.from_rgb[stage](pictures), slope), pictures
    for i in reversed(range(stage)):
        conv = f.blocks[i].conv2
        if late:
            x = downsample(F.leaky_relu(F.conv2d(x, conv.scaled(), conv.bias, padding=1), slope))
        else:
            x = F.leaky_relu(conv(x), slope)
        small = downsample(small)
        if every or i == stage - 1:
            x = torch.lerp(F.leaky_relu(f.from_rgb[i](small), old_slope), x, alpha)
    x = F.leaky_relu(f.first(model.minibatch_deviation(x).flatten(1)), slope)
    return f.score(x).squeeze(1)  # type: ignore[no-any-return]


def critic(answer: Any, own_conv: Any, own_deviation: Any) -> None:
    """Step 7: the same scores as the chapter's critic from the same weights, at seven moments."""
    if not _ready(answer, {2: own_conv, 4: own_deviation}):
        return

    def experiment(kind: Any, moments: Any = MOMENTS) -> dict[str, Any]:
        network = _same_weights(kind(WIDTHS), _critic)
        pictures = {size: _draw(8, 3, size, size, seed=size) for size, _ in MOMENTS}
        return {f"scores at {size}×{size}, alpha {a:g}": network(pictures[size], size, a) for size, a in moments}

    def wrong(forward: Callable[..., Tensor]) -> Callable[[Any], nn.Module]:
        return lambda widths: Wrong(_critic(), forward)

    mistakes = {
        "alpha is the weight of the new maps, not of the old": wrong(lambda f, x, s, a: f(x, s, 1 - a if s > 4 else 1)),
        "alpha is not used: what the smaller critic would have seen is missing": wrong(lambda f, x, s, a: f(x, s, 1.0)),
        "every block is mixed: only the newest fades in": wrong(partial(_judges, every=True)),
        "LeakyReLU is missing behind the from_rgb of the stage before": wrong(partial(_judges, old_slope=1.0)),
        "the halving comes before the block's LeakyReLU, not after it": wrong(partial(_judges, late=True)),
        "LeakyReLU has a slope of 0.01 if nothing is said: here it is 0.2": wrong(
            partial(_judges, slope=0.01, old_slope=0.01)
        ),
        "a sigmoid at the end: a score has no bounds": wrong(lambda f, x, s, a: f(x, s, a).sigmoid()),
    }
    hint = "Convolution, halving, LeakyReLU; after the first of them, the mixture."
    at_4 = "At 4×4: from_rgb[0], LeakyReLU, deviation, first, LeakyReLU, score."
    _check_network(answer, lambda widths: _critic(), experiment, mistakes, hint, at_4)


def share_at_8(answer: Any) -> None:
    """Step 8: the share of the default generator's parameters that gets a gradient at 8×8."""
    default = train.Config()
    generator = Generator(
        default.latent_dim, default.size, 3, default.channels_times_size, default.most_channels, default.convs
    )
    body = [weight for name, weight in generator.named_parameters() if "to_rgb" not in name]
    generator(_draw(2, default.latent_dim), 8).sum().backward()
    share = sum(w.numel() for w in body if w.grad is not None) / sum(w.numel() for w in body)
    why = f"it is {share:.0%}. Small maps are cheap because they have few places, not because they have few weights."
    wrong = {
        "a": "look at the channels: the small maps have the most",
        "b": "count the first layer too: 128 · 96 · 16 weights",
    }
    check_choice(answer, "c", wrong, why)


def growth(answer: Any) -> None:
    """Step 9: size and alpha at each step of two schedules, to far behind the last growth."""

    def chapters(step: int, fade: int, stable: int) -> tuple[int, float]:
        counts = {"fade_images": ((4, fade),), "stable_images": ((4, stable),), "batch_sizes": ((4, 1),)}
        now = train.growth(train.Config(size=32, **counts), step)  # type: ignore[arg-type]
        return now.resolution, now.alpha

    def experiment(function: Any) -> dict[str, Any]:
        found = {}
        for fade, stable in ((5, 3), (2, 4), (1, 1)):
            moments = [function(step, fade, stable) for step in range(4 * (fade + stable) + 5)]
            if any(moment is None for moment in moments):
                raise NotYet("your code returns nothing: a `return` is missing, at some step")
            if not all(isinstance(moment, (tuple, list)) and len(moment) == 2 for moment in moments):
                raise NotYet("return two numbers: size, alpha")
            for i, name in enumerate(("sizes", "alphas")):
                found[f"{name} with fade={fade}, stable={stable}"] = torch.tensor([float(m[i]) for m in moments])
        return found

    def sizes(
        step: int, fade: int, stable: int, first: bool = True, rest: bool = True, most: int = 32, late: int = 0
    ) -> tuple[int, int, int]:
        """A size, the step inside of it, and the steps that its fade takes."""
        size, length = 4, fade if first else 0
        while size < most and step >= length + stable * (rest or size == 4) + late:
            step, size, length = step - length - stable * (rest or size == 4), 2 * size, fade
        return size, step, length

    def alphas(
        step: int, fade: int, stable: int, shift: int = 0, capped: bool = True, **changes: Any
    ) -> tuple[int, float]:
        size, step, length = sizes(step, fade, stable, **changes)
        alpha = (step + shift) / length if length else 1.0
        return size, min(1.0, alpha) if capped else alpha

    def resting_first(step: int, fade: int, stable: int, alpha: float) -> tuple[int, float]:
        size, step, _ = sizes(step, fade, stable, first=False)
        if size > 4:
            alpha = alpha if step < stable else min(1.0, (step - stable) / fade)
        return size, alpha if size > 4 else 1.0

    mistakes = {
        "4×4 has nothing to fade from: alpha is 1 there, for `stable` steps": alphas,
        "alpha begins at 1 / fade: in its first step it is 0": partial(alphas, first=False, shift=1),
        "alpha grows beyond 1: it stays at 1 when the fade is over": partial(alphas, first=False, capped=False),
        "the rest is missing: after its fade each size trains for `stable` steps": partial(alphas, first=False, rest=False),
        "32 is the last size: it has no end": partial(alphas, first=False, most=2**20),
        "a fade comes first, then the rest": partial(resting_first, alpha=1.0),
        "a fade comes first, then the rest; and alpha rests at 1": partial(resting_first, alpha=0.0),
        "you go by step - 1: steps count from 0": lambda step, *rest: chapters(max(0, step - 1), *rest),
        "you go by step + 1: steps count from 0": lambda step, *rest: chapters(step + 1, *rest),
        "each size ends a step too late: with `stable` steps the last is stable - 1": partial(
            alphas, first=False, late=1
        ),
        "size comes first, then alpha": lambda *case: chapters(*case)[::-1],
        "alpha is always 1: nothing fades in": lambda *case: (chapters(*case)[0], 1.0),
        "alpha is the weight of the new, and rises from 0 to 1": lambda *case: (
            chapters(*case)[0], 1.0 if chapters(*case)[0] == 4 else 1 - chapters(*case)[1],
        ),
    }  # fmt: skip
    check(answer, chapters, experiment, mistakes, "Steps count from 0, in each size anew.")


# --------------------------------------------------------------------------------------------------------- losses


def critic_loss(answer: Any) -> None:
    """Step 10: what the critic minimises, without the penalty."""

    def loss(r: Tensor, f: Tensor, drift: Any = lambda r, f: r.square().mean(), weight: float = DRIFT) -> Tensor:
        return f.mean() - r.mean() + weight * drift(r, f)

    mistakes = {
        "the term against drift is missing": partial(loss, weight=0.0),
        "the term against drift has the weight 1: it is 0.001": partial(loss, weight=1.0),
        "the term against drift has the wrong sign": partial(loss, weight=-DRIFT),
        "the drift is of the real scores, not of the fake ones": partial(loss, drift=lambda r, f: f.square().mean()),
        "the square is of each score, and then comes the mean": partial(loss, drift=lambda r, f: r.mean().square()),
        "the drift is of the real scores alone": partial(loss, drift=lambda r, f: (r.square() + f.square()).mean()),
        "the drift's square is missing": partial(loss, drift=lambda r, f: r.mean()),
        "the drift is a mean of squares, not a norm": partial(loss, drift=lambda r, f: r.norm()),
        "the drift is a mean over the batch, not a sum": partial(loss, drift=lambda r, f: r.square().sum()),
        "real and fake are swapped: the critic wants real scores high": lambda r, f: (
            r.mean() - f.mean() + DRIFT * r.square().mean()
        ),
        "scores are no logits: no sigmoid, no cross-entropy": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
    }
    # In the first case the drift is a large part of the loss, so that an error in it is seen.
    cases = [
        (_draw(8).add(real).requires_grad_(), 2 * _draw(8, seed=1) + fake)
        for real, fake in ((16, 16), (3, -3), (-2, 2))
    ]
    check(answer, partial(train.critic_loss, epsilon_drift=DRIFT), on_cases(cases), mistakes)


def generator_loss(answer: Any) -> None:
    """Step 10: what the generator minimises."""
    mistakes = {
        "scores are no logits: no softplus": lambda f: F.softplus(-f).mean(),
        "no term against drift here: it is the critic's": lambda f: -f.mean() + DRIFT * f.square().mean(),
        "no absolute value: higher is better without end": lambda f: -f.mean().abs(),
    }
    cases = [((_draw(8, seed=i) + shift).requires_grad_(),) for i, shift in ((0, 1), (1, -1))]
    check(answer, train.generator_loss, on_cases(cases), mistakes)


_weight = torch.tensor(0.3, requires_grad=True)


def _curved(points: Tensor) -> Tensor:
    """A critic with one weight, whose slope differs from place to place."""
    return _weight * points.square().flatten(1).sum(1)


def gradient_penalty(answer: Any) -> None:
    """Step 11: the penalty, and its gradient by the critic's weight; epsilon may belong to either end."""
    sizes = torch.linspace(0.05, 1, 6).view(-1, 1, 1, 1)  # slopes from 0.2 to 4
    real, fake = sizes * _draw(6, 3, 4, 4), sizes * _draw(6, 3, 4, 4, seed=1)
    epsilon = torch.rand(6, generator=torch.Generator().manual_seed(2))

    def experiment(function: Any) -> dict[str, Any]:
        both = [function(_curved, real, fake, e) for e in (epsilon, 1 - epsilon)]
        if not all(isinstance(value, Tensor) for value in both):
            return {"penalty": both[0]}
        if not all(value.requires_grad for value in both):
            raise NotYet("no gradient leads back to the critic's weights: create_graph=True, and no detach() behind it")
        if any(value.ndim for value in both):
            shape = tuple(both[0].shape)
            raise NotYet(f"your penalty has the shape {shape}; it has to be one number: is the mean missing?")
        value = torch.stack(both).sort().values
        return {
            "penalty": value,
            "gradient by the critic's weight": torch.autograd.grad(value.square().sum(), _weight)[0],
        }

    def penalty(
        score: Any, real: Tensor, fake: Tensor, epsilon: Tensor, one: bool = False, at: str = "", dim: int = 0,
        of_norms: Any = lambda norms: (norms - 1).square().mean(), mean: bool = False,
    ) -> Tensor:  # fmt: skip
        epsilon = epsilon[:1].expand(len(real)) if one else epsilon
        points = {"": torch.lerp(fake, real, epsilon.view(-1, 1, 1, 1)), "real": real, "fake": fake}[at]
        points = points.clone().requires_grad_()
        scores = score(points)
        (gradients,) = torch.autograd.grad(scores.mean() if mean else scores.sum(), points, create_graph=True)
        result: Tensor = of_norms(gradients.norm(dim=1) if dim else gradients.flatten(1).norm(dim=1))
        return result

    mistakes: dict[str, Any] = {
        "one epsilon for the whole batch: each pair has its own": partial(penalty, one=True),
        "at real pictures only: the penalty looks between real and fake": partial(penalty, at="real"),
        "at fakes only: the penalty looks between real and fake": partial(penalty, at="fake"),
        "norm(dim=1) is over the channels alone: flatten(1) first": partial(penalty, dim=1),
        "the gradient of the MEAN score is N times too small: take the sum": partial(penalty, mean=True),
        "the norm is to be near 1, not near 0": partial(penalty, of_norms=lambda n: n.square().mean()),
        "a slope below 1 is punished too": partial(penalty, of_norms=lambda n: (n - 1).clamp(min=0).square().mean()),
        "the square is missing": partial(penalty, of_norms=lambda n: (n - 1).mean()),
        "a sum over the batch instead of a mean": partial(penalty, of_norms=lambda n: (n - 1).square().sum()),
        "10 is not yet asked for: the update multiplies by it": partial(
            penalty, of_norms=lambda n: LAMBDA * (n - 1).square().mean()
        ),
    }
    check(answer, penalty, experiment, mistakes, "Over all numbers of a picture.", 1e-4)


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    generator: Any, critic: Any, opt_g: Any, opt_d: Any, real: Tensor, z: Tensor, epsilon: Tensor, z_g: Tensor,
    size: int, alpha: float, **mistake: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Banners (1) and (2) of the chapter's loop; a test holds them together. `mistake` breaks a part."""
    shown = train.faded(real, mistake.get("real_alpha", alpha))
    alpha = mistake.get("networks_alpha", alpha)

    def of_critic() -> Tensor:
        if mistake.get("leak"):  # the fakes keep their graph, and nobody clears the generator's gradients afterwards
            opt_g.zero_grad()
        with torch.set_grad_enabled(mistake.get("leak", False)):
            fake = generator(z, size, alpha)
        start, end = real if mistake.get("sharp") else shown, fake
        if mistake.get("swapped"):
            start, end = end, start
        norms = train.gradient_norms(partial(critic, resolution=size, alpha=alpha), start, end, epsilon)
        scores = critic(shown, size, alpha), critic(fake, size, alpha)
        if mistake.get("reversed"):
            scores = scores[::-1]
        loss_d: Tensor = mistake.get("sign_d", 1) * train.critic_loss(*scores, mistake.get("drift", DRIFT))
        loss_d = loss_d + mistake.get("weight", LAMBDA) * train.gradient_penalty(norms)
        if mistake.get("clear_d", True):
            opt_d.zero_grad()
        loss_d.backward()
        if mistake.get("step_d", True):
            opt_d.step()
        return loss_d

    def of_generator() -> Tensor:
        fake = generator(z if mistake.get("same_z") else z_g, size, alpha)
        loss_g: Tensor = mistake.get("sign_g", 1) * train.generator_loss(critic(fake, size, alpha))
        if mistake.get("clear_g", not mistake.get("leak")):
            opt_g.zero_grad()
        loss_g.backward()
        if mistake.get("step_g", True):
            opt_g.step()
        return loss_g

    if mistake.get("generator_first"):
        loss_g = of_generator()
        return of_critic(), loss_g
    return of_critic(), of_generator()


def _turned(penalty: Any) -> bool:
    """Whether a learner's penalty takes epsilon for the share of the fake pictures. By chance alone the two are the same."""
    points = []

    def score(pictures: Tensor) -> Tensor:
        points.append(pictures.detach().mean().item())
        return pictures.square().flatten(1).sum(1)

    try:
        penalty(score, torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.full((2,), 0.25))
    except Exception:  # whatever a learner's code can raise: the update will, too
        return False
    return abs(points[0] - 0.75) < 0.01 if points else False


def whole_update(answer: Any, own_generator: Any, own_critic: Any) -> None:
    """Step 12: all weights after one step of the learner's networks and update, and of the chapter's."""
    own = getattr(answer, "__globals__", {}) | {"Generator": own_generator, "Critic": own_critic}
    for name, step in STEPS.items():
        if not _ready(answer, {step: own.get(name)}):
            return
    share = torch.linspace(0.1, 0.8, 8)  # of the real pictures
    own_share = 1 - share if _turned(own.get("gradient_penalty")) else share

    def experiment(update: Any) -> dict[str, Any]:
        networks: Any = (own_generator(WIDTHS), own_critic(WIDTHS)) if update is answer else (_generator(), _critic())
        for network, pattern in zip(networks, (_generator, _critic), strict=True):
            _same_weights(network, pattern)
            for parameter in network.parameters():
                parameter.grad = _draw(*parameter.shape, seed=parameter.numel())
        for bias in (weight for weight in networks[1].parameters() if weight.shape == (1,)):
            bias.data += 30  # the scores' common level, on which the term against drift depends
        optimizers = [torch.optim.SGD(network.parameters(), 0.01) for network in networks]
        epsilon = own_share if update is answer else share
        batch = _draw(8, 3, 16, 16), _draw(8, 64, seed=1), epsilon, _draw(8, 64, seed=2)
        losses = update(*networks, *optimizers, *batch, 16, 0.3)
        losses = tuple(losses) if isinstance(losses, list) else losses
        return left_by_update(losses, dict(zip(("generator", "critic"), networks, strict=True)))

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "the real pictures do not fade in: the critic knows them by their detail": wrong(real_alpha=1.0),
        "the penalty looks at real pictures that are not faded": wrong(sharp=True),
        "the networks do not get alpha": wrong(networks_alpha=1.0),
        "the penalty is missing, or has the weight 0": wrong(weight=0.0),
        "the penalty has the weight 1: lambda is 10": wrong(weight=1.0),
        "the critic's loss has the wrong sign": wrong(sign_d=-1),
        "the critic's loss has the wrong sign: real and fake are swapped in it": wrong(reversed=True),
        "the term against drift is missing: step 10's critic_loss has it": wrong(drift=0.0),
        "the generator's loss has the wrong sign": wrong(sign_g=-1),
        "opt_d.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_d=False
        ),
        "opt_g.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_g=False
        ),
        "the critic's loss reached the generator: make its fakes under torch.no_grad(), or detach() them": wrong(
            leak=True
        ),
        "the critic did not move: loss_d.backward() or opt_d.step() is missing": wrong(step_d=False),
        "the generator got the latents z: it is updated with z_g": wrong(same_z=True),
        "the generator did not move: loss_g.backward() or opt_g.step() is missing, or its fakes were made under no_grad()": wrong(
            step_g=False
        ),
        "the generator was updated before the critic": wrong(generator_first=True),
        "the penalty got real and fake in the wrong order: epsilon is the share of the real ones": wrong(swapped=True),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


def moved_cloud(answer: Any) -> None:
    """Step 14: the mean shadow of a vector of length 1, by trying 100,000 directions."""
    angles = 2 * math.pi * torch.arange(100_000, dtype=torch.float64) / 100_000
    hint = "The mean of |cos θ| over a full turn."
    check_number(answer, angles.cos().abs().mean().item(), tolerance=0.004, hint=hint)  # 0.64 is right
