"""Chapter 05 against independent results."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import load_file
from torch import nn

from common import UserError, art, devices, images
from common.data import batches, pairs
from common.run import Stopped
from tests.conftest import same

Chapter = Callable[[str, str], ModuleType]
Script = Callable[..., tuple[int, str, str]]
FOLDER = "05_pix2pix"
TRAIN, GENERATE = f"{FOLDER}/train.py", f"{FOLDER}/generate.py"
TINY: dict[str, Any] = {
    "data": "satellite-map", "size": 32, "patch": "16", "lambda_l1": 100.0, "mirror": False, "width_g": 4, "width_d": 4, "batch_size": 4, "log_every": 2, "sample_every": 50, "save_every": 50,
    "accelerator": "cpu", "precision": "32-true",
}  # fmt: skip
SMALL = [
    "--data", "satellite-map", "--size", 32, "--patch", 16, "--no-mirror", "--width-g", 4, "--width-d", 4, "--batch-size", 4, "--log-every", 1, "--accelerator", "cpu",
    "--precision", "32-true",
]  # fmt: skip


@pytest.fixture
def model(chapter: Chapter) -> ModuleType:
    return chapter(FOLDER, "model")


@pytest.fixture
def train(chapter: Chapter) -> ModuleType:
    return chapter(FOLDER, "train")


@pytest.fixture
def generate(chapter: Chapter) -> ModuleType:
    return chapter(FOLDER, "generate")


@pytest.fixture
def scores(chapter: Chapter) -> ModuleType:
    return chapter(FOLDER, "scores")


def numbers(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


# ------------------------------------------------------------------------------------------------------- networks


def test_the_papers_networks_have_the_authors_numbers_of_parameters(model: ModuleType) -> None:
    for norm in ("batch", "instance"):
        with torch.device("meta"):  # sizes without memory
            assert numbers(model.Generator(256, 64, norm=norm)) == 54_413_955
            judge = model.Discriminator(256, 64, norm=norm, patch="70")
            assert numbers(judge) == 2_768_705
            x = torch.empty(1, 3, 256, 256)
            assert judge(x, x).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_u_net_takes_every_power_of_two(model: ModuleType, size: int, norm: str) -> None:
    torch.manual_seed(0)
    generator = model.Generator(size, 2, norm=norm)
    assert len(generator.down) == int(math.log2(size)) == len(generator.up) + 1
    x = torch.randn(2, 3, size, size)
    fake = generator(x)
    assert fake.shape == x.shape and fake.abs().max() <= 1
    sides = [size >> (i + 1) for i in range(len(generator.down))]
    for block, side in zip(generator.down, sides, strict=True):
        x = block(x)
        assert x.shape[-1] == side
    assert x.shape[-1] == 1
    assert sum(isinstance(layer, nn.Dropout) for layer in generator.modules()) == 3
    patches = ["1", "16", "70", "whole"] + (["286"] if size >= 128 else [])
    for patch in patches:
        logits = model.Discriminator(size, 2, norm=norm, patch=patch)(fake, fake)
        if patch == "whole":
            assert logits.shape == (2, 1, 1, 1)
        else:
            side = size if patch == "1" else (size >> {"16": 1, "70": 3, "286": 5}[patch]) - 2
            assert logits.shape == (2, 1, side, side)


@pytest.mark.parametrize("size", [0, 16, 48, 100, 1024])
def test_other_sizes_are_refused_in_one_line(model: ModuleType, size: int) -> None:
    with pytest.raises(UserError, match=rf"--size must be 32, 64, 128, 256 or 512.*not {size}$"):
        model.Generator(size)


def test_a_patch_that_is_too_large_says_so(model: ModuleType) -> None:
    with pytest.raises(UserError, match="--patch 286 needs pictures of at least 96 pixels, not 64"):
        model.Discriminator(64, 2, patch="286")


@pytest.mark.parametrize("patch", ["1", "16", "34", "70", "142", "286"])
def test_the_receptive_field_measured_by_gradients(model: ModuleType, patch: str) -> None:
    """How many rows and columns of the input the middle logit depends on; without norms, which look at the whole picture."""
    size = 512 if int(patch) > 100 else 128
    torch.manual_seed(0)
    judge = model.Discriminator(size, 2, patch=patch)
    judge.body = nn.Sequential(*(layer for layer in judge.body if not isinstance(layer, nn.InstanceNorm2d)))
    for parameter in judge.parameters():
        nn.init.uniform_(parameter, 0.5, 1)  # nothing cancels
    x, y = (torch.rand(1, 3, size, size, requires_grad=True) for _ in range(2))
    logits = judge(x, y)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    for side in (x, y):
        rows = (side.grad != 0).any(1)[0].any(1).nonzero()
        columns = (side.grad != 0).any(1)[0].any(0).nonzero()
        assert rows.max() - rows.min() + 1 == int(patch) == columns.max() - columns.min() + 1


def test_whole_sees_everything_and_blind_does_not_see_the_input(model: ModuleType) -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(1, 3, 64, 64, requires_grad=True) for _ in range(2))
    model.Discriminator(64, 4, patch="whole")(x, y).sum().backward()
    assert (x.grad.abs().sum((0, 1)) > 0).all() and (y.grad.abs().sum((0, 1)) > 0).all()
    x.grad = None
    blind = model.Discriminator(64, 4, patch="16", blind=True)
    blind(x, y).sum().backward()
    assert x.grad is None and numbers(blind) < numbers(model.Discriminator(64, 4, patch="16"))


def test_normalisation_is_the_papers_at_batch_one(model: ModuleType) -> None:
    """Instance norm is BatchNorm of one picture with "the statistics of the test batch", in training and evaluation."""
    torch.manual_seed(0)
    instance, batch = model.norm_layer("instance", 5), nn.BatchNorm2d(5)
    for layer in (instance, batch):
        layer.weight.data, layer.bias.data = torch.arange(5.0), torch.arange(5.0) - 2
    x = 3 * torch.randn(4, 5, 6, 6) + 1
    one_by_one = torch.cat([batch(part) for part in x.split(1)])  # in training mode
    torch.testing.assert_close(instance(x), one_by_one)
    torch.testing.assert_close(instance.eval()(x), one_by_one)
    assert not torch.allclose(batch(x), one_by_one, atol=0.1)
    assert isinstance(model.norm_layer("batch", 5), nn.BatchNorm2d) and model.norm_layer("batch", 5).eps == 1e-5


@pytest.mark.parametrize("side", [1, 4, 8, 16])
def test_doubling_by_resize_is_nearest_neighbour_and_a_convolution(model: ModuleType, side: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, side, side, dtype=torch.double, requires_grad=True)
    layer = model.doubled(4, 6, "resize", bias=True).double()
    larger = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected, found = F.conv2d(larger, layer.weight, layer.bias, padding=1), layer(x)
    torch.testing.assert_close(found, expected)
    some = torch.randn_like(expected)
    slopes = [torch.autograd.grad((y * some).sum(), [x, layer.weight, layer.bias]) for y in (found, expected)]
    torch.testing.assert_close(*slopes)
    assert model.doubled(4, 6, "transposed").double()(x).shape == (2, 6, 2 * side, 2 * side)


def test_only_transposed_convolutions_leave_a_raster_on_a_flat_map(model: ModuleType) -> None:
    torch.manual_seed(0)
    flat = torch.ones(1, 4, 16, 16)
    for kind, clean in (("resize", True), ("transposed", False)):
        inside = model.doubled(4, 6, kind)(flat)[..., 4:-4, 4:-4]
        assert (inside.std((2, 3)).max() < 1e-6) == clean
    kinds = [
        {type(layer) for layer in model.Generator(64, 4, upsampling=kind).modules()}
        for kind in ("resize", "transposed")
    ]
    assert nn.ConvTranspose2d not in kinds[0] and model.ResizeConv2d not in kinds[1]


def test_norms_and_biases_are_where_the_paper_has_them(model: ModuleType) -> None:
    generator, judge = model.Generator(64, 4), model.Discriminator(64, 4)
    norms = [isinstance(block[-1], nn.InstanceNorm2d) for block in generator.down]
    assert norms == [False, True, True, True, True, False]  # neither next to the picture nor on one pixel
    assert all(any(isinstance(layer, nn.InstanceNorm2d) for layer in block) for block in generator.up)
    assert isinstance(generator.to_picture[-1], nn.Tanh) and generator.to_picture[1].bias is not None
    convs = [layer for layer in judge.body if isinstance(layer, nn.Conv2d)]
    assert [conv.bias is not None for conv in convs] == [True, False, False, False, True]
    assert [conv.stride[0] for conv in convs] == [2, 2, 2, 1, 1]  # 2 in the fourth would make the field 94
    slopes = [
        layer.negative_slope for layer in [*judge.modules(), *generator.modules()] if isinstance(layer, nn.LeakyReLU)
    ]
    assert set(slopes) == {0.2}


def test_initial_weights(model: ModuleType) -> None:
    torch.manual_seed(0)
    for network in (model.Generator(64, 16), model.Discriminator(64, 32)):
        weights = torch.cat(
            [m.weight.flatten() for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        )
        assert weights.std().item() == pytest.approx(0.02, rel=0.02) and abs(weights.mean().item()) < 1e-4
        scales = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.InstanceNorm2d)])
        assert scales.mean().item() == pytest.approx(1, abs=0.005) and scales.std().item() == pytest.approx(
            0.02, rel=0.2
        )


def test_the_noise_stays_on_at_test_time(model: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 32, 32)
    generator = model.Generator(32, 8).eval()
    assert not torch.equal(generator(x), generator(x))
    quiet = model.Generator(32, 8, dropout=0.0).eval()
    assert torch.equal(quiet(x), quiet(x))
    for maps, shape in ((False, (1, 1, 200, 500)), (True, (200, 500, 1, 1))):
        dropped = model.Noise(0.5, maps).eval()(torch.ones(shape))
        assert (dropped == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
        assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_noise_of_maps_is_the_same_in_all_places(model: ModuleType) -> None:
    """So it can decide on the colour of a whole coat."""
    torch.manual_seed(0)
    for noise, alike in (("maps", True), ("numbers", False)):
        generator = model.Generator(32, 8, norm="batch", noise=noise)
        layers = [layer for layer in generator.modules() if isinstance(layer, model.Noise)]
        assert len(layers) == 3
        for layer in layers:
            kept = (layer(torch.ones(20, 20, 4, 4)) != 0).flatten(2)
            assert bool((kept.all(2) | ~kept.any(2)).all()) == alike


def test_layers_of_full_size_see_every_pixel(model: ModuleType) -> None:
    """The first layer's features reach the last one by a skip, at the size of the picture."""
    torch.manual_seed(0)
    generator = model.Generator(32, 8, norm="batch", upsampling="resize", full_size=True).eval()
    assert len(generator.down) == len(generator.up) + 1 == 6 and generator.to_picture[1].in_channels == 8
    x = torch.randn(2, 3, 64, 96)
    first = generator.down[0](x)
    assert first.shape == (2, 4, 64, 96) and generator(x).shape == x.shape
    for parameter in generator.up[-1][-1].parameters():
        nn.init.zeros_(parameter)  # all that comes from below
    alone = torch.cat([torch.zeros_like(first), first], dim=1)
    assert torch.allclose(generator(x), generator.to_picture(alone), atol=1e-6)
    plain = model.Generator(32, 1, norm="batch", skips=False, full_size=True).eval()
    assert plain.to_picture[1].in_channels == 1 and plain(x).shape == x.shape


def test_a_file_of_half_the_size_keeps_variances_that_16_bits_cannot_hold(model: ModuleType) -> None:
    generator = model.Generator(32, 4, norm="batch")
    generator.up[0][2].running_var.fill_(1e6)
    half = model.half_precision(generator)
    assert half.up[0][2].running_var.max() == 1e6 and half.up[0][1].weight.dtype == torch.float16
    assert generator.up[0][1].weight.dtype == torch.float32  # the training goes on with its own


def test_skips_carry_what_the_bottleneck_cannot(model: ModuleType) -> None:
    """With skips the picture's details reach the output past the bottleneck; without them only through one pixel."""
    torch.manual_seed(0)
    x = torch.randn(1, 3, 64, 64)
    for skips in (True, False):
        generator = model.Generator(64, 4, norm="batch", dropout=0.0, skips=skips).eval()
        with torch.no_grad():
            for weight in generator.down[-1].parameters():
                weight.zero_()  # the bottleneck says nothing any more
            moved = generator(x) - generator(-x)
        assert (moved.abs().max() > 1e-6) == skips
    concatenated = [block[1].in_channels for block in model.Generator(64, 4).up]
    plain = [block[1].in_channels for block in model.Generator(64, 4, skips=False).up]
    assert concatenated == [32, 64, 64, 32, 16] and plain == [32, 32, 32, 16, 8]


# ----------------------------------------------------------------------------------------------------- the method


def test_losses_against_their_definitions(train: ModuleType) -> None:
    torch.manual_seed(0)
    real, fake = 3 * torch.randn(4, 1, 6, 6), 3 * torch.randn(4, 1, 6, 6)
    bce = F.binary_cross_entropy_with_logits
    expected = (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2
    torch.testing.assert_close(train.discriminator_loss(real, fake), expected)
    torch.testing.assert_close(train.adversarial_loss(fake), bce(fake, torch.ones_like(fake)))
    assert train.discriminator_loss(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(4) / 2)
    a, b = torch.tensor([[0.0, 1.0], [-1.0, 0.5]]), torch.tensor([[0.5, 1.0], [1.0, 0.0]])
    assert train.l1_loss(a, b).item() == pytest.approx((0.5 + 0 + 2 + 0.5) / 4)


def test_the_rate_is_constant_and_then_falls_in_a_line_to_zero(train: ModuleType) -> None:
    rates = [train.learning_rate_factor(step, 100, 0.5) for step in range(101)]
    assert rates[:51] == [1.0] * 51 and rates[100] == 0
    np.testing.assert_allclose(rates[50:], np.linspace(1, 0, 51))
    assert {train.learning_rate_factor(step, 100, 1.0) for step in range(100)} == {1.0}


def test_the_decay_really_steps(train: ModuleType, tmp_path: Path) -> None:
    folder = train.train(train.Config(**TINY | {"log_every": 1}, max_steps=8, out=str(tmp_path / "run")))
    history = json.loads((folder / "metrics.json").read_text())
    assert history["rate/lr"] == pytest.approx(
        [train.Config().lr * train.learning_rate_factor(step, 8, 0.5) for step in range(1, 9)]
    )
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    for part in ("opt_g", "opt_d"):
        assert saved[part]["param_groups"][0]["lr"] == 0


def test_jitter_and_mirror_treat_both_sides_alike(train: ModuleType) -> None:
    size, larger = 32, 36
    place = torch.arange(larger * larger, dtype=torch.float32).view(1, 1, larger, larger)
    both = torch.cat([place.expand(6, 3, -1, -1), -place.expand(6, 3, -1, -1)], 1)
    corners = torch.tensor([[0, 0], [4, 4], [2, 3], [0, 0], [1, 0], [4, 0]])
    mirrored = torch.tensor([0, 0, 0, 1, 1, 0])
    a, b = train.cut(both, corners, mirrored, size).chunk(2, dim=1)
    assert a.shape == (6, 3, size, size) and torch.equal(a, -b)
    for picture, (r, c), flip in zip(a, corners.tolist(), mirrored.tolist(), strict=True):
        expected = place[0, :, r : r + size, c : c + size]
        assert torch.equal(picture, (expected.flip(2) if flip else expected).expand(3, -1, -1))


def test_jitter_and_mirror_each_change_the_run(train: ModuleType, tmp_path: Path) -> None:
    found = []
    for i, flags in enumerate(({}, {"jitter": True}, {"mirror": True})):
        folder = train.train(train.Config(**TINY | flags, max_steps=2, out=str(tmp_path / str(i))))
        found.append(load_file(folder / "weights.safetensors"))
    assert not same(found[0], found[1]) and not same(found[0], found[2]) and not same(found[1], found[2])


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_one_step_minimises_what_the_readme_says(
    train: ModuleType, model: ModuleType, tmp_path: Path, direction: str
) -> None:
    """The first step by hand: the same networks, D's half of Eq. 1 with the fake held fixed, then Eq. 4 with the new D."""
    # Transposed: after resize and instance norm, what the middle of the first kernel adds is taken away again (no gradient).
    settings = TINY | {
        "norm": "instance",
        "upsampling": "transposed",
        "full_size": False,
        "dropout": 0.0,
        "direction": direction,
        "seed": 3,
    }
    config = train.Config(**settings | {"log_every": 1}, max_steps=1, out=str(tmp_path / "run"))
    folder = train.train(config)
    saved = torch.load(folder / "last.ckpt", weights_only=True)

    torch.manual_seed(3)
    generator = train.Generator(32, 4, norm="instance", dropout=0.0)
    judge = train.Discriminator(32, 4, norm="instance", patch="16")
    fabric = devices.make_fabric(config)
    x, y = next(batches(pairs.load_pairs("satellite-map", 32), 4, 3, fabric))
    x, y = (x, y) if direction == "AtoB" else (y, x)
    opt_g, opt_d = (
        torch.optim.Adam(n.parameters(), config.lr, (config.beta1, config.beta2)) for n in (generator, judge)
    )
    bce = F.binary_cross_entropy_with_logits
    fake = generator(x).detach()
    real_logits, fake_logits = judge(x, y), judge(x, fake)
    loss_d = 0.5 * bce(real_logits, torch.ones_like(real_logits)) + 0.5 * bce(
        fake_logits, torch.zeros_like(fake_logits)
    )
    loss_d.backward()
    opt_d.step()
    fake = generator(x)
    logits = judge(x, fake)
    loss_g = bce(logits, torch.ones_like(logits)) + 100 * (fake - y).abs().mean()
    loss_g.backward()
    opt_g.step()
    for network, part in ((generator, "generator"), (judge, "discriminator")):
        for name, value in network.state_dict().items():
            torch.testing.assert_close(saved[part][name], value, rtol=1e-4, atol=3e-5)  # a step is 6e-4
    history = json.loads((folder / "metrics.json").read_text())
    assert history["loss/d"][0] == pytest.approx(loss_d.item(), rel=1e-4)
    assert history["loss/g"][0] == pytest.approx(loss_g.item(), rel=1e-4)


def test_what_is_stored_is_an_average_of_the_generator(train: ModuleType, tmp_path: Path) -> None:
    """With forgetting min(decay, (1 + n) / (10 + n)): of four steps by hand, from the generators of the single steps."""
    steps, average = 4, {}
    for n in range(1, steps + 1):
        settings = TINY | {"max_steps": n, "decay_from": 1.0, "log_every": 1, "save_every": 1}
        folder = train.train(train.Config(**settings, out=str(tmp_path / str(n))))
        raw = torch.load(folder / "last.ckpt", weights_only=True)["generator"]
        forget = 1 if n == 1 else 1 - n / (9 + n)  # the first one is copied
        average = {
            k: v if n == 1 else average[k] + forget * (v - average[k]) for k, v in raw.items() if v.is_floating_point()
        }
    stored = load_file(folder / "weights.safetensors")
    for name, value in average.items():
        torch.testing.assert_close(stored[name].float(), value, rtol=2e-3, atol=1e-4)
    assert not all(torch.allclose(stored[name].float(), raw[name], rtol=2e-3, atol=1e-4) for name in average)


def test_parts_of_a_batch_add_up_to_the_whole(train: ModuleType, tmp_path: Path) -> None:
    quiet = TINY | {"norm": "instance", "upsampling": "transposed", "dropout": 0.0, "log_every": 1, "max_steps": 4}
    weights, curves = [], []
    for parts in (1, 4):
        folder = train.train(train.Config(**quiet, accumulate=parts, out=str(tmp_path / str(parts))))
        weights.append(load_file(folder / "weights.safetensors"))
        curves.append(json.loads((folder / "metrics.json").read_text()))
    assert max((weights[0][name].float() - weights[1][name].float()).abs().max().item() for name in weights[0]) < 2e-4
    assert curves[0].keys() == curves[1].keys() and "right/fake" in curves[0]
    for tag in curves[0]:
        loose = 0.01 if tag.startswith("right/") else 2e-4  # these jump where a logit is near 0
        assert curves[0][tag] == pytest.approx(curves[1][tag], rel=2e-3, abs=loose), tag


def test_without_a_game_there_is_no_judge_and_without_l1_no_truth(train: ModuleType, tmp_path: Path) -> None:
    alone = train.train(train.Config(**TINY, lambda_gan=0.0, max_steps=4, out=str(tmp_path / "l1")))
    history = json.loads((alone / "metrics.json").read_text())
    assert "loss/d" not in history and history["loss/g"] == pytest.approx(
        [100 * v for v in history["l1/train"]], rel=1e-5
    )
    saved = torch.load(alone / "last.ckpt", weights_only=True)
    assert not saved["opt_d"]["state"]  # D has never been touched
    game = train.train(train.Config(**TINY | {"lambda_l1": 0.0}, max_steps=4, out=str(tmp_path / "gan")))
    history = json.loads((game / "metrics.json").read_text())
    assert all(loss < 10 for loss in history["loss/g"]) and "loss/d" in history


# -------------------------------------------------------------------------------------------------------- the run


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_resume_equals_an_uninterrupted_run_bit_for_bit(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: str
) -> None:
    settings = TINY | {"norm": norm, "jitter": norm == "batch", "mirror": norm == "batch", "max_steps": 8}
    whole = train.train(train.Config(**settings, out=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:  # Ctrl-C in step 5, after the decay has begun
        patch.setattr(train.Run, "_anybody_interrupted", lambda self: self.step == 5)
        with pytest.raises(Stopped):
            train.train(train.Config(**settings, out=str(tmp_path / "parts")))
    again = train.Config(**settings, out=str(tmp_path / "parts"), resume=str(tmp_path / "parts"))
    parts = train.train(again)
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts))
    assert second["step"] == 8
    for part in ("generator", "discriminator"):
        assert same(first[part], second[part]), part
    assert first["decay_g"]["last_epoch"] == second["decay_g"]["last_epoch"] == 8
    assert same(first["opt_g"]["state"][0], second["opt_g"]["state"][0])
    assert same(load_file(whole / "weights.safetensors"), load_file(parts / "weights.safetensors"))


def test_the_seed_decides_and_looking_does_not(train: ModuleType, tmp_path: Path) -> None:
    def weights(name: str, **settings: object) -> dict[str, torch.Tensor]:
        folder = train.train(train.Config(**TINY | settings, max_steps=4, out=str(tmp_path / name)))
        found = torch.load(folder / "last.ckpt", weights_only=True)
        return found["generator"] | found["discriminator"]

    first = weights("first")
    assert same(first, weights("looked", log_every=1, sample_every=1, save_every=1))
    assert not same(first, weights("other", seed=1))


def test_two_processes_equal_one(one_and_two: Callable[..., None], tmp_path: Path) -> None:
    """Without BatchNorm and noise, which look at one process alone, two processes learn what one does."""
    quiet = [
        "--norm",
        "instance",
        "--upsampling",
        "transposed",
        "--dropout",
        0,
        "--jitter",
        "--mirror",
        "--max-steps",
        3,
    ]
    one_and_two(TRAIN, *(flag for flag in SMALL if flag != "--no-mirror"), *quiet)
    one, two = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("1", "2"))
    for part in ("generator", "discriminator"):
        apart = [(one[part][name] - two[part][name]).abs().mean().item() for name in one[part]]
        assert max(apart) < 1e-4, part  # of a step of 1e-3: Adam makes much of what is rounding in a gradient near 0


def test_examples_are_of_the_test_pairs_and_a_broken_one_is_named(train: ModuleType, tmp_path: Path) -> None:
    def own(part: str, level: int) -> Path:
        (tmp_path / part).mkdir(exist_ok=True)
        Image.new("L", (64, 32), level).save(tmp_path / part / "1.png")
        return tmp_path / part / "1.png"

    own("train", 10)
    config = train.Config(**TINY | {"data": str(tmp_path)})
    assert train.examples(config)[0].unique().tolist() == [10]  # there is no test/: those of the training
    broken = own("test", 200)
    assert train.examples(config)[0].unique().tolist() == [200]
    broken.write_text("no picture")
    with pytest.raises(UserError, match=r"cannot read the picture .*test/1\.png"):
        train.examples(config)


def test_sample_grids_have_three_rows(script: Script, tmp_path: Path) -> None:
    code, printed, errors = script(TRAIN, *SMALL, "--max-steps", 2, "--sample-every", 1, "--out", tmp_path / "run")
    assert code == 0, errors
    assert "satellite-map: 2,347 pictures, 3×32×32" in printed
    assert Image.open(tmp_path / "run" / "samples" / "step_000002.png").size == (8 * 34 + 2, 3 * 34 + 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", 48], "--size must be 32, 64, 128, 256 or 512"),
        (["--batch-size", 0], "--batch-size must be above 0"),
        (["--batch-size", 1], "--norm batch needs at least 2 pairs a process"),
        (["--batch-size", 6, "--accumulate", 4], "--batch-size 6 cannot be shared evenly by 1 process(es) and --accumulate 4"),
        (["--lambda-l1", 0, "--lambda-gan", 0], "nothing to learn"),
        (["--lambda-l1", -1], "--lambda-l1 must be at least 0"),
        (["--dropout", 1], "--dropout must be below 1"),
        (["--decay-from", 1.5], "--decay-from must be at most 1"),
        (["--lr", 0], "--lr must be above 0"),
        (["--width-g", 0], "--width-g must be above 0"),
        (["--patch", 142, "--size", 32], "--patch 142 needs pictures of at least 48 pixels"),
        (["--data", "facade"], "did you mean facades"),
        (["--data", "mnist-10k"], "unknown data 'mnist-10k'"),
        (["--data", "horse2zebra"], "horse2zebra is a set without pairs: that is chapter 06's; Known: satellite-map, sketches, facades"),
    ],
)  # fmt: skip
def test_wrong_settings_get_one_line(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script(TRAIN, "--max-steps", 2, "--out", tmp_path / "run", *arguments)
    message = errors.strip().splitlines()[-1]
    assert code == 2 and message.startswith("error: ") and expected in message and "Traceback" not in errors


def test_the_paper_preset_is_the_papers_setting(script: Script, train: ModuleType, tmp_path: Path) -> None:
    paper = train.PRESETS["paper"]
    assert (paper.size, paper.batch_size, paper.patch, paper.norm, paper.dropout) == (256, 1, "70", "instance", 0.5)
    assert paper.noise == "numbers" and not paper.full_size
    assert (paper.lr, paper.beta1, paper.beta2, paper.lambda_l1, paper.lambda_gan) == (2e-4, 0.5, 0.999, 100, 1)
    assert paper.jitter and paper.mirror and paper.skips and not paper.blind
    assert {
        train.learning_rate_factor(step, paper.max_steps, paper.decay_from) for step in range(0, paper.max_steps, 100)
    } == {1.0}
    for i in range(2):  # input and answer side by side: quicker than to cut tiles of the world at this size
        Image.effect_noise((512, 256), 60 + i).convert("RGB").save(tmp_path / f"{i}.png")
    code, printed, _ = script(TRAIN, "--preset", "paper", "--data", tmp_path, "--max-steps", 0)
    assert code == 0 and "54,413,955 parameters" in printed and "2,768,705 parameters" in printed


# --------------------------------------------------------------------------------------------------------- scores


def test_scores_against_their_definitions(scores: ModuleType) -> None:
    torch.manual_seed(0)
    truth = images.to_float(torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8))
    fake = (truth + 0.2 * torch.randn_like(truth)).clamp(-1, 1)
    found = scores.compare(fake, truth)
    rounded = images.to_float(images.to_uint8(fake))
    assert found["l1"] == pytest.approx((rounded - truth).abs().mean().item())
    mse = (rounded - truth).square().mean((1, 2, 3))
    assert found["psnr"] == pytest.approx((10 * torch.log10(4 / mse)).mean().item(), rel=1e-5)
    flat = torch.full(
        (1, 3, 32, 32), 0.5
    )  # without variance SSIM is 2ab / (a² + b²), of intensities 0.75 and 0.25: 0.6
    assert scores.compare(-flat, flat)["ssim"] == pytest.approx(0.6, abs=0.01)
    assert 0.5 < found["ssim"] < 1 and scores.compare(truth, truth)["ssim"] == pytest.approx(1)
    assert scores.compare(truth, truth)["l1"] == 0 and scores.compare(truth, truth)["detail"] == pytest.approx(1)


def test_detail_counts_fine_waves_and_lattice_those_of_a_raster(scores: ModuleType) -> None:
    """A wave of 8 pixels is neither, one of 3 (nearly) is detail, and patterns that repeat every 2 or 4 pixels are a lattice."""
    place = torch.arange(64).float()
    fine, lattice = scores.waves(64)
    assert not (fine & lattice).any() and lattice.sum() == 15 and not lattice[0, 0]
    cases = {
        (8, 0): (0, 0), (64 / 21, 0): (1, 0), (4, 0): (0, 1), (2, 0): (0, 1), (2, 2): (0, 1), (4, 2): (0, 1), (64 / 21, 4): (1, 0),
    }  # fmt: skip
    for (rows, columns), (in_fine, in_lattice) in cases.items():
        wave = 0.5 * torch.cos(2 * math.pi * place / rows)[:, None].expand(64, 64)
        wave = wave * torch.cos(2 * math.pi * place / columns) if columns else wave
        power = scores.power(wave.expand(1, 1, 64, 64))
        assert [bool(power[kind].sum() > 0.01 * power.sum()) for kind in (fine, lattice)] == [in_fine, in_lattice], (
            rows,
            columns,
        )
    white = torch.randn(20, 3, 64, 64).clamp(-1, 1)
    assert scores.power(white).mean().item() == pytest.approx(white.square().mean().item(), rel=0.01)  # Parseval
    found = scores.compare(0.5 * white, white)
    assert found["detail"] == pytest.approx(0.25, rel=0.05) and found["lattice"] == pytest.approx(0.25, rel=0.05)


def test_a_raster_raises_the_lattice_and_not_the_detail(scores: ModuleType) -> None:
    torch.manual_seed(0)
    truth = F.interpolate(torch.rand(8, 3, 16, 16) - 0.5, size=64, mode="bilinear") + 0.05 * torch.randn(8, 3, 64, 64)
    raster = 0.1 * (-1) ** torch.arange(64.0) * torch.ones(64, 1)
    found = scores.compare(truth + raster, truth)
    assert found["lattice"] > 5 and found["detail"] == pytest.approx(1, abs=0.02)


def test_the_references_need_no_network(scores: ModuleType) -> None:
    torch.manual_seed(0)
    train_truth, truth = (torch.rand(8, 3, 32, 32) * 2 - 1 for _ in range(2))
    rows = scores.references(train_truth, truth)
    rounded = images.to_float(images.to_uint8(train_truth.mean(0)))
    assert rows["mean predictor"]["l1"] == pytest.approx((rounded - truth).abs().mean().item(), abs=3e-3)
    assert rows["blurred truth"]["detail"] < 0.05
    printed = scores.table(rows)
    assert "ratio" in printed and " 1.00 " in printed.splitlines()[1] and "FCD" not in printed


# ------------------------------------------------------------------------------------------------------- generate


SATELLITE = ["--weights", Path(__file__).resolve().parents[1] / FOLDER / "satellite-to-map.safetensors"]


def test_generate_draws_and_colours(script: Script, tmp_path: Path) -> None:
    code, printed, errors = script(GENERATE, "--interpolate", "--num", 6, "--out", tmp_path)
    assert code == 0, errors
    for name in ("grid.png", "interpolation.gif", "interpolation.png"):
        assert (tmp_path / name).stat().st_size > 300 and name in printed
    assert Image.open(tmp_path / "grid.png").size == ((6 * 66 + 2) * 2, (3 * 66 + 2) * 2)
    frames = Image.open(tmp_path / "interpolation.gif")
    assert getattr(frames, "n_frames", 1) > 12 and frames.size == ((4 * 66 + 2) * 2, (2 * 66 + 2) * 2)


def test_drawings_appear_from_above(generate: ModuleType) -> None:
    generator, _ = generate.load_generator()
    drawings = torch.rand(2, 3, 64, 64) - 1  # all of it dark
    frames = generate.appearing(generator, drawings, 9)
    assert len(frames) == 9 and all(frame.shape == (4, 3, 64, 64) for frame in frames)
    assert (frames[0][:2] == 1).all() and torch.equal(frames[-1][:2], drawings)
    assert torch.equal(frames[4][:2, :, :32], drawings[:, :, :32]) and (frames[4][:2, :, 32:] == 1).all()
    empty = generate.appearing(generator, torch.ones(2, 3, 64, 64), 3)
    assert torch.equal(empty[0], empty[1]) and torch.equal(empty[0], empty[2])  # one noise: nothing has changed


def test_scores_of_tiles_beside_their_references(script: Script, tmp_path: Path, scores: ModuleType) -> None:
    code, printed, errors = script(GENERATE, *SATELLITE, "--score", "--interpolate", "--num", 6, "--out", tmp_path)
    assert code == 0, errors
    assert getattr(Image.open(next(tmp_path.glob("interpolation*.gif"))), "n_frames", 1) > 20
    assert "6 test pairs of satellite-map, AtoB" in printed and "mean predictor" in printed
    found = json.loads(next(tmp_path.glob("score*.json")).read_text())
    assert set(found) == {"pix2pix", "mean predictor", "blurred truth"}
    test, train = (
        images.to_float(pairs.load_pairs("satellite-map", 64, *part).b) for part in (("test",), ("train", 1000))
    )
    spread = [0, 85, 170, 255, 340, 425]  # not the first six, which are one strip of longitude
    assert found["mean predictor"] == pytest.approx(scores.references(train, test[spread])["mean predictor"], rel=1e-4)


def test_own_pictures_of_any_size_and_format(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.effect_noise((300, 200), 60).save(folder / "grey.jpg")
    Image.new("RGBA", (50, 90), (20, 40, 90, 128)).save(folder / "glass.png")
    (folder / "below").mkdir()
    Image.new("CMYK", (64, 64)).save(folder / "below" / "glass.tif")
    (folder / "._grey.jpg").write_bytes(b"what macOS writes beside a picture")
    (folder / "notes.txt").write_text("no picture")
    code, printed, errors = script(GENERATE, *SATELLITE, folder, "--out", tmp_path / "out")
    assert code == 0, errors
    assert "grey.jpg: 300×200, its middle 200×200 resized to 64×64" in printed
    assert "glass.png: 50×90, its middle 50×50 resized to 64×64" in printed
    for name in ("grey_translated", "glass_translated", "glass_translated_2"):
        assert Image.open(tmp_path / "out" / f"{name}_weights-satellite-to-map.png").size == (64, 64)
    (tmp_path / "other").mkdir()
    Image.effect_noise((70, 70), 60).save(tmp_path / "other" / "glass.png")
    code, printed, errors = script(GENERATE, *SATELLITE, folder, tmp_path / "other", "--out", tmp_path / "both")
    assert code == 0 and len(list((tmp_path / "both").iterdir())) == 8, errors  # two files for each picture
    own = Image.effect_noise((40, 40), 60)
    own.save(tmp_path / "other" / "glass_translated.png")  # of the user's, with the name of a translation
    code, _, errors = script(GENERATE, tmp_path / "other", "--out", tmp_path / "other")
    assert code == 0 and Image.open(tmp_path / "other" / "glass_translated.png").tobytes() == own.tobytes(), errors
    assert (tmp_path / "other" / "glass_translated_2.png").exists()
    code, printed, errors = script(GENERATE, *SATELLITE, folder / "grey.jpg", "--whole", "--out", tmp_path / "out")
    assert code == 0, errors
    assert "grey.jpg: 300×200, translated at 320×192" in printed
    assert Image.open(tmp_path / "out" / "grey_translated_weights-satellite-to-map_whole.png").size == (300, 200)
    assert len(list((tmp_path / "out").iterdir())) == 8  # nothing is written over what it is to be compared with


def test_a_path_may_begin_at_home(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, errors = script(GENERATE, "~/photo.png", "--out=~/made")
    assert code == 0, errors
    assert (tmp_path / "made" / "photo_translated.png").exists()
    for flag in ("--out=~nobody-is-called-so/made", "--data=~nobody-is-called-so/pictures"):
        code, _, errors = script(GENERATE, "--score", flag)
        assert (
            code == 2
            and errors == "error: a path begins with ~ and a user whom this machine does not know: write it out\n"
        )


def test_the_table_of_pictures_that_are_all_the_same(chapter: Chapter) -> None:
    row = {"l1": 0.25, "psnr": 12.0, "ssim": 0.5, "detail": 0.1, "lattice": 1.0}
    printed = chapter(FOLDER, "scores").table({"pix2pix": row, "mean predictor": row | {"l1": 0.0}})
    assert printed.splitlines()[1].split()[:3] == ["pix2pix", "0.2500", "nan"]  # no ratio to nothing, and no error


def test_the_same_seed_draws_the_same_noise(generate: ModuleType) -> None:
    generator, _ = generate.load_generator()
    x = torch.randn(2, 3, 64, 64)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(generate.translate(generator, x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def own_pairs(folder: Path) -> None:
    """Six pairs of noise side by side to learn from, and six to test on."""
    for part in ("", "test"):
        (folder / part).mkdir()
        for i in range(6):
            Image.effect_noise((64, 32), 20 + 10 * i).convert("RGB").save(folder / part / f"{i}.png")


def test_a_run_on_own_pairs_is_translated_back_and_scored(script: Script, tmp_path: Path) -> None:
    own_pairs(tmp_path / "own")
    out = tmp_path / "run"
    code, printed, errors = script(
        TRAIN, *SMALL, "--data", tmp_path / "own", "--direction", "BtoA", "--max-steps", 2, "--out", out
    )
    assert code == 0 and "6 pictures, 3×32×32" in printed, errors
    weights = ["--weights", out / "weights.safetensors", "--out", tmp_path / "made"]
    code, printed, errors = script(GENERATE, *weights, "--score")
    assert code == 0 and "6 test pairs" in printed and "BtoA" in printed, errors
    code, _, errors = script(GENERATE, *weights, "--interpolate")
    assert code == 2 and "not over" in errors.splitlines()[-1]


def test_grey_pairs_are_learned_and_translated_in_grey(script: Script, tmp_path: Path) -> None:
    own_pairs(tmp_path / "own")
    out = tmp_path / "run"
    flags = [TRAIN, *SMALL, "--data", tmp_path / "own", "--channels", 1, "--max-steps", 2, "--out", out]
    code, printed, errors = script(*flags)
    assert code == 0 and "6 pictures, 1×32×32" in printed, errors
    weights = ["--weights", out, "--out", tmp_path / "made"]
    code, printed, errors = script(GENERATE, *weights, "--score")
    assert code == 0 and "6 test pairs" in printed, errors
    code, printed, errors = script(GENERATE, tmp_path / "own" / "1.png", *weights)
    assert code == 0 and Image.open(tmp_path / "made" / "1_translated_weights-run.png").mode == "L", errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/no/such.png"], "there is no picture or folder"),
        ([__file__], "cannot read the picture"),
        (["--num", 0], "--num must be above 0"),
        (["--weights", "/no/such.safetensors"], "there are no weights"),
        (["--data", "satelite-map"], "did you mean satellite-map"),
        ([*SATELLITE, "--clean"], "--clean is for drawings"),
        (["--whole"], "--whole is not for drawings"),
    ],
)
def test_generate_explains_wrong_input(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script(GENERATE, "--out", tmp_path, *arguments)
    assert code == 2 and expected in errors.splitlines()[-1] and "Traceback" not in errors


# ------------------------------------------------------------------------------------------- a drawing of one's own


@pytest.fixture
def drawing(chapter: Chapter) -> ModuleType:
    return chapter(FOLDER, "drawing")


def drawn(seed: str, size: int, pen: float = 4) -> Image.Image:
    """A face in ink on white, with lines of `pen` 64ths of 4 pixels at 64×64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(art, "PEN", art.PEN.replace("stroke-width: 4", f"stroke-width: {pen}"))
        return Image.fromarray(art.draw_one(seed, "sketches", (size,))[0][0][..., 0])


def photographed(sheet: Image.Image, seed: int) -> Image.Image:
    """A drawing in pencil on grey paper, larger than itself, in uneven light, with grain."""
    paper = Image.new("L", (sheet.width * 2, round(sheet.height * 1.5)), 255)
    paper.paste(sheet, (sheet.width // 3, sheet.height // 4))
    rows, columns = np.mgrid[: paper.height, : paper.width]
    light = 150 + 60 * columns / paper.width - 40 * rows / paper.height
    pencil = 1 - 0.6 * (1 - np.asarray(paper) / 255)
    grain = np.random.default_rng(seed).normal(0, 5, pencil.shape)
    return Image.fromarray((light * pencil + grain).clip(0, 255).astype(np.uint8))


def off(first: Image.Image, second: Image.Image) -> float:
    """Mean distance of two drawings in shades of grey, after a slight blur: a line that is a pixel off counts little."""
    soft = [
        np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(1.5)), float) for picture in (first, second)
    ]
    return float(np.abs(soft[0] - soft[1]).mean())


@pytest.mark.parametrize("width", [1, 3, 6, 11])
def test_the_width_of_lines_is_measured(drawing: ModuleType, width: int) -> None:
    sheet = Image.new("L", (300, 300), 255)
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((40, 40, 220, 200), outline=0, width=width)
    pen.ellipse((150, 210, 190, 250), fill=0)  # a dot is no line
    assert drawing.line_width(sheet) == pytest.approx(width, abs=1)
    assert drawing.line_width(Image.new("L", (30, 30), 255)) == 0


def test_a_large_drawing_becomes_one_that_the_network_knows(drawing: ModuleType) -> None:
    for seed in ("test-0", "test-3", "test-5"):
        known, thin = drawn(seed, 64), drawn(seed, 800, pen=1.2)
        found, done = drawing.prepare(thin.convert("RGB"), 64)
        assert found.size == (64, 64) and any("lines made thicker" in step for step in done)
        assert off(found, known) < 0.5 * off(thin.resize((64, 64), Image.Resampling.BOX), known)
        as_it_was, done = drawing.prepare(known.convert("RGB"), 64)
        assert np.array_equal(as_it_was, known) and done == []  # what the network knows stays as it is


def test_a_photograph_is_cleaned_and_cut_out(drawing: ModuleType) -> None:
    for seed in ("test-1", "test-4", "test-7"):
        photo = photographed(drawn(seed, 700, pen=1.5), seed=1)
        found, done = drawing.prepare(photo.convert("RGB"), 64, clean=True)
        levels = np.asarray(found)
        assert (levels > 250).mean() > 0.5 and (levels < 60).mean() > 0.03  # white paper, black lines
        assert "cut out the drawing" in done and "paper to white and lines to black" in done
        dark = np.flatnonzero((levels < 128).any(1))
        assert dark[0] < 8 and dark[-1] > 60  # it fills the picture, and shoulders stand on the lower edge
        _, done = drawing.prepare(photo.convert("RGB"), 64)
        assert "its paper is not white: try --clean" in done


def test_drawings_that_are_not_square_or_empty(drawing: ModuleType) -> None:
    wide = Image.new("L", (900, 300), 255)
    wide.paste(drawn("test-2", 300), (300, 0))
    found, done = drawing.prepare(wide.convert("RGB"), 64)
    assert "paper added to make it square" in done and (np.asarray(found)[:20] == 255).all()
    for clean in (False, True):
        empty, _ = drawing.prepare(Image.new("RGB", (90, 70), "white"), 64, clean)
        assert empty.size == (64, 64) and (np.asarray(empty) > 250).all()
        assert drawing.prepare(Image.new("RGB", (1, 1)), 64, clean)[0].size == (64, 64)


def test_a_drawing_gets_its_answers(script: Script, tmp_path: Path) -> None:
    drawn("test-9", 500, pen=2).save(tmp_path / "me.png")
    photographed(drawn("test-9", 500, pen=2), 0).save(tmp_path / "photo.jpg")
    code, printed, errors = script(GENERATE, tmp_path / "me.png", "--num", 3, "--out", tmp_path / "out")
    assert code == 0, errors
    assert "me.png: 500×500, lines made thicker" in printed and "resized to 64×64" in printed
    assert Image.open(tmp_path / "out" / "me_translated.png").size == (64, 64)
    assert Image.open(tmp_path / "out" / "me_beside.png").size == (4 * (4 * 66 + 2), 4 * 68)
    code, printed, errors = script(GENERATE, tmp_path / "photo.jpg", "--clean", "--out", tmp_path / "out")
    assert code == 0 and "paper to white" in printed, errors
    for name in ("me_translated", "photo_translated_clean"):  # a face in colours, not a drawing
        answer = np.asarray(Image.open(tmp_path / "out" / f"{name}.png").convert("HSV"))
        assert answer[..., 1].mean() > 40


def test_shipped_weights_keep_the_readmes_promise(generate: ModuleType, scores: ModuleType) -> None:
    """1,000 test drawings: L1 alone is nearer to the truth, and three times as far from real faces; no raster."""
    some = pairs.load_pairs("sketches", 64, "test", 1000)
    drawings, truth = (images.to_float(side) for side in some[list(range(len(some)))])
    found = {}
    for name in ("weights", "l1-alone"):
        generator, settings = generate.load_generator(Path(generate.HERE) / f"{name}.safetensors")
        assert (settings["data"], settings["direction"], settings["size"]) == ("sketches", "AtoB", 64)
        torch.manual_seed(1)
        found[name] = scores.compare(generate.translate(generator, drawings), truth, faces=True)
    assert found["l1-alone"]["l1"] < found["weights"]["l1"]
    assert found["l1-alone"]["fcd"] > 3 * found["weights"]["fcd"]
    assert found["weights"]["lattice"] < 1.5 and 0.5 < found["weights"]["detail"] < 1.5


def test_maps_keep_the_readmes_promise(generate: ModuleType, scores: ModuleType) -> None:
    """At most 0.65 of the mean predictor's L1, on tiles that share no pixel with those of the training."""
    generator, settings = generate.load_generator(SATELLITE[1])
    assert (settings["data"], settings["direction"], settings["size"]) == ("satellite-map", "AtoB", 64)
    test, train = (pairs.load_pairs("satellite-map", 64, split) for split in ("test", "train"))
    truth = images.to_float(test.b)
    torch.manual_seed(1)
    found = scores.compare(generate.translate(generator, images.to_float(test.a)), truth)
    mean = scores.references(images.to_float(train.b), truth)["mean predictor"]
    assert found["l1"] <= 0.65 * mean["l1"]
    assert found["ssim"] > mean["ssim"] - 0.02 and found["psnr"] > mean["psnr"] + 2 and 0.1 < found["detail"] < 2
