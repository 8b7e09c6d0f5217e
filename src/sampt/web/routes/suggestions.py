"""Routes that suggest objects which nobody has named."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from sampt.config import FindConfig
from sampt.web.dependencies import ERRORS, Held, check_room_for_mask, check_room_for_object, known_frame
from sampt.web.responses import object_model
from sampt.web.schemas.session import ObjectCreateResponse
from sampt.web.schemas.suggestions import SearchCreate, SearchResponse
from sampt.web.session_response import session_response

__all__ = ["router"]

router = APIRouter(tags=["suggestions"], prefix="/session")

FrameNumber = Annotated[int, Path(ge=0, lt=2**31)]
SuggestionId = Annotated[int, Path(ge=1, lt=2**31)]


@router.post("/frames/{frame}/suggestions", status_code=202, responses=ERRORS)
def find_suggestions(frame: FrameNumber, wanted: SearchCreate, held: Held) -> SearchResponse:
    """Look for objects on a frame that nobody has named there. Nothing is added; the event stream has the search again when it
    has ended, and so has GET. One that runs already is cancelled."""
    given = wanted.model_dump(exclude_none=True)
    if wanted.region is not None:
        given["region"] = tuple(wanted.region)
    return held.find_suggestions(known_frame(held, frame), FindConfig(**given)).to_response()


@router.get("/suggestions", responses=ERRORS)
def get_suggestions(held: Held) -> SearchResponse | None:
    """How the last search stands."""
    return None if held.search is None else held.search.to_response()


@router.delete("/suggestions", responses=ERRORS)
def drop_suggestions(held: Held) -> SearchResponse | None:
    """End the search, if one runs, and drop what it has found."""
    task = held.search
    if task is None:
        return None
    task.drop()
    return task.to_response()


@router.post("/suggestions/{suggestion_id}/accept", status_code=201, responses=ERRORS)
def accept_suggestion(suggestion_id: SuggestionId, held: Held) -> ObjectCreateResponse:
    """Make an object of a suggestion of the last search: its mask is given on the frame, in one step to undo."""
    check_room_for_object(held)
    check_room_for_mask(held)
    made = held.accept_suggestion(suggestion_id)
    held.notify_changed()
    return ObjectCreateResponse(object=object_model(made), state=session_response(held))
