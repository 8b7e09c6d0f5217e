"""What to segment, as one value from whoever reads it to the pipeline: clicks, boxes and masks, in any mixture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from sampt.checks import shape_repr
from sampt.errors import QueryError
from sampt.geometry import SizeHW
from sampt.points.check import check_queries
from sampt.points.parse import parse_boxes, parse_click, read_queries, read_query_masks
from sampt.types import Points, QueryBox, QueryMask

__all__ = ["Queries", "Query", "QueryLike", "parse_queries"]

Query: TypeAlias = Points | QueryMask | QueryBox


@dataclass(frozen=True, eq=False)
class Queries:
    """The queries of one video by kind, at its own size; frames as it counts them.

    Attributes:
        points: all clicks.
        masks: given masks.
        boxes: given boxes.
        checked_for: number of frames (None: not known) and size of the video that they were checked against; see
            :meth:`checked`.
    """

    points: Points = field(default_factory=lambda: Points.concat([]))
    masks: tuple[QueryMask, ...] = ()
    boxes: tuple[QueryBox, ...] = ()
    checked_for: tuple[int | None, SizeHW] | None = None

    __repr__ = shape_repr

    @classmethod
    def of(cls, queries: QueryLike) -> Queries:
        """The value, from any mixture.

        Raises:
            QueryError: something else is among them.
        """
        if isinstance(queries, Queries):
            return queries
        items = [queries] if isinstance(queries, (Points, QueryMask, QueryBox)) else list(queries)
        for item in items:
            if not isinstance(item, (Points, QueryMask, QueryBox)):
                raise QueryError(f"A query is a {type(item).__name__}, expected Points, QueryMask or QueryBox.")
        return cls(
            Points.concat(i for i in items if isinstance(i, Points)),
            tuple(i for i in items if isinstance(i, QueryMask)),
            tuple(i for i in items if isinstance(i, QueryBox)),
        )

    @property
    def object_ids(self) -> list[int]:
        """Ascending."""
        return sorted({*self.points.object_ids, *(m.object_id for m in self.masks), *(b.object_id for b in self.boxes)})

    @property
    def frames(self) -> list[int]:
        """Of all of them, in no order."""
        return [
            *self.points.frame_idx.tolist(),
            *(m.frame_idx for m in self.masks),
            *(b.frame_idx for b in self.boxes),
        ]

    def checked(self, num_frames: int | None, size_hw: SizeHW) -> Queries:
        """The same, once every query fits the video; what was checked for this video before is not checked again.

        Args:
            num_frames: of the video; None when it is not known yet.
            size_hw: of its frames.

        Raises:
            QueryError: see :func:`sampt.points.check.check_queries`.
        """
        if self.checked_for == (num_frames, size_hw):
            return self
        check_queries(self.points, self.masks, num_frames, size_hw, self.boxes)
        return dataclasses.replace(self, checked_for=(num_frames, size_hw))

    def on_frames(self, new_idx: Mapping[int, int]) -> Queries:
        """The same with every frame replaced by its number in ``new_idx``; these have to be checked again."""
        return Queries(
            self.points.with_frames(np.array([new_idx[f] for f in self.points.frame_idx.tolist()], np.int64)),
            tuple(dataclasses.replace(m, frame_idx=new_idx[m.frame_idx]) for m in self.masks),
            tuple(dataclasses.replace(b, frame_idx=new_idx[b.frame_idx]) for b in self.boxes),
        )


QueryLike: TypeAlias = Queries | Query | Iterable[Query]


def parse_queries(
    *,
    clicks: Iterable[str] = (),
    boxes: Iterable[str] = (),
    file: str | None = None,
    masks: Iterable[tuple[str, int]] = (),
) -> Queries:
    """The queries that texts and files hold.

    Args:
        clicks: as :func:`sampt.points.parse.parse_click` reads them.
        boxes: as :func:`sampt.points.parse.parse_boxes` reads them.
        file: clicks, as :func:`sampt.points.parse.read_queries` reads them.
        masks: mask images and the frames that they are of.

    Raises:
        QueryError: a text has another form, or a file is missing or does not hold queries.
    """
    found: list[Query] = [parse_click(text) for text in clicks]
    found += [box for text in boxes for box in parse_boxes(text)]
    if file is not None:
        found.append(read_queries(file))
    for path, frame_idx in masks:
        found += read_query_masks(path, frame_idx)
    return Queries.of(found)
