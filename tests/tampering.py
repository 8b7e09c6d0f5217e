"""Parsed JSON with one location changed, for tests of files that somebody else may have written."""

from __future__ import annotations

import json
from typing import Any


def find_windows(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something is in ``value``, which is at ``path`` itself: keys and indices from the outside in."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, part in items for inner in find_windows(part, (*path, key)))]


def changed_at(value: Any, location: tuple[Any, ...], new: Any) -> Any:
    """A copy of ``value`` with ``new`` at ``location``; without what is there, when ``new`` is ``...`` (the whole stays)."""
    whole = [json.loads(json.dumps(value))]
    *outer, last = (0, *location)
    owner: Any = whole
    for key in outer:
        owner = owner[key]
    if new is not ...:
        owner[last] = new
    elif location:
        del owner[last]
    return whole[0]
