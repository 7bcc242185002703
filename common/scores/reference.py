"""What the scores measure with: a frozen classifier, and real pictures that the scored run has not seen."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as resizing

from common import require
from common.data import Pictures, load
from common.scores.classifier import FEATURES, Classifier, embed

# SHA-256 of the weights and of the reference of each network
PINNED = {
    "mnist-cnn64-v1.safetensors": "197bb421b6c5a3a15953ad92d63f60f0db2cf742547320a1f02ce2d9390a49f0",
    "mnist-cnn64-v1-reference.safetensors": "26119f81f9cb15172cf51ebf826068c677d9a0a916f9f286ad88759be739d423",
    "avatars-cnn64-v1.safetensors": "9877f445fe4625e07caf51c61b9201153cfd9da58ed26b6485f6d723949ad0a5",
    "avatars-cnn64-v1-reference.safetensors": "a31151a173a1a6fda0e28b0c7d7168b6cc03b188e75d890415d241a1a1a9d2bc",
    "fashion-mnist-cnn64-v1.safetensors": "df0e7e4efec7fdd74e711eea33b9152724aba5c18b75ee6406833acd5f896110",
    "fashion-mnist-cnn64-v1-reference.safetensors": "4edb8fdc34af11be8c08c955f5daa62d3b0c003a92dc55c870f38cc310a0f2ac",
}
# A run on the starter pictures, which are the test set, is scored against the training set, and the other way round.
FULL = {"mnist-10k": "mnist", "fashion-10k": "fashion-mnist"}
STARTER = {full: starter for starter, full in FULL.items()}
LEAST_OWN = 40  # pictures of your own that a score needs: half of them are the floor


@dataclass(frozen=True)
class Yardstick:
    """A frozen feature network and the reference pictures as it sees them."""

    network: Classifier
    network_id: str  # name and hash of the weights
    reference: str  # which pictures; never those that the scored run was trained on
    mean: Tensor  # float64 [64]
    covariance: Tensor  # float64 [64, 64]
    sample: Tensor  # float32 [5000, 64]
    held_out: Tensor  # uint8 [M, C, H, W]: real pictures that are not in the reference, for the floor
    names: tuple[str, ...]  # of the classes; for faces, of their attributes with the values 0 and 1


@cache
def yardstick(data_name: str) -> Yardstick:
    """The feature network and reference for a run trained on `data_name`; raises `UserError` if there is none.

    Runs on the 10,000 starter pictures (MNIST's test set) are scored against the 60,000 training pictures, of which the
    statistics come with the course. Runs on the training set are scored against the 10,000 test pictures.
    """
    family = FULL.get(data_name, data_name)
    name = f"{family}-cnn64-v1"
    unknown = f"there is no classifier for the pictures of {data_name}: score them with --inception (the published FID)"
    require(has_classifier(data_name), unknown)
    known = load(STARTER.get(family, family))
    real, names, faces = known.all(), known.classes, known.labels.ndim == 2
    heads = tuple((known.labels.amax(0) + 1).tolist()) if faces else (len(names),)
    if faces:
        names = tuple(attribute for attribute, values in zip(names, heads, strict=True) if values == 2)
    network = Classifier(known.size, known.channels, heads).eval().requires_grad_(False)
    network.load_state_dict(_read_pinned(f"{name}.safetensors"))
    network_id = f"{name}@{PINNED[f'{name}.safetensors'][:8]}"
    if data_name == family and not faces:
        features, _ = embed(network, real)
        some = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))  # MNIST's first are easier
        training, reference = load(data_name).all(), "10,000 test pictures"
        return Yardstick(network, network_id, reference, *statistics(features), features[some[:5000]], training, names)
    stored = _read_pinned(f"{name}-reference.safetensors")
    mean, covariance, sample = stored["mean"], stored["covariance"], stored["sample"].float()
    reference = "10,000 other faces" if faces else "60,000 training pictures"
    return Yardstick(network, network_id, reference, mean, covariance, sample, real, names)


def has_classifier(data_name: str) -> bool:
    """Whether `yardstick` knows these pictures."""
    return f"{FULL.get(data_name, data_name)}-cnn64-v1.safetensors" in PINNED


def own_yardstick(data: Pictures) -> Yardstick:
    """For pictures that no classifier knows: the network of the drawn faces, whose classes say nothing here.

    The pictures, as the run saw them, get the size and colours of the network. Half of them are the reference, the others
    the floor. The run has seen both. Raises `UserError`.
    """
    weights = _read_pinned("avatars-cnn64-v1.safetensors")
    network = Classifier(64, 3, (len(weights["head.1.bias"]),)).eval().requires_grad_(False)  # all attributes as one
    network.load_state_dict(weights)
    network_id = f"avatars-cnn64-v1@{PINNED['avatars-cnn64-v1.safetensors'][:8]}"
    require(len(data) >= LEAST_OWN, f"a score needs {LEAST_OWN} real pictures, and {data.name} has {len(data)}")
    some = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:10_000].split(500)  # soon done
    parts = (data[places.tolist()][0].expand(-1, 3, -1, -1) for places in some)  # large ones would fill the memory
    mixed = torch.cat([resizing.resize(part, [network.size] * 2, antialias=True) for part in parts])
    reference, floor = mixed[: 2 * (len(mixed) // 2)].chunk(2)
    features, _ = embed(network, reference)
    known = f"{len(reference):,} pictures of {data.name}, which the run has seen"
    return Yardstick(network, network_id, known, *statistics(features), features[:5000], floor, ())


def _read_pinned(file: str) -> dict[str, Tensor]:
    path = FEATURES / file
    content = path.read_bytes() if path.is_file() else b""
    pinned = hashlib.sha256(content).hexdigest() == PINNED[file]
    require(pinned, f"{path} is missing, or not the file that the scores were defined with; fetch it again")
    return safetensors.torch.load(content)


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [N, D], in double precision."""
    return features.double().mean(0), features.double().T.cov()


def held_out(data_name: str, **sizes: Any) -> Pictures:
    """Real pictures that a run on `data_name` has not seen; of a learner's own folder there are only the seen ones."""
    split = "train" if data_name in FULL else "test"
    return load(FULL.get(data_name, data_name), split=split, **sizes)
