"""One process at a time, by the operating system's lock on an open file: ``flock``, or what Windows has."""

from __future__ import annotations

import errno
import os
from types import ModuleType

__all__ = ["has_flock", "try_lock"]

_fcntl: ModuleType | None
_msvcrt: ModuleType | None
try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None
try:
    import msvcrt as _msvcrt
except ImportError:  # everywhere else
    _msvcrt = None

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What Windows says of a byte that another handle has locked."""


def has_flock() -> bool:
    """Whether a folder can be locked as it is; where not, a file has to be."""
    return _fcntl is not None


def try_lock(descriptor: int) -> bool:
    """Lock an open file until its descriptor is closed; the system frees it with the process, even a killed one.

    Returns:
        False where another descriptor, of this process or of another one, has it.

    Raises:
        OSError: the file system knows no locks.
    """
    if _fcntl is not None:
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    assert _msvcrt is not None
    os.lseek(descriptor, 0, os.SEEK_SET)  # it locks bytes from where the file stands
    try:
        _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True
