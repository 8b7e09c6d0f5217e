"""From what a request names to an open session, with every path inside the roots."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

from starlette.exceptions import HTTPException

from sampt.config import SegmentConfig
from sampt.session.project import PROJECT_NAME, PROJECT_NAMES_THEM, SUFFIX, read_project
from sampt.session.session import Session
from sampt.video.locked import LockedVideo
from sampt.video.open import open_video
from sampt.web.browsers import project_for
from sampt.web.roots import Roots
from sampt.web.settings import BackendFactory, WebSettings
from sampt.weights import no_downloads

__all__ = ["Wanted", "working_side"]

LARGE_FROM, LARGE_SIDE = 1920, 1280
"""Frames with a longer side than the first, 4K say, are worked on at the second."""


def working_side(config: SegmentConfig, size_hw: tuple[int, int]) -> int | None:
    """The longest side of frames as they are worked on; None where that is the video's."""
    side = config.longest_side
    return None if side is None or side >= max(size_hw) else side


class Wanted:
    """A video, a project, or both, as paths of the interface.

    Attributes:
        project: the project's folder, which may not exist yet.

    Raises:
        HTTPException: 403 or 404 for a path, 400 for a combination that says nothing.
    """

    def __init__(
        self,
        video: str | None,
        project: str | None,
        roots: Roots,
        settings: WebSettings,
        backends: BackendFactory,
        longest_side: int | None = None,
    ) -> None:
        self._roots, self._settings, self._backends, self._longest_side = roots, settings, backends, longest_side
        if video is None and project is None:
            raise HTTPException(400, "Neither a video nor a project is named; expected one of them.")
        self._video = None if video is None else roots.existing(video)
        if self._video is not None and self._video.is_dir():
            roots.check_links(self._video)
        if project is not None:
            self.project = roots.resolve(project)
            if self._video is None:
                roots.existing(project)
        else:
            assert self._video is not None
            if self._video.suffix == SUFFIX and self._video.is_dir():
                raise HTTPException(400, f"{video!r} is a project, expected a video; give it as the project.")
            self.project = project_for(self._video, settings.work).resolve()
        if not roots.contains(self.project):
            raise HTTPException(403, "The project leads out of the folders that the server was given.")

    def open(self, cache_bytes: int) -> Session:
        """Open the project, or begin it.

        Raises:
            SamptError: as :class:`sampt.session.session.Session`.
        """
        if not (self.project / PROJECT_NAME).exists() and self._video is not None:
            tracker, segmenter = self._backends(self._settings.config)
            config = self._choose_size(self._video, (tracker.info.device, segmenter.info.device))
            return Session.create(
                self._video, self.project, config=config, tracker=tracker, segmenter=segmenter, cache_bytes=cache_bytes
            )
        self._roots.check_links(self.project)
        content = read_project(self.project)
        video = self._video or self._find_video(content.video.path, content.video.beside)
        with no_downloads(PROJECT_NAMES_THEM) if self._names_weights(content.config) else nullcontext():
            tracker, segmenter = self._backends(content.config)
        return Session.open(self.project, video=video, tracker=tracker, segmenter=segmenter, cache_bytes=cache_bytes)

    def _choose_size(self, video: Path, devices: tuple[str, str]) -> SegmentConfig:
        """The settings of a new project, at the size that was requested, or one at which a CPU responds to a click at once."""
        config, wanted = self._settings.config, self._longest_side
        if wanted is None:
            if config.longest_side is not None or not all(device == "cpu" for device in devices):
                return config
            with closing(LockedVideo(open_video(video))) as opened:
                wanted = LARGE_SIDE if max(opened.size_hw) > LARGE_FROM else 0
        return dataclasses.replace(config, longest_side=wanted or None)

    def _names_weights(self, config: SegmentConfig) -> bool:
        """Whether a project's file names backends or weights that whoever started the server did not; these are checked.

        Raises:
            HTTPException: 403 when they are neither default nor random nor in the roots.
        """
        own = self._settings.config
        is_other = False
        for name, weights, default in (
            (config.tracker, config.tracker_weights, (own.tracker, own.tracker_weights)),
            (config.segmenter, config.segmenter_weights, (own.segmenter, own.segmenter_weights)),
        ):
            if (name, weights) == default:
                continue
            is_other = True
            if weights not in ("default", "random"):
                self._check_weights(Path(os.path.abspath(Path(weights).expanduser())))
        return is_other

    def _check_weights(self, path: Path) -> None:
        if not self._roots.contains(path) or not path.exists():
            raise HTTPException(
                403,
                "The project names weights that are in no folder that the server was given; expected default, random or a file "
                "there. To use others, start the server with them.",
            )
        if path.is_dir():
            self._roots.check_links(path)

    def _find_video(self, path: str, beside: str | None) -> Path:
        """Where the project's video is, among the locations where a session would look that lie inside the roots."""
        for location in self._locations(path, beside):
            if self._roots.contains(location) and location.exists():
                if location.is_dir():
                    self._roots.check_links(location)
                return location
        name = Path(path.replace("\\", "/")).name
        raise HTTPException(
            400, f"The video {name} of the project is in no folder that the server was given; put it beside, or give its path."
        )

    def _locations(self, path: str, beside: str | None) -> Iterator[Path]:
        parent = self.project.parent
        yield Path(os.path.abspath(path))  # what is opened later is not to be read as ~user once more
        if beside is not None:
            yield Path(os.path.normpath(parent / beside))
        yield parent / Path(path.replace("\\", "/")).name
