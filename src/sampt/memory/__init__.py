"""Object memory: what objects looked like where they were named, and where that is on other frames."""

from sampt.memory.features import FrameFeatures
from sampt.memory.lookalikes import Lookalikes
from sampt.memory.object_memory import ObjectMemory, at_points, cover_cells, is_needed

__all__ = ["FrameFeatures", "Lookalikes", "ObjectMemory", "at_points", "cover_cells", "is_needed"]
