"""The playground: its mathematics beside PyTorch and SciPy, its types, and the built site in a real browser."""

import functools
import http.server
import importlib.util
import json
import os
import runpy
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

from common.onnx import NEW_ENOUGH
from tests.conftest import CHAPTERS, ROOT

PLAYGROUND = ROOT / "playground"
NOTEBOOKS = sorted(ROOT.glob("[0-9][0-9]_*/*.ipynb"))
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="there is no node on this machine: install Node.js")
needs_packages = pytest.mark.skipif(
    not (PLAYGROUND / "node_modules" / "playwright-core").exists(), reason="first: cd playground && npm ci"
)


def node(script: str, *given: Any) -> Any:
    """What a script prints as JSON; it finds what it is given in `given`."""
    whole = f"const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));(async () => {{{script}}})();"
    command = ["node", "--no-warnings", "-e", whole]
    ended = subprocess.run(
        command, input=json.dumps(given), cwd=PLAYGROUND, text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def network(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def layers(network: nn.Sequential) -> list[dict[str, Any]]:
    """Its layers in the form of gan.js."""
    return [
        {"weight": layer.weight.flatten().tolist(), "bias": layer.bias.tolist(), "inputs": layer.in_features, "outputs": layer.out_features}
        for layer in network
        if isinstance(layer, nn.Linear)
    ]  # fmt: skip


D_LOSS = {
    "non-saturating": lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    "saturating": lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    "hinge": lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
}
G_LOSS = {
    "non-saturating": lambda fake: -F.logsigmoid(fake).mean(),
    "saturating": lambda fake: F.logsigmoid(-fake).mean(),
    "hinge": lambda fake: -fake.mean(),
}


@needs_node
@pytest.mark.parametrize("loss", D_LOSS)
def test_three_steps_by_hand_are_those_of_pytorch(loss: str) -> None:
    """The gradients of gan.js are written out; PyTorch finds them alone. Both losses and all weights after three steps."""
    torch.manual_seed(0)
    generator, discriminator = network([4, 9, 7, 2]), network([2, 8, 6, 1])
    batches = [[torch.randn(11, 2), torch.randn(11, 4), torch.randn(11, 4)] for _ in range(3)]
    lists = [dict(zip(("real", "z", "again"), (part.flatten().tolist() for part in batch))) for batch in batches]
    found = node(
        """
        const {adam, step} = await import("./ring/gan.js");
        const [generator, discriminator] = given.slice(0, 2).map((layers) => layers.map((layer) =>
            ({...layer, weight: Float32Array.from(layer.weight), bias: Float32Array.from(layer.bias)})));
        const game = {generator, discriminator, stepG: adam(generator), stepD: adam(discriminator)};
        const losses = given[2].map((batch) => step(game, Object.fromEntries(Object.entries(batch).map(([name, values]) =>
            [name, Float32Array.from(values)])), {loss: given[3], rateG: 0.01, rateD: 0.02}));
        const list = (layers) => layers.flatMap(({weight, bias}) => [...weight, ...bias]);
        console.log(JSON.stringify({losses, g: list(generator), d: list(discriminator)}));
        """,
        layers(generator), layers(discriminator), lists, loss,
    )  # fmt: skip
    opt_g = torch.optim.Adam(generator.parameters(), 0.01, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(discriminator.parameters(), 0.02, betas=(0.5, 0.999))
    for (real, z, again), got in zip(batches, found["losses"], strict=True):
        loss_d = D_LOSS[loss](discriminator(real), discriminator(generator(z).detach()))
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = G_LOSS[loss](discriminator(generator(again)))
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        assert (got["lossD"], got["lossG"]) == pytest.approx((loss_d.item(), loss_g.item()), abs=1e-4)
    for trained, values in ((generator, found["g"]), (discriminator, found["d"])):
        wanted = torch.cat([parameter.detach().flatten() for parameter in trained.parameters()])
        torch.testing.assert_close(torch.tensor(values), wanted, atol=2e-4, rtol=0)


@needs_node
def test_the_cheapest_matching_is_scipys() -> None:
    costs = [np.random.default_rng(n).random((n, n)) for n in (1, 2, 7, 40)]
    script = 'const {match} = await import("./ring/transport.js"); console.log(JSON.stringify(given.map(match)));'
    for cost, columns in zip(costs, node(script, *(cost.tolist() for cost in costs)), strict=True):
        rows, best = linear_sum_assignment(cost)
        assert sorted(columns) == rows.tolist()
        assert cost[rows, columns].sum() == pytest.approx(cost[rows, best].sum())


@needs_node
def test_latents_are_standard_normal_and_walks_keep_their_length() -> None:
    z, way = node(
        'const {latent, onTheWay} = await import("./random.js");'
        "console.log(JSON.stringify([[...latent(20000, 5)], [...onTheWay(1000, 5, 0.5)]]));"
    )
    assert np.mean(z) == pytest.approx(0, abs=0.03) and np.std(z) == pytest.approx(1, abs=0.02)
    assert np.linalg.norm(way) == pytest.approx(1000**0.5, rel=0.1)  # a straight line's middle: 0.7 of that


@needs_node
@needs_packages
@pytest.mark.parametrize("script", ["lint", "types"])
def test_javascript_is_clean(script: str) -> None:
    ended = subprocess.run(["npm", "run", script], cwd=PLAYGROUND, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def tool(name: str) -> ModuleType:
    """A file of site/, which is no package: another one has its name."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "site" / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[f"site_{name}"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_address_stands_in_one_place() -> None:
    """README and the first cell of each notebook have that of CITATION.cff; the tool that writes it changes nothing else."""
    address, readme = tool("address").stated(), (ROOT / "README.md").read_text()
    assert f"git clone --depth 1 {address or 'ADDRESS'} gans" in readme
    assert "git clone --depth 1 https://example.org/gans gans" in tool("address").addressed(
        readme, "https://example.org/gans"
    )
    for path in NOTEBOOKS:
        assert f'REPOSITORY = \\"{address}\\"' in path.read_text(), f"{path.name}: python site/address.py"
    before = NOTEBOOKS[0].read_text()
    after = tool("address").addressed(before, "https://example.org/gans")
    first = next(cell for cell in json.loads(after)["cells"] if cell["cell_type"] == "code")
    assert 'REPOSITORY = "https://example.org/gans"' in "".join(first["source"])
    assert tool("address").addressed(after, address) == before


def test_the_checks_of_the_site_find_what_is_wrong(tmp_path: Path) -> None:
    build = tool("build")
    (tmp_path / "big.png").write_bytes(bytes(2_000_000))
    good = (
        '<h1 id="here">a</h1><img src="big.png" alt="b" loading="lazy"><a href="#here">c</a><a href="https://x.y">d</a>'
    )
    page = tmp_path / "a.html"
    page.write_text(good)
    assert not build.faults(tmp_path)
    for wrong, complaint in {
        '<a href="b.html">e</a>': "leads nowhere",
        '<a href="a.html#there">e</a>': "has no such anchor",
        '<img src="big.png" loading="lazy">': "has no alternative text",
        '<img src="big.png" alt="e">': "2.0 MB before anybody scrolls",
    }.items():
        page.write_text(good + wrong)
        assert [complaint in fault for fault in build.faults(tmp_path)] == [True], wrong


# ------------------------------------------------------------------------------------------------ in the browser


def test_a_plot_of_a_notebook_says_what_it_shows(tmp_path: Path) -> None:
    """By the titles and labels of the call, or by the docstring of the plot; of 135 pictures at most 15 have neither."""
    pytest.importorskip("sphinx", reason="pip install -r site/requirements.txt brings what the site is built with")
    conf = runpy.run_path(str(ROOT / "site" / "conf.py"))
    (tmp_path / "plots.py").write_text(
        'def ages(x) -> Figure:\n    """How old they are."""\n\ndef bright(x) -> Tensor:\n    """A tensor."""\n'
    )
    for code, expected in {
        'plot_curves(history, {"loss": "Both losses", "l1": "L1 of the batch"})': ["Both losses, L1 of the batch"],
        "%matplotlib inline\nplots.ages(plots.bright(x))": ["How old they are."],
        'show_grid(x, title="First of all")\nshow_grid(y, title="Then this")': ["First of all", "Then this"],
        'print("nothing to be seen here")': [],
    }.items():
        assert conf["drawn"](code, tmp_path) == expected
    silent = 0
    for path in ROOT.glob("[0-9][0-9]_*/*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
                silent += not conf["drawn"]("".join(cell["source"]), path.parent)
    assert silent <= 15


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a freshly built site."""
    for package in ("sphinx", "myst_nb", "furo", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="pip install -r site/requirements.txt brings what the site is built with")
    if not NEW_ENOUGH:
        pytest.skip(f"PyTorch {torch.__version__} is too old to export the generators")
    if not CHROMIUM:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium, or the like")
    out = tmp_path_factory.mktemp("built") / "site"
    started = time.monotonic()
    built = subprocess.run(
        [sys.executable, ROOT / "site" / "build.py", "--out", out], text=True, capture_output=True, check=False
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    print(f"the site was built in {time.monotonic() - started:.0f} s")
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    calm = type("Calm", (http.server.ThreadingHTTPServer,), {"handle_error": lambda *_: None})  # a page that is left
    with calm(("127.0.0.1", 0), functools.partial(quiet, directory=str(out))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@needs_node
@needs_packages
def test_the_site_in_a_browser(site: str, tmp_path: Path) -> None:
    """`browser.mjs` opens every page, plays in every room, and prints what it found and how long things took."""
    with urllib.request.urlopen(f"{site}/01_basic_gan/README.html") as page:  # code is read there, not saved
        text = page.read()
    assert b'href="train.py.html#discriminator_loss"' in text and b'property="og:description"' in text
    command = ["node", str(Path(__file__).with_name("browser.mjs")), site, str(CHROMIUM), str(tmp_path)]
    ended = subprocess.run(command, text=True, capture_output=True, check=False, timeout=600, cwd=PLAYGROUND)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    *times, found = ended.stdout.splitlines()
    print("\n".join(times))
    if folder := os.environ.get("GAN_PICTURES"):  # the picture that the root README shows
        shutil.copy(tmp_path / "playground.png", folder)
    found = json.loads(found)
    assert not found["errors"]
    assert not found["foreign"], "requests to other hosts"
    assert {f"{chapter}/README.html" for chapter in CHAPTERS} <= set(found["pages"])
    assert {f"07 at {size}" for size in (4, 8, 16, 32, 64)} <= found["changed"].keys()
    for room, (before, after) in found["changed"].items():
        assert before != after, f"{room}: the picture did not follow"
    start, walked, opened = found["walked"]
    assert start != walked == opened, "a link after a walk shows another picture"
    assert found["covered"] >= 5, "the ring covers modes"
