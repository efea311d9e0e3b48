"""The documentation of this version, as pages: what stands in docs/ comes with the package."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from litestar import Response, get
from litestar.params import FromPath

from callwright.control.errors import NotFound
from callwright.control.web.visitor import Pages, WebRequest

_FIRST = ("guide", "test-language", "glossary", "streams", "projects", "fleet", "deployment")


@dataclass(frozen=True, slots=True)
class Document:
    """``html`` is made from our own text, without any HTML that stands in it. ``parts``: anchor and title of
    its sections."""

    name: str
    title: str
    html: str
    parts: tuple[tuple[str, str], ...]


def routes(pages: Pages) -> list[Any]:
    @get("/docs")
    async def index(request: WebRequest) -> Response[bytes]:
        return await _shown(pages, request, documents()[0])

    @get("/docs/{name:str}")
    async def document(request: WebRequest, name: FromPath[str]) -> Response[bytes]:
        found = next((one for one in documents() if one.name == name), None)
        if found is None:
            raise NotFound("page of the documentation", name)
        return await _shown(pages, request, found)

    return [index, document]


async def _shown(pages: Pages, request: WebRequest, document: Document) -> Response[bytes]:
    visitor = await pages.visitor(request)
    return await pages.page(
        request, visitor, "documentation.html", "Documentation", document=document, documents=documents()
    )


@lru_cache(maxsize=1)
def documents() -> Sequence[Document]:
    """Those that people begin with first, the others by name."""
    folder = resources.files("callwright") / "documentation"
    texts = {
        entry.name.removesuffix(".md"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".md")
    }
    order = [*(name for name in _FIRST if name in texts), *sorted(set(texts) - set(_FIRST))]
    return [rendered(name, texts[name], frozenset(texts)) for name in order]


def rendered(name: str, text: str, known: frozenset[str] = frozenset()) -> Document:
    """One document from its Markdown. Links to documents that are not here become their words."""
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(re.sub(r"<!--.*?-->\n*", "", text, flags=re.DOTALL))
    title, parts, heading = name, [], ""
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = re.sub(r"[`*]", "", tokens[at + 1].content)
            token.attrSet("id", anchor(heading))
            if token.tag == "h1":
                title = heading
            elif token.tag == "h2":
                parts.append((anchor(heading), heading))
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "inline":
            token.children = _linked(token.children or [], name, known)
    whole: list[Token] = []
    heading = title
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = re.sub(r"[`*]", "", tokens[at + 1].content)
        whole.append(token)
        if token.type == "table_open":
            caption = Token("html_block", "", 0)
            caption.content = f'<caption class="vh">{_escaped(heading)}</caption>'
            whole.append(caption)
    html = markdown.renderer.render(whole, markdown.options, {})
    html = html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    html = html.replace("<pre>", '<pre class="code" tabindex="0">')
    return Document(name, title, html, tuple(parts))


def _linked(children: Sequence[Any], name: str, known: frozenset[str]) -> list[Any]:
    kept, dropped = [], 0
    for child in children:
        if child.type == "link_open":
            href = _address(str(child.attrGet("href") or ""), name, known)
            if href is None:
                dropped += 1
                continue
            child.attrSet("href", href)
        if child.type == "link_close" and dropped:
            dropped -= 1
            continue
        if child.type == "image":
            continue
        kept.append(child)
    return kept


def _address(href: str, name: str, known: frozenset[str]) -> str | None:
    if href.startswith(("https://", "http://")):
        return href
    path, _, part = href.partition("#")
    target = path.removesuffix(".md") if path else name
    if target not in known | {name}:
        return None
    return f"/docs/{target}{'#' + part if part else ''}"


def anchor(heading: str) -> str:
    """As GitHub makes it, so that links work there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
