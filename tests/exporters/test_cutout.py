import io
import zipfile

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from sampt.exporters.base import ExportObject
from sampt.exporters.cutout import cut_out
from sampt.types import FrameMasks
from sampt.video.array import ArrayVideo


def decoded(path):
    """Frames as (times, (t, h, w, 4) uint8): FFmpeg's own decoder of VP9 drops the alpha, libvpx's gives it."""
    context = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame for packet in container.demux(stream) if packet.size for frame in context.decode(packet)]
        times = [float(frame.pts * stream.time_base) for frame in frames]
    assert {frame.format.name for frame in frames} == {"yuva420p"}
    return times, np.stack([frame.to_ndarray(format="rgba") for frame in frames])


def test_pngs_are_exact(case):
    with zipfile.ZipFile(case.export("cutout-png", "o.zip")) as archive:
        assert archive.namelist() == [f"{i:05d}.png" for i in range(6)]
        for i, frame in enumerate(case.frames):
            image = Image.open(io.BytesIO(archive.read(f"{i:05d}.png")))
            assert image.mode == "RGBA"
            image, union = np.asarray(image), frame.masks.any(0)
            assert np.array_equal(image[..., 3], np.where(union, 255, 0))
            assert np.array_equal(image[union][:, :3], case.video.read(i, i + 1)[0][union])
            assert not image[~union].any()  # nothing of the background goes out with the file


def test_margin_keeps_color_around_the_objects_alone():
    frame = np.full((40, 60, 3), 90, np.uint8)
    masks = np.zeros((1, 40, 60), np.bool_)
    masks[0, 20, 30] = True
    image = cut_out(frame, FrameMasks(0, [1], masks, [1], [0]), margin_px=3)
    colored = np.zeros((40, 60), np.bool_)
    colored[17:24, 27:34] = True
    assert np.array_equal(image[..., :3].any(2), colored)
    assert np.array_equal(image[..., 3] == 255, masks[0])


def test_webm_has_the_alpha_of_the_masks_at_an_odd_size(case):
    times, images = decoded(case.export("cutout", "o.webm"))
    assert times == pytest.approx([i / 12.5 for i in range(6)])
    unions = np.stack([frame.masks.any(0) for frame in case.frames])
    assert images.shape == (*unions.shape, 4)
    wrong = (images[..., 3] > 127) != unions
    assert wrong.mean() < 0.002  # lossy: masks of object 1 are noise
    assert np.abs(images[..., 3].astype(int) - 255 * unions).mean() < 4
    assert (images[:, -1, -1, 3] > 127).all()  # the one-pixel object
    assert (images[:, 0, 0, 3] > 127).all()


def test_webm_says_that_it_has_alpha(case):
    path = case.export("cutout", "o.webm")
    assert b"\x53\xc0\x81\x01" in path.read_bytes()  # Matroska's AlphaMode = 1
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "vp9"
        assert (container.streams.video[0].height, container.streams.video[0].width) == (47, 85)


def test_webm_of_a_smooth_object_is_close_in_alpha_and_color(tmp_path, case):
    frames_rgb = [cv2.resize(case.video.read(i, i + 1)[0], (321, 181), interpolation=cv2.INTER_CUBIC) for i in range(6)]
    masks = np.zeros((6, 1, 181, 321), np.bool_)
    for i in range(6):
        cv2.ellipse(masks[i, 0].view(np.uint8), (120 + 9 * i, 90), (70, 50), 20, 0, 360, 1, -1)
    frames = [FrameMasks(i, [1], masks[i], [1], [0]) for i in range(6)]
    video = ArrayVideo(frames_rgb, fps=25)
    objects = [ExportObject(1, "disc", (255, 0, 0))]
    _, images = decoded(case.export("cutout", "o.webm", video=video, frames=frames, objects=objects))
    for image, mask, frame in zip(images, masks[:, 0], frames_rgb, strict=True):
        assert ((image[..., 3] > 127) != mask).sum() <= 3  # of 11 000
        assert np.abs(image[mask][:, :3].astype(int) - frame[mask]).mean() < 5
        edge = mask & ~cv2.erode(mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
        assert np.abs(image[edge][:, :3].astype(int) - frame[edge]).mean() < 7  # no dark fringe


def test_webm_of_frames_without_any_object_is_transparent(case):
    empty = [FrameMasks(i, [1], np.zeros((1, 47, 85)), [1], [1]) for i in range(3)]
    _, images = decoded(case.export("cutout", "o.webm", frames=empty))
    assert images[..., 3].max() < 8


def test_webm_keeps_uneven_times(case):
    class Uneven(ArrayVideo):
        def time_s(self, frame_idx):
            return [0, 0.1, 0.1001, 0.5, 2.0, 2.04][frame_idx]

    video = Uneven([case.video.read(i, i + 1)[0] for i in range(6)], fps=3)
    times, _ = decoded(case.export("cutout", "o.webm", video=video))
    assert times == pytest.approx([0, 0.1, 0.101, 0.5, 2.0, 2.04])  # milliseconds, no two alike
