"""What differs between the versions of PyAV that ``pyproject.toml`` admits; nothing else checks which version is there.

Admitted are those whose colours are right: before 17 the matrix of a conversion (BT.709) was not the one requested.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import av
from av.container import InputContainer

__all__ = ["Ratio", "open_input", "to_fraction"]

# Tags in other encodings than UTF-8 end in UnicodeDecodeError; from 19 on PyAV replaces what it cannot read by itself.
_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


class Ratio(Protocol):
    """A ratio as PyAV gives it: a ``Fraction``, from 19 on an ``AVRational``, whose denominator may be 0."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


def open_input(source: Any, **options: Any) -> InputContainer:
    """``av.open`` for reading, for which tags in any encoding are no error.

    Raises:
        av.FFmpegError, OSError, ValueError: as ``av.open``.
    """
    container: InputContainer = av.open(source, **_OPTIONS, **options)
    return container


def to_fraction(ratio: Ratio | None) -> Fraction | None:
    """The ratio, or None where there is none: None, 0, or a denominator of 0."""
    if ratio is None or not ratio.numerator or not ratio.denominator:
        return None
    return Fraction(ratio.numerator, ratio.denominator)
