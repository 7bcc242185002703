"""Build the whole site: python site/build.py. Needs site/requirements.txt, and node and npm for the playground's libraries.

Warnings of Sphinx, dead links, missing anchors, pictures without alternative text and heavy pages are errors.
"""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root, where common/ is

from pydantic.dataclasses import dataclass

from common import UserError, relative, require
from common.command_line import Flags, command_line

ROOT = Path(__file__).resolve().parents[1]
HEAVIEST = 1.5e6  # bytes of a page before scrolling: its own file, styles, scripts, and pictures that are not lazy
# From the npm registry into the site: package, where to, files.
VENDOR = {
    "playground/vendor": ("onnxruntime-web/dist", ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"]),
    "_static/vendor/katex": ("katex/dist", ["katex.mjs", "katex.min.css", "fonts/*.woff2"]),
    "_static/vendor/mermaid": ("mermaid/dist", ["mermaid.esm.min.mjs", "chunks/mermaid.esm.min/*.mjs"]),
}


@dataclass
class Config(Flags):
    """Build the site."""

    out: Path = ROOT / "runs" / "site"  # folder of the site
    models: bool = True  # export the generators anew; --no-models keeps those of the last build


def run(*command: str | Path, **where: Path) -> None:
    """A command that has to succeed. Raises `UserError`."""
    require(
        shutil.which(command[0]) is not None,
        f"there is no {command[0]} on this machine: install Node.js, which brings it",
    )
    ended = subprocess.run([str(word) for word in command], check=False, cwd=where.get("cwd", ROOT)).returncode
    if ended:
        raise UserError(f"{' '.join(map(str, command[:3]))} failed: what it said is above")


def playground(out: Path, models: bool) -> None:
    """The page, the libraries that pages load, and the exported networks."""
    source = ROOT / "playground"
    if not (source / "node_modules" / "onnxruntime-web").exists():
        run("npm", "ci", "--no-audit", "--no-fund", "--omit=dev", cwd=source)
    for target, (package, patterns) in VENDOR.items():
        origin = source / "node_modules" / package
        for file in [file for pattern in patterns for file in origin.glob(pattern)]:
            place = out / target / file.relative_to(origin)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    for pattern in ("*.html", "*.css", "*.svg", "*.js", "rooms/*.js", "ring/*.js"):
        for file in source.glob(pattern):
            place = out / "playground" / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    (out / "playground" / "eslint.config.js").unlink()
    if models or not (out / "playground" / "models" / "models.json").exists():
        run(sys.executable, source / "export.py", "--out", out / "playground" / "models")


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads before anybody scrolls."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.silent: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        address = given.get("href" if tag in ("a", "link") else "src", "")
        if address:
            self.links.append(address)
            if (tag == "img" and given.get("loading") != "lazy") or tag == "script" or given.get("rel") == "stylesheet":
                self.loads.append(address)
        if tag == "img" and not given.get("alt"):
            self.silent.append(address)


def faults(out: Path) -> list[str]:
    """What is wrong with the built pages, a line each."""
    pages = {path: Page(path) for path in sorted(out.rglob("*.html")) if "models" not in path.parts}
    found = []
    for path, page in pages.items():
        name = path.relative_to(out)
        found += [f"{name}: {picture} has no alternative text" for picture in page.silent]
        weight = path.stat().st_size
        for address in dict.fromkeys(page.links):
            parts = urlparse(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{name}: {address} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                if "playground" not in target.parts:  # there it is the state of the page
                    found.append(f"{name}: {address} has no such anchor")
            elif address in page.loads:
                weight += target.stat().st_size
        if weight > HEAVIEST:
            found.append(f"{name}: {weight / 1e6:.1f} MB before anybody scrolls")
    return found


def main(config: Config) -> None:
    out = config.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    playground(out, config.models)
    run(
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        ROOT / "site",
        "-d",
        out.parent / "doctrees",
        ROOT,
        out,
    )
    shutil.copy(out / "README.html", out / "index.html")
    found = faults(out)
    require(not found, "the site has faults: " + "; ".join(found))
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"wrote {relative(out)}, {size / 2**20:.0f} MB; look at it with: python -m http.server -d {relative(out)}")


if __name__ == "__main__":
    command_line(main, Config)
