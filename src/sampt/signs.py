"""The one rule for what says whether a point is on its object: in Python, query files, on the command line, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sampt.errors import ValueCheckError

__all__ = ["SIGN_KEYS", "parse_sign", "parse_signs", "take_sign"]

SIGN_KEYS = ("sign", "label", "labels", "is_positive")
"""What files and requests call it."""
_EXPECTED = 'expected "+", 1 or true (on the object), or "-", 0, -1 or false (off it)'
_WORDS = {"+": True, "1": True, "+1": True, "-": False, "0": False, "-1": False}


def parse_sign(value: Any) -> bool:
    """Whether the point is on the object: True, 1, 1.0 and "+" say so, False, 0, -1 and "-" say not; numbers also as text.

    Raises:
        ValueCheckError: it is anything else, None or NaN say.
    """
    if isinstance(value, str):
        found = _WORDS.get(value.strip())
    elif isinstance(value, (bool, int, float, np.bool_, np.number)):
        found = True if value == 1 else False if value in (0, -1) else None
    else:
        found = None
    if found is None:
        raise ValueCheckError(f"A sign is {str(value)[:40]!r}; {_EXPECTED}.")
    return found


def parse_signs(values: Any) -> npt.NDArray[np.bool_]:
    """The same for an array or nested sequence of any shape, one value included.

    Raises:
        ValueCheckError: one of them is no sign, or rows have unequal lengths.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.bool_:
        return values
    try:
        array = np.array(values, dtype=object)
    except ValueError:
        raise ValueCheckError(f"Signs are in rows of unequal lengths; {_EXPECTED}, one for each point.") from None
    return np.array([parse_sign(value) for value in array.ravel()], np.bool_).reshape(array.shape)


def take_sign(item: Mapping[str, Any]) -> bool:
    """The sign in an object of JSON, under whichever of :data:`SIGN_KEYS` it stands; positive where it has none.

    Raises:
        ValueCheckError: it has two of them, or what stands there is no sign.
    """
    given = [key for key in SIGN_KEYS if key in item]
    if len(given) > 1:
        raise ValueCheckError(f'It has both "{given[0]}" and "{given[1]}"; give one of them.')
    return parse_sign(item[given[0]]) if given else True
