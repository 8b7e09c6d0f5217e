"""The review score on real video, with the bundled networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.review import Start, load, predict, propagate, rate
from sampt.evaluation.datasets import davis_sequences, select_sequences
from sampt.session.quality import MODEL
from sampt.session.review import REVIEW_BELOW

DAVIS = Path(__file__).resolve().parents[2] / "shared" / "davis"


@pytest.mark.slow
@pytest.mark.skipif(not DAVIS.is_dir(), reason=f"there is no {DAVIS}")
def test_bad_frames_of_davis_are_flagged(tmp_path: Path) -> None:
    """From three clicks: at least six of ten bad frames, and of the frames flagged nearly half are bad; the rule of frames
    that are unlike those around them finds one of ten. Of four sequences, two of which go wrong."""
    for sequence in select_sequences(list(davis_sequences(DAVIS)), ("bmx-trees", "libby", "dog", "blackswan")):
        propagate(sequence, Start("clicks3"), tmp_path / "davis" / "clicks3" / sequence.name)
    frames = load(tmp_path, "davis")
    found = rate(predict(frames, MODEL), frames.is_good, REVIEW_BELOW)
    assert found["bad"] >= 15, found
    assert found["recall"] >= 0.6, found
    assert found["precision"] >= 0.45, found
    assert found["recall"] > 2 * float(np.mean(frames.is_unlike[~frames.is_good]))
