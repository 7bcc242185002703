"""Chapter 02 against independent results."""

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import scipy
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from tests.conftest import same

Chapter = Callable[[str, str], ModuleType]
Script = Callable[..., tuple[int, str, str]]
TRAIN = "02_dcgan/train.py"
TINY: dict[str, Any] = {
    "data": "mnist-10k", "width_g": 4, "width_d": 4, "latent_dim": 8, "batch_size": 8, "log_every": 4, "sample_every": 50,
    "save_every": 50, "accelerator": "cpu", "precision": "32-true",
}  # fmt: skip
SMALL = ["--data", "mnist-10k", "--width-g", 4, "--width-d", 4, "--latent-dim", 8, "--batch-size", 8, "--log-every", 1, "--accelerator", "cpu"]  # fmt: skip


@pytest.fixture
def model(chapter: Chapter) -> ModuleType:
    return chapter("02_dcgan", "model")


@pytest.fixture
def train(chapter: Chapter) -> ModuleType:
    return chapter("02_dcgan", "train")


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


# ------------------------------------------------------------------------------------------------------- networks


def test_parameters_of_figure_1_and_of_the_usual_port(model: ModuleType, script: Script) -> None:
    assert parameters(model.Generator()) == 3_576_704
    assert parameters(model.Discriminator()) == 2_765_568
    # the same by hand: kernels of 4×4 between 100, 512, 256, 128, 64 and 3 channels, and two numbers for each BatchNorm
    widths = [100, 512, 256, 128, 64, 3]
    kernels = sum(16 * a * b for a, b in itertools.pairwise(widths))
    assert parameters(model.Generator()) == kernels + 2 * (512 + 256 + 128 + 64)
    code, printed, _ = script(TRAIN, "--preset", "paper", "--max-steps", 0)
    assert code == 0 and "12,658,432 parameters" in printed and "11,036,160 parameters" in printed


def test_uniform_latents_fill_the_cube_evenly(model: ModuleType) -> None:
    """What the first layer gets: each number uniform on (-1, 1), none of them moved past another."""
    generator = model.Generator(latent_dim=4, width=1, shape=(1, 16, 16), uniform_z=True)
    seen = []
    generator.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    z = torch.randn(5000, 4, generator=torch.Generator().manual_seed(0))
    generator(z)
    assert seen[0].abs().max() < 1 and (seen[0].gather(0, z.argsort(0)).diff(dim=0) >= 0).all()
    assert scipy.stats.kstest(seen[0].flatten().numpy(), "uniform", args=(-1, 2)).pvalue > 0.01


def test_uniform_latents_reach_the_weights(script: Script, chapter: Chapter, tmp_path: Path) -> None:
    flags = ["--data", "mnist-10k", "--width-g", 2, "--width-d", 2, "--uniform-z", "--max-steps", 1]
    assert script(TRAIN, *flags, "--out", tmp_path)[0] == 0
    generate = chapter("02_dcgan", "generate")
    assert generate.load_generator(tmp_path / "weights.safetensors")[0].uniform_z
    assert not generate.load_generator()[0].uniform_z  # the shipped weights


def test_the_paper_preset_has_the_numbers_of_section_4_and_the_default_its_three_departures(train: ModuleType) -> None:
    paper, ours = train.PRESETS["paper"], train.Config()
    assert (paper.lr_g, paper.lr_d, paper.beta1, paper.beta2, paper.batch_size) == (2e-4, 2e-4, 0.5, 0.999, 128)
    assert (paper.loss, paper.spectral_norm, paper.width_g, paper.width_d) == ("non-saturating", False, 128, 128)
    assert paper.uniform_z and not ours.uniform_z
    assert (ours.loss, ours.spectral_norm, ours.beta1) == ("hinge", True, 0.0)


@pytest.mark.parametrize("size", [16, 28, 32, 48, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_ranges(model: ModuleType, size: int, channels: int) -> None:
    shape = (channels, size, size)
    fake = model.Generator(latent_dim=8, width=2, shape=shape)(torch.randn(2, 8))
    assert fake.shape == (2, *shape) and fake.abs().max() <= 1
    logits = model.Discriminator(width=2, shape=shape)(fake)
    assert logits.shape == (2,)
    base, doublings = model.stages(size)
    assert base * 2**doublings == size and 4 <= base <= 7


@pytest.mark.parametrize("size", [8, 17, 30, 36, 100, 512])
def test_other_sizes_are_refused(model: ModuleType, size: int) -> None:
    from common import UserError

    with pytest.raises(UserError, match=f"--size must be .* not {size}"):
        model.stages(size)


@pytest.mark.parametrize("upsampling", ["transposed-3", "transposed-4", "resize"])
def test_a_map_is_doubled_by_every_kind_of_upsampling(model: ModuleType, upsampling: str) -> None:
    layers = nn.Sequential(*model.doubled(3, 5, upsampling, bias=True))
    assert layers(torch.randn(2, 3, 7, 7)).shape == (2, 5, 14, 14)
    assert model.Generator(width=2, upsampling=upsampling)(torch.randn(2, 100)).shape == (2, 3, 64, 64)


def test_kernel_3_overlaps_unevenly_and_kernel_4_does_not(model: ModuleType) -> None:
    """With weights of one a transposed convolution counts how often each pixel is painted."""
    counts = {}
    for kind in ("transposed-3", "transposed-4", "resize"):
        layer = nn.Sequential(*model.doubled(1, 1, kind, bias=False))
        nn.init.ones_(layer[-1].weight)
        inner = layer(torch.ones(1, 1, 8, 8))[0, 0, 3:-3, 3:-3]
        counts[kind] = set(inner.flatten().tolist())
    assert counts == {"transposed-3": {1.0, 2.0, 4.0}, "transposed-4": {4.0}, "resize": {9.0}}


def test_the_five_guidelines(model: ModuleType) -> None:
    def kinds(network: nn.Module) -> list[type]:
        return [type(layer) for layer in network.modules()]

    g, d = kinds(model.Generator(width=4)), kinds(model.Discriminator(width=4))
    assert not {nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.Upsample, nn.Sigmoid} & {*g, *d}  # 1 and 3
    assert (g.count(nn.BatchNorm2d), d.count(nn.BatchNorm2d)) == (4, 3)  # 2: not in G's output, not in D's input
    assert g.count(nn.ReLU) == 4 and g.count(nn.Tanh) == 1  # 4
    assert d.count(nn.LeakyReLU) == 4 and nn.ReLU not in d  # 5
    slopes = {
        layer.negative_slope for layer in model.Discriminator(width=4).modules() if isinstance(layer, nn.LeakyReLU)
    }
    assert slopes == {0.2}
    assert kinds(model.Discriminator(width=4, without=["strides"])).count(nn.MaxPool2d) == 4
    for network in (model.Generator, model.Discriminator):
        assert nn.BatchNorm2d not in kinds(network(width=4, without=["batch-norm"]))
    assert kinds(model.Discriminator(width=4, without=["all-convolutional"])).count(nn.Linear) == 2
    assert parameters(model.Generator(width=4, without=["all-convolutional"])) == parameters(
        model.Generator(width=4)
    ) + 2 * (100 * 100 + 200)
    assert nn.ReLU not in kinds(model.Generator(width=4, without=["relu"]))
    assert nn.LeakyReLU not in kinds(model.Discriminator(width=4, without=["leaky-relu"]))


def test_initial_weights_and_that_batch_norm_scales_are_about_one(model: ModuleType) -> None:
    torch.manual_seed(0)
    for network in (model.Generator(), model.Discriminator()):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 10_000:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
                assert layer.eps == 1e-5 and not layer.bias.any()
                assert 0.01 < layer.weight.std().item() < 0.03


def test_spectral_norm_bounds_every_layer_and_replaces_batch_norm(model: ModuleType) -> None:
    torch.manual_seed(0)
    network = model.Discriminator(width=4, shape=(1, 16, 16), spectral=True, minibatch=True)
    for _ in range(50):  # the power iteration takes one step for each pass in training mode
        network(torch.randn(2, 1, 16, 16))
    network.eval()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_self_attention_against_its_equations(model: ModuleType) -> None:
    torch.manual_seed(0)
    layer = model.SelfAttention(16)
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(layer(x), x)  # gamma starts at zero
    layer.gamma.data.fill_(0.7)
    flat = x.flatten(2)  # [N, K, P]
    g, f, h = (
        torch.einsum("ok,nkp->nop", conv.weight[:, :, 0, 0], flat) for conv in (layer.query, layer.key, layer.value)
    )
    beta = torch.einsum("nki,nkj->nji", f, g).softmax(2)  # beta_ji of Eq. 1: place j looks at place i
    expected = flat + 0.7 * torch.einsum("nji,nki->nkj", beta, h)
    torch.testing.assert_close(layer(x), expected.view_as(x), rtol=1e-4, atol=1e-5)
    network = model.Generator(width=8, attention=16), model.Discriminator(width=8, attention=16)
    assert all(sum(isinstance(m, model.SelfAttention) for m in one.modules()) == 1 for one in network)


def test_channels_double_inwards_up_to_eight_times_the_width(model: ModuleType) -> None:
    assert model.widths(4, 6) == [4, 8, 16, 32, 32, 32]


@pytest.mark.parametrize("minibatch", [False, True])
def test_only_with_minibatch_discrimination_a_logit_depends_on_the_other_pictures(
    model: ModuleType, minibatch: bool
) -> None:
    torch.manual_seed(0)
    network = model.Discriminator(width=4, shape=(1, 16, 16), spectral=True, minibatch=minibatch).eval()
    first, others = torch.randn(1, 1, 16, 16), torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        varied, alike = network(torch.cat([first, others]))[0], network(first.expand(4, -1, -1, -1))[0]
    assert bool((varied - alike).abs() > 1e-4) == minibatch


def test_minibatch_discrimination_by_plain_loops(model: ModuleType) -> None:
    layer = model.MinibatchDiscrimination(6, kernels=4, dims=3)
    x = torch.randn(5, 6)
    m = (x @ layer.project.weight.T).view(5, 4, 3)
    expected = torch.zeros(5, 4)
    for i in range(5):
        for b in range(4):
            expected[i, b] = sum(math.exp(-(m[i, b] - m[j, b]).abs().sum().item()) for j in range(5))
    torch.testing.assert_close(layer(x), expected)
    alike = layer(x[:1].expand(5, -1))
    torch.testing.assert_close(alike, torch.full((5, 4), 5.0))  # five times the same picture: as close as can be


# --------------------------------------------------------------------------------------------------------- losses


def test_losses_against_the_definitions(train: ModuleType) -> None:
    torch.manual_seed(0)
    real, fake = 2 * torch.randn(64), 2 * torch.randn(64)
    bce, ones, zeros = F.binary_cross_entropy_with_logits, torch.ones(64), torch.zeros(64)
    for smoothing in (0.0, 0.1):
        expected = bce(real, (1 - smoothing) * ones) + bce(fake, zeros)
        torch.testing.assert_close(train.discriminator_loss(real, fake, "non-saturating", smoothing), expected)
        squares = 0.5 * F.mse_loss(real, (1 - smoothing) * ones) + 0.5 * F.mse_loss(fake, zeros)
        torch.testing.assert_close(train.discriminator_loss(real, fake, "least-squares", smoothing), squares)
    by_hand = sum(max(0.0, 1 - a) for a in real.tolist()) / 64 + sum(max(0.0, 1 + a) for a in fake.tolist()) / 64
    assert train.discriminator_loss(real, fake, "hinge").item() == pytest.approx(by_hand, rel=1e-5)
    torch.testing.assert_close(train.generator_loss(fake, "non-saturating"), bce(fake, ones))
    torch.testing.assert_close(train.generator_loss(fake, "least-squares"), 0.5 * F.mse_loss(fake, ones))
    assert train.generator_loss(fake, "hinge").item() == pytest.approx(-fake.mean().item())


@pytest.mark.parametrize("kind", ["non-saturating", "hinge", "least-squares"])
def test_the_two_losses_pull_a_fake_in_opposite_directions(train: ModuleType, kind: str) -> None:
    """Between the targets, D wants a fake's logit lower and a real one's higher, and G wants the fake's higher."""
    real, fake = torch.tensor([0.3], requires_grad=True), torch.tensor([0.3], requires_grad=True)
    of_real, of_fake = torch.autograd.grad(train.discriminator_loss(real, fake, kind), (real, fake))
    (of_g,) = torch.autograd.grad(train.generator_loss(fake, kind), fake)
    assert of_real < 0 < of_fake and of_g < 0


def test_feature_matching_compares_means_only(train: ModuleType) -> None:
    real, fake = torch.randn(6, 3, 2, 2), torch.randn(4, 3, 2, 2)
    expected = sum(((real[:, k].mean(0) - fake[:, k].mean(0)) ** 2).sum() for k in range(3))
    torch.testing.assert_close(train.feature_matching_loss(real, fake), expected)
    assert train.feature_matching_loss(real, real.flip(0)).item() == pytest.approx(0, abs=1e-10)


def test_instance_noise_fades_linearly_to_nothing(train: ModuleType) -> None:
    config = train.Config(instance_noise=0.4, noise_steps=100)
    zeros = torch.zeros(20, 1, 32, 32)
    for step, sigma in ((0, 0.4), (50, 0.2), (75, 0.1)):
        assert train.seen(zeros, config, step).std().item() == pytest.approx(sigma, rel=0.03)
    for step in (100, 500):
        assert torch.equal(train.seen(zeros, config, step), zeros)
    assert torch.equal(train.seen(zeros, train.Config(), 0), zeros)


def test_augmented_pictures_are_moved_tinted_and_partly_hidden(train: ModuleType) -> None:
    """A white dot on black shows where a picture went; a picture of one colour shows what is hidden and what came in."""
    torch.manual_seed(0)
    plain = torch.tensor([0.5, 0.1, -0.3]).view(1, 3, 1, 1).expand(400, 3, 32, 32)
    grey = (train.augmented(plain) == 0).all(1)  # [N, H, W]: what is hidden, and what came in at the border
    assert 1 / 4 <= grey.float().mean(0).max() < 3 / 4
    shares = grey.flatten(1).float().mean(1)
    assert shares.min() < 0.2 and 0.25 <= shares.max() <= 0.25 + 2 / 8
    tinted = train.augmented(plain).amax((2, 3))[:, 0]
    assert tinted.std() > 0.2  # each picture has its own brightness
    whole = F.avg_pool2d(grey[:, None].float(), 16, 1).amax((1, 2, 3)) == 1  # a square of half the side lies all inside
    assert whole.float().mean() == pytest.approx((17 / 32) ** 2, abs=0.1)
    apart = train.augmented(plain)
    apart = (apart[:, 0] - apart[:, 2]).amax((1, 2))  # red and blue: 0.8 in the original
    assert apart.min() < 0.1 and apart.max() > 1.3  # saturation from none to twice as much
    halves = torch.cat([torch.full((400, 3, 32, 16), -0.5), torch.full((400, 3, 32, 16), 0.5)], 3)
    values = train.augmented(halves).flatten(1)
    apart = values.amax(1) - values.amin(1)  # dark and light: 1 in the original
    assert apart.min() < 0.6 and 1.4 < apart.max() < 1.5 + 1e-5  # contrast from half to one and a half times as much
    dots = torch.full((400, 1, 32, 32), -1.0)
    dots[:, :, 16, 16] = 1
    places = torch.stack(torch.where(train.augmented(dots)[:, 0] > 0.25)[1:]).float()
    assert places.min() == 12 and places.max() == 20  # up to an eighth of 32 in each direction


def test_the_gradient_passes_through_the_augmentation(train: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 3, 16, 16, requires_grad=True)
    train.augmented(x).sum().backward()
    assert x.grad is not None and (x.grad != 0).flatten(1).any(1).all()


def test_all_that_the_discriminator_sees_is_augmented(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real and fake pictures in D's step and fakes in G's: with only the real ones altered, G would learn to draw squares."""
    calls: list[bool] = []
    monkeypatch.setattr(train, "augmented", lambda x: (calls.append(x.requires_grad), x)[1])
    train.train(train.Config(**TINY, augment=True, max_steps=2, out=str(tmp_path)))
    assert calls == [False, False, True] * 2


# ------------------------------------------------------------------------------------------------------- training


def test_the_average_follows_the_generator(train: ModuleType, tmp_path: Path) -> None:
    """With a decay of 0 the average is the generator of the last step; with a decay it lags behind."""
    distances = {}
    for decay in (0.0, 0.9):
        folder = train.train(train.Config(**TINY, ema_decay=decay, max_steps=3, out=str(tmp_path / str(decay))))
        weights = load_file(folder / "weights.safetensors")
        last = {
            name.removeprefix("raw."): weight.float() for name, weight in weights.items() if name.startswith("raw.")
        }
        distances[decay] = max(
            (weights[f"averaged.{name}"] - weight).abs().max().item() for name, weight in last.items()
        )
    assert distances[0.0] < 1e-3 < distances[0.9]  # the last weights are stored in half precision


def test_mirror_shows_pictures_and_mirrored_ones_alike(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that are bright on the left alone: with --mirror D sees both kinds, without it one."""
    left = torch.full((64, 1, 28, 28), -1.0)
    left[..., :14] = 1.0
    seen: list[torch.Tensor] = []

    class Watched(train.Discriminator):  # type: ignore[misc, name-defined]
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            seen.append(pictures.detach().clone())
            return super().forward(pictures)  # type: ignore[no-any-return]

    monkeypatch.setattr(train, "Discriminator", Watched)
    monkeypatch.setattr(train, "batches", lambda *_, **__: iter([(left, None)] * 9))
    shares = {}
    for mirror in (False, True):
        seen.clear()
        train.train(
            train.Config(**TINY | {"batch_size": 64}, mirror=mirror, max_steps=1, out=str(tmp_path / str(mirror)))
        )
        shares[mirror] = (seen[0][:, 0, 0, 0] == 1).float().mean().item()
    assert shares[False] == 1 and 0.25 < shares[True] < 0.75


def test_resume_equals_an_uninterrupted_run_bit_for_bit(train: ModuleType, tmp_path: Path) -> None:
    """With all that draws random numbers of its own; `test_faults.py` resumes a plain run."""
    settings = TINY | {"mirror": True, "instance_noise": 0.1, "spectral_norm": False, "minibatch_discrimination": True}
    whole = train.train(train.Config(**settings, max_steps=8, out=str(tmp_path / "whole")))
    train.train(train.Config(**settings, max_steps=4, out=str(tmp_path / "parts")))
    parts = train.train(
        train.Config(**settings, max_steps=8, out=str(tmp_path / "parts"), resume=str(tmp_path / "parts"))
    )
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts))
    for part in ("generator", "discriminator", "ema"):
        assert same(first[part], second[part]), part
    assert first["history"] == second["history"]
    assert same(load_file(whole / "weights.safetensors"), load_file(parts / "weights.safetensors"))


def test_each_step_teaches_one_network(train: ModuleType, tmp_path: Path) -> None:
    """With one learning rate near zero only the other network changes."""
    moved = {}
    for name, rates in {"g": {"lr_d": 1e-30}, "d": {"lr_g": 1e-30}}.items():
        start_of, end = (
            torch.load(
                train.train(train.Config(**TINY | rates, max_steps=steps, out=str(tmp_path / f"{name}{steps}")))
                / "last.ckpt",
                weights_only=True,
            )
            for steps in (1, 4)
        )
        moved[name] = tuple(
            not torch.allclose(start_of[part][key], end[part][key], rtol=0, atol=1e-12)
            for part, key in (
                ("generator", "layers.1.weight"),
                ("discriminator", "body.0.parametrizations.weight.original"),
            )
        )
    assert moved == {"g": (True, False), "d": (False, True)}


@pytest.mark.parametrize(
    "flags",
    [
        ["--loss", "non-saturating", "--no-spectral-norm"],
        ["--loss", "least-squares", "--label-smoothing", 0.1],
        ["--feature-matching", "--minibatch-discrimination"],
        ["--instance-noise", 0.2, "--mirror", "--augment"],
        ["--attention", 14, "--width-g", 16, "--width-d", 16],
        ["--upsampling", "resize", "--without", "strides", "relu"],
        ["--without", "batch-norm", "all-convolutional", "leaky-relu"],
        ["--data", "fashion-10k", "--size", 32, "--channels", 3],
    ],
    ids=lambda flags: " ".join(map(str, flags[:3])),
)
def test_every_option_trains_and_generates(script: Script, tmp_path: Path, flags: list[object]) -> None:
    code, _, errors = script(TRAIN, *SMALL, *flags, "--max-steps", 2, "--out", tmp_path / "run")
    assert code == 0, errors
    weights = tmp_path / "run" / "weights.safetensors"
    pictures = {}
    for name, more in (("averaged", []), ("raw", ["--no-ema"])):
        out = tmp_path / name
        code, _, errors = script("02_dcgan/generate.py", "--weights", weights, "--num", 4, "--out", out, *more)
        assert code == 0, errors
        pictures[name] = (out / ("grid_weights-run_ema-False.png" if more else "grid_weights-run.png")).read_bytes()
    if "batch-norm" not in flags:  # without it and after two steps both still draw plain grey
        assert pictures["averaged"] != pictures["raw"]


def test_own_pictures_in_a_folder_are_64_by_default(script: Script, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for i in range(10):
        Image.effect_noise((40, 30), i).convert("RGB").save(tmp_path / "own" / f"{i}.jpg")
    code, printed, _ = script(TRAIN, *SMALL, "--data", tmp_path / "own", "--max-steps", 1, "--out", tmp_path / "run")
    assert code == 0 and "10 pictures, 3×64×64" in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", 100], "--size must be 4, 5, 6 or 7 times a power of two"),
        (["--attention", 20], "--attention must be one of [14]"),
        (["--label-smoothing", 0.1], "--label-smoothing: --loss hinge has no targets"),
        (["--width-g", 0], "--width-g must be above 0"),
        (["--instance-noise", -1], "--instance-noise must be at least 0"),
        (["--batch-size", 1], "--batch-size must be at least 2"),
        (["--beta1", 1.0], "--beta1 must be below 1"),
        (["--data", "avatar"], "did you mean avatars?"),
    ],
)
def test_wrong_input_gets_one_line(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script(TRAIN, *SMALL, "--max-steps", 1, "--out", tmp_path / "run", *arguments)
    assert code == 2 and errors.strip().splitlines()[-1].startswith("error: ") and expected in errors
    assert "Traceback" not in errors


def test_two_processes_equal_one(one_and_two: Callable[..., None], tmp_path: Path) -> None:
    """Without BatchNorm, which looks at one process's share only, two processes learn what one does."""
    one_and_two(TRAIN, *SMALL, "--without", "batch-norm", "--mirror", "--precision", "32-true", "--max-steps", 4)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("1", "2"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5


# ------------------------------------------------------------------------------------------------------- generate


def test_the_attribute_direction_is_found_where_it_is_known(chapter: Chapter) -> None:
    """If an attribute is "the third latent number is positive", the direction is the third axis."""
    generate = chapter("02_dcgan", "generate")
    torch.manual_seed(0)
    z = torch.randn(20_000, 10)
    direction = generate.attribute_direction(z, z[:, 2] > 0)
    assert direction.norm().item() == pytest.approx(1)
    assert direction[2] > 0.99


def test_shipped_weights_keep_the_promises_of_the_readme(chapter: Chapter, script: Script, tmp_path: Path) -> None:
    from common.images import to_uint8
    from common.scores import evaluate, yardstick

    generate = chapter("02_dcgan", "generate")
    generator, settings = generate.load_generator()
    stick = yardstick("avatars")
    z = torch.randn(2000, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fake = torch.cat([generator(part) for part in z.split(500)])
    scores = evaluate(to_uint8(fake), stick)
    assert settings["data"] == "avatars"
    assert scores.fcd <= 2.2  # real faces 0.5, blurred ones 7, an untrained generator 90 at this N
    assert scores.recall >= 0.45
    assert min(scores.class_shares[:4]) > 0.05  # glasses, beard, hat and long hair are all drawn
    code, printed, _ = script("02_dcgan/generate.py", "--attribute", "glasses", "--out", tmp_path)
    before, after = (float(share) for share in re.findall(r"([\d.]+)%", printed.splitlines()[0]))
    assert code == 0 and after > 1.5 * before
    assert (tmp_path / "glasses.png").exists()
    code, _, errors = script("02_dcgan/generate.py", "--attribute", "wings", "--out", tmp_path)
    assert code == 2 and "--attribute must be one of glasses, beard" in errors
    grey = ["--data", "avatars", "--size", 64, "--channels", 1]
    assert script(TRAIN, *SMALL, *grey, "--max-steps", 1, "--out", tmp_path / "grey")[0] == 0
    weights = tmp_path / "grey" / "weights.safetensors"
    code, _, errors = script("02_dcgan/generate.py", "--weights", weights, "--attribute", "glasses", "--out", tmp_path)
    assert code == 2 and "--attribute needs colour faces of 64 pixels" in errors
