import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, object_named
from sampt.exporters.overlay import OverlayStyle, OverlayWriter, draw_overlay
from sampt.exporters.sheet import ContactSheet
from sampt.files.palette import pick_display_color
from sampt.runs.outputs import open_outputs
from sampt.types import FrameMasks, FramePoints, HiddenBy
from sampt.video.open import open_video
from tests.results import context, shown

TINT_ONLY = OverlayStyle(contours=False, points=False, labels=False)
POINTS_ONLY = OverlayStyle(alpha=0, contours=False, labels=False)


def result_with(masks, points=None):
    masks = np.asarray(masks, np.bool_)
    m = len(masks)
    return FrameMasks(0, np.arange(1, m + 1), masks, [1] * m, [0] * m, points or FramePoints.concat([]))


def point(xy, positive=True, hidden_by=HiddenBy.NONE, object_id=1):
    return FramePoints([0], [object_id], [positive], [xy], [1], [hidden_by])


def grey(height=480, width=640, value=100):
    return np.full((height, width, 3), value, np.uint8)


def test_tint_is_the_formula_inside_and_nothing_outside():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (60, 90, 3), np.uint8)
    masks = np.zeros((2, 60, 90), np.bool_)
    masks[0, 5:30, 10:40] = rng.random((25, 30)) < 0.5
    masks[1, 35:, 60:] = True
    drawn = draw_overlay(frame, result_with(masks), TINT_ONLY)
    for object_id, mask in zip((1, 2), masks, strict=True):
        expected = np.rint(0.55 * frame[mask] + 0.45 * np.array(pick_display_color(object_id)))
        assert np.array_equal(drawn[mask], expected)
    outside = ~masks.any(0)
    assert np.array_equal(drawn[outside], frame[outside])


def test_frame_is_not_changed_and_may_be_read_only():
    frame = grey()
    frame.setflags(write=False)
    mask = np.zeros((1, 480, 640), np.bool_)
    mask[0, 50:100, 50:100] = True
    drawn = draw_overlay(frame, result_with(mask, point([60, 60])))
    assert (frame == 100).all()
    assert (drawn.shape, drawn.dtype) == ((480, 640, 3), np.uint8)
    assert (drawn[75, 75] != 100).any()


def test_contour_stays_within_two_pixels_of_the_edge():
    mask = np.zeros((480, 640), np.bool_)
    cv2.circle(mask.view(np.uint8), (320, 240), 90, 1, -1)
    drawn = draw_overlay(grey(), result_with(mask[None]), OverlayStyle(points=False, labels=False))
    kernel = np.ones((5, 5), np.uint8)
    near = (cv2.dilate(mask.view(np.uint8), kernel) > 0) & (cv2.erode(mask.view(np.uint8), kernel) == 0)
    tint = np.rint(0.55 * 100 + 0.45 * np.array(pick_display_color(1)))
    assert (drawn[~near & mask] == tint).all()
    assert (drawn[~near & ~mask] == 100).all()
    edge = mask & (cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    distance = np.abs(drawn[edge].astype(int) - np.array(pick_display_color(1))).max(1)
    assert np.median(distance) < 40  # the outline is in the object's own colour


def test_positive_point_is_the_color_with_a_white_ring_at_its_location():
    drawn = draw_overlay(grey(), result_with(np.zeros((2, 480, 640)), point([200, 100], object_id=2)), POINTS_ONLY)
    assert drawn[100, 200].tolist() == list(pick_display_color(2))
    assert drawn[100, 204].tolist() == [255, 255, 255]
    changed = np.argwhere((drawn != 100).any(2))
    assert changed.mean(0).tolist() == [100, 200]  # symmetric about (x 200, y 100)


def test_negative_point_is_a_cross_on_dark():
    drawn = draw_overlay(grey(), result_with(np.zeros((1, 480, 640)), point([200, 100], positive=False)), POINTS_ONLY)
    for step in (-2, 0, 2):
        assert drawn[100 + step, 200 + step].tolist() == list(pick_display_color(1))
        assert drawn[100 - step, 200 + step].tolist() == list(pick_display_color(1))
    assert drawn[100, 204].max() < 40


def test_hidden_point_is_hollow_and_one_not_followed_is_not_drawn():
    hollow = draw_overlay(grey(), result_with(np.zeros((1, 480, 640)), point([200, 100], hidden_by=HiddenBy.TRACKER)))
    assert hollow[100, 200].tolist() == [100, 100, 100]
    assert hollow[100, 204].min() > 150
    nothing = draw_overlay(grey(), result_with(np.zeros((1, 480, 640)), point([200, 100], hidden_by=HiddenBy.NOT_TRACKED)))
    assert (nothing == 100).all()


@pytest.mark.parametrize("xy", [[-300, 5], [5, 1e9], [640, 480], [-0.6, 0]])
def test_points_outside_the_frame_are_not_drawn(xy):
    assert (draw_overlay(grey(), result_with(np.zeros((1, 480, 640)), point(xy))) == 100).all()


@pytest.mark.parametrize("xy", [[0, 0], [639.4, 479.4], [-0.5, 479], [639, -0.5]])
def test_points_in_corners_are_drawn_as_far_as_they_fit(xy):
    drawn = draw_overlay(grey(), result_with(np.zeros((1, 480, 640)), point(xy)))
    assert 10 < (drawn != 100).any(2).sum() < 60


def test_many_points_shrink():
    def area(count):
        side = round(count**0.5)
        xy = np.stack(np.meshgrid(np.linspace(30, 610, side), np.linspace(30, 450, side)), -1).reshape(-1, 2)
        n = len(xy)
        points = FramePoints(np.arange(n), np.ones(n), np.ones(n), xy, np.ones(n), np.zeros(n))
        return (draw_overlay(grey(), result_with(np.zeros((1, 480, 640)), points)) != 100).any(2).sum() / n

    assert area(16) > 90
    assert area(400) < 35
    assert area(400) * 400 < 0.05 * 480 * 640


@pytest.mark.parametrize("corner", [(slice(0, 9), slice(0, 9)), (slice(-9, None), slice(-9, None))])
def test_label_of_an_object_in_a_corner_is_whole(corner):
    mask = np.zeros((1, 480, 640), np.bool_)
    mask[0][corner] = True
    middle = np.zeros_like(mask)
    middle[0, 200:209, 300:309] = True
    style = OverlayStyle(alpha=0, contours=False, points=False)
    sizes = [(draw_overlay(grey(), result_with(m), style) != 100).any(2).sum() for m in (mask, middle)]
    assert sizes[0] == sizes[1] > 200


def test_labels_of_objects_at_one_location_do_not_cover_each_other():
    mask = np.zeros((480, 640), np.bool_)
    mask[200:300, 300:400] = True
    style = OverlayStyle(alpha=0, contours=False, points=False)
    one = (draw_overlay(grey(), result_with(mask[None]), style) != 100).any(2).sum()
    three = (draw_overlay(grey(), result_with(np.stack([mask] * 3)), style) != 100).any(2).sum()
    assert three == pytest.approx(3 * one, rel=0.02)


def test_frame_of_one_pixel_is_drawn():
    assert draw_overlay(grey(1, 1), result_with(np.ones((1, 1, 1)), point([0, 0]))).shape == (1, 1, 3)


def test_one_object_at_854x480_takes_less_than_twelve_milliseconds():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (480, 854, 3), np.uint8)
    mask = np.zeros((480, 854), np.bool_)
    cv2.ellipse(mask.view(np.uint8), (430, 240), (300, 180), 20, 0, 360, 1, -1)
    points = FramePoints(np.arange(40), np.ones(40), np.ones(40), rng.uniform(10, 400, (40, 2)), np.ones(40), np.zeros(40))
    result = result_with(mask[None], points)
    seconds = []
    for _ in range(15):
        start = time.perf_counter()
        draw_overlay(frame, result)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.012


def test_overlay_video_holds_the_drawn_frames(tmp_path, kit):
    frame = grey(48, 85)
    writer = OverlayWriter(tmp_path / "o.mp4", kit.context(), style=TINT_ONLY)
    for i in range(5):
        writer.write(kit.shown(kit.result(i), image=frame, time_s=i / 10))
    writer.close(success=True)
    with av.open(str(tmp_path / "o.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 5
    expected = draw_overlay(frame, kit.result(3), TINT_ONLY)[12:18, 15:30].mean((0, 1))
    assert frames[3][12:18, 15:30].mean((0, 1)) == pytest.approx(expected, abs=8)  # 4:2:0 and quantisation
    assert kit.names_in(tmp_path) == {"o.mp4"}


def test_failed_overlay_video_leaves_no_file(tmp_path, kit):
    writer = OverlayWriter(tmp_path / "o.mp4", kit.context())
    writer.write(kit.shown(kit.result(0), image=grey(48, 85)))
    writer.close(success=False)
    assert kit.names_in(tmp_path) <= {"o.mp4.partial"}


def test_overlay_video_in_a_missing_folder_is_one_line(tmp_path, kit):
    with pytest.raises(OutputError) as info:
        OverlayWriter(tmp_path / "none" / "o.mp4", kit.context())
    assert "\n" not in str(info.value)


def test_each_frame_lasts_as_long_as_in_its_source_and_the_last_one_too(tmp_path):
    times, last_s = [0, 0.04, 0.08, 0.28, 0.3, 0.9], 0.25
    lasting = [*np.diff(times), last_s]
    overlay = OverlayWriter(tmp_path / "o.mp4", context(fps=6.0, size_hw=(48, 64)))
    for time_s, duration_s in zip(times, lasting, strict=True):
        result = result_with(np.zeros((1, 48, 64)))
        overlay.write(shown(result, image=grey(48, 64), time_s=time_s, duration_s=duration_s))
    overlay.close(success=True)
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        packets = [(p.pts, p.dts, p.duration) for p in container.demux(stream) if p.size]
        assert [float(pts * stream.time_base) for pts, _, _ in packets] == pytest.approx(times)
        # In the order in which they are shown: players that add up how long frames last come to the same times.
        assert all(pts == dts for pts, dts, _ in packets)
        assert [float(duration * stream.time_base) for _, _, duration in packets] == pytest.approx(lasting)
        assert float(stream.duration * stream.time_base) == pytest.approx(times[-1] + last_s)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_points_of_many_objects_do_not_hide_the_image(tmp_path, count):
    """A person who chose nothing sees the points of two objects, and the masks alone of seven."""
    video = open_video(np.zeros((1, 48, 64, 3), np.uint8))
    given = ExportContext(video, [object_named(i + 1, None) for i in range(count)])
    assert OverlayStyle.of(given) == OverlayStyle(points=count <= 2)
    for writer in (OverlayWriter(tmp_path / "o.mp4", given), ContactSheet(tmp_path / "o.png", given)):
        assert writer._style == OverlayStyle.of(given)
        writer.close(False)


def test_the_overlay_of_a_run_ends_when_its_video_does(tmp_path):
    case = Path(__file__).resolve().parents[3] / "shared" / "cases" / "vfr" / "vfr.mp4"
    if not case.exists():
        pytest.skip(f"{case} is not there")
    video = open_video(case)
    with open_outputs(tmp_path / "out", ["overlay"], video) as outputs:
        for i, frame in enumerate(video.read(0, video.num_frames)):
            masks = np.zeros((1, *video.size_hw), np.bool_)
            outputs.write(frame, FrameMasks(i, [1], masks, [1], [0], FramePoints.concat([])))
    made = open_video(outputs.files["overlay"])
    count = video.num_frames
    assert [made.duration_s(i) for i in range(count)] == pytest.approx([video.duration_s(i) for i in range(count)])
    assert made.duration_s(count - 1) == pytest.approx(0.2)
