"""The contract of an exporter, clause by clause."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, Exporter, ExportFrame, ExportObject, object_named
from sampt.exporters.registry import export
from sampt.testing.clauses import ContractError, demand, run_clauses
from sampt.testing.rendering import SceneVideo
from sampt.testing.scenes import crossing_scene
from sampt.types import FrameMasks, FramePoints, HiddenBy, ObjectState
from sampt.video.base import SubVideo, Video

__all__ = ["EXPORTER_CLAUSES", "ExporterClause", "check_exporter"]

ExporterClause = Callable[[Exporter, None], None]
_OLDER = b"an older file"


def one_file(exporter: Exporter, limits: None = None) -> None:
    """An export is one file, which replaces an older one of its name."""
    with tempfile.TemporaryDirectory() as name:
        path = _path(exporter, name)
        path.write_bytes(_OLDER)
        _export(exporter, path, _results())
        demand(path.read_bytes() != _OLDER, "The export left an older file of its name as it was.")
        _demand_only(path, "after an export")


def only_when_complete(exporter: Exporter, limits: None = None) -> None:
    """Before an export is closed there is no file of its name, and what had the name stays when it fails."""
    with tempfile.TemporaryDirectory() as name:
        path, video = _path(exporter, name), _video()
        writer = exporter.open(path, ExportContext(video, _OBJECTS))
        writer.write(ExportFrame(_results()[0], video))
        is_there = path.exists()
        writer.close(False)
        demand(
            not is_there, "The file had its name before it was complete; write to sampt.files.atomic.make_partial_path(path)."
        )
        demand(not list(path.parent.iterdir()), f"After close(False) {_names(path.parent)} was there; expected nothing.")
        path.write_bytes(_OLDER)
        writer = exporter.open(path, ExportContext(video, _OBJECTS))
        writer.close(False)
        demand(path.read_bytes() == _OLDER, "close(False) changed a file that was there before.")
        _demand_only(path, "after close(False)")


def same_bytes(exporter: Exporter, limits: None = None) -> None:
    """The same result gives the same bytes."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        paths = [_path(exporter, name) for name in (first, second)]
        for path in paths:
            _export(exporter, path, _results())
        demand(paths[0].read_bytes() == paths[1].read_bytes(), "Two exports of one result differ.")


def frames_missing(exporter: Exporter, limits: None = None) -> None:
    """Frames may be missing, and objects absent everywhere."""
    with tempfile.TemporaryDirectory() as name:
        _export(exporter, _path(exporter, name), _results()[1::2])
        _export(exporter, _path(exporter, name), _results(are_absent=True))


def one_frame(exporter: Exporter, limits: None = None) -> None:
    """A video of one frame is exported."""
    with tempfile.TemporaryDirectory() as name:
        _export(exporter, _path(exporter, name), _results()[:1], SubVideo(_video(), range(1)))


def missing_folder(exporter: Exporter, limits: None = None) -> None:
    """A folder that is not there is given by an OutputError."""
    with tempfile.TemporaryDirectory() as name:
        try:
            _export(exporter, _path(exporter, f"{name}/nowhere"), _results())
        except OutputError:
            return
    raise ContractError("An export into a folder that is not there raised nothing; expected an OutputError.")


EXPORTER_CLAUSES: tuple[tuple[str, ExporterClause], ...] = (
    ("one file", one_file),
    ("only when complete", only_when_complete),
    ("same bytes", same_bytes),
    ("frames missing", frames_missing),
    ("one frame", one_frame),
    ("missing folder", missing_folder),
)
"""Name of each clause -> the clause, which raises :class:`~sampt.testing.clauses.ContractError` when it is broken."""


def check_exporter(exporter: Exporter) -> None:
    """Check all of :data:`EXPORTER_CLAUSES`.

    Raises:
        ContractError: with a sentence for every broken clause, or because it is no exporter.
    """
    if not isinstance(exporter, Exporter):
        raise ContractError(f"Got {exporter!r}; expected an Exporter of sampt.exporters.base.")
    run_clauses("exporter", EXPORTER_CLAUSES, lambda: exporter, None)


_SCENE = crossing_scene(4)
_OBJECTS: Sequence[ExportObject] = (object_named(1, "left"), object_named(2, 'right, "quoted" & <b>'), object_named(9))
"""The last is never there."""


def _video() -> Video:
    return SceneVideo(_SCENE)


def _results(*, are_absent: bool = False) -> list[FrameMasks]:
    """Of all frames, with a visible and a hidden point."""
    points = FramePoints(
        np.array([0, 1]),
        np.array([1, 2]),
        np.array([True, False]),
        np.array([[3.5, 4], [20, 7]], np.float32),
        np.array([1, 0.5], np.float32),
        np.array([HiddenBy.NONE, HiddenBy.TRACKER], np.uint8),
    )
    found = []
    for i in range(_SCENE.num_frames):
        own = _SCENE.masks(i)
        masks = np.concatenate([own & (not are_absent), np.zeros((1, *own.shape[1:]), np.bool_)])
        states = np.where(masks.any((1, 2)), ObjectState.PRESENT, ObjectState.EMPTY).astype(np.uint8)
        found.append(FrameMasks(i, np.array([1, 2, 9]), masks, np.array([0.9, 1, np.nan], np.float32), states, points))
    return found


def _export(exporter: Exporter, path: Path, results: Sequence[FrameMasks], video: Video | None = None) -> None:
    export(exporter, results, video or _video(), _OBJECTS, path)


def _path(exporter: Exporter, folder: str) -> Path:
    return Path(folder) / f"out{exporter.suffix}"


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir()))


def _demand_only(path: Path, when: str) -> None:
    names = _names(path.parent)
    demand(names == path.name, f"{names} was there {when}; expected {path.name}.")
