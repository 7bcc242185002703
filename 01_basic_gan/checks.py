"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

import ring
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
from model import Discriminator, Generator
from train import discriminator_loss as chapters_discriminator_loss
from train import draw_targets
from train import generator_loss as chapters_generator_loss

CPU = torch.device("cpu")


# ------------------------------------------------------------------------------------------------ the two updates


def real_and_fake(real: Tensor, fake: Tensor) -> Tensor:
    """The loss of the discriminator for logits [N] and [N]."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, clear: bool = True) -> Tensor:
    """One update: without `clear` the gradients of the last one are added."""
    if clear:
        optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def _step_d(
    loss: Callable[[Tensor, Tensor], Tensor] = real_and_fake, detach: bool = True, clear: bool = True
) -> Callable[..., Tensor]:
    """The discriminator's update, right or with a mistake in it."""

    def update(generator: Any, discriminator: Any, opt_d: Any, real: Tensor, z: Tensor) -> Tensor:
        with torch.set_grad_enabled(not detach):
            fake = generator(z)
        return descend(opt_d, loss(discriminator(real), discriminator(fake)), clear)

    return update


def _step_g(kind: Callable[[Tensor], Tensor] = lambda logits: F.softplus(-logits).mean(), clear: bool = True) -> Any:
    """The generator's update, right or with a mistake in it."""
    return lambda generator, discriminator, opt_g, z: descend(opt_g, kind(discriminator(generator(z))), clear)


SWAPPED = _step_d(lambda real, fake: real_and_fake(-real, -fake))
MISTAKES_D = {
    "the labels are swapped: real points are to be called real, and fakes fake": SWAPPED,
    "the gradients of an earlier update are still there: opt_d.zero_grad() is missing or too late, for it belongs before backward()": _step_d(
        clear=False
    ),
    "the fakes are missing from the loss": _step_d(lambda real, fake: real_and_fake(real, 0 * fake - 99)),
    "the real points are missing from the loss": _step_d(lambda real, fake: real_and_fake(0 * real + 99, fake)),
    "a sigmoid comes twice: the loss takes logits": _step_d(lambda *x: real_and_fake(x[0].sigmoid(), x[1].sigmoid())),
    "a step uphill: Eq. 1 is to be ascended, so its negative is to be descended": _step_d(
        lambda *x: -real_and_fake(*x)
    ),
    "a sum over the batch instead of a mean": _step_d(lambda real, fake: len(real) * real_and_fake(real, fake)),
    "half of the loss: the two cross-entropies are added, without a mean of both": _step_d(
        lambda *logits: real_and_fake(*logits) / 2
    ),
}
MISTAKES_G = {
    "it helps the discriminator: here the fakes are to be called real": _step_g(lambda a: F.softplus(a).mean()),
    "a sigmoid comes twice: the loss takes logits": _step_g(lambda a: F.softplus(-a.sigmoid()).mean()),
    "that is the saturating loss of Eq. 1: minimise -log D(G(z))": _step_g(lambda a: -F.softplus(a).mean()),
    "the gradients of an earlier update are still there: opt_g.zero_grad() is missing or too late, for it belongs before backward()": _step_g(
        clear=False
    ),
    "a sum over the batch instead of a mean": _step_g(lambda a: F.softplus(-a).sum()),
}


def _played(update: Any, who: str) -> dict[str, Any]:
    """Both networks in the plane before and after one update of one of them, in whose way old gradients lie."""
    nets = {"generator": ring.mlp(ring.LATENT_DIM, 2, 16), "discriminator": ring.mlp(2, 1, 16).append(nn.Flatten(0))}
    for parameter in nets[who].parameters():
        parameter.grad = torch.randn_like(parameter)
    before = {name: parameters_to_vector(net.parameters()).detach() for name, net in nets.items()}
    optimizer = torch.optim.SGD(nets[who].parameters(), 0.5)
    inputs = [ring.ring_sample(32), torch.randn(32, ring.LATENT_DIM)]
    loss = update(nets["generator"], nets["discriminator"], optimizer, *inputs[who == "generator" :])
    after = {f"{name}'s weights": parameters_to_vector(net.parameters()).detach() for name, net in nets.items()}
    moved = {name: not torch.equal(before[name], after[f"{name}'s weights"]) for name in nets}
    touched = any(p.grad is not None and bool(p.grad.any()) for p in nets["generator"].parameters())
    return after | {
        "loss": None if loss is None else torch.as_tensor(loss).detach(),
        "moved": moved,
        "touched": touched,
    }


def _after_d(update: Any) -> dict[str, Any]:
    found = _played(update, "discriminator")
    moved, touched = found.pop("moved"), found.pop("touched")
    if touched or moved["generator"]:
        raise NotYet("gradients reached the generator: make the fakes under torch.no_grad(), or detach() them")
    if not moved["discriminator"]:
        raise NotYet("the discriminator did not move: its update ends with loss_d.backward() and opt_d.step()")
    return found


def _after_g(update: Any) -> dict[str, Any]:
    found = _played(update, "generator")
    moved, touched = found.pop("moved"), found.pop("touched")
    if moved["discriminator"]:
        raise NotYet("the discriminator moved: only the generator's optimiser may step here")
    if not moved["generator"] and not touched:
        raise NotYet("no gradient reached the generator: no detach() and no torch.no_grad() in this update")
    if not moved["generator"]:
        raise NotYet("the generator did not move: its update ends with loss_g.backward() and opt_g.step()")
    return found


def update_discriminator(answer: Any) -> None:
    """Step 1: all weights after one update of the discriminator."""
    check(answer, _step_d(), _after_d, MISTAKES_D)


def update_generator(answer: Any) -> None:
    """Step 2: all weights after one update of the generator."""
    check(answer, _step_g(), _after_g, MISTAKES_G)


def _broken(answer: Any, right: Any, lacking: str) -> None:
    def experiment(update: Any) -> dict[str, Any]:
        found = _played(update, "discriminator")
        return found | {
            "moves": torch.tensor(found.pop("moved")["generator"]),
            "touched": torch.tensor(found["touched"]),
        }

    others = {"no_detach": _step_d(detach=False), "swapped_labels": SWAPPED, "no_zero_grad": _step_d(clear=False)}
    mistakes = {f"this is the mistake of {name}": wrong for name, wrong in others.items()}
    mistakes["this is the right update: break it"] = _step_d()
    check(answer, right, experiment, mistakes, f"Copy your update of step 1 and change one thing: {lacking}.")


def no_detach(answer: Any) -> None:
    """Step 4: an update of the discriminator that sends gradients into the generator, and is right otherwise."""
    _broken(answer, _step_d(detach=False), "no detach() and no torch.no_grad()")


def swapped_labels(answer: Any) -> None:
    """Step 4: an update of the discriminator that calls real points fake and fakes real."""
    _broken(answer, SWAPPED, "real points are called fake, and fakes real")


def no_zero_grad(answer: Any) -> None:
    """Step 4: an update of the discriminator that adds up the gradients of all updates."""
    _broken(answer, _step_d(clear=False), "no opt_d.zero_grad()")


# ------------------------------------------------------------------------------------------------------- networks


def _has(network: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(layer, kind) for layer in network.modules())


def generator(answer: Any) -> None:
    """Step 6: the same pictures as the chapter's generator from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind()
        if not _has(network, nn.BatchNorm1d):
            raise NotYet("there is no nn.BatchNorm1d: one follows each hidden nn.Linear")
        if _has(network, nn.Sigmoid):
            raise NotYet("a sigmoid gives 0 to 1: pictures are in [-1, 1], which is what nn.Tanh gives")
        copy_weights(network, Generator)
        z = torch.randn(16, 100)
        return {"pictures in train mode": network(z), "pictures in eval mode": network.eval()(z)}

    mistakes = {
        "the pictures have no bounds: the last layer is nn.Tanh": with_layers(Generator, nn.Tanh, nn.Identity),
        "LeakyReLU is for the discriminator: here it is nn.ReLU": with_layers(
            Generator, nn.ReLU, lambda: nn.LeakyReLU(0.2)
        ),
        "the activations are missing: nn.ReLU follows each BatchNorm": with_layers(Generator, nn.ReLU, nn.Identity),
    }
    check(
        answer,
        Generator,
        experiment,
        mistakes,
        "Hidden layers: Linear without bias, BatchNorm1d, ReLU; 256, 512, 1024.",
    )


def discriminator(answer: Any) -> None:
    """Step 7: the same logits as the chapter's discriminator from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind()
        pictures = torch.rand(16, 1, 28, 28) * 2 - 1
        if _has(network, nn.Sigmoid):
            raise NotYet("a sigmoid: the loss wants logits and has its own, so there would be two")
        if any(layer.p != 0.1 for layer in network.modules() if isinstance(layer, nn.Dropout)):
            raise NotYet("the dropout is of 0.1: nn.Dropout(0.1)")
        copy_weights(network, Discriminator)
        if torch.equal(network(pictures), network(pictures)):
            raise NotYet("it answers twice alike in train mode: nn.Dropout(0.1) follows each hidden LeakyReLU")
        logits = network.eval()(pictures)
        if not torch.equal(logits, network(pictures)):
            raise NotYet("it is random in eval mode: use nn.Dropout, which stops there")
        if logits.shape == (16,) and bool((logits > 0).all()) and bool((logits < 1).all()):
            raise NotYet("a sigmoid: the loss wants logits and has its own, so there would be two")
        return {"logits": logits}

    leaky, mistakes = nn.LeakyReLU, {}
    mistakes["nn.LeakyReLU() has a slope of 0.01: here it is 0.2"] = with_layers(Discriminator, leaky, leaky)
    mistakes["nn.ReLU is for the generator: here it is nn.LeakyReLU(0.2)"] = with_layers(Discriminator, leaky, nn.ReLU)
    mistakes["the activations are missing: nn.LeakyReLU(0.2)"] = with_layers(Discriminator, leaky, nn.Identity)
    check(
        answer, Discriminator, experiment, mistakes, "Flatten; 512 and 256 with LeakyReLU(0.2) and Dropout; one logit."
    )


# --------------------------------------------------------------------------------------------------------- losses


def _logits(seed: int, scale: float = 3.0) -> Tensor:
    return (scale * torch.randn(8, generator=torch.Generator().manual_seed(seed))).requires_grad_()


def _smoothed(real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> Tensor:
    targets = draw_targets(len(real_logits), smoothing, 0.0, CPU)
    return chapters_discriminator_loss(real_logits, fake_logits, *targets)


def discriminator_loss(answer: Any) -> None:
    """Step 8: cross-entropies with one-sided smoothing, from logits that may be large."""
    cases = [(_logits(1), _logits(2), 0.0), (_logits(3), _logits(4), 0.1), (_logits(5, 200), _logits(6, 200), 0.3)]
    mistakes = {
        "the signs are swapped: -log σ(a) = softplus(-a)": lambda r, f, s: _smoothed(-r, -f, s),
        "fakes are not smoothed: only the ones become 1 - s": lambda r, f, s: (
            _smoothed(r, r, s) - F.softplus(r).mean() + _smoothed(-f, f, s) - F.softplus(f).mean()
        ),
        "the smoothing has no effect": lambda r, f, s: _smoothed(r, f, 0.0),
        "a sigmoid comes twice: softplus wants the logits as they are": lambda r, f, s: _smoothed(
            r.sigmoid(), f.sigmoid(), s
        ),
        "the other part of the smoothing is missing: s · softplus(a), for 'fake'": lambda r, f, s: (
            (1 - s) * F.softplus(-r).mean() + F.softplus(f).mean()
        ),
    }
    check(
        answer,
        _smoothed,
        on_cases(cases),
        mistakes,
        "A target of 1 - s is (1 - s) parts of 'real' and s parts of 'fake'.",
    )


def generator_loss(answer: Any) -> None:
    """Step 12: both losses of the generator."""
    right = chapters_generator_loss
    kinds = ("non-saturating", "saturating")
    cases = [(_logits(seed, scale), kind) for seed, scale in ((1, 3), (2, 200)) for kind in kinds]
    mistakes = {
        "the two kinds are swapped": lambda a, kind: right(a, kinds[kind == kinds[0]]),
        "the sign of the saturating one: log(1 - D) is minimised, and is negative": lambda a, kind: F.softplus(
            a if kind == "saturating" else -a
        ).mean(),
        "a sigmoid comes twice: softplus wants the logits as they are": lambda a, kind: right(a.sigmoid(), kind),
        "both kinds are the same": lambda a, kind: right(a, kinds[0]),
    }
    check(answer, right, on_cases(cases), mistakes, "-log σ(a) = softplus(-a), and log(1 - σ(a)) = -softplus(a).")


def published(real_outputs: Tensor, fake_outputs: Tensor) -> Tensor:
    """The loss with a bug, for outputs of a network that ends in a sigmoid."""
    bce = nn.BCEWithLogitsLoss()
    return bce(real_outputs, torch.ones_like(real_outputs)) + bce(fake_outputs, torch.zeros_like(fake_outputs))


def mended(answer: Any) -> None:
    """Step 10: the cross-entropies of probabilities."""
    cases = [tuple(_logits(10 * i + j).detach().sigmoid().requires_grad_() for j in (0, 1)) for i in range(3)]
    mistakes = {
        "as it was: BCEWithLogitsLoss wants logits, and these are probabilities": published,
        "a third sigmoid: there is one too many already": lambda r, f: published(r.sigmoid(), f.sigmoid()),
        "the targets are swapped: 1 for real, 0 for fake": lambda r, f: _smoothed(-r.logit(), -f.logit()),
    }
    check(answer, lambda r, f: _smoothed(r.logit(), f.logit()), on_cases(cases), mistakes)


# --------------------------------------------------------------------------------------------- numbers and choices


def half_of_the_ring(answer: Any) -> None:
    """Step 5: V(D*, G) of a generator that draws four of the eight Gaussians, added up over a fine grid."""
    points, axis = ring.plane(401)
    centres = ring.ring_centres()
    p_data, p_g = (ring.mixture_density(points, part, ring.STD) for part in (centres, centres[:4]))
    by_brute_force = ring.value(p_data, p_g, cell=float(axis[1] - axis[0]) ** 2)
    check_number(answer, by_brute_force, hint="Where it draws, p_g = 2 p_data. What is D* there, and what elsewhere?")


def smoothed_optimum(answer: Any) -> None:
    """Step 9: what a discriminator says that was trained with smoothing, against fakes like the real ones."""
    logit = torch.zeros(1, requires_grad=True)
    sgd = torch.optim.SGD([logit], 1.0)
    for _ in range(200):
        descend(sgd, _smoothed(logit, logit, 0.2))
    check_number(answer, logit.sigmoid().item(), hint="Minimise -0.8 log D - 0.2 log(1 - D) - log(1 - D).")


def smallest(answer: Any) -> None:
    """Step 11: the smallest value of the published loss, over all that a sigmoid can say."""
    outputs = torch.linspace(0, 1, 1001)
    least = (F.softplus(-outputs).min() + F.softplus(outputs).min()).item()
    hint = "The best output for a real picture is 1, for a fake 0. What does the loss make of the logits 1 and 0?"
    check_number(answer, least, tolerance=0.005, hint=hint)


def saturating_ring(answer: Any) -> None:
    """Step 13: how many modes the saturating loss covers in the plane."""
    why = (
        "all eight. The points do not overlap at first, but this small discriminator takes one step for each of the generator's "
        "and is never certain, so Eq. 1 is never flat. On 784 pixels it is: a toy can mislead."
    )
    check_choice(answer, "a", {"b": "run it and count: did the generator's gradients vanish here?"}, why)


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    generator: nn.Module, discriminator: nn.Module, opt_g: Any, opt_d: Any, real: Tensor, z_d: Tensor, z_g: Tensor
) -> tuple[Tensor, Tensor]:
    """Banners (1) and (2) of the chapter's loop; a test holds them together."""
    loss_d = _step_d()(generator, discriminator, opt_d, real, z_d)
    return loss_d, _step_g()(generator, discriminator, opt_g, z_g)


def whole_update(answer: Any, own_generator: Any, own_discriminator: Any) -> None:
    """Step 14: all weights after one step of the learner's networks and update, and of the chapter's."""
    if not answered(answer, step_6=own_generator, step_7=own_discriminator):
        return
    right_d, right_g = _step_d(), _step_g()

    def experiment(update: Any) -> dict[str, Any]:
        kinds = (own_generator, own_discriminator) if update is answer else (Generator, Discriminator)
        networks = [kind() for kind in kinds]
        for network, pattern in zip(networks, (Generator, Discriminator), strict=True):
            copy_weights(network, pattern)
        networks[1].eval()  # no dropout: its random numbers would differ with the order of the calls
        optimizers = [torch.optim.SGD(network.parameters(), 0.1) for network in networks]
        for parameter in [*networks[0].parameters(), *networks[1].parameters()]:
            parameter.grad = torch.randn_like(parameter)
        real, z_d, z_g = torch.rand(16, 1, 28, 28) * 2 - 1, torch.randn(16, 100), torch.randn(16, 100)
        losses = update(*networks, *optimizers, real, z_d, z_g)
        return left_by_update(losses, dict(zip(("generator", "discriminator"), networks, strict=True)))

    def wrong(step_d: Any = right_d, step_g: Any = right_g, same_z: bool = False, late: bool = False) -> Any:
        def update(g: Any, d: Any, opt_g: Any, opt_d: Any, real: Tensor, z_d: Tensor, z_g: Tensor) -> tuple[Any, Any]:
            loss_g = step_g(g, d, opt_g, z_g) if late else None
            loss_d = step_d(g, d, opt_d, real, z_d)
            return loss_d, loss_g if late else step_g(g, d, opt_g, z_d if same_z else z_g)

        return update

    mistakes = {
        "the generator moved first: the discriminator is updated before it": wrong(late=True),
        "the generator got the latents z_d: it is updated with z_g": wrong(same_z=True),
        "the discriminator did not move: loss_d.backward() or opt_d.step() is missing": wrong(
            lambda g, d, opt, x, z: _lost(g, d, x, z)
        ),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
    }
    still = "the generator did not move: loss_g.backward() or opt_g.step() is missing, or its fakes carry no graph"
    mistakes[still] = wrong(step_g=lambda g, d, opt, z: _step_g()(deepcopy(g), d, opt, z))
    both = wrong(_step_d(clear=False), _step_g(clear=False))
    mistakes["both zero_grad() are missing or too late, for they belong before backward()"] = both
    mistakes |= {f"in the discriminator's part, {words}": wrong(step_d=step) for words, step in MISTAKES_D.items()}
    mistakes |= {f"in the generator's part, {words}": wrong(step_g=step) for words, step in MISTAKES_G.items()}
    check(answer, one_update, experiment, mistakes)


def _lost(generator: nn.Module, discriminator: nn.Module, real: Tensor, z: Tensor) -> Tensor:
    """The discriminator's loss, with nothing made of it."""
    return real_and_fake(discriminator(real), discriminator(generator(z))).detach()


def draw(answer: Any) -> None:
    """Step 15: pictures in eval mode and without a graph, and the generator in train mode afterwards."""

    def experiment(function: Any) -> dict[str, Any]:
        network, z = Generator(), torch.randn(16, 100)
        return as_it_was(network, function(network, z))

    def right(network: nn.Module, z: Tensor, training: bool = False) -> Tensor:
        with torch.no_grad():
            pictures: Tensor = network.train(training)(z)
        network.train()
        return pictures

    train_mode = {
        "train mode: each picture depends on its batch, so call generator.eval() first": lambda g, z: right(g, z, True)
    }
    check(answer, right, experiment, train_mode)
