"""A finished run, read again: masks and points from the files of its folder, frames from the video that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sampt.errors import OutputError, QueryError, SamptError, VideoError, one_line
from sampt.exporters.tracks_npz import SavedTracks, load_tracks
from sampt.files.limits import parse_json
from sampt.files.text import read_text
from sampt.masks.rle import Rle, decode_mask
from sampt.points.mask_images import read_mask_image
from sampt.runs.journal import JOURNAL_NAME
from sampt.runs.manifest import MANIFEST_NAME, read_manifest
from sampt.types import BoolArray, FloatArray, FrameMasks, FramePoints, ObjectState, UInt8Array
from sampt.video.base import SubVideo, Video
from sampt.video.damage import without_damage
from sampt.video.open import open_source

__all__ = ["SavedRun", "is_run"]

_CHANGED = (AttributeError, LookupError, TypeError, ValueError)
"""What comes of files that somebody has changed."""


def is_run(folder: Path) -> bool:
    """Whether a run is in there, finished or not."""
    return any((folder / name).is_file() for name in (MANIFEST_NAME, JOURNAL_NAME))


class SavedRun:
    """What a run has left in its folder.

    Args:
        folder: of a run that has ended.
        video: where its video is now; left out: where it was. It is opened only when something of it is requested that the
            folder does not hold; one that is given is opened at once.

    Attributes:
        folder: as given.
        video: the frames of the run. What a video knows of itself is in the folder, but for images and times.
        object_ids: ascending.
        overlapping: masks may overlap.
        labels: object id -> its name, where the run was given names or found objects by name.
        classes: likewise all classes in order.
        mean_scores: object id -> mean predicted IoU; 0 of one that was never prompted. What it was on each frame,
            ``masks.json`` alone tells.

    Raises:
        OutputError: no finished run is in the folder, or its ``run.json`` was changed.
        VideoError: ``video`` is another one than the run's.
    """

    def __init__(self, folder: Path, *, video: Path | str | None = None) -> None:
        self.folder = folder
        manifest = read_manifest(folder / MANIFEST_NAME)
        if manifest is None:
            raise OutputError(
                f"{folder} holds no finished run of sampt: it has no {MANIFEST_NAME}; start the same command again."
            )
        try:
            self._files = {str(name): folder / str(made) for name, made in manifest["files"].items()}
            self.overlapping = bool(manifest["config"]["overlapping"])
            given = {int(i): str(name) for i, name in manifest.get("labels", {}).items()}
            self.labels = given | {int(o["id"]): str(o["label"]) for o in manifest["objects"] if "label" in o}
            self.classes = tuple(str(name) for name in manifest.get("classes", ()))
            self.mean_scores = {int(item["id"]): float(item["score"] or 0) for item in manifest["objects"]}
            self.video: Video = _RunVideo(manifest, video, self._frame_names)
        except _CHANGED as error:
            raise _changed(folder / MANIFEST_NAME, error) from error
        self.object_ids = sorted(self.mean_scores)
        if video is not None:
            self.video.read(0, 1)

    @property
    def has_points(self) -> bool:
        """Whether the folder holds the tracked points."""
        return "npz" in self._files

    def check(self, needs: Sequence[str]) -> None:
        """Refuse what lacks something of ``needs`` ("masks", "points").

        Raises:
            OutputError: the folder does not hold it.
        """
        formats = {"masks": ("png", "coco"), "points": ("npz",)}
        for need in needs:
            if not set(formats[need]) & set(self._files):
                raise OutputError(
                    f"The run in {self.folder} has saved no {need} (its formats are {', '.join(self._files)}), of which this "
                    f"export is made; run it again with {' or '.join(formats[need])} in --formats."
                )

    def frames(self, frames: range, object_ids: Sequence[int]) -> Iterator[FrameMasks]:
        """The result on these frames; scores are known where there is a mask and ``masks.json``, else NaN; states only as
        whether there is a mask.

        Raises:
            QueryError: (at once) there is no such frame or object.
            OutputError: a file is missing or was changed.
        """
        unknown = sorted(set(object_ids) - set(self.object_ids))
        if unknown:
            raise QueryError(f"The run has no object {unknown[0]}; expected ids of: {', '.join(map(str, self.object_ids))}.")
        if not frames or frames[0] < 0 or frames[-1] >= self.video.num_frames:
            last = self.video.num_frames - 1
            raise QueryError(f"The frames are {frames!r}; expected a range within 0 to {last}, of one frame at least.")
        return self._frames(frames)

    def _frames(self, frames: range) -> Iterator[FrameMasks]:
        ids, tracks = np.array(self.object_ids, np.int64), self._tracks
        for frame_idx in frames:
            try:
                masks = self._read_masks(frame_idx)
                points = FramePoints.concat([]) if tracks is None else _collect_points(tracks, frame_idx)
            except _CHANGED as error:
                raise _changed(self.folder, error) from error
            states = np.where(masks.any((1, 2)), ObjectState.PRESENT, ObjectState.EMPTY)
            yield FrameMasks(frame_idx, ids, masks, self._read_scores(frame_idx), states, points)

    @cached_property
    def _tracks(self) -> SavedTracks | None:
        return load_tracks(self._files["npz"]) if self.has_points else None

    @cached_property
    def _codes(self) -> dict[str, Any]:
        """What ``masks.json`` holds."""
        path = self._files["coco"]
        try:
            read = parse_json(read_text(path))
            annotations = {int(a["id"]): a for a in read["annotations"]}
            return {
                "masks": {i: a["segmentations"] for i, a in annotations.items()},
                "scores": {i: a["scores"] for i, a in annotations.items()},
                "videos": read["videos"],
            }
        except (OSError, *_CHANGED) as error:
            raise _changed(path, error) from error

    def _read_masks(self, frame_idx: int) -> BoolArray:
        """(m, h, w) of all objects; without any where the run has saved none."""
        size_hw = self.video.size_hw
        masks = np.zeros((len(self.object_ids), *size_hw), np.bool_)
        if "png" in self._files:
            self._read_images(self._files["png"], f"{self.video.frame_name(frame_idx)}.png", masks)
        elif "coco" in self._files:
            for mask, object_id in zip(masks, self.object_ids, strict=True):
                code = self._codes["masks"].get(object_id, {frame_idx: None})[frame_idx]
                if code is not None:
                    mask[:] = decode_mask(Rle.from_json(code))
        return masks

    def _read_scores(self, frame_idx: int) -> FloatArray:
        """(m,) predicted IoU; NaN where it is not known."""
        if "coco" not in self._files:
            return np.full(len(self.object_ids), np.nan)
        found = (self._codes["scores"].get(object_id, {frame_idx: None})[frame_idx] for object_id in self.object_ids)
        return np.array([np.nan if score is None else score for score in found])

    def _read_images(self, folder: Path, name: str, masks: BoolArray) -> None:
        size_hw = self.video.size_hw
        if not self.overlapping:
            labels = read_mask_image(folder / name, size_hw=size_hw).values
        for mask, object_id in zip(masks, self.object_ids, strict=True):
            if self.overlapping:
                mask[:] = read_mask_image(folder / str(object_id) / name, size_hw=size_hw).values > 0
            else:
                np.equal(labels, object_id, out=mask)

    def _frame_names(self) -> Sequence[str] | None:
        """Names of the frames in order, where the folder tells them."""
        if self._tracks is not None:
            return [str(name) for name in self._tracks.frame_names]
        if "coco" in self._files:
            return [str(name).rpartition("/")[2].removesuffix(".jpg") for name in self._codes["videos"][0]["file_names"]]
        return None


class _RunVideo(Video):
    """The frames of a run, of which its manifest tells; what it does not tell comes of the video itself."""

    def __init__(
        self, manifest: Mapping[str, Any], given: Path | str | None, names: Callable[[], Sequence[str] | None]
    ) -> None:
        height, width = manifest["size_hw"]
        self._size_hw, self._num_frames = (int(height), int(width)), int(manifest["num_frames"])
        self._fps, self._label, self._frames = float(manifest["fps"]), str(manifest["video"]), dict(manifest["frames"])
        self._sha256, self._given, self._find_names = manifest["inputs"]["video_sha256"], given, names

    @property
    def num_frames(self) -> int:
        return self._num_frames

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._size_hw

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def label(self) -> str:
        return self._label

    def frame_name(self, frame_idx: int) -> str:
        names = self._names
        return self._source.frame_name(frame_idx) if names is None else names[frame_idx]

    def time_s(self, frame_idx: int) -> float:
        return self._source.time_s(frame_idx)

    def duration_s(self, frame_idx: int) -> float:
        return self._source.duration_s(frame_idx)

    def read(self, start: int, stop: int) -> UInt8Array:
        return self._source.read(start, stop)

    @cached_property
    def _names(self) -> Sequence[str] | None:
        return self._find_names()

    @cached_property
    def _source(self) -> Video:
        """The video itself.

        Raises:
            VideoError: it is not where it was, was streamed, or is another one.
        """
        if self._given is None and self._frames["count"] is None:
            raise VideoError(f"{self._label} was streamed and cannot be read again, and this export needs its frames.")
        location = self._given or self._label
        try:
            source = self._open_video(location)
        except SamptError as error:
            reason = str(error).rstrip(".")
            raise VideoError(
                f"This export needs the video of the run, which cannot be opened ({reason}); say where it is by --video."
            ) from error
        if source.digest() != self._sha256 or (source.num_frames, source.size_hw) != (self._num_frames, self._size_hw):
            raise VideoError(f"{location} is not the video of the run; say where that is by --video.")
        return source

    def _open_video(self, location: Path | str) -> Video:
        """The frames that the run has worked on."""
        chosen, on_damage = self._frames, str(self._frames.get("on_damage", "stop"))
        source = open_source(location, allow_broken=on_damage != "stop")
        indices: Sequence[int] = range(chosen["start"], chosen["stop"], chosen["stride"])
        video = without_damage(source, on_damage) if on_damage == "repeat" else source
        if on_damage == "skip":
            broken = set(chosen["unreadable"])
            indices = [i for i in indices if i not in broken] if broken else indices
        return video if indices == range(source.num_frames) else SubVideo(video, indices)


def _collect_points(tracks: SavedTracks, frame_idx: int) -> FramePoints:
    rows = slice(*tracks.frame_splits[frame_idx : frame_idx + 2].tolist())
    return FramePoints(
        tracks.point_id[rows],
        tracks.object_id[rows],
        tracks.is_positive[rows],
        tracks.xy[rows],
        tracks.confidence[rows],
        tracks.hidden_by[rows],
    )


def _changed(path: Path, error: Exception) -> OutputError:
    return OutputError(f"{path} was changed ({one_line(error)}); expected what a run of sampt has written: run it again.")
