"""The folder of one run's results: whose it is, whether it is complete, and what of it may be deleted.

``resume.journal`` without ``run.json`` is a run that has not ended, ``run.json`` one that has. In a folder that has neither
nothing is deleted.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sampt.errors import InputChangedError, LimitError, OutputError, SamptError
from sampt.files.atomic import make_folder, output_errors
from sampt.files.folder_lock import FolderLock
from sampt.runs.journal import JOURNAL_NAME, Journal, compute_run_digest
from sampt.runs.listing import is_as_listed, list_results
from sampt.runs.manifest import MANIFEST_NAME, read_manifest, write_manifest
from sampt.runs.outputs import all_run_names

__all__ = ["RunFolder"]

_LOG = logging.getLogger(__name__)
_REPLACED_NAME = f"{MANIFEST_NAME}.replaced"
"""A manifest whose results are being cleared away: they are a run's still, and complete no more."""


class RunFolder:
    """The folder ``path`` for the run that ``run_digest`` names."""

    def __init__(self, path: Path, run_digest: str) -> None:
        self.path = path
        self._run_digest = run_digest
        self._manifest, self._journal = path / MANIFEST_NAME, path / JOURNAL_NAME

    def complete_manifest(self, results: Iterable[Path]) -> dict[str, Any] | None:
        """The manifest of this very run when the folder holds it complete: every file of ``results`` as it was, else None."""
        manifest = read_manifest(self._manifest) if self.path.is_dir() else None
        if manifest is None or manifest.get("run_digest") != self._run_digest:
            return None
        if not is_as_listed(self.path, results, manifest.get("results")):
            _LOG.warning("%s is not complete any more: a result is missing or changed; the run is repeated.", self.path)
            return None
        with contextlib.suppress(OSError):
            self._journal.unlink()  # killed between the last two steps of a run
        return manifest

    def make_room(self, *, overwrite: bool) -> None:
        """Make the folder fit for this run, which goes on if it is in there unfinished.

        Raises:
            OutputError: it holds results of another run and ``overwrite`` is False, or files that are no run's, or it cannot
                be written.
        """
        make_folder(self.path)
        held = self._held()
        finished, unfinished = self._finished_digest(), compute_run_digest(self._journal)
        if not held or unfinished == self._run_digest or (unfinished is None and held == [self._journal]):
            return  # the last: killed before the journal had its first line
        if finished is None and unfinished is None and not (self.path / _REPLACED_NAME).exists():
            raise OutputError(
                f"{self.path} already holds {held[0].name}, and no sampt run is noted there, so nothing in it is replaced; "
                "choose another output folder, or move that away."
            )
        if overwrite:
            with output_errors(self.path):
                self._clear()
        elif finished != self._run_digest:
            what = "an unfinished run" if finished is None else "the results of a run"
            raise OutputError(
                f"{self.path} holds {what} with other settings or input; choose another output folder, or replace it with "
                "--overwrite (overwrite=True)."
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else works in the folder inside the block; it is made when missing. The system frees it when the process dies.

        Raises:
            FolderBusyError: somebody does.
        """
        make_folder(self.path)
        with FolderLock(
            self.path, f"Another process works in {self.path}; wait for it to end, or choose another output folder."
        ):
            yield

    @contextmanager
    def started(
        self,
        *,
        overwrite: bool,
        expected: tuple[tuple[int, int], Sequence[int]] | None = None,
        has_results: Callable[[], bool] | None = None,
    ) -> Iterator[Journal]:
        """The run's journal while it is at work, and nobody else in the folder.

        A run that fails or is interrupted before its first frame leaves nothing, and neither does one whose input changed.

        Args:
            overwrite: replace the results of another run.
            expected: see :class:`sampt.runs.journal.Journal`.
            has_results: whether there was a first frame; left out: whether the journal has one.

        Raises:
            OutputError: another process works in the folder, or it has no room for this run (:meth:`make_room`).
        """
        with self._alone(), self._open_journal(overwrite, expected) as journal:
            try:
                with output_errors(self._manifest):
                    self._manifest.unlink(missing_ok=True)  # of results that are now replaced; the journal tells whose they are
                yield journal
            except (SamptError, KeyboardInterrupt) as error:
                is_begun = len(journal) > 0 if has_results is None else has_results()
                if isinstance(error, InputChangedError) or not is_begun:
                    journal.close()
                    with contextlib.suppress(OSError):  # the first failure is the one to tell
                        self._clear()
                        self.path.rmdir()  # only when nothing else is in it
                raise

    def finish(self, manifest: dict[str, Any], results: Iterable[Path]) -> None:
        """Say that the run is complete, when its ``results``, files and folders, are on the disk."""
        write_manifest(self._manifest, manifest | {"results": list_results(self.path, results)})
        with output_errors(self._journal):
            self._journal.unlink()

    def _open_journal(self, overwrite: bool, expected: tuple[tuple[int, int], Sequence[int]] | None) -> Journal:
        self.make_room(overwrite=overwrite)
        return Journal(self._journal, self._run_digest, expected)

    def _finished_digest(self) -> str | None:
        try:
            digest = (read_manifest(self._manifest) or {}).get("run_digest")
        except (OutputError, LimitError):
            return None
        return digest if isinstance(digest, str) else None

    def _held(self) -> list[Path]:
        """What is in the folder by the names that a run uses; what tells whose it is comes last."""
        names = [*all_run_names(), MANIFEST_NAME, JOURNAL_NAME, _REPLACED_NAME]
        paths = [p for name in names for p in (*sorted(self.path.glob(f"{name}*.partial")), self.path / name) if p.exists()]
        return list(dict.fromkeys(paths))  # "masks*" finds the partial files of masks.json too

    def _clear(self) -> None:
        """Remove the run's files. Killed half-way, the folder still tells that a run made them, but not that it is complete."""
        if self._manifest.exists():
            self._manifest.replace(self.path / _REPLACED_NAME)
        for path in self._held():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
