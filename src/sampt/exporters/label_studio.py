"""Annotations that Label Studio imports: masks of the brush on images, or boxes as tracks of a video.

Label Studio's brush is for images alone (https://labelstud.io/tags/brush: "Use with: image"; on video it is an open wish,
HumanSignal/label-studio issue 8360), so masks are a task a frame; video tasks carry boxes
(https://labelstud.io/tags/videorectangle).
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, ExportFrame, ExportObject, MeanScores, color_hex, named_by_id
from sampt.exporters.boxes import BoxTables, clip_name, run_lengths
from sampt.exporters.files import TextExport
from sampt.types import BoolArray, IntArray
from sampt.video.base import Video

__all__ = [
    "BUNDLE_URL",
    "IMAGE_URL",
    "VIDEO_URL",
    "LabelStudioBoxes",
    "LabelStudioMasks",
    "brush_rle",
    "image_config",
    "label_studio_config",
]

IMAGE_URL = "/data/local-files/?d={clip}/{frame}.jpg"
BUNDLE_URL = "/data/local-files/?d={clip}/images/{frame}."
VIDEO_URL = "/data/local-files/?d={clip}"
"""Where Label Studio's local storage serves a frame, one of an archive unpacked in the folder ``{clip}``, and the video."""

_CHANNELS = 4  # the brush stores RGBA, all four alike
_LENGTH_BITS = (3, 4, 8, 16)  # of the four kinds of run; Label Studio's own encoder takes the same
_WORD_BITS = 8


def brush_rle(mask: BoolArray) -> list[int]:
    """The bytes of an (h, w) mask as Label Studio's brush stores it.

    The run-length packing of thi.ng/rle-pack over the (h, w, 4) pixels, 255 inside: number of values (32 bits), word size - 1
    (5 bits), four sizes of lengths, each - 1 (4 bits); then for each run the bit 1, which size (2 bits), length - 1, value.
    """
    bits = [f"{mask.size * _CHANNELS:032b}", f"{_WORD_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTH_BITS)]
    for i, run in enumerate(run_lengths(mask).tolist()):
        value = "1" * _WORD_BITS if i % 2 else "0" * _WORD_BITS
        left = run * _CHANNELS
        while left:
            length = min(left, 1 << _LENGTH_BITS[-1])
            kind = next(k for k, size in enumerate(_LENGTH_BITS) if length <= 1 << size)
            bits.append(f"1{kind:02b}{length - 1:0{_LENGTH_BITS[kind]}b}{value}")
            left -= length
    text = "".join(bits)
    num_bytes = -(-len(text) // 8)
    return list(int(text.ljust(num_bytes * 8, "0"), 2).to_bytes(num_bytes, "big"))


def label_studio_config(
    objects: Sequence[ExportObject], video: Video, kind: Literal["image", "video"], classes: Sequence[str] = ()
) -> str:
    """The labelling interface (XML) for a project that takes the exported tasks: of the brush or of the video."""
    labels = ExportContext(video, objects, classes=classes).class_colors
    listed = "".join(
        f'    <Label value="{html.escape(name)}" background="{color_hex(color)}"/>\n' for name, color in labels.items()
    )
    if kind == "image":
        return (
            f'<View>\n  <Image name="image" value="$image"/>\n  <BrushLabels name="brush" toName="image">\n{listed}'
            "  </BrushLabels>\n</View>\n"
        )
    source = f'<Video name="video" value="$video" framerate="{video.fps:.6g}"/>'
    return (
        f'<View>\n  <Labels name="labels" toName="video">\n{listed}  </Labels>\n  {source}\n'
        '  <VideoRectangle name="box" toName="video"/>\n</View>\n'
    )


def image_config(context: ExportContext) -> str:
    """:func:`label_studio_config` of masks, for an archive with frames."""
    return label_studio_config(context.objects, context.video, "image", context.classes)


class LabelStudioMasks(TextExport):
    """Writes a JSON list of tasks, one a frame, with the masks as a prediction that a person accepts or corrects.

    A region's ``score`` is the predicted IoU, its ``meta`` names the object's id; the ``score`` of a prediction, by which Label
    Studio sorts tasks, is the lowest of its regions'. Where none is known there is no ``score``. The frames themselves are not
    part of it, unless they are written beside.

    Args:
        path, context: see :class:`sampt.exporters.base.Exporter`.
        image_url: where a frame's image will be; ``{clip}`` and ``{frame}`` become the names of the video and of the frame.
            Left out: :data:`IMAGE_URL`, or with frames beside :data:`BUNDLE_URL`.

    Raises:
        OutputError: it cannot be written, or ``image_url`` has another placeholder.
    """

    def __init__(self, path: Path, context: ExportContext, *, image_url: str | None = None) -> None:
        default = f"{BUNDLE_URL}{context.images}" if context.images else IMAGE_URL
        self._video, self._named, self._image_url = context.video, named_by_id(context.objects), image_url or default
        self._between = "\n"
        super().__init__(path)
        self.put("[")

    def write(self, frame: ExportFrame) -> None:
        url = _url(self._image_url, self._video, frame.name)
        data = {"image": url, "frame_idx": frame.frame_idx, "video": self._video.label}
        prediction = _prediction(list(_brush_regions(frame, self._named)))
        self.put(self._between + json.dumps({"data": data, "predictions": [prediction]}))
        self._between = ",\n"

    def finish(self) -> None:
        self.put("\n]\n")


def _brush_regions(frame: ExportFrame, named: dict[int, ExportObject]) -> Iterator[dict[str, Any]]:
    result = frame.result
    height, width = result.masks.shape[1:]
    for object_id, mask, score in zip(result.object_ids.tolist(), result.masks, result.scores.tolist(), strict=True):
        if not mask.any():
            continue
        region = {
            "id": f"frame-{frame.frame_idx}-object-{object_id}",
            "type": "brushlabels",
            "from_name": "brush",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": [named[object_id].name]},
            "meta": {"text": [f"object {object_id}"]},
        }
        yield region if math.isnan(score) else region | {"score": round(score, 6)}


def _prediction(regions: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [region["score"] for region in regions if "score" in region]
    return {"model_version": "sampt", **({"score": min(scores)} if scores else {}), "result": regions}


class LabelStudioBoxes(TextExport):
    """Writes a JSON list of one video task, with a ``VideoRectangle`` track an object as a prediction.

    Boxes are in percent of the frame and span the outer edges of the pixels of the mask; frames count from 1. Every frame where
    the object is present is a key frame; ``enabled`` is false on the last one before it goes absent, as Label Studio ends a
    lifespan. An object that is never present has no track. A track's ``score`` is the mean predicted IoU over the frames where
    the object was prompted, that of the prediction the lowest of these. Memory grows by 40 bytes an object and frame.

    Args:
        path, context: see :class:`sampt.exporters.base.Exporter`.
        video_url: where the video will be; ``{clip}`` becomes its file's name.

    Raises:
        OutputError: it cannot be written, or ``video_url`` has another placeholder.
    """

    def __init__(self, path: Path, context: ExportContext, *, video_url: str = VIDEO_URL) -> None:
        self._video, self._named, self._video_url = context.video, named_by_id(context.objects), video_url
        self._boxes, self._means = BoxTables(context.objects), MeanScores(context)
        super().__init__(path)

    def write(self, frame: ExportFrame) -> None:
        self._boxes.add(frame)
        self._means.add(frame)

    def finish(self) -> None:
        data = {"video": _url(self._video_url, self._video, ""), "label": self._video.label}
        tables = self._boxes.tables()
        scores = {i: round(mean, 6) for i in tables if (mean := self._means.mean(i)) is not None}
        head = {"model_version": "sampt", **({"score": min(scores.values())} if scores else {})}
        self.put(f'[{{"data": {json.dumps(data)}, "predictions": [{json.dumps(head)[:-1]}, "result": [')
        for i, (object_id, table) in enumerate(tables.items()):
            track = _track(self._named[object_id], table, self._video)
            track |= {"score": scores[object_id]} if object_id in scores else {}
            self.put((",\n" if i else "\n") + json.dumps(track))
        self.put("\n]}]}]\n")


def _track(item: ExportObject, table: IntArray, video: Video) -> dict[str, Any]:
    high, wide = video.size_hw
    next_rows = chain(table[1:, 0].tolist(), [-1])
    sequence = [
        {
            "frame": frame + 1,
            "enabled": next_frame == frame + 1,
            "rotation": 0,
            "x": 100 * left / wide,
            "y": 100 * top / high,
            "width": 100 * width / wide,
            "height": 100 * height / high,
            "time": (frame + 1) / video.fps,
        }
        for (frame, left, top, width, height), next_frame in zip(table.tolist(), next_rows, strict=True)
    ]
    length = {"framesCount": video.num_frames, "duration": video.num_frames / video.fps}
    return {
        "id": f"object-{item.object_id}",
        "type": "videorectangle",
        "from_name": "box",
        "to_name": "video",
        "value": {**length, "sequence": sequence, "labels": [item.name]},
        "meta": {"text": [f"object {item.object_id}"]},
    }


def _url(template: str, video: Video, frame_name: str) -> str:
    clip = clip_name(video) if frame_name else Path(video.label).name
    try:
        return template.format(clip=quote(clip, errors="surrogateescape"), frame=quote(frame_name, errors="surrogateescape"))
    except (KeyError, IndexError, ValueError) as error:
        raise OutputError(
            f"The address {template!r} has an unknown placeholder ({error}); expected {{clip}} and {{frame}} alone."
        ) from error
