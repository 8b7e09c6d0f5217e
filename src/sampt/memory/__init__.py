"""Object memory: what objects looked like where they were named, and where that is on other frames."""

from sampt.memory.features import FrameFeatures
from sampt.memory.lookalikes import Lookalikes
from sampt.memory.object_memory import ObjectMemory, at_points, cover_cells, is_known, is_needed
from sampt.memory.parts import find_foreign_parts

__all__ = [
    "FrameFeatures",
    "Lookalikes",
    "ObjectMemory",
    "at_points",
    "cover_cells",
    "find_foreign_parts",
    "is_known",
    "is_needed",
]
