"""Inputs and outputs of a batch that lie elsewhere, at any address that fsspec opens: s3://, gs://, az://, sftp://, https://."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sampt.errors import BatchError, OutputError
from sampt.files.limits import parse_json
from sampt.files.listing import is_leftover, visible
from sampt.runs.manifest import MANIFEST_NAME
from sampt.runs.outputs import all_run_names
from sampt.video.frame_names import natural_order

__all__ = ["RemoteFolder", "fetched", "is_folder", "is_url", "listed", "make_mark"]

_DONE_NAME = "done.json"


def is_url(name: str) -> bool:
    """Whether this is an address, not a path."""
    return "://" in name


def make_mark(name: str) -> str:
    """What changes when a file or folder, here or elsewhere, changes: without reading it."""
    if not is_url(name):
        files = natural_order(visible(Path(name).iterdir())) if Path(name).is_dir() else [Path(name)]
        return repr([(f.name, s.st_size, s.st_mtime_ns) for f in files if f.is_file() and (s := f.stat())])
    with _results(name):
        fs, path = _open_url(name)
        found = fs.find(path) if "*" not in path else fs.glob(path)
        return repr([(p, fs.ukey(p)) for p in sorted(found)])


def fetched(url: str, folder: Path) -> Path:
    """Copy a file, a folder, or the files that a pattern means, into ``folder``, which is made.

    Returns:
        The path of the copy, or the pattern.

    Raises:
        BatchError: there is nothing at the address, or it cannot be opened at all. Whatever else goes wrong is raised as it
            comes: it may go better another time.
    """
    folder.mkdir(parents=True)
    with _results(url):
        fs, path = _open_url(url)
        if "*" in path:
            found = [p for p in fs.glob(path) if not is_leftover(Path(p).name)]
            if not found:
                raise FileNotFoundError(url)
            fs.get(found, [str(folder / Path(p).name) for p in found])
            return folder / Path(path).name
        here = folder / Path(path.rstrip("/")).name
        if fs.isdir(path):
            fs.get(path.rstrip("/") + "/", f"{here}/", recursive=True)
        else:
            fs.get_file(path, str(here))
        return here


def listed(url: str) -> dict[str, bool]:
    """What is in a folder: name -> whether it is a folder itself.

    Raises:
        BatchError: as for :func:`fetched`.
    """
    with _results(url):
        fs, path = _open_url(url)
        return {str(e["name"]).rstrip("/").rpartition("/")[2]: e["type"] == "directory" for e in fs.ls(path, detail=True)}


def is_folder(url: str) -> bool:
    """Whether there is a folder at the address.

    Raises:
        BatchError: as for :func:`fetched`.
    """
    with _results(url):
        fs, path = _open_url(url)
        if not fs.exists(path):
            raise FileNotFoundError(url)
        return bool(fs.isdir(path))


class RemoteFolder:
    """The folder at ``url`` into which results go.

    A video's results are complete when its ``run.json`` is there, which comes last but for ``done.json``: that says, without a
    look at the video, what they were made from.

    Raises:
        BatchError: (also from any call) the address cannot be opened. Other failures are raised as they come.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with _results(url):
            self._fs, self._path = _open_url(self.url)

    def __truediv__(self, name: str) -> RemoteFolder:
        return RemoteFolder(f"{self.url}/{name}")

    def read(self, name: str) -> bytes | None:
        """The file called ``name``; None where there is none."""
        with _results(self.url):
            try:
                data = self._fs.cat_file(f"{self._path}/{name}")
            except FileNotFoundError:
                return None
        return bytes(data)

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file."""
        with _results(self.url):
            self._fs.makedirs(self._path, exist_ok=True)
            self._fs.pipe_file(f"{self._path}/{name}", data)

    def done(self, ticket: str) -> dict[str, Any] | None:
        """What :meth:`put_results` was reported of results that were made for this ticket and are all there."""
        found = _as_object(self.read(_DONE_NAME))
        is_of_ticket = found.get("ticket") == ticket and type(found.get("num_frames")) is int
        return found if is_of_ticket and self._is_whole(_as_object(self.read(MANIFEST_NAME))) else None

    def _is_whole(self, manifest: Mapping[str, Any]) -> bool:
        """Whether every file that a manifest lists is there with its size; contents are not fetched."""
        listed = manifest.get("results")
        if not isinstance(listed, Mapping) or not listed:
            return False
        with _results(self.url):
            there = self._fs.find(self._path, detail=True)
        root = self._path.strip("/") + "/"
        sizes = {str(name).lstrip("/").removeprefix(root): facts.get("size") for name, facts in there.items()}
        return all(
            isinstance(facts, Mapping) and name in sizes and sizes[name] in (None, facts.get("bytes"))
            for name, facts in listed.items()
        )

    def check_room(self, run_digest: str, *, overwrite: bool) -> bool:
        """Whether the results of this very run are there already, all of them.

        Raises:
            OutputError: those of another run are, and ``overwrite`` is False.
        """
        manifest = self.read(MANIFEST_NAME)
        if manifest is None or overwrite:
            return False
        facts = _as_object(manifest)
        if facts.get("run_digest") == run_digest:
            return self._is_whole(facts)
        raise OutputError(
            f"{self.url} holds the results of a run with other settings or input; choose another output folder, or replace it "
            "with --overwrite (overwrite=True)."
        )

    def put_results(self, folder: Path, ticket: str, num_frames: int) -> None:
        """Copy a run's folder; what an earlier run has left there goes first, what says that it is complete comes last."""
        with _results(self.url):
            for name in (_DONE_NAME, MANIFEST_NAME, *all_run_names()):
                if self._fs.exists(f"{self._path}/{name}"):
                    self._fs.rm(f"{self._path}/{name}", recursive=True)
            self._fs.makedirs(self._path, exist_ok=True)
            files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MANIFEST_NAME]
            for path in [*files, folder / MANIFEST_NAME]:
                location = f"{self._path}/{path.relative_to(folder).as_posix()}"
                self._fs.makedirs(location.rpartition("/")[0], exist_ok=True)
                self._fs.put_file(str(path), location)
        self.write(_DONE_NAME, json.dumps({"ticket": ticket, "num_frames": num_frames}).encode())


def _as_object(data: bytes | None) -> dict[str, Any]:
    try:
        found = parse_json(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _open_url(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise BatchError(f"{url} needs fsspec ({error}). Run: pip install 'sampt[remote]'.") from error
    fs, path = url_to_fs(url)
    return fs, str(path)


@contextmanager
def _results(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BatchError(f"There is nothing at {url}; expected a file or folder.") from None
    except PermissionError as error:
        raise BatchError(
            f"{url} is not open to you ({_line(error)}); expected credentials that may read or write it."
        ) from error
    except (ImportError, ValueError) as error:  # an unknown protocol, or one whose package is not there
        raise BatchError(
            f"{url} cannot be opened ({_line(error)}); expected an address that fsspec knows, or a path."
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
