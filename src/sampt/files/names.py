"""Names of files as systems have them: any bytes, links that lead in circles, characters that terminals obey."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["markdown_cell", "name_bytes", "printable", "real_path"]


def real_path(path: Path | str) -> Path:
    """The absolute path with links followed; a link that leads back to itself stays, and opening it tells."""
    return Path(os.path.realpath(path))


def name_bytes(name: str) -> bytes:
    """The name as the file system has it: UTF-8, and every byte that is not."""
    return name.encode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """Text for a person's terminal: what would move its cursor or is no character comes as an escape such as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def markdown_cell(text: str) -> str:
    """A name as a cell of a Markdown table shows it, where ``|`` would end the cell and ``<`` begin HTML."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
