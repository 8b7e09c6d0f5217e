"""About the server, its files, and uploads."""

from __future__ import annotations

from typing import Literal

from sampt.session.progress import WorkState
from sampt.web.schemas.base import ResponseModel

__all__ = [
    "AboutLimits",
    "AboutResponse",
    "EntryKind",
    "ExporterInfo",
    "FileEntry",
    "FilesResponse",
    "LicenseInfo",
    "ProposerInfo",
    "StartPaths",
    "UploadResponse",
    "WorkInfo",
]

EntryKind = Literal["folder", "video", "project", "frames"]


class AboutLimits(ResponseModel):
    """What a page should know of the server's limits."""

    upload_bytes: int
    sessions: int


class ExporterInfo(ResponseModel):
    """A format that results can be exported in; ``takes_images``: with the frames beside, too."""

    name: str
    suffix: str
    title: str
    takes_images: bool


class ProposerInfo(ResponseModel):
    """What can look for objects on a frame, and how it does, in a few words."""

    name: str
    method: str


class LicenseInfo(ResponseModel):
    """Of a backend."""

    name: str
    role: Literal["tracker", "segmenter"]
    code: str
    weights: str | None


class StartPaths(ResponseModel):
    """What to open first: the body of POST /session, or the folder to list."""

    video: str | None
    project: str | None
    folder: str | None


class AboutResponse(ResponseModel):
    """What the server is, can, and allows; the first of ``proposers`` is the one that is used where none is named."""

    version: str
    token_required: bool
    limits: AboutLimits
    upload_types: list[str]
    exporters: list[ExporterInfo]
    proposers: list[ProposerInfo]
    tracker: str
    segmenter: str
    licenses: list[LicenseInfo]
    start: StartPaths | None
    has_session: bool


class WorkInfo(ResponseModel):
    """How far the project of a video is, as it was saved last. ``new``: nothing is said yet; ``partly``: frames are missing or
    out of date; ``complete``: all are there; ``reviewed``: and a person has looked at every event that needed it.
    ``num_frames`` is 0 where that is not known. ``is_open``: in a browser of this server."""

    state: WorkState
    project: str | None
    is_open: bool
    num_frames: int
    num_done: int
    num_events: int
    num_reviewed: int


class FileEntry(ResponseModel):
    """Something that can be opened, or a folder to look into; of the former, ``work`` is how far it is."""

    name: str
    path: str
    kind: EntryKind
    num_bytes: int | None
    work: WorkInfo | None = None


class FilesResponse(ResponseModel):
    """What is in a folder; ``parent`` is the folder above it."""

    path: str
    parent: str | None
    entries: list[FileEntry]


class UploadResponse(ResponseModel):
    """Where an upload lies now."""

    path: str
