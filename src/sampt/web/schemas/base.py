"""What all schemas are made of: how strict requests and responses are, and types of single fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ErrorResponse", "FrameIdx", "Id", "RequestModel", "ResponseModel", "RleMask"]

Id = Annotated[int, Field(ge=1, lt=2**31)]
FrameIdx = Annotated[int, Field(ge=0, lt=2**31)]


class RequestModel(BaseModel):
    """What a client sends: unknown names are mistakes, and nothing is made of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResponseModel(BaseModel):
    """What the server sends: every field is there, and every number finite."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True)


class ErrorResponse(ResponseModel):
    """What went wrong, in one line; ``can_take_over``: the project is open in another browser of this server, and POST /session
    with ``take_over`` opens it all the same; it is left out where it is false."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    error: str
    can_take_over: bool = False


class RleMask(BaseModel):
    """A mask in COCO's compressed run lengths; ``size`` is [height, width]. Of requests and responses."""

    model_config = ConfigDict(extra="forbid")

    size: tuple[Annotated[int, Field(ge=1, le=65536)], Annotated[int, Field(ge=1, le=65536)]]
    counts: str
