"""What Pillow's readers have in common."""

from __future__ import annotations

import struct

from PIL import Image

__all__ = ["BROKEN_IMAGE", "broken_reason"]

BROKEN_IMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
"""What they raise on a broken file; each of them has its own habit."""


def broken_reason(error: BaseException) -> str:
    """The error's text in one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
