"""Objects that nobody named: which proposals are new objects, and which are objects that are known."""

from __future__ import annotations

from sampt.finding.find import FoundObject, FoundObjects, find_objects

__all__ = ["FoundObject", "FoundObjects", "find_objects"]
