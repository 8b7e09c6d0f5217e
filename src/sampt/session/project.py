"""The project folder: ``NAME.sampt/`` with ``project.json``, what a person has said, and ``masks.journal``, what came of it.

And the video and the backends that its file names, opened and made again with the care that a file of unknown origin needs.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sampt.backends.registry import available
from sampt.config import SegmentConfig, default_config, flatten_settings, with_settings
from sampt.errors import BackendError, LimitError, OutputError, SamptError, VideoError
from sampt.files.atomic import disk_errors, write_atomic
from sampt.files.limits import MAX_PROJECT_BYTES, parse_json, read_bounded
from sampt.files.listing import visible_entries
from sampt.files.text import decode_text
from sampt.masks.rle import Rle
from sampt.pipeline.backends import setting_options
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.segmenters.create import create_segmenter
from sampt.session.edits import History, Inputs, check_inputs, check_items
from sampt.session.progress import PROGRESS_NAME
from sampt.session.steps_on_disk import pack_steps, unpack_steps
from sampt.session.types import AbsentInput, BoxInput, Carried, Click, MaskInput, Reviewed, SessionObject
from sampt.trackers.base import PointTracker, TrackerInfo
from sampt.trackers.create import create_tracker
from sampt.video.base import Video
from sampt.video.open import open_video
from sampt.weights import no_downloads

__all__ = [
    "PROJECT_NAME",
    "PROJECT_NAMES_THEM",
    "RESULTS_NAME",
    "SUFFIX",
    "ProjectFile",
    "VideoFacts",
    "check_new",
    "facts_at",
    "find_video",
    "make_session_backends",
    "open_again",
    "read_project",
    "video_facts",
    "write_project",
]

SUFFIX = ".sampt"
PROJECT_NAME = "project.json"
RESULTS_NAME = "masks.journal"
PROJECT_NAMES_THEM = "a project's file names them and no person does"
_FORMAT = "sampt-project"
_VERSION = 1


@dataclass(frozen=True)
class VideoFacts:
    """Which video a project is about.

    Attributes:
        path: where it was found last.
        beside: the same from the project's parent folder, or None where there is no such way (another drive).
        sha256: :meth:`sampt.video.base.Video.digest`.
    """

    path: str
    beside: str | None
    sha256: str
    num_frames: int
    size_hw: tuple[int, int]
    fps: float


@dataclass(frozen=True)
class ProjectFile:
    """What ``project.json`` says."""

    video: VideoFacts
    config: SegmentConfig
    tracker: str
    segmenter: str
    history: History

    @property
    def inputs(self) -> Inputs:
        """What was given, as it is now."""
        return self.history.now


def video_facts(video: Video, path: Path | str, project: Path) -> VideoFacts:
    """The facts about an open video, whose files are read to the end for their digest."""
    return facts_at(VideoFacts("", None, video.digest(), video.num_frames, video.size_hw, video.fps), path, project)


def facts_at(facts: VideoFacts, path: Path | str, project: Path) -> VideoFacts:
    """The facts about the same video when it lies at ``path``."""
    absolute = os.path.abspath(os.path.expanduser(str(path)))
    try:
        beside = os.path.relpath(absolute, project.absolute().parent)
    except ValueError:  # Windows: another drive
        beside = None
    return dataclasses.replace(facts, path=absolute, beside=beside)


def open_again(facts: VideoFacts) -> Video:
    """The project's video a second time, to be read by itself.

    Raises:
        VideoError: it is not there any more, or has been replaced.
    """
    video = open_video(facts.path)
    if (video.num_frames, video.size_hw) != (facts.num_frames, facts.size_hw):
        raise VideoError(f"{facts.path} has been replaced by another video; put the project's own back, or close the session.")
    return video


def check_new(project: Path) -> None:
    """Refuse a location where no project can begin; a folder that a killed ``create`` left behind is taken over.

    Raises:
        OutputError: the name ends in something else than ``.sampt``, or something is there.
    """
    if project.suffix != SUFFIX or project.name == SUFFIX:
        raise OutputError(f"The project is to be {project}; expected a name that ends in {SUFFIX}, such as clip{SUFFIX}.")
    with disk_errors(project):
        if project.is_dir():
            left = (RESULTS_NAME, PROGRESS_NAME, PROJECT_NAME + ".partial")
            others = [p.name for p in visible_entries(project) if p.name not in left]
            if not others:
                return
            raise OutputError(f"{project} holds {others[0]} already; open that project, or choose another name.")
        if project.exists():
            raise OutputError(f"{project} is a file; expected a name for a new folder.")


def write_project(project: Path, content: ProjectFile) -> None:
    """Replace ``project.json`` by ``content``, atomically and on the disk when this returns.

    Raises:
        OutputError: it cannot be written; the old one is still there.
        LimitError: it is too large, likewise.
    """
    inputs = content.inputs
    data = {
        "format": _FORMAT,
        "version": _VERSION,
        "video": dataclasses.asdict(content.video),
        "config": flatten_settings(content.config),
        "backends": {"tracker": content.tracker, "segmenter": content.segmenter},
        **_inputs_entry(inputs),
        "steps": pack_steps(content.history, _inputs_entry),
    }
    # A line for each part: to be read by people, and written fast.
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(part, allow_nan=False)}" for name, part in data.items())
    text = f"{{\n{lines}\n}}\n".encode()
    if len(text) > MAX_PROJECT_BYTES:  # it could not be read again
        raise LimitError(f"{project} would have {len(text)} bytes; expected at most {MAX_PROJECT_BYTES}: take masks away.")
    write_atomic(project / PROJECT_NAME, text, sync=True)


def _inputs_entry(inputs: Inputs) -> dict[str, Any]:
    return {
        "objects": [dataclasses.asdict(o) for o in inputs.objects],
        "clicks": [dataclasses.asdict(c) for c in inputs.clicks],
        "boxes": [dataclasses.asdict(b) for b in inputs.boxes],
        "masks": [_mask_entry(m) for m in inputs.masks],
        "carried": [_carried_entry(c) for c in inputs.carried],
        "reviewed": [dataclasses.asdict(r) for r in inputs.reviewed],
        "absent": [dataclasses.asdict(a) for a in inputs.absent],
        "next_object_id": inputs.next_object_id,
        "next_point_id": inputs.next_point_id,
    }


def read_project(project: Path) -> ProjectFile:
    """What :func:`write_project` wrote.

    Raises:
        OutputError: there is no project, it is damaged, another program's, or of a newer version.
    """
    path = project / PROJECT_NAME
    if not path.is_file():
        raise OutputError(f"{project} is no project: there is no {PROJECT_NAME} in it; expected a folder that a session made.")
    with disk_errors(path):
        text = read_bounded(path, MAX_PROJECT_BYTES, f"a project file of at most {MAX_PROJECT_BYTES}")
    try:
        data = parse_json(decode_text(text))
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({_one_line(error)}); restore it from a copy.") from error
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise OutputError(f"{path} is no project file of sampt; expected one that a session wrote.")
    version = data.get("version")
    if isinstance(version, int) and version > _VERSION:
        raise OutputError(f"{path} has version {version}, this sampt reads up to {_VERSION}; update sampt to open it.")
    try:
        return _parse(data)
    except (SamptError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise OutputError(f"{path} is damaged ({_one_line(error)}); restore it from a copy.") from error


def find_video(facts: VideoFacts, project: Path, given: Path | str | None) -> tuple[Video, str]:
    """The project's video and its path: the given one, or where it was, or beside the project as before, or simply beside it.

    Raises:
        VideoError: there is none, or what is there is another video.
    """
    wrong: VideoError | None = None
    for path in [str(given)] if given is not None else list(_locations(facts, project)):
        try:
            video = open_video(path)
        except VideoError:
            if given is not None:
                raise
            continue
        found = (video.num_frames, video.size_hw)
        if found == (facts.num_frames, facts.size_hw) and video.digest() == facts.sha256:
            return video, path
        wrong = VideoError(
            f"{path} is not the video of {project}, which is {Path(facts.path).name} with {facts.num_frames} frames of "
            f"{facts.size_hw[1]}x{facts.size_hw[0]}; give the unchanged file under its own name."
        )
    raise wrong or VideoError(
        f"The video of {project} is neither at {facts.path} nor beside the project; put it there, or give its path (video=...)."
    )


def _locations(facts: VideoFacts, project: Path) -> Iterator[str]:
    parent = project.absolute().parent
    yield facts.path
    if facts.beside is not None:
        yield os.path.normpath(parent / facts.beside)
    yield str(parent / Path(facts.path.replace("\\", "/")).name)


def _parse(data: Mapping[str, Any]) -> ProjectFile:
    entry = data["video"]
    size_hw = _whole(entry["size_hw"][0]), _whole(entry["size_hw"][1])
    beside = None if entry["beside"] is None else str(entry["beside"])
    facts = VideoFacts(
        str(entry["path"]), beside, str(entry["sha256"]), _whole(entry["num_frames"]), size_hw, float(entry["fps"])
    )
    backends = data["backends"]
    now = check_inputs(_parse_inputs(data, facts))
    ids = {"next_object_id": now.next_object_id, "next_point_id": now.next_point_id}
    steps = data.get("steps", {})  # an older sampt has none
    history = unpack_steps(now, steps, lambda items: _parse_inputs({**items, **ids}, facts))
    config = with_settings(default_config(), _flat(data["config"]))
    return ProjectFile(facts, config, str(backends["tracker"]), str(backends["segmenter"]), history)


def _parse_inputs(data: Mapping[str, Any], facts: VideoFacts) -> Inputs:
    size_hw = facts.size_hw
    reviewed, absent = data.get("reviewed", []), data.get("absent", [])  # an older sampt has none
    for part in ("objects", "clicks", "boxes", "masks", "carried"):
        check_items(len(data[part]), part)
    check_items(len(reviewed), "marks of good frames")
    check_items(len(absent), "absences")
    clicks = tuple(_click(c) for c in data["clicks"])
    return Inputs(
        facts.num_frames,
        size_hw,
        tuple(_object(o) for o in data["objects"]),
        clicks,
        tuple(BoxInput(**{**b, **_location(b), "box_xyxy": _reals(b["box_xyxy"], 4)}) for b in data["boxes"]),
        _masks(data["masks"], size_hw, clicks),
        tuple(_carry(c, size_hw) for c in data["carried"]),
        tuple(_reviewed(r) for r in reviewed),
        tuple(AbsentInput(**_location(a)) for a in absent),
        _whole(data["next_object_id"]),
        _whole(data["next_point_id"]),
    )


def _object(entry: Mapping[str, Any]) -> SessionObject:
    flags = {name: _flag(entry[name]) for name in ("is_hidden", "is_locked")}
    return SessionObject(**{**entry, **flags, "object_id": _whole(entry["object_id"]), "color_rgb": tuple(entry["color_rgb"])})


def _click(entry: Mapping[str, Any]) -> Click:
    changed = {"point_id": _whole(entry["point_id"]), "xy": _reals(entry["xy"], 2), "is_positive": _flag(entry["is_positive"])}
    is_whole = _flag(entry.get("is_whole", False))  # an older sampt has none
    return Click(**{**entry, **_location(entry), **changed, "is_whole": is_whole})


def _reviewed(entry: Mapping[str, Any]) -> Reviewed:
    return Reviewed(**_location(entry), digest=bytes.fromhex(entry["digest"]).hex())


def _mask_entry(mask: MaskInput) -> dict[str, Any]:
    location = {"object_id": mask.object_id, "frame_idx": mask.frame_idx}
    return {**location, "counts": mask.rle.counts, "point_ids": mask.point_ids, "is_edited": mask.is_edited}


def _masks(entries: Sequence[Mapping[str, Any]], size_hw: tuple[int, int], clicks: Sequence[Click]) -> tuple[MaskInput, ...]:
    """In a project of an older sampt clicks changed nothing of a mask on their frame, and so they do not now."""
    own: dict[tuple[int, int], list[int]] = {}
    for click in clicks:
        own.setdefault((click.object_id, click.frame_idx), []).append(click.point_id)
    found = []
    for entry in entries:
        location = _location(entry)
        held = entry.get("point_ids", own.get((location["object_id"], location["frame_idx"]), []))
        rle = Rle(size_hw, str(entry["counts"]))
        is_edited = _flag(entry.get("is_edited", False))
        found.append(MaskInput(**location, rle=rle, point_ids=tuple(_whole(p) for p in held), is_edited=is_edited))
    return tuple(found)


def _carried_entry(carried: Carried) -> dict[str, Any]:
    counts = None if carried.rle is None else carried.rle.counts
    return {**dataclasses.asdict(dataclasses.replace(carried, rle=None)), "rle": counts}


def _carry(entry: Mapping[str, Any], size_hw: tuple[int, int]) -> Carried:
    xy = tuple(_reals(pair, 2) for pair in entry["xy"])
    signs = tuple(_flag(s) for s in entry["is_positive"])
    counts = entry.get("rle")  # an older sampt kept none
    rle = None if counts is None else Rle(size_hw, str(counts))
    score = None if entry.get("score") is None else _reals([entry["score"]], 1)[0]
    return Carried(**_location(entry), xy=xy, is_positive=signs, area_px=_whole(entry["area_px"]), rle=rle, score=score)


def _location(entry: Mapping[str, Any]) -> dict[str, int]:
    return {name: _whole(entry[name]) for name in ("object_id", "frame_idx")}


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} stands where a whole number is expected")
    return value


def _reals(values: Any, count: int) -> Any:
    """A tuple of so many finite numbers."""
    numbers = tuple(values)
    if len(numbers) != count or not all(type(v) in (int, float) and math.isfinite(v) for v in numbers):
        raise ValueError(f"{values!r} stands where {count} numbers are expected")
    return tuple(float(v) for v in numbers)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r} stands where true or false is expected")
    return value


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted name. Unknown ones are refused by whoever takes them; missing ones are of an older sampt."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text[:200]}" if not isinstance(error, KeyError) else f"{text[:200]} is missing"


class _BackendChoice(Protocol):
    @property
    def info(self) -> TrackerInfo | SegmenterInfo: ...


_B = TypeVar("_B", bound=_BackendChoice)


def make_session_backends(
    config: SegmentConfig,
    tracker: PointTracker | None,
    segmenter: PromptableSegmenter | None,
    device: str,
    last_names: tuple[str, str] | None = None,
) -> tuple[PointTracker, PromptableSegmenter]:
    """The given backends; those left out are made by name.

    Args:
        last_names: of the tracker and the segmenter that a project was worked on with last. What a project's file names is not
            downloaded: nobody may have looked at it.

    Raises:
        BackendError: one cannot be made.
    """
    of_tracker, of_segmenter = last_names or (None, None)
    with nullcontext() if last_names is None else no_downloads(PROJECT_NAMES_THEM):
        if tracker is None:
            tracker = _made("tracker", create_tracker, config, device, of_tracker)
        if segmenter is None:
            segmenter = _made("segmenter", create_segmenter, config, device, of_segmenter)
    return tracker, segmenter


def _made(kind: str, create: Callable[..., _B], config: SegmentConfig, device: str, last_name: str | None) -> _B:
    name: str = getattr(config, kind)
    if last_name is not None and last_name != name and last_name in available(kind):
        return create(last_name, device=device, **setting_options(kind, last_name, config))
    weights = getattr(config, f"{kind}_weights")
    made = create(name, weights=weights, device=device, **setting_options(kind, name, config))
    if last_name not in (None, made.info.name):
        raise BackendError(
            f"The project was worked on with the {kind} {last_name!r}, which cannot be made by its name; give it ({kind}=...)."
        )
    return made
