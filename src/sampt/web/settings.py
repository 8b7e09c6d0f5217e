"""What a server is made with."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from sampt.config import SegmentConfig, default_config
from sampt.proposers.base import Proposer
from sampt.proposers.create import create_proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker

__all__ = ["DEFAULT_PORT", "BackendFactory", "Limits", "ProposerFactory", "WebSettings", "default_work_folder"]

DEFAULT_PORT = 7268
"""SAMT on the keys of a telephone."""

BackendFactory: TypeAlias = Callable[[SegmentConfig], tuple[PointTracker, PromptableSegmenter]]
"""Makes the backends of one session; what they share is its business."""
ProposerFactory: TypeAlias = Callable[[str], Proposer]
"""Makes a proposer by its name; a session uses it from one thread at a time."""


@dataclass(frozen=True)
class Limits:
    """What one server spends on all its browsers together, unless said otherwise; docs/ui.md has the same table.

    Attributes:
        connections: at a time; fewer where the operating system allows fewer open files.
        connections_a_client: of one address (IPv6: one /64 network).
        header_s: for the headers of a request, from the connection or their first byte on.
        keep_alive_s: a connection is closed after that time without a request.
        wait_s: a client that sends nothing of a body, or fetches nothing of a response, for that time is given up.
        bytes_a_s: who is slower on average is given up, too; a request or a response begins with ``wait_s``.
        upload_bytes_a_s: the same for uploads.
        sessions: open at a time.
        idle_s: a session is closed after that time without a request, an open event stream, or a running task.
        embedding_bytes: kept embeddings of all sessions.
        image_bytes: kept JPEG images of all sessions.
        upload_bytes: of one uploaded file.
        free_bytes: what an upload or an export leaves free on the disk.
        uploads, uploads_a_client: at a time.
        exports: kept by a session; the oldest make way.
        json_bytes: of the body of a request.
        mask_bytes, code_bytes: the same for a mask as PNG, as run-length code.
        objects, points: of a session.
        cells: objects times frames of a session, for each of which responses hold some numbers.
        given_bytes: run-length codes of all masks that were given in a session.
        streams: open event streams of a browser.
        message_bytes, messages_a_s: of a WebSocket; more closes it.
    """

    connections: int = 128
    connections_a_client: int = 48
    header_s: float = 15.0
    keep_alive_s: int = 30
    wait_s: float = 20.0
    bytes_a_s: int = 8 << 10
    upload_bytes_a_s: int = 32 << 10
    sessions: int = 4
    idle_s: float = 2 * 3600.0
    embedding_bytes: int = 512 << 20
    image_bytes: int = 128 << 20
    upload_bytes: int = 8 << 30
    free_bytes: int = 1 << 30
    uploads: int = 4
    uploads_a_client: int = 2
    exports: int = 8
    json_bytes: int = 64 << 10
    mask_bytes: int = 16 << 20
    code_bytes: int = 4 << 20
    objects: int = 255
    points: int = 10_000
    cells: int = 5_000_000
    given_bytes: int = 32 << 20
    streams: int = 16
    message_bytes: int = 64 << 10
    messages_a_s: float = 200.0


@dataclass(frozen=True)
class WebSettings:
    """A server.

    Attributes:
        roots: folders by name; no file outside them and ``work`` is touched.
        work: folder of uploads, of projects that cannot lie beside their video, and of exports until they are fetched.
        config: of new projects.
        backends: makes those of a session.
        proposers: makes those of a session.
        start: what the page opens first: names ``video`` and ``project``, or ``folder``, with paths as the interface has them.
        host, port: what the server is bound to.
        token: needed from every browser and script; None: no token.
    """

    roots: Mapping[str, Path]
    work: Path
    backends: BackendFactory
    config: SegmentConfig = field(default_factory=default_config)
    start: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str | None = None
    limits: Limits = field(default_factory=Limits)
    proposers: ProposerFactory = create_proposer

    def cookie(self, name: str) -> str:
        """The cookie called ``name``; browsers do not tell ports apart, so servers on other ports have names of their own."""
        return f"sampt_{name}" if self.port == DEFAULT_PORT else f"sampt_{name}_{self.port}"

    def with_limits(self, **changes: float) -> WebSettings:
        """The same with other limits."""
        return dataclasses.replace(self, limits=dataclasses.replace(self.limits, **changes))  # type: ignore[arg-type]


def default_work_folder() -> Path:
    """``sampt/ui`` under ``XDG_DATA_HOME`` or ``~/.local/share``. It may not exist."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "sampt" / "ui"
