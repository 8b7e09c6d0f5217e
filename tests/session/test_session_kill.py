"""Processes that are killed (kill -9) in the middle of saving and of propagation: the project opens and holds what was
reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sampt
from sampt.session import FrameStatus

PACKAGE = Path(sampt.__file__).parent


_CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, {package!r})
import numpy as np
from sampt.session import Session
from sampt.testing import ExactSegmenter, ExactTracker, slow_scene
scene = slow_scene(40)
class Slow(ExactSegmenter):
    def decode(self, *args, **settings):
        time.sleep(0.002)
        return super().decode(*args, **settings)
session = Session.open({project!r}, tracker=ExactTracker(scene), segmenter=Slow(scene))
print("ready", flush=True)
{work}
"""
_CLICKING = """
for k in range(100000):
    click = session.add_point(1 + k % 2, k % 40, (20 + k % 50, 30))
    print(click.point_id, flush=True)
"""
_SPREADING = """
for update in session.propagate():
    for object_id in update.results:
        print(object_id, update.frame_idx, flush=True)
"""


def killed(bench: Any, work: str, after_lines: int, pause_s: float = 0.0) -> list[str]:
    """Lines that a process has printed that works on the project and is killed after some."""
    code = _CHILD.format(package=str(PACKAGE.parent), project=str(bench.project), work=work)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline().strip() for _ in range(after_lines)]
        time.sleep(pause_s)
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split("\n")
    return [line for line in lines + rest[:-1] if line]


@pytest.mark.parametrize("after", [1, 60, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 25, 111))])
def test_kill_while_saving_loses_at_most_the_last_click(bench: Any, after: int) -> None:
    session = bench.create()
    for _ in range(2):
        session.add_object()
    session.close()
    text = killed(bench, _CLICKING, after, pause_s=0.003 * (after % 4))
    again = bench.open()
    ids = [c.point_id for c in again.clicks()]
    assert ids == list(range(1, len(ids) + 1))
    assert len(text) <= len(ids) <= len(text) + 1
    assert again.add_point(1, 0, (5, 5)).point_id == len(ids) + 1
    again.close()
    bench.open().close()


@pytest.mark.parametrize("after", [0, 23, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 50))])
def test_kill_while_propagating_keeps_all_that_was_told(bench: Any, after: int) -> None:
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        bench.click(session, object_id, 5, object_id)
    session.close()
    text = [tuple(map(int, line.split())) for line in killed(bench, _SPREADING, after, pause_s=0.001 * (after % 7))]
    assert len(text) >= after
    again = bench.open()
    timelines = again.timelines()
    done = {(o, f) for o in (1, 2) for f in np.flatnonzero(timelines[o].state == FrameStatus.DONE).tolist()}
    assert set(text) <= done
    assert len(done) <= len(text) + 2  # both objects of a frame are written before they are reported of
    for object_id, frame_idx in done:
        bench.check_exact(again, object_id, object_id, [frame_idx])
    bench.forget()
    for _ in again.propagate():
        pass
    assert len(set(bench.segmenter.prompted(1)) - {5}) <= 40 - sum(o == 1 for o, _ in done)
    for object_id in (1, 2):
        bench.check_exact(again, object_id, object_id, range(40))
