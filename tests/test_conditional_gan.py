"""Chapter 04 against independent results."""

import itertools
import math
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from common import UserError, data
from tests.conftest import same

Chapter = Callable[[str, str], ModuleType]
Script = Callable[..., tuple[int, str, str]]
FOLDER = "04_conditional_gan"
TRAIN, GENERATE = f"{FOLDER}/train.py", f"{FOLDER}/generate.py"
TINY: dict[str, Any] = {
    "width": 4, "latent_dim": 8, "batch_size": 8, "log_every": 2, "sample_every": 50, "save_every": 50,
    "accelerator": "cpu", "precision": "32-true",
}  # fmt: skip
SMALL = ["--width", 4, "--batch-size", 8, "--log-every", 1, "--accelerator", "cpu", "--precision", "32-true"]
CONDITIONS = ["embedding", "auxiliary", "projection"]


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
def line(chapter: Chapter) -> ModuleType:
    return chapter(FOLDER, "line")


# ------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("size", "expected"), [(16, (4, 2)), (20, (5, 2)), (24, (6, 2)), (28, (7, 2)), (32, (4, 3)), (48, (6, 3)), (64, (4, 4)), (256, (4, 6))]
)  # fmt: skip
def test_stages_split_the_size(model: ModuleType, size: int, expected: tuple[int, int]) -> None:
    base, doublings = model.stages(size)
    assert (base, doublings) == expected and base * 2**doublings == size


@pytest.mark.parametrize("size", [8, 14, 30, 36, 44, 100, 512])
def test_other_sizes_are_refused_in_one_line(model: ModuleType, size: int) -> None:
    with pytest.raises(UserError, match=f"--size must be 4, 5, 6 or 7 times a power of two, .*not {size}$"):
        model.stages(size)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, 16), (3, 64)])
def test_shapes_and_ranges(model: ModuleType, condition: str, channels: int, size: int) -> None:
    shape = (channels, size, size)
    generator = model.Generator(condition, classes=3, latent_dim=8, width=4, shape=shape)
    fake = generator(torch.randn(5, 8), torch.tensor([0, 1, 2, 0, 1]))
    assert fake.shape == (5, *shape) and fake.abs().max() <= 1
    logits, class_logits = model.Discriminator(condition, 3, 4, shape)(fake, torch.tensor([0, 1, 2, 0, 1]))
    assert logits.shape == (5,)
    assert (class_logits is None) == (condition != "auxiliary")
    assert class_logits is None or class_logits.shape == (5, 3)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_parameters_equal_the_sum_of_the_layers(model: ModuleType, condition: str) -> None:
    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    latent = 100 if condition == "projection" else 100 + model.EMBEDDING_DIM
    convs = latent * 64 * 49 + 64 * 32 * 16 + (32 * 1 * 16 + 1)  # no biases where a norm follows
    norms = 10 * 2 * (64 + 32) if condition == "projection" else 2 * (64 + 32) + 10 * model.EMBEDDING_DIM
    assert count(model.Generator(condition)) == convs + norms
    seen = 2 if condition == "embedding" else 1
    judge = (seen * 32 * 16 + 32) + (32 * 64 * 16 + 64) + (64 * 128 * 49 + 128) + (128 + 1)
    extra = {"embedding": 10 * 784, "auxiliary": 10 * (128 + 1), "projection": 10 * 128}[condition]
    assert count(model.Discriminator(condition)) == judge + extra
    if condition != "embedding":
        assert count(model.Discriminator("blind")) == judge


def test_initial_weights_are_those_of_dcgan_and_all_classes_start_alike(model: ModuleType) -> None:
    torch.manual_seed(0)
    for condition in CONDITIONS:
        generator, discriminator = model.Generator(condition), model.Discriminator(condition, spectral=False)
        for layer in [*generator.modules(), *discriminator.modules()]:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                n = layer.weight.numel()
                assert layer.weight.std().item() == pytest.approx(0.02, rel=4 / math.sqrt(2 * n))
                assert layer.bias is None or not layer.bias.any()
            elif isinstance(layer, nn.BatchNorm2d) and layer.affine:
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02) and not layer.bias.any()
                assert layer.eps == 1e-5
            elif isinstance(layer, model.ConditionalBatchNorm2d):
                assert (layer.gain.weight == 1).all() and (layer.shift.weight == 0).all()
        assert not any(isinstance(layer, nn.Sigmoid | nn.Softmax) for layer in discriminator.modules())


def test_conditional_batch_norm_is_batch_norm_with_a_scale_and_shift_of_the_class(model: ModuleType) -> None:
    torch.manual_seed(0)
    layer, plain = model.ConditionalBatchNorm2d(5, classes=3), nn.BatchNorm2d(5, affine=False)
    nn.init.normal_(layer.gain.weight)
    nn.init.normal_(layer.shift.weight)
    for mode in (True, False):
        layer.train(mode), plain.train(mode)
        x, labels = 3 * torch.randn(8, 5, 4, 4) + 1, torch.randint(3, (8,))
        normal = plain(x)
        by_hand = torch.stack(
            [
                layer.gain.weight[label][:, None, None] * normal[i] + layer.shift.weight[label][:, None, None]
                for i, label in enumerate(labels.tolist())
            ]
        )
        torch.testing.assert_close(layer(x, labels), by_hand)
    assert not torch.allclose(layer(x, labels), layer(x, (labels + 1) % 3))
    torch.testing.assert_close(layer.normalise.running_var, plain.running_var)


def test_weights_of_classes_mix_their_rows_and_one_hot_weights_are_the_label(model: ModuleType) -> None:
    table = nn.Embedding(4, 6)
    labels = torch.tensor([2, 0])
    torch.testing.assert_close(model.look_up(table, F.one_hot(labels, 4).float()), table(labels))
    half = torch.tensor([[0.25, 0.75, 0.0, 0.0]])
    torch.testing.assert_close(model.look_up(table, half)[0], 0.25 * table.weight[0] + 0.75 * table.weight[1])


@pytest.mark.parametrize("pool", ["convolution", "sum"])
def test_the_projection_logit_by_hand(model: ModuleType, pool: str) -> None:
    torch.manual_seed(0)
    network = model.Discriminator("projection", classes=3, width=4, pool=pool, spectral=False).double()
    pictures, labels = torch.randn(6, 1, 28, 28, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 1, 0])
    x = pictures
    for layer in (network.body[0], network.body[2]):
        x = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, 2, 1), 0.2)
    assert x.shape == (6, 8, 7, 7)
    if pool == "convolution":
        x = F.leaky_relu(x.flatten(1) @ network.body[4].weight.flatten(1).T + network.body[4].bias, 0.2)
    else:
        x = x.flatten(2).sum(2)
    unconditional = x @ network.head.weight[0] + network.head.bias
    inner = torch.einsum("nf,nf->n", network.embed.weight[labels], x)
    logits, none = network(pictures, labels)
    torch.testing.assert_close(logits, unconditional + inner)
    assert none is None and inner.abs().min() > 1e-6
    # The label changes the logit by an inner product with the difference of two embeddings, and by nothing else
    shifted, _ = network(pictures, (labels + 1) % 3)
    difference = network.embed.weight[(labels + 1) % 3] - network.embed.weight[labels]
    torch.testing.assert_close(shifted - logits, (difference * x).sum(1))


def test_the_embedding_joins_as_one_more_input_channel(model: ModuleType) -> None:
    torch.manual_seed(0)
    network = model.Discriminator("embedding", classes=3, width=4, shape=(3, 16, 16), spectral=False)
    assert network.body[0].in_channels == 4
    pictures, labels = torch.randn(2, 3, 16, 16), torch.tensor([2, 1])
    maps = network.label_map.weight[labels].reshape(2, 1, 16, 16)
    by_hand = network.head(network.body(torch.cat([pictures, maps], 1)).flatten(1)).flatten()
    torch.testing.assert_close(network(pictures, labels)[0], by_hand)
    # In the generator the embedding stands beside z
    generator = model.Generator("embedding", classes=3, latent_dim=8, width=4, shape=(3, 16, 16)).eval()
    first = generator.convs[0]
    assert first.in_channels == 8 + model.EMBEDDING_DIM
    swapped = generator.embed.weight[[1, 0, 2]]
    before = generator(z := torch.randn(2, 8), torch.tensor([0, 1]))
    generator.embed.weight.data.copy_(swapped)
    torch.testing.assert_close(generator(z, torch.tensor([1, 0])), before)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_label_changes_the_picture_and_the_judgement(model: ModuleType, condition: str) -> None:
    torch.manual_seed(0)
    generator = model.Generator(condition, latent_dim=8, width=4).eval()
    for norm in generator.norms:  # all classes start alike: let them part
        if isinstance(norm, model.ConditionalBatchNorm2d):
            nn.init.normal_(norm.gain.weight)
    z = torch.randn(4, 8)
    three, seven = (generator(z, torch.full((4,), label)) for label in (3, 7))
    assert all(not torch.allclose(a, b) for a, b in zip(three, seven))
    torch.testing.assert_close(three, generator(z, torch.full((4,), 3)))
    discriminator = model.Discriminator(condition, width=4)
    discriminator.eval()
    first, second = (discriminator(three, torch.full((4,), label))[0] for label in (3, 7))
    assert torch.equal(first, second) == (condition == "auxiliary")  # its second head names the class instead


def test_the_blind_discriminator_does_not_look_at_the_label(model: ModuleType) -> None:
    network = model.Discriminator("blind", width=4).eval()
    pictures = torch.randn(4, 1, 28, 28)
    first, second = (network(pictures, torch.full((4,), label)) for label in (3, 7))
    assert torch.equal(first[0], second[0]) and first[1] is None


@pytest.mark.parametrize(("condition", "table"), [("projection", "embed"), ("embedding", "label_map")])
@pytest.mark.parametrize("spectral", [True, False])
def test_the_label_embedding_learns(model: ModuleType, condition: str, table: str, spectral: bool) -> None:
    torch.manual_seed(0)
    network = model.Discriminator(condition, width=4, spectral=spectral)
    logits, _ = network(torch.randn(2, 1, 28, 28), torch.tensor([3, 7]))
    logits.sum().backward()
    rows = dict(network.named_parameters())
    name = next(name for name in rows if name.startswith(table))
    gradient = rows[name].grad
    assert gradient is not None and gradient[3].any() and gradient[7].any()
    assert (spectral and condition == "projection") or not gradient[[0, 1, 2, 4, 5, 6, 8, 9]].any()


def test_spectral_norm_divides_by_the_largest_singular_value(model: ModuleType) -> None:
    torch.manual_seed(0)
    network = model.Discriminator("projection", width=4)
    for _ in range(30):  # one step of the power iteration each
        network(torch.randn(2, 1, 28, 28), torch.tensor([0, 1]))
    for layer in (network.body[0], network.body[2], network.body[4], network.head, network.embed):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


# --------------------------------------------------------------------------------------------------------- losses


def test_losses_against_their_definitions(train: ModuleType) -> None:
    real, fake = torch.randn(64) * 2, torch.randn(64) * 2
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(
        train.discriminator_loss(real, fake, "non-saturating"),
        bce(real, torch.ones(64)) + bce(fake, torch.zeros(64)),
    )
    torch.testing.assert_close(train.generator_loss(fake, "non-saturating"), bce(fake, torch.ones(64)))
    hinge = -torch.minimum(torch.zeros(64), real - 1).mean() - torch.minimum(torch.zeros(64), -fake - 1).mean()
    torch.testing.assert_close(train.discriminator_loss(real, fake, "hinge"), hinge)
    torch.testing.assert_close(train.generator_loss(fake, "hinge"), -fake.mean())


def test_the_hinge_has_no_gradient_beyond_its_margin(train: ModuleType) -> None:
    real, fake = torch.tensor([1.5, 0.5], requires_grad=True), torch.tensor([-1.5, -0.5], requires_grad=True)
    train.discriminator_loss(real, fake, "hinge").backward()
    assert real.grad.tolist() == [0, -0.5] and fake.grad.tolist() == [0, 0.5]


def test_the_class_loss_is_the_cross_entropy_of_logits_taken_once(train: ModuleType) -> None:
    """-L_C of AC-GAN; with a softmax before it (mistake 2 of many) the value would be another."""
    logits, labels = torch.randn(32, 10) * 3, torch.randint(10, (32,))
    by_hand = -torch.log(logits.exp() / logits.exp().sum(1, keepdim=True))[torch.arange(32), labels].mean()
    torch.testing.assert_close(train.class_loss(logits, labels), by_hand)
    assert (train.class_loss(logits.softmax(1), labels) - by_hand).abs() > 0.1
    assert train.class_loss(None, labels).item() == 0


def test_one_step_of_each_kind_minimises_what_the_readme_says(
    train: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logged losses of the first step, computed again from the networks of that step."""
    for condition in CONDITIONS:
        logged: list[dict[str, Any]] = []
        calls: list[tuple[Any, ...]] = []

        class Spy(train.Discriminator):  # type: ignore[name-defined, misc]
            def forward(self, pictures: torch.Tensor, labels: torch.Tensor, calls: list[Any] = calls) -> Any:
                answer = super().forward(pictures, labels)
                calls.append((labels, *answer))
                return answer

        with monkeypatch.context() as patch:
            patch.setattr(train, "Discriminator", Spy)
            patch.setattr(
                train.Run, "log", lambda self, scalars, logged=logged: logged.append({k: float(v) for k, v in scalars.items()})
            )  # fmt: skip
            settings = TINY | {"condition": condition, "loss": "non-saturating", "lambda_class": 0.5, "log_every": 1}
            train.train(train.Config(**settings, max_steps=1, out=str(tmp_path / condition)))
        (labels_d, logits, class_logits), (labels_g, before, class_g) = calls[:2]
        bce, n = F.binary_cross_entropy_with_logits, 8
        loss_d = bce(logits[:n], torch.ones(n)) + bce(logits[n:], torch.zeros(n))
        loss_g = bce(before, torch.ones(n))
        if condition == "auxiliary":
            halves = F.cross_entropy(class_logits[:n], labels_d[:n]) + F.cross_entropy(class_logits[n:], labels_d[n:])
            loss_d, loss_g = loss_d + 0.5 * halves, loss_g + 0.5 * F.cross_entropy(class_g, labels_g)
            assert {"class/real", "class/fake"} <= logged[0].keys()
        assert logged[0]["loss/d"] == pytest.approx(loss_d.item(), rel=1e-4), condition
        assert logged[0]["loss/g"] == pytest.approx(loss_g.item(), rel=1e-4), condition


# ------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("condition", CONDITIONS)
def test_resume_equals_an_uninterrupted_run_bit_for_bit(train: ModuleType, tmp_path: Path, condition: str) -> None:
    settings = TINY | {"condition": condition, "n_discriminator": 2 if condition == "projection" else 1, "log_every": 3}
    whole = train.train(train.Config(**settings, max_steps=6, out=str(tmp_path / "whole")))
    train.train(train.Config(**settings, max_steps=3, out=str(tmp_path / "parts")))
    again = train.Config(**settings, max_steps=6, out=str(tmp_path / "parts"), resume=str(tmp_path / "parts"))
    parts = train.train(again)
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts))
    assert second["step"] == 6
    for part in ("generator", "discriminator", "ema"):
        assert same(first[part], second[part]), part
    assert same(first["opt_g"]["state"][0], second["opt_g"]["state"][0])
    assert first["history"] == second["history"]
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
    """Without BatchNorm, which looks at one process's share only, two processes learn what one does."""
    one_and_two(TRAIN, *SMALL, "--no-batch-norm", "--max-steps", 6)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("1", "2"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    assert one["norms.0.gain.weight"].std() > 1e-5  # the classes have parted


def test_labels_of_fakes_are_as_frequent_as_in_the_data_and_shared_by_the_processes(train: ModuleType) -> None:
    class FakeRun:
        share = train.Run.share

        def __init__(self, rank: int, world: int) -> None:
            self.rng = torch.Generator().manual_seed(0)
            self.fabric = type(
                "Fabric", (), {"world_size": world, "global_rank": rank, "to_device": staticmethod(lambda x: x)}
            )

    labels = torch.tensor([0] * 30 + [1] * 10)
    whole = train.draw_labels(FakeRun(0, 1), labels, 20_000)
    assert whole.float().mean().item() == pytest.approx(0.25, abs=0.01)
    shares = [train.draw_labels(FakeRun(rank, 2), labels, 20_000) for rank in range(2)]
    assert torch.equal(torch.cat(shares), whole)


def test_shuffled_labels_keep_their_numbers_and_lose_their_pictures(train: ModuleType) -> None:
    told, shuffled = (train.labelled(train.Config(shuffle_labels=lie)) for lie in (False, True))
    assert torch.equal(told.labels.bincount(), shuffled.labels.bincount())
    assert torch.equal(told.images, shuffled.images)
    assert (told.labels == shuffled.labels).float().mean().item() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", 30], "--size must be 4, 5, 6 or 7 times a power of two"),
        (["--batch-size", 1], "--batch-size must be at least 2"),
        (["--width", 0], "--width must be above 0"),
        (["--n-discriminator", 0], "--n-discriminator must be above 0"),
        (["--lambda-class", -1], "--lambda-class must be at least 0"),
        (["--beta1", 1.0], "--beta1 must be below 1"),
        (["--lr-g", 0], "--lr-g must be above 0"),
    ],
)
def test_wrong_settings_get_one_line(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script(TRAIN, "--max-steps", 2, "--out", tmp_path / "run", *arguments)
    message = errors.strip().splitlines()[-1]
    assert code == 2 and message.startswith("error: ") and expected in message and "Traceback" not in errors


def test_the_paper_preset_is_the_papers_setting(script: Script, train: ModuleType) -> None:
    paper = train.PRESETS["paper"]
    assert (paper.loss, paper.n_discriminator, paper.latent_dim, paper.batch_size) == ("hinge", 5, 128, 64)
    assert (paper.lr_g, paper.lr_d, paper.beta1, paper.beta2) == (2e-4, 2e-4, 0.0, 0.9)
    assert paper.spectral_norm and paper.pool == "sum" and paper.condition == "projection" and paper.max_steps == 50_000
    code, printed, _ = script(TRAIN, "--preset", "paper", "--max-steps", 0, "--data", "mnist-10k", "--size", 32)
    assert code == 0 and "parameters" in printed


# ----------------------------------------------------------------------------------------------- own pictures


def pictures_of(folder: Path, classes: dict[str, int], size: int = 16) -> Path:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.effect_noise((size, size), 20 + i).save(folder / name / f"{i}.png")
    return folder


def test_subfolders_are_classes_and_can_be_asked_for_by_name(script: Script, tmp_path: Path) -> None:
    folder = pictures_of(tmp_path / "pets", {"cats": 12, "dogs": 8, "2 frogs": 4})
    run = tmp_path / "run"
    code, printed, _ = script(
        TRAIN, *SMALL, "--data", folder, "--size", 16, "--channels", 1, "--max-steps", 2, "--out", run
    )
    assert code == 0 and "24 pictures, 1×16×16" in printed
    weights, made = run / "weights.safetensors", tmp_path / "made"
    for label, name in (("cats", "cats"), ("DOGS", "dogs"), ("0", "2_frogs")):
        code, _, errors = script(GENERATE, "--weights", weights, "--label", label, "--num", 3, "--out", made)
        assert code == 0, errors
        assert Image.open(made / f"grid_weights-run_label-{name}.png").size == ((3 * 18 + 2) * 2, 20 * 2)
    code, _, errors = script(GENERATE, "--weights", weights, "--label", "frog", "--out", made)
    assert code == 2 and "the classes are 0 2 frogs, 1 cats, 2 dogs" in errors
    code, _, _ = script(GENERATE, "--weights", weights, "--neighbours", "--interpolate", "--out", made)
    assert code == 0
    assert Image.open(made / "grid_weights-run.png").size == ((3 * 18 + 2) * 2, (10 * 18 + 2) * 2)  # a class a column
    code, _, errors = script(GENERATE, "--weights", weights, "--score", "--out", made)
    assert code == 2 and "a score needs 40 real pictures" in errors


def test_data_without_classes_gets_one_line(
    train: ModuleType, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = pictures_of(tmp_path / "flat", {".": 4})
    code, _, errors = script(TRAIN, "--data", flat, "--out", tmp_path / "run")
    assert code == 2 and "have no labels: put the pictures of each class into a subfolder" in errors.splitlines()[-1]
    single = pictures_of(tmp_path / "single", {"cats": 4})
    code, _, errors = script(TRAIN, "--data", single, "--out", tmp_path / "run")
    assert code == 2 and "has only the class 'cats'" in errors.splitlines()[-1]
    digits = data.load("mnist-10k")
    for labels, message in (
        (digits.labels + 1, "labels 1 to 10 of mnist-10k do not fit its 10 classes"),
        (digits.labels[:, None].expand(-1, 2), "several labels each"),
    ):
        monkeypatch.setattr(train, "load", lambda *_, labels=labels, **__: replace(digits, labels=labels))
        with pytest.raises(UserError, match=message):
            train.labelled(train.Config())


def test_a_class_without_pictures_is_named(tmp_path: Path) -> None:
    folder = pictures_of(tmp_path / "pets", {"cats": 2, "dogs": 2})
    (folder / ".hidden").mkdir()
    assert data.load(str(folder), size=8).classes == ("cats", "dogs")
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", folder)
    assert data.load(archive, size=8).classes == ("cats", "dogs")
    (folder / "birds").mkdir()
    with pytest.raises(UserError, match=r"no pictures in the subfolder birds of .*: every subfolder is a class"):
        data.load(str(folder), size=8)
    (folder / "birds" / "notes.txt").write_text("none yet")
    with pytest.raises(UserError, match="no pictures in the subfolder birds"):
        data.load(str(folder), size=8)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.mkdir("birds")
    with pytest.raises(UserError, match="no pictures in the subfolder birds"):
        data.load(archive, size=8)
    # Where pictures lie outside of subfolders too there are no classes, and an empty folder does no harm
    shutil.copy(folder / "cats" / "0.png", folder / "0.png")
    assert data.load(str(folder), size=8).classes == ()


# ------------------------------------------------------------------------------------------------------- generate


def test_truncation_keeps_what_is_within_and_draws_the_rest_from_the_cut_normal(generate: ModuleType) -> None:
    plain = generate.draw_latents(2000, 100, None, torch.Generator().manual_seed(0))
    assert torch.equal(plain, torch.randn(2000, 100, generator=torch.Generator().manual_seed(0)))
    cut = generate.draw_latents(2000, 100, 0.7, torch.Generator().manual_seed(0))
    assert cut.abs().max() <= 0.7
    inside = plain.abs() <= 0.7
    assert torch.equal(cut[inside], plain[inside]) and not torch.equal(cut, plain)
    # The cut normal: variance 1 - 2 t phi(t) / (2 Phi(t) - 1), and its distribution function at a few points
    phi = math.exp(-0.245) / math.sqrt(2 * math.pi)
    mass = math.erf(0.7 / math.sqrt(2))
    assert cut.var().item() == pytest.approx(1 - 2 * 0.7 * phi / mass, rel=0.02)
    for point in (-0.5, -0.2, 0.0, 0.3, 0.6):
        below = 0.5 + 0.5 * math.erf(point / math.sqrt(2)) / mass
        assert (cut < point).float().mean().item() == pytest.approx(below, abs=0.006)


def test_asked_for_counts_by_class(chapter: Chapter) -> None:
    scores = chapter(FOLDER, "scores")
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 2, 2])
    seen = torch.tensor([0, 1, 1, 1, 1, 0, 0, 0])
    assert scores.asked_for(F.one_hot(seen, 3).float(), labels, 3) == [0.5, 0.75, 0.0]


def test_variety_is_one_for_twins_in_distribution_and_zero_for_copies(chapter: Chapter) -> None:
    scores = chapter(FOLDER, "scores")
    torch.manual_seed(0)
    centres, labels = 10 * torch.randn(3, 64), torch.arange(900) % 3
    real, fake = (centres[labels] + torch.randn(900, 64) for _ in range(2))
    assert scores.variety(fake, labels, real, labels) == pytest.approx([1, 1, 1], abs=0.03)
    half = scores.variety(centres[labels] + 0.5 * (fake - centres[labels]), labels, real, labels)
    assert half == pytest.approx([0.5, 0.5, 0.5], abs=0.02)
    assert scores.variety(centres[labels], labels, real, labels) == pytest.approx([0, 0, 0], abs=1e-3)
    pair = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [1.0, 3.0]])
    by_hand = scores.variety(pair, torch.tensor([0, 0, 1, 1]), 2 * pair, torch.tensor([0, 0, 1, 1]))
    assert by_hand == pytest.approx([0.5, 0.5])
    ignored = scores.variety(fake, labels.roll(1)[torch.randperm(900)], real, labels)
    assert min(ignored) > 2  # a label that means nothing mixes the classes


def test_a_walk_begins_and_ends_at_its_classes(generate: ModuleType) -> None:
    for condition in CONDITIONS:
        torch.manual_seed(0)
        generator = generate.Generator(condition, latent_dim=8, width=4).eval()
        for norm in generator.norms:
            if hasattr(norm, "gain"):
                nn.init.normal_(norm.gain.weight)
        z = torch.randn(3, 8)
        steps = generate.walk(generator, z, 2, 5, steps=5)
        assert steps.shape == (5, 3, 1, 28, 28)
        torch.testing.assert_close(steps[0], generator(z, torch.full((3,), 2)))
        torch.testing.assert_close(steps[-1], generator(z, torch.full((3,), 5)))
        assert not torch.allclose(steps[2], steps[0]) and not torch.allclose(steps[2], steps[-1])


def test_labels_are_found_by_name_and_number(generate: ModuleType) -> None:
    assert [generate.find_label(text, list(data.DIGITS)) for text in ("0", "7")] == [0, 7]
    assert [generate.find_label(text, list(data.CLOTHES)) for text in ("Sneaker", "ankle boot", "7")] == [7, 9, 7]
    assert generate.find_label("7", ["7", "9"]) == 0  # a name goes before a number
    assert [generate.find_label(text, ["a", "A"]) for text in ("a", "A")] == [0, 1]
    for text in ("12", "-1", "seven", "", "0.5"):
        with pytest.raises(UserError, match=r"the classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9$"):
            generate.find_label(text, list(data.DIGITS))
    with pytest.raises(UserError, match="0 T-shirt, 1 trouser"):
        generate.find_label("hat", list(data.CLOTHES))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--label", 12], "--label: there is no class '12'; the classes are 0, 1, 2"),
        (["--truncation", 0], "--truncation must be at least 0.05"),
        (["--num", 0], "--num must be above 0"),
        (["--score", "--label", 3], "leave --label away"),
        (["--score", "--num", 10], "--num must be at least 1,000"),
        (["--weights", "/no/such.safetensors"], "there are no weights"),
    ],
)
def test_generate_explains_wrong_input(script: Script, tmp_path: Path, arguments: list[object], expected: str) -> None:
    code, _, errors = script(GENERATE, "--out", tmp_path, *arguments)
    assert code == 2 and expected in errors.splitlines()[-1] and "Traceback" not in errors


def test_generate_lays_out_the_classes_or_one_of_them(script: Script, tmp_path: Path) -> None:
    code, _, errors = script(GENERATE, "--out", tmp_path)
    assert code == 0, errors
    assert Image.open(tmp_path / "grid.png").size == ((10 * 30 + 2) * 2,) * 2
    code, _, _ = script(GENERATE, "--label", 7, "--truncation", 0.7, "--out", tmp_path)
    assert code == 0 and Image.open(tmp_path / "grid_label-7_truncation-0.7.png").size == ((8 * 30 + 2) * 2,) * 2


def test_shipped_weights_draw_what_is_asked_for(chapter: Chapter) -> None:
    """The shipped generator keeps the promises of the README: asked-for class, variety inside it, FCD."""
    from common.images import to_uint8
    from common.scores import evaluate, yardstick

    generate, scores = chapter(FOLDER, "generate"), chapter(FOLDER, "scores")
    generator, settings = generate.load_generator()
    assert settings["condition"] == "projection" and settings["names"] == list(data.DIGITS)
    labels = torch.arange(5000) % 10
    z = torch.randn(5000, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fake = to_uint8(torch.cat([generator(*part) for part in zip(z.split(500), labels.split(500))]))
    assert evaluate(fake, yardstick("mnist-10k")).fcd <= 2
    _, numbers = scores.class_report(fake, labels, "mnist-10k")
    assert numbers["asked_for"] >= 0.97 and min(numbers["asked_for_by_class"]) >= 0.9
    assert 0.8 <= numbers["variety"] <= 1.1
    with pytest.raises(UserError, match="the generator has 7 classes, the pictures of mnist-10k have 10"):
        scores.class_report(fake, labels % 7, "mnist-10k")


# ------------------------------------------------------------------------------------------------------- the line


def test_the_best_logit_is_the_sum_of_its_two_parts(line: ModuleType) -> None:
    """Section 3 of arXiv:1802.05637: log p(x,y)/q(x,y) = log p(y|x)/q(y|x) + log p(x)/q(x), by numbers."""
    x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    p = line.joint_density(x, torch.tensor([-1.0, 1.0]))
    q = line.joint_density(x, torch.tensor([0.5, 2.0]), std=1.5)
    assert (p.sum() * 0.01).item() == pytest.approx(1, abs=1e-4)
    about_label, about_picture = line.projection_form(p, q)
    best = line.optimal_discriminator(p, q)
    torch.testing.assert_close(about_label + about_picture, best.logit())
    value = p * best.log() + q * (1 - best).log()
    for shift in (-1e-3, 1e-3):
        other = (best + shift).clamp(1e-6, 1 - 1e-6)
        assert (p * other.log() + q * (1 - other).log()).sum() < value.sum()
    # A generator that swaps the labels: p(x) and q(x) are equal, so all that D can see is about the label
    swapped = line.joint_density(x, torch.tensor([1.0, -1.0]))
    about_label, about_picture = line.projection_form(p, swapped)
    assert about_picture.abs().max() < 1e-12 and about_label.abs().max() > 1


def test_densities_are_those_of_the_samples(line: ModuleType) -> None:
    torch.manual_seed(0)
    labels = torch.randint(2, (100_000,))
    points = line.line_sample(labels).squeeze(1)
    centres = torch.tensor(line.CENTRES)
    for label, (low, high) in itertools.product((0, 1), ((-1.0, 0.0), (0.0, 2.0))):
        x = torch.linspace(low, high, 2001)
        mass = line.joint_density(x, centres)[:, label].mean().item() * (high - low)
        share = ((points > low) & (points < high) & (labels == label)).float().mean().item()
        assert share == pytest.approx(mass, abs=0.005)
    assert line.other_side(points[:, None], labels) == pytest.approx(0.5 * math.erfc(1 / math.sqrt(2)), abs=0.005)


def test_line_runs_as_a_script(script: Script, tmp_path: Path) -> None:
    code, printed, _ = script(f"{FOLDER}/line.py", "--steps", 3, "--condition", "auxiliary", "--out", tmp_path)
    assert code == 0 and "other class's side" in printed
    assert Image.open(tmp_path / "auxiliary.png").size == (400, 240)
    code, _, errors = script(f"{FOLDER}/line.py", "--steps", 0)
    assert code == 2 and "--steps must be above 0" in errors
    code, _, errors = script(f"{FOLDER}/line.py", "--lr", -1)
    assert code == 2 and "--lr must be above 0" in errors
