"""Names of files as systems have them: any bytes, links that lead in circles, characters that terminals obey."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

__all__ = ["fold_name", "markdown_cell", "name_bytes", "portable_name", "printable", "real_path"]

_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?= *(?:\.|$))", re.IGNORECASE)
_AT_THE_END = re.compile(r"[. ]+$")


def real_path(path: Path | str) -> Path:
    """The absolute path with links followed; a link that leads back to itself stays, and opening it tells."""
    return Path(os.path.realpath(path))


def name_bytes(name: str) -> bytes:
    """The name as the file system has it: UTF-8, and every byte that is not."""
    return name.encode("utf-8", "surrogateescape")


def portable_name(name: str) -> str:
    """A name that no system refuses or takes for another one; most names are that already and stay.

    Windows forbids nine characters, drops dots and spaces at the end, and opens a device for ``CON`` or ``nul.png``.
    The same on every system, so that results may move: ``a:b`` becomes ``a_b``, ``a.`` ``a_``, ``nul.png`` ``nul_.png``.
    """
    name = _FORBIDDEN.sub("_", name)
    name = _AT_THE_END.sub(lambda found: "_" * len(found[0]), name)
    return _DEVICE.sub(r"\1_", name, count=1) if _DEVICE.match(name) else name


def fold_name(name: str) -> str:
    """The same for names that are one file on Windows or macOS: of upper and lower case, and of ways to write an accent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def printable(text: str) -> str:
    """Text for a person's terminal: what would move its cursor or is no character comes as an escape such as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def markdown_cell(text: str) -> str:
    """A name as a cell of a Markdown table shows it, where ``|`` would end the cell and ``<`` begin HTML."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
