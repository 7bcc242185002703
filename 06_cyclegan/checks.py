"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import itertools
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
import scores
import train
from common.checks import NotYet, check, check_choice, check_number, copy_weights, left_by_update, on_cases, with_layers

FEATURES = 6  # of the block that is compared


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tables(answer: Any) -> None:
    """Step 1: tables of five that a judge accepts, and that can be undone; counted."""
    count = sum(len(set(table)) == 5 for table in itertools.product(range(5), repeat=5))
    check_number(answer, count, tolerance=0, hint="Each face is used once, and each such table has an inverse.")


# ---------------------------------------------------------------------------------------------------- translators


def instance_norm(answer: Any) -> None:
    """Step 2: the chapter's normalisation, and a map that is the same everywhere."""

    def over(*dims: int, eps: float = 1e-5, unbiased: bool = False, root: bool = True, mean: bool = True) -> Any:
        def function(h: Tensor) -> Tensor:
            spread = h.var(dims, unbiased=unbiased, keepdim=True) + eps
            return (h - (h.mean(dims, keepdim=True) if mean else 0)) / (spread.sqrt() if root else spread)

        return function

    mistakes = {
        "that is BatchNorm: each picture has its own mean, so the batch is not averaged over": over(0, 2, 3),
        "all maps of a picture share a mean: each map has its own": over(1, 2, 3),
        "each place is normalised over its channels: take the mean over height and width, dimensions 2 and 3": over(1),
        "divided by the variance: its root is missing": over(2, 3, root=False),
        "the mean is not taken away": over(2, 3, mean=False),
        "the variance is divided by one place less: unbiased=False": over(2, 3, unbiased=True),
        "ε belongs under the root, beside the variance": lambda h: (
            (h - h.mean((2, 3), keepdim=True)) / (h.std((2, 3), keepdim=True, unbiased=False) + 1e-5)
        ),
        "ε is missing: a map that is the same everywhere becomes 0 / 0": over(2, 3, eps=0.0),
    }
    flat = torch.full((2, 3, 4, 4), 0.5).requires_grad_()
    cases = [((3 * _draw(4, 3, 5, 4, seed=i) + i + _draw(4, 3, 1, 1)).requires_grad_(),) for i in (0, 1)]
    faint = (0.01 * _draw(4, 3, 5, 4, seed=2)).requires_grad_()  # so small that ε counts
    check(answer, lambda h: model.normalised(3)(h), on_cases([*cases, (faint,), (flat,)]), mistakes, tolerance=1e-4)


def brighter(answer: Any) -> None:
    """Step 3: what instance norm leaves of a constant."""
    wrong = {
        "a": "think of what instance norm does to a constant",
        "c": "think of what instance norm does to a constant: is there anything to amplify?",
    }
    why = (
        "the first convolution turns the shift into a constant for each map, and the norm takes it away. "
        "The mirrored border matters: a frame of zeros would betray the shift."
    )
    check_choice(answer, "b", wrong, why)


def padded_conv(answer: Any) -> None:
    """Step 4: the chapter's mirrored border and convolution."""

    def right(x: Tensor, weight: Tensor) -> Tensor:
        pad, conv = (layer.requires_grad_(False) for layer in model.padded(x.shape[1], len(weight), 3))
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        conv.weight.data.copy_(weight)
        conv.bias.data.zero_()
        result: Tensor = conv(pad(x))
        return result

    def padding(mode: str) -> Any:
        return lambda x, weight: F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weight)

    mistakes = {
        "as it was: the border has as many pixels as there are channels, and should have one": (
            lambda x, weight: F.conv2d(F.pad(x, (x.shape[1],) * 4, mode="reflect"), weight)
        ),
        "a frame of zeros: the border has to be mirrored": padding("constant"),
        "the border is repeated: mirrored means the pixel behind it, mode reflect": padding("replicate"),
        "the border comes from the other side of the picture: mode reflect": padding("circular"),
        "no border: the result is smaller than x": F.conv2d,
    }
    cases = [(_draw(2, 4, 9, 7, seed=i).requires_grad_(), _draw(4, 4, 3, 3, seed=i + 5)) for i in (0, 1)]
    check(answer, right, on_cases(cases), mistakes, "One pixel at each side, mirrored.", tolerance=1e-4)


def _block(features: int = FEATURES) -> nn.Module:
    """The chapter's block, with larger weights than at the start of a training."""
    block = model.ResidualBlock(features)
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.3)
    return block


def residual_block(answer: Any) -> None:
    """Step 5: the same maps as the chapter's block from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        block = kind(FEATURES)
        if any(isinstance(layer, nn.BatchNorm2d) for layer in block.modules()):
            raise NotYet("that is BatchNorm: it averages over the batch")
        if any(isinstance(layer, nn.Conv2d) and layer.bias is None for layer in block.modules()):
            raise NotYet("leave the convolutions their bias")
        copy_weights(block, _block)
        x = _draw(4, FEATURES, 8, 8) + 1
        result = block(x)
        if not torch.equal(x, _draw(4, FEATURES, 8, 8) + 1):
            raise NotYet("x itself is changed, which the layer before still needs: x + …, not x += …")
        return {"result": result}

    def after(change: Callable[[nn.Module, Tensor], Tensor]) -> type[nn.Module]:
        class Wrong(nn.Module):
            def __init__(self, features: int) -> None:
                super().__init__()
                self.block: Any = _block(features)

            def forward(self, x: Tensor) -> Tensor:
                return change(self.block.layers, x)

        return Wrong

    def instead(old: type[nn.Module], new: Callable[[], nn.Module]) -> Any:
        return lambda features: with_layers(_block, old, new)()

    mistakes = {
        "x is missing: the block adds f(x) to what came in": after(lambda layers, x: layers(x)),
        "no ReLU after the sum": after(lambda layers, x: (x + layers(x)).relu()),
        "the ReLU is after the second norm, too: f ends with the norm": after(lambda layers, x: x + layers(x).relu()),
        "the norm is missing: nn.InstanceNorm2d after each convolution": instead(nn.InstanceNorm2d, nn.Identity),
        "that is BatchNorm: it averages over the batch": instead(
            nn.InstanceNorm2d, lambda: nn.BatchNorm2d(FEATURES, affine=False)
        ),
        "a frame of zeros: the border has to be mirrored": instead(nn.ReflectionPad2d, lambda: nn.ZeroPad2d(1)),
        "the ReLU between the convolutions is missing": instead(nn.ReLU, nn.Identity),
        "a leaky ReLU: the translators have plain ones": instead(nn.ReLU, lambda: nn.LeakyReLU(0.2)),
    }
    check(answer, model.ResidualBlock, experiment, mistakes, "Seven layers, and their result is added to x.", 1e-4)


# --------------------------------------------------------------------------------------------------------- losses


def _outputs(seed: int, middle: float = 0.0) -> Tensor:
    return (2 * _draw(3, 1, 4, 4, seed=seed) + middle).requires_grad_()


def discriminator_loss(answer: Any) -> None:
    """Step 6: the judge's squares."""
    mistakes = {
        "real and fake are swapped: the judge wants 1 for real ones": lambda r, f: train.discriminator_loss(f, r),
        "the half is missing": lambda r, f: 2 * train.discriminator_loss(r, f),
        "fakes are to become 0, not -1": lambda r, f: 0.5 * ((r - 1).square().mean() + (f + 1).square().mean()),
        "no sigmoid: the squares take the outputs as they are": lambda r, f: train.discriminator_loss(r.sigmoid(), f.sigmoid()),
        "absolute values: squares are asked for": lambda r, f: 0.5 * ((r - 1).abs().mean() + f.abs().mean()),
        "the mean comes before the square: each patch has its own": lambda r, f: 0.5 * ((r.mean() - 1) ** 2 + f.mean() ** 2),
        "that is the cross-entropy of chapter 01": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
    }  # fmt: skip
    cases = [(_outputs(i, i), _outputs(i + 9, -i)) for i in (0, 1)]
    check(answer, train.discriminator_loss, on_cases(cases), mistakes)


def generator_loss(answer: Any) -> None:
    """Step 6: the translator's square."""
    mistakes = {
        "that is what the judge wants: the translator wants 1": lambda f: f.square().mean(),
        "no half on this side": lambda f: 0.5 * (f - 1).square().mean(),
        "no sigmoid: the squares take the outputs as they are": lambda f: (f.sigmoid() - 1).square().mean(),
        "that is the logarithm of chapter 01": lambda f: F.softplus(-f).mean(),
    }
    check(answer, train.generator_loss, on_cases([(_outputs(i, i),) for i in (0, 1)]), mistakes)


def _apart(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean()


def cycle_loss(answer: Any) -> None:
    """Step 7: both ways there and back, with the chapter's loss for each."""

    def right(to_y: Any, to_x: Any, x: Tensor, y: Tensor) -> Tensor:
        return train.cycle_loss(to_x(to_y(x)), x) + train.cycle_loss(to_y(to_x(y)), y)

    mistakes = {
        "the way back of y is missing: there are two cycles": lambda g, f, x, y: _apart(f(g(x)), x),
        "the way back of x is missing: there are two cycles": lambda g, f, x, y: _apart(g(f(y)), y),
        "the same network twice: the way back is the other one": lambda g, f, x, y: _apart(g(g(x)), x) + _apart(f(f(y)), y),
        "in the wrong order: from x goes to_y first, from y to_x": lambda g, f, x, y: _apart(g(f(x)), x) + _apart(f(g(y)), y),
        "one way only: a translation cannot be compared with its picture": lambda g, f, x, y: _apart(g(x), x) + _apart(f(y), y),
        "x and y are no pair: compare there and back with where it began": lambda g, f, x, y: _apart(g(x), y) + _apart(f(y), x),
        "squares: absolute differences are asked for": lambda g, f, x, y: (f(g(x)) - x).square().mean() + (g(f(y)) - y).square().mean(),
        "half of it: the two cycles are added": lambda g, f, x, y: right(g, f, x, y) / 2,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        nets = [nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.Tanh()) for _ in range(2)]
    cases = [(*nets, _draw(4, 3, 6, 6, seed=i), _draw(4, 3, 6, 6, seed=i + 4)) for i in (0, 1)]
    check(answer, right, on_cases(cases), mistakes)


def without_judge(answer: Any) -> None:
    """Step 8: the cycle and identity losses, with their weights."""

    def right(*case: Any) -> Tensor:
        x, back_x, same_x, y, back_y, same_y, lam, share = case
        identity = train.identity_loss(same_x, x) + train.identity_loss(same_y, y)
        return lam * (train.cycle_loss(back_x, x) + train.cycle_loss(back_y, y) + share * identity)

    def weighted(change: Callable[[float, float], tuple[float, float]]) -> Any:
        def function(*case: Any) -> Tensor:
            of_cycle, of_identity = change(*case[6:])
            cycle, both = right(*case[:6], 1.0, 0.0), right(*case[:6], 1.0, 1.0)
            return of_cycle * cycle + of_identity * (both - cycle)

        return function

    mistakes = {
        "the identity terms carry the share alone: lam belongs to them, too": weighted(lambda lam, share: (lam, share)),
        "the identity terms carry lam alone: the share belongs to them, too": weighted(lambda lam, share: (lam, lam)),
        "the share weighs the cycle: it belongs to the identity": weighted(lambda lam, share: (lam * share, lam)),
        "the identity loss is missing": weighted(lambda lam, share: (lam, 0.0)),
        "the cycle loss is missing": weighted(lambda lam, share: (0.0, lam * share)),
        "the weights are missing": weighted(lambda lam, share: (1.0, 1.0)),
        "same_x and same_y are swapped: same_x is F(x), and compared with x": lambda x, bx, sx, y, by, sy, lam, s: right(x, bx, sy, y, by, sx, lam, s),
    }  # fmt: skip
    weights = (10.0, 0.5), (3.0, 0.2)
    cases = [(*torch.unbind(_draw(6, 2, 3, 4, 4, seed=i)), *pair) for i, pair in enumerate(weights)]
    check(answer, right, on_cases([tuple(_grad(part) for part in case) for case in cases]), mistakes, tolerance=1e-4)


def _grad(part: Any) -> Any:
    return part.clone().requires_grad_() if isinstance(part, Tensor) else part


# ----------------------------------------------------------------------------------------------------------- pool


def _exchange(pool: list[Tensor], fake: Tensor, size: int = 50) -> Tensor:
    """The chapter's pool behind the signature of the exercise."""
    chapters = model.ImagePool(size)
    chapters.pictures = torch.stack(pool) if pool else None
    shown = chapters.exchange(fake, torch.Generator().manual_seed(int(torch.randint(2**31, ()))))
    pool[:] = [] if chapters.pictures is None else list(chapters.pictures)
    return shown


def _one_by_one(each: Callable[[list[Tensor], Tensor, int, bool], Tensor]) -> Any:
    """A pool that does what `each` says when it is full."""

    def function(pool: list[Tensor], fake: Tensor, size: int = 50) -> Tensor:
        shown = []
        for picture in fake:
            if len(pool) < size:
                pool.append(picture)
                shown.append(picture)
            else:
                shown.append(each(pool, picture, int(torch.randint(size, ())), bool(torch.rand(()) < 0.5)))
        return torch.stack(shown)

    return function


def exchange(answer: Any) -> None:
    """Step 9: a stream of pictures that carry the number of their birth, through a pool of ten."""
    size, n = 10, 8000

    def experiment(function: Any) -> dict[str, Any]:
        pool: list[Tensor] = []
        stream = torch.arange(float(n)).view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
        shown = []
        for fake in stream.split(5):
            given = function(pool, fake.clone(), size)
            if isinstance(given, Tensor) and given.shape != fake.shape:
                raise NotYet(
                    f"you show {tuple(given.shape)} where {tuple(fake.shape)} came in: one for each new picture"
                )
            shown.append(given)
            if len(pool) > size:
                raise NotYet(f"the pool grows beyond its size: {len(pool)} pictures where {size} are the most")
        if len(pool) < size:
            raise NotYet(
                f"the pool has {len(pool)} pictures after {n}: keep those that come while it is not full, in the list that you were given: pool.append(…)"
            )
        numbers = torch.cat(shown)[:, 0, 0, 0]
        old = torch.arange(float(n)) - numbers
        if not (old > 0).any():
            raise NotYet(
                "only new pictures are shown: half of the time a kept one is to be shown in the new one's stead"
            )
        part = (old[size:] > 0).view(-1, 5).float().mean(1)
        return {
            "share of batches with old and new pictures": ((part > 0) & (part < 1)).float().mean(),
            "first pictures, while the pool fills,": numbers[:size] / size,
            "share of old pictures": (old[size:] > 0).float().mean(),
            "mean age of the old pictures, divided by twice the size,": old[old > 0].mean() / (2 * size),
            "spread of these ages, divided by the same,": old[old > 0].std() / (2 * size),
            "share of pictures that are shown twice": 1 - len(numbers[size:].unique()) / (n - size),
        }

    def kept(pool: list[Tensor], picture: Tensor, place: int, coin: bool) -> Tensor:
        return pool[place] if coin else picture

    def swap(pool: list[Tensor], picture: Tensor, place: int) -> Tensor:
        old, pool[place] = pool[place], picture
        return old

    def stored_anyway(pool: list[Tensor], picture: Tensor, place: int, coin: bool) -> Tensor:
        old = swap(pool, picture, place)
        return old if coin else picture

    def queue(pool: list[Tensor], picture: Tensor, place: int, coin: bool) -> Tensor:
        if not coin:
            return picture
        pool.append(picture)
        return pool.pop(0)

    mistakes = {
        "no coin: half of the time the new picture is shown": _one_by_one(lambda pool, new, place, coin: swap(pool, new, place)),
        "the new picture does not take the old one's place: the pool stays as it was when it was full": _one_by_one(kept),
        "the new picture is kept also when it is shown itself: then the pool stays as it is": _one_by_one(stored_anyway),
        "always the oldest one: draw the place evenly": _one_by_one(queue),
    }  # fmt: skip
    check(answer, _exchange, experiment, mistakes, "A coin, and one of the places.", tolerance=0.08)


def memory(answer: Any) -> None:
    """Step 10: how long a picture stays in a pool of 80."""
    check_number(answer, 2 * 80, 0.001, "The chance that one new picture takes this one out is 1/2 times 1/80.")


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    to_y: Any, to_x: Any, judge_y: Any, judge_x: Any, opt_g: Any, opt_d: Any, x: Tensor, y: Tensor, pool_y: Any, pool_x: Any,
    **mistake: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Banners (1) and (2) of the chapter's loop; a test holds them together. `mistake` breaks a part."""
    fake_y, fake_x = to_y(x), to_x(y)
    back_x, back_y = to_x(fake_y.detach() if mistake.get("cut") else fake_y), to_y(fake_x)
    cycle = train.cycle_loss(back_x, x) + train.cycle_loss(back_y, y)
    first, second = (judge_x, judge_y) if mistake.get("judges") else (judge_y, judge_x)
    adversarial = train.generator_loss(first(fake_y)) + train.generator_loss(second(fake_x))
    loss_g = mistake.get("sign", 1) * adversarial + mistake.get("lam", 10) * cycle
    if mistake.get("clear_g", True):
        opt_g.zero_grad()
    loss_g.backward()
    if mistake.get("step_g", True):
        opt_g.step()
    if mistake.get("again"):
        fake_y, fake_x = to_y(x), to_x(y)
    fake_y, fake_x = fake_y.detach(), fake_x.detach()
    if mistake.get("pools"):
        pool_y, pool_x = pool_x, pool_y
    old_y, old_x = _exchange(pool_y, fake_y), _exchange(pool_x, fake_x)
    if mistake.get("unpooled"):
        old_y, old_x = fake_y, fake_x
    pairs = [(judge_y(y), judge_y(old_y))]
    if mistake.get("games", 2) == 2:
        pairs.append((judge_x(x), judge_x(old_x)))
    if mistake.get("swapped"):
        pairs = [(fake, real) for real, fake in pairs]
    loss_d = sum((train.discriminator_loss(*pair) for pair in pairs), torch.tensor(0.0))
    if mistake.get("clear_d", True):
        opt_d.zero_grad()
    loss_d.backward()
    if mistake.get("step_d", True):
        opt_d.step()
    return loss_d, loss_g


def _networks() -> list[nn.Module]:
    """Two small translators and two small judges of the chapter, with weights that roundings do not hide."""
    build: tuple[nn.Module, ...] = (
        *(model.Generator(width=2, blocks=1, upsampling="resize") for _ in range(2)),
        *(model.Discriminator(width=2, layers=1) for _ in range(2)),
    )
    for network in build:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.15)
    return list(build)


def _shown_old_ones(update: Any, networks: list[nn.Module], optimizers: list[Any], x: Tensor, y: Tensor) -> Tensor:
    """How many judges see pictures that have been in full pools, in four plays: by chance alone none of them shows one."""
    marked = torch.full((3, 16, 16), 0.125)  # no translator draws that
    seen = set()
    for judge in networks[2:]:
        judge.register_forward_pre_hook(
            lambda judge, given: seen.add(judge) if (given[0] == 0.125).all((1, 2, 3)).any() else None
        )
    for _ in range(4):
        update(*networks, *optimizers, x, y, *([marked.clone() for _ in range(50)] for _ in range(2)))
    return torch.tensor(float(len(seen)))


def whole_update(answer: Any) -> None:
    """Step 11: all weights of four networks after one step, from empty pools."""

    def experiment(update: Any) -> dict[str, Any]:
        torch.manual_seed(1)
        networks = _networks()
        for network in networks:
            for parameter in network.parameters():
                parameter.grad = _draw(*parameter.shape, seed=parameter.numel())
        parts = [[*networks[i].parameters(), *networks[i + 1].parameters()] for i in (0, 2)]
        optimizers = [torch.optim.SGD(part, 0.02) for part in parts]
        x, y = _draw(4, 3, 16, 16).clamp(-1, 1), _draw(4, 3, 16, 16, seed=1).clamp(-1, 1)
        pools: list[list[Tensor]] = [[], []]
        losses = update(*networks, *optimizers, x, y, *pools)
        names = ("to_y", "to_x", "judge_y", "judge_x")
        found = left_by_update(losses, dict(zip(names, networks, strict=True)))
        if [len(pool) for pool in pools] != [4, 4]:
            raise NotYet("this step's translations did not get into the pools: exchange(pool, fake)")
        for pool, name in zip(pools, ("pool_y", "pool_x"), strict=True):
            if any(picture.requires_grad for picture in pool):
                raise NotYet(f"the pictures in {name} carry a graph: .detach() them, or old graphs pile up")
        found |= {"pictures in pool_y": torch.stack(pools[0]), "pictures in pool_x": torch.stack(pools[1])}
        return found | {
            "number of judges that see a full pool's pictures": _shown_old_ones(update, networks, optimizers, x, y)
        }

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "each judge looks at the wrong kind: to_y(x) are faces, for judge_y": wrong(judges=True),
        "the cycle's weight of 10 is missing": wrong(lam=1),
        "the cycle is missing: nothing ties a translation to its picture": wrong(lam=0),
        "the adversarial losses have the wrong sign": wrong(sign=-1),
        "to_y's translations are detached on the way back: a cycle runs through both translators": wrong(cut=True),
        "real and fake are swapped in the judges' losses": wrong(swapped=True),
        "opt_g.zero_grad() is missing: old gradients are still there": wrong(clear_g=False),
        "opt_d.zero_grad() is missing: the judges still have gradients from the translators' loss": wrong(clear_d=False),
        "the translators did not move: loss_g.backward() or opt_g.step() is missing": wrong(step_g=False),
        "the judges did not move: loss_d.backward() or opt_d.step() is missing": wrong(step_d=False),
        "the pools are swapped: faces belong to pool_y": wrong(pools=True),
        "the judges see this step's translations: give them what exchange returns": wrong(unpooled=True),
        "judge_x does not learn: there are two games": wrong(games=1),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
        "the judges see translations of the moved translators: use those that the translators learned from": wrong(again=True),
    }  # fmt: skip
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


# --------------------------------------------------------------------------------------------------- hidden marks


def erase(answer: Any) -> None:
    """Step 13: the chapter's eraser, on drawings that a file can hold."""

    def by(
        grey: Callable[[Tensor], Tensor] = lambda x: x.mean(1, keepdim=True), size: int = 3, white: float = 1.0
    ) -> Any:
        def function(x: Tensor) -> Tensor:
            line = F.max_pool2d((grey(x) < 0).float(), size, stride=1, padding=size // 2) > 0
            return grey(x).where(line, white).expand_as(x)

        return function

    def in_colour(x: Tensor) -> Tensor:
        return x.where(by()(x) < 1, 1.0)

    def inverted(x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        return grey.where(F.max_pool2d((grey < 0).float(), 3, stride=1, padding=1) == 0, 1.0).expand_as(x)

    mistakes = {
        "the lines keep their tints: make the drawing grey": in_colour,
        "the lines went, and the paper stayed": inverted,
        "the pixels beside a line are erased, too: look at squares of 3 × 3": by(size=1),
        "the squares are larger than 3 × 3": by(size=5),
        "erased is white, which is 1, and not 0": by(white=0.0),
        "nothing is erased: it is only grey": lambda x: x.mean(1, keepdim=True).expand_as(x),
    }
    cases = [((_draw(2, 3, 12, 12, seed=i) / 3 + 0.75).clamp(-1, 1),) for i in (0, 1)]
    for (drawing,) in cases:
        drawing[:, :, 5, 3:9] -= 1.5
    rounded = [(scores.to_float(scores.to_uint8(drawing)),) for (drawing,) in cases]
    hints = {"the shape": "expand_as(drawings) makes three channels of one."}
    check(answer, scores.erased, on_cases(rounded), mistakes, hints)


def worst_message(answer: Any) -> None:
    """Step 14: on which drawing the way back is worst."""
    wrong = {
        "a": "run it: this one has all that the translator wrote",
        "b": "run it: something that the translator wrote is left in the shape of its lines",
    }
    check_choice(answer, "c", wrong, "the best drawing is the worst message: no translator wrote into it.")
