"""Memory is bounded by settings, not by the number of objects: peaks of processes that do nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

_HEAD = """
import resource
import numpy as np
from sampt.segmenters.create import create_segmenter
from sampt.trackers.create import create_tracker
from sampt.types import ObjectPrompt

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

rng = np.random.default_rng(0)
frame = rng.integers(0, 255, (360, 640, 3), np.uint8)
"""
_DECODE = """
def prompts(count, others):
    found = []
    for object_id in range(1, count + 1):
        own, other = rng.uniform(0, 350, (64, 2)), rng.uniform(0, [640, 360], (others, 2))
        found.append(ObjectPrompt(object_id, np.concatenate([own, other]), np.arange(64 + others) < 64))
    return found

segmenter = create_segmenter("nano")
embedding = segmenter.encode(frame[None])[0]
segmenter.decode(embedding, prompts(1, 64))
before = peak_mb()
segmenter.decode(embedding, prompts(16, 2500), full_size=False)
print(peak_mb() - before)
"""
_STEP = """
stream = create_tracker("nano").stream()
stream.push(frame)
before = peak_mb()
stream.add(rng.uniform(0, 350, (4000, 2)).astype(np.float32))
assert stream.push(frame).xy.shape == (4000, 2)
print(peak_mb() - before)
"""


@pytest.mark.parametrize(("code", "limit_mb"), [(_DECODE, 350), (_STEP, 200)], ids=["segmenter", "tracker"])
def test_a_frame_with_forty_objects_needs_no_more_in_between_than_one_with_five(code: str, limit_mb: float) -> None:
    """At 64 points an object; all at once they took 2100 MB in the segmenter and 340 MB in the tracker."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _HEAD + textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert float(result.stdout) < limit_mb
