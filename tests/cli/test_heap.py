"""The heap of the command: what is freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from pathlib import Path
from sampt.cli.heap import return_large_blocks

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

if {call}:
    return_large_blocks()
np.ones(24 << 20, np.uint8)  # freed at once: from here on glibc takes smaller blocks from its heap
before = resident_mb()
blocks = [np.ones(9 << 20, np.uint8) for _ in range(11)]
blocks = blocks[-1:]  # the last one keeps the heap from shrinking
print(resident_mb() - before)
"""


def kept_mb(*, call: bool, **environment: str) -> float:
    """What stays resident of 100 MB of which 92 are freed."""
    program = PROGRAM.format(call=call)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PATH": "", **environment}
    )
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about glibc")
def test_freed_arrays_do_not_stay_resident() -> None:
    assert kept_mb(call=False) > 90
    assert kept_mb(call=True) < 20
    assert kept_mb(call=True, MALLOC_MMAP_THRESHOLD_=str(30 << 20)) > 90  # the user's own wish counts
