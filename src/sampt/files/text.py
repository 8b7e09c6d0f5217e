"""Text as people's programs write it: UTF-8 with or without a byte order mark, and UTF-16 and UTF-32 of Windows' programs."""

from __future__ import annotations

import codecs
from pathlib import Path

from sampt.files.limits import read_bounded

__all__ = ["decode_text", "read_text"]

# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path, max_bytes: int | None = None, what: str = "") -> str:
    """The text of a file, whatever encoding its program chose.

    Args:
        path: a file, a pipe, or a device.
        max_bytes: it may have so many; None: any number.
        what: names what was expected of it, for the message that it has more.

    Raises:
        OSError: the file cannot be read.
        ValueError: its bytes are no text.
        LimitError: it has too many.
    """
    return decode_text(Path(path).read_bytes() if max_bytes is None else read_bounded(path, max_bytes, what))


def decode_text(data: bytes) -> str:
    """Bytes of a text file as text: by their byte order mark; without one UTF-16 where every other byte is 0, else UTF-8.

    Raises:
        ValueError: the bytes are no text in that encoding.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _unmark(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise ValueError(f"it is not text: byte {error.start} is not {name}") from None
    if "\0" in text:
        raise ValueError("it is not text: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unmark(data: bytes) -> str:
    """Text that begins with a character of ASCII, as all that is read here does, shows its encoding by where zeros are."""
    if len(data) >= 2 and len(data) % 2 == 0 and 0 in data[:2]:
        return "utf-16-le" if data[1] == 0 and data[0] else "utf-16-be"
    return "utf-8"
