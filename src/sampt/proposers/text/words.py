"""What a user looks for, as phrases."""

from __future__ import annotations

import re

from sampt.errors import BackendError

__all__ = ["MAX_PHRASES", "split_words"]

MAX_PHRASES = 20


def split_words(text: str | None, name: str) -> tuple[str, ...]:
    """The phrases of ``text``, between commas or bars, for the proposer ``name``.

    Raises:
        BackendError: there is none, one is empty, or they are too many.
    """
    if not text or not text.strip():
        raise BackendError(f"The proposer {name!r} needs words; write them as '{name}:a dog', or '{name}:a dog,a red ball'.")
    phrases = tuple(" ".join(part.split()) for part in re.split(r"[,|]", text))
    if not all(any(c.isalnum() for c in phrase) for phrase in phrases):
        raise BackendError(f"{name!r} got {text!r}, where a phrase has no word; expected words between all commas and bars.")
    if len(phrases) > MAX_PHRASES:
        raise BackendError(f"{name!r} got {len(phrases)} phrases; expected at most {MAX_PHRASES}.")
    return tuple(dict.fromkeys(phrases))
