"""Faked Windows: what its file systems refuse, refused here.

Nothing of this is Windows. It is what Python's documentation and Microsoft's say of it, put in front of Linux's calls:

- a file that this process has open is neither removed nor replaced, nor is a folder with such a file below it;
- no file is made whose name has a character, an end or a device that Windows does not take;
- there is no ``fcntl``; ``msvcrt.locking`` is made of ``flock``.

Open files are those of ``/proc/self/fd`` and of ``/proc/self/maps``, so that files that a library opened count as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_REFUSED = re.compile(
    r'[\x00-\x1f<>:"\\|?*]|[. ]$|^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)', re.IGNORECASE
)
_root: Path | None = None
_refused: list[str] = []
_inside = threading.local()


@contextlib.contextmanager
def windows_files(root: Path) -> Iterator[list[str]]:
    """Below ``root`` files are as on Windows. What was refused is in the list, also where the code caught the error."""
    global _root
    _hook_once()
    _root, refused = Path(os.path.realpath(root)), _refused
    refused.clear()
    try:
        yield refused
    finally:
        _root = None


@functools.cache
def _hook_once() -> None:
    """For good: a hook cannot be removed, it heeds nothing between tests."""
    sys.addaudithook(_heed)


def _heed(event: str, arguments: tuple[Any, ...]) -> None:
    if _root is None or event not in _EVENTS or getattr(_inside, "is_at_work", False):
        return
    _inside.is_at_work = True
    try:
        _EVENTS[event](*arguments)
    finally:
        _inside.is_at_work = False


def _on_open(path: Any, mode: str | None, flags: int) -> None:
    if not isinstance(path, int) and flags & os.O_CREAT:
        _check_name(path)


def _on_mkdir(path: Any, mode: int, folder: int) -> None:
    _check_name(path)


def _on_rename(old: Any, new: Any, old_folder: int, new_folder: int) -> None:
    _check_name(new)
    for path in (old, new):
        _check_closed(_located(path, -1))


def _on_remove(path: Any, folder: int) -> None:
    _check_closed(_located(path, folder))


_EVENTS: dict[str, Any] = {"open": _on_open, "os.mkdir": _on_mkdir, "os.rename": _on_rename, "os.remove": _on_remove}


def _located(path: Any, folder: int) -> Path:
    text = os.fsdecode(path)
    if folder is not None and folder >= 0 and not os.path.isabs(text):
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    return Path(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))


def _check_name(path: Any) -> None:
    found = _located(path, -1)
    if found.is_relative_to(_root or "") and _REFUSED.search(found.name):
        _refuse(errno.EINVAL, f"no name on Windows: {found.name}")


def _check_closed(path: Path) -> None:
    if not path.is_relative_to(_root or ""):
        return
    if any(Path(held).is_relative_to(path) for held in _open_files()):
        _refuse(errno.EACCES, f"in use by this process: {path}")


def _open_files() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        found |= {parts[5].rstrip("\n") for line in maps if len(parts := line.split(maxsplit=5)) == 6}
    return {path for path in found if os.path.isfile(path)}


def _refuse(number: int, text: str) -> None:
    _refused.append(text)
    raise OSError(number, text)


class FakeMsvcrt(SimpleNamespace):
    """``msvcrt.locking``, as far as files are locked by it."""

    LK_NBLCK = 2

    @staticmethod
    def locking(descriptor: int, mode: int, num_bytes: int) -> None:
        assert mode == FakeMsvcrt.LK_NBLCK
        assert num_bytes == 1
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0, "Windows locks from where the file stands"
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EACCES, "Permission denied") from None
