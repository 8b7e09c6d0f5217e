"""Two small things among large ones that look alike: the authors' own clicks on two bees, on flowers that fill the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sampt import open_video, read_queries, segment_video
from sampt.video import SubVideo

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"


@pytest.mark.skipif(not CLIPS.exists(), reason="../shared/clips is not there")
def test_each_bee_is_a_bee_and_not_its_flower() -> None:
    """A bee covers 8400 and 4300 pixels of 1280x720; a flower several times as much."""
    video = SubVideo(open_video(CLIPS / "bees.mp4"), range(1))
    queries = read_queries(CLIPS / "bees_query_points.txt")
    (frame,) = segment_video(video, queries)
    areas = np.asarray(frame.masks).sum((1, 2))
    assert 6500 < areas[0] < 10500
    assert 3300 < areas[1] < 5500
    assert not (frame.masks[0] & frame.masks[1]).any()
