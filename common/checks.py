"""Checks of exercises: "right", "not answered yet", or in words what is wrong. A check never ends in a traceback.

Your code and the chapter's go through the same experiment, from the same random numbers, and all that comes out is compared.
Where the two part, your results are compared with those of the usual mistakes.
"""

import dis
import itertools
import math
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

Experiment = Callable[[Any], Mapping[str, Any]]  # from a function or class to all that comes out, by name
Build = Callable[[], nn.Module]
PLURAL = re.compile(r"^(your (?:\S+ )?\w*[b-rt-z]s\b[^:]*? )(is|has)\b")  # "your scores is" should be "are"


class NotYet(Exception):
    """What is wrong with an answer, in words."""


def blank(answer: Any) -> bool:
    """Whether an answer is still the three dots."""
    steps = [[step.opname for step in dis.get_instructions(_code(f))] for f in (answer, _blank) if _code(f)]
    return answer is ... or steps[:1] == steps[1:]


def answered(*answers: Any, **earlier: Any) -> bool:
    """Whether none of the answers is still the three dots; says so if one is, and of an earlier step's (`step_6=…`) which."""
    asked = [("", answer) for answer in answers] + [(f"step {name[5:]} is ", one) for name, one in earlier.items()]
    if left := [f"{which}not answered yet" for which, answer in asked if blank(answer)]:
        print(left[0])
    return not left


def check_number(answer: Any, expected: float, tolerance: float = 0.01, hint: str = "", why: str = "") -> None:
    """Compare a number with the right one, to a relative `tolerance` (absolute below 1); `why` follows "right"."""
    if not answered(answer):
        return
    try:
        number = math.nan if isinstance(answer, (bool, str)) else float(answer)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = math.nan
    within = tolerance * max(1.0, abs(expected))
    if math.isnan(number):
        print(f"give a number, not {type(answer).__name__}")
    elif abs(number - expected) <= within:
        print(f"right: {why}" if why else "right")
    else:
        wrong = "too large" if number > expected else "too small"
        wrong = "of the wrong sign" if abs(number + expected) <= within else wrong
        print(f"not yet: {number:.4g} is {wrong}. {hint}".rstrip())


def check_choice(answer: Any, right: str, wrong: Mapping[str, str], why: str = "") -> None:
    """Check a letter; `wrong` says for each wrong letter why it is wrong, and `why` what makes the right one right."""
    if not answered(answer):
        return
    letter = str(answer).strip(" .()").lower()
    if letter == right:
        print(f"right: {why}" if why else "right")
    else:
        print(f"not yet: {wrong.get(letter, f'answer with one of {sorted([right, *wrong])}')}")


def on_cases(cases: Sequence[tuple[Any, ...]]) -> Experiment:
    """The experiment that calls a function with each of the cases."""
    return lambda function: {f"result in case {i}": function(*deepcopy(case)) for i, case in enumerate(cases, 1)}


def check(
    answer: Any,
    right: Any,
    experiment: Experiment,
    mistakes: Mapping[str, Any],
    hint: str | Mapping[str, str] = "",  # of several, the first whose key occurs in what is wrong
    tolerance: float = 1e-5,
    why: str = "",
) -> None:
    """Compare what comes out for the learner's function or class and for the right one; `mistakes` are wrong ones, by their words."""
    if not answered(answer):
        return
    expected, found = _run(experiment, right), _run(experiment, answer)
    said = _difference(found, expected, tolerance)
    if not said and isinstance(found, dict) and isinstance(expected, dict):
        said = next((words for name in expected if (words := _cut_off(found[name], expected[name], name))), "")
        mistakes, hint = {}, ""
    for words, wrong in mistakes.items() if said else ():
        if not _difference(found, _run(experiment, wrong), tolerance):
            said, hint = words, ""
            break
    hint = hint if isinstance(hint, str) else next((words for part, words in hint.items() if part in said), "")
    said = PLURAL.sub(lambda m: m[1] + {"is": "are", "has": "have"}[m[2]], said) + "." * (said[-1:] not in ".?!")
    print(f"not yet: {said} {hint}".rstrip() if said else f"right: {why}" if why else "right")


def copy_weights(network: nn.Module, build: Build) -> None:
    """Give a learner's network the weights of the one that `build` makes, in order; random numbers go on alike from here."""
    torch.manual_seed(1)
    mine, other = dict(network.named_parameters()), list(build().parameters())
    shapes = [[weight.shape for weight in weights] for weights in (mine.values(), other)]
    if shapes[0] != shapes[1] and sorted(shapes[0]) == sorted(shapes[1]):
        raise NotYet("your weights come in another order: make the layers one after the other, as x passes them")
    for (name, weight), wanted in zip(mine.items(), other, strict=False):
        if weight.shape != wanted.shape:
            raise NotYet(f"{name} of your network has the shape {tuple(weight.shape)}, not {tuple(wanted.shape)}")
        weight.data.copy_(wanted.data)
    if len(mine) != len(other):
        raise NotYet(f"your network has {len(mine)} tensors of weights, not {len(other)}")


def left_by_update(losses: Any, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """All that one update leaves behind: the two losses that it returned, and the weights of the networks."""
    if not isinstance(losses, (tuple, list)) or len(losses) != 2:
        raise NotYet("return two losses: loss_d, loss_g")
    found = {f"loss_{who}": torch.as_tensor(loss).detach() for who, loss in zip("dg", losses, strict=True)}
    return found | {f"{name}'s weights": parameters_to_vector(net.parameters()) for name, net in networks.items()}


def as_it_was(network: nn.Module, pictures: Any) -> dict[str, Any]:
    """Pictures that a generator drew to be looked at. Says so if they carry a graph, or if it is not left as it was: ready to learn."""
    if isinstance(pictures, Tensor) and pictures.requires_grad:
        raise NotYet("the pictures carry a graph that nobody needs: torch.no_grad()")
    if not network.training:
        raise NotYet("the generator stays in eval mode: call generator.train() before you return")
    if not all(weight.requires_grad for weight in network.parameters()):
        raise NotYet("the generator's weights do not learn any more: torch.no_grad() leaves them as they are")
    return {"pictures": pictures}


def with_layers(kind: Build, old: type[nn.Module], new: Build) -> Build:
    """A usual mistake: the network that `kind` builds, with other layers in the place of those of one type."""

    def build() -> nn.Module:
        network = kind()
        for path in [path for path, layer in network.named_modules() if isinstance(layer, old)]:
            network.set_submodule(path, new())
        return network

    return build


def _blank() -> None:
    """What is left of a function without its solution."""
    ...


def _code(answer: Any) -> Any:
    """The compiled code of a function, or of a network's forward."""
    return getattr(getattr(answer, "forward", answer), "__code__", None)


def _run(experiment: Experiment, function: Any) -> dict[str, Tensor] | str:
    """The tensors that come out, or in words why there are none."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return {name: _tensor(name, result) for name, result in experiment(function).items()}
    except NotYet as words:
        return str(words)
    except Exception as error:  # whatever a learner's code can raise
        file = getattr(_code(function), "co_filename", "")
        own = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        if "NoneType" in str(error) and not own:  # it has come to its end, and nothing came out
            return "your code returns nothing: a `return` is missing"
        where = f" in the line `{own[-1]}`" if own and own[-1] else ""
        said = " ".join(str(error).split())[:200] + "; is an earlier step still blank?" * ("NoneType" in str(error))
        return f"your code raised {type(error).__name__}{where}: {said}"


def _tensor(name: str, result: Any) -> Tensor:
    if result is None:
        raise NotYet("your code returns nothing: a `return` is missing")
    try:
        return torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError):
        raise NotYet(f"your {name} is of the type {type(result).__name__}, and should be a tensor") from None


def _flowing_back(result: Tensor) -> list[float]:
    """The lengths of the gradients of a result by all tensors that learn through it, the largest first; empty where it has no graph."""
    leaves, seen, nodes = list[Tensor](), set[Any](), [result.grad_fn]
    while nodes:
        if (node := nodes.pop()) and node not in seen:
            seen.add(node)
            leaves += [node.variable] if hasattr(node, "variable") else []
            nodes += [following for following, _ in node.next_functions]
    try:  # weighed, since the plain sum of what was normalised is the same for all inputs
        weighed = (result.flatten() * torch.linspace(1, 2, result.numel(), dtype=result.dtype)).sum()
        found = torch.autograd.grad(weighed, leaves, retain_graph=True, allow_unused=True)
    except RuntimeError:  # the learner's code has used its graph up
        return []
    return sorted((gradient.norm().item() for gradient in found if gradient is not None), reverse=True)


def _cut_off(found: Tensor, wanted: Tensor, name: str) -> str:
    """In words, if a result is right and what it teaches is not: a part of its graph is missing."""
    if not (found.requires_grad and wanted.requires_grad):
        return ""
    mine, right = _flowing_back(found), _flowing_back(wanted)
    differ = [abs(a - b) for a, b in itertools.zip_longest(mine, right, fillvalue=0.0)]
    counts = [sum(length > 1e-4 * right[0] for length in lengths) for lengths in (mine, right)] if right else [0, 0]
    wrong = bool(mine and right) and (max(differ) > 0.01 * right[0] or counts[0] != counts[1])
    return f"the numbers are right, and the gradient is not: is a part of your {name} detached?" if wrong else ""


def _difference(found: dict[str, Tensor] | str, expected: dict[str, Tensor] | str, tolerance: float) -> str:
    """The first difference in words, or nothing."""
    if isinstance(found, str) or isinstance(expected, str):
        return found if isinstance(found, str) else str(expected)
    for name, wanted in expected.items():
        if found[name].shape != wanted.shape:
            return f"your {name} has the shape {tuple(found[name].shape)}, not {tuple(wanted.shape)}{'' if wanted.ndim else '; it has to be one number: is the mean missing?'}"
        if wanted.requires_grad and not found[name].requires_grad:
            return f"no gradient flows back from your {name}: detach(), item() or no_grad() has cut it off"
    mine, right = (torch.cat([part[n].detach().double().flatten() for n in expected]) for part in (found, expected))
    names = [name for name, wanted in expected.items() for _ in range(wanted.numel())]
    wrong = ~((mine - right).abs() <= tolerance * right.abs().clamp(min=1))  # nan is wrong too, but for a mistake's own
    wrong &= ~(mine.isnan() & right.isnan())
    if not wrong.any():
        return ""
    name, ratio = names[int(wrong.int().argmax())], (mine @ right / (right @ right)).item()
    if not mine.isfinite().all():
        return f"your {name} is not finite"
    if len(mine) == 1 or abs(ratio - 1) < 1e-3 or not torch.allclose(mine, ratio * right, rtol=1e-4, atol=tolerance):
        return f"your {name} is off by up to {(mine - right).abs().max():.3g}"
    if abs(ratio + 1) < 1e-4:
        return f"your {name} has the wrong sign"
    summed = ratio > 1.5 and abs(ratio - round(ratio)) < 1e-3
    why = ": a sum instead of a mean, or a factor too many?" if summed else ""
    return f"your {name} is {ratio:.4g} times what is right{why}"
