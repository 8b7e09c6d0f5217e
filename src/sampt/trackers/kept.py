"""What is known of frames, kept by their content: shared by directions, groups of objects, and windows of re-initialisation."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np

from sampt.types import UInt8Array

__all__ = ["Kept", "frame_key"]

V = TypeVar("V")


def frame_key(frame: UInt8Array) -> bytes:
    """Equal for equal (h, w, 3) uint8 RGB frames alone."""
    salt = b"%dx%d" % frame.shape[:2]
    return hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16, salt=salt[:16]).digest()


class Kept(Generic[V]):
    """Values by key, within ``most_bytes``; those not asked for for longest make way. One alone may be larger."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._num_bytes = most_bytes, 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> V | None:
        """The value, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: V, num_bytes: int) -> V:
        """Keep a value, and give it back."""
        self._num_bytes += num_bytes - self._values.pop(key, (None, 0))[1]
        self._values[key] = value, num_bytes
        while self._num_bytes > self._most_bytes and len(self._values) > 1:
            self._num_bytes -= self._values.popitem(last=False)[1][1]
        return value
