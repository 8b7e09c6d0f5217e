"""About the server, its files, and uploads."""

from __future__ import annotations

from typing import Literal

from sampt.web.schemas.base import ResponseModel

__all__ = [
    "AboutLimits",
    "AboutResponse",
    "EntryKind",
    "ExporterInfo",
    "FileEntry",
    "FilesResponse",
    "LicenseInfo",
    "StartPaths",
    "UploadResponse",
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


class LicenseInfo(ResponseModel):
    """Of a backend."""

    name: str
    role: Literal["tracker", "segmenter"]
    code: str
    weights: str | None


class StartPaths(ResponseModel):
    """What to open first: the body of POST /session."""

    video: str | None
    project: str | None


class AboutResponse(ResponseModel):
    """What the server is, can, and allows."""

    version: str
    token_required: bool
    limits: AboutLimits
    upload_types: list[str]
    exporters: list[ExporterInfo]
    tracker: str
    segmenter: str
    licenses: list[LicenseInfo]
    start: StartPaths | None
    has_session: bool


class FileEntry(ResponseModel):
    """Something that can be opened, or a folder to look into."""

    name: str
    path: str
    kind: EntryKind
    num_bytes: int | None


class FilesResponse(ResponseModel):
    """What is in a folder; ``parent`` is the folder above it."""

    path: str
    parent: str | None
    entries: list[FileEntry]


class UploadResponse(ResponseModel):
    """Where an upload lies now."""

    path: str
