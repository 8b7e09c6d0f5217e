"""A folder as a list of work: how far the project of each video is. No video is decoded, and no results are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sampt.errors import SamptError
from sampt.session.progress import Progress, read_progress
from sampt.session.project import PROJECT_NAME, read_project
from sampt.web.browsers import projects_of_name
from sampt.web.roots import Roots
from sampt.web.schemas.server import FileEntry, WorkInfo

__all__ = ["add_work"]

_MAX_READ_BYTES = 1 << 18
"""A larger project.json without a file about its progress (an older sampt wrote none) is not read to tell of it."""


def add_work(entries: Iterable[FileEntry], roots: Roots, work: Path, is_open: set[Path]) -> list[FileEntry]:
    """The entries, with what is known of their projects.

    Args:
        entries: of one folder.
        roots: of the server.
        work: its folder, where projects are that cannot lie beside their video.
        is_open: projects that this server has open, links followed.
    """
    return [entry if (found := _work_of(entry, roots, work, is_open)) is None else found for entry in entries]


def _work_of(entry: FileEntry, roots: Roots, work: Path, is_open: set[Path]) -> FileEntry | None:
    if entry.kind == "folder":
        return None
    path = roots.resolve(entry.path)
    found = (path, _progress_of(path)) if entry.kind == "project" else _find_project(path, roots, work)
    if found is None:
        return entry.model_copy(update={"work": _NEW})
    project, progress = found
    return entry.model_copy(
        update={
            "work": WorkInfo(
                state="partly" if progress is None else progress.state,
                project=roots.describe(project),
                is_open=project.resolve() in is_open,
                num_frames=0 if progress is None else progress.num_frames,
                num_done=0 if progress is None else progress.num_done,
                num_events=0 if progress is None else progress.num_events,
                num_reviewed=0 if progress is None else progress.num_reviewed,
            )
        }
    )


_NEW = WorkInfo(state="new", project=None, is_open=False, num_frames=0, num_done=0, num_events=0, num_reviewed=0)


def _find_project(video: Path, roots: Roots, work: Path) -> tuple[Path, Progress | None] | None:
    """The project that opening the video opens (:func:`sampt.web.browsers.project_for`), by its name and the video's alone, and
    how far it is."""
    for folder in (video.parent, work / "projects"):
        for project in projects_of_name(folder, video):
            if not (project / PROJECT_NAME).is_file():
                break
            known = _progress_of(project)
            if roots.contains(project) and (known is None or known.video == video.name):
                return project, known
    return None


def _progress_of(project: Path) -> Progress | None:
    return read_progress(project) or _guess(project)


def _guess(project: Path) -> Progress | None:
    """What a project says that an older sampt wrote; None for a large or a damaged one."""
    try:
        if (project / PROJECT_NAME).stat().st_size > _MAX_READ_BYTES:
            return None
        content = read_project(project)
    except (SamptError, OSError):
        return None
    inputs = content.inputs
    count = sum(bool(inputs.frames_with_input(o.object_id)) for o in inputs.objects)
    return Progress(Path(content.video.path.replace("\\", "/")).name, content.video.num_frames, count, 0, 0, 0)
