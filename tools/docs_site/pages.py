"""The pages of the site: which file of the repository becomes which, in which order, and what is made for the site alone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TypeAlias
from urllib.parse import urlsplit

import sampt

from .command_line import command_line_page
from .links import FENCE, LINK

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

Navigation: TypeAlias = "list[dict[str, str | Navigation]]"

_ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "THIRD_PARTY.md": "third-party.md",
    "LICENSE": None,
    "docs/decisions/README.md": "decisions/index.md",
    "docs/images/README.md": "credits.md",
    "training/segmenter/README.md": "cards/nano-segmenter.md",
    "training/tracker/README.md": "cards/nano-tracker.md",
}
"""File of the repository -> page. The README's own text is for the repository; a link to it leads to the home page."""

_REFERENCE = {
    "Segment a video": ("segment_video", "segment_stream", "find_objects", "find_in_stream", "open_video", "open_stream"),
    "What goes in": ("Points", "QueryMask", "QueryBox", "Queries", "read_queries"),
    "What comes out": ("FrameMasks", "FramePoints", "FoundObjects", "Tracks", "ObjectState", "HiddenBy"),
    "Settings": ("SegmentConfig", "FindConfig", "preset", "PRESETS"),
    "Runs with an output folder": ("run_job", "Job", "RunOptions"),
    "Interactive": ("Session",),
    "Trackers, segmenters, proposers": (
        "create_tracker",
        "create_segmenter",
        "create_proposer",
        "generate_masks",
        "CachedSegmenter",
        "ObjectPrompt",
        "MaskPrediction",
    ),
    "Errors": ("SamptError",),
}
"""Page of the reference -> public names, all of them."""


def write_pages(folder: Path) -> Navigation:
    """Write all pages into an empty folder; returns the navigation."""
    pages = repository_pages()
    for source, page in pages.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        _write(folder / page, with_links(text, source, pages))
    for path in sorted(DOCS.rglob("*")):
        if path.suffix not in ("", ".md"):
            _copy(path, folder / path.relative_to(DOCS))
    reference = {title: f"reference/{_slug(title)}.md" for title in _REFERENCE}
    _check_reference()
    for title, names in _REFERENCE.items():
        blocks = "\n".join(f"::: sampt.{name}\n" for name in names)
        _write(folder / reference[title], f"# {title}\n\n{blocks}")
    _write(folder / "reference/command-line.md", command_line_page())
    for name in ("site.css", "iframe-worker.js"):
        _copy(Path(__file__).parent / name, folder / name)
    return _navigation(folder, pages, reference)


def repository_pages() -> dict[str, str]:
    """File of the repository -> page, for every Markdown file that is one."""
    pages = {f"docs/{path.relative_to(DOCS).as_posix()}": path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    pages |= {source: page for source, page in _ELSEWHERE.items() if page and source != "README.md"}
    for path in (ROOT / "src/sampt").glob("*ers/*/README.md"):
        pages[path.relative_to(ROOT).as_posix()] = f"cards/{path.parts[-3]}-{path.parts[-2]}.md"
    return dict(sorted(pages.items()))


def with_links(text: str, source: str, pages: Mapping[str, str]) -> str:
    """The text of a file of the repository with its links as the site has them.

    A link to a file that is no page loses its address: the site is read without the repository.

    Raises:
        ValueError: a link leads to no file.
    """

    def renew(found: re.Match[str]) -> str:
        address = urlsplit(found[1])
        if address.scheme or address.netloc or not address.path:
            return found[0]
        target = normpath((PurePosixPath(source).parent / address.path).as_posix())
        if not (ROOT / target).exists():
            raise ValueError(f"{source}: {found[1]!r} leads to no file.")
        if target == "docs/decisions":
            target += "/README.md"
        page = pages.get(target) or _ELSEWHERE.get(target)
        if page is None and target.startswith("docs/") and (ROOT / target).is_file():
            page = target.removeprefix("docs/")
        if page is None:
            return found[0][1 : found[0].rindex("](")]
        new = relpath(page, (PurePosixPath(pages[source]).parent).as_posix()) + (
            f"#{address.fragment}" if address.fragment else ""
        )
        start, end = found.span(1)
        return found[0][: start - found.start()] + new + found[0][end - found.start() :]

    made, position = [], 0
    for fence in [*FENCE.finditer(text), None]:
        stop = fence.start() if fence else len(text)
        made += [LINK.sub(renew, text[position:stop]), fence[0] if fence else ""]
        position = fence.end() if fence else stop
    return "".join(made)


def _check_reference() -> None:
    named = [name for names in _REFERENCE.values() for name in names]
    if sorted(named) != sorted(set(sampt.__all__) - {"__version__"}):
        difference = sorted(set(named) ^ (set(sampt.__all__) - {"__version__"}))
        raise ValueError(f"tools/docs_site/pages.py and sampt.__all__ differ in {', '.join(difference)}.")


def _navigation(folder: Path, pages: Mapping[str, str], reference: Mapping[str, str]) -> Navigation:
    def titled(*names: str) -> Navigation:
        return [{_title(folder / name): name} for name in names]

    decisions = re.findall(r"^- \[.*?\]\((.*?)\)", (DOCS / "decisions/README.md").read_text(encoding="utf-8"), re.MULTILINE)
    cards = sorted(page for page in pages.values() if page.startswith("cards/"))
    navigation: Navigation = [
        {"Start": [{"Home": "index.md"}, {"Five minutes": "start.md"}, {"Installation": "install.md"}]},
        {"Tutorials": titled(*_TUTORIALS)},
        {"How it works": [{"In images": "how-it-works.md"}, {"The algorithm": "algorithm.md"}]},
        {
            "Guides": [
                {"The page": "ui.md"},
                {"Videos and frames": "inputs.md"},
                {"Queries": "queries.md"},
                {"Results and exports": "outputs.md"},
                {"On the command line": "command-line.md"},
                {"Presets": "presets.md"},
                {"Weights": "weights.md"},
                {"Containers": "containers.md"},
                {"The paper's tables": "reproduce.md"},
            ]
        },
        {
            "Reference": [
                {"Command line": "reference/command-line.md"},
                {"Python": [{title: page} for title, page in reference.items()]},
                {"Glossary": "glossary.md"},
                {"Limits of inputs": "limits.md"},
            ]
        },
        {
            "Models": [
                {"Which one": "models.md"},
                {"Trackers": "trackers.md"},
                {"Segmenters": "segmenters.md"},
                {"Proposers": "proposers.md"},
                {"Cards": titled(*cards)},
            ]
        },
        {"Benchmarks": "benchmarks.md"},
        {"FAQ": [{"FAQ": "faq.md"}, {"What it cannot do": "shortcomings.md"}]},
        {
            "Project": [
                {"Contributing": "contributing.md"},
                {"Architecture": "architecture.md"},
                {"Decisions": [{"All": "decisions/index.md"}, *titled(*(f"decisions/{name}" for name in decisions))]},
                {"Changelog": "changelog.md"},
                {"Third parties": "third-party.md"},
                {"How to cite": "cite.md"},
                {"Images and credits": "credits.md"},
            ]
        },
    ]
    missing = sorted(set(pages.values()) - set(_pages_of(navigation)))
    if missing:
        raise ValueError(
            f"The navigation leads nowhere to {', '.join(missing)}; add it to _navigation in tools/docs_site/pages.py."
        )
    return navigation


_TUTORIALS = (
    "tutorials/annotate-and-train.md",
    "tutorials/my-tracker.md",
    "tutorials/davis.md",
    "tutorials/many-videos.md",
    "tutorials/camera.md",
    "tutorials/python.md",
)


def _pages_of(navigation: Navigation) -> list[str]:
    found = []
    for entry in navigation:
        for value in entry.values():
            found += [value] if isinstance(value, str) else _pages_of(value)
    return found


def _title(path: Path) -> str:
    first = path.read_text(encoding="utf-8").lstrip().splitlines()[0]
    return first.lstrip("# ").replace("`", "")


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _copy(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
