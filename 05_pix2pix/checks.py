"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import math
import sys
from collections.abc import Callable, Mapping
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

WIDTH = 4  # of the networks that are compared


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _pictures(n: int = 4, seed: int = 0) -> Tensor:
    return _draw(n, 3, 64, 64, seed=seed).clamp(-1, 1)


def _quiet(network: nn.Module) -> nn.Module:
    """The network without its noise, which may be drawn in any way."""
    for layer in network.modules():
        if isinstance(getattr(layer, "p", None), float):
            layer.p = 0.0  # type: ignore[assignment]
    return network


def _louder(network: Any) -> Any:
    """Larger weights than at the start of a training, so that mistakes are not lost in roundings."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.1)
    return network


def _generator(width: int = WIDTH, kind: Any = model.Generator) -> Any:
    return _louder(kind(64, width, norm="batch", upsampling="resize"))


def _discriminator(width: int = WIDTH, kind: Any = model.Discriminator) -> Any:
    return _louder(kind(64, width, norm="batch", patch="34"))


# ----------------------------------------------------------------------------------------------------------- U-Net


def best_for_l1(answer: Any) -> None:
    """Step 1: the median of three plausible values."""
    values, shares = torch.tensor([-0.9, -0.3, 0.8]), torch.tensor([0.45, 0.1, 0.45])
    candidates = torch.linspace(-1, 1, 2001)
    errors = ((candidates[:, None] - values).abs() * shares).sum(1)
    hint = "The mean is what the square asks for. L1 asks for the place with half of the heads on each side."
    check_number(answer, candidates[errors.argmin()].item(), hint=hint)


def noise(answer: Any) -> None:
    """Step 2: dropout in both modes, whichever way it is drawn."""
    x = torch.ones(20, 20, 25, 25)

    def experiment(kind: Any) -> dict[str, Any]:
        layer = kind(0.2)
        found: dict[str, Any] = {}
        for mode in ("train", "eval"):
            layer.train(mode == "train")
            first, second = layer(x), layer(x)
            if isinstance(first, Tensor) and first.shape == x.shape:
                if (first == 0).flatten(2).all(2).any():
                    raise NotYet("whole channels are dropped: drop each number by itself")
                if torch.equal(first, second) and (first == 0).any():
                    raise NotYet("the same numbers are dropped each time")
                share = (first == 0).float().mean()
                if mode == "eval" and share == 0:
                    raise NotYet("it is quiet in eval mode, as nn.Dropout is: this noise has to stay on")
                found |= {f"share of zeros in {mode} mode": share, f"largest number in {mode} mode": first.max()}
            else:
                found[f"result in {mode} mode"] = first
        return found

    class Unscaled(nn.Module):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

        def forward(self, x: Tensor) -> Tensor:
            return x * (torch.rand_like(x) >= self.p)

    mistakes = {
        "the numbers that stay are not divided by 1 - p": Unscaled,
        "p is the share that is dropped, not the share that stays": lambda p: model.Noise(1 - p),
    }
    check(answer, model.Noise, experiment, mistakes, tolerance=0.02)


def _step(patterns: Mapping[str, Callable[[], nn.Module]], ask: Mapping[str, Callable[[Any], Any]]) -> Any:
    """The experiment that builds layers as asked, gives them the pattern's weights and looks what comes out."""

    def experiment(build: Any) -> dict[str, Any]:
        found = {}
        for name, pattern in patterns.items():
            network = ask[name](build)
            if not isinstance(network, nn.Module):
                raise NotYet("your code returns nothing to call: return nn.Sequential(*layers)")
            copy_weights(network, pattern)
            _quiet(network)
            layer = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
            found[f"result of {name}"] = network(2 * _draw(4, layer.in_channels, 8, 8))
        return found

    return experiment


def down(answer: Any) -> None:
    """Step 3: against a chain of the same layers."""

    def chain(
        i: int, o: int, first: bool = False, norm: bool = True, slope: float = 0.2, last: bool = False
    ) -> nn.Module:
        active = [] if first else [nn.LeakyReLU(slope)]
        conv, normal = nn.Conv2d(i, o, 4, 2, 1, bias=False), [nn.BatchNorm2d(o)]
        return nn.Sequential(*([] if last else active), conv, *(normal if norm else []), *(active if last else []))

    asked: dict[str, Any] = {
        "down(6, 4)": lambda build: build(6, 4),
        "down(3, 6, first=True, norm=False)": lambda build: build(3, 6, first=True, norm=False),
        "down(4, 8, norm=False)": lambda build: build(4, 8, norm=False),
    }
    mistakes = {
        "ReLU: the encoder has LeakyReLU(0.2)": partial(chain, slope=0.0),
        "the LeakyReLU has a slope of 0.01, and 0.2 is asked for": partial(chain, slope=0.01),
        "the LeakyReLU comes first, before the convolution": partial(chain, last=True),
        "there is a LeakyReLU in front of the picture: leave it out if first": lambda i, o, first=False, norm=True: chain(i, o, False, norm),
        "there is no LeakyReLU": lambda i, o, first=False, norm=True: chain(i, o, True, norm),
    }  # fmt: skip
    hints = {"tensors of weights": "The convolution has no bias: bias=False."}
    check(answer, chain, _step({name: partial(ask, chain) for name, ask in asked.items()}, asked), mistakes, hints)


def up(answer: Any, own_noise: Any) -> None:
    """Step 4: the same for the way up, and whether the noise is there, and last."""
    if not answered(answer, own_noise):
        return

    def chain(i: int, o: int, noisy: bool = False, slope: float = 0.0, last: bool = False) -> nn.Module:
        active, body = nn.LeakyReLU(slope), [model.ResizeConv2d(i, o), nn.BatchNorm2d(o)]
        return nn.Sequential(*([*body, active] if last else [active, *body]), *([own_noise()] if noisy else []))

    asked: dict[str, Any] = {
        "up(6, 4)": lambda build: build(6, 4),
        "up(6, 4, noisy=True)": lambda build: build(6, 4, noisy=True),
    }
    compare = _step({name: partial(ask, chain) for name, ask in asked.items()}, asked)

    def leaves(layer: nn.Module) -> list[nn.Module]:
        """The layers in their order; a learner's Noise is one of them, whatever it is made of."""
        children = [] if isinstance(layer, own_noise) else list(layer.children())
        return [leaf for child in children for leaf in leaves(child)] or [layer]

    def experiment(build: Any) -> Any:
        for name, ask in asked.items():
            layers = leaves(ask(build) or nn.Identity())
            if any(isinstance(layer, nn.Dropout) and not isinstance(layer, own_noise) for layer in layers):
                raise NotYet("nn.Dropout is quiet in eval mode: take your Noise")
            places = [isinstance(layer, own_noise) for layer in layers]
            if any(places) != ("noisy" in name):
                raise NotYet(f"{name} has {'' if any(places) else 'no '}noise: it belongs there only if noisy")
            if any(places) and not places[-1]:
                raise NotYet("the noise comes last, behind the BatchNorm")
            if any(places) and layers[-1].p != 0.5:
                raise NotYet("the noise drops half of the numbers: p = 0.5")
        return compare(build)

    mistakes = {
        "LeakyReLU is for the encoder: the decoder has ReLU": partial(chain, slope=0.2),
        "the ReLU comes first, before the convolution": partial(chain, last=True),
        "there is no ReLU": partial(chain, slope=1.0),
    }
    check(answer, chain, experiment, mistakes)


def generator(answer: Any, *parts: Any) -> None:
    """Step 5: the same pictures as the chapter's generator from the same weights."""
    if not answered(answer, *parts):
        return

    def experiment(kind: Any) -> dict[str, Any]:
        network = _quiet(kind(WIDTH))
        copy_weights(network, _generator)
        return {"pictures": network(_pictures())}

    def joined(order: Callable[[Tensor, Tensor], list[Tensor]]) -> Any:
        class Wrong(model.Generator):
            def forward(self, x: Tensor) -> Tensor:
                skips = [x := layer(x) for layer in self.down][:-1]
                for layer in self.up:
                    x = torch.cat(order(layer(x), skips.pop()), dim=1)
                return self.to_picture(x)

        return partial(_generator, kind=Wrong)

    class Straight(model.Generator):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self.down:
                x = layer(x)
            return x

    mistakes = {
        "the decoder's own features come first, and the skip behind them": joined(lambda x, skip: [skip, x]),
        "the skips carry nothing: give the encoder's features, as they are": joined(lambda x, skip: [x, 0 * skip]),
        "the decoder's features are there twice, and the skip is not": joined(lambda x, skip: [x, x]),
        "that is the innermost: the way up is missing": partial(_generator, kind=Straight),
    }
    hint = "Keep what each step down gives. After each step up comes the skip of the same size."
    check(answer, _generator, experiment, mistakes, hint, tolerance=1e-4)


# ----------------------------------------------------------------------------------------------------------- judge


def _field(strides: list[int], kernel: int = 4) -> int:
    """Pixels per side that one logit sees, counted by marking them: independent of the formula."""
    seen = {0}
    for stride in reversed(strides):
        seen = {place * stride + i for place in seen for i in range(kernel)}
    return max(seen) - min(seen) + 1


def field(answer: Any) -> None:
    """Step 6: chains of layers, against places that are counted."""

    def forwards(strides: list[int], kernel: int = 4) -> int:
        return _field(strides[::-1], kernel)

    def whole(strides: list[int], kernel: int = 4) -> int:
        r = 1
        for stride in reversed(strides):
            r = r * stride + kernel
        return r

    mistakes = {
        "the layers come in the wrong order: begin at the logit, with the last one": forwards,
        "r neighbours are r - 1 steps apart: (r - 1) * s + k": whole,
        "the kernel is an argument: it is not always 4": lambda strides, kernel=4: _field(strides),
        "that is how much smaller the map becomes, and not what a logit sees": lambda strides, kernel=4: math.prod(strides),
    }  # fmt: skip
    cases: list[tuple[Any, ...]] = [([2, 1, 1],), ([2, 2, 1, 1],), ([2, 2, 2, 2, 1, 1],), ([2, 1, 2, 1], 3), ([],)]
    check(answer, _field, on_cases(cases), mistakes)


def strides(answer: Any) -> None:
    """Step 7: five strides with a patch of 70 and 30 × 30 logits."""
    if not answered(answer):
        return
    try:
        given = [int(stride) for stride in answer]
    except (TypeError, ValueError):
        given = []
    if not given or not set(given) <= {1, 2} or isinstance(answer, str):
        print("not yet: give a list of strides, each 1 or 2")
        return
    side = 256
    for stride in given:
        side = (side - 2) // stride + 1
    if len(given) != 5:
        print(f"not yet: the paper's judge has five layers, and yours has {len(given)}")
    elif (_field(given), side) != (70, 30):
        print(f"not yet: a logit sees {_field(given)} pixels a side, and the map is {side} × {side}")
    else:
        print("right")


def discriminator(answer: Any) -> None:
    """Step 8: the same logits as the chapter's discriminator from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(WIDTH)
        if any(isinstance(layer, nn.Sigmoid) for layer in network.modules()):
            raise NotYet("no sigmoid: the losses want logits")
        copy_weights(network, _discriminator)
        logits = network(_pictures(), _pictures(seed=1))
        if isinstance(logits, Tensor) and logits.shape in ((4,), (4, 1), ()):
            raise NotYet("one number for a whole picture: each patch keeps its logit, and the losses take the mean")
        if isinstance(logits, Tensor) and torch.equal(logits, network(_pictures(seed=2), _pictures(seed=1))):
            raise NotYet("the drawing is not looked at: any picture would be a good answer")
        return {"logits": logits}

    def judge(change: Callable[[Any, Tensor, Tensor], Tensor]) -> Any:
        class Wrong(model.Discriminator):
            def forward(self, x: Tensor, y: Tensor) -> Tensor:
                return change(super().forward, x, y)

        return partial(_discriminator, kind=Wrong)

    def layers(old: Any, new: Callable[[], nn.Module]) -> Any:
        def build(width: int = WIDTH) -> nn.Module:
            network: nn.Module = _discriminator(width)
            for path in [path for path, layer in network.named_modules() if isinstance(layer, old)]:
                network.set_submodule(path, new())
            return network

        return build

    mistakes = {
        "the drawing comes first, and the answer behind it": judge(lambda forward, x, y: forward(y, x)),
        "no sigmoid: the losses want logits": judge(lambda forward, x, y: forward(x, y).sigmoid()),
        "nothing comes behind the last convolution": judge(lambda forward, x, y: F.leaky_relu(forward(x, y), 0.2)),
        "ReLU: the judge has LeakyReLU(0.2)": layers(nn.LeakyReLU, nn.ReLU),
        "the LeakyReLU has a slope of 0.01, and 0.2 is asked for": layers(nn.LeakyReLU, nn.LeakyReLU),
    }
    biases = "The convolutions before a BatchNorm have no bias; the first and the last have one."
    hints = {"of your network has the shape": biases, "tensors of weights": biases, "raised": "Join both along dim=1."}
    hints["off by"] = "Convolution, BatchNorm, LeakyReLU(0.2), in this order; six channels come in."
    check(answer, _discriminator, experiment, mistakes, hints, tolerance=1e-4)


# ---------------------------------------------------------------------------------------------------------- losses


def _logits(seed: int, shift: float = 0.0) -> Tensor:
    return (2 * _draw(3, 1, 4, 4, seed=seed) + shift).requires_grad_()


def l1_loss(answer: Any) -> None:
    """Step 9: the distance."""
    mistakes = {
        "that is the square: L1 is the distance itself": lambda fake, y: (fake - y).square().mean(),
        "the difference has no sign in L1: abs() comes before the mean": lambda fake, y: (fake - y).mean(),
        "abs() comes before the mean, for each number": lambda fake, y: (fake - y).mean().abs(),
    }
    cases = [(_pictures(2, i).requires_grad_(), _pictures(2, i + 9)) for i in (0, 1)]
    check(answer, train.l1_loss, on_cases(cases), mistakes)


def discriminator_loss(answer: Any) -> None:
    """Step 9: the judge's side, halved."""
    right = train.discriminator_loss
    mistakes = {
        "the half is missing": lambda r, f: 2 * right(r, f),
        "real and fake are swapped": lambda r, f: right(f, r),
        "the signs are swapped": lambda r, f: right(-r, -f),
        "a sigmoid comes twice: softplus takes logits": lambda r, f: right(r.sigmoid(), f.sigmoid()),
        "that is the hinge of chapter 04": lambda r, f: (F.relu(1 - r).mean() + F.relu(1 + f).mean()) / 2,
        "the mean comes before softplus: each patch has its own loss": lambda r, f: right(r.mean(), f.mean()),
    }
    cases = [(_logits(i, 1.5 * i), _logits(i + 9, -1.5 * i)) for i in (0, 1)]
    check(answer, right, on_cases(cases), mistakes)


def adversarial_loss(answer: Any) -> None:
    """Step 9: the generator's side."""
    right = train.adversarial_loss
    mistakes = {
        "the sign: the generator wants to be called real": lambda f: F.softplus(f).mean(),
        "that is the saturating loss, log(1 - D)": lambda f: -F.softplus(f).mean(),
        "that is minus the mean logit, as for the hinge": lambda f: -f.mean(),
        "only the judge's loss is halved": lambda f: right(f) / 2,
    }
    check(answer, right, on_cases([(_logits(i),) for i in (0, 1)]), mistakes)


def undecided(answer: Any) -> None:
    """Step 10: the loss of a judge that says ½."""
    nothing = torch.zeros(1)
    hint = "Each half is -log(1/2). What does the paper do with their sum?"
    check_number(answer, train.discriminator_loss(nothing, nothing).item(), tolerance=0.005, hint=hint)


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    generator: Any, discriminator: Any, opt_g: Any, opt_d: Any, x: Tensor, y: Tensor, lambda_l1: float = 10.0, **mistake: Any
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Banners (1) and (2) of the chapter's loop; a test holds them together. `mistake` breaks a part."""
    judge = (lambda x, y: discriminator(y, x)) if mistake.get("turned") else discriminator
    fake = generator(x)
    real_logits, fake_logits = judge(x, y), judge(x, fake.detach())
    if mistake.get("swapped"):
        real_logits, fake_logits = fake_logits, real_logits
    loss_d = train.discriminator_loss(real_logits, fake_logits)
    if mistake.get("leak"):  # the judge's loss reaches the generator, whose gradients nobody clears afterwards
        reached = train.discriminator_loss(real_logits, judge(x, fake))
        gradients = torch.autograd.grad(reached, list(generator.parameters()), retain_graph=True)
        for weight, gradient in zip(generator.parameters(), gradients, strict=True):
            weight.grad = gradient
    early = judge(x, fake) if mistake.get("early") else None
    if mistake.get("clear_d", True):
        opt_d.zero_grad()
    own = torch.autograd.grad(loss_d, list(discriminator.parameters()), retain_graph=early is not None)
    for weight, gradient in zip(discriminator.parameters(), own, strict=True):
        weight.grad = gradient if weight.grad is None else weight.grad + gradient
    if mistake.get("step_d", True) and early is None:
        opt_d.step()
    answer = fake.detach() if mistake.get("cut") else fake
    logits = judge(x, answer) if early is None else early
    game = train.adversarial_loss(-logits if mistake.get("sign") else logits)
    loss_g = game + mistake.get("share", lambda_l1) * train.l1_loss(fake, x if mistake.get("drawing") else y)
    if mistake.get("clear_g", not mistake.get("leak")):
        opt_g.zero_grad()
    loss_g.backward()
    if early is not None:
        for weight, gradient in zip(discriminator.parameters(), own, strict=True):
            weight.grad = gradient
        opt_d.step()
    if mistake.get("step_g", True):
        opt_g.step()
    return loss_d, loss_g


def whole_update(answer: Any, own_generator: Any, own_discriminator: Any, *parts: Any) -> None:
    """Step 11: all weights after one step of the learner's networks and update, and of the chapter's."""
    if not answered(answer, own_generator, own_discriminator, *parts):
        return

    def experiment(update: Any) -> dict[str, Any]:
        patterns: list[Any] = [_generator, _discriminator]
        builds = [own_generator, own_discriminator] if update is answer else patterns
        networks: Any = [_quiet(build(WIDTH)) for build in builds]
        for network, pattern in zip(networks, patterns, strict=True):
            copy_weights(network, pattern)
            for parameter in network.parameters():
                parameter.grad = _draw(*parameter.shape, seed=parameter.numel())
        optimizers = [torch.optim.SGD(network.parameters(), 0.02) for network in networks]
        losses = update(*networks, *optimizers, _pictures(), _pictures(seed=1), 5.0)
        return left_by_update(losses, dict(zip(("generator", "discriminator"), networks, strict=True)))

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "the L1 is missing: Eq. 4 has both": wrong(share=0.0),
        "lambda_l1 is not used: it multiplies the L1": wrong(share=1.0),
        "lambda_l1 is an argument, and not always 10": wrong(share=10.0),
        "the distance is that to the drawing x: the truth is y": wrong(drawing=True),
        "real and fake are swapped in the judge's loss": wrong(swapped=True),
        "the judge gets the drawing first, and the answer behind it": wrong(turned=True),
        "the generator wants to be called real: the sign of its logits": wrong(sign=True),
        "nothing of the judge's opinion reaches the generator: no detach() in its half": wrong(cut=True),
        "the generator's fakes were judged before the judge's step: judge them once more": wrong(early=True),
        "opt_d.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_d=False
        ),
        "opt_g.zero_grad() is missing or too late, for it belongs before backward(): old gradients are still there": wrong(
            clear_g=False
        ),
        "the judge's loss reached the generator: detach() its fakes there": wrong(leak=True),
        "the judge did not move: loss_d.backward() or opt_d.step() is missing": wrong(step_d=False),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
        "the generator did not move: loss_g.backward() or opt_g.step() is missing": wrong(step_g=False),
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


def mirror(answer: Any) -> None:
    """Step 12: both pictures of a pair, or none; against the chapter's `cut`."""

    def right(x: Tensor, y: Tensor, mirrored: Tensor) -> tuple[Tensor, ...]:
        corners = torch.zeros(len(x), 2, dtype=torch.long)
        return train.cut(torch.cat([x, y], 1), corners, mirrored.long(), x.shape[-1]).chunk(2, dim=1)

    def experiment(function: Any) -> dict[str, Any]:
        x, y, mirrored = _draw(4, 3, 6, 6), _draw(4, 3, 6, 6, seed=1), torch.tensor([False, True, True, False])
        found = function(x.clone(), y.clone(), mirrored)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise NotYet("return two tensors: x, y")
        return {"x": found[0], "y": found[1]}

    def own_coins(x: Tensor, y: Tensor, mirrored: Tensor) -> tuple[Tensor, ...]:
        return right(x, y, torch.rand(len(x)) < 0.5)

    mistakes = {
        "upside down: the last dimension is the width": lambda x, y, m: tuple(side.mT for side in right(x.mT, y.mT, m)),
        "a pair must stay a pair: x is mirrored and y is not": lambda x, y, m: (right(x, y, m)[0], y),
        "a pair must stay a pair: y is mirrored and x is not": lambda x, y, m: (x, right(x, y, m)[1]),
        "the other pairs are mirrored: those where mirrored is False": lambda x, y, m: right(x, y, ~m),
        "all pairs are mirrored": lambda x, y, m: right(x, y, torch.ones_like(m)),
        "no pair is mirrored": lambda x, y, m: (x, y),
        "you draw coins of your own: mirrored says which pairs": own_coins,
    }
    check(answer, right, experiment, mistakes)


# --------------------------------------------------------------------------------------------------------- honesty


def closed_eyes(answer: Any) -> None:
    """Step 13: a blind judge beside L1."""
    wrong = {
        "a": "L1 knows the pairs, even if the judge does not",
        "c": "the judge does not lower L1: it asks for what looks real",
    }
    why = "L1 says what belongs together. Without it, only a judge that sees the drawing can. (L1 was 0.36 with either judge, after two minutes.)"
    check_choice(answer, "b", wrong, why)


def clean(answer: Any) -> None:
    """Step 14: against a map on which the test's pixels are painted."""

    def right(train: Tensor, test: Tensor, size: int) -> Tensor:
        world = torch.zeros(100, 100, dtype=torch.bool)
        for r, c in test.tolist():
            world[r : r + size, c : c + size] = True
        return torch.tensor([not world[r : r + size, c : c + size].any() for r, c in train.tolist()])

    def near(shares: Callable[[Tensor, int], Tensor]) -> Any:
        return lambda train, test, size: ~shares((train[:, None] - test[None]).abs(), size).any(1)

    mistakes = {
        "the other way round: True is for tiles that share nothing": lambda t, k, s: ~right(t, k, s),
        "rows or columns that are near are not enough: both have to be": near(lambda d, s: (d < s).any(2)),
        "tiles that only touch share no pixel: less than size": near(lambda d, s: (d <= s).all(2)),
        "only tiles at the very same place are thrown out": near(lambda d, s: (d == 0).all(2)),
        "one test tile that it overlaps is enough: any, not all": lambda t, k, s: (
            ~((t[:, None] - k[None]).abs() < s).all(2).all(1)
        ),
        "no distance has a sign: abs() is missing": lambda t, k, s: ~((t[:, None] - k[None]) < s).all(2).any(1),
    }
    rng = torch.Generator().manual_seed(0)
    cases = []
    for size in (8, 12):
        test = torch.randint(80, (5, 2), generator=rng)
        corners = torch.randint(80, (60, 2), generator=rng)
        around = test[:3] + torch.tensor([[size, 0], [0, 0], [3, 1 - size]])
        cases.append((torch.cat([corners, around.clamp(min=0)]), test, size))
    check(answer, right, on_cases(cases), mistakes)


def shared(answer: Any) -> None:
    """Step 15: the overlap of two tiles."""
    tile = torch.zeros(128, 128)
    tile[:64, :64] = 1
    share = tile[16:80, 24:88].mean().item()
    check_number(answer, share, hint="Multiply the rows that both have with the columns, and divide by 64 · 64.")
