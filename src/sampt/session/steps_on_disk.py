"""The steps to undo and to do again as a part of the project's file: each as what it differs in from the one after it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from sampt.errors import SamptError
from sampt.session.edits import MAX_STEPS, History, Inputs, check_inputs

__all__ = ["MAX_CHARS", "pack_steps", "unpack_steps"]

MAX_CHARS = 1 << 20
"""Of all steps in the file; the oldest make way."""
MAX_ITEMS = 200_000
"""Of all steps together, when they are read: each is checked as a whole."""

_PARTS = tuple(f.name for f in dataclasses.fields(Inputs) if f.default == ())

Write = Callable[[Inputs], Mapping[str, Any]]
Read = Callable[[Mapping[str, Any]], Inputs]


def pack_steps(history: History, write: Write) -> dict[str, list[dict[str, Any]]]:
    """What is written of a history besides its inputs.

    Args:
        history: of the session.
        write: inputs as they are in the file.

    Returns:
        ``undo`` and ``redo``, the nearest step first; of each the parts that it has not in common with the one before it in the
        list: ``kept``, how many items at the start and at the end are the same, and ``items``, those between.
    """
    room = MAX_CHARS
    packed: dict[str, list[dict[str, Any]]] = {"undo": [], "redo": []}
    for name, steps in (("undo", history.before), ("redo", history.after)):
        for newer, older in pairwise((history.now, *reversed(steps))):
            step = _difference(newer, older, write)
            room -= len(json.dumps(step))
            if room < 0:
                break
            packed[name].append(step)
    return packed


def unpack_steps(now: Inputs, packed: Mapping[str, Any], read: Read) -> History:
    """The history of ``now``; without steps that are damaged: they are worth less than the project.

    Args:
        now: the inputs of the file.
        packed: what :func:`pack_steps` gave.
        read: the inverse of its ``write``.
    """
    room = MAX_ITEMS
    found: dict[str, list[Inputs]] = {"undo": [], "redo": []}
    for name, steps in found.items():
        for step in _rebuilt(now, packed, name, read):
            room -= sum(len(getattr(step, part)) for part in _PARTS)
            if room < 0:
                break
            steps.insert(0, step)
    return History(now, tuple(found["undo"]), tuple(found["redo"]))


def _rebuilt(now: Inputs, packed: Mapping[str, Any], name: str, read: Read) -> Iterator[Inputs]:
    try:
        for step in packed[name][:MAX_STEPS]:
            now = _apply(now, step, read)
            yield check_inputs(now)
    except (SamptError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return


def _difference(newer: Inputs, older: Inputs, write: Write) -> dict[str, Any]:
    kept, between = {}, {}
    for part in _PARTS:
        new, old = getattr(newer, part), getattr(older, part)
        if new is not old:
            shorter = min(len(new), len(old))
            is_longer = new[:shorter] == old[:shorter]  # as a rule: something was added, or taken away at the end
            start = shorter if is_longer else _count_same(zip(new, old, strict=False))
            end = _count_same(zip(reversed(new[start:]), reversed(old[start:]), strict=False))
            kept[part] = [start, end]
            between[part] = old[start : len(old) - end]
    written = write(dataclasses.replace(older, **{part: between.get(part, ()) for part in _PARTS}))
    return {"kept": kept, "items": {part: written[part] for part in kept}}


def _apply(newer: Inputs, step: Mapping[str, Any], read: Read) -> Inputs:
    between = read({part: step["items"].get(part, []) for part in _PARTS})
    changes: dict[str, Any] = {}
    for part, (start, end) in step["kept"].items():
        items = getattr(newer, part)
        if part not in _PARTS or not 0 <= start <= len(items) - end <= len(items):
            raise ValueError("a step keeps more than there is")
        changes[part] = (*items[:start], *getattr(between, part), *items[len(items) - end :])
    return dataclasses.replace(newer, **changes)


def _count_same(pairs: Iterable[tuple[Any, Any]]) -> int:
    count = 0
    for one, other in pairs:
        if one is not other and one != other:
            break
        count += 1
    return count
