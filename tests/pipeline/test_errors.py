"""What is wrong with the input is reported at once, in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sampt.config import (
    SegmentConfig,
)
from sampt.errors import BackendError, QueryError, SamptError
from sampt.pipeline.segment import segment_video
from sampt.types import (
    Points,
    QueryMask,
)
from tests.pipeline.scenes import (
    EXACT,
    QUICK,
    VIDEO,
    reinit,
)


@pytest.mark.parametrize(
    ("queries", "changed", "error", "message"),
    [
        (Points.of(1, 12, [[3, 3]]), {}, QueryError, "on frame 12, but the video has 12 frames"),
        (Points.of(1, 0, [[96, 3]]), {}, QueryError, "lies outside the frame"),
        (Points.of(1, 0, [[9, 3]], False), {}, QueryError, "only negative points"),
        ([], {}, QueryError, "No object is named"),
        ([3], {}, QueryError, "A query is a int, expected Points, QueryMask or QueryBox"),
        (QueryMask(1, 0, np.ones((3, 3), bool)), {}, QueryError, "give a mask of the frame's size"),
        (Points.of(1, 0, [[3, 3]]), {"tracker": "reft"}, BackendError, "Unknown tracker 'reft'"),
        (Points.of(1, 0, [[3, 3]]), {"segmenter": "sam"}, BackendError, "Unknown segmenter 'sam'"),
    ],
)
@pytest.mark.parametrize("config", [QUICK, reinit("at-median-area")], ids=["steady", "windows"])
def test_errors_are_raised_at_once(
    queries: Any, changed: dict[str, Any], error: type[SamptError], message: str, config: SegmentConfig
) -> None:
    with pytest.raises(error, match=message) as caught:
        segment_video(VIDEO, queries, config=config, **(EXACT | changed))
    assert "\n" not in str(caught.value)
