"""Suggestions: objects that may be on a frame and that nobody has named."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sampt.web.schemas.base import RequestModel, ResponseModel, RleMask

__all__ = ["SearchCreate", "SearchResponse", "Suggestion"]

MAX_SUGGESTIONS = 100

Fraction = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]


class SearchCreate(RequestModel):
    """How to look for objects on a frame; what is left out is as the server has it.

    ``proposer``: one of those that GET /about lists. ``max_objects``: at most so many, the best ones. ``min_area``: of the
    smallest one, as a fraction of the frame. ``min_score``: least score. ``region``: a box [x0, y0, x1, y1] that their centres
    lie in.
    """

    proposer: Annotated[str, Field(max_length=100, pattern="^[^:]+$")] | None = None
    max_objects: Annotated[int, Field(ge=1, le=MAX_SUGGESTIONS)] | None = None
    min_area: Fraction | None = None
    min_score: Fraction | None = None
    region: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = None


class Suggestion(ResponseModel):
    """A mask that may be of an object. ``score`` is how sure the proposer is, from 0 to 1; ``label`` what it is, or null;
    ``color`` that of the object that it would become."""

    suggestion_id: int
    score: float
    label: str | None
    color: str
    rle: RleMask


class SearchResponse(ResponseModel):
    """A search on a frame. ``suggestions``, best first, are complete when it does not run any more; accepted ones are gone."""

    search_id: int
    frame: int
    proposer: str
    is_running: bool
    is_cancelled: bool
    error: str | None
    suggestions: list[Suggestion]
