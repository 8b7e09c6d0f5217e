"""Paths as the interface has them, ``ROOTNAME/relative/posix/path``, and nothing outside the roots."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from starlette.exceptions import HTTPException

from sampt.files.listing import is_leftover
from sampt.session.project import PROJECT_NAME, SUFFIX
from sampt.video.frame_names import IMAGE_SUFFIXES
from sampt.video.open import VIDEO_SUFFIXES
from sampt.web.schemas.server import EntryKind, FileEntry

__all__ = ["Roots", "folder_kind", "named_roots"]

_MAX_ENTRIES = 5000
_MAX_SAMPLED = 40
"""Files of a folder that are looked at to tell whether it holds frames."""
_LONGEST = 2000
_LONGEST_PART = 240
"""Bytes of a name: file systems take 255, and partial files have longer names."""
_ABSOLUTE = re.compile(r"(?<!GET )(?<!POST )(?<![\w./~:\\-])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\'\",;:()]+)+[/\\]?")


def named_roots(folders: Iterable[Path]) -> dict[str, Path]:
    """Each folder by its own name, or by that and a number where names are equal."""
    found: dict[str, Path] = {}
    for folder in dict.fromkeys(f.resolve() for f in folders):
        name = stem = re.sub(r"[^\w.-]+", "-", folder.name).strip("-.") or "root"
        number = 1
        while name in found:
            number += 1
            name = f"{stem}-{number}"
        found[name] = folder
    return found


class Roots:
    """Folders by name.

    Args:
        folders: they exist.
        hidden: folders that messages may not name either.
    """

    def __init__(self, folders: Mapping[str, Path], hidden: Iterable[Path] = ()) -> None:
        self._given = dict(folders)
        self._real = {name: folder.resolve() for name, folder in folders.items()}
        self._hidden = [h for folder in hidden for h in {folder.absolute(), folder.resolve()}]

    def resolve(self, path: str) -> Path:
        """The file or folder that ``path`` names, which may not exist yet; links are followed.

        Raises:
            HTTPException: 403 when it is none, or lies outside the roots.
        """
        name, *parts = path.split("/")
        is_plain = len(path) <= _LONGEST and "\\" not in path and path.isprintable() and name in self._real
        if not is_plain or any(p in ("", ".", "..") or len(p.encode()) > _LONGEST_PART for p in parts):
            raise HTTPException(
                403, f"The path {_shown(path)} is not allowed; expected ROOT/folder/file as the list of files gives it."
            )
        root = self._real[name]
        try:
            found = root.joinpath(*parts).resolve()
        except (OSError, RuntimeError):
            found = root.parent
        if not found.is_relative_to(root):
            raise HTTPException(403, f"The path {_shown(path)} leads out of the folders that the server was given.")
        return found

    def existing(self, path: str) -> Path:
        """The same, of what exists.

        Raises:
            HTTPException: 404 when it does not.
        """
        found = self.resolve(path)
        try:
            found.lstat()
        except OSError:
            raise HTTPException(404, f"There is no {_shown(path)}; look into its folder for what there is.") from None
        return found

    def check_links(self, folder: Path) -> None:
        """Refuse a folder in which something is a link to somewhere else: frames, or the parts of a project.

        Raises:
            HTTPException: 403.
        """
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() and not self.contains(Path(entry.path)):
                    raise HTTPException(403, "The folder holds a link that leads out of the folders that the server was given.")

    def contains(self, path: Path) -> bool:
        """Whether a path lies in a root once links are followed."""
        try:
            found = path.resolve()
        except (OSError, RuntimeError):
            return False
        return any(found.is_relative_to(root) for root in self._real.values())

    def describe(self, path: Path) -> str:
        """A path in a root as the interface has it; the shortest form, when it is in several roots."""
        for location in (path.absolute(), path.resolve()):
            forms = []
            for name, root in self._real.items():
                if location.is_relative_to(root):
                    rest = location.relative_to(root).as_posix()
                    forms.append(name if rest == "." else f"{name}/{rest}")
            if forms:
                return min(forms, key=len)
        return path.name

    def message(self, text: str) -> str:
        """A message in one line without any path of the server: those in roots as the interface has them, others by name."""
        line = " ".join(text.split())
        for form, describe in sorted(self._forms(), key=lambda pair: -len(pair[0])):
            line = line.replace(form, describe)
        line = _ABSOLUTE.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], line)
        return line.encode("utf-8", "replace").decode("utf-8")

    def _forms(self) -> Iterator[tuple[str, str]]:
        for name in self._real:
            for folder in {self._given[name].absolute(), self._real[name]}:
                yield f"{folder}{os.sep}", f"{name}/"
                yield str(folder), name
        for folder in self._hidden:
            yield f"{folder}{os.sep}", ""
            yield str(folder), "the server's folder"

    def list(self, path: str) -> list[FileEntry]:
        """What can be opened in a folder, by name, folders first; with an empty path, the roots.

        Raises:
            HTTPException: 404 or 403.
        """
        if not path:
            return [FileEntry(name=name, path=name, kind="folder", num_bytes=None) for name in self._real]
        folder = self.existing(path)
        if not folder.is_dir():
            raise HTTPException(404, f"{_shown(path)} is no folder; expected one.")
        found = []
        try:
            with os.scandir(folder) as entries:
                for _, entry in zip(range(_MAX_ENTRIES), entries, strict=False):
                    kind = self._kind(entry)
                    if kind is not None:
                        size = entry.stat().st_size if kind == "video" else None
                        describe = f"{path}/{entry.name}"
                        found.append(FileEntry(name=entry.name, path=describe, kind=kind, num_bytes=size))
        except OSError:
            raise HTTPException(403, f"{_shown(path)} cannot be read; check its permissions.") from None
        return sorted(found, key=lambda e: (e.kind == "video", e.name.lower(), e.name))

    def _kind(self, entry: os.DirEntry[str]) -> EntryKind | None:
        """What an entry can be opened as; None when it is nothing of ours, hidden, or leads out of the roots."""
        if is_leftover(entry.name) or not entry.name.isprintable() or "\\" in entry.name:
            return None
        try:
            if entry.is_symlink() and not self.contains(Path(entry.path)):
                return None
            if entry.is_file():
                return "video" if entry.name.lower().endswith(VIDEO_SUFFIXES) else None
            return folder_kind(Path(entry.path)) if entry.is_dir() else None
        except OSError:
            return None


def folder_kind(folder: Path) -> EntryKind:
    """What a folder can be opened as, by its name and its first files."""
    if folder.suffix == SUFFIX and (folder / PROJECT_NAME).is_file():
        return "project"
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MAX_SAMPLED), entries, strict=False):
                if entry.name.lower().endswith(IMAGE_SUFFIXES) and not is_leftover(entry.name):
                    return "frames"
    except OSError:
        return "folder"
    return "folder"


def _shown(path: str) -> str:
    return repr(path if len(path) <= 200 else path[:200] + "...")
