"""Checks of this chapter's exercises. They hold the answers: look in here when you are done.

Each check runs your code and the chapter's from the same random numbers, and knows the usual mistakes.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

import line
import model
import scores
import train
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
)

WIDTH = 4  # of the networks that are compared
KIND = "embedding"  # the way to condition that is written in the exercises
LABELS = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _plain(network: nn.Module) -> nn.Module:
    """The network without spectral norm, whose estimates start at random."""
    for layer in list(network.modules()):
        if is_parametrized(layer, "weight"):
            remove_parametrizations(layer, "weight", leave_parametrized=False)
    return network


def _louder(network: nn.Module) -> None:
    """Larger weights than at the start of a training, so that mistakes are not lost in roundings."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.1)


class _Generator(nn.Module):
    """The chapter's generator, with its layers in the order of the exercise."""

    embed: Any

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        chapters = model.Generator(KIND, width=width)
        self.embed = chapters.embed
        pairs = zip(chapters.convs, chapters.norms, strict=True)
        self.layers = nn.ModuleList([*(layer for pair in pairs for layer in pair), chapters.to_picture])
        self.draw = chapters.forward
        _louder(self)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.draw(z, labels)


class _Discriminator(nn.Module):
    """The chapter's discriminator with its layers in the order of the exercise, and without spectral norm."""

    label_map: Any
    layers: Any
    head: Any

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        chapters = _plain(model.Discriminator(KIND, width=width))
        self.label_map, self.layers, self.head = chapters.label_map, chapters.body, chapters.head
        self.judge = chapters.forward
        _louder(self)

    def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
        return self.judge(pictures, labels)[0]


# --------------------------------------------------------------------------------------------------------- labels


def unequal_labels(answer: Any) -> None:
    """Step 1: the best logit where the labels of fakes have other frequencies than those of the data."""
    likelihood = 0.123  # p(x | cat), the same on both sides: any number does
    shares = torch.tensor([0.3, 0.7]), torch.tensor([0.5, 0.5])
    best = line.optimal_discriminator(*(share * likelihood for share in shares))
    check_number(
        answer, best.logit()[0].item(), hint="p(x, y) = p(x|y) p(y). What is left of log(p_data(x, y) / p_g(x, y))?"
    )


def draw_labels(answer: Any) -> None:
    """Step 2: labels as frequent as in the data, and other ones each time."""
    labels, n = torch.tensor([0] * 60 + [1] * 10 + [2] * 30), 20_000

    def experiment(function: Any) -> dict[str, Any]:
        drawn = [torch.as_tensor(function(labels, n)) for _ in range(2)]
        if drawn[0].shape != (n,):
            raise NotYet(f"your labels have the shape {tuple(drawn[0].shape)}, and {n} were asked for of 100 pictures")
        if drawn[0].dtype != torch.int64:
            raise NotYet("labels are whole numbers, of the type int64")
        if not torch.isin(drawn[0], labels).all():
            raise NotYet("there are labels that the data does not have: draw pictures, and take their labels")
        if torch.equal(*drawn):
            raise NotYet("the same labels each time: draw them at random")
        return {"frequencies of the three classes": drawn[0].bincount(minlength=3) / n}

    mistakes = {
        "each class is drawn equally often: the fakes' labels have to be as frequent as in the data": (
            lambda y, n: torch.randint(3, (n,))
        )
    }
    check(answer, lambda y, n: y[torch.randint(len(y), (n,))], experiment, mistakes, tolerance=0.02)


# ------------------------------------------------------------------------------------------------------- networks


def _labels_count(found: Any, words: str) -> None:
    if isinstance(found, Tensor) and found.ndim and len(found) == 2 and torch.equal(found[0], found[1]):
        raise NotYet(words)


def generator(answer: Any) -> None:
    """Step 3: the same pictures as the chapter's generator from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(WIDTH)
        copy_weights(network, _Generator)
        one = _draw(1, 100).repeat(2, 1)
        network.eval()
        twins = network(one, torch.tensor([3, 7]))
        _labels_count(twins, "one z draws the same for a three and a seven: the label does not reach the picture")
        network.train()
        return {"pictures": network(_draw(8, 100), LABELS)}

    def joined(order: Callable[[Tensor, Tensor], list[Tensor]]) -> type[_Generator]:
        class Wrong(_Generator):
            def forward(self, z: Tensor, labels: Tensor) -> Tensor:
                x = torch.cat(order(z, self.embed(labels)), dim=1)[:, :, None, None]
                for i, layer in enumerate(self.layers):
                    x = torch.relu(layer(x)) if i % 2 else layer(x)
                return torch.tanh(x)

        return Wrong

    mistakes = {
        "z comes first, and the label's numbers behind it": joined(lambda z, own: [own, z]),
        "the label's numbers are scaled: put them beside z as they are": joined(
            lambda z, own: [z, own / math.sqrt(32)]
        ),
    }
    join = "Join z and embed(labels) along dim=1, and give the result to up."
    check(answer, _Generator, experiment, mistakes, {"Sizes of tensors": join, "off by": join, "mat1 and mat2": join})


def discriminator(answer: Any) -> None:
    """Step 4: the same logits as the chapter's discriminator from the same weights."""

    def experiment(kind: Any) -> dict[str, Any]:
        network = kind(WIDTH)
        if any(isinstance(layer, nn.Sigmoid) for layer in network.modules()):
            raise NotYet("no sigmoid: the losses want logits")
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        if kind is answer and not all(is_parametrized(layer, "weight") for layer in layers):
            raise NotYet("a layer has no spectral norm: put it around the head, too")
        copy_weights(_plain(network), _Discriminator)
        twins = network(_draw(1, 1, 28, 28).repeat(2, 1, 1, 1), torch.tensor([3, 7]))
        _labels_count(twins, "a picture beside a three and beside a seven is judged alike: the label is not used")
        return {"logits": network(_draw(8, 1, 28, 28), LABELS)}

    class Swapped(_Discriminator):
        def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
            maps: Tensor = self.label_map(labels).view(-1, 1, 28, 28)
            logits: Tensor = self.head(self.layers(torch.cat([maps, pictures], dim=1)).flatten(1))
            return logits.squeeze(1)

    class Turned(_Discriminator):
        def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
            maps: Tensor = self.label_map(labels).view(-1, 1, 28, 28).mT
            logits: Tensor = self.head(self.layers(torch.cat([pictures, maps], dim=1)).flatten(1))
            return logits.squeeze(1)

    class Sure(_Discriminator):
        def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
            return super().forward(pictures, labels).sigmoid()

    mistakes = {
        "the picture is the first channel, and the label's map the second": Swapped,
        "the label's map is transposed: view(-1, 1, 28, 28) keeps the order": Turned,
        "no sigmoid: the losses want logits": Sure,
    }
    join = "Join picture and map along dim=1: two channels."
    check(answer, _Discriminator, experiment, mistakes, {"Sizes of tensors": join, "off by": join, "channels": join})


# --------------------------------------------------------------------------------------------------------- losses


def _logits(seed: int, shift: float = 0.0) -> Tensor:
    return (2 * _draw(12, seed=seed) + shift).requires_grad_()


def discriminator_loss(answer: Any) -> None:
    """Step 5: the discriminator's hinge."""
    mistakes = {
        "real and fake are swapped: D wants real logits above 1": lambda r, f: F.relu(1 + r).mean() + F.relu(1 - f).mean(),
        "the mean comes before max(0, …): each logit has its own hinge": lambda r, f: F.relu(1 - r.mean()) + F.relu(1 + f.mean()),
        "the margin of 1 is missing": lambda r, f: F.relu(-r).mean() + F.relu(f).mean(),
        "max(0, …) is missing: what is beyond the margin teaches nothing": lambda r, f: (1 - r).mean() + (1 + f).mean(),
        "that is the cross-entropy: the hinge is relu(1 - a) and relu(1 + a)": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
    }  # fmt: skip
    check(
        answer, partial(train.discriminator_loss, kind="hinge"), on_cases([(_logits(i, 1.5 * i), _logits(i + 9, -1.5 * i)) for i in (0, 1)]), mistakes
    )  # fmt: skip


def generator_loss(answer: Any) -> None:
    """Step 5: the generator's side of the hinge."""
    mistakes = {
        "the generator's side has no max(0, …)": lambda f: F.relu(1 - f).mean(),
        "that is the non-saturating loss: here it is minus the mean logit": lambda f: F.softplus(-f).mean(),
    }
    check(answer, partial(train.generator_loss, kind="hinge"), on_cases([(_logits(i),) for i in (0, 1)]), mistakes)


# ------------------------------------------------------------------------------------------------ the whole update


def one_update(
    generator: Any,
    discriminator: Any,
    opt_g: Any,
    opt_d: Any,
    real: Tensor,
    real_y: Tensor,
    z: Tensor,
    fake_y: Tensor,
    z_g: Tensor,
    fake_y_g: Tensor,
    **mistake: Any,
) -> tuple[Tensor, Tensor]:
    """Banners (1) and (2) of the chapter's loop; a test holds them together. `mistake` breaks a part."""

    def judge(pictures: Tensor, labels: Tensor) -> Tensor:
        logits = discriminator(pictures, labels)
        return logits[0] if isinstance(logits, tuple) else logits

    with torch.no_grad():
        fake = generator(z, fake_y)
    real_logits, fake_logits = judge(real, real_y), judge(fake, real_y if mistake.get("real_labels") else fake_y)
    loss_d = train.discriminator_loss(
        *((fake_logits, real_logits) if mistake.get("swapped") else (real_logits, fake_logits)), "hinge"
    )
    if mistake.get("clear_d", True):
        opt_d.zero_grad()
    loss_d.backward()
    if mistake.get("step_d", True):
        opt_d.step()
    z_g, fake_y_g = (z, fake_y) if mistake.get("same") else (z_g, fake_y_g)
    loss_g = train.generator_loss(
        judge(generator(z_g, fake_y_g), fake_y if mistake.get("old_labels") else fake_y_g), "hinge"
    )
    loss_g = mistake.get("sign", 1) * loss_g
    if mistake.get("clear_g", True):
        opt_g.zero_grad()
    loss_g.backward()
    if mistake.get("step_g", True):
        opt_g.step()
    return loss_d, loss_g


def whole_update(answer: Any, own_generator: Any, own_discriminator: Any) -> None:
    """Step 6: all weights after one step of the learner's networks and update, and of the chapter's."""
    if not answered(answer, step_3=own_generator, step_4=own_discriminator):
        return

    def experiment(update: Any) -> dict[str, Any]:
        patterns: list[Any] = [_Generator, _Discriminator]
        own = [partial(own_generator, WIDTH), partial(own_discriminator, WIDTH)]
        networks: Any = [build() for build in (own if update is answer else patterns)]
        for network, pattern in zip(networks, patterns, strict=True):
            copy_weights(_plain(network), pattern)
            for parameter in network.parameters():
                parameter.grad = _draw(*parameter.shape, seed=parameter.numel())
        optimizers = [torch.optim.SGD(network.parameters(), 0.1) for network in networks]
        parts = (
            _draw(8, 1, 28, 28).clamp(-1, 1),
            LABELS,
            _draw(8, 100),
            LABELS.flip(0),
            _draw(8, 100, seed=1),
            (LABELS + 5) % 10,
        )
        losses = update(*networks, *optimizers, *parts)
        return left_by_update(losses, dict(zip(("generator", "discriminator"), networks, strict=True)))

    wrong: Any = partial(partial, one_update)
    mistakes = {
        "the discriminator sees the fakes beside real_y: they were asked for fake_y": wrong(real_labels=True),
        "the generator's fakes are judged beside fake_y: they were asked for fake_y_g": wrong(old_labels=True),
        "the generator got z and fake_y: it is updated with z_g and fake_y_g": wrong(same=True),
        "real and fake are swapped in D's loss": wrong(swapped=True),
        "the generator's loss has the wrong sign": wrong(sign=-1),
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
        "the generator did not move: loss_g.backward() or opt_g.step() is missing, or its fakes carry no graph": wrong(
            step_g=False
        ),
        "the losses come in the wrong order: loss_d, loss_g": lambda *case: one_update(*case)[::-1],
    }
    check(answer, one_update, experiment, mistakes, tolerance=1e-4)


# -------------------------------------------------------------------------------------------------------- measures


def table(answer: Any) -> None:
    """Step 7: the ten classes at each latent, in eval mode and without a graph; train mode afterwards."""
    z = _draw(3, 100)

    def experiment(function: Any) -> dict[str, Any]:
        network = _Generator()
        for _ in range(20):  # BatchNorm's averages become those of its pictures
            network(torch.randn(40, 100), torch.arange(40) % 10)
        return as_it_was(network, function(network, z))

    def drawn(latents: Callable[[Tensor], Tensor], labels: Tensor, training: bool = False) -> Any:
        def function(network: nn.Module, z: Tensor) -> Tensor:
            with torch.no_grad():
                pictures: Tensor = network.train(training)(latents(z), labels)
            network.train()
            return pictures

        return function

    columns, rows = torch.arange(10).repeat(3), torch.arange(10).repeat_interleave(3)
    mistakes = {
        "train mode: each picture depends on its batch, so call generator.eval() first": drawn(lambda z: z.repeat_interleave(10, 0), columns, True),
        "a class a row: it is a class a column, so z is what stays for ten pictures": drawn(lambda z: z.repeat(10, 1), rows),
        "z changes from picture to picture: ten neighbours share one, repeat_interleave(10, 0)": drawn(lambda z: z.repeat(10, 1), columns),
        "the class stays for several pictures: the labels are 0 1 2 … 9, and then 0 again": drawn(lambda z: z.repeat_interleave(10, 0), rows),
    }  # fmt: skip
    check(answer, drawn(lambda z: z.repeat_interleave(10, 0), columns), experiment, mistakes)


def asked_for(answer: Any) -> None:
    """Step 8: the share of pictures in which the classifier sees what was asked for."""

    def right(class_logits: Tensor, labels: Tensor) -> Tensor:
        return torch.tensor(sum(scores.asked_for(class_logits, labels, 10)) / 10)

    mistakes = {
        "that is a mean probability: count how often the largest logit is the right one": lambda a, y: (
            a.softmax(1).gather(1, y[:, None]).mean()
        ),
        "those are the ones that do not obey": lambda a, y: (a.argmax(1) != y).float().mean(),
        "the smallest logit: argmax, not argmin": lambda a, y: (a.argmin(1) == y).float().mean(),
    }
    labels = torch.arange(10).repeat(20)
    cases = [(_draw(200, 10, seed=i) + (i + 1) * F.one_hot(labels, 10), labels) for i in (0, 1)]
    check(answer, right, on_cases(cases), mistakes, "argmax(1), compared with the labels; the mean of that.")


def variety(answer: Any) -> None:
    """Step 9: the mean distance inside a class, over that of real pictures."""

    def right(*case: Tensor) -> Tensor:
        ratios = scores.variety(*case)
        return torch.tensor(sum(ratios) / len(ratios))

    def by_class(spread: Callable[[Tensor], Tensor]) -> Any:
        def function(features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> Tensor:
            kinds = real_labels.unique()
            return torch.stack([spread(features[labels == c]) / spread(real[real_labels == c]) for c in kinds]).mean()

        return function

    def of_means(features: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> Tensor:
        kinds = real_labels.unique()
        mine, theirs = (
            sum(F.pdist(x[y == c]).mean() for c in kinds) for x, y in ((features, labels), (real, real_labels))
        )
        return torch.as_tensor(mine / theirs)

    mistakes = {
        "each picture is compared with itself, too, at the distance 0: F.pdist leaves that out": by_class(lambda x: torch.cdist(x, x).mean()),
        "the distances are squared": by_class(lambda x: F.pdist(x).square().mean()),
        "the distances are summed: their number differs between fakes and real ones, so take the mean": by_class(lambda x: F.pdist(x).sum()),
        "pictures of all classes are compared: stay inside of a class": lambda x, y, r, s: F.pdist(x).mean() / F.pdist(r).mean(),
        "upside down: divide the fakes' by the real ones'": lambda x, y, r, s: right(r, s, x, y),
        "one ratio of two means: divide for each class, and take the mean at the end": of_means,
    }  # fmt: skip
    cases = []
    for seed, (n, m) in enumerate(((40, 50), (60, 45))):
        labels, real_labels = torch.arange(n) % 10, torch.arange(m) % 10
        scale = torch.tensor([1.0, 3.0, 0.5, 2.0, 1.5]).repeat(2)
        features = _draw(n, 5, seed=seed) * scale[labels, None] + 4 * labels[:, None]
        real = _draw(m, 5, seed=seed + 7) * scale.flip(0)[real_labels, None] + 4 * real_labels[:, None]
        cases.append((features, labels, real, real_labels))
    check(answer, right, on_cases(cases), mistakes, "F.pdist inside of each class.")


# ------------------------------------------------------------------------------------------------------ auxiliary


def published(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The class loss with a bug, for outputs of a network that ends in a softmax."""
    return F.cross_entropy(probabilities, labels)


def class_loss(answer: Any) -> None:
    """Step 11: the cross-entropy of probabilities."""
    mistakes = {
        "as it was: cross_entropy takes a softmax of what it gets, and these are probabilities": published,
        "the logarithm is missing: nll_loss wants logarithms of probabilities": F.nll_loss,
        "a second softmax: there is one too many already": lambda p, y: published(p.softmax(1), y),
        "over all classes: only the right one's probability counts": lambda p, y: -p.log().mean(),
    }
    cases = [
        ((3 * _draw(8, 10, seed=i)).softmax(1).requires_grad_(), LABELS.roll(i)) for i in range(3)
    ]  # logarithms of probabilities are logits
    check(answer, lambda p, y: train.class_loss(p.log(), y), on_cases(cases), mistakes)


def least_class_loss(answer: Any) -> None:
    """Step 12: what the bug leaves of a perfect class head."""
    certain = F.one_hot(torch.arange(10)).float()
    check_number(
        answer,
        published(certain, torch.arange(10)).item(),
        hint="Take the softmax of one 1 and nine 0, and its logarithm.",
    )


def silent_head(answer: Any) -> None:
    """Step 13: AC-GAN without its class loss."""
    wrong = {
        "a": "who would tell the generator which class was meant?",
        "b": "the class loss pushed the classes apart, and it is gone",
    }
    check_choice(answer, "c", wrong, "the class head was the only part of D that saw a label. The game is blind.")


# ----------------------------------------------------------------------------------------------------- projection


def conditional_batch_norm(answer: Any) -> None:
    """Step 14: at the start, in train mode and in eval mode."""
    right = model.ConditionalBatchNorm2d

    def pattern() -> nn.Module:
        layer = right(6, 10)
        nn.init.normal_(layer.gain.weight, 1, 1)
        nn.init.normal_(layer.shift.weight)
        return layer

    def experiment(kind: Any) -> dict[str, Any]:
        x = 3 * _draw(8, 6, 4, 4) + 1
        layer = kind(6, 10)
        found = {"result at the start, where all gains are 1 and all shifts 0,": layer(x, LABELS)}
        copy_weights(layer, pattern)
        found["result"] = layer(x, LABELS)
        layer.eval()
        return found | {"result in eval mode": layer(x, LABELS)}

    class Momentary(right):  # type: ignore[misc, valid-type]
        def __init__(self, features: int, classes: int) -> None:
            super().__init__(features, classes)
            self.normalise = nn.BatchNorm2d(features, affine=False, track_running_stats=False)

    class Instance(right):  # type: ignore[misc, valid-type]
        def __init__(self, features: int, classes: int) -> None:
            super().__init__(features, classes)
            self.normalise = nn.InstanceNorm2d(features)

    class Bare(right):  # type: ignore[misc, valid-type]
        def __init__(self, features: int, classes: int) -> None:
            super().__init__(features, classes, batch_norm=False)

    class Swapped(right):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor, labels: Tensor) -> Tensor:
            gain, shift = (table(labels)[:, :, None, None] for table in (self.gain, self.shift))
            return shift * self.normalise(x) + gain

    mistakes = {
        "that normalises each picture by itself: m and s are those of the batch, BatchNorm2d": Instance,
        "in eval mode m and s are running averages, as in every BatchNorm: BatchNorm2d has them": Momentary,
        "nothing is normalised: BatchNorm2d(features, affine=False) comes first": Bare,
        "gain and shift are swapped: the gain multiplies": Swapped,
    }
    check(answer, right, experiment, mistakes)


def mixed(answer: Any) -> None:
    """Step 15: scales and shifts of mixtures, against the chapter's layer without its normalisation."""

    def right(x: Tensor, gain: Tensor, shift: Tensor, weights: Tensor) -> Tensor:
        layer = model.ConditionalBatchNorm2d(x.shape[1], len(gain), batch_norm=False)
        with torch.no_grad():
            layer.gain.weight.copy_(gain), layer.shift.weight.copy_(shift)
            return layer(x, weights).detach()

    mistakes = {
        "only the class with the largest weight is used: mix all rows": lambda x, g, s, w: right(
            x, g, s, F.one_hot(w.argmax(1), w.shape[1]).float()
        ),
        "the weights sum to 1 already: no softmax": lambda x, g, s, w: right(x, g, s, w.softmax(1)),
        "gain and shift are swapped: the gain multiplies": lambda x, g, s, w: right(x, s, g, w),
        "the shift is missing": lambda x, g, s, w: right(x, g, 0 * s, w),
    }
    cases = [
        (
            _draw(4, 6, 3, 3, seed=i),
            _draw(5, 6, seed=i + 1),
            _draw(5, 6, seed=i + 2),
            _draw(4, 5, seed=i + 3).softmax(1),
        )
        for i in (0, 10)
    ]
    check(answer, right, on_cases(cases), mistakes, "Make room for H and W: [:, :, None, None].")


def projection(answer: Any) -> None:
    """Step 16: the logits of the chapter's discriminator, from its features."""

    def right(features: Tensor, labels: Tensor, embed: nn.Embedding, head: nn.Linear) -> Tensor:
        chapters: Any = model.Discriminator("projection", spectral=False)
        chapters.body, chapters.embed, chapters.head = nn.Identity(), embed, head
        logits: Tensor = chapters(features[:, :, None, None], labels)[0]
        return logits

    mistakes = {
        "a mean over the features: an inner product is a sum": lambda x, y, e, h: (e(y) * x).mean(1) + h(x).squeeze(1),
        "psi is missing: head(features)": lambda x, y, e, h: (e(y) * x).sum(1),
        "the inner product is missing": lambda x, y, e, h: h(x).squeeze(1),
        "psi gets the features as they are, without the label's vector": lambda x, y, e, h: (
            (e(y) * x).sum(1) + h(e(y) * x).squeeze(1)
        ),
    }
    with torch.random.fork_rng(devices=[]):
        cases = [(_draw(8, 6, seed=i).requires_grad_(), LABELS, nn.Embedding(10, 6), nn.Linear(6, 1)) for i in (0, 1)]
    check(answer, right, on_cases(cases), mistakes, "Multiply row by row, sum over dim=1, and add head(features).")


def truncation(answer: Any) -> None:
    """Step 17: what truncation does to this chapter's generator."""
    wrong = {
        "a": "run it. How long were the z that this generator was trained with?",
        "c": "run it. Where did the generator ever see such a z?",
    }
    why = (
        "z has a length of about 10 in training, and of about 3 now: the generator has never been there. "
        "BigGAN's authors saw the same in many networks, and trained the others with a penalty against it."
    )
    check_choice(answer, "b", wrong, why)
