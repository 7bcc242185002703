"""Chapter 07 against independent results."""

import dataclasses
import itertools
import json
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from common import UserError
from tests.conftest import peak_memory, same

Chapter = Callable[[str, str], ModuleType]
Script = Callable[..., tuple[int, str, str]]
TRAIN, GENERATE = "07_progan/train.py", "07_progan/generate.py"
PARTS = ["equalised-rate", "pixel-norm", "minibatch-deviation", "fade-in", "growth"]
# Sizes 4, 8 and 16 in 2 + (2 + 2) + ... steps
TINY: dict[str, Any] = {
    "data": "mnist-10k", "size": 16, "latent_dim": 8, "channels_times_size": 64, "most_channels": 8,
    "fade_images": ((4, 32),), "stable_images": ((4, 16),), "batch_sizes": ((4, 8),), "log_every": 1, "sample_every": 50,
    "save_every": 50, "accelerator": "cpu", "precision": "32-true",
}  # fmt: skip
SMALL = [
    "--data", "mnist-10k", "--size", 16, "--latent-dim", 8, "--channels-times-size", 64, "--most-channels", 8, "--fade-images", 4, 32,
    "--stable-images", 4, 16, "--batch-sizes", 4, 8, "--log-every", 1, "--accelerator", "cpu",
]  # fmt: skip


@pytest.fixture
def model(chapter: Chapter) -> ModuleType:
    return chapter("07_progan", "model")


@pytest.fixture
def train(chapter: Chapter) -> ModuleType:
    return chapter("07_progan", "train")


@pytest.fixture
def swd(chapter: Chapter) -> ModuleType:
    return chapter("07_progan", "swd")


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def small_networks(model: ModuleType, **more: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return (
        model.Generator(8, 16, 3, channels_times_size=64, most=8, **more),
        model.Critic(16, 3, channels_times_size=64, most=8, **more),
    )


# ------------------------------------------------------------------------------------------------------- networks


def test_the_paper_preset_has_the_parameters_of_table_2(model: ModuleType, script: Script) -> None:
    # by hand: the 3×3 and 1×1 kernels and biases of both networks between 512, 512, 512, 512, 256, ... 16 channels
    width = [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert [model.channels(4 * 2**i, 16384, 512) for i in range(9)] == width
    blocks = sum(9 * a * b + b + 9 * b * b + b for a, b in itertools.pairwise(width))
    g = 16 * 512 * 512 + 512 + 9 * 512 * 512 + 512 + blocks + sum(3 * k + 3 for k in width)
    mirrored = sum(9 * b * b + b + 9 * b * a + a for a, b in itertools.pairwise(width))
    d = mirrored + 9 * 513 * 512 + 512 + 16 * 512 * 512 + 512 + 513 + sum(3 * k + k for k in width)
    assert (g, d) == (23_079_115, 23_087_249)
    assert (parameters(model.Generator()), parameters(model.Critic())) == (g, d)
    # with one convolution at each size the other one of each block and the 3×3 one at 4×4 are gone
    one_g = g - sum(9 * b * b + b for b in width)
    one_d = d - sum(9 * b * b + b for b in width) - 9 * 512 + 16 * 512  # the map of the deviation goes to the 4×4 layer
    assert (parameters(model.Generator(convs=1)), parameters(model.Critic(convs=1))) == (one_g, one_d)


def test_the_paper_preset_prints_its_sizes(script: Script) -> None:
    code, printed, errors = script(TRAIN, "--preset", "paper", "--max-steps", 0)
    assert code == 0, errors
    assert "23,079,115 parameters" in printed and "23,087,249 parameters" in printed and "4×4 to 1024×1024" in printed


def test_the_paper_preset_has_the_numbers_of_appendix_a1(train: ModuleType) -> None:
    paper = train.PRESETS["paper"]
    assert (paper.lambda_gp, paper.epsilon_drift, paper.n_critic, paper.penalty_share) == (10.0, 1e-3, 1, 1)
    assert paper.convs == 2
    assert (paper.beta1, paper.beta2, paper.ema_decay, paper.latent_dim) == (0.0, 0.99, 0.999, 512)
    sizes = [4 * 2**i for i in range(9)]
    for size in sizes:
        assert train.at(paper.fade_images, size) == train.at(paper.stable_images, size) == 800_000
        assert train.at(paper.learning_rates, size) == 1e-3
    assert [train.at(paper.batch_sizes, size) for size in sizes] == [16] * 6 + [14, 6, 3]
    # the preset ends after the last of its 17 phases of 800,000 pictures
    steps = 50_000 + 5 * 2 * 50_000 + sum(2 * math.ceil(800_000 / n) for n in (14, 6, 3))
    end = train.growth(paper, paper.max_steps - 1)
    assert paper.max_steps == steps and (end.resolution, end.alpha) == (1024, 1.0)
    assert train.Config().n_critic == 1 and train.Config().epsilon_drift == 1e-3


@pytest.mark.parametrize("size", [4, 8, 16, 64])
@pytest.mark.parametrize(("picture_channels", "convs"), [(1, 1), (3, 2)])
def test_shapes_at_every_size(model: ModuleType, size: int, picture_channels: int, convs: int) -> None:
    g = model.Generator(6, size, picture_channels, channels_times_size=32, most=4, convs=convs)
    d = model.Critic(size, picture_channels, channels_times_size=32, most=4, convs=convs)
    for resolution in model.resolutions(size):
        for alpha in (0.0, 0.3, 1.0):
            for number in (1, 3, 8):
                fake = g(torch.randn(number, 6), resolution, alpha)
                assert fake.shape == (number, picture_channels, resolution, resolution)
                scores = d(fake, resolution, alpha)
                assert scores.shape == (number,) and scores.isfinite().all()


@pytest.mark.parametrize("size", [0, 2, 12, 100, 2048])
def test_other_sizes_are_refused(model: ModuleType, size: int) -> None:
    with pytest.raises(UserError, match=f"--size must be a power of two .* not {size}"):
        model.resolutions(size)


def test_the_output_is_linear_and_no_layer_normalises_a_batch(model: ModuleType) -> None:
    g, d = small_networks(model)
    for layer in (*g.modules(), *d.modules()):
        assert not isinstance(layer, nn.Tanh | nn.Sigmoid | nn.modules.batchnorm._BatchNorm)
    z = torch.randn(4, 8)
    for resolution in (4, 8, 16):  # ten times the last layer's weights: ten times the picture, at every size
        before = g(z, resolution)
        layer = g.to_rgb[model.resolutions(resolution).index(resolution)]
        layer.weight.data.mul_(10)
        assert layer.bias.abs().max() == 0  # so that the picture is the weights' alone
        torch.testing.assert_close(g(z, resolution), 10 * before)


def test_weights_are_normal_and_the_constant_is_he_s(model: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 300)
    for layer, gain in ((model.Dense(300, 400), 2.0), (model.Dense(300, 400, gain=1), 1.0)):
        assert layer.weight.std().item() == pytest.approx(1, rel=0.02) and not layer.bias.any()
        # He: with gain sqrt(2) the mean square doubles, which a ReLU halves again
        assert layer(x).square().mean().item() == pytest.approx(gain, rel=0.03)
    conv = model.Conv(50, 60)
    assert conv.weight.std().item() == pytest.approx(1, rel=0.02)
    assert conv.scale == pytest.approx(math.sqrt(2 / (9 * 50)))
    plain = model.Conv(50, 60, equalised=False)
    assert plain.scale == 1 and plain.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 50)), rel=0.03)


def test_with_equalised_rates_a_step_moves_small_and_large_layers_alike(model: ModuleType) -> None:
    """Adam's first step is its learning rate for each weight: the same share of each layer, or a different one."""
    shares: dict[bool, list[float]] = {}
    for equalised in (True, False):
        torch.manual_seed(0)
        shares[equalised] = []
        for layer in (model.Dense(2, 2, equalised=equalised), model.Dense(2000, 2, equalised=equalised)):
            before = layer.scaled().detach().clone()
            optimizer = torch.optim.Adam(layer.parameters(), 0.01, betas=(0.0, 0.99))
            layer(torch.randn(8, layer.weight.shape[1])).square().sum().backward()
            optimizer.step()
            moved = (layer.scaled() - before).abs().mean() / before.abs().mean()
            shares[equalised].append(moved.item())
    assert shares[True][1] / shares[True][0] == pytest.approx(1, rel=0.5)
    assert shares[False][1] / shares[False][0] > 10  # sqrt(1000) = 32 in the mean


def test_doubled_and_halved_equal_a_convolution_beside_a_resize(model: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 6)
    for layer, after in ((model.Doubled(5, 7), False), (model.Halved(5, 7), True)):
        layer.bias.data.normal_()
        weight, bias = layer.weight * math.sqrt(2 / 45), layer.bias
        if after:
            expected = F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)
        else:
            wide = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            expected = F.conv2d(wide, weight, bias, padding=1)
        torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(model.upsample(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(model.downsample(model.upsample(x)), x)


def test_a_block_of_one_convolution_is_the_first_half_of_the_generators_and_the_second_of_the_critics(
    model: ModuleType,
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8, 8)
    grow, shrink = model.Grow(5, 7, True, True, convs=1), model.Shrink(5, 7, True, convs=1)
    grown = F.leaky_relu(
        F.conv2d(F.interpolate(x, scale_factor=2.0), grow.conv1.weight * math.sqrt(2 / 45), padding=1), 0.2
    )
    torch.testing.assert_close(grow(x), grown / (grown.square().mean(1, keepdim=True) + 1e-8).sqrt())
    halved = F.avg_pool2d(F.conv2d(x, shrink.conv2.weight * math.sqrt(2 / 45), padding=1), 2)
    torch.testing.assert_close(shrink(x), F.leaky_relu(halved, 0.2))


def test_pixel_norm_by_hand(model: ModuleType) -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(2, 5, 3, 4)
    found = model.pixel_norm(x)
    for n, i, j in ((0, 0, 0), (1, 2, 3)):
        a = x[n, :, i, j].tolist()
        length = math.sqrt(sum(v * v for v in a) / 5 + 1e-8)
        assert found[n, :, i, j].tolist() == pytest.approx([v / length for v in a], rel=1e-5)
    z = model.pixel_norm(torch.randn(6, 128))
    torch.testing.assert_close(
        z.norm(dim=1), torch.full((6,), math.sqrt(128))
    )  # the second moment is one, not the length
    assert not model.pixel_norm(torch.zeros(1, 5)).isnan().any()
    g, _ = small_networks(model)
    z = torch.randn(4, 8)
    torch.testing.assert_close(g(z, 16), g(100 * z, 16), atol=1e-4, rtol=0)  # only the direction of z matters


def test_minibatch_deviation_by_plain_loops(model: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 4)
    found = model.minibatch_deviation(x)
    assert found.shape == (8, 4, 4, 4) and torch.equal(found[:, :3], x)
    for group in (0, 1):
        members = x[4 * group : 4 * group + 4]
        deviations = [
            math.sqrt(members[:, k, i, j].var(correction=0).item())
            for k in range(3)
            for i in range(4)
            for j in range(4)
        ]
        expected = sum(deviations) / 48
        torch.testing.assert_close(found[4 * group : 4 * group + 4, 3], torch.full((4, 4, 4), expected))
    assert not torch.allclose(found[0, 3], found[4, 3])  # two groups, two numbers: not one for the whole batch
    alike = model.minibatch_deviation(x[:1].expand(4, -1, -1, -1))
    torch.testing.assert_close(alike[:, 3], torch.full((4, 4, 4), 1e-4))
    for number, size in ((1, 1), (2, 2), (3, 3), (6, 3), (7, 1), (14, 2), (16, 4)):
        batch = torch.randn(number, 3, 4, 4, requires_grad=True)
        out = model.minibatch_deviation(batch)
        assert len(out[:, 3, 0, 0].unique()) == (number // size if size > 1 else 1)
        out.sum().backward()
        assert batch.grad is not None and batch.grad.isfinite().all()  # no NaN at a batch of one


@pytest.mark.parametrize("convs", [1, 2])
def test_the_fade_in_at_both_ends_and_between(model: ModuleType, convs: int) -> None:
    """Figure 2: at alpha 0 the networks are the smaller ones, at 1 the new ones, and the picture is on the line between."""
    g, d = small_networks(model, convs=convs)
    z, x = torch.randn(4, 8), torch.randn(4, 3, 16, 16)
    small, large = model.upsample(g(z, 8, 1.0)), g(z, 16, 1.0)
    torch.testing.assert_close(g(z, 16, 0.0), small)
    torch.testing.assert_close(g(z, 16, 0.3), 0.7 * small + 0.3 * large)
    assert not torch.allclose(small, large)
    torch.testing.assert_close(d(x, 16, 0.0), d(model.downsample(x), 8, 1.0))
    assert not torch.allclose(d(x, 16, 0.0), d(x, 16, 1.0))
    between = d(x, 16, 0.5)
    assert not torch.allclose(between, d(x, 16, 0.0)) and not torch.allclose(between, d(x, 16, 1.0))
    assert torch.equal(g(z, 4, 0.0), g(z, 4, 1.0)) and torch.equal(d(x[..., :4, :4], 4, 0.0), d(x[..., :4, :4], 4, 1.0))


@pytest.mark.parametrize("convs", [1, 2])
@pytest.mark.parametrize(("resolution", "alpha"), [(4, 1.0), (8, 0.5), (8, 1.0)])
def test_blocks_that_are_not_reached_get_no_gradient(
    model: ModuleType, resolution: int, alpha: float, convs: int
) -> None:
    for network, given in zip(
        small_networks(model, convs=convs), (torch.randn(4, 8), torch.randn(4, 3, resolution, resolution)), strict=True
    ):
        network(given, resolution, alpha).sum().backward()
        used = {name for name, weight in network.named_parameters() if weight.grad is not None}
        newest = model.resolutions(resolution).index(resolution)
        reached = {f"blocks.{i}" for i in range(newest)}
        colours = {newest, newest - 1} if alpha < 1 else {newest}
        reached |= {f"{'to' if isinstance(network, model.Generator) else 'from'}_rgb.{i}" for i in colours}
        rest = {name for name, _ in network.named_parameters() if not name.startswith(("blocks", "to_", "from_"))}
        assert {".".join(name.split(".")[:2]) for name in used - rest} == reached and rest <= used


@pytest.mark.parametrize("convs", [1, 2])
@pytest.mark.parametrize("part", ["equalised-rate", "pixel-norm", "minibatch-deviation"])
def test_a_part_can_be_taken_away(model: ModuleType, part: str, convs: int) -> None:
    (g, d), (full_g, full_d) = small_networks(model, without=(part,), convs=convs), small_networks(model, convs=convs)
    z = torch.randn(4, 8)
    assert (parameters(full_d) > parameters(d)) == (part == "minibatch-deviation")
    assert parameters(g) == parameters(full_g)
    scores = d(g(z, 16), 16)
    alone = torch.cat([d(g(z[i : i + 1], 16), 16) for i in range(4)])
    assert torch.allclose(scores, alone, atol=1e-5) == (part == "minibatch-deviation")
    assert {layer.scale for layer in g.modules() if hasattr(layer, "scale")} == {1.0} or part != "equalised-rate"
    x = model.active(torch.randn(2, 8, 4, 4), normalised=g.normalised)
    assert torch.allclose(x.square().mean(1), torch.ones(2, 4, 4), atol=1e-4) == (part != "pixel-norm")


# ------------------------------------------------------------------------------------------- schedule and losses


def test_the_schedule_by_counting(train: ModuleType) -> None:
    config = train.Config(
        size=16, fade_images=((4, 40), (16, 64)), stable_images=((4, 20), (8, 32)), batch_sizes=((4, 10), (8, 8), (16, 4)),
        learning_rates=((4, 1e-3), (16, 5e-4)),
    )  # fmt: skip
    found = [train.growth(config, step) for step in range(40)]
    expected = [(0, 4, 1.0, 10, 1e-3, k) for k in range(2)]  # 20 pictures in tens
    expected += [(1, 8, k / 5, 8, 1e-3, k) for k in range(5)]  # 40 in eights fade in
    expected += [(1, 8, 1.0, 8, 1e-3, k) for k in range(5, 9)]  # 32 at rest
    expected += [(2, 16, k / 16, 4, 5e-4, k) for k in range(16)]
    expected += [(2, 16, 1.0, 4, 5e-4, k) for k in range(16, 29)]  # the last size has no end
    assert found == expected
    config = dataclasses.replace(config, max_steps=30, decay_steps=4)
    assert [train.growth(config, step).lr / 5e-4 for step in range(24, 30)] == [1, 1, 1, 0.75, 0.5, 0.25]
    sudden = [train.growth(train.Config(**TINY, without=("fade-in",)), step) for step in range(8)]
    assert [now.resolution for now in sudden] == [4, 4, 8, 8, 16, 16, 16, 16] and {now.alpha for now in sudden} == {1.0}
    full = [train.growth(train.Config(**TINY, without=("growth",)), step) for step in range(3)]
    assert [(now.resolution, now.alpha, now.step) for now in full] == [(16, 1.0, 0), (16, 1.0, 1), (16, 1.0, 2)]


def test_the_rates_fall_at_the_end_if_asked_to(train: ModuleType, tmp_path: Path) -> None:
    run = train.train(train.Config(**TINY | {"max_steps": 4}, decay_steps=8, out=str(tmp_path / "run")))
    saved = torch.load(run / "last.ckpt", weights_only=True)
    for name in ("opt_g", "opt_d"):
        assert saved[name]["param_groups"][0]["lr"] == 2e-2 / 8


def test_alpha_rises_evenly_and_is_a_number_not_a_weight(train: ModuleType) -> None:
    config = train.Config()
    steps = range(config.max_steps)
    moments = [train.growth(config, step) for step in steps]
    jumps = [b.alpha - a.alpha for a, b in itertools.pairwise(moments) if a.stage == b.stage]
    assert min(jumps) >= 0 and max(jumps) < 0.01
    starts = [now for now in moments if now.step == 0]
    assert [now.resolution for now in starts] == [4, 8, 16, 32, 64] and [now.alpha for now in starts] == [1, 0, 0, 0, 0]
    assert moments[-1].resolution == 64 and moments[-1].alpha == 1  # the default run ends at rest, at full size
    assert all(isinstance(now.alpha, float) for now in moments[:50])


def test_real_pictures_fade_in_too(train: ModuleType) -> None:
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(train.faded(x, 1.0), x)
    coarse = x.view(2, 3, 4, 2, 4, 2).mean((3, 5)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(train.faded(x, 0.0), coarse)
    torch.testing.assert_close(train.faded(x, 0.25), 0.25 * x + 0.75 * coarse)


def test_losses_by_hand(train: ModuleType) -> None:
    real, fake = torch.tensor([2.0, 4.0]), torch.tensor([1.0, -3.0])
    assert train.wasserstein_estimate(real, fake).item() == pytest.approx(3 - -1)
    assert train.critic_loss(real, fake, 0.0).item() == pytest.approx(-4)
    assert train.critic_loss(real, fake, 0.1).item() == pytest.approx(
        -4 + 0.1 * (4 + 16) / 2
    )  # drift of the real scores only
    assert train.generator_loss(fake).item() == pytest.approx(1)
    assert train.gradient_penalty(torch.tensor([1.0, 3.0])).item() == pytest.approx((0 + 4) / 2)


def test_the_gradient_norms_of_a_linear_and_a_quadratic_critic(train: ModuleType) -> None:
    torch.manual_seed(0)
    w, real, fake = torch.randn(3, 4, 4), torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    epsilon = torch.rand(6)
    linear = train.gradient_norms(lambda x: (x * w).sum((1, 2, 3)), real, fake, epsilon)
    torch.testing.assert_close(linear, w.norm().expand(6))
    # f(x) = ‖x‖² / 2 has the gradient x: the norms tell at which points they were taken, one epsilon for each
    points = torch.stack([e * r + (1 - e) * f for e, r, f in zip(epsilon, real, fake, strict=True)])
    found = train.gradient_norms(lambda x: x.square().sum((1, 2, 3)) / 2, real, fake, epsilon)
    torch.testing.assert_close(found, points.flatten(1).norm(dim=1))


@pytest.mark.parametrize(("n", "share", "part"), [(16, 4, 4), (16, 1, 16), (8, 4, 4), (20, 4, 8), (64, 4, 16), (14, 1, 14), (3, 4, 3)])  # fmt: skip
def test_the_penalty_sees_groups_as_large_as_the_scores_do(
    train: ModuleType, model: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, share: int, part: int
) -> None:
    """The pictures of a part are compared in the same groups: the first maps of the minibatch deviation are those of the batch."""
    assert train.penalised(n, share) == part
    x = torch.randn(n, 2, 4, 4)
    torch.testing.assert_close(model.minibatch_deviation(x[:part]), model.minibatch_deviation(x)[:part])
    norms, seen = train.gradient_norms, []

    def watched(critic: Any, real: torch.Tensor, fake: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
        seen.append((real, epsilon))
        return norms(critic, real, fake, epsilon)

    monkeypatch.setattr(train, "gradient_norms", watched)
    settings = TINY | {"batch_sizes": ((4, n),), "penalty_share": share, "max_steps": 1, "out": str(tmp_path)}
    train.train(train.Config(**settings))
    real, epsilon = seen[0]
    assert len(real) == part == len(epsilon.unique()) and ((epsilon > 0) & (epsilon < 1)).all()  # one for each pair


def test_the_penalty_can_be_differentiated_by_the_weights(model: ModuleType, train: ModuleType) -> None:
    _, d = small_networks(model)
    real, fake = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    epsilon = torch.rand(4)

    def penalty() -> torch.Tensor:
        return train.gradient_penalty(train.gradient_norms(lambda x: d(x, 8, 0.5), real, fake, epsilon))

    penalty().backward()
    weight = d.blocks[0].conv2.weight
    slope = weight.grad[0, 0, 1, 1].item()
    h, values = 1e-3, []
    for sign in (1, -1):
        weight.data[0, 0, 1, 1] += sign * h
        values.append(penalty().item())
        weight.data[0, 0, 1, 1] -= sign * h
    assert slope == pytest.approx((values[0] - values[1]) / (2 * h), rel=0.1, abs=1e-4)


# ------------------------------------------------------------------------------------------------------- training


def test_resume_in_the_middle_of_a_fade_equals_an_uninterrupted_run_bit_for_bit(
    train: ModuleType, tmp_path: Path
) -> None:
    """Steps 1 and 2 are 4×4, 3 to 6 fade 8×8 in: stop after step 4, again in 16×16's fade, and go on."""
    whole = train.train(train.Config(**TINY, max_steps=12, out=str(tmp_path / "whole")))
    assert train.growth(train.Config(**TINY), 4).alpha == 0.5 and train.growth(train.Config(**TINY), 10).alpha == 0.5
    train.train(train.Config(**TINY, max_steps=4, out=str(tmp_path / "parts")))
    for total in (10, 12):
        parts = train.train(
            train.Config(**TINY, max_steps=total, out=str(tmp_path / "parts"), resume=str(tmp_path / "parts"))
        )
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts))
    for part in ("generator", "critic", "ema"):
        assert same(first[part], second[part]), part
    assert first["history"] == second["history"]
    assert same(load_file(whole / "weights.safetensors"), load_file(parts / "weights.safetensors"))


def test_the_command_line_resumes_with_its_schedule(script: Script, tmp_path: Path) -> None:
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 4, "--out", tmp_path / "run")
    assert code == 0, errors
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["fade_images"] == [[4, 32]] and kept["batch_sizes"] == [[4, 8]]
    code, _, errors = script(TRAIN, "--resume", tmp_path / "run", "--max-steps", 9)
    assert code == 0, errors
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["step"] == 9
    code, _, errors = script(TRAIN, "--resume", tmp_path / "run", "--max-steps", 10, "--fade-images", 4, 64)
    assert code == 2 and "--fade-images cannot be changed by --resume" in errors


def test_samples_of_all_stages_have_one_size(train: ModuleType, tmp_path: Path) -> None:
    folder = train.train(train.Config(**TINY | {"sample_every": 2}, max_steps=9, out=str(tmp_path / "run")))
    sizes = {path.name: Image.open(path).size for path in sorted((folder / "samples").glob("*.png"))}
    assert set(sizes.values()) == {(8 * 18 + 2, 8 * 18 + 2)} and len(sizes) == 5
    first = torch.from_numpy(np.array(Image.open(folder / "samples" / "step_000002.png")))
    tile = first[2:18, 2:18].reshape(4, 4, 4, 4, 3)
    assert (tile == tile[:, :1, :, :1]).all()  # 4×4 pixels, each enlarged to 4×4


def test_the_critic_sees_each_size_once_it_is_reached(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []

    class Watched(train.Critic):  # type: ignore[misc, name-defined]
        def forward(self, pictures: torch.Tensor, resolution: int, alpha: float = 1.0) -> torch.Tensor:
            assert pictures.shape[-1] == resolution
            seen.append((resolution, alpha))
            return super().forward(pictures, resolution, alpha)  # type: ignore[no-any-return]

    monkeypatch.setattr(train, "Critic", Watched)
    train.train(train.Config(**TINY, max_steps=14, out=str(tmp_path / "run")))
    fades = [(4, 1.0), *((8, k / 4) for k in range(5)), *((16, k / 4) for k in range(5))]
    assert list(dict.fromkeys(seen)) == fades


def test_each_step_teaches_one_network(train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one optimiser never steps, the other network alone has changed at the end."""
    adam = torch.optim.Adam.step
    moved = {}
    for name in ("generator", "critic"):
        count = {"calls": 0}

        def step(self: Any, closure: Any = None, name: str = name, count: dict[str, int] = count) -> Any:
            count["calls"] += 1  # the critic's step comes first, then the generator's
            is_critic = count["calls"] % 2 == 1
            return adam(self, closure) if is_critic == (name == "critic") else None

        monkeypatch.setattr(torch.optim.Adam, "step", step)
        folders = [
            train.train(train.Config(**TINY, max_steps=steps, out=str(tmp_path / f"{name}{steps}"))) for steps in (1, 3)
        ]
        first, last = (torch.load(folder / "last.ckpt", weights_only=True) for folder in folders)
        moved[name] = tuple(not same(first[part], last[part]) for part in ("generator", "critic"))
    assert moved == {"generator": (True, False), "critic": (False, True)}


def test_the_average_follows_the_generator_and_begins_anew_at_each_size(train: ModuleType, tmp_path: Path) -> None:
    """Step 3 is the first at 8×8: there the average is the generator, whose new block was untrained until now."""
    distances = {}
    for decay, steps in ((0.0, 2), (0.9, 2), (0.9, 3), (0.9, 5)):
        folder = train.train(
            train.Config(**TINY, ema_decay=decay, max_steps=steps, out=str(tmp_path / f"{decay} {steps}"))
        )
        state = torch.load(folder / "last.ckpt", weights_only=True)
        kept = load_file(folder / "weights.safetensors")
        difference = [(kept[name] - weight.half()).abs().max().item() for name, weight in state["generator"].items()]
        distances[decay, steps] = max(difference)
    assert max(distances[0.0, 2], distances[0.9, 3]) < 1e-6 < min(distances[0.9, 2], distances[0.9, 5])


@pytest.mark.parametrize(
    "flags",
    [
        *(["--without", part] for part in PARTS),
        ["--without", *PARTS],
        ["--n-critic", 2, "--penalty-share", 1],
        ["--convs", 2],
        ["--learning-rates", 4, 1e-3, 8, 5e-4],
        ["--data", "fashion-10k", "--channels", 3, "--batch-sizes", 4, 6, 16, 3],
    ],
    ids=lambda flags: " ".join(map(str, flags[:3])),
)
def test_every_option_trains_and_generates(script: Script, tmp_path: Path, flags: list[object]) -> None:
    code, _, errors = script(TRAIN, *SMALL, *flags, "--max-steps", 9, "--out", tmp_path / "run")
    assert code == 0, errors
    weights = tmp_path / "run" / "weights.safetensors"
    code, _, errors = script(GENERATE, "--weights", weights, "--num", 4, "--out", tmp_path / "own", "--interpolate")
    assert code == 0, errors
    assert {file.name for file in (tmp_path / "own").iterdir()} == {
        "grid_weights-run.png",
        "interpolation_weights-run.gif",
    }


def test_own_pictures_are_read_at_every_size(script: Script, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for i in range(10):
        Image.effect_noise((40, 30), i).convert("RGB").save(tmp_path / "own" / f"{i}.jpg")
    for steps, reached in ((9, "4×4 to 16×16\n"), (4, "4×4 to 8×8; for 16×16 raise --max-steps")):
        flags = [*SMALL, "--data", tmp_path / "own", "--max-steps", steps]
        code, printed, errors = script(TRAIN, *flags, "--out", tmp_path / str(steps))
        assert code == 0 and "10 pictures, 3×4×4" in printed and reached in printed, errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", 48], "--size must be a power of two from 4 to 1024, not 48"),
        (["--batch-sizes", 8, 16], "--batch-sizes must name sizes in rising order, powers of two that begin with 4"),
        (["--batch-sizes", 4, 16, 48, 8], "--batch-sizes must name sizes in rising order"),
        (["--batch-sizes", 4, 0], "--batch-sizes must be above 0, not 0"),
        (["--stable-images", 4, 8, 16, 8, 8, 8], "--stable-images must name sizes in rising order"),
        (["--fade-images", 4, -1], "--fade-images must be at least 0"),
        (["--learning-rates", 4, 0], "--learning-rates must be above 0"),
        (["--penalty-share", 0], "--penalty-share must be above 0"),
        (["--lambda-gp", -1], "--lambda-gp must be at least 0"),
        (["--beta2", 1.0], "--beta2 must be below 1"),
        (["--max-steps", -1], "--max-steps must be at least 0"),
        (["--data", "avatar"], "did you mean avatars?"),
        (["--batch-sizes", 4, 8, 16, 12_000], "--batch-sizes: 12000 is more than the 10,000 pictures of mnist-10k"),
    ],
)
def test_wrong_input_gets_one_line(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 1, "--out", tmp_path / "run", *arguments)
    assert code == 2 and errors.strip().splitlines()[-1].startswith("error: ") and expected in errors
    assert "Traceback" not in errors


def test_batches_that_processes_cannot_share_are_refused_before_training(train: ModuleType) -> None:
    with pytest.raises(UserError, match=r"--batch-sizes: 7 \(at 8×8\) cannot be shared evenly by 2 processes"):
        train.Config(devices=2, batch_sizes=((4, 8), (8, 7)))


def test_two_processes_equal_one_through_a_fade(one_and_two: Callable[..., None], tmp_path: Path) -> None:
    """Groups of 4 lie in one process, and the penalty is taken on all pairs: so two processes learn what one does."""
    one_and_two(TRAIN, *SMALL, "--penalty-share", 1, "--precision", "32-true", "--max-steps", 5)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("1", "2"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("GAN_SLOW") != "1", reason="a minute and 4 GB: set GAN_SLOW=1")
def test_a_step_at_full_size_fits_into_16_gb(train: ModuleType, tmp_path: Path) -> None:
    """A forward and a training step of the paper's networks at 1024×1024, from drawn faces."""
    schedule = {"without": ("growth",), "max_steps": 1, "batch_sizes": ((4, 3),), "sample_every": 50, "save_every": 50}
    config = train.Config(**{**vars(train.PRESETS["paper"]), **schedule, "out": str(tmp_path / "run")})
    began = time.perf_counter()
    folder = train.train(config)
    seconds, peak = time.perf_counter() - began, peak_memory()
    print(f"one step at 1024×1024, batch 3: {seconds:.0f} s in all, {peak:.1f} GiB")
    assert (folder / "weights.safetensors").exists() and peak < 16


# ---------------------------------------------------------------------------------- the sliced Wasserstein distance


def test_the_pyramid_can_be_put_together_again(swd: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 64, 64)
    levels = swd.laplacian_pyramid(x)
    assert [level.shape[-1] for level in levels] == [64, 32, 16]
    back = levels[-1]
    for level in reversed(levels[:-1]):
        back = level + swd.doubled(back)
    torch.testing.assert_close(back, x, atol=1e-5, rtol=1e-5)
    flat = swd.laplacian_pyramid(torch.full((1, 3, 64, 64), 0.7))  # a plain picture has no detail
    assert flat[0][..., 4:-4, 4:-4].abs().max() < 1e-5 and (flat[-1] - 0.7).abs().max() < 1e-5


def test_smoothing_against_the_binomial_weights(swd: ModuleType) -> None:
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 4, 4] = 1
    found = swd.smoothed(point)[0, 0]
    weights = [math.comb(4, k) / 16 for k in range(5)]
    for i in range(5):
        for j in range(5):
            assert found[2 + i, 2 + j].item() == pytest.approx(weights[i] * weights[j])
    assert found.sum().item() == pytest.approx(1)


def test_patches_are_windows_of_their_picture(swd: ModuleType) -> None:
    level = torch.arange(2 * 1 * 16 * 16, dtype=torch.float32).view(2, 1, 16, 16)
    found = swd.patches(level, 50, torch.Generator().manual_seed(0))
    assert found.shape == (100, 1, 7, 7)
    corners = found[:, 0, 0, 0].long()
    assert (corners[:50] < 256).all() and (corners[50:] >= 256).all()
    for patch, corner in zip(found, corners.tolist(), strict=True):
        picture, row, column = corner // 256, corner % 256 // 16, corner % 16
        assert row <= 9 and column <= 9
        assert torch.equal(patch, level[picture, :, row : row + 7, column : column + 7])
    assert {(corner % 256 // 16, corner % 16) for corner in corners.tolist()} >= {(0, 0)} or len(
        set(corners.tolist())
    ) > 40


def test_the_sliced_distance_where_it_is_known(swd: ModuleType) -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(500, 5)
    assert swd.sliced_distance(points, points[torch.randperm(500)], 64, rng) == pytest.approx(0, abs=1e-6)
    # On a line the distance is the earth mover's: here against scipy
    from scipy.stats import wasserstein_distance

    a, b = torch.randn(300, 1), 2 * torch.randn(300, 1) + 1
    expected = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert swd.sliced_distance(a, b, 3, rng) == pytest.approx(expected, rel=1e-5)
    # A shift by v moves each shadow by |v · d|, whose mean over all directions in three dimensions is ‖v‖ / 2
    cloud, shift = torch.randn(200, 3), torch.tensor([3.0, 0.0, 4.0])
    assert swd.sliced_distance(cloud, cloud + shift, 20_000, rng) == pytest.approx(2.5, rel=0.03)


def test_normalised_per_channel_and_blind_to_brightness(swd: ModuleType) -> None:
    torch.manual_seed(0)
    found = swd.normalised(torch.randn(400, 3, 7, 7) * torch.tensor([1.0, 5.0, 0.2]).view(3, 1, 1) + 3)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.ones(3))


def test_the_score_sees_blur_at_the_fine_levels_first(swd: ModuleType) -> None:
    from common.data import load
    from common.images import to_float

    faces = to_float(load("avatars").all()[:800])
    blurred = swd.smoothed(faces[:400])
    text, rows = swd.report(blurred, faces)
    assert list(rows["generated"]) == [64, 32, 16] and "64×64" in text
    ratio = {side: rows["generated"][side] / rows["real (floor)"][side] for side in (64, 32, 16)}
    assert ratio[64] > 2 > 1.5 > max(ratio[32], ratio[16])


# ------------------------------------------------------------------------------------------------------- generate


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (64, 1)])
def test_attributes_are_told_from_coloured_faces_of_one_size(chapter: Chapter, side: int, channels: int) -> None:
    generate = chapter("07_progan", "generate")
    drawing = SimpleNamespace(resolution=side, generator=SimpleNamespace(picture_channels=channels))
    with pytest.raises(UserError, match="attributes are told from faces of 64 pixels in colour"):
        generate.attributes(drawing, torch.zeros(2, 8))


def test_a_straight_walk_and_the_count_of_what_changes(chapter: Chapter) -> None:
    generate = chapter("07_progan", "generate")
    first, second = 5 * torch.randn(3, 16), torch.randn(3, 16)
    way = generate.straight(first, second, 4)
    assert way.shape == (5, 3, 16)
    torch.testing.assert_close(way[0].norm(dim=1), torch.full((3,), 4.0))
    torch.testing.assert_close(way[2], (way[0] + way[4]) / 2)  # straight: the middle is the mean
    before = torch.tensor([[0, 0, 0], [1, 2, 3], [5, 5, 5]])
    after = torch.tensor([[0, 0, 1], [1, 2, 3], [6, 6, 5]])
    assert generate.one_change_alone(before, after) == (
        0.5,
        1.5,
    )  # one alone, one of two; the unchanged pair is left out


def test_shipped_weights_keep_the_promises_of_the_readme(chapter: Chapter, script: Script, tmp_path: Path) -> None:
    from common.images import to_uint8
    from common.scores import evaluate, yardstick

    generate = chapter("07_progan", "generate")
    draw, settings = generate.load_generator()
    z = torch.randn(2000, draw.generator.latent_dim, generator=torch.Generator().manual_seed(1))
    scores = evaluate(to_uint8(draw(z)), yardstick("avatars"))
    assert settings["data"] == "avatars" and draw.resolution == 64
    assert scores.fcd <= FCD_PROMISED
    assert scores.recall >= RECALL_PROMISED
    assert min(scores.class_shares[:4]) > 0.05  # glasses, beard, hat and long hair are all drawn
    code, printed, errors = script(GENERATE, "--changes", "--out", tmp_path)
    assert code == 0, errors
    differ = float(re.search(r"the two ends differ in\s+([\d.]+)", printed)[1])  # type: ignore[index]
    assert 5 < differ < 21 and (tmp_path / "changes.png").exists()


FCD_PROMISED, RECALL_PROMISED = 2.5, 0.4  # real faces 0.5, blurred ones 7, an untrained generator 100 at this N


@pytest.mark.parametrize("resolution", [4, 16])
def test_any_stage_can_be_shown_and_others_are_refused(script: Script, tmp_path: Path, resolution: int) -> None:
    code, _, errors = script(GENERATE, "--resolution", resolution, "--num", 8, "--out", tmp_path)
    assert code == 0, errors
    assert Image.open(tmp_path / f"grid_resolution-{resolution}.png").size[0] == 8 * 66 + 2
    code, _, errors = script(GENERATE, "--resolution", 128, "--out", tmp_path)
    assert code == 2 and "--resolution must be one of [4, 8, 16, 32, 64]" in errors


def test_a_picture_has_its_own_number(script: Script, tmp_path: Path) -> None:
    """Alone, among others, and after other seeds: the same picture; another number is another one."""
    for name, seeds in (("alone", [31]), ("among", [5, 31, 9])):
        flags = ["--num", 1, "--seeds", *seeds, "--seed", len(seeds), "--out", tmp_path / name]
        code, _, errors = script(GENERATE, *flags)
        assert code == 0, errors
    alone, among, other = (
        np.asarray(Image.open(next((tmp_path / folder).glob(f"number_{number}_*.png"))))
        for folder, number in (("alone", 31), ("among", 31), ("among", 5))
    )
    assert (alone == among).all() and (among != other).mean() > 0.2
    assert alone.shape == (4 * 64, 4 * 64, 3)
    code, _, errors = script(GENERATE, "--seeds", -1, "--out", tmp_path)
    assert code == 2 and "--seeds" in errors
