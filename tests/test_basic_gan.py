"""Chapter 01 against independent results."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from tests.conftest import same

Chapter = Callable[[str, str], ModuleType]
TINY: dict[str, Any] = {
    "generator_hidden": (16, 16), "discriminator_hidden": (16,), "batch_size": 16, "log_every": 5, "sample_every": 50,
    "save_every": 50, "accelerator": "cpu",
}  # fmt: skip


@pytest.fixture
def model(chapter: Chapter) -> ModuleType:
    return chapter("01_basic_gan", "model")


@pytest.fixture
def train(chapter: Chapter) -> ModuleType:
    return chapter("01_basic_gan", "train")


@pytest.fixture
def ring(chapter: Chapter) -> ModuleType:
    return chapter("01_basic_gan", "ring")


# ------------------------------------------------------------------------------------------------------- networks


def test_parameters_equal_the_sum_of_the_layers(model: ModuleType) -> None:
    def linear(*widths: int) -> int:
        return sum(a * b + b for a, b in itertools.pairwise(widths))

    generator, discriminator = model.Generator(), model.Discriminator()
    # BatchNorm's shift stands in for the bias, and its scale adds one number for each hidden unit.
    assert sum(p.numel() for p in generator.parameters()) == linear(100, 256, 512, 1024, 784) + 256 + 512 + 1024
    assert sum(p.numel() for p in discriminator.parameters()) == linear(784, 512, 256, 1)
    paper_g = model.Generator(hidden=(1200, 1200), batch_norm=False)
    paper_d = model.Discriminator(hidden=(240, 240), maxout_pieces=5)
    assert sum(p.numel() for p in paper_g.parameters()) == linear(100, 1200, 1200, 784) == 2_503_984
    assert sum(p.numel() for p in paper_d.parameters()) == 785 * 1200 + 241 * 1200 + 241 == 1_231_441


def test_the_paper_preset_has_the_authors_numbers(train: ModuleType) -> None:
    paper = train.PRESETS["paper"]
    assert (paper.generator_hidden, paper.discriminator_hidden, paper.maxout_pieces) == ((1200, 1200), (240, 240), 5)
    assert (paper.dropout, paper.input_dropout, paper.batch_norm, paper.batch_size) == (0.5, 0.2, False, 100)
    # The authors' rate is 0.1 for both, and D's loss there is half of Eq. 1: SGD at half of the rate on all of it.
    assert (paper.optimizer, paper.lr_g, paper.lr_d, paper.momentum) == ("sgd", 0.1, 0.1 / 2, 0.5)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_shapes_and_ranges(model: ModuleType, shape: tuple[int, int, int]) -> None:
    fake = model.Generator(shape=shape)(torch.randn(5, 100))
    assert fake.shape == (5, *shape)
    assert fake.abs().max() <= 1
    logits = model.Discriminator(shape=shape)(fake)
    assert logits.shape == (5,)
    assert not any(isinstance(layer, nn.Sigmoid) for layer in model.Discriminator().modules())


def test_maxout_is_the_largest_of_its_pieces(model: ModuleType) -> None:
    layer = model.Maxout(3, 4, pieces=5)
    x = torch.randn(7, 3)
    weight, bias = layer.linear.weight.view(4, 5, 3), layer.linear.bias.view(4, 5)
    by_hand = torch.stack([(x @ weight[:, piece].T + bias[:, piece]) for piece in range(5)]).amax(0)
    torch.testing.assert_close(layer(x), by_hand)


def test_batch_norm_is_not_told_a_momentum_as_eps(model: ModuleType) -> None:
    norms = [layer for layer in model.Generator().modules() if isinstance(layer, nn.BatchNorm1d)]
    assert len(norms) == 3
    assert all(norm.eps == 1e-5 for norm in norms)


# --------------------------------------------------------------------------------------------------------- losses


def test_discriminator_loss_is_the_negative_of_eq_1(train: ModuleType) -> None:
    real, fake = torch.randn(64, dtype=torch.float64), torch.randn(64, dtype=torch.float64)
    targets = [target.double() for target in train.draw_targets(64, 0.0, 0.0, torch.device("cpu"))]
    eq_1 = torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean()
    assert train.discriminator_loss(real, fake, *targets).item() == pytest.approx(-eq_1.item(), rel=1e-9)


def test_generator_losses_against_the_definitions(train: ModuleType) -> None:
    logits = torch.randn(64)
    ones, zeros = torch.ones(64), torch.zeros(64)
    torch.testing.assert_close(
        train.generator_loss(logits, "non-saturating"), F.binary_cross_entropy_with_logits(logits, ones)
    )
    torch.testing.assert_close(
        train.generator_loss(logits, "saturating"), -F.binary_cross_entropy_with_logits(logits, zeros)
    )


def test_the_saturating_gradient_vanishes_where_the_fake_is_detected(train: ModuleType) -> None:
    """d/da of the two losses at logit a: sigmoid(a) and 1 - sigmoid(a), so their ratio is e^a."""
    gradients = {}
    for kind in ("saturating", "non-saturating"):
        logits = torch.tensor([-6.0], requires_grad=True)
        train.generator_loss(logits, kind).backward()
        gradients[kind] = logits.grad.item()
    assert gradients["saturating"] / gradients["non-saturating"] == pytest.approx(math.exp(-6), rel=1e-4)


def test_targets_are_smoothed_on_one_side_and_flipped_anew(train: ModuleType) -> None:
    cpu = torch.device("cpu")
    real, fake = train.draw_targets(10, 0.1, 0.0, cpu)
    assert (real == 0.9).all() and (fake == 0).all()
    torch.manual_seed(0)
    first, second = train.draw_targets(20_000, 0.1, 0.2, cpu), train.draw_targets(20_000, 0.1, 0.2, cpu)
    assert all(sorted(set(targets.tolist())) == pytest.approx([0.0, 0.9]) for targets in first)
    assert (first[0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (first[1] != 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert not torch.equal(first[0], second[0])


def test_smoothing_moves_the_optimum_to_the_smoothed_probability(train: ModuleType) -> None:
    """With equally many real and fake at one point, the best D says (1 - smoothing) / 2."""
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = train.discriminator_loss(logit, logit, *train.draw_targets(1, 0.2, 0.0, logit.device))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logit.sigmoid().item() == pytest.approx(0.4, abs=1e-4)


# ------------------------------------------------------------------------------------------------------- training


def test_the_generator_step_leaves_the_discriminator_alone_and_teaches_the_generator(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the discriminator's learning rate near zero only the generator changes, and the other way round."""
    moved = {}
    for name, rates in {"g": {"lr_d": 1e-30}, "d": {"lr_g": 1e-30}}.items():
        folder = train.train(train.Config(**TINY, **rates, max_steps=3, out=str(tmp_path / name)))
        after = torch.load(folder / "last.ckpt", weights_only=True)
        torch.manual_seed(0)
        generator = train.Generator(hidden=(16, 16))
        discriminator = train.Discriminator((16,))
        g, d = "layers.0.weight", "layers.1.weight"
        moved[name] = (
            not torch.equal(after["generator"][g], generator.state_dict()[g]),
            not torch.equal(after["discriminator"][d], discriminator.state_dict()[d]),
        )
    assert moved == {"g": (True, False), "d": (False, True)}


def test_the_seed_decides_and_looking_does_not(train: ModuleType, tmp_path: Path) -> None:
    def weights(name: str, **settings: object) -> dict[str, torch.Tensor]:
        folder = train.train(train.Config(**TINY | settings, max_steps=8, out=str(tmp_path / name)))
        return torch.load(folder / "last.ckpt", weights_only=True)["generator"]

    first = weights("first")
    assert same(first, weights("again"))
    assert same(first, weights("looked", log_every=1, sample_every=1, save_every=1))
    assert not same(first, weights("other", seed=1))


def test_a_small_run_learns_digits_better_than_noise(train: ModuleType, tmp_path: Path) -> None:
    """Not a benchmark: after 300 small steps the pictures are nearer to digits than those of an untrained network."""
    from common.images import to_uint8
    from common.scores import evaluate, yardstick

    stick = yardstick("mnist-10k")
    distances = {}
    for steps in (1, 300):
        settings = TINY | {
            "generator_hidden": (128,),
            "discriminator_hidden": (128,),
            "batch_size": 64,
            "log_every": 100,
        }
        folder = train.train(train.Config(**settings, max_steps=steps, ema_decay=0.0, out=str(tmp_path / str(steps))))
        generator = train.Generator(hidden=(128,))
        generator.load_state_dict(load_file(folder / "weights.safetensors"))
        with torch.no_grad():
            fake = generator.eval()(torch.randn(1000, 100))
        distances[steps] = evaluate(to_uint8(fake), stick).fcd
    assert distances[300] < 0.6 * distances[1]


def test_ema_averages_buffers_too_and_forgets_the_start(train: ModuleType) -> None:
    from common.devices import exponential_moving_average

    network = nn.BatchNorm1d(1)
    ema = exponential_moving_average(network, decay=0.5)
    expected = None
    for n in range(6):
        network.running_mean.fill_(float(n))
        network.weight.data.fill_(float(n))
        network.num_batches_tracked.fill_(n)
        ema.update_parameters(network)
        keep = min(0.5, (1 + n) / (10 + n))
        expected = float(n) if expected is None else keep * expected + (1 - keep) * n
        assert ema.module.running_mean.item() == pytest.approx(expected)
        assert ema.module.weight.item() == pytest.approx(expected)
    assert ema.module.num_batches_tracked.item() == 5


# ------------------------------------------------------------------------------------------------------- the ring


def test_ring_density_is_that_of_its_samples(ring: ModuleType) -> None:
    points, axis = ring.plane(401)
    cell = float(axis[1] - axis[0]) ** 2
    density = ring.mixture_density(points, ring.ring_centres(), ring.STD)
    assert (density.sum() * cell).item() == pytest.approx(1, abs=1e-3)
    torch.manual_seed(0)
    sample = ring.ring_sample(100_000)
    inside = (sample - torch.tensor([2.0, 0.0])).norm(dim=1) < 0.1
    mass = density[(points - torch.tensor([2.0, 0.0])).norm(dim=1) < 0.1].sum() * cell
    assert inside.float().mean().item() == pytest.approx(mass.item(), rel=0.05)


def test_value_at_the_optimum_is_minus_log_4_and_rises_by_twice_the_divergence(ring: ModuleType) -> None:
    points, axis = ring.plane(401)
    cell = float(axis[1] - axis[0]) ** 2
    p = ring.mixture_density(points, ring.ring_centres(), 0.1)
    q = ring.mixture_density(points, ring.ring_centres()[:4], 0.1)
    assert ring.value(p, p, cell) == pytest.approx(-math.log(4), abs=2e-3)
    # q is half of p: JSD = H(m) - H(p)/2 - H(q)/2 = log(4/3) * 3/4 ... computed here from the two sets of weights
    a, b = np.full(8, 1 / 8), np.array([1 / 4] * 4 + [0] * 4)
    m = (a + b) / 2
    jsd = 0.5 * (a * np.log(a / m)).sum() + 0.5 * (b[:4] * np.log(b[:4] / m[:4])).sum()
    assert ring.value(p, q, cell) == pytest.approx(-math.log(4) + 2 * jsd, abs=3e-3)


def test_optimal_discriminator_beats_its_neighbours(ring: ModuleType) -> None:
    p, q = torch.rand(100) + 0.1, torch.rand(100) + 0.1
    best = ring.optimal_discriminator(p, q)
    value = p * best.log() + q * (1 - best).log()
    for shift in (-0.02, 0.02):
        other = (best + shift).clamp(0.001, 0.999)
        assert (p * other.log() + q * (1 - other).log() < value).all()


def test_unrolling_equals_plain_gradient_steps_and_carries_gradients(ring: ModuleType) -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 1).double()
    x = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(network, weights, x).square().mean()

    weights = ring.unrolled(network, loss, steps=3, lr=0.1)
    twin = nn.Linear(2, 1).double()
    twin.load_state_dict(network.state_dict())
    sgd = torch.optim.SGD(twin.parameters(), 0.1)
    for _ in range(3):
        sgd.zero_grad()
        twin(x.detach()).square().mean().backward()
        sgd.step()
    torch.testing.assert_close(weights["weight"], twin.weight)
    torch.testing.assert_close(weights["bias"], twin.bias)

    # The gradient of the unrolled bias with respect to one input, against a finite difference
    (gradient,) = torch.autograd.grad(weights["bias"].sum(), x)
    ends = []
    for shift in (1e-6, -1e-6):
        with torch.no_grad():
            x[0, 0] += shift
        ends.append(ring.unrolled(network, loss, steps=3, lr=0.1)["bias"].item())
        with torch.no_grad():
            x[0, 0] -= shift
    assert gradient[0, 0].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


# ------------------------------------------------------------------------------------------------------- generate


def test_slerp_stays_on_the_sphere_at_even_speed(chapter: Chapter) -> None:
    generate = chapter("01_basic_gan", "generate")
    first, second = (F.normalize(torch.randn(100, dtype=torch.float64), dim=0) * 10 for _ in range(2))
    walk = [generate.slerp(first, second, t / 10) for t in range(11)]
    torch.testing.assert_close(walk[0], first)
    torch.testing.assert_close(walk[10], second)
    assert all(point.norm().item() == pytest.approx(10) for point in walk)
    angles = [torch.cosine_similarity(a, b, dim=0).item() for a, b in itertools.pairwise(walk)]
    assert max(angles) == pytest.approx(min(angles), abs=1e-9)
    one, minus_two = torch.tensor([1.0]), torch.tensor([-2.0])  # of one number there is no arc
    assert [generate.slerp(one, minus_two, t).item() for t in (0, 0.5, 1)] == [1, -0.5, -2]


def test_shipped_weights_draw_every_digit(chapter: Chapter) -> None:
    """The shipped generator keeps the promise of the README: FCD at most 3, ten digits, none over a fifth."""
    from common.images import to_uint8
    from common.scores import evaluate, yardstick

    generate = chapter("01_basic_gan", "generate")
    generator, settings = generate.load_generator()
    with torch.no_grad():
        fake = generator(torch.randn(5000, 100, generator=torch.Generator().manual_seed(1)))
    scores = evaluate(to_uint8(fake), yardstick(settings["data"]))
    assert scores.fcd <= 3
    assert min(scores.class_shares) > 0.02
    assert max(scores.class_shares) <= 0.2
