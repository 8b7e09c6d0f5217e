"""What was computed once and may be wanted again, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["LruCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Values by key; those used longest ago make way. One alone may be larger than there is room.

    Not for values that grow (:class:`sampt.segmenters.cache.EmbeddingCache`) or are rows of one array. Threads that share it
    need a lock.

    Args:
        max_bytes: room for all values together.
        max_items: so many values at most, where some take next to nothing; None: any number.

    Attributes:
        num_bytes: of all values that are here.
    """

    def __init__(self, max_bytes: int, max_items: int | None = None) -> None:
        self._max_bytes, self._max_items, self.num_bytes = max_bytes, max_items, 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        """The keys, used longest ago first."""
        return iter(self._values)

    def get(self, key: K) -> V | None:
        """The value, which is now the one used last; or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: K, value: V, num_bytes: int) -> V:
        """Add a value, instead of what had its key, and give it back."""
        self.num_bytes += num_bytes - self._values.pop(key, (None, 0))[1]
        self._values[key] = value, num_bytes
        while len(self._values) > 1 and self._is_full():
            self.num_bytes -= self._values.popitem(last=False)[1][1]
        return value

    def _is_full(self) -> bool:
        return self.num_bytes > self._max_bytes or (self._max_items is not None and len(self._values) > self._max_items)
