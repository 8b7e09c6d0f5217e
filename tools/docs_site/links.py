"""Checks that links lead somewhere: of the built site, and of Markdown as it is read in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pymdownx.slugs import slugify

LINK = re.compile(r"(?<!`)\[[^\[\]]*(?:\[[^\]]*\][^\[\]]*)?\]\(\s*<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("video", "src"), ("iframe", "src"), ("object", "data")}
"""Attributes whose address a browser fetches by itself; those of <link> depend on its ``rel``."""
_LINKED = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}


class _Page(NamedTuple):
    anchors: set[str]
    links: list[str]
    loaded: list[str]


class _Reader(HTMLParser):
    """Collects a page's anchors, links, and what a browser fetches to show it."""

    def __init__(self) -> None:
        super().__init__()
        self.page = _Page(set(), [], [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.page.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.page.links.append(values["href"])
        self.page.loaded.extend(values[name] for owner, name in _LOADED if owner == tag and name in values)
        if tag == "link" and _LINKED & set(values.get("rel", "").split()):
            self.page.loaded.append(values.get("href", ""))


def check_site(root: Path) -> list[str]:
    """One line for each link of the HTML files below ``root`` that leads nowhere, and for what comes from another host."""
    pages = {path: _read(path) for path in sorted(root.rglob("*.html"))}
    problems = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links depend on the address that was not found
            continue
        name = path.relative_to(root)
        for address in (*page.links, *page.loaded):
            problems += [f"{name}: {problem}" for problem in _problem(path, address, pages)]
        problems += [f"{name}: {address!r} is fetched from another host." for address in page.loaded if _is_foreign(address)]
    for path in root.rglob("*.css"):
        fetched = re.findall(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)", path.read_text(encoding="utf-8"))
        problems += [f"{path.relative_to(root)}: {address!r} is fetched from another host." for address in fetched]
    return problems


def _problem(path: Path, address: str, pages: dict[Path, _Page]) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        yield f"{address!r} leads to no file."
    elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        yield f"{address!r} leads to no heading of that page."


def _is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https")


def _read(path: Path) -> _Page:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


def check_markdown(path: Path) -> list[str]:
    """One line for each link of a Markdown file to a file or heading that is not there."""
    problems = []
    for address in markdown_links(path.read_text(encoding="utf-8")):
        parts = urlsplit(address)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if parts.scheme or parts.netloc:
            continue
        if not target.exists():
            problems.append(f"{path.name}: {address!r} leads to no file.")
        elif parts.fragment and target.suffix == ".md" and unquote(parts.fragment) not in markdown_anchors(target):
            problems.append(f"{path.name}: {address!r} leads to no heading.")
    return problems


def markdown_links(text: str) -> list[str]:
    """The addresses of the links and images of a Markdown text, without those in code."""
    return [found[1] for found in LINK.finditer(_CODE.sub("", FENCE.sub("", text)))]


def markdown_anchors(path: Path) -> set[str]:
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    slug, found = slugify(case="lower"), set()
    for heading in _HEADING.findall(text):
        anchor = slug(re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading), "-")
        found.add(anchor if anchor not in found else f"{anchor}-1")
    return found
