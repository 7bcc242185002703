"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

import gaussians
import train
import transport
from common.checks import (
    NotYet,
    answered,
    check,
    check_choice,
    check_number,
    copy_weights,
    left_by_update,
    on_cases,
    with_layers,
)
from model import Critic, Generator

WIDTH = 4  # of the networks that are compared
LAMBDA = 10.0


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------- distance


def two_spreads(answer: Any) -> None:
    """Step 1: W between even spreads over [0, 1] and [2, 5], carried by 2,000 points."""
    places = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    by_brute_force = float(scipy.stats.wasserstein_distance(places, 2 + 3 * places))
    check_number(
        answer, by_brute_force, hint="On a line the best plan keeps the order. Where does the point at y have to go?"
    )


def distance(answer: Any) -> None:
    """Step 2: W between two clouds on a line, against a solver."""

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.tensor(transport.distance(x[:, None], y[:, None]))

    mistakes = {
        "each point goes to the one with its number: which plan is the cheapest?": lambda x, y: (x - y).abs().mean(),
        "that is the distance of the two means: a spread costs something, too": lambda x, y: (
            x.mean() - y.mean()
        ).abs(),
        "the ways are squared: W is the mean way itself": lambda x, y: (
            (x.sort().values - y.sort().values).square().mean()
        ),
        "the ways have no sign: take abs() before the mean": lambda x, y: (x.sort().values - y.sort().values).mean(),
        "a sum of the ways: W is their mean": lambda x, y: (x.sort().values - y.sort().values).abs().sum(),
    }
    cases = [(_draw(n, seed=n), 2 * _draw(n, seed=n + 1) + 1) for n in (5, 8, 50)]
    check(answer, right, on_cases(cases), mistakes, "The best plan on a line never crosses.")


# --------------------------------------------------------------------------------------------------------- losses


def critic_loss(answer: Any) -> None:
    """Step 3: what the critic minimises, without the penalty."""
    mistakes = {
        "the sign: the critic wants real scores high, and an optimiser descends": lambda r, f: r.mean() - f.mean(),
        "scores are no logits: no sigmoid, no cross-entropy": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
        "a distance has two ends: subtract, do not add": lambda r, f: f.mean() + r.mean(),
        "no absolute value: the sign tells which is higher": lambda r, f: -(f.mean() - r.mean()).abs(),
    }
    cases = [
        (_draw(8, seed=i).requires_grad_(), (2 * _draw(8, seed=i + 9) + shift).requires_grad_())
        for i, shift in ((0, 1), (1, -1))
    ]
    check(answer, train.critic_loss, on_cases(cases), mistakes)


def generator_loss(answer: Any) -> None:
    """Step 3: what the generator minimises."""
    mistakes = {
        "scores are no logits: no softplus": lambda f: F.softplus(-f).mean(),
        "no absolute value: higher is better without end": lambda f: -f.mean().abs(),
    }
    cases = [((_draw(8, seed=i) + shift).requires_grad_(),) for i, shift in ((0, 1), (1, -1))]
    check(answer, train.generator_loss, on_cases(cases), mistakes)


# ------------------------------------------------------------------------------------------------------- networks


def _chapters(width: int) -> Critic:
    return Critic(width, (1, 28, 28))


def critic(answer: Any) -> None:
    """Step 4: the same scores as the chapter's critic from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(WIDTH)
        if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
            raise NotYet(
                "BatchNorm mixes the pictures of a batch, and the penalty asks for each picture's own gradient: GroupNorm(1, …)"
            )
        if any(isinstance(layer, nn.Sigmoid) for layer in network.modules()):
            raise NotYet("a sigmoid: a score is no probability, and has no bounds")
        copy_weights(network, partial(_chapters, WIDTH))
        return {"scores": network(_draw(4, 1, 28, 28))}

    def wrong(old: type[nn.Module], new: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
        return lambda width: with_layers(partial(_chapters, width), old, new)()

    mistakes = {
        "nn.LeakyReLU() has a slope of 0.01: here it is 0.2": wrong(nn.LeakyReLU, nn.LeakyReLU),
        "nn.ReLU is for the generator: here it is nn.LeakyReLU(0.2)": wrong(nn.LeakyReLU, nn.ReLU),
        "a sigmoid at the end: a score has no bounds": lambda width: nn.Sequential(_chapters(width), nn.Sigmoid()),
        "the groups: one for all channels, nn.GroupNorm(1, channels)": wrong(
            nn.GroupNorm, lambda: nn.GroupNorm(2, 2 * WIDTH)
        ),
    }
    check(
        answer,
        _chapters,
        experiment,
        mistakes,
        "Conv, LeakyReLU; Conv without bias, GroupNorm(1, 2w), LeakyReLU; Conv.",
    )


# -------------------------------------------------------------------------------------------------------- penalty


def _either(function: Any, *case: Any) -> Tensor:
    """What a function gives for epsilon and for 1 - epsilon, in an order that does not tell which of the two it took."""
    *rest, epsilon = case
    found = [function(*rest, epsilon), function(*rest, 1 - epsilon)]
    if any(part is None for part in found):
        raise NotYet("your code returns nothing: a `return` is missing")
    if any(part.shape != found[0].shape for part in found):
        raise NotYet("the shape of your result depends on epsilon")
    return torch.stack(found).sort(dim=0).values


def interpolates(answer: Any) -> None:
    """Step 5: points between pairs; epsilon may belong to either end."""
    cases = [
        (_draw(6, *shape), _draw(6, *shape, seed=1), torch.rand(6, generator=torch.Generator().manual_seed(2)))
        for shape in ((1, 4, 4), (2,))
    ]

    def experiment(function: Any) -> dict[str, Any]:
        names = ("points between pictures", "points in the plane")
        return {name: _either(function, *case) for name, case in zip(names, cases, strict=True)}

    def one(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
        return train.interpolates(real, fake, epsilon[:1].expand(len(real)))

    mistakes = {
        "one epsilon for the whole batch: each pair has its own": one,
        "the two shares do not add up to 1": lambda r, f, e: train.interpolates(r, 0 * f, e) + f,
        "both ends are real pictures": lambda r, f, e: train.interpolates(r, r, e),
        "half-way for all: epsilon is not used": lambda r, f, e: (r + f) / 2,
    }
    check(answer, train.interpolates, experiment, mistakes, "epsilon [N] has to become [N, 1, 1, 1] for pictures.")


_weight = torch.tensor(0.3, requires_grad=True)


def _curved(points: Tensor) -> Tensor:
    """A critic with one weight, whose slope differs from place to place."""
    return _weight * points.square().flatten(1).sum(1)


def _with_gradient(value: Any, what: str) -> dict[str, Any]:
    """A result, and the gradient by the critic's weight of the sum of its squares."""
    if not isinstance(value, Tensor):
        return {what: value}
    if not value.requires_grad:
        raise NotYet(
            "no gradient leads back to the critic's weights, so they would learn nothing: create_graph=True, and no detach()"
        )
    return {what: value, "gradient by the critic's weight": torch.autograd.grad(value.square().sum(), _weight)[0]}


def _norms(critic: Any, points: Tensor, mean: bool = False, power: float = 1, whole: bool = False) -> Tensor:
    points = points.detach().requires_grad_()
    scores = critic(points)
    (gradients,) = torch.autograd.grad(scores.mean() if mean else scores.sum(), points, create_graph=True)
    return gradients.norm().expand(len(points)) if whole else gradients.flatten(1).norm(dim=1) ** power


def gradient_norms(answer: Any) -> None:
    """Step 6: the norm of each picture's own gradient, and what it teaches the critic."""
    mistakes = {
        "the gradient of the MEAN score is N times too small: take the sum": partial(_norms, mean=True),
        "the norms are squared: the root is missing": partial(_norms, power=2),
        "one norm for the whole batch: each picture has its own": partial(_norms, whole=True),
    }

    def experiment(function: Any) -> dict[str, Any]:
        return _with_gradient(function(_curved, _draw(6, 3, 4, 4)), "norms")

    check(answer, train.gradient_norms, experiment, mistakes, "Over all numbers of a picture: [N, C, H, W] -> [N].")


def gradient_penalty(answer: Any) -> None:
    """Step 7: the penalty's value, and the gradient that trains the critic; epsilon may belong to either end."""
    case = (
        _curved,
        _draw(6, 3, 4, 4),
        _draw(6, 3, 4, 4, seed=1),
        torch.rand(6, generator=torch.Generator().manual_seed(2)),
    )

    def at(points_of: Any = train.interpolates, of_norms: Any = lambda n: (n - 1).square().mean(), dim: int = 0) -> Any:
        def penalty(critic: Any, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
            points = points_of(real, fake, epsilon).detach().requires_grad_()
            (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
            return of_norms(gradients.norm(dim=1) if dim else gradients.flatten(1).norm(dim=1))

        return penalty

    mistakes = {
        "norm(dim=1) is over the channels alone: flatten(1) first": at(dim=1),
        "one epsilon for the whole batch: each pair has its own": at(
            lambda r, f, e: train.interpolates(r, f, e[:1].expand(len(r)))
        ),
        "both faults are still there: one epsilon for all, and a norm over the channels alone": at(
            lambda r, f, e: train.interpolates(r, f, e[:1].expand(len(r))), dim=1
        ),
        "at real pictures only: the penalty looks between real and fake": at(lambda r, f, e: r),
        "the norm is to be near 1, not near 0": at(of_norms=lambda n: n.square().mean()),
        "the square is missing": at(of_norms=lambda n: (n - 1).mean()),
        "a sum over the batch instead of a mean": at(of_norms=lambda n: (n - 1).square().sum()),
    }
    check(
        answer, train.gradient_penalty, lambda function: _with_gradient(_either(function, *case), "penalty"), mistakes
    )


def estimate(slope: float) -> float:
    """What a critic says of two clusters at the distance 3 after 300 steps with a penalty for leaving that slope."""
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = gaussians.make_optimizer(judge, gaussians.Config(lr=5e-3))
    for _ in range(300):
        real, fake = 0.1 * torch.randn(128, 1), 3 + 0.1 * torch.randn(128, 1)
        real_scores, fake_scores = judge(real), judge(fake)
        norms = train.gradient_norms(judge, train.interpolates(real, fake, torch.rand(128)))
        optimizer.zero_grad()
        (train.critic_loss(real_scores, fake_scores) + 100 * (norms - slope).square().mean()).backward()
        optimizer.step()
    return train.wasserstein_estimate(real_scores, fake_scores).item()


def doubled_slope(answer: Any) -> None:
    """Step 8: the estimate with a slope of 2, by training a critic."""
    if answered(answer):
        with torch.random.fork_rng(devices=[]):
            check_number(answer, estimate(2.0), tolerance=0.15, hint="A slope of at most K gives K times the distance.")


def linear_critic(answer: Any) -> None:
    """Step 9: the best slope of a linear critic, by trying all."""
    slopes = torch.linspace(0, 3, 30001, dtype=torch.float64)
    best = slopes[(-3 * slopes + 10 * (slopes - 1).square()).argmin()].item()
    check_number(
        answer, best, tolerance=0.002, hint="Minimise -3 w + 10 (w - 1)². The penalty pulls, it does not forbid."
    )


def clip_weights(answer: Any) -> None:
    """Step 10: all weights of a critic after clipping."""

    def experiment(function: Any) -> dict[str, Any]:
        network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3), nn.Flatten(), nn.Linear(12, 1))
        before = parameters_to_vector(network.parameters()).detach().clone()
        function(network, 0.05)
        after = parameters_to_vector(network.parameters())
        if torch.equal(before, after.detach()):
            raise NotYet("no weight has changed: clamp_() works in place, clamp() returns a new tensor")
        return {"weights": after}

    def only(network: nn.Module, bound: float, lowest: bool = True, vectors: bool = True) -> None:
        with torch.no_grad():
            for weight in network.parameters():
                if vectors or weight.ndim > 1:
                    weight.clamp_(-bound if lowest else None, bound)

    mistakes = {
        "the lower bound is missing: -c": partial(only, lowest=False),
        "biases and norms are clipped, too: all of network.parameters()": partial(only, vectors=False),
    }
    check(answer, train.clip_weights, experiment, mistakes)


def modes(answer: Any) -> None:
    """Step 11: how many of eight Gaussians the penalty covers."""
    why = "all eight. A plain GAN may find them too, or four of them: it need not collapse, and nothing prevents it."
    check_choice(answer, "a", {"b": "run it and look at the animation"}, why)


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    generator: Any,
    critic: Any,
    opt_g: Any,
    opt_d: Any,
    reals: Tensor,
    zs: Tensor,
    epsilons: Tensor,
    z_g: Tensor,
    **mistake: Any,
) -> tuple[Tensor, Tensor]:
    """Banners (1) and (2) of the chapter's loop; a test holds them together. `mistake` breaks a part."""
    rounds = list(zip(reals, zs, epsilons, strict=True))
    for real, z, epsilon in rounds[: mistake.get("rounds", len(rounds))]:
        with torch.no_grad():
            fake = generator(z)
        loss_d = mistake.get("sign_d", 1) * train.critic_loss(critic(real), critic(fake))
        loss_d = loss_d + mistake.get("weight", LAMBDA) * train.gradient_penalty(critic, real, fake, epsilon)
        if mistake.get("clear_d", True):
            opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
    loss_g = mistake.get("sign_g", 1) * train.generator_loss(critic(generator(z_g)))
    if mistake.get("clear_g", True):
        opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    return loss_d, loss_g


def whole_update(answer: Any, own_critic: Any) -> None:
    """Step 12: all weights after one step of the learner's update and critic, and of the chapter's."""
    if not answered(answer, own_critic):
        return

    def experiment(update: Any) -> dict[str, Any]:
        networks: Any = (Generator(width=WIDTH), own_critic(WIDTH) if update is answer else _chapters(WIDTH))
        copy_weights(networks[0], partial(Generator, width=WIDTH))
        copy_weights(networks[1], partial(_chapters, WIDTH))
        for parameter in (p for network in networks for p in network.parameters()):
            parameter.grad = _draw(*parameter.shape, seed=parameter.numel())
        optimizers = [torch.optim.SGD(network.parameters(), 0.01) for network in networks]
        epsilons = torch.full((3, 8), 0.5)  # half-way, so that epsilon may belong to either end
        losses = update(
            *networks, *optimizers, _draw(3, 8, 1, 28, 28), _draw(3, 8, 128, seed=1), epsilons, _draw(8, 128, seed=2)
        )
        return left_by_update(losses, dict(zip(("generator", "critic"), networks, strict=True)))

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "the critic is updated once: it is updated for each of the K batches": wrong(rounds=1),
        "the penalty is missing, or has the weight 0": wrong(weight=0.0),
        "the penalty has the weight 1: lambda is 10": wrong(weight=1.0),
        "the critic's loss has the wrong sign": wrong(sign_d=-1),
        "the generator's loss has the wrong sign": wrong(sign_g=-1),
        "opt_d.zero_grad() is missing: it belongs into the loop, before backward()": wrong(clear_d=False),
        "opt_g.zero_grad() is missing: old gradients are still there": wrong(clear_g=False),
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


def draw(answer: Any) -> None:
    """Step 13: pictures in eval mode and without a graph, and the generator in train mode afterwards."""

    def experiment(function: Any) -> dict[str, Any]:
        network, z = Generator(width=WIDTH), _draw(8, 128)
        pictures = function(network, z)
        if isinstance(pictures, Tensor) and pictures.requires_grad:
            raise NotYet("the pictures carry a graph that nobody needs: torch.no_grad()")
        if not network.training:
            raise NotYet("the generator stays in eval mode: call generator.train() before you return")
        return {"pictures": pictures}

    def right(network: nn.Module, z: Tensor, training: bool = False) -> Tensor:
        with torch.no_grad():
            pictures: Tensor = network.train(training)(z)
        network.train()
        return pictures

    train_mode = {
        "train mode: each picture depends on its batch, so call generator.eval() first": partial(right, training=True)
    }
    check(answer, right, experiment, train_mode)
