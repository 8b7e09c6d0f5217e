"""The command line in this process: one of its own spends a second on imports, hundreds of times in the whole suite."""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout

from sampt.cli.main import main


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a process of ``sampt`` with these arguments gives: status and both outputs."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
