"""Objects that nobody named: which proposals are new objects, and which are objects that are known."""

from __future__ import annotations

from sampt.finding.find import FoundObject, FoundObjects, find_objects
from sampt.finding.stream import find_in_stream, stream_object_ids

__all__ = ["FoundObject", "FoundObjects", "find_in_stream", "find_objects", "stream_object_ids"]
