"""Chapter 03 against independent results."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from common import UserError
from tests.conftest import same

Chapter = Callable[[str, str], ModuleType]
Script = Callable[..., tuple[int, str, str]]
TRAIN = "03_wgan_gp/train.py"
SMALL = ["--width-g", 4, "--width-d", 4, "--batch-size", 8, "--n-critic", 2, "--log-every", 1, "--accelerator", "cpu"]
TINY: dict[str, Any] = {
    "width_g": 4, "width_d": 4, "batch_size": 8, "n_critic": 2, "log_every": 5, "sample_every": 50, "save_every": 50,
    "accelerator": "cpu",
}  # fmt: skip


@pytest.fixture
def model(chapter: Chapter) -> ModuleType:
    return chapter("03_wgan_gp", "model")


@pytest.fixture
def train(chapter: Chapter) -> ModuleType:
    return chapter("03_wgan_gp", "train")


@pytest.fixture
def gaussians(chapter: Chapter) -> ModuleType:
    return chapter("03_wgan_gp", "gaussians")


@pytest.fixture
def transport(chapter: Chapter) -> ModuleType:
    return chapter("03_wgan_gp", "transport")


# ------------------------------------------------------------------------------------------------------- networks


def test_sizes_are_a_small_base_times_a_power_of_two(model: ModuleType) -> None:
    assert model.stages(28) == (7, 2) and model.stages(32) == (4, 3) and model.stages(64) == (4, 4)
    for size in range(1, 300):
        fits = [(base, n) for base in (4, 5, 6, 7) for n in range(9) if base * 2**n == size]
        if fits and 16 <= size <= 256:
            assert model.stages(size) == fits[0]
        else:
            with pytest.raises(UserError, match="--size must be 4, 5, 6 or 7 times a power of two"):
                model.stages(size)


@pytest.mark.parametrize(("size", "channels"), [(16, 3), (20, 1), (28, 1), (28, 3), (32, 3), (48, 1), (64, 3)])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_shapes_and_ranges(model: ModuleType, size: int, channels: int, norm: str) -> None:
    shape = (channels, size, size)
    fake = model.Generator(width=4, shape=shape)(torch.randn(3, 128))
    assert fake.shape == (3, *shape)
    assert fake.abs().max() <= 1
    assert model.Critic(4, shape, norm)(fake).shape == (3,)


def test_parameters_equal_the_sum_of_the_layers(model: ModuleType) -> None:
    def count(network: nn.Module) -> int:
        return sum(weight.numel() for weight in network.parameters())

    # 28 = 7 × 2 × 2: kernels 7, 4, 4. BatchNorm and LayerNorm have two numbers a channel, and the layer before no bias.
    generator = 128 * 128 * 49 + 2 * 128 + 128 * 64 * 16 + 2 * 64 + 64 * 16 + 1
    critic = 64 * 16 + 64 + 64 * 128 * 16 + 2 * 128 + 128 * 49 + 1
    assert count(model.Generator(128, 64)) == generator == 935_297
    assert count(model.Critic(64, norm="layer")) == critic == 138_689
    assert count(model.Critic(64, norm="none")) == critic - 128
    # 64 = 4 × 2^4: widths 8, 4, 2, 1 times 16; the width is bounded by 8 times the first
    assert count(model.Critic(16, (3, 64, 64), "none")) == (
        3 * 16 * 16 + 16 + 16 * 32 * 16 + 32 + 32 * 64 * 16 + 64 + 64 * 128 * 16 + 128 + 128 * 16 + 1
    )
    assert model.widths(2, 6) == [2, 4, 8, 16, 16, 16]


def test_the_critic_has_no_sigmoid_and_no_batch_norm(model: ModuleType) -> None:
    for norm in ("layer", "none"):
        layers = list(model.Critic(norm=norm, shape=(3, 64, 64)).modules())
        assert not any(isinstance(layer, nn.Sigmoid | nn.BatchNorm1d | nn.BatchNorm2d) for layer in layers)
    critic = model.Critic(4, norm="none")
    pictures = 10 * torch.randn(64, 1, 28, 28)
    assert (10 * critic(pictures)).std() > 0 and critic(100 * pictures).abs().max() > 1  # not bounded


def test_layer_norm_normalises_each_picture_over_all_its_numbers(model: ModuleType) -> None:
    norms = [layer for layer in model.Critic(8, (1, 64, 64), "layer").modules() if isinstance(layer, nn.GroupNorm)]
    assert len(norms) == 3  # not on the layer that sees the picture
    x = 3 * torch.randn(5, 16, 9, 9) + 1
    torch.testing.assert_close(norms[0](x), F.layer_norm(x, x.shape[1:]), rtol=1e-4, atol=1e-5)


def coupling(critic: Callable[[Tensor], Tensor]) -> float:
    """The largest derivative of the first sample's score with respect to the other samples' pictures."""
    pictures = torch.randn(4, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(pictures)[0], pictures)
    assert gradient[0].abs().max() > 0
    return gradient[1:].abs().max().item()


def test_batch_norm_would_couple_the_samples_and_layer_norm_does_not(model: ModuleType) -> None:
    torch.manual_seed(0)
    assert coupling(model.Critic(8, norm="layer")) == 0
    assert coupling(model.Critic(8, norm="none")) == 0
    wrong = model.Critic(8, norm="layer")
    place = next(i for i, layer in enumerate(wrong.layers) if isinstance(layer, nn.GroupNorm))
    wrong.layers[place] = nn.BatchNorm2d(16)
    assert coupling(wrong) > 1e-4


# --------------------------------------------------------------------------------------------------------- losses


def test_the_losses_are_differences_of_means_with_the_right_signs(train: ModuleType) -> None:
    real, fake = 5 * torch.randn(64) + 3, 5 * torch.randn(64) - 3
    assert train.wasserstein_estimate(real, fake).item() == pytest.approx(real.mean().item() - fake.mean().item())
    assert train.critic_loss(real, fake).item() == pytest.approx(fake.mean().item() - real.mean().item())
    assert train.generator_loss(fake).item() == pytest.approx(-fake.mean().item())
    # Not the hinge loss that is often sold as Wasserstein: a shift of all scores changes nothing, however large.
    torch.testing.assert_close(
        train.critic_loss(real + 100, fake + 100), train.critic_loss(real, fake), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 5), (2,)])
def test_the_penalty_of_a_linear_critic_is_known(train: ModuleType, shape: tuple[int, ...]) -> None:
    """f(x) = w·x has the gradient w everywhere: the penalty is (‖w‖ - 1)², over all channels and pixels."""
    for scale in (0.01, 1.0):
        w = scale * torch.randn(shape, dtype=torch.float64)
        real, fake = (torch.randn(6, *shape, dtype=torch.float64) for _ in range(2))
        penalty = train.gradient_penalty(lambda x: (x * w).flatten(1).sum(1), real, fake, torch.rand(6).double())  # noqa: B023
        assert penalty.item() == pytest.approx((w.norm().item() - 1) ** 2, rel=1e-9)


def test_the_penalty_looks_between_the_pairs_and_not_at_the_real_points(train: ModuleType) -> None:
    """f(x) = ‖x‖² / 2 has the gradient x, so that the norms tell where the penalty looks."""
    real, fake = torch.full((4, 1, 1, 1), 4.0), torch.full((4, 1, 1, 1), 1.0)
    epsilon = torch.tensor([0.0, 0.25, 0.5, 1.0])

    def half_square(x: Tensor) -> Tensor:
        return x.square().flatten(1).sum(1) / 2

    places = train.interpolates(real, fake, epsilon)
    assert places.flatten().tolist() == [1.0, 1.75, 2.5, 4.0]  # another place for each sample: fake at 0, real at 1
    assert train.gradient_norms(half_square, places).tolist() == pytest.approx([1.0, 1.75, 2.5, 4.0])
    expected = (0**2 + 0.75**2 + 1.5**2 + 3**2) / 4
    assert train.gradient_penalty(half_square, real, fake, epsilon).item() == pytest.approx(expected)


def test_the_penalty_of_a_smooth_critic_against_finite_differences(train: ModuleType) -> None:
    """Both derivatives: ‖∇f‖ by the inputs, and the penalty's gradient by the weights (create_graph)."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 1), nn.Flatten(0)).double()
    real, fake = (torch.randn(5, 3, 2, 2, dtype=torch.float64) for _ in range(2))
    epsilon, h = torch.rand(5, dtype=torch.float64), 1e-5

    points = train.interpolates(real, fake, epsilon)
    by_hand = torch.zeros(5, 12, dtype=torch.float64)
    for i in range(12):
        step = torch.zeros(12, dtype=torch.float64)
        step[i] = h
        up, down = (critic(points + sign * step.view(3, 2, 2)) for sign in (1, -1))
        by_hand[:, i] = (up - down).detach() / (2 * h)
    torch.testing.assert_close(train.gradient_norms(critic, points), by_hand.norm(dim=1), rtol=1e-7, atol=0)

    def penalty() -> Tensor:
        return train.gradient_penalty(critic, real, fake, epsilon)

    penalty().backward()
    weight = critic[1].weight
    for place in [(0, 0), (3, 5), (6, 11)]:
        ends = []
        for shift in (h, -h):
            with torch.no_grad():
                weight[place] += shift
            ends.append(penalty().item())
            with torch.no_grad():
                weight[place] -= shift
        assert weight.grad[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)


def test_the_penalty_alone_makes_a_critic_of_slope_1(train: ModuleType) -> None:
    """Two clusters at the distance 3: the best critic with slope 1 says that they are 3 apart (Eq. 2 of 1701.07875)."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(400):
        real, fake = 3 + 0.01 * torch.randn(64, 1), 0.01 * torch.randn(64, 1)
        scores = critic(real), critic(fake)
        penalty = train.gradient_penalty(critic, real, fake, torch.rand(64))
        optimizer.zero_grad()
        (train.critic_loss(*scores) + 100 * penalty).backward()  # at 10 the best slope is 1 + 3 / 20
        optimizer.step()
    assert train.wasserstein_estimate(*scores).item() == pytest.approx(3, abs=0.25)


def test_clipping_bounds_every_weight(train: ModuleType, model: ModuleType) -> None:
    critic = model.Critic(4, norm="layer")
    before = {name: weight.clone() for name, weight in critic.named_parameters()}
    train.clip_weights(critic, 0.01)
    for name, weight in critic.named_parameters():
        assert torch.equal(weight, before[name].clamp(-0.01, 0.01)), name
    assert any((weight.abs() == 0.01).any() for weight in critic.parameters())


# ------------------------------------------------------------------------------------------------------- settings


def test_each_method_has_the_optimiser_of_its_paper(train: ModuleType) -> None:
    network = nn.Linear(2, 2)
    clip = train.make_optimizer(network, None, train.Config(lipschitz="clip"))
    assert isinstance(clip, torch.optim.RMSprop) and clip.defaults["lr"] == 5e-5
    paper = train.PRESETS["paper"]
    penalty = train.make_optimizer(network, paper.lr_d, paper)
    assert isinstance(penalty, torch.optim.Adam)
    assert (penalty.defaults["lr"], penalty.defaults["betas"]) == (1e-4, (0.0, 0.9))
    assert (paper.lambda_gp, paper.n_critic, paper.batch_size, paper.width_g, paper.width_d) == (10, 5, 64, 64, 64)
    assert (train.Config().lambda_gp, train.Config().n_critic, train.Config().clip) == (10, 5, 0.01)
    given = train.make_optimizer(network, 0.5, train.Config(lipschitz="clip"))
    assert given.defaults["lr"] == 0.5


# ------------------------------------------------------------------------------------------------------- training


def test_the_penalty_gets_one_even_epsilon_for_each_sample(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original = train.gradient_penalty

    def spy(critic: Any, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
        assert real.shape == fake.shape == (64, 1, 28, 28) and real.dtype == fake.dtype == torch.float32
        assert not torch.equal(real, fake) and not fake.requires_grad
        assert next(critic.__self__.parameters()).dtype == torch.float32  # whose method `forward` it is
        seen.append(epsilon)
        return original(critic, real, fake, epsilon)

    monkeypatch.setattr(train, "gradient_penalty", spy)
    train.train(train.Config(**TINY | {"batch_size": 64, "n_critic": 3}, max_steps=5, out=str(tmp_path / "run")))
    assert len(seen) == 3 * 5  # n_critic times for each of max_steps
    drawn = torch.stack(seen)  # [15, 64]
    assert drawn.unique().numel() == drawn.numel()
    assert scipy.stats.kstest(drawn.flatten().numpy(), "uniform").pvalue > 0.01


def test_the_generator_step_leaves_the_critic_alone_and_the_other_way_round(train: ModuleType, tmp_path: Path) -> None:
    moved = {}
    for name, rates in {"g": {"lr_d": 1e-30}, "d": {"lr_g": 1e-30}}.items():
        folder = train.train(train.Config(**TINY, **rates, max_steps=2, out=str(tmp_path / name)))
        after = torch.load(folder / "last.ckpt", weights_only=True)
        torch.manual_seed(0)
        generator, critic = train.Generator(width=4), train.Critic(4)
        moved[name] = (
            not torch.equal(after["generator"]["layers.0.weight"], generator.state_dict()["layers.0.weight"]),
            not torch.equal(after["critic"]["layers.0.weight"], critic.state_dict()["layers.0.weight"]),
        )
    assert moved == {"g": (True, False), "d": (False, True)}


def test_resume_equals_an_uninterrupted_run_bit_for_bit(train: ModuleType, tmp_path: Path) -> None:
    """With clipped weights and their optimiser; `test_faults.py` resumes a run with the penalty."""
    settings = TINY | {"lipschitz": "clip", "critic_norm": "layer"}
    whole = train.train(train.Config(**settings, max_steps=10, out=str(tmp_path / "whole")))
    train.train(train.Config(**settings, max_steps=5, out=str(tmp_path / "parts")))
    parts = train.train(
        train.Config(**settings, max_steps=10, out=str(tmp_path / "parts"), resume=str(tmp_path / "parts"))
    )
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts))
    assert second["step"] == 10
    for part in ("generator", "critic", "ema"):
        assert same(first[part], second[part]), part
    assert first["history"] == second["history"]
    assert same(load_file(whole / "weights.safetensors"), load_file(parts / "weights.safetensors"))


def test_the_seed_decides_and_looking_does_not(train: ModuleType, tmp_path: Path) -> None:
    def weights(name: str, **settings: object) -> dict[str, Tensor]:
        folder = train.train(train.Config(**TINY | settings, max_steps=4, out=str(tmp_path / name)))
        return torch.load(folder / "last.ckpt", weights_only=True)["generator"]

    first = weights("first")
    assert same(first, weights("looked", log_every=1, sample_every=1, save_every=1))
    assert not same(first, weights("other", seed=1))


def test_two_processes_equal_one(one_and_two: Callable[..., None], tmp_path: Path) -> None:
    """The penalty's gradients, too, are averaged over the processes: it shares a backward pass with the wrapped scores."""
    settings = [*SMALL, "--no-batch-norm", "--max-steps", 6, "--precision", "32-true", "--size", 16]
    one_and_two(TRAIN, *settings)
    one, two = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("1", "2"))
    for part in ("generator", "critic"):
        gaps = [(one[part][name] - two[part][name]).abs().max().item() for name in one[part]]
        assert max(gaps) < 1e-5, part
    for tag, curve in one["history"].items():
        assert two["history"][tag] == pytest.approx(curve, abs=1e-4), tag


def test_a_clipped_run_keeps_its_critic_in_the_box(train: ModuleType, tmp_path: Path) -> None:
    folder = train.train(train.Config(**TINY, lipschitz="clip", max_steps=3, out=str(tmp_path / "run")))
    critic = torch.load(folder / "last.ckpt", weights_only=True)["critic"]
    assert all(weight.abs().max() <= 0.01 for weight in critic.values())


def test_a_run_writes_its_curves(script: Script, tmp_path: Path) -> None:
    code, printed, _ = script(TRAIN, *SMALL, "--max-steps", 3, "--out", tmp_path / "run")
    assert code == 0 and "1×28×28" in printed
    history = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(history) == {
        "step", "loss/d", "loss/g", "scores/real", "scores/fake", "wasserstein/estimate", "gradient/norm", "penalty/gp",
        "gradients/generator", "gradients/critic",
    }  # fmt: skip
    for i in range(3):
        estimate = history["wasserstein/estimate"][i]
        assert estimate == pytest.approx(history["scores/real"][i] - history["scores/fake"][i], abs=1e-5)
        assert history["loss/d"][i] > -estimate  # the penalty is added to the negative estimate


def test_paper_preset_shows_its_sizes(script: Script) -> None:
    code, printed, _ = script(TRAIN, "--preset", "paper", "--max-steps", 0, "--data", "mnist-10k")
    assert code == 0 and "935,297 parameters" in printed and "138,689 parameters" in printed


def test_own_colour_pictures_train_generate_and_are_too_few_for_a_score(script: Script, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for i in range(10):
        Image.effect_noise((40, 30), i).convert("RGB").save(tmp_path / "own" / f"{i}.jpg")
    run = ["--data", tmp_path / "own", "--size", 16, "--max-steps", 1, "--out", tmp_path / "run"]
    assert script(TRAIN, *SMALL, *run)[0] == 0
    weights = tmp_path / "run" / "weights.safetensors"
    generate = ["--weights", weights, "--out", tmp_path / "made"]
    assert script("03_wgan_gp/generate.py", *generate, "--neighbours")[0] == 0
    code, _, errors = script("03_wgan_gp/generate.py", *generate, "--score")
    assert code == 2 and "a score needs 40 real pictures" in errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", 30], "--size must be 4, 5, 6 or 7 times a power of two"),
        (["--size", 12], "not 12"),
        (["--n-critic", 0], "--n-critic must be above 0"),
        (["--width-d", 0], "--width-d must be above 0"),
        (["--lambda-gp", -1], "--lambda-gp must be at least 0"),
        (["--lambda-gp", "nan"], "--lambda-gp must be a finite number, not nan"),
        (["--clip", 0], "--clip must be above 0"),
        (["--lr-d", "nan"], "--lr-d must be a finite number, not nan"),
        (["--beta2", 1], "--beta2 must be below 1"),
        (["--batch-size", 1], "--batch-size must be at least 2"),
        (["--max-steps", -1], "--max-steps must be at least 0"),
        (["--latent-dim", 0], "--latent-dim must be above 0"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(
    script: Script, tmp_path: Path, arguments: list[object], expected: str
) -> None:
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 1, "--out", tmp_path / "run", *arguments)
    message = errors.strip().splitlines()[-1]
    assert code == 2 and message.startswith("error: ") and expected in message
    assert "Traceback" not in errors


# ------------------------------------------------------------------------------------------------------ transport


def test_earth_mover_equals_the_solvers(transport: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        positions = np.sort(rng.uniform(-3, 3, 6))
        p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
        found = transport.earth_mover(torch.tensor(p), torch.tensor(q), torch.tensor(positions)).item()
        assert found == pytest.approx(scipy.stats.wasserstein_distance(positions, positions, p, q), abs=1e-9)
        # Eq. 1 to the letter: the cheapest plan [6, 6] whose rows sum to p and whose columns sum to q
        cost = np.abs(positions[:, None] - positions[None]).flatten()
        sums = np.concatenate([np.kron(np.eye(6), np.ones((1, 6))), np.kron(np.ones((1, 6)), np.eye(6))])
        plan = scipy.optimize.linprog(cost, A_eq=sums, b_eq=np.concatenate([p, q]))
        assert found == pytest.approx(plan.fun, abs=1e-7)


def test_jensen_shannon_against_scipy_and_its_two_ends(transport: ModuleType) -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(9))
    p[0], q[1] = 0, 0
    p, q = p / p.sum(), q / q.sum()
    expected = scipy.spatial.distance.jensenshannon(p, q) ** 2
    assert transport.jensen_shannon(torch.tensor(p), torch.tensor(q)).item() == pytest.approx(expected, abs=1e-9)
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert transport.jensen_shannon(*apart).item() == pytest.approx(np.log(2))
    assert transport.jensen_shannon(apart[0], apart[0]).item() == 0


def test_parallel_lines_have_the_distance_of_their_shift_and_always_log_2(transport: ModuleType) -> None:
    for theta in (-0.7, 0.1, 0.5, 1.0):
        real, fake = transport.parallel_lines(theta, 64)
        assert transport.distance(real, fake) == pytest.approx(abs(theta), abs=1e-6)
        histograms = transport.histogram(real), transport.histogram(fake)
        assert transport.jensen_shannon(*histograms).item() == pytest.approx(np.log(2), abs=1e-6)
    histograms = [transport.histogram(line) for line in transport.parallel_lines(0.0, 64)]
    assert transport.jensen_shannon(*histograms).item() == 0


def test_distance_of_clouds_is_the_best_matching(transport: ModuleType) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(5, 2), torch.randn(5, 2)
    by_force = min(
        sum((x[i] - y[j]).norm().item() for i, j in enumerate(order)) / 5 for order in itertools.permutations(range(5))
    )
    assert transport.distance(x, y) == pytest.approx(by_force, abs=1e-6)


# ------------------------------------------------------------------------------------------------------ gaussians


@pytest.mark.parametrize("modes", [8, 25])
def test_samples_are_the_mixture(gaussians: ModuleType, modes: int) -> None:
    torch.manual_seed(0)
    centres, points = gaussians.centres(modes), gaussians.sample(20_000, modes)
    assert centres.shape == (modes, 2) and len(centres.unique(dim=0)) == modes
    gap, mode = torch.cdist(points, centres).min(1)
    assert (mode.bincount(minlength=modes) / len(points)).sub(1 / modes).abs().max() < 0.2 / modes
    assert gap.square().mean().div(2).sqrt().item() == pytest.approx(gaussians.STD, rel=0.02)


def test_the_losses_of_the_plain_gan_are_cross_entropies(gaussians: ModuleType) -> None:
    real, fake = torch.randn(32), torch.randn(32)
    ones, zeros = torch.ones(32), torch.zeros(32)
    entropy = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(gaussians.gan_judge_loss(real, fake), entropy(real, ones) + entropy(fake, zeros))
    torch.testing.assert_close(gaussians.gan_generator_loss(fake), entropy(fake, ones))


@pytest.mark.parametrize(("method", "modes"), [("gan", 8), ("clip", 25), ("penalty", 25)])
def test_the_toys_write_their_animation(script: Script, tmp_path: Path, method: str, modes: int) -> None:
    out = tmp_path / "toy.gif"
    arguments = ["--method", method, "--modes", modes, "--steps", 2, "--out", out]
    code, printed, _ = script("03_wgan_gp/gaussians.py", *arguments)
    assert code == 0 and f"of {modes} modes covered" in printed
    assert getattr(Image.open(out), "n_frames", 1) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"), [(["--steps", 0], "--steps must be above 0"), (["--lr", 0], "--lr must be above 0")]
)
def test_the_toys_explain_wrong_input(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script("03_wgan_gp/gaussians.py", *arguments, "--out", tmp_path / "toy.gif")
    assert code == 2 and expected in errors.splitlines()[-1]


# ------------------------------------------------------------------------------------------------------- generate


def test_slerp_stays_on_the_sphere_at_even_speed(chapter: Chapter) -> None:
    generate = chapter("03_wgan_gp", "generate")
    first, second = (F.normalize(torch.randn(128, dtype=torch.float64), dim=0) * 10 for _ in range(2))
    walk = [generate.slerp(first, second, t / 10) for t in range(11)]
    torch.testing.assert_close(walk[0], first)
    torch.testing.assert_close(walk[10], second)
    angles = [torch.cosine_similarity(a, b, dim=0).item() for a, b in itertools.pairwise(walk)]
    assert all(point.norm().item() == pytest.approx(10) for point in walk)
    assert max(angles) == pytest.approx(min(angles), abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--weights", "/no/such.safetensors"], "there are no weights"), (["--num", 0], "--num must be above 0")],
)
def test_generate_explains_wrong_input(script: Script, arguments: list[object], expected: str) -> None:
    code, _, errors = script("03_wgan_gp/generate.py", *arguments)
    assert code == 2 and expected in errors.splitlines()[-1]


def test_shipped_weights_keep_the_promise_of_the_readme(chapter: Chapter) -> None:
    """FCD at most 2.5 at N = 5,000; every digit, none over a fifth."""
    from common.images import to_uint8
    from common.scores import evaluate, yardstick

    generator, settings = chapter("03_wgan_gp", "generate").load_generator()
    z = torch.randn(5000, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fake = torch.cat([generator(part) for part in z.split(1000)])
    scores = evaluate(to_uint8(fake), yardstick(settings["data"]))
    assert scores.fcd <= 2.5
    assert min(scores.class_shares) > 0.02 and max(scores.class_shares) <= 0.2
