"""Names of any bytes, links in circles, and characters that a terminal would obey."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampt.files.names import markdown_cell, name_bytes, printable, real_path


def test_links_are_followed_and_circles_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "link" / "x") == tmp_path.resolve() / "folder" / "x"
    assert real_path(tmp_path / "loop" / "x") == tmp_path.resolve() / "loop" / "x"


@pytest.mark.parametrize("raw", [b"clip", "größe".encode(), b"cl\xffip", b"\xed\xa0\x80"])
def test_a_name_has_the_bytes_of_its_file(raw: bytes) -> None:
    assert name_bytes(os.fsdecode(raw)) == raw


def test_what_a_terminal_obeys_is_an_escape() -> None:
    assert printable("größe 1.mp4") == "größe 1.mp4"
    assert printable("a\x1b[2Jb\r\n\x07\u202ec") == "a\\x1b[2Jb\\r\\n\\x07\\u202ec"
    assert printable(os.fsdecode(b"cl\xff")) == "cl\\udcff"


def test_a_name_in_a_table_is_one_cell_and_no_html() -> None:
    assert markdown_cell("a|b<script>&\n\x1b[1m") == "a\\|b&lt;script>&amp;\\n\\x1b[1m"
    assert markdown_cell("bmx-trees_2") == "bmx-trees_2"
