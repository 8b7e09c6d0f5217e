"""What the sources use that some systems lack, and that each use says what happens there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import sampt

PACKAGE = Path(sampt.__file__).parent
LACKING = {
    "fcntl",
    "grp",
    "msvcrt",
    "multiprocessing",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "syslog",
    "termios",
    "tty",
}
"""Modules that Windows, or everywhere else, lacks; and the one whose way to start processes differs."""
GUARDED = {
    "os.kill": {"web/browsers.py"},  # after a test of os.name
    "os.sched_getaffinity": {"backends/machine.py"},  # AttributeError is caught
    "os.sysconf": {"backends/machine.py"},  # likewise
    "signal.pthread_sigmask": {"batch/local.py"},  # after hasattr
    "signal.SIG_BLOCK": {"batch/local.py"},
    "signal.SIG_SETMASK": {"batch/local.py"},
}
POSIX = {
    "fork",
    "forkpty",
    "getgid",
    "geteuid",
    "getuid",
    "kill",
    "killpg",
    "mkfifo",
    "nice",
    "sched_getaffinity",
    "setsid",
    "statvfs",
}
POSIX |= {"sysconf", "uname", "wait4", "waitpid", "chown", "fchmod", "pread", "pwrite", "sendfile", "set_blocking"}
POSIX |= {
    "SIGKILL",
    "SIGHUP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGCHLD",
    "SIG_BLOCK",
    "SIG_SETMASK",
    "alarm",
    "pthread_sigmask",
}

MAYBE = re.compile(rf"\b(?:import|from) +(?:{'|'.join(LACKING)})\b|\b(?:os|signal)\.(?:{'|'.join(POSIX)})\b")


def uses(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Modules and attributes that a file uses, and whether a ``try`` or a function stands around them."""
    waiting = [(tree, False)]
    while waiting:
        node, guarded = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, guarded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), guarded
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", guarded
        guarded = guarded or isinstance(node, ast.Try | ast.FunctionDef)
        waiting += [(below, guarded) for below in ast.iter_child_nodes(node)]


def test_what_some_systems_lack_is_used_where_it_is_guarded() -> None:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
        if not MAYBE.search(text):
            continue  # parsing all files takes seconds
        for used, guarded in uses(ast.parse(text)):
            module, _, attribute = used.partition(".")
            assert used not in LACKING or guarded, f"{name} imports {used}, which some systems lack, without a try"
            assert used != "multiprocessing", f"{name}: what it starts would begin by fork on Linux and by spawn elsewhere"
            if module in ("os", "signal") and attribute in POSIX:
                found.setdefault(used, set()).add(name)
    assert found == GUARDED
