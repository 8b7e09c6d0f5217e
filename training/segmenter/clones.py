"""Clones of public repositories: their files at a commit, from git's objects, whatever is checked out."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, ``owner/name``, at one commit; ``folders``: those that are read."""

    name: str
    commit: str
    folders: Sequence[str]

    @property
    def folder_name(self) -> str:
        return self.name.replace("/", "+")


class Clone:
    """The files of a repository at its commit, from the objects of a clone.

    Args:
        folder: of the clone, with or without a work tree.
        repository: the commit and the folders that are read; they are held in memory.

    Raises:
        SystemExit: they are not all there.
    """

    def __init__(self, folder: Path, repository: Repository) -> None:
        done = run_git(folder, "archive", "--format=tar", repository.commit, "--", *repository.folders)
        if done.returncode:
            reason = " ".join(done.stderr.decode(errors="replace").split())
            raise SystemExit(f"{folder} cannot be read ({reason}); expected a complete clone: clone it again.")
        self.folder = folder
        self._tar = tarfile.open(fileobj=io.BytesIO(done.stdout))  # noqa: SIM115
        self.paths = sorted(member.name for member in self._tar if member.isfile())

    def list_files(self, pattern: str) -> list[str]:
        """Paths, sorted, that match a pattern such as ``data/images*/*.jpg``; ``*`` stays within a folder."""
        expression = re.compile(re.escape(pattern).replace(r"\*", "[^/]*"))
        return [path for path in self.paths if expression.fullmatch(path)]

    def read(self, path: str) -> bytes:
        """The contents of a file.

        Raises:
            SystemExit: the clone lacks it.
        """
        try:
            file = self._tar.extractfile(path)
        except KeyError:
            file = None
        if file is None:
            raise SystemExit(f"{self.folder} lacks the file {path}; expected a complete clone: clone it again.")
        return file.read()

    def read_image(self, path: str, mode: str = "RGB") -> Bytes:
        """Pixels (h, w, 3) of an image in RGB, or (h, w) in mode ``L``.

        Raises:
            SystemExit: it is no image.
        """
        try:
            return np.array(Image.open(io.BytesIO(self.read(path))).convert(mode))
        except OSError as error:
            raise SystemExit(f"{path} of {self.folder} is not an image that can be read; clone it again.") from error

    def read_ids(self, path: str) -> Bytes:
        """(h, w) the values of an index image as they are in the file, not its palette's colours.

        Raises:
            SystemExit: it is no such image.
        """
        try:
            with Image.open(io.BytesIO(self.read(path))) as image:
                if image.mode in ("L", "P"):
                    return np.array(image)
                raise SystemExit(f"{path} of {self.folder} is an image of mode {image.mode}; expected L or P.")
        except OSError as error:
            raise SystemExit(f"{path} of {self.folder} is not an image that can be read; clone it again.") from error


def run_git(folder: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(folder), *command], capture_output=True, check=False)  # noqa: S603, S607


def is_clone(folder: Path, commit: str) -> bool:
    """Whether a folder is a clone that holds the commit."""
    # A folder that is no clone is not to be taken for a part of the repository that it lies in.
    is_repository = (folder / ".git").exists() or (folder / "HEAD").exists()
    return is_repository and run_git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0
