"""The documentation site, which `make docs` builds: wrong links are found, and its pages have commands that are some."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sampt.cli.main import build_parser
from tools.docs_site.command_line import command_line_page
from tools.docs_site.links import check_markdown, check_site
from tools.docs_site.pages import DOCS, with_links
from tools.docs_site.roles import to_markdown

PAGES = ("index.md", "start.md", "faq.md", "models.md", "shortcomings.md", "tutorials/*.md")


def code(language: str) -> list[tuple[str, str]]:
    found = [path for pattern in PAGES for path in sorted(DOCS.glob(pattern))]
    texts = [(path.name, path.read_text(encoding="utf-8")) for path in found]
    return [(name, block) for name, text in texts for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def test_commands_of_the_pages_are_read_by_the_parser_and_programs_compile() -> None:
    lines = [(name, line.split(" | ")[-1]) for name, block in code("sh") for line in block.splitlines()]
    commands = [(name, shlex.split(line, comments=True)) for name, line in lines if line.startswith("sampt ")]
    assert len(commands) > 25
    parser = build_parser()
    for name, (_, *arguments) in commands:
        assert parser.parse_args(arguments).command, f"{name}: {arguments}"
    programs = code("python")
    assert len(programs) > 8
    for name, block in programs:
        compile(block, name, "exec")


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<h2 id='there'></h2><a href='#there'></a><a href='b.html#gone'></a><a href='c.html'></a><a href='https://x.org'></a>"
        "<script src='https://cdn.org/a.js'></script><link rel='stylesheet' href='a.css'>"
    )
    (tmp_path / "b.html").write_text("<a href='a.html#there'></a><a href='a.css'></a>")
    (tmp_path / "a.css").write_text("@import url('https://fonts.org/x');")
    assert check_site(tmp_path) == [
        "a.html: 'b.html#gone' leads to no heading of that page.",
        "a.html: 'c.html' leads to no file.",
        "a.html: 'https://cdn.org/a.js' is fetched from another host.",
        "a.css: 'https://fonts.org/x' is fetched from another host.",
    ]
    text = "# A `b` & c\n\n[x](#a-b--c) [y](#d) [z](gone.md) `[w](w.md)`\n\n```\n# d\n[v](v.md)\n```\n"
    (tmp_path / "m.md").write_text(text)
    assert check_markdown(tmp_path / "m.md") == ["m.md: '#d' leads to no heading.", "m.md: 'gone.md' leads to no file."]


def test_links_are_renewed_where_files_lie_elsewhere_in_the_site() -> None:
    pages = {"docs/limits.md": "limits.md", "docs/tutorials/x.md": "tutorials/x.md", "CONTRIBUTING.md": "contributing.md"}
    text = "[a](../limits.md#x) ![b](../images/demo.png) [c](../../CONTRIBUTING.md) [d](../../src/sampt/types.py) `[e](f)`"
    assert with_links(text, "docs/tutorials/x.md", pages) == (
        "[a](../limits.md#x) ![b](../images/demo.png) [c](../contributing.md) d `[e](f)`"
    )
    with pytest.raises(ValueError, match=r"docs/limits.md: 'gone.md' leads to no file"):
        with_links("[a](gone.md)", "docs/limits.md", pages)


def test_what_the_reference_says() -> None:
    said = "See :func:`sampt.segment_video`, :class:`~sampt.types.Points`, :meth:`close` and :data:`sampt.codes.OTHER`; ``x``."
    assert to_markdown(said, "sampt.session.session.Session.open") == (
        "See [`sampt.segment_video`][sampt.segment_video], [`Points`][sampt.Points], [`close`][sampt.Session.close] and "
        "`sampt.codes.OTHER`; `x`."
    )
    page = command_line_page()
    assert "### sampt eval run\n" in page
    assert re.search(r"^\| `--seed` `N` \| .+\(default: 72\) \|$", page, re.MULTILINE)
    assert "%(" not in page
