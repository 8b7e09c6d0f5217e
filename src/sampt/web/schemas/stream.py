"""What the event stream carries, in both directions: OpenAPI has it as the schemas ``SessionEvent`` and ``SessionMessage``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from sampt.web.schemas.base import FrameIdx, RequestModel, ResponseModel
from sampt.web.schemas.session import FrameMasksResponse, ObjectMask
from sampt.web.schemas.suggestions import SearchResponse
from sampt.web.schemas.tasks import ExportResponse, PropagationResponse

__all__ = [
    "CancelMessage",
    "ChangedEvent",
    "ErrorEvent",
    "ExportEvent",
    "FrameEvent",
    "HelloEvent",
    "PingMessage",
    "PongEvent",
    "PreviewEvent",
    "PreviewMessage",
    "ProgressEvent",
    "SessionEvent",
    "SessionMessage",
    "SuggestionsEvent",
    "TakenEvent",
    "WatchMessage",
    "component_schemas",
    "parse_message",
]

RequestNumber = Annotated[int, Field(ge=-(2**53), le=2**53)]


class HelloEvent(ResponseModel):
    """The first of all."""

    type: Literal["hello"] = "hello"
    revision: int


class ChangedEvent(ResponseModel):
    """The session is another one than before: what GET /session says has this revision."""

    type: Literal["changed"] = "changed"
    revision: int


class TakenEvent(ResponseModel):
    """Another browser has taken the project over; the stream ends. ``project`` may be taken over again."""

    type: Literal["taken"] = "taken"
    project: str


class FrameEvent(ResponseModel):
    """Masks of some objects on a frame, as they are propagated. A page that reads slowly misses some. Provisional ones may
    still change and are not kept: a window of frames is final as a whole."""

    type: Literal["frame"] = "frame"
    frame: int
    is_provisional: bool
    objects: list[ObjectMask]


class ProgressEvent(PropagationResponse):
    """How the propagation stands."""

    type: Literal["progress"] = "progress"


class ExportEvent(ExportResponse):
    """How an export stands."""

    type: Literal["export"] = "export"


class SuggestionsEvent(SearchResponse):
    """How a search for objects on a frame has ended."""

    type: Literal["suggestions"] = "suggestions"


class PreviewEvent(FrameMasksResponse):
    """The reply to a preview message with that ``request``."""

    type: Literal["preview"] = "preview"
    request: int


class PongEvent(ResponseModel):
    """The reply to a ping."""

    type: Literal["pong"] = "pong"


class ErrorEvent(ResponseModel):
    """The reply to a message that could not be handled; ``request`` is that of a preview."""

    type: Literal["error"] = "error"
    request: int | None
    message: str


class PreviewMessage(RequestModel):
    """Requests what the inputs on a frame mean; of those that wait, only the newest one is handled."""

    type: Literal["preview"]
    request: RequestNumber
    frame: FrameIdx


class WatchMessage(RequestModel):
    """Whether masks are sent as they are propagated."""

    type: Literal["watch"]
    frame: FrameIdx | None = None
    frames: Literal["all", "none"] = "all"


class CancelMessage(RequestModel):
    """Ends the propagation."""

    type: Literal["cancel"]


class PingMessage(RequestModel):
    """Requests a pong."""

    type: Literal["ping"]


SessionEvent: TypeAlias = (
    HelloEvent
    | ChangedEvent
    | TakenEvent
    | FrameEvent
    | ProgressEvent
    | ExportEvent
    | SuggestionsEvent
    | PreviewEvent
    | PongEvent
    | ErrorEvent
)
SessionMessage: TypeAlias = PreviewMessage | WatchMessage | CancelMessage | PingMessage

_EVENTS: Final[TypeAdapter[Any]] = TypeAdapter(Annotated[SessionEvent, Field(discriminator="type")])
_MESSAGES: Final[TypeAdapter[SessionMessage]] = TypeAdapter(Annotated[SessionMessage, Field(discriminator="type")])


def parse_message(data: Any) -> SessionMessage:
    """A page's message, from decoded JSON; raises pydantic's ValidationError when it is none."""
    return _MESSAGES.validate_python(data)


def component_schemas() -> dict[str, Any]:
    """The schemas of all events and messages, and of the two unions of them, by name, as OpenAPI's components have them."""
    named: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("SessionEvent", "serialization", _EVENTS),
        ("SessionMessage", "validation", _MESSAGES),
    ]
    unions, parts = TypeAdapter.json_schemas(named, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = {**parts["$defs"], **{name: schema for (name, _), schema in unions.items()}}
    return dict(sorted(schemas.items()))
