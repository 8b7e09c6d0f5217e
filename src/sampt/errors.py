"""Every error that a user can cause, as one tree.

A message is one line that says what was got, what was expected and what to do. The command line prints it and exits with
status 2; a program catches :class:`SamptError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "BatchError",
    "ConfigError",
    "EvaluationError",
    "FolderBusyError",
    "InputChangedError",
    "LimitError",
    "OutputError",
    "QueryError",
    "SamptError",
    "ValueCheckError",
    "VideoError",
    "did_you_mean",
]


class SamptError(Exception):
    """Base of all errors that sampt raises on purpose."""


class VideoError(SamptError):
    """The video is missing, empty, broken, or holds frames that cannot be used together."""


class InputChangedError(VideoError):
    """The video's files are others than when it was opened, so that what was made of them belongs together no more."""


class QueryError(SamptError):
    """Points, masks or a query file do not say which objects to segment."""


class ConfigError(SamptError):
    """An option has a value outside its range, or two options contradict each other."""


class BackendError(SamptError):
    """A tracker or segmenter is unknown, cannot be imported, or broke its promise."""


class OutputError(SamptError):
    """Results cannot be written, or belong to another run."""


class FolderBusyError(OutputError):
    """Another process works in the output folder; it will be free later."""


class LimitError(SamptError):
    """An input requests more memory or time than any real one needs (:mod:`sampt.files.limits`)."""


class EvaluationError(SamptError):
    """Predictions and ground truth cannot be compared."""


class BatchError(SamptError):
    """A list of videos does not say which ones, or the workers that share it cannot be had."""


class ValueCheckError(SamptError, ValueError):
    """A value between two stages breaks its own promise (shape, type or range)."""


def one_line(error: BaseException) -> str:
    """Kind and text of somebody else's error, for the middle of a sentence."""
    return " ".join(f"{type(error).__name__} {error}".split())


def did_you_mean(got: str, available: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest name, or an empty string when nothing is close."""
    close = difflib.get_close_matches(got, list(available), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
