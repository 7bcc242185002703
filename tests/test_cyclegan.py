"""Chapter 06 against independent results."""

import copy
import itertools
import math
import shutil
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
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as resizing
from torchvision.transforms.v2.functional import to_pil_image

from common import UserError
from common.data import Pictures, load, load_pairs
from common.images import to_float, to_uint8
from common.run import Stopped
from tests.conftest import ROOT, same

Chapter = Callable[[str, str], ModuleType]
Script = Callable[..., tuple[int, str, str]]
FOLDER = "06_cyclegan"
TRAIN, GENERATE = f"{FOLDER}/train.py", f"{FOLDER}/generate.py"
TINY: dict[str, Any] = {
    "data": "satellite-map", "size": 16, "patch": 16, "width": 4, "width_d": 4, "batch_size": 2, "pool_size": 3,
    "generator": "resnet", "norm": "instance", "blocks": 1, "loss": "squares",
    "lr": 1e-3, "beta1": 0.5, "beta2": 0.999, "lambda_identity": 0.5, "mirror": False,
    "log_every": 2, "sample_every": 50, "save_every": 50, "accelerator": "cpu", "precision": "32-true",
}  # fmt: skip
SMALL = [t for name, v in TINY.items() if v is not False for t in (f"--{name.replace('_', '-')}", v)] + ["--no-mirror"]
PARTS = ("to_b", "to_a", "judge_a", "judge_b")


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


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def lively(network: nn.Module) -> nn.Module:
    """The same network with weights that do something: the initial ones are tiny."""
    for weight in network.parameters():
        nn.init.normal_(weight, 0.0, 0.3)
    return network


# ------------------------------------------------------------------------------------------------------- networks


def test_parameters_are_the_authors(model: ModuleType, script: Script) -> None:
    assert count(model.Generator(width=64, blocks=9)) == 11_378_179
    assert count(model.Generator(width=64, blocks=6)) == 7_837_699
    assert count(model.Discriminator(width=64, layers=3)) == 2_764_737
    code, printed, _ = script(TRAIN, "--preset", "paper", "--size", 64, "--max-steps", 0)
    assert code == 0 and printed.count("11,378,179 parameters") == 2 and printed.count("2,764,737 parameters") == 2


def test_blocks_follow_the_size(model: ModuleType) -> None:
    assert [model.default_blocks(size) for size in (32, 64, 128, 252, 256, 512)] == [6, 6, 6, 6, 9, 9]


@pytest.mark.parametrize("size", [16, 20, 32, 64])
@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_shapes_and_ranges(model: ModuleType, size: int, layers: int, patch: int) -> None:
    pictures = torch.randn(2, 3, size, size)
    fake = model.Generator(width=4, blocks=1)(pictures)
    assert fake.shape == pictures.shape and fake.abs().max() <= 1
    if size < 4 * 2**layers:
        with pytest.raises(UserError, match=f"from {4 * 2**layers} "):
            model.check_size(size, layers)
        return
    model.check_size(size, layers)
    side = size // 2**layers - 2
    assert model.Discriminator(width=4, layers=layers)(fake).shape == (2, 1, side, side)


def test_the_patch_is_as_large_as_its_name_says(model: ModuleType, train: ModuleType) -> None:
    """The receptive field, measured by gradients: the pixels that one logit depends on (mistake 3 of FIDELITY had 94)."""
    assert train.LAYERS == {16: 1, 34: 2, 70: 3}
    for patch, layers in train.LAYERS.items():
        torch.manual_seed(0)
        network = nn.Sequential(
            *(m for m in model.Discriminator(width=4, layers=layers).layers if "Norm" not in type(m).__name__)
        )
        pictures = torch.randn(1, 3, 160, 160, requires_grad=True)
        logits = lively(network)(pictures)
        logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
        seen = pictures.grad[0].abs().sum(0)
        rows, columns = (torch.nonzero(seen.sum(dim)).flatten() for dim in (1, 0))
        assert int(rows[-1] - rows[0] + 1) == int(columns[-1] - columns[0] + 1) == patch
    assert model.Discriminator(width=4, layers=3)(torch.randn(1, 3, 256, 256)).shape[2:] == (30, 30)


def test_reflection_padding_stands_before_every_convolution_of_stride_1(model: ModuleType) -> None:
    """By half of the kernel, not by the number of channels (mistake 10)."""
    generator, kernels = model.Generator(width=4, blocks=2), []
    flat = [layer for layer in generator.modules() if not list(layer.children())]
    for before, layer in itertools.pairwise(flat):
        if isinstance(layer, nn.Conv2d) and layer.stride == (1, 1):
            kernels.append(layer.kernel_size[0])
            assert isinstance(before, nn.ReflectionPad2d) and layer.padding == (0, 0)
            assert before.padding == (layer.kernel_size[0] // 2,) * 4
    assert kernels == [7, 3, 3, 3, 3, 7]
    assert generator(torch.randn(1, 3, 16, 16)).shape == (1, 3, 16, 16)
    names = {type(layer).__name__ for layer in (*generator.modules(), *model.Discriminator().modules())}
    assert not names & {"BatchNorm2d", "Sigmoid", "Dropout", "Linear"}


def test_resize_convolution_is_what_its_name_says(model: ModuleType) -> None:
    """Doubled by nearest neighbour, reflection padding, convolved with kernel 3; and the same gradients."""
    torch.manual_seed(0)
    layer = model.doubled(5, 4, "resize").double()
    nn.init.normal_(layer.bias)
    x, again = (torch.randn(2, 5, 6, 10).double().requires_grad_() for _ in range(2))
    again.data.copy_(x.data)
    found = layer(x)
    large = F.pad(F.interpolate(again, scale_factor=2, mode="nearest"), (1, 1, 1, 1), mode="reflect")
    expected = F.conv2d(large, layer.weight, layer.bias)
    assert found.shape == (2, 4, 12, 20)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(y.square().sum(), (at, layer.weight)) for y, at in ((found, x), (expected, again))]
    torch.testing.assert_close(*gradients)


def test_a_transposed_convolution_of_kernel_3_leaves_a_raster_and_resizing_none(model: ModuleType) -> None:
    """Far from the border, a uniform map of equal weights comes out uniform after resizing, and in steps of 1 to 4 otherwise."""
    flat = {}
    for kind in ("transposed", "resize"):
        layer = model.doubled(1, 1, kind)
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        flat[kind] = layer(torch.ones(1, 1, 8, 8))[0, 0, 4:-4, 4:-4].unique().tolist()
    assert flat == {"transposed": [1, 2, 4], "resize": [9]}


def test_a_residual_block_by_hand(model: ModuleType) -> None:
    torch.manual_seed(0)
    block = lively(model.ResidualBlock(5))
    first, second = (layer for layer in block.layers if isinstance(layer, nn.Conv2d))
    x = torch.randn(2, 5, 8, 8)

    def convolved(h: Tensor, conv: nn.Conv2d) -> Tensor:
        h = F.conv2d(F.pad(h, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias)
        return (h - h.mean((2, 3), keepdim=True)) / (h.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()

    by_hand = x + convolved(convolved(x, first).relu(), second)
    torch.testing.assert_close(block(x), by_hand)
    assert (block(x) < 0).any()  # no ReLU behind the sum


def test_instance_norm_learns_and_remembers_nothing(model: ModuleType) -> None:
    norms = [layer for layer in model.Generator(width=4).modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == 1 + 2 + 2 * 6 + 2
    assert not any(layer.affine or layer.track_running_stats for layer in norms)
    generator = lively(model.Generator(width=4, blocks=1))
    pictures = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(generator.train()(pictures)[1:2], generator.eval()(pictures[1:2]), atol=1e-4, rtol=1e-4)
    judge = model.Discriminator(width=4)
    assert sum(isinstance(layer, nn.InstanceNorm2d) for layer in judge.modules()) == 3
    assert isinstance(judge.layers[1], nn.LeakyReLU)  # no norm in the first layer


def test_a_uniform_picture_loses_its_colour(model: ModuleType) -> None:
    """Instance norm forgets what is the same everywhere: the sea and the desert, each filling its tile, become one.

    In double precision and without blocks, since each norm multiplies what rounding left by up to 1 / sqrt(eps) = 316.
    """
    torch.manual_seed(0)
    colours = torch.tensor([[-0.9, -0.8, -0.3], [0.6, 0.4, 0.0]]).double()[:, :, None, None].expand(-1, -1, 32, 32)

    def generator(**settings: Any) -> nn.Module:
        network = model.Generator(width=4, **settings).double()
        for weight in network.parameters():
            nn.init.normal_(weight, 0.0, 0.1)
        return network

    sea, desert = generator(blocks=0)(colours)
    torch.testing.assert_close(sea, desert, atol=5e-3, rtol=0)
    sea, desert = generator(blocks=0, norm="none")(colours)
    assert (sea - desert).abs().max() > 0.03
    # A picture that is not uniform keeps what differs, and still forgets a common shift of all its pixels
    pattern = torch.randn(1, 3, 32, 32).double() / 4
    forgets = generator(blocks=2)
    torch.testing.assert_close(forgets(pattern + 0.2), forgets(pattern), atol=1e-6, rtol=0)


def test_initial_weights_are_those_of_the_paper(model: ModuleType) -> None:
    torch.manual_seed(0)
    for network in (model.Generator(), model.Discriminator()):
        convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        for layer in convs:
            n = layer.weight.numel()
            assert layer.weight.std().item() == pytest.approx(0.02, rel=4 / math.sqrt(2 * n))
            assert not layer.bias.any()  # biases on, and 0


@pytest.mark.parametrize(("size", "steps"), [(64, 6), (32, 5), (48, 4), (20, 2)])
def test_the_u_net_by_hand(model: ModuleType, size: int, steps: int) -> None:
    """Layer by layer, with doubled maps that are convolved behind a border of zeros, and each skip at its place."""
    torch.manual_seed(0)
    network, pictures = lively(model.UNet(width=4, size=size)).eval(), torch.randn(2, 3, size, size)
    assert network.stride == 2**steps

    def norm(name: str, x: Tensor) -> Tensor:
        own = network.get_submodule(name)
        return F.batch_norm(x, own.running_mean, own.running_var, own.weight, own.bias)

    def convolved(name: str, x: Tensor, **settings: int) -> Tensor:
        return F.conv2d(x, network.get_parameter(f"{name}.weight"), network.get_parameter(f"{name}.bias"), **settings)

    maps = [convolved("first", pictures, padding=1)]
    for step in range(steps):
        x = convolved(f"down.{step}.1", F.leaky_relu(maps[-1], 0.2), stride=2, padding=1)
        maps.append(norm(f"down.{step}.2", x) if 0 < step < steps - 1 else x)
    x = maps.pop()
    assert x.shape[2:] == (size // 2**steps,) * 2
    for step in range(steps):
        x = convolved(f"up.{step}.1", F.interpolate(x.relu(), scale_factor=2), padding=1)
        x = torch.cat([norm(f"up.{step}.2", x), maps.pop()], 1)
    by_hand = convolved("to_picture.1", x.relu(), padding=1).tanh()
    torch.testing.assert_close(network(pictures), by_hand, atol=1e-4, rtol=1e-3)
    assert network(pictures).abs().max() <= 1 and network(pictures).shape == pictures.shape


def test_batch_norm_has_averages_for_true_pictures_and_others_for_made_ones(model: ModuleType) -> None:
    """Each kind as PyTorch's own BatchNorm that met this kind alone: in training, and by its averages afterwards."""
    torch.manual_seed(0)
    network, plain = model.BatchNorm(3), {made: nn.BatchNorm2d(3) for made in (False, True)}
    kinds = {False: torch.randn(8, 3, 4, 4), True: 3 + 5 * torch.randn(8, 3, 4, 4)}
    for made in (False, True, True, False, True):
        model.tell(network, made)
        torch.testing.assert_close(network(kinds[made]), plain[made](kinds[made]))
    network.eval()
    for made in (False, True):
        model.tell(network, made)
        torch.testing.assert_close(network(kinds[made]), plain[made].eval()(kinds[made]))


def test_before_use_the_averages_are_measured_for_each_kind(model: ModuleType, train: ModuleType) -> None:
    """Of one batch, what is translated afterwards is what it was in training; of three, each average is that of the three."""
    torch.manual_seed(0)
    translators = nn.ModuleDict({name: lively(model.UNet(width=4, size=16)) for name in ("to_b", "to_a")})
    before = {name: value.clone() for name, value in translators.state_dict().items()}
    a, b = torch.randn(48, 3, 16, 16), 3 + 5 * torch.randn(48, 3, 16, 16)
    one = train.calibrated(translators, a[:16], b[:16], 16)
    alone = [train.calibrated(translators, *parts, 16).state_dict() for parts in zip(a.split(16), b.split(16))]
    for name, value in train.calibrated(translators, a, b, 16).state_dict().items():
        if name.endswith(("_mean", "_var")):
            torch.testing.assert_close(value, torch.stack([state[name] for state in alone]).mean(0))
    assert all(torch.equal(value, before[name]) for name, value in translators.state_dict().items())
    assert not one.training and one["to_b"].up[0][2].running_var.max() > 0

    def trained(name: str, pictures: Tensor, made: bool) -> Tensor:
        """By the batch's own statistics; the averages have the unbiased variance, which makes a small difference."""
        return copy.deepcopy(translators[name]).train()(pictures, made=made)

    with torch.no_grad():
        for there, back, pictures in (("to_b", "to_a", a[:16]), ("to_a", "to_b", b[:16])):
            fake = trained(there, pictures, False)
            torch.testing.assert_close(one[there](pictures), fake, atol=0.02, rtol=0)
            torch.testing.assert_close(one[back](fake, made=True), trained(back, fake, True), atol=0.02, rtol=0)
            assert (one[back](fake) - trained(back, fake, True)).abs().mean() > 0.05  # the other kind's would not do
    resnet = nn.ModuleDict({name: model.Generator(width=4, blocks=1) for name in ("to_b", "to_a")})
    same = train.calibrated(resnet, a, b, 16).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in resnet.state_dict().items())  # instance norm has none


@pytest.mark.parametrize("kind", ["UNet", "Generator"])
def test_a_translator_tells_its_norms_which_pictures_come(model: ModuleType, kind: str) -> None:
    torch.manual_seed(0)
    network = getattr(model, kind)(width=4, norm="batch")
    pictures = torch.rand(2, 3, 64, 64)
    network(pictures, made=True)
    norms = [layer for layer in network.modules() if isinstance(layer, model.BatchNorm)]
    assert norms and all(not norm.running_mean.any() and norm.made_mean.any() for norm in norms)
    network(pictures)
    assert all(norm.running_mean.any() for norm in norms)


# ------------------------------------------------------------------------------------------------------- the pool


def numbered(first: int, n: int) -> Tensor:
    """Pictures [n, 1, 1, 1] that carry their numbers."""
    return torch.arange(first, first + n).float().view(n, 1, 1, 1)


def test_the_pool_hands_out_new_ones_while_it_fills(model: ModuleType) -> None:
    pool, rng = model.ImagePool(50), torch.Generator().manual_seed(0)
    for step in range(25):
        new = numbered(2 * step, 2)
        assert torch.equal(pool.exchange(new, rng), new)
    assert pool.pictures.flatten().tolist() == list(range(50))


@pytest.mark.parametrize("batch", [1, 4])
def test_the_pool_has_the_papers_distribution(model: ModuleType, batch: int) -> None:
    """Half of the shown pictures are old; an old one leaves with 1/2 · 1/50 a picture, so ages are geometric, mean 100."""
    pool, rng = model.ImagePool(50), torch.Generator().manual_seed(0)
    shown = torch.cat([pool.exchange(numbered(first, batch), rng).flatten() for first in range(0, 40_000, batch)])
    assert len(pool.pictures) == 50
    # Nothing is shown twice but a picture of the filling time, and nothing from the future
    age = torch.arange(40_000) - shown
    assert age.min() >= 0 and shown[50:].unique().numel() == 40_000 - 50
    settled = age[2000:]
    assert (settled > 0).float().mean().item() == pytest.approx(0.5, abs=0.015)
    old = settled[settled > 0].float()
    assert old.mean().item() == pytest.approx(100, rel=0.06)
    for after in (30, 100, 300):
        assert (old > after).float().mean().item() == pytest.approx(0.99**after, abs=0.02)


def test_no_pool_shows_the_newest_and_keeps_nothing(model: ModuleType) -> None:
    pool = model.ImagePool(0)
    new = numbered(0, 4)
    assert pool.exchange(new, torch.Generator()) is new and pool.state_dict() == {}


def test_what_leaves_the_pool_is_not_written_over_later(model: ModuleType) -> None:
    pool, rng = model.ImagePool(2), torch.Generator().manual_seed(0)
    seen = [(part := pool.exchange(numbered(i, 1), rng), part.clone()) for i in range(50)]
    assert all(torch.equal(part, copy) for part, copy in seen)


def test_the_pool_goes_on_from_its_state(model: ModuleType) -> None:
    first, second = model.ImagePool(5), model.ImagePool(5)
    rng = torch.Generator().manual_seed(0)
    first.exchange(numbered(0, 20), rng)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    again = torch.Generator()
    again.set_state(rng.get_state())
    assert torch.equal(first.exchange(numbered(20, 30), rng), second.exchange(numbered(20, 30), again))


def test_nothing_flows_back_from_the_discriminators_pictures(train: ModuleType, model: ModuleType) -> None:
    fabric = SimpleNamespace(all_gather=lambda x: x)
    run = SimpleNamespace(fabric=fabric, rng=torch.Generator().manual_seed(0), share=lambda whole: whole)
    fake = torch.randn(4, 3, 8, 8, requires_grad=True)
    for size in (0, 2):
        assert not train.from_pool(run, model.ImagePool(size), 2 * fake).requires_grad


# --------------------------------------------------------------------------------------------------------- losses


def test_losses_against_their_definitions(train: ModuleType) -> None:
    real, fake = torch.randn(4, 1, 6, 6), torch.randn(4, 1, 6, 6)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    halved = (F.mse_loss(real, ones) + F.mse_loss(fake, zeros)) / 2
    torch.testing.assert_close(train.discriminator_loss(real, fake), halved)
    torch.testing.assert_close(train.generator_loss(fake), F.mse_loss(fake, ones))
    cross_entropy = F.binary_cross_entropy_with_logits
    halved = (cross_entropy(real, ones) + cross_entropy(fake, zeros)) / 2
    torch.testing.assert_close(train.discriminator_loss(real, fake, "logarithms"), halved)
    torch.testing.assert_close(train.generator_loss(fake, "logarithms"), cross_entropy(fake, ones))
    first, second = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(train.cycle_loss(first, second), F.l1_loss(first, second))
    torch.testing.assert_close(train.identity_loss(first, second), F.l1_loss(first, second))


def test_the_best_least_squares_judge_says_what_the_densities_say(train: ModuleType) -> None:
    """(D - 1)² p + D² q is smallest at D = p / (p + q), by numbers."""
    for p, q in ((0.2, 0.8), (0.5, 0.5), (0.9, 0.3)):
        d = torch.linspace(-1, 2, 3001)
        loss = torch.stack([p * train.discriminator_loss(x, torch.zeros(1)) + q * train.discriminator_loss(torch.ones(1), x) for x in d])  # fmt: skip
        assert d[loss.argmin()].item() == pytest.approx(p / (p + q), abs=1e-3)


@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_one_step_minimises_what_the_readme_says(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: float
) -> None:
    """The logged losses of the first step, computed again from what went in and out of the networks."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {"G": [], "D": []}
    asked: dict[str, list[int]] = {"G": [], "D": []}  # which of the two networks
    made: dict[str, list[bool]] = {"G": [], "D": []}  # whether it was told that a translator made the pictures
    logged: list[dict[str, Any]] = []
    backwards: list[float] = []

    def spied(kind: type, key: str) -> type:
        class Spy(kind):  # type: ignore[valid-type, misc]
            def forward(self, pictures: Tensor, **more: bool) -> Tensor:
                answer = super().forward(pictures, **more)
                calls[key].append((pictures.detach(), answer.detach()))
                asked[key].append(id(self))
                made[key].append(more.get("made", False))
                return answer

        return Spy

    backward = train.make_fabric(train.Config(**TINY)).__class__.backward
    monkeypatch.setattr(train, "Generator", spied(train.Generator, "G"))
    monkeypatch.setattr(train, "Discriminator", spied(train.Discriminator, "D"))
    monkeypatch.setattr(
        train.Run,
        "log",
        lambda self, scalars: logged.append({k: float(torch.as_tensor(v).detach()) for k, v in scalars.items()}),
    )
    monkeypatch.setattr(
        "lightning_fabric.Fabric.backward", lambda self, loss: (backwards.append(loss.item()), backward(self, loss))
    )
    settings = TINY | {"lambda_identity": identity, "lambda_cycle": 7.0, "log_every": 1, "pool_size": 0}
    train.train(train.Config(**settings, max_steps=1, out=str(tmp_path)))

    (real_a, fake_b), (real_b, fake_a) = calls["G"][:2]
    real = [real_a, real_b]
    (seen_b, back_a), (seen_a, back_b) = calls["G"][2:4]
    assert torch.equal(seen_b, fake_b) and torch.equal(seen_a, fake_a)
    to_b, to_a, *back = asked["G"][:4]
    assert to_b != to_a and back == [to_a, to_b]  # each translation goes back through the other translator
    assert made["G"][:4] == [False, False, True, True] and not any(made["D"])
    judge_b, judge_a, *again = asked["D"][:6]
    assert judge_b != judge_a and again == [judge_a, judge_a, judge_b, judge_b]
    (seen_b, logits_b), (seen_a, logits_a) = calls["D"][:2]
    assert torch.equal(seen_b, fake_b) and torch.equal(seen_a, fake_a)
    adversarial = F.mse_loss(logits_b, torch.ones_like(logits_b)) + F.mse_loss(logits_a, torch.ones_like(logits_a))
    cycle = F.l1_loss(back_a, real[0]) + F.l1_loss(back_b, real[1])
    stays = torch.zeros(())
    if identity:
        (in_b, out_b), (in_a, out_a) = calls["G"][4:6]
        assert asked["G"][4:6] == [to_b, to_a] and torch.equal(in_b, real[1]) and torch.equal(in_a, real[0])
        stays = F.l1_loss(out_b, real[1]) + F.l1_loss(out_a, real[0])
    assert backwards[0] == pytest.approx((adversarial + 7.0 * cycle + 7.0 * identity * stays).item(), rel=1e-4)
    seen, logits = zip(*calls["D"][2:6])
    assert all(map(torch.equal, seen, (real[0], fake_a, real[1], fake_b)))
    halves = [F.mse_loss(x, target.expand_as(x)) for x, target in zip(logits, torch.tensor([1.0, 0.0, 1.0, 0.0]))]
    assert backwards[1] == pytest.approx(0.5 * sum(halves).item(), rel=1e-4) == logged[0]["loss/d"]
    assert logged[0]["cycle/l1"] == pytest.approx(cycle.item() / 2, rel=1e-4)
    assert ("identity/l1" in logged[0]) == bool(identity)


# ------------------------------------------------------------------------------------------------------- training


def test_the_default_is_drawings_and_faces_of_which_no_two_are_a_pair(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run is given: drawings of one half of the faces, the colours of the other half, in other orders."""
    from common.data import faces

    assert train.Config().data == "sketches" and train.Config().mirror
    monkeypatch.setattr(faces, "NUMBER", 40)
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    given: list[Any] = []
    load = train.load_unpaired
    monkeypatch.setattr(train, "load_unpaired", lambda *at, **reading: given.append(load(*at, **reading)) or given[0])
    train.train(train.Config(**TINY | {"data": train.Config().data}, max_steps=1, out=str(tmp_path / "run")))
    ((first, second),) = given
    whole = load_pairs("sketches", 16)
    places = [
        [int((side == picture).flatten(1).all(1).nonzero()[0, 0]) for picture in pile.all()]
        for pile, side in ((first, whole.a), (second, whole.b))
    ]
    assert sorted(places[0]) == list(range(20)) and sorted(places[1]) == list(range(20, 40))
    assert places[0] != [place - 20 for place in places[1]]


def test_the_average_of_both_translators_is_kept(
    train: ModuleType, generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, from the weights after each step: decay min(0.5, (1 + n) / (10 + n)) from the second update on."""
    states: list[dict[str, Tensor]] = []
    update = torch.optim.swa_utils.AveragedModel.update_parameters

    def spied(self: Any, network: nn.Module) -> None:
        states.append({name: weight.clone() for name, weight in network.state_dict().items()})
        update(self, network)

    monkeypatch.setattr(torch.optim.swa_utils.AveragedModel, "update_parameters", spied)
    folder = train.train(train.Config(**TINY, ema_decay=0.5, decay_from=1, max_steps=15, out=str(tmp_path)))
    average = states[0]
    for n, state in enumerate(states[1:], 1):
        decay = min(0.5, (1 + n) / (10 + n))
        average = {name: decay * average[name] + (1 - decay) * weight for name, weight in state.items()}
    stored = load_file(folder / "weights.safetensors")
    assert stored.keys() == average.keys() and len(states) == 15
    for name, weight in average.items():
        torch.testing.assert_close(stored[name].float(), weight, atol=2e-4, rtol=2e-3)
    assert any((stored[name].float() - states[-1][name]).abs().max() > 1e-3 for name in average)


def test_the_learning_rate_falls_linearly_over_the_second_half(train: ModuleType, tmp_path: Path) -> None:
    assert [train.learning_rate_factor(step, 100, 0.5) for step in (0, 30, 50, 75, 99, 100)] == [1, 1, 1, 0.5, 0.02, 0]
    assert [train.learning_rate_factor(step, 10, 0.0) for step in (0, 5, 10)] == [1, 0.5, 0]
    assert {train.learning_rate_factor(step, 10, train.Config(decay_from=1).decay_from) for step in range(11)} == {1}
    folder = train.train(train.Config(**TINY | {"save_every": 3}, max_steps=4, out=str(tmp_path)))
    for part in ("opt_g", "opt_d"):  # after the last step; the schedule is really stepped (mistake 9)
        assert torch.load(folder / "last.ckpt", weights_only=True)[part]["param_groups"][0]["lr"] == 0


def test_the_rate_that_the_optimisers_use(train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *a, **k: (used.append(self.param_groups[0]["lr"]), step(self, *a, **k))[1])  # fmt: skip
    train.train(train.Config(**TINY, max_steps=4, out=str(tmp_path)))
    assert used == pytest.approx([1e-3] * 6 + [5e-4] * 2)


def test_resume_equals_an_uninterrupted_run_bit_for_bit(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped politely in the middle, with a pool that is full and being exchanged, jitter, and rates that fall."""
    settings = TINY | {"max_steps": 6, "jitter": 4, "mirror": True, "log_every": 1}
    whole = train.train(train.Config(**settings, out=str(tmp_path / "whole")))
    log = train.Run.log

    def interrupted(self: Any, scalars: Any) -> None:
        log(self, scalars)
        self._interrupted = self.step == 3  # as Ctrl-C does: one more step ends, and is saved

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "log", interrupted)
        with pytest.raises(Stopped):
            train.train(train.Config(**settings, out=str(tmp_path / "parts")))
    assert torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)["step"] == 4
    parts = train.train(train.Config(**settings, out=str(tmp_path / "parts"), resume=str(tmp_path / "parts")))
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts))
    assert second["step"] == 6 and first["history"] == second["history"]
    for part in (*PARTS, "ema", "pool_a", "pool_b"):
        assert same(first[part], second[part]), part
    assert len(first["pool_a"]["pictures"]) == 3
    assert same(first["opt_d"]["state"][0], second["opt_d"]["state"][0])
    assert first["decay_g"] == second["decay_g"] and torch.equal(first["latents"], second["latents"])
    assert same(load_file(whole / "weights.safetensors"), load_file(parts / "weights.safetensors"))


def test_the_seed_decides_and_looking_does_not(train: ModuleType, tmp_path: Path) -> None:
    def weights(name: str, **settings: object) -> dict[str, Tensor]:
        folder = train.train(train.Config(**TINY | settings, max_steps=3, out=str(tmp_path / name)))
        found = torch.load(folder / "last.ckpt", weights_only=True)
        return {f"{part}.{key}": value for part in PARTS for key, value in found[part].items()}

    first = weights("first")
    assert same(first, weights("looked", log_every=1, sample_every=1, save_every=1))
    assert not same(first, weights("other", seed=1))
    assert Image.open(tmp_path / "looked" / "samples" / "step_000002.png").size == (8 * 18 + 2, 6 * 18 + 2)


def test_two_processes_equal_one(one_and_two: Callable[..., None], tmp_path: Path) -> None:
    """All weights, with jitter, mirror and a pool that exchanges, all drawn for the whole batch.

    A norm takes the mean of each map away, and so the bias before it has no gradient but rounding, of which Adam makes full steps.
    Hence the networks have no norm here.
    """
    flags = ["--max-steps", 6, "--batch-size", 4, "--pool-size", 1, "--jitter", 4, "--mirror", "--norm", "none"]
    one_and_two(TRAIN, *SMALL, *flags)
    one, two = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("1", "2"))
    for part in PARTS:
        for name, weight in one[part].items():
            assert (weight - two[part][name]).abs().max() < 5e-5, f"{part}.{name}"
    for part in ("pool_a", "pool_b"):
        torch.testing.assert_close(one[part]["pictures"], two[part]["pictures"], atol=1e-5, rtol=0)


def test_no_index_ties_the_two_kinds(train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pictures meet in a step: each kind comes whole in each epoch, and no order predicts the other's (mistake 11)."""

    def numbered_pictures(n: int) -> Pictures:
        images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 3, 16, 16).contiguous()
        return Pictures("numbers", images, torch.zeros(n, dtype=torch.int64), ())

    seen: list[Tensor] = []
    monkeypatch.setattr(train, "load_unpaired", lambda *_, **__: (numbered_pictures(60), numbered_pictures(60)))
    monkeypatch.setattr(train, "augmented", lambda run, pictures, n: (seen.append(pictures), pictures)[1])
    train.train(train.Config(**TINY | {"batch_size": 6}, max_steps=20, out=str(tmp_path)))
    number = [((part[:, 0, 0, 0] + 1) * 127.5).round().long() for part in seen]
    a, b = torch.cat(number[::2]), torch.cat(number[1::2])
    for order in (a, b):
        assert order[:60].unique().numel() == order[60:].unique().numel() == 60
        assert not torch.equal(order[:60], order[60:])
    assert (a == b).float().mean() < 0.1
    assert torch.corrcoef(torch.stack([a, b]).float())[0, 1].abs() < 0.25
    partners = [dict(zip(a[part].tolist(), b[part].tolist())) for part in (slice(60), slice(60, 120))]
    assert sum(partners[0][i] == partners[1][i] for i in range(60)) < 8


def test_jitter_and_mirror_treat_each_picture_on_its_own(train: ModuleType) -> None:
    def run(**settings: object) -> Any:
        config, rng = train.Config(**TINY | settings), torch.Generator().manual_seed(0)
        return SimpleNamespace(config=config, rng=rng, share=lambda whole: whole)

    ramp = torch.linspace(-1, 1, 16).expand(200, 3, 16, 16).contiguous()
    assert train.augmented(run(), ramp, 200) is ramp
    mirrored = train.augmented(run(mirror=True), ramp, 200)
    flipped = (mirrored == ramp.flip(3)).all(dim=(1, 2, 3))
    assert 70 < flipped.sum() < 130 and torch.equal(mirrored[~flipped], ramp[~flipped])
    cut = train.augmented(run(jitter=4), ramp, 200)
    assert cut.shape == ramp.shape and cut.abs().max() <= 1
    large = F.interpolate(ramp[:1], size=(20, 20), mode="bicubic")[0, 0, 0].clamp(-1, 1)
    places = [[torch.allclose(row, large[x : x + 16], atol=1e-5) for x in range(5)] for row in cut[:, 0, 0]]
    assert all(sum(row) == 1 for row in places)
    assert all(20 <= sum(column) <= 60 for column in zip(*places))  # five places, equally frequent


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", 18], "--size must be divisible by 4 and lie from 16"),
        (["--size", 16, "--patch", 70], "--size must be divisible by 4 and lie from 32"),
        (["--batch-size", 0], "--batch-size must be above 0"),
        (["--width", 0], "--width must be above 0"),
        (["--blocks", -1], "--blocks must be at least 0"),
        (["--generator", "unet"], "a U-Net has no --blocks: add --generator resnet"),
        (["--lambda-cycle", -1], "--lambda-cycle must be at least 0"),
        (["--lambda-identity", "nan"], "--lambda-identity must be a finite number, not nan"),
        (["--pool-size", -5], "--pool-size must be at least 0"),
        (["--beta1", 1.0], "--beta1 must be below 1"),
        (["--decay-from", 1.5], "--decay-from must be at most 1"),
        (
            ["--data", "edges2shoes"],
            "edges2shoes is a set of pairs: that is chapter 05's; Known: satellite-map, sketches, horse2zebra",
        ),
        (["--lr", 0], "--lr must be above 0"),
        (["--max-steps", -1], "--max-steps must be at least 0"),
        (["--patch", 71], "patch"),
    ],
)
def test_wrong_settings_get_one_line(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, printed, errors = script(TRAIN, *SMALL, "--max-steps", 2, "--out", tmp_path / "run", *arguments)
    assert code == 2 and expected in printed + errors and "Traceback" not in errors
    if expected != "patch":
        assert errors.strip().splitlines()[-1].startswith("error: ")


def test_the_paper_preset_is_the_papers_setting(train: ModuleType) -> None:
    paper = train.PRESETS["paper"]
    assert (paper.size, paper.width, paper.width_d, paper.blocks, paper.patch) == (256, 64, 64, 9, 70)
    assert (paper.lambda_cycle, paper.lambda_identity, paper.pool_size, paper.batch_size) == (10, 0.0, 50, 1)
    assert (paper.lr, paper.beta1, paper.decay_from) == (2e-4, 0.5, 0.5)
    assert (paper.generator, paper.norm) == ("resnet", "instance")
    assert (paper.upsampling, paper.ema_decay, paper.beta2) == ("transposed", 0.0, 0.999)
    assert paper.mirror and paper.size + paper.jitter == 286


def test_own_folders_of_different_length_train_and_translate(script: Script, tmp_path: Path) -> None:
    for side, n in (("trainA", 5), ("trainB", 3), ("testA", 2), ("testB", 4)):
        (tmp_path / "own" / side).mkdir(parents=True)
        for i in range(n):
            Image.effect_noise((40, 30), 20 + i).convert("RGB").save(tmp_path / "own" / side / f"{i}.jpg")
    code, printed, errors = script(
        TRAIN, *SMALL, "--data", tmp_path / "own", "--max-steps", 2, "--out", tmp_path / "run"
    )
    assert code == 0, errors
    assert "5 pictures" in printed and "3 of" in printed
    sheet = Image.open(tmp_path / "run" / "samples" / "step_000002.png")
    assert sheet.size == (3 * 18 + 2, 6 * 18 + 2)  # as many as the shorter side has, each above its translation
    weights = tmp_path / "run" / "weights.safetensors"
    code, _, errors = script(GENERATE, "--weights", weights, "--out", tmp_path / "made")
    assert code == 0, errors
    assert Image.open(tmp_path / "made" / "strips_weights-run.png").size == ((2 * 18 + 2) * 8, (6 * 18 + 2) * 8)
    shutil.rmtree(
        tmp_path / "own" / "testA"
    )  # no pictures of one's own to test on: those of the training, and it says so
    code, printed, errors = script(GENERATE, "--weights", weights, "--out", tmp_path / "trained")
    assert code == 0 and "no test pictures: these are the training's" in printed, errors
    assert Image.open(tmp_path / "trained" / "strips_weights-run.png").size == ((3 * 18 + 2) * 8, (6 * 18 + 2) * 8)
    code, _, errors = script(GENERATE, "--weights", weights, "--score", "--out", tmp_path / "made")
    assert code == 2 and "a score needs 40 " in errors.splitlines()[-1]


def test_grey_piles_are_learned_and_translated_in_grey(script: Script, tmp_path: Path) -> None:
    for side in ("trainA", "trainB"):
        (tmp_path / "own" / side).mkdir(parents=True)
        for i in range(3):
            Image.effect_noise((40, 30), 20 + i).convert("RGB").save(tmp_path / "own" / side / f"{i}.jpg")
    out = tmp_path / "run"
    flags = [TRAIN, *SMALL, "--data", tmp_path / "own", "--channels", 1, "--max-steps", 2, "--out", out]
    code, printed, errors = script(*flags)
    assert code == 0 and "3 pictures, 1×16×16" in printed, errors
    code, printed, errors = script(GENERATE, "--weights", out, "--out", tmp_path / "made")
    assert code == 0, errors
    own = tmp_path / "own" / "trainA" / "1.jpg"
    code, printed, errors = script(GENERATE, own, "--weights", out, "--out", tmp_path / "made")
    assert code == 0, errors
    assert (made := Image.open(tmp_path / "made" / "1_AtoB_weights-run.png")).mode == "L" and made.size == (40, 30)


# ---------------------------------------------------------------------------------------------- scores, generate


def test_distances_against_their_definitions(scores: ModuleType) -> None:
    torch.manual_seed(0)
    truth = to_float(torch.randint(26, 230, (8, 3, 32, 32), dtype=torch.uint8))
    perfect = scores.distances(truth, truth)
    assert perfect["l1"] == 0 and perfect["ssim"] == pytest.approx(1, abs=1e-5) and perfect["psnr"] > 90
    shifted = scores.distances(truth + 12.7 / 127.5, truth)  # rounded, as on disk: by 13 levels of 255
    assert shifted["l1"] == pytest.approx(13 / 127.5, abs=1e-5)
    assert shifted["psnr"] == pytest.approx(20 * math.log10(255 / 13), abs=1e-3)
    noisy = scores.distances(truth + 0.05 * torch.randn_like(truth), truth)
    assert noisy["l1"] == pytest.approx(0.05 * math.sqrt(2 / math.pi), rel=0.02)
    assert noisy["psnr"] == pytest.approx(10 * math.log10(4 / 0.0025), abs=0.1)
    assert -0.2 < scores.distances(truth.flip(0), truth)["ssim"] < 0.3
    few, many = (
        torch.rand(9, 3, 32, 32),
        torch.rand(11, 3, 32, 32),
    )  # pictures are taken eight at a time: each counts once
    fakes, truths = torch.cat([few, many]), torch.cat([few, many.flip(0)])
    parts = [scores.distances(fakes[some], truths[some])["ssim"] for some in (slice(9), slice(9, 20))]
    assert scores.distances(fakes, truths)["ssim"] == pytest.approx((9 * parts[0] + 11 * parts[1]) / 20, abs=1e-5)
    flat, other = (to_float(torch.full((1, 3, 32, 32), level, dtype=torch.uint8)) for level in (2, 7))
    c1 = 0.01**2  # of Wang et al., for intensities from 0 to 1
    dark, light = 2 / 255, 7 / 255
    by_hand = (2 * dark * light + c1) / (dark**2 + light**2 + c1)  # of two pictures without variance
    assert scores.distances(flat, other)["ssim"] == pytest.approx(by_hand, abs=1e-3)
    assert scores.distances(-flat, flat)["ssim"] > -0.1  # intensities have no sign: black against white is 0, not -1


class Same(nn.Module):
    def forward(self, pictures: Tensor, made: bool = False) -> Tensor:
        return pictures


def test_the_table_has_both_directions_and_its_references(scores: ModuleType) -> None:
    """With translators that change nothing, "translated" is "not translated", and the way back is perfect."""
    text, rows = scores.report(Same(), Same(), "satellite-map", 16)
    assert rows["a to b, translated"] == rows["a to b, not translated"] and rows["b to a and back"]["l1"] == 0
    a, b = scores.held_out("satellite-map", 16, scores.MOST)
    assert rows["b to a, translated"]["l1"] == pytest.approx((a - b).abs().mean().item(), rel=1e-5)
    assert rows["a to b, mean of its kind"]["l1"] < rows["a to b, of another place"]["l1"]
    # noise of 4 of 255 levels, some of which is cut off at black and white
    assert 0.9 * 4 / 127.5 < rows["b to a and back, noise"]["l1"] / math.sqrt(2 / math.pi) < 4.1 / 127.5
    assert len(rows) == 12 and f"{len(a):,} held-out pairs" in text and not any("fcd" in row for row in rows.values())


class Answers(nn.Module):
    """Turns whatever it sees into the pictures that it was given, in their order."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures, self.place = pictures, 0

    def forward(self, pictures: Tensor, made: bool = False) -> Tensor:
        self.place += len(pictures)
        return self.pictures[self.place - len(pictures) : self.place]


def test_piles_without_pairs_are_scored_beside_the_other_kind(scores: ModuleType, tmp_path: Path) -> None:
    """Digits and clothes. True clothes in the place of translations score as the floor does, digits that stay digits do not."""
    digits, clothes = (load(name).images for name in ("mnist-10k", "fashion-10k"))
    parts = {"trainA": digits[:100], "trainB": clothes[:100], "testA": digits[100:150], "testB": clothes[100:145]}
    for side, pictures in parts.items():
        for i, picture in enumerate(pictures):
            (tmp_path / side).mkdir(exist_ok=True)
            to_pil_image(picture).save(tmp_path / side / f"{i}.png")
    other = to_float(resizing.resize(clothes[200:300].expand(-1, 3, -1, -1), [32, 32], antialias=True))
    text, rows = scores.report(Answers(other), Same(), str(tmp_path), 32)
    assert set(rows) == {
        f"{way}{what}"
        for way in ("a to b", "b to a")
        for what in (", translated", ", not translated", ", true (floor)", " and back")
    }
    floor, translated, stayed = (
        rows[f"a to b, {what}"]["kcd"] for what in ("true (floor)", "translated", "not translated")
    )
    assert abs(floor) < 0.05 and abs(translated) < 0.1 < 0.4 < stayed
    assert rows["b to a, translated"] == rows["b to a, not translated"]
    assert rows["a to b and back"]["l1"] > 0.1 and f"{1000 * stayed:.1f}" in text
    with pytest.raises(
        UserError, match="a score needs 40 pictures of each kind to translate, and there are 39: raise --num"
    ):
        scores.report(Answers(other), Same(), str(tmp_path), 32, 39)


class Hider(nn.Module):
    """Turns faces into their drawings (from a list), and hides their mean colour in the paper: 1 - 0.05 · (0 to 1)."""

    def __init__(self, faces: Tensor, drawings: Tensor) -> None:
        super().__init__()
        self.faces, self.drawings = faces, drawings

    def forward(self, pictures: Tensor, made: bool = False) -> Tensor:
        place = torch.cdist(pictures.flatten(1), self.faces.flatten(1)).argmin(1)
        hidden = (pictures.mean((2, 3), keepdim=True) + 1) / 2
        return torch.where(self.drawings[place] > 0.9, 1 - 0.05 * hidden, self.drawings[place])


class Finder(nn.Module):
    """The way back: a face of that one colour, read from the paper's brightest place that is not quite white."""

    def forward(self, drawings: Tensor, made: bool = False) -> Tensor:
        if not made:  # a true drawing hides nothing
            return torch.zeros_like(drawings)
        hidden = (1 - drawings.amax((2, 3), keepdim=True)) / 0.05
        return (2 * hidden - 1).clamp(-1, 1).expand_as(drawings)


def test_erasing_takes_what_is_hidden_and_leaves_the_lines(scores: ModuleType) -> None:
    a, _ = scores.held_out("sketches", 64, 40)
    assert (scores.erased(a) - a).abs().mean() < 0.02  # of true drawings hardly anything goes
    marked = torch.where(a > 0.9, a - 0.06 * torch.rand(a.shape, generator=torch.Generator().manual_seed(0)), a)
    clean = scores.erased(marked)
    assert (clean - scores.erased(a)).abs().mean() < 0.2 * (marked - a).abs().mean()
    assert torch.equal(clean[:, 0], clean[:, 1])  # no colours
    far = F.max_pool2d((a.mean(1, keepdim=True) < 0.1).float(), 3, 1, 1) == 0
    assert far.float().mean() > 0.5 and clean[far.expand_as(clean)].min() == 1


def test_the_error_of_the_way_back_shows_what_was_hidden(scores: ModuleType) -> None:
    """A translator that hides a colour in the paper: read back well as it is, not after erasing; drawings are right either way."""
    a, b = scores.held_out("sketches", 64, 40)
    text, rows = scores.report(Finder(), Hider(b, a), "sketches", 64, 40)
    one_colour = (b.mean((2, 3), keepdim=True) - b).abs().mean().item()
    assert rows["b to a and back"]["l1"] == pytest.approx(one_colour, rel=0.1)
    assert rows["b to a and back, erased"]["l1"] > 1.15 * rows["b to a and back"]["l1"]
    assert rows["b to a and back, noise"]["l1"] > 1.05 * rows["b to a and back"]["l1"]
    assert (
        rows["b to a, translated"]["l1"]
        < 0.03
        < rows["b to a, blank paper"]["l1"]
        < rows["b to a, mean of its kind"]["l1"]
    )
    assert rows["b to a, blank paper"]["l1"] == pytest.approx((1 - a).mean().item(), rel=1e-4)
    assert "40 held-out pairs of sketches" in text and "of another face" in text and "FCD" not in text


def test_faces_are_also_scored_as_a_whole(scores: ModuleType) -> None:
    """The FCD of what came out: of true faces their own, of grey pictures far more; and of drawings none."""
    a, b = scores.held_out("sketches", 64, 1000, every=True)
    assert len(a) == 1000 and not torch.equal(a, b)

    class Answers(nn.Module):
        def __init__(self, part: float) -> None:
            super().__init__()
            self.part, self.given = part, 0

        def forward(self, pictures: Tensor, made: bool = False) -> Tensor:
            start, self.given = self.given % 1000, self.given + len(pictures)
            return self.part * b[start : start + len(pictures)]

    fcd = {part: scores.measure(scores.translate(Answers(part), a), b, True)["fcd"] for part in (1.0, 0.5)}
    assert fcd[1.0] < 3 < 5 < fcd[0.5]
    assert "fcd" not in scores.measure(a, a, False)


def test_held_out_pictures_are_pairs_and_spread(scores: ModuleType) -> None:
    a, b = scores.held_out("sketches", 32, 5)
    whole = load_pairs("sketches", 32, "test", 5)
    assert torch.equal(to_uint8(a), whole.a) and torch.equal(to_uint8(b), whole.b)
    a, b = scores.held_out("satellite-map", 16, 7)
    every = load_pairs("satellite-map", 16, "test")
    found = [int((every.a == one).flatten(1).all(1).nonzero()[0, 0]) for one in to_uint8(a)]
    assert found[0] == 0 and found[-1] == len(every) - 1 and torch.equal(to_uint8(b), every[found][1])


def test_generate_shows_picture_translation_and_back(script: Script, tmp_path: Path, generate: ModuleType) -> None:
    code, printed, errors = script(GENERATE, "--num", 6, "--interpolate", "--out", tmp_path)
    assert code == 0, errors
    for name in ("strips.png", "interpolation.gif"):
        assert (tmp_path / name).stat().st_size > 1000 and name in printed
    assert Image.open(tmp_path / "strips.png").size == ((6 * 66 + 2) * 2, (6 * 66 + 2) * 2)
    assert getattr(Image.open(tmp_path / "interpolation.gif"), "n_frames", 1) > 10
    pictures = torch.randn(2, 3, 16, 16)
    rows = generate.strip((lambda x: x + 1, lambda x, made: (2 + made) * x), pictures)
    torch.testing.assert_close(rows, torch.cat([pictures, pictures + 1, 3 * (pictures + 1)]))
    frames = generate.fade(pictures, -pictures, steps=4, hold=2)
    assert len(frames) == 2 + 3 + 2 + 3
    torch.testing.assert_close(frames[0], pictures)
    torch.testing.assert_close(frames[5], -pictures)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Weights of untrained translators, as a run stores them."""
    from common.checkpoint import save_weights

    def stored(data: str, size: int = 64, **left_out: Any) -> Path:
        from importlib import util

        spec = util.spec_from_file_location("cyclegan_model", ROOT / FOLDER / "model.py")
        module = util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        torch.manual_seed(0)
        build = {"channels": 3, "width": 4, "blocks": 1, "norm": "instance", "upsampling": "resize"} | left_out
        both = nn.ModuleDict({name: lively(module.Generator(**build)) for name in ("to_b", "to_a")})
        path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
        settings = {"chapter": FOLDER, "step": 0, **build, "data": data, "size": size}
        save_weights(
            path, both.half().state_dict(), {key: value for key, value in settings.items() if value != "transposed"}
        )
        return path

    return stored


def test_generate_translates_pictures_of_any_size_and_format(
    script: Script, tmp_path: Path, weights: Callable[..., Path]
) -> None:
    """The translation alone, whole and of the picture's own size; a strip only on request."""
    folder, stored = tmp_path / "mine", weights("satellite-map")
    ours = ["--weights", stored]
    made = f"_weights-{stored.parent.name}"  # what the pictures are called behind their own names
    folder.mkdir()
    noise = Image.effect_noise((100, 60), 60)
    noise.convert("RGB").save(folder / "photo.jpg")
    noise.convert("CMYK").save(folder / "print.tif")
    noise.convert("RGBA").resize((64, 64)).save(folder / "icon.png")
    Image.new("I;16", (51, 90), 30000).save(folder / "deep.png")
    sizes = {"photo": (100, 60), "print": (100, 60), "icon": (64, 64), "deep": (51, 90)}
    names = [folder / name for name in ("photo.jpg", "print.tif", "icon.png", "deep.png")]
    for arguments in ([folder], names):
        out = tmp_path / f"made{len(arguments)}"
        code, printed, errors = script(GENERATE, *ours, *arguments, "--direction", "BtoA", "--out", out)
        assert code == 0, errors
        assert "photo.jpg: 100×60 pixels\n" in printed and "icon.png: 64×64 pixels\n" in printed
        assert {path.name for path in out.iterdir()} == {f"{name}_BtoA{made}.png" for name in sizes}
        assert {name: Image.open(out / f"{name}_BtoA{made}.png").size for name in sizes} == sizes
    code, _, errors = script(GENERATE, *ours, folder / "photo.jpg", "--strip", "--out", tmp_path / "strip")
    assert code == 0 and Image.open(tmp_path / "strip" / f"photo_AtoB{made}.png").size == (100, 60), errors
    assert Image.open(tmp_path / "strip" / f"photo_AtoB_strip{made}.png").size == ((3 * 102 + 2) * 2, 64 * 2)
    (folder / "more").mkdir()
    for name in ("photo.png", "more/photo.jpg"):  # a stem three times
        noise.convert("RGB").save(folder / name)
    code, _, errors = script(GENERATE, *ours, folder, folder / "more", "--out", tmp_path / "each")
    written = {path.name for path in (tmp_path / "each").iterdir()}
    assert code == 0 and len(written) == 6, errors  # one file for each picture
    assert {f"photo_AtoB{again}{made}.png" for again in ("", "_2", "_3")} < written
    noise.save(folder / "more" / f"photo_AtoB{made}.png")  # of the user's, with the name of a translation
    assert script(GENERATE, *ours, folder / "more", "--out", folder / "more")[0] == 0
    assert Image.open(folder / "more" / f"photo_AtoB{made}.png").tobytes() == noise.tobytes()
    code, printed, _ = script(GENERATE, *ours, folder / "photo.jpg", "--size", 30, "--out", tmp_path / "small")
    assert code == 0 and "photo.jpg: 100×60 pixels, translated at 50×30\n" in printed
    assert Image.open(tmp_path / "small" / f"photo_AtoB{made}_size-30.png").size == (100, 60)
    Image.new("RGB", (2048, 512)).save(tmp_path / "panorama.png")
    Image.new("RGB", (5, 9)).save(tmp_path / "tiny.png")
    for name, said, size in (("panorama", "1024×256", (2048, 512)), ("tiny", "16×29", (5, 9))):
        code, printed, errors = script(GENERATE, *ours, tmp_path / f"{name}.png", "--out", tmp_path / "far")
        assert code == 0 and f"translated at {said}" in printed, errors
        assert Image.open(tmp_path / "far" / f"{name}_AtoB{made}.png").size == size


def test_a_face_is_translated_at_the_size_of_its_training(
    script: Script, tmp_path: Path, weights: Callable[..., Path]
) -> None:
    """A face fills its picture, so a larger drawing is no drawing of larger things, as a larger photograph can be."""
    Image.effect_noise((300, 200), 60).convert("RGB").save(tmp_path / "face.png")
    code, printed, errors = script(
        GENERATE, tmp_path / "face.png", "--weights", drawn := weights("sketches", 32), "--out", tmp_path / "made"
    )
    assert code == 0 and "face.png: 300×200 pixels, translated at 48×32\n" in printed, errors
    assert Image.open(tmp_path / "made" / f"face_AtoB_weights-{drawn.parent.name}.png").size == (300, 200)


def test_whole_pictures_lose_no_border(generate: ModuleType, model: ModuleType) -> None:
    """Sides that are no multiples of 4: padded by repeated border at the right and below, and cut again."""
    picture = torch.randn(1, 3, 18, 21)
    padded = torch.cat([picture, picture[:, :, -1:].expand(-1, -1, 2, -1)], dim=2)
    padded = torch.cat([padded, padded[..., -1:].expand(-1, -1, -1, 3)], dim=3)
    generator = lively(model.Generator(width=4, blocks=1, upsampling="resize"))
    torch.testing.assert_close(generate.whole(generator, picture), generator(padded)[..., :18, :21])
    unet = lively(model.UNet(width=4, size=32)).eval()  # sides that are no multiples of 32
    assert generate.whole(unet, picture).shape == picture.shape


def test_a_u_net_translates_own_pictures_at_the_size_that_it_knows(
    script: Script, tmp_path: Path, model: ModuleType
) -> None:
    """It saw whole pictures of 32 pixels, and not corners of large ones."""
    from common.checkpoint import save_weights

    build = {"channels": 3, "width": 4, "size": 32, "norm": "batch", "upsampling": "resize"}
    both = nn.ModuleDict({name: model.UNet(**build) for name in ("to_b", "to_a")})
    settings = {"chapter": FOLDER, "step": 0, "data": "mine", "generator": "unet", **build}
    save_weights(tmp_path / "own.safetensors", both.state_dict(), settings)
    Image.new("RGB", (300, 400), "white").save(tmp_path / "x.png")
    flags = ["--weights", tmp_path / "own.safetensors", "--out", tmp_path]
    code, printed, errors = script(GENERATE, tmp_path / "x.png", *flags)
    assert code == 0 and "300×400 pixels, translated at 32×43" in printed, errors


def test_the_direction_means_what_it_says(script: Script, tmp_path: Path, generate: ModuleType) -> None:
    """The translation and the three pictures of a strip, from the two translators by hand, with the shipped weights."""
    Image.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "x.png")
    to_b, to_a, _ = generate.load_generators()
    _, picture, _ = generate.read_own(tmp_path / "x.png", 64)
    for direction, there, back in (("AtoB", to_b, to_a), ("BtoA", to_a, to_b)):
        flags = ["--direction", direction, "--strip", "--accelerator", "cpu"]
        code, _, errors = script(GENERATE, tmp_path / "x.png", *flags, "--out", tmp_path)
        assert code == 0, errors
        alone = torch.from_numpy(np.array(Image.open(tmp_path / f"x_{direction}.png"))).permute(2, 0, 1)
        assert (alone.int() - to_uint8(there(picture))[0].int()).abs().max() <= 2
        sheet = np.array(Image.open(tmp_path / f"x_{direction}_strip.png"))
        row = torch.from_numpy(sheet[8::4, 8::4]).permute(2, 0, 1)[:, :64]
        shown = [row[:, :, 66 * i : 66 * i + 64] for i in range(3)]
        for found, expected in zip(shown, (picture, there(picture), back(there(picture), made=True))):
            assert (found.int() - to_uint8(expected)[0].int()).abs().max() <= 2


def test_files_without_the_kind_of_upsampling_are_older_and_transposed(
    generate: ModuleType, weights: Callable[..., Path]
) -> None:
    to_b, _, settings = generate.load_generators(weights("satellite-map", upsampling="transposed"))
    assert "upsampling" not in settings
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in to_b.modules()) == 2
    to_b, _, settings = generate.load_generators(weights("sketches"))
    assert settings["upsampling"] == "resize" and not any(isinstance(m, nn.ConvTranspose2d) for m in to_b.modules())


def test_generate_explains_wrong_input(script: Script, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.png").write_text("no picture")
    Image.new("RGB", (3000, 2)).save(tmp_path / "line.png")
    for arguments, expected in (
        (["--num", 0], "--num must be above 0"),
        (["/no/such.png"], "there is no picture or folder /no/such.png"),
        ([tmp_path / "empty"], "there are no pictures in the folder"),
        ([tmp_path / "notes.png"], "cannot read the picture"),
        (["--size", 30], "--size must be divisible by 64 for held-out pictures"),
        (["--size", 8, tmp_path / "notes.png"], "--size must lie from 16 to 1024, not 8"),
        (["--size", 64, tmp_path / "line.png"], "line.png is too narrow: at a shorter side of 64"),
        (["--interpolate", tmp_path / "notes.png"], "--interpolate shows held-out pictures: leave your own away"),
        (["--weights", "/no/such.safetensors"], "there are no weights"),
        (["--weights", "04_conditional_gan/weights.safetensors"], "belongs to 04_conditional_gan"),
    ):
        code, _, errors = script(GENERATE, "--out", tmp_path / "made", *arguments)
        assert code == 2 and expected in errors.splitlines()[-1] and "Traceback" not in errors, errors


def test_weights_are_stored_in_half_precision_and_read_back(
    train: ModuleType, generate: ModuleType, tmp_path: Path
) -> None:
    folder = train.train(train.Config(**TINY, max_steps=1, out=str(tmp_path)))
    stored = load_file(folder / "weights.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    to_b, to_a, settings = generate.load_generators(folder / "weights.safetensors")
    trained = torch.load(folder / "last.ckpt", weights_only=True)
    for network, name in ((to_b, "to_b"), (to_a, "to_a")):
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, trained["ema"][f"module.{name}.{key}"].half().float())
    assert settings["size"] == 16 and settings["blocks"] == 1 and settings["upsampling"] == "resize"


def test_a_variance_that_16_bits_cannot_hold_is_stored(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = train.calibrated

    def large(*given: Any) -> nn.Module:
        both = real(*given)
        both["to_b"].up[0][2].running_var.fill_(1e6)
        return both

    monkeypatch.setattr(train, "calibrated", large)
    settings = TINY | {"generator": "unet", "norm": "batch", "blocks": None}
    folder = train.train(train.Config(**settings, max_steps=1, out=str(tmp_path)))
    stored = load_file(folder / "weights.safetensors")
    assert stored["to_b.up.0.2.running_var"].max() == 1e6 and stored["to_b.up.0.1.weight"].dtype == torch.float16


def test_satellite_pictures_and_maps_still_have_weights(generate: ModuleType, scores: ModuleType) -> None:
    """Satellite to map on the held-out pairs, beside the map of another place."""
    to_b, to_a, settings = generate.load_generators(ROOT / FOLDER / "satellite-map.safetensors")
    assert settings["data"] == "satellite-map" and settings["size"] == 64
    _, rows = scores.report(to_b, to_a, "satellite-map", 64)
    assert rows["a to b, translated"]["l1"] <= 0.17  # 0.160 in docs/results.md
    assert rows["a to b, translated"]["l1"] < rows["a to b, mean of its kind"]["l1"]
    assert rows["a to b, translated"]["l1"] < 0.8 * rows["a to b, of another place"]["l1"]


def test_shipped_weights_keep_the_readmes_promises(generate: ModuleType, scores: ModuleType) -> None:
    """Drawings become faces and faces drawings; the way back lives on more than lines; and without the cycle nothing fits."""
    a, b = scores.held_out("sketches", 64, 1000, every=True)
    (to_b, to_a, settings), (loose_b, _, _) = (
        generate.load_generators(ROOT / FOLDER / name) for name in ("weights.safetensors", "without-cycle.safetensors")
    )
    assert settings["data"] == "sketches" and settings["size"] == 64
    faces, drawn = scores.translate(to_b, a), to_float(to_uint8(scores.translate(to_a, b[:100])))
    assert (
        scores.measure(faces, b, True)["fcd"]
        <= FCD_PROMISED
        < 0.5 * scores.measure(scores.translate(loose_b, a), b, True)["fcd"]
    )
    back, bare = (scores.translate(to_b, some, made=True) for some in (drawn, scores.erased(drawn)))
    assert (bare - b[:100]).abs().mean() > 1.2 * (back - b[:100]).abs().mean()  # what is faint carries colours
    lines, other = (1 - some.mean(1) for some in (a[:100], a[100:200]))
    found = 1 - drawn.mean(1)
    assert (found * lines).mean() > 1.3 * (found * other).mean()  # the lines are where this face's are


FCD_PROMISED = 10.0  # the faces themselves about 1 at this N
