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

from common.checks import (
    NotYet,
    answered,
    as_it_was,
    check,
    check_choice,
    check_number,
    copy_weights,
    left_by_update,
    on_cases,
    with_layers,
)
from model import Discriminator, Generator, Guideline, dcgan_init
from train import discriminator_loss, feature_matching_loss, generator_loss

WIDTH = 8  # of the networks that are compared


# --------------------------------------------------------------------------------------------------------- layers


def parameters(answer: Any) -> None:
    """Step 1: the parameters of the discriminator of width 48."""
    found = sum(p.numel() for p in Discriminator(48).parameters())
    check_number(
        answer, found, tolerance=0, hint="Each convolution has 4 · 4 · in · out weights, each BatchNorm 2 a channel."
    )


def stamps(answer: Any) -> None:
    """Step 2: a transposed convolution in one dimension."""

    def paint(x: Tensor, w: Tensor, s: int, add: bool = True, step: int | None = None) -> Tensor:
        result = torch.zeros((len(x) - 1) * s + len(w))
        for i, value in enumerate(x):
            begin = i * (s if step is None else step)
            result[begin : begin + len(w)] = value * w + (result[begin : begin + len(w)] if add else 0)
        return result

    def right(x: Tensor, w: Tensor, s: int) -> Tensor:
        return F.conv_transpose1d(x.view(1, 1, -1), w.view(1, 1, -1), stride=s).flatten()

    mistakes = {
        "later stamps wipe out earlier ones: where they overlap, they add up": partial(paint, add=False),
        "stamp number i begins at place i: it begins at i · s": partial(paint, step=1),
        "the stamp is turned around: a transposed convolution paints it as it is": lambda x, w, s: right(
            x, w.flip(0), s
        ),
    }
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    cases = [(draw(5), draw(k), s) for k, s in ((4, 2), (3, 2), (5, 1))]
    check(answer, right, on_cases(cases), mistakes, "The result is (H - 1) · s + K numbers long.")


def batch_norm(answer: Any) -> None:
    """Step 3: BatchNorm without scale and shift."""

    def over(x: Tensor, dims: tuple[int, ...], unbiased: bool = False) -> Tensor:
        spread = x.var(dims, keepdim=True, unbiased=unbiased)
        return (x - x.mean(dims, keepdim=True)) / (spread + 1e-5).sqrt()

    mistakes = {
        "you average over the pictures alone: a channel has one mean over N, H and W": lambda x: over(x, (0,)),
        "you average inside of each picture: a channel has one mean over N, H and W": lambda x: over(x, (2, 3)),
        "you average over the channels too: each has a mean of its own": lambda x: over(x, (0, 1, 2, 3)),
        "your variance divides by n - 1: BatchNorm divides by n": lambda x: over(x, (0, 2, 3), unbiased=True),
        "eps belongs under the root, beside the variance": lambda x: (
            (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True, unbiased=False) + 1e-5)
        ),
        "you divide by the variance: its root is missing": lambda x: (
            (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5)
        ),
        "the mean is still there": lambda x: x / (x.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt(),
    }
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    cases = [(3 * draw(4, 2, 3, 3) + 1,), (0.2 * draw(5, 3, 2, 4),)]
    check(answer, lambda x: F.batch_norm(x, None, None, training=True), on_cases(cases), mistakes, "eps is 1e-5.", 1e-4)


def published(layer: nn.Module) -> None:
    """The initialisation with a bug."""
    if hasattr(layer, "weight") and layer.weight is not None:
        nn.init.normal_(layer.weight, 0.0, 0.02)  # type: ignore[arg-type]


def initialise(answer: Any) -> None:
    """Step 4: the mean and the deviation of new weights, in units of 0.02."""

    def experiment(function: Any) -> dict[str, Any]:
        layers = {"kernels": nn.Conv2d(16, 64, 4), "transposed kernels": nn.ConvTranspose2d(64, 16, 4)}
        layers["BatchNorm's scales"] = nn.BatchNorm2d(4096)  # type: ignore[assignment]
        for layer in layers.values():
            function(layer)
        function(nn.ReLU())  # has no weights, and is left as it is
        return {
            f"{name} (mean, deviation; in units of 0.02)": torch.stack(
                [layer.weight.mean(), layer.weight.std()]
            ).detach()
            / 0.02
            for name, layer in layers.items()
        }

    def scales(layer: nn.Module, mean: float, deviation: float, kernels: float = 0.02) -> None:
        dcgan_init(layer)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean, deviation)
        elif kernels != 0.02 and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, kernels)

    mistakes = {
        "as it was: a BatchNorm's scale around 0 switches its maps off": published,
        "BatchNorm's scales stay at 1: they are drawn from N(1, 0.02)": partial(scales, mean=1.0, deviation=0.0),
        "0.02 is the deviation, not the variance": partial(scales, mean=1.0, deviation=0.02, kernels=0.02**0.5),
        "BatchNorm's scales are as they should be, but the kernels are PyTorch's": lambda layer: (
            dcgan_init(layer) if isinstance(layer, nn.BatchNorm2d) else None
        ),
    }
    check(answer, dcgan_init, experiment, mistakes, tolerance=0.1)


# ------------------------------------------------------------------------------------------------------- networks


def _count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in network.modules())


def _new(network: nn.Module) -> None:
    """Whether the kernels have the initial weights of step 4: the largest ones tell them from PyTorch's."""
    kernels = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    if not all(0.015 < kernel.std().item() < 0.025 for kernel in kernels):
        raise NotYet("the kernels have PyTorch's initial weights: self.apply(initialise), when all layers are made")


def generator(answer: Any) -> None:
    """Step 5: the same pictures as the chapter's generator from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(WIDTH)
        if _count(network, nn.BatchNorm2d) != 4:
            found = _count(network, nn.BatchNorm2d)
            raise NotYet(
                f"there are {found} nn.BatchNorm2d, not 4: one behind each layer but the last, which has to keep its colours"
            )
        if _count(network, nn.Sigmoid):
            raise NotYet("a sigmoid gives 0 to 1: pictures are in [-1, 1], which is what nn.Tanh gives")
        _new(network)
        copy_weights(network, partial(Generator, width=WIDTH))
        z = torch.randn(4, 100)
        return {"pictures in train mode": network(z), "pictures in eval mode": network.eval()(z)}

    def wrong(old: type[nn.Module], new: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
        return lambda width: with_layers(partial(Generator, width=width), old, new)()

    mistakes = {
        "the pictures have no bounds: the last layer is nn.Tanh": wrong(nn.Tanh, nn.Identity),
        "LeakyReLU is for the discriminator: here it is nn.ReLU": wrong(nn.ReLU, partial(nn.LeakyReLU, 0.2)),
        "the activations are missing: nn.ReLU follows each BatchNorm": wrong(nn.ReLU, nn.Identity),
    }
    check(
        answer,
        lambda width: Generator(width=width),
        experiment,
        mistakes,
        "All layers are transposed convolutions, kernel 4, no bias.",
    )


def _chapters(width: int, norm: bool = True) -> Discriminator:
    without: list[Guideline] = [] if norm else ["batch-norm"]
    return Discriminator(width, without=without)


def discriminator(answer: Any) -> None:
    """Step 6: the same logits as the chapter's discriminator, with BatchNorm and without it."""

    def experiment(kind: Any) -> dict[str, Any]:
        found, pictures = {}, torch.rand(4, 3, 64, 64) * 2 - 1
        for norm, wanted in ((True, 3), (False, 0)):
            network = kind(WIDTH, norm)
            if _count(network, nn.BatchNorm2d) != wanted:
                words = (
                    "one behind each hidden layer but the first, which has to see the true colours"
                    if norm
                    else "norm=False"
                )
                raise NotYet(f"there are {_count(network, nn.BatchNorm2d)} nn.BatchNorm2d, not {wanted}: {words}")
            _new(network)
            copy_weights(network, partial(_chapters, WIDTH, norm))
            found[f"logits with norm={norm}"] = network(pictures)
        return found

    def wrong(old: type[nn.Module], new: Callable[[], nn.Module]) -> Callable[[int, bool], nn.Module]:
        return lambda width, norm: with_layers(partial(_chapters, width, norm), old, new)()

    mistakes = {
        "a sigmoid: the losses want logits": lambda width, norm: nn.Sequential(_chapters(width, norm), nn.Sigmoid()),
        "nn.LeakyReLU() has a slope of 0.01: here it is 0.2": wrong(nn.LeakyReLU, nn.LeakyReLU),
        "nn.ReLU is for the generator: here it is nn.LeakyReLU(0.2)": wrong(nn.LeakyReLU, nn.ReLU),
        "the activations are missing: nn.LeakyReLU(0.2)": wrong(nn.LeakyReLU, nn.Identity),
    }
    check(
        answer,
        _chapters,
        experiment,
        mistakes,
        "All layers are convolutions with kernel 4; biases only where norm=False.",
    )


def bounded(answer: Any) -> None:
    """Step 7: the largest singular value of each kernel, written as a matrix."""

    def experiment(function: Any) -> dict[str, Any]:
        network = function(_chapters(WIDTH, False))
        if network is None:
            raise NotYet("your code returns nothing: a `return` is missing")
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        pictures = torch.randn(2, 3, 64, 64)
        for _ in range(60):  # each pass in train mode is one step of the power iteration
            network(pictures)
        singular = torch.stack([torch.linalg.matrix_norm(layer.weight.flatten(1), 2) for layer in layers])
        return {
            "largest singular values": singular.detach(),
            "kernels that learn": torch.tensor([layer.weight.requires_grad for layer in layers]),
        }

    def right(network: nn.Module, skip: int = 0, last: bool = True) -> nn.Module:
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        for layer in layers[skip : None if last else -1]:
            nn.utils.parametrizations.spectral_norm(layer)
        return network

    mistakes = {
        "no layer is bounded": partial(right, skip=5),
        "the last layer is not bounded": partial(right, last=False),
        "the first layer is not bounded": partial(right, skip=1),
    }
    check(answer, right, experiment, mistakes, "torch.nn.utils.parametrizations has spectral_norm.", tolerance=0.05)


# --------------------------------------------------------------------------------------------------------- losses


def _logits(seed: int, middle: float = 0.0) -> Tensor:
    return (middle + 2 * torch.randn(8, generator=torch.Generator().manual_seed(seed))).requires_grad_()


def hinge_d(answer: Any) -> None:
    """Step 8: the discriminator's hinge loss."""
    right = partial(discriminator_loss, kind="hinge")
    mistakes = {
        "the signs are swapped: real pictures want logits above 1, fakes below -1": lambda r, f: right(-r, -f),
        "the max with 0 is missing: D would never rest": lambda r, f: (1 - r).mean() + (1 + f).mean(),
        "the max is of the mean: each logit has its own": lambda r, f: F.relu(1 - r.mean()) + F.relu(1 + f.mean()),
        "the margin of 1 is missing": lambda r, f: F.relu(-r).mean() + F.relu(f).mean(),
        "that is chapter 01's loss": partial(discriminator_loss, kind="non-saturating"),
    }
    check(answer, right, on_cases([(_logits(1), _logits(2)), (_logits(3, 2.0), _logits(4, -2.0))]), mistakes)


def hinge_g(answer: Any) -> None:
    """Step 8: the generator's hinge loss."""
    right = partial(generator_loss, kind="hinge")
    mistakes = {
        "the generator has no hinge: its loss is linear": lambda f: F.relu(1 - f).mean(),
        "that is chapter 01's loss": partial(generator_loss, kind="non-saturating"),
    }
    check(answer, right, on_cases([(_logits(1),), (_logits(2),)]), mistakes)


def feature_matching(answer: Any) -> None:
    """Step 9: the squared distance of the mean features."""
    mistakes = {
        "you compare picture with picture: compare the two means over the batch": lambda r, f: (
            (r - f).square().mean(0).sum()
        ),
        "you average over the features too: they keep a mean each": lambda r, f: (r.mean() - f.mean()).square(),
        "a mean over the features: the squared length of a vector is a sum": lambda r, f: (
            (r.mean(0) - f.mean(0)).square().mean()
        ),
        "the distance is not squared": lambda r, f: (r.mean(0) - f.mean(0)).norm(),
        "means over the features instead of the batch": lambda r, f: (r.mean(1) - f.mean(1)).square().sum(),
    }
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    cases = [(draw(6, 3), draw(6, 3).requires_grad_()), (draw(6, 3) + 1, draw(6, 3).requires_grad_())]
    check(answer, feature_matching_loss, on_cases(cases), mistakes)


def features_by_hand(answer: Any) -> None:
    """Step 10: the loss of two given means."""
    real, fake = torch.tensor([[1.0, 2.0]]).expand(16, 2), torch.tensor([[0.0, 4.0]]).expand(16, 2)
    check_number(
        answer, feature_matching_loss(real, fake).item(), hint="The squared length of the difference of the two means."
    )


def mirror(answer: Any) -> None:
    """Step 11: what mirrored faces do to the generator."""
    why = (
        "the set of faces is its own mirror image, so only the pictures that D sees change, not their distribution. "
        "It does help against memorising: 10,000 drawings become 20,000."
    )
    wrong = {
        "b": "mirrored faces are in the data already: the flag changes nothing about the distribution",
        "c": "each single picture is still one or the other",
    }
    check_choice(answer, "a", wrong, why)


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    g: Any, d: Any, opt_g: Any, opt_d: Any, real: Tensor, z_d: Tensor, z_g: Tensor, **mistake: Any
) -> tuple[Tensor, Tensor]:
    """Banners (1) and (2) of the chapter's loop with the hinge; a test holds them together. `mistake` breaks a part."""
    with torch.no_grad():
        fake = g(z_d)
    if mistake.get("joint"):
        real_logits, fake_logits = d(torch.cat([real, fake])).chunk(2)
    else:
        real_logits, fake_logits = d(real), d(fake)
    if mistake.get("swapped"):
        real_logits, fake_logits = fake_logits, real_logits
    loss_d = discriminator_loss(real_logits, fake_logits, "hinge")
    if mistake.get("clear_d", True):
        opt_d.zero_grad()
    loss_d.backward()
    if mistake.get("step_d", True):
        opt_d.step()
    drawn = fake if mistake.get("detached") else g(z_d if mistake.get("same_z") else z_g)
    loss_g = mistake.get("sign", 1) * generator_loss(d(drawn), "hinge")
    if mistake.get("clear_g", True):
        opt_g.zero_grad()
    loss_g.backward()
    if mistake.get("step_g", True):
        opt_g.step()
    return loss_d, loss_g


def whole_update(answer: Any, own_generator: Any, own_discriminator: Any) -> None:
    """Step 12: all weights after one step of the learner's networks and update, and of the chapter's."""
    if not answered(answer, step_5=own_generator, step_6=own_discriminator):
        return

    def experiment(update: Any) -> dict[str, Any]:
        patterns: list[Any] = [partial(Generator, width=WIDTH), partial(_chapters, WIDTH)]
        own = [partial(own_generator, WIDTH), partial(own_discriminator, WIDTH, True)]
        networks: Any = [build() for build in (own if update is answer else patterns)]
        for network, pattern in zip(networks, patterns, strict=True):
            copy_weights(network, pattern)
            for parameter in network.parameters():
                parameter.grad = torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
                )
        optimizers = [torch.optim.SGD(network.parameters(), 0.01) for network in networks]
        draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
        losses = update(*networks, *optimizers, draw(8, 3, 64, 64).clamp(-1, 1), draw(8, 100), draw(8, 100))
        return left_by_update(losses, dict(zip(("generator", "discriminator"), networks, strict=True)))

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "real and fake pass D in one batch: its BatchNorm mixes them, so give it one after the other": wrong(
            joint=True
        ),
        "opt_d.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_d=False
        ),
        "opt_g.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_g=False
        ),
        "both zero_grad() are missing or too late, for they belong before backward()": wrong(
            clear_d=False, clear_g=False
        ),
        "the discriminator did not move: loss_d.backward() or opt_d.step() is missing": wrong(step_d=False),
        "the generator did not move: loss_g.backward() or opt_g.step() is missing": wrong(step_g=False),
        "the generator got the fakes of D's step, which carry no graph: no gradient reaches it": wrong(detached=True),
        "the generator got the latents z_d: it is updated with z_g": wrong(same_z=True),
        "real and fake are swapped in D's loss": wrong(swapped=True),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
        "the generator's loss has the wrong sign": wrong(sign=-1),
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


def draw(answer: Any) -> None:
    """Step 13: pictures in eval mode and without a graph, and the generator in train mode afterwards."""

    def experiment(function: Any) -> dict[str, Any]:
        network, z = Generator(width=WIDTH), torch.randn(8, 100)
        return as_it_was(network, function(network, z))

    def right(network: nn.Module, z: Tensor, training: bool = False) -> Tensor:
        with torch.no_grad():
            pictures: Tensor = network.train(training)(z)
        network.train()
        return pictures

    train_mode = {
        "train mode: each picture depends on its batch, so call generator.eval() first": partial(right, training=True)
    }
    check(answer, right, experiment, train_mode)
