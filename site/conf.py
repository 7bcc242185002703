"""Sphinx's settings: one site from READMEs, notebooks and documents as they are. `build.py` runs it."""

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[1]
# The one place that has the address is CITATION.cff; where it has none, a build on GitHub knows its own.
published = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}".format(**os.environ) if "GITHUB_REPOSITORY" in os.environ else ""
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
REPOSITORY = CITATION.get("repository-code", published).removesuffix(".git").rstrip("/")
log = logging.getLogger(__name__)

project = CITATION["title"]
author = CITATION["authors"][0]["name"]
html_title = "The GAN course"
root_doc = "README"
include_patterns = [
    "README.md", "CONTRIBUTING.md", "common/README.md", "common/**/README.md", "docs/*.md", "site/README.md", "playground/README.md",
    "[0-9][0-9]_*/*.md", "[0-9][0-9]_*/*.ipynb",
]  # fmt: skip
exclude_patterns = ["**/node_modules", "runs", "data", ".venv", "**/.*"]

extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4  # as GitHub names them
myst_fence_as_directive = {"mermaid", "math"}
nb_execution_mode = "off"  # notebooks are committed executed
suppress_warnings = ["mystnb.unknown_mime_type"]  # a widget's state; its text is shown

html_theme = "furo"
html_static_path = ["static"]
html_favicon = "../playground/icon.svg"
html_css_files = ["vendor/katex/katex.min.css", "page.css"]
html_js_files = [("page.js", {"type": "module"})]
html_math_renderer = "katex"
html_copy_source = False
html_show_sphinx = False
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html", "play.html", "sidebar/search.html", "sidebar/scroll-start.html", "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}  # fmt: skip
if REPOSITORY:
    html_theme_options = {"source_repository": REPOSITORY, "source_branch": "main", "source_directory": ""}

CHAPTERS = sorted(path.parent.name for path in ROOT.glob("[0-9][0-9]_*/README.md"))


CODE = [
    path.relative_to(ROOT)
    for pattern in ("[0-9][0-9]_*/*.py", "common/**/*.py", "docs/*.py", "tests/*.py", "site/*.py", "playground/*.py")
    for path in sorted(ROOT.glob(pattern))
]


class Mermaid(Directive):
    """A diagram's text, which page.js draws when it comes into view."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content).replace("&", "&amp;").replace("<", "&lt;")
        return [nodes.raw("", f'<pre class="mermaid">{text}</pre>', format="html")]


def formula(translator: Any, node: nodes.Element, around: str) -> None:
    """The text of a formula, which page.js hands to KaTeX."""
    text = translator.encode(node.astext())
    translator.body.append(f'<{around} class="formula">{text}</{around}>')
    raise nodes.SkipNode


def contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add what a page leads to: a file on its own has no place in a site."""
    folder = Path(docname).parent
    if docname == root_doc:
        play = '<p class="play"><a href="playground/index.html">Play with the generators</a></p>'
        title, _, rest = source[0].partition("\n")
        source[0] = f"{title}\n\n```{{raw}} html\n{play}\n```\n{rest}"
        papers = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob("docs/*.md"))
        sought = [f"docs/{name}" for name in ("glossary", "scores", "results", "running") if f"docs/{name}" in papers]
        rest = [page for page in papers if page not in sought] + ["common/README", "common/data/starter/README"]
        trees = {
            "Chapters": [f"{chapter}/README" for chapter in CHAPTERS],
            "Look up": sought,
            "How it is made": ["CONTRIBUTING", *rest, "site/README", "playground/README"],
        }
    elif folder.name in CHAPTERS and Path(docname).name == "README":
        pages = sorted(path.stem for path in (ROOT / folder).glob("*.ipynb"))
        pages.sort(key=lambda name: name in ("exercises", "solutions"))  # the chapter's notebook first
        play = f'<p class="play"><a href="../playground/index.html#room={folder.name[:2]}">Play with this chapter\'s generator</a></p>'
        source[0] = source[0].replace("\n\n", f"\n\n```{{raw}} html\n{play}\n```\n\n", 1)
        if "github.com" in REPOSITORY:
            colab = f"https://colab.research.google.com/github{urlparse(REPOSITORY).path}/blob/main/{folder}"
            links = ", ".join(f"[{page}]({colab}/{page}.ipynb)" for page in pages)
            source[0] = source[0].replace("\n\n", f"\n\nOpen in Colab: {links}\n\n", 1)
        names = {"exercises": "Exercises", "solutions": "Solutions"}
        trees = {"": [f"{names.get(page, 'Notebook')} <{page}>" for page in pages]}
    else:
        return
    for caption, pages in trees.items():
        named = f":caption: {caption}\n" if caption else ""
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n{named}\n" + "\n".join(pages) + "\n```\n"


def drawn(code: str, folder: Path) -> list[str]:
    """What each call that draws says in a cell: its titles and labels, or else the first line of the plot's docstring."""
    plots = ast.parse((folder / "plots.py").read_text()) if (folder / "plots.py").exists() else ast.Module([], [])
    functions = [
        part
        for part in plots.body
        if isinstance(part, ast.FunctionDef) and ast.unparse(part.returns or part) == "Figure"
    ]
    said = {f"plots.{part.name}": (ast.get_docstring(part) or "").split("\n")[0] for part in functions}
    said |= {"show_grid": "", "plot_curves": ""}
    found = []
    for call in ast.walk(ast.parse(re.sub(r"^%.*$", "", code, flags=re.MULTILINE))):
        if isinstance(call, ast.Call) and (name := ast.unparse(call.func)) in said:
            parts = [part for part in ast.walk(call) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            words = [str(part.value) for part in sorted(parts, key=lambda part: (part.lineno, part.col_offset))]
            labels = ", ".join(word.strip(" ,:") for word in words if len(word) > 7)
            found.append((call.lineno, labels or said[name]))
    return [text for _, text in sorted(found) if text]


def pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Pictures load when they come into view, and each has a text: what its call says, or the section that it is in."""
    folder, numbers = ROOT / Path(app.env.docname).parent, Counter[int]()
    for image in doctree.findall(nodes.image):
        image["loading"] = "lazy"
        if not image.get("alt"):
            cell = image.parent
            while cell is not None and "cell" not in cell.get("classes", []):
                cell = cell.parent
            if cell is None:
                log.warning("a picture without alternative text: %s", image["uri"], location=image)
                continue
            texts = drawn(next(cell.findall(nodes.literal_block)).astext(), folder)
            section = cell.parent
            while not isinstance(section, nodes.section | nodes.document):
                section = section.parent
            heading = section.next_node(nodes.title)
            beside = f"What this cell draws: {heading.astext() if heading else 'a picture'}"
            image["alt"] = texts[min(numbers[id(cell)], len(texts) - 1)] if texts else beside
            numbers[id(cell)] += 1


def definitions(file: Path) -> dict[str, int]:
    """The functions and classes of a file of code, and the lines on which they begin, from 1."""
    body = ast.parse((ROOT / file).read_text()).body
    return {part.name: part.lineno for part in body if isinstance(part, ast.FunctionDef | ast.ClassDef)}


def readable(app: Sphinx, doctree: nodes.document) -> None:
    """A link to a file of code leads to its page, to the function that it names; as it is it would save the file."""
    for link in list(doctree.findall(download_reference)):
        file = Path(app.env.relfn2path(link["reftarget"])[0])
        if file in CODE:
            uri = os.path.relpath(f"{file}.html", Path(app.env.docname).parent)
            anchor = f"#{link.astext()}" if link.astext() in definitions(file) else ""
            link.replace_self(nodes.reference("", "", *link.children, refuri=uri + anchor, internal=True))


def code(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file of code."""
    for file in CODE:
        lines = app.builder.highlighter.highlight_block((ROOT / file).read_text(), "python").split("\n")  # type: ignore[attr-defined]
        for name, line in definitions(file).items():
            lines[line - 1] = f'<span id="{name}"></span>{lines[line - 1]}'
        title = file.as_posix()
        yield title, {"title": title, "body": f"<h1>{title}</h1>" + "\n".join(lines)}, "page.html"


def lazily(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The theme's writer does not know of lazy pictures."""
    if "body" in context:
        context["body"] = re.sub(r"<img (?![^>]*loading=)", '<img loading="lazy" decoding="async" ', context["body"])


def described(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """A page's title and first paragraph, which messengers show beside a link."""
    texts = [text.astext() for text in doctree.findall(nodes.paragraph)] if doctree else []
    if first := next((text for text in texts if "Open in Colab" not in text), ""):
        said = {"og:site_name": html_title, "og:title": context["title"], "og:description": first}
        tags = [f'<meta property="{name}" content="{escape(words)}">' for name, words in said.items()]
        tags.append(f'<meta name="description" content="{escape(first)}">')
        context["metatags"] = "\n".join([context.get("metatags", ""), *tags])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("mermaid", Mermaid)
    app.add_html_math_renderer(
        "katex",
        (lambda self, node: formula(self, node, "span"), None),
        (lambda self, node: formula(self, node, "div"), None),
    )
    app.connect("source-read", contents)
    app.connect("doctree-read", pictures)
    app.connect("doctree-read", readable, priority=400)  # before Sphinx collects the files that are to be saved
    app.connect("html-collect-pages", code)
    app.connect("html-page-context", lazily)
    app.connect("html-page-context", described)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
