"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.nn.utils.parametrize import is_parametrized

import gaussians
import train
import transport
from common.checks import (
    NotYet,
    answered,
    as_it_was,
    blank,
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
OWN_EPSILON = "you draw your own ε: use the one that you are given, one for each pair"


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STEPS = {"critic_loss": 3, "generator_loss": 3, "interpolates": 5, "gradient_norms": 6, "gradient_penalty": 7}


def _needs(answer: Any) -> bool:
    """Whether an answer calls a function of an earlier step that is still blank; says so."""
    waiting, seen = [answer], set()
    while waiting:
        function = waiting.pop()
        for name in getattr(getattr(function, "__code__", None), "co_names", ()):
            called = function.__globals__.get(name)
            if name in STEPS and name not in seen and called is not None:
                if blank(called):
                    print(f"step {STEPS[name]} is not answered yet")
                    return True
                seen.add(name)
                waiting.append(called)
    return False


# ------------------------------------------------------------------------------------------------------- distance


def two_spreads(answer: Any) -> None:
    """Step 1: W between even spreads over [0, 3] and [1, 2], carried by 2,000 points."""
    places = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    by_brute_force = float(scipy.stats.wasserstein_distance(3 * places, 1 + places))
    zero = isinstance(answer, (int, float)) and abs(answer) < 0.01
    spread = "The means agree, but the spread has to be carried, too."
    hint = spread if zero else "Some points go to the right and some to the left: a distance has no sign."
    check_number(answer, by_brute_force, hint=hint)


def distance(answer: Any) -> None:
    """Step 2: W between two clouds on a line, against a solver."""

    def right(x: Tensor, y: Tensor) -> Tensor:
        return torch.tensor(transport.distance(x[:, None], y[:, None]))

    mistakes = {
        "each point goes to the one with its number: which plan is the cheapest?": lambda x, y: (x - y).abs().mean(),
        "that is the distance of the two means: a spread costs something, too": lambda x, y: (
            x.mean() - y.mean()
        ).abs(),
        "the distances are squared: W is the mean distance itself": lambda x, y: (
            (x.sort().values - y.sort().values).square().mean()
        ),
        "distances have no sign: take abs() before the mean": lambda x, y: (x.sort().values - y.sort().values).mean(),
        "a sum of the distances: W is their mean": lambda x, y: (x.sort().values - y.sort().values).abs().sum(),
    }
    cases = [(_draw(n, seed=n), 2 * _draw(n, seed=n + 1) + 1) for n in (5, 8, 50)]
    check(answer, right, on_cases(cases), mistakes, "On a line one of the best plans never crosses.")


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


def _compare_shapes(network: nn.Module) -> None:
    """Say in words what the shapes of a critic's weights tell about its layers."""
    mine, wanted = ([tuple(part.shape) for part in net.parameters()] for net in (network, _chapters(WIDTH)))
    missing, extra = Counter(wanted) - Counter(mine), Counter(mine) - Counter(wanted)
    per_channel = (
        2 * WIDTH,
    )  # the shape of GroupNorm's scales, of its shifts, and of a bias of the second convolution
    if any(isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1 for layer in network.modules()):
        raise NotYet("nearly: its scales are one per pixel; GroupNorm(1, …) has one per channel")
    if set(missing) == {per_channel} and not extra:
        raise NotYet("GroupNorm is missing or has no scales")
    if extra == {per_channel: 1} and not missing:
        raise NotYet("the second convolution has no bias in the table: GroupNorm brings shifts of its own")
    if mine != wanted and not missing and not extra:
        raise NotYet("declare the layers in the order of the table")
    if any(isinstance(layer, nn.InstanceNorm2d) for layer in network.modules()):
        raise NotYet("InstanceNorm takes a mean for each channel: GroupNorm(1, …) takes one for the whole picture")


def critic(answer: Any) -> None:
    """Step 4: the same scores as the chapter's critic from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(WIDTH)
        layers = list(network.modules())
        if any(isinstance(layer, nn.BatchNorm2d) for layer in layers):
            raise NotYet(
                "BatchNorm mixes the pictures of a batch, and the penalty asks for each picture's own gradient: GroupNorm(1, …)"
            )
        if any(is_parametrized(layer) for layer in layers):
            raise NotYet("no spectral norm here: the penalty sees to the slope")
        if any(isinstance(layer, nn.Sigmoid) for layer in layers):
            raise NotYet("a sigmoid: a score is no probability, and has no bounds")
        if any(isinstance(layer, nn.GroupNorm) and layer.num_groups != 1 for layer in layers):
            raise NotYet("the groups: one for all channels, nn.GroupNorm(1, channels)")
        _compare_shapes(network)
        copy_weights(network, partial(_chapters, WIDTH))
        return {"scores": network(_draw(4, 1, 28, 28))}

    def wrong(old: type[nn.Module], new: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
        return lambda width: with_layers(partial(_chapters, width), old, new)()

    mistakes = {
        "nn.LeakyReLU() has a slope of 0.01: here it is 0.2": wrong(nn.LeakyReLU, nn.LeakyReLU),
        "nn.ReLU is for the generator: here it is nn.LeakyReLU(0.2)": wrong(nn.LeakyReLU, nn.ReLU),
        "a sigmoid at the end: a score has no bounds": lambda width: nn.Sequential(_chapters(width), nn.Sigmoid()),
    }
    table = "Compare your layers with the table, one by one."
    check(answer, _chapters, experiment, mistakes, {"your network": table, "off by": table})


# -------------------------------------------------------------------------------------------------------- penalty


def _either(function: Any, name: str, *case: Any) -> dict[str, Any]:
    """What a function gives for epsilon and for 1 - epsilon, in an order that does not tell which of the two it took."""
    *rest, epsilon = case
    found = [function(*deepcopy(rest), share.clone()) for share in (epsilon, 1 - epsilon, epsilon)]
    if any(part is None for part in found):
        raise NotYet("your code returns nothing: a `return` is missing")
    if any(isinstance(part, float) for part in found):
        raise NotYet(f"no gradient flows back from your {name}: detach(), item() or no_grad() has cut it off")
    if not all(isinstance(part, Tensor) for part in found):
        raise NotYet(f"your {name} is of the type {type(found[0]).__name__}, and should be a tensor")
    if any(part.shape != found[0].shape for part in found):
        raise NotYet("the shape of your result depends on epsilon")
    if not torch.allclose(found[0], found[2], equal_nan=True):
        raise NotYet(OWN_EPSILON)
    lower, upper = torch.stack(found[:2]).sort(dim=0).values
    return {name: lower, f"{name} from the other end": upper}


def _swapped(function: Any, real: Tensor, fake: Tensor, epsilon: Tensor) -> bool:
    """Whether epsilon is the share of the fakes."""
    with contextlib.suppress(Exception):  # whatever a learner's code can raise
        return torch.allclose(function(real, fake, epsilon), train.interpolates(fake, real, epsilon))
    return False


def interpolates(answer: Any) -> None:
    """Step 5: points between pairs; epsilon may belong to either end."""
    cases = [
        (_draw(6, *shape), _draw(6, *shape, seed=1), torch.rand(6, generator=torch.Generator().manual_seed(2)))
        for shape in ((1, 4, 4), (2,))
    ]

    def experiment(function: Any) -> dict[str, Any]:
        names = ("points between pictures", "points in the plane")
        found = [_either(function, name, *case) for name, case in zip(names, cases, strict=True)]
        return found[0] | found[1]

    def one(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
        return train.interpolates(real, fake, epsilon[:1].expand(len(real)))

    mistakes = {
        "one epsilon for the whole batch: each pair has its own": one,
        "the two shares do not add up to 1": lambda r, f, e: train.interpolates(r, 0 * f, e) + f,
        "both ends are real pictures": lambda r, f, e: train.interpolates(r, r, e),
        "half-way for all: epsilon is not used": lambda r, f, e: (r + f) / 2,
    }
    ones = "epsilon has to become [N, 1] for points in the plane and [N, 1, 1, 1] for pictures: as many ones as real.dim() - 1."
    hints = {"the shape": ones, "must match": ones}
    swapped = "your ε counts from the other end, which is as good" if _swapped(answer, *cases[0]) else ""
    check(answer, train.interpolates, experiment, mistakes, hints, why=swapped)


_weight = torch.tensor(0.3, requires_grad=True)


def _curved(points: Tensor) -> Tensor:
    """A critic with one weight, whose slope differs from place to place."""
    return _weight * points.square().flatten(1).sum(1)


def _flat(points: Tensor) -> Tensor:
    """The same, with slopes below 1."""
    return 0.01 * _curved(points)


def _straight(points: Tensor) -> Tensor:
    """A critic with one weight, whose slope is the same everywhere."""
    return _weight * (points * _draw(*points.shape[1:], seed=3)).flatten(1).sum(1)


def _with_gradient(results: dict[str, Any]) -> dict[str, Any]:
    """Results, and the gradient by the critic's weight of the sum of their squares."""
    values = list(results.values())
    if not all(isinstance(value, Tensor) for value in values):
        return results
    if not all(value.requires_grad for value in values):
        raise NotYet(
            "no gradient leads back to the critic's weights, so they would learn nothing: create_graph=True, and no detach()"
        )
    squares = torch.stack([value.square().sum() for value in values]).sum()
    return results | {f"gradient of the {next(iter(results))}": torch.autograd.grad(squares, _weight)[0]}


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
        _weight.grad = None
        norms = function(_curved, _draw(6, 3, 4, 4))
        if _weight.grad is not None:
            raise NotYet("backward() also adds to the weights' own gradients: use torch.autograd.grad")
        return _with_gradient({"norms": norms})

    before = "Call requires_grad_() before the points go through the critic."
    hints = {
        "does not require grad": before,
        "not have been used": before,
        "scalar outputs": "Take the sum of the scores.",
        "'tuple' object": "`grad` returns a tuple: `(gradients,) = …`.",
        "the shape": "Over all numbers of a picture: [N, C, H, W] -> [N].",
    }
    check(answer, train.gradient_norms, experiment, mistakes, hints)


def gradient_penalty(answer: Any) -> None:
    """Step 7: the penalty's value, and the gradient that trains the critic; epsilon may belong to either end."""
    epsilon = torch.rand(6, generator=torch.Generator().manual_seed(2))
    case = (_draw(6, 3, 4, 4), _draw(6, 3, 4, 4, seed=1), epsilon)

    def at(points_of: Any = train.interpolates, of_norms: Any = lambda n: (n - 1).square().mean(), dim: int = 0) -> Any:
        def penalty(critic: Any, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
            points = points_of(real, fake, epsilon).detach().requires_grad_()
            (gradients,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
            return of_norms(gradients.norm(dim=1) if dim else gradients.flatten(1).norm(dim=1))

        return penalty

    def experiment(function: Any) -> dict[str, Any]:
        try:
            steep = _either(function, "penalty", _curved, *case)
        except NotYet as words:
            if str(words) == OWN_EPSILON:  # on a straight critic no ε matters: what is left is the norm
                found, channels = (penalty(_straight, *case) for penalty in (function, at(dim=1)))
                if torch.allclose(found, channels):
                    raise NotYet("both faults are still there") from None
            raise
        return _with_gradient(steep) | _with_gradient(
            _either(function, "penalty where all slopes are below 1", _flat, *case)
        )

    def first(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
        return train.interpolates(real, fake, epsilon[:1].expand(len(real)))

    mistakes = {
        "norm(dim=1) is over the channels alone: flatten(1) first": at(dim=1),
        "one epsilon for the whole batch: each pair has its own": at(first),
        "both faults are still there: one epsilon for all, and a norm over the channels alone": at(first, dim=1),
        "at real pictures only: the penalty looks between real and fake": at(lambda r, f, e: r),
        "the norm is to be near 1, not near 0": at(of_norms=lambda n: n.square().mean()),
        "the square is missing": at(of_norms=lambda n: (n - 1).mean()),
        "a sum over the batch instead of a mean": at(of_norms=lambda n: (n - 1).square().sum()),
        "only slopes above 1 are punished: the formula punishes those below 1, too": at(
            of_norms=lambda n: (n - 1).clamp(min=0).square().mean()
        ),
        "without λ: step 12 multiplies by 10": at(of_norms=lambda n: LAMBDA * (n - 1).square().mean()),
    }
    if not _needs(answer):
        check(answer, train.gradient_penalty, experiment, mistakes)


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
            hint, why = (
                "A slope of at most K gives K times the distance.",
                "about 6. Step 9 shows why it is a little more.",
            )
            check_number(answer, estimate(2.0), tolerance=0.15, hint=hint, why=why)


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
        other, before = deepcopy(network), parameters_to_vector(network.parameters()).detach().clone()
        function(network, 0.05)
        function(other, 0.02)
        after, tighter = (parameters_to_vector(net.parameters()) for net in (network, other))
        if torch.equal(before, after.detach()):
            raise NotYet("no weight has changed: clamp_() works in place, clamp() returns a new tensor")
        if torch.equal(after, tighter):
            raise NotYet("clip to `bound`, not to a number of your own")
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
    """Step 11: how many of eight Gaussians chapter 01's loss covers, with three seeds."""
    why = "six, six and four in our runs, and all eight with the penalty. A plain GAN need not collapse, and nothing prevents it."
    check_choice(answer, "b", {"a": "run it with each of the seeds"}, why)


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
    for real, z, epsilon in zip(reals, zs, epsilons, strict=True):
        real, z = reals[0] if mistake.get("same_real") else real, zs[0] if mistake.get("same_z") else z
        epsilon = epsilons[0] if mistake.get("same_epsilon") else epsilon
        with torch.no_grad():
            fake = generator(z)
        distance = mistake.get("sign_d", 1) * train.critic_loss(critic(real), critic(fake))
        loss_d = distance + mistake.get("weight", LAMBDA) * train.gradient_penalty(critic, real, fake, epsilon)
        if mistake.get("clear_d", True):
            opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        if mistake.get("late"):
            opt_d.zero_grad()
    loss_g = mistake.get("sign_g", 1) * train.generator_loss(critic(generator(z if mistake.get("last_z") else z_g)))
    if mistake.get("clear_g", True):
        opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    return distance if mistake.get("bare") else loss_d, loss_g


def _look_at_order(events: str, rounds: int) -> None:
    """Say what is wrong with the order of an update.

    Its letters: d and g are steps of the two optimisers, b a backward pass, and a is a joint batch of fakes.
    """
    steps = events.replace("a", "").replace("b", "")
    if "a" in events:
        raise NotYet("draw each batch's fakes by itself: BatchNorm in G sees its batch")
    if "d" not in steps or "g" not in steps:
        raise NotYet(f"opt_{'g' if 'd' in steps else 'd'}.step() is missing")
    if steps.index("g") < len(steps) - 1:
        raise NotYet("G learns once, after the K updates")
    if steps.count("d") == 1:
        raise NotYet("the critic is updated once: it has to be updated for each of the K batches")
    if steps.count("d") != rounds:
        raise NotYet(f"the critic is updated {steps.count('d')} times for {rounds} batches")


def whole_update(answer: Any, own_critic: Any) -> None:
    """Step 12: all weights after one step of the learner's update and critic, and of the chapter's; ε may belong to either end."""
    if not answered(answer) or _needs(answer) or not answered(step_4=own_critic):
        return
    reals, zs, z_g = _draw(3, 8, 1, 28, 28), _draw(3, 8, 128, seed=1), _draw(8, 128, seed=2)
    epsilons = torch.rand(3, 8, generator=torch.Generator().manual_seed(3))

    def play(update: Any, epsilons: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor, str]:
        """What an update leaves behind, the generator's weights before, and what happened: see `_look_at_order`."""
        networks: Any = (Generator(width=WIDTH), own_critic(WIDTH) if update is answer else _chapters(WIDTH))
        copy_weights(networks[0], partial(Generator, width=WIDTH))
        copy_weights(networks[1], partial(_chapters, WIDTH))
        before = parameters_to_vector(networks[0].parameters()).detach().clone()
        for parameter in (p for network in networks for p in network.parameters()):
            parameter.grad = _draw(*parameter.shape, seed=parameter.numel())
        events: list[str] = []
        optimizers = [torch.optim.SGD(network.parameters(), 0.01) for network in networks]
        for optimizer, name in zip(optimizers, "gd", strict=True):
            optimizer.register_step_post_hook(lambda *_, name=name: events.append(name))
        networks[0].register_forward_pre_hook(lambda _, given: events.append("a") if len(given[0]) > 8 else None)
        next(networks[1].parameters()).register_post_accumulate_grad_hook(lambda _: events.append("b"))
        torch.manual_seed(seed)
        losses = update(*networks, *optimizers, *(part.clone() for part in (reals, zs, epsilons, z_g)))
        return (
            left_by_update(losses, dict(zip(("generator", "critic"), networks, strict=True))),
            before,
            "".join(events),
        )

    def experiment(update: Any) -> dict[str, Any]:
        found, before, events = play(update, epsilons, seed=2)
        _look_at_order(events, rounds=len(reals))
        if torch.equal(found["generator's weights"], before):
            if "b" not in events.rpartition("d")[2]:
                raise NotYet("the generator has not moved: loss_g.backward() is missing")
            raise NotYet("the generator has not moved: no gradient reaches it. Its fakes need a graph here")
        again = play(update, epsilons, seed=3)[0]
        if any(not torch.allclose(found[name], again[name], equal_nan=True) for name in found):
            raise NotYet("use the z and ε of this batch, from zs and epsilons, and z_g for G")
        other = play(update, 1 - epsilons, seed=2)[0]  # as a set, the two do not tell which end ε belongs to
        return {name: torch.stack((found[name], other[name])).sort(dim=0).values for name in found}

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "the penalty is missing, or has the weight 0": wrong(weight=0.0),
        "the penalty has the weight 1: lambda is 10": wrong(weight=1.0),
        "the weights are right; loss_d has to contain the penalty": wrong(bare=True),
        "the critic's loss has the wrong sign": wrong(sign_d=-1),
        "the generator's loss has the wrong sign": wrong(sign_g=-1),
        "opt_d.zero_grad() is missing: it belongs in the loop, before backward()": wrong(clear_d=False),
        "opt_d.zero_grad() comes too late: it belongs in the loop, before backward()": wrong(clear_d=False, late=True),
        "opt_g.zero_grad() is missing or too late: old gradients are still there": wrong(clear_g=False),
        "use the z and ε of this batch, from zs and epsilons: yours are always the first": wrong(same_z=True),
        "use the real pictures of this batch: yours are always the first": wrong(same_real=True),
        "each batch has its own pictures, latents and ε: yours are always the first": wrong(
            same_real=True, same_z=True, same_epsilon=True
        ),
        "use the ε of this batch, from epsilons: yours is always the first": wrong(same_epsilon=True),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
        "the generator learns from z_g, not from the critic's last z": wrong(last_z=True),
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


def draw(answer: Any) -> None:
    """Step 13: pictures in eval mode and without a graph, and the generator in train mode afterwards."""

    def experiment(function: Any) -> dict[str, Any]:
        network, z = Generator(width=WIDTH), _draw(8, 128)
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
