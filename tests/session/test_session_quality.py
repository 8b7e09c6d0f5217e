"""How likely a propagated mask is good, by what can be seen of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sampt.masks.merge import ObjectMask
from sampt.session import NeedsReview
from sampt.session import propagate as propagation
from sampt.session.quality import FEATURES, MODEL, QualityMeter, ReducedFrames, explain, good_probability, reduce_frame
from sampt.session.review import REVIEW_BELOW
from sampt.session.types import Record
from sampt.types import FloatArray, FramePoints, MaskPrediction, UInt8Array
from sampt.video.array import ArrayVideo

SIZE = (240, 320)


def image(color: tuple[int, int, int] = (200, 40, 40), x: int = 160) -> UInt8Array:
    """A disc of a colour on a grey ground."""
    frame = np.full((*SIZE, 3), 90, np.uint8)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    frame[np.hypot(columns - x, rows - 120) < 40] = color
    return frame


def result(x: int = 160, radius: float = 40, score: float = 0.93, lost: float = 0.0, ragged: bool = False) -> Record:
    """A disc at ``x`` with twenty points, a fraction of which is lost."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    logits = np.where(np.hypot(columns - x, rows - 120) < radius, np.float32(6), np.float32(-6))
    if ragged:
        logits[(columns // 6) % 2 == 0] = -6
    hidden = (np.arange(20) < round(20 * lost)).astype(np.uint8)
    angles = np.arange(20.0)
    xy = np.stack([x + 25 * np.cos(angles), 120 + 25 * np.sin(angles)], 1).astype(np.float32)
    points = FramePoints(
        np.arange(20), np.ones(20, int), np.ones(20, bool), xy, np.ones(20, np.float32), hidden.astype(np.uint8)
    )
    found = ObjectMask.of_prediction(MaskPrediction(1, score, None, None, logits), 0.0)
    return Record.of(found, 0, bytes(16), 1, points, SIZE)


def features_of(record: Record, frame: UInt8Array) -> FloatArray:
    """Of the second frame after a good first one; the third is judged, so that the last mask is a propagated one."""
    meter = QualityMeter(result(), reduce_frame(image()))
    meter.measure(result(164), reduce_frame(image(x=164)))
    return meter.measure(record, reduce_frame(frame))


@pytest.mark.parametrize(
    ("record", "frame", "reason"),
    [
        (result(168, score=0.3), image(x=168), NeedsReview.SCORE_DROP),
        (result(168, ragged=True), image(x=168), NeedsReview.SHAPE_CHANGE),
        (result(168), image((60, 60, 220), 168), NeedsReview.COLOR_CHANGE),
        (result(260), image(x=60), NeedsReview.COLOR_CHANGE),
    ],
)
def test_a_mask_that_goes_wrong_is_less_likely_good_and_the_reason_is_named(
    record: Record, frame: UInt8Array, reason: NeedsReview
) -> None:
    good = good_probability(features_of(result(168), image(x=168)))
    features = features_of(record, frame)
    assert good > 0.95
    assert good_probability(features) < good - 0.03
    assert reason in explain(features)


def test_every_feature_speaks_for_the_mask_when_there_is_more_of_it() -> None:
    base = np.array(MODEL.mean)
    for i, reason in enumerate(FEATURES.values()):
        less = base.copy()
        less[i] -= 3 * MODEL.deviation[i]
        assert good_probability(less) < good_probability(base)
        assert explain(less) == reason
    names = list(FEATURES)
    lost = features_of(result(168, lost=0.8), image(x=168))
    assert lost[names.index("visible")] == pytest.approx(0.2)
    assert features_of(result(168), image(x=168))[names.index("shape_iou")] > 0.95
    assert 0 < good_probability(np.full(len(FEATURES), -1e9)) < good_probability(np.full(len(FEATURES), 1e9)) < 1


def test_frames_are_reduced_as_they_are_read_and_few_are_kept() -> None:
    reads = []

    class Counted(ArrayVideo):
        def read(self, start: int, stop: int) -> UInt8Array:
            reads.extend(range(start, stop))
            return super().read(start, stop)

    frames = ReducedFrames(Counted(np.zeros((120, 8, 12, 3), np.uint8)))
    frames.read(0, 120)
    assert frames.reduced(119).shape == (8, 12, 3)
    assert len(reads) == 120
    frames.reduced(0)
    assert reads[120:] == [0]


def test_a_session_tells_of_bundled_backends_alone_and_keeps_it(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probability is in results, on disk and in timelines; frames below the limit are events with their worst frame."""
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    list(session.propagate(range(4)))
    assert np.isnan(session.timelines()[1].good_probability).all(), "these backends are not the bundled ones"

    values = iter([0.99, 0.5, 0.2, 0.99, 0.99, 0.99])
    monkeypatch.setattr(propagation, "is_calibrated", lambda tracker, segmenter: True)
    monkeypatch.setattr(propagation, "good_probability", lambda features: next(values))
    updates = list(session.propagate(range(10)))
    assert [u.results[1].good_probability for u in updates] == pytest.approx([0.99, 0.5, 0.2, 0.99, 0.99, 0.99])
    timeline = session.timelines()[1]
    np.testing.assert_allclose(timeline.good_probability[4:8], [0.99, 0.5, 0.2, 0.99], rtol=1e-6)
    assert np.flatnonzero(timeline.flags).tolist() == [5, 6]
    (merged,) = session.merged_masks(range(6, 7))
    assert merged.good_probability == pytest.approx([0.2])
    (event,) = timeline.events
    assert (event.start, event.stop, event.frame_idx, event.is_reviewed) == (5, 7, 6, False)
    session.set_reviewed(1, 6)
    assert session.timelines()[1].events[0].is_reviewed
    assert REVIEW_BELOW > 0.5
