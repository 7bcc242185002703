"""The scores against results computed another way."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.transforms.v2 import functional as resizing
from torchvision.transforms.v2.functional import gaussian_blur, to_pil_image

from common import UserError, data
from common.scores import (
    Classifier,
    Yardstick,
    embed,
    evaluate,
    fcd,
    inception_report,
    modes_covered,
    nearest,
    own_yardstick,
    reference,
    report,
    tables,
    yardstick,
)
from tests import train_classifier


@pytest.fixture(scope="module", params=["mnist-10k", "fashion-10k"])
def stick(request: pytest.FixtureRequest) -> Yardstick:
    return yardstick(request.param)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    images = data.load("mnist-10k").images
    assert isinstance(images, Tensor)
    return images


def test_the_classifiers_are_as_good_as_promised(stick: Yardstick) -> None:
    family = stick.network_id.split("-cnn64")[0]
    labels = data.load({"mnist": "mnist-10k", "fashion-mnist": "fashion-10k"}[family]).labels
    _, logits = embed(stick.network, stick.held_out)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert accuracy >= {"mnist": 0.992, "fashion-mnist": 0.92}[family]


def test_files_are_small_and_pinned() -> None:
    for file, sha256 in reference.PINNED.items():
        content = (reference.FEATURES / file).read_bytes()
        assert len(content) < 2**20
        assert hashlib.sha256(content).hexdigest() == sha256


def test_a_classifier_is_trained_and_stored_as_the_scores_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Tensor
) -> None:
    """tests/train_classifier.py on few digits: the weights and their reference fit each other."""
    few = replace(data.load("mnist-10k"), images=digits[:640], labels=data.load("mnist-10k").labels[:640])
    monkeypatch.setattr(train_classifier, "load", lambda _, split: few)
    monkeypatch.setattr(train_classifier, "FEATURES", tmp_path)
    monkeypatch.setattr(train_classifier, "EPOCHS", 1)
    train_classifier.main(train_classifier.Config(name="mnist"))
    weights, kept = (load_file(tmp_path / f"mnist-cnn64-v1{part}.safetensors") for part in ("", "-reference"))
    network = Classifier().eval()
    network.load_state_dict(weights)
    features, _ = embed(network, few.all())
    torch.testing.assert_close(kept["mean"], features.double().mean(0), atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(kept["covariance"], features.double().T.cov(), atol=1e-5, rtol=1e-3)
    assert features.mean(0).abs().max() < 1e-3 and (features.std(0) - 1).abs().max() < 0.1  # exact but for eps


def test_a_changed_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mnist-cnn64-v1.safetensors"
    changed = bytearray((reference.FEATURES / name).read_bytes())
    changed[-1] ^= 1
    (tmp_path / name).write_bytes(bytes(changed))
    monkeypatch.setattr(reference, "FEATURES", tmp_path)
    with pytest.raises(UserError, match="not the file that the scores were defined with"):
        reference._read_pinned(name)


def test_features_are_linear_standardised_and_alive(stick: Yardstick) -> None:
    features, _ = embed(stick.network, stick.held_out)
    assert features.shape == (10_000, 64)
    assert features.mean(0).abs().max() < 0.2 and ((features.std(0) - 1).abs() < 0.2).all()
    assert (features < 0).float().mean(0).min() > 0.05  # a ReLU embedding would have none below zero


def test_fcd_of_gaussians_is_the_closed_form() -> None:
    """Commuting covariances: the distance is |m1 - m2|^2 + sum (s1 - s2)^2 over the axes."""
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((4000, 5))
    raw = (raw - raw.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T  # exactly mean 0, covariance 1
    scale, shift = np.array([1.0, 2.0, 0.5, 1.5, 3.0]), np.array([1.0, 0.0, -1.0, 0.5, 0.0])
    features = torch.from_numpy(raw * scale + shift)
    other = np.array([2.0, 2.0, 1.0, 1.0, 1.0])
    found = fcd(features, torch.zeros(5, dtype=torch.float64), torch.from_numpy(np.diag(other**2)))
    assert found == pytest.approx((shift**2).sum() + ((scale - other) ** 2).sum(), rel=1e-4)


def test_floor_order_and_halves(stick: Yardstick) -> None:
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    first, second = stick.held_out[order[:5000]], stick.held_out[order[5000:]]
    real = evaluate(first, stick)
    assert real.fcd < 0.6
    halves = [embed(stick.network, half)[0] for half in (first, second)]
    assert fcd(halves[0], *reference.statistics(halves[1])) < 0.6
    assert abs(real.kcd) < 0.02
    blurred = evaluate(gaussian_blur(first, [5, 5], [1.0, 1.0]), stick)
    noise = evaluate(torch.randint(0, 256, (1000, 1, 28, 28), dtype=torch.uint8), stick)
    assert real.fcd < blurred.fcd < noise.fcd
    assert real.precision > 0.6 and real.recall > 0.6
    assert noise.recall < 0.05


def test_faces_have_a_yardstick_with_floor_and_degraded_reference() -> None:
    """Half of the faces against other faces: near zero; blurred: far; one half of the attributes missing: seen."""
    stick = yardstick("avatars")
    faces = data.load("avatars")
    values = stick.network.values(embed(stick.network, stick.held_out[:2000])[1])
    right = (values == faces.labels[:2000]).double().mean(0)
    for name in ("glasses", "beard", "hat", "long hair"):
        assert right[faces.classes.index(name)] > 0.98, name
    real = evaluate(stick.held_out[:2000], stick)
    blurred = evaluate(gaussian_blur(stick.held_out[:2000], [11, 11], [2.3, 2.3]), stick)
    with_glasses = stick.held_out[faces.labels[:, faces.classes.index("glasses")] == 1]
    half = evaluate(with_glasses[:2000], stick)
    assert real.fcd < 1.5 and real.recall > 0.6
    assert blurred.fcd > 5 * real.fcd and half.fcd > 2 * real.fcd
    assert half.class_shares[stick.names.index("glasses")] > 0.95
    assert 0.25 < real.class_shares[stick.names.index("glasses")] < 0.36


def test_pictures_of_another_size_are_judged_as_real_ones_of_that_size() -> None:
    """Real pictures that went through the same two resizes stand beside them: the floor moves with the size."""
    stick = yardstick("mnist-10k")
    small = resizing.resize(stick.held_out[:1000], [16, 16], antialias=True)
    text, numbers = report(small, stick)
    assert "resized from 16×16 to 28×28" in text
    scores = numbers["scores"]
    assert scores["generated"]["fcd"] == pytest.approx(scores["real (floor)"]["fcd"], rel=0.3)
    assert scores["real (floor)"]["fcd"] > 2 * evaluate(stick.held_out[:1000], stick).fcd


def test_missing_classes_cost_recall_and_distance(digits: Tensor) -> None:
    stick = yardstick("mnist-10k")
    labels = data.load("mnist-10k").labels
    half = evaluate(digits[labels < 5][:5000], stick)
    assert half.recall < 0.65 and half.fcd > 5
    assert sum(half.class_shares[5:]) < 0.01
    assert half.cs < 5.2


def test_the_best_classifier_score_is_below_the_number_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that is certain, of classes that are equally frequent: in parts of 500 they are so only nearly."""
    stick = yardstick("mnist-10k")
    certain = 200 * torch.eye(10)[torch.arange(5000) % 10]
    monkeypatch.setattr(tables, "embed", lambda *_: (stick.sample, certain))
    found = evaluate(torch.zeros(5000, 1, 28, 28, dtype=torch.uint8), stick)
    parts = certain.argmax(1)[np.random.RandomState(2020).permutation(5000)].chunk(10)  # as torch-fidelity shuffles
    shares = [part.bincount(minlength=10) / 500 for part in parts]
    expected = np.mean(
        [float(torch.exp(-(share * share.log()).sum())) for share in shares]
    )  # exp of the entropy of p(y)
    assert found.cs == pytest.approx(expected, rel=1e-4) == pytest.approx(9.92, abs=0.005)
    assert found.class_shares == pytest.approx([0.1] * 10)


def test_kernel_distance_against_its_definition(digits: Tensor) -> None:
    """One subset that is the whole set: the unbiased MMD with kernel (x.y / 64 + 1)^3, by plain loops over matrices."""
    stick = yardstick("mnist-10k")
    x = embed(stick.network, gaussian_blur(digits[:500], [5, 5]))[0].double().numpy()
    y = stick.sample[:500].double().numpy()
    k = [(a @ b.T / 64 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    off = [(m.sum() - np.trace(m)) / (500 * 499) for m in k[:2]]
    expected = off[0] + off[1] - 2 * k[2].mean()
    from torch_fidelity.metric_kid import kid_features_to_metric

    found = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=500, verbose=False
    )
    assert found["kernel_inception_distance_mean"] == pytest.approx(expected, rel=1e-6)


def test_scores_refuse_floats_other_sizes_and_few_pictures(digits: Tensor) -> None:
    stick = yardstick("mnist-10k")
    with pytest.raises(UserError, match="uint8"):
        evaluate(torch.rand(1000, 1, 28, 28), stick)
    with pytest.raises(UserError, match=r"pictures of \(1, 28, 28\) numbers"):
        evaluate(torch.zeros(1000, 3, 32, 32, dtype=torch.uint8), stick)
    with pytest.raises(UserError, match="at least 1,000"):
        evaluate(digits[:500], stick)
    with pytest.raises(UserError, match="at most 10,000"):
        report(digits.repeat(2, 1, 1, 1), stick)
    with pytest.raises(UserError, match="no classifier for the pictures of cifar10"):
        yardstick("cifar10")


def test_the_reference_is_never_the_training_set(digits: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """mnist-10k are MNIST's test digits: a run on them is judged by the 60,000, a run on the 60,000 by them."""
    stick = yardstick("mnist-10k")
    assert stick.reference == "60,000 training pictures" and torch.equal(stick.held_out, digits)
    starter = data.load("mnist-10k")
    monkeypatch.setattr(reference, "load", lambda _: starter)  # as if the training set had been downloaded
    judge = yardstick.__wrapped__("mnist")
    features = embed(judge.network, digits)[0]
    torch.testing.assert_close(judge.mean, features.double().mean(0))
    # A sample of all 10,000: the first half comes from tidier writers than the second.
    halves = [
        sum(row in half for row in judge.sample.tolist()) for half in map(torch.Tensor.tolist, features.split(5000))
    ]
    assert sum(halves) >= 5000 and all(2300 < count < 2700 for count in halves)


def test_the_inception_path_names_the_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Tensor
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"weights-inception-2015-12-05-6726825d.pth is not in .*leave out --inception"):
        inception_report(digits[:1000], data.load("mnist-10k"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / tables.INCEPTION_FILE).write_bytes(b"no network")
    with pytest.raises(UserError, match="is damaged"):
        inception_report(digits[:1000], data.load("mnist-10k"))


def test_nearest_finds_the_picture_itself_and_the_closest_otherwise(digits: Tensor) -> None:
    assert nearest(digits[5:8], digits[:100]).tolist() == [5, 6, 7]
    changed = digits[5:8].clone()
    changed[:, 0, :3] += 9
    assert nearest(changed, digits[:100]).tolist() == [5, 6, 7]
    far = [3, 1005, 2499]  # the training set is read a thousand at a time
    assert nearest(digits[far], digits[:2500]).tolist() == far
    others = digits[5000:5020]
    expected = (others.flatten(1)[:, None].double() - digits[:2500].flatten(1)[None].double()).norm(dim=2).argmin(1)
    assert nearest(others, digits[:2500]).tolist() == expected.tolist()


def test_modes_are_counted() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = torch.cat(
        [torch.zeros(60, 2), torch.tensor([[10.0, 0.29]]).repeat(30, 1), torch.tensor([[10.0, 0.31]]).repeat(10, 1)]
    )
    covered, inside = modes_covered(points, centres, std=0.1)
    assert (covered, inside) == (2, 0.9)
    assert modes_covered(points[:60], centres, std=0.1) == (1, 1.0)


# ------------------------------------------------------------------------------------------------- your own pictures


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of 120 pictures that no classifier knows by that name."""
    folder = tmp_path_factory.mktemp("clothes")
    for i, picture in enumerate(data.load("fashion-10k").images[:120]):
        to_pil_image(picture).save(folder / f"{i}.png")
    return str(folder)


def test_own_pictures_are_scored_beside_their_floor(clothes: str) -> None:
    """Others of the kind score as the floor does, blurred ones worse, other things worst; and copies are called so."""
    stick = own_yardstick(data.load(clothes, 28, 1))
    others, digits = (data.load(name).images[-200:] for name in ("fashion-10k", "mnist-10k"))
    text, good = tables.own_report(others, stick)
    bad = tables.own_report(digits, stick)[1]["scores"]
    floor, blurred = good["scores"]["real (floor)"], good["scores"]["blurred real"]
    assert good["scores"]["generated"]["kcd"] < floor["kcd"] + 2 * floor["kcd_std"] < bad["generated"]["kcd"]
    assert floor["kcd"] < blurred["kcd"] < bad["generated"]["kcd"]
    assert good["scores"]["generated"]["precision"] > 0.6 > 0.2 > bad["generated"]["recall"]
    assert "60 pictures of" in text and "made for drawn faces" in text and "copies" not in text
    copies = data.load(clothes, 28, 1).all().repeat(2, 1, 1, 1)
    said, copied = tables.own_report(copies, stick)
    assert "look for copies" in said and copied["scores"]["generated"]["nearest"] < 0.1 * floor["nearest"]
    features, _ = embed(stick.network, resizing.resize(others.expand(-1, 3, -1, -1), [64, 64], antialias=True))
    near = (features[:, None] - stick.sample[None]).norm(dim=2).min(1).values
    assert good["scores"]["generated"]["nearest"] == pytest.approx(near.quantile(0.25).item(), rel=1e-4)


def test_own_pictures_wait_for_no_face_to_be_drawn(
    clothes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network of the faces alone is needed, and it sees what it sees for faces."""
    faces = yardstick("avatars")
    monkeypatch.setenv("GAN_DATA", str(tmp_path))
    stick = own_yardstick(data.load(clothes, 28, 1))
    assert not list(tmp_path.rglob("*")) and stick.network_id == faces.network_id
    assert all(map(torch.equal, embed(stick.network, stick.held_out), embed(faces.network, stick.held_out)))


def test_a_score_of_own_pictures_needs_some(clothes: str) -> None:
    real = data.load(clothes, 28, 1)
    with pytest.raises(UserError, match="--num must be at least 40"):
        tables.own_report(torch.zeros(39, 1, 28, 28, dtype=torch.uint8), own_yardstick(real))
    with pytest.raises(UserError, match=r"needs 40 real pictures, and .* has 39"):
        own_yardstick(replace(real, images=real.images[:39]))
