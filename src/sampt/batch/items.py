"""Which videos a batch has and what to follow in each: a manifest, one JSON object a line, or a folder."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampt.errors import BatchError, SamptError, did_you_mean
from sampt.points.parse import parse_click, read_mask_image, read_queries
from sampt.segmenters.base import PromptableSegmenter
from sampt.types import Points, QueryMask
from sampt.video.images import IMAGE_SUFFIXES, image_paths, natural_order

__all__ = ["BatchItem", "read_batch"]

_QUERY_SUFFIXES = (".json", ".txt")
_VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm")
_NOT_NAMED = ("loader", "arguments", "part", "num_parts")
_NAME = re.compile(r"[^\s/\\.][^\s/\\]*")
"""One folder, and none above the output."""


@dataclass(frozen=True)
class BatchItem:
    """One video of a batch.

    Attributes:
        name: of its folder under the batch's output; no other item has it.
        video: what :func:`sampt.open_video` takes, as text.
        points: clicks as :func:`sampt.points.parse.parse_click` reads them.
        queries: a query file.
        mask: a mask image.
        mask_frame: the frame of ``mask``; None for ``start``.
        start, stop, stride: see :class:`sampt.job.Job`.
        settings: settings of the method by dotted name, which replace those of the batch.
        loader: "package.module:function" that gives the video and its queries for ``arguments``, in the place of all the
            above but ``settings``; a manifest cannot name one. One that has a parameter ``segmenter`` is given the item's.
        arguments: plain values.
        part: (k, n) for a share of the objects alone: k, k + n, ... of them; a manifest cannot name one.
        num_parts: above 0, the results are merged from so many parts, which are there; likewise.
    """

    name: str
    video: str
    points: tuple[str, ...] = ()
    queries: str | None = None
    mask: str | None = None
    mask_frame: int | None = None
    start: int = 0
    stop: int | None = None
    stride: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    loader: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    part: tuple[int, int] | None = None
    num_parts: int = 0

    def load(self, segmenter: Callable[[], PromptableSegmenter]) -> tuple[Any, list[Points | QueryMask]]:
        """The video, as :func:`sampt.open_video` takes it, and the clicks and masks.

        Args:
            segmenter: makes that of the item, for loaders that want it.

        Raises:
            SamptError: a file is missing, or does not hold queries.
        """
        if self.loader is None:
            return self.video, self.read_queries()
        module, _, function = self.loader.partition(":")
        loader = getattr(importlib.import_module(module), function)
        wanted = {"segmenter": segmenter()} if "segmenter" in inspect.signature(loader).parameters else {}
        video, queries = loader(**self.arguments, **wanted)
        return video, list(queries)

    def read_queries(self) -> list[Points | QueryMask]:
        """The clicks and masks.

        Raises:
            QueryError: a file is missing, or does not hold queries.
        """
        found: list[Points | QueryMask] = [parse_click(text) for text in self.points]
        if self.queries is not None:
            found.append(read_queries(self.queries))
        if self.mask is not None:
            found += read_mask_image(self.mask, self.start if self.mask_frame is None else self.mask_frame)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_json` makes the item again."""
        return dataclasses.asdict(self) | {"points": list(self.points)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BatchItem:
        """See :meth:`to_json`."""
        part = values.get("part")
        return cls(**{**values, "points": tuple(values["points"]), "part": None if part is None else (part[0], part[1])})


def read_batch(source: str | Path) -> list[BatchItem]:
    """The items of a batch.

    Args:
        source: a file of JSON lines, ``{"video": "a.mp4", "points": ["1,0,420,250"]}``, with any of the attributes of
            :class:`BatchItem`, where ``name`` is the video's own when left out and relative paths begin at the file's folder.
            Or a folder of video files and folders of images, each with a query file (NAME.json or NAME.txt) or a mask image
            of its first frame (NAME.png) beside it.

    Raises:
        BatchError: nothing is there, a line has another form, a video has no queries, or two items have one name. Videos
            and query files are not opened: one that is broken is told when it is its turn.
    """
    path = Path(source)
    if path.is_dir():
        items = list(_in_folder(path.resolve()))
    elif path.is_file():
        items = list(_in_manifest(path.resolve()))
    else:
        raise BatchError(f"There is no file or folder {path}; give a manifest of JSON lines or a folder of videos.")
    if not items:
        raise BatchError(f"{path} names no video; expected at least one.")
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            raise BatchError(f'Two videos of {path} are called {item.name!r}; give one of them another "name".')
        seen.add(item.name)
    return items


def _in_manifest(path: Path) -> Iterator[BatchItem]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BatchError(f"{path} cannot be read as a manifest ({error}); expected one JSON object a line.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _item_of(line, f"Line {number} of {path}", path.parent)


def _item_of(line: str, where: str, folder: Path) -> BatchItem:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise BatchError(f"{where} is no JSON ({error.msg} at column {error.colno}); expected one object a line.") from None
    if not isinstance(values, dict):
        raise BatchError(f'{where} is a {type(values).__name__}; expected an object such as {{"video": "a.mp4", ...}}.')
    known = {f.name: f.type for f in dataclasses.fields(BatchItem) if f.name not in _NOT_NAMED}
    for key, value in values.items():
        if key not in known:
            raise BatchError(f"{where} has the unknown key {key!r}.{did_you_mean(key, known)} Known: {', '.join(known)}.")
        _check_type(where, key, value, str(known[key]))
    if not values.get("video"):
        raise BatchError(f'{where} has no "video"; expected the path of one.')
    _check_points(where, values.get("points", []))
    if not (values.get("points") or values.get("queries") or values.get("mask")):
        raise BatchError(f'{where} names no object; give "points", "queries" or "mask".')
    paths = {key: _beside(folder, values[key]) for key in ("video", "queries", "mask") if values.get(key)}
    name = values.get("name") or _name_of(values["video"])
    if not _NAME.fullmatch(name):
        raise BatchError(f"{where} has the name {name!r}; expected the name of a folder: no space, slash, or dot at its start.")
    return BatchItem.from_json({"points": [], **values, **paths, "name": name})


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "tuple": (list,),
    "Mapping": (dict,),
    "None": (type(None),),
}
_TOLD = {"str": "text", "int": "a whole number", "tuple": "a list", "Mapping": "an object", "None": "null"}


def _check_type(where: str, key: str, value: Any, annotation: str) -> None:
    kinds = [part.strip().partition("[")[0] for part in annotation.split("|")]
    accepted = tuple(t for kind in kinds for t in _TYPES[kind])
    if not isinstance(value, accepted) or isinstance(value, bool):
        expected = " or ".join(_TOLD[kind] for kind in kinds)
        raise BatchError(f"{where} has {json.dumps(value)} for {key!r}; expected {expected}.")


def _check_points(where: str, points: list[Any]) -> None:
    for text in points:
        if not isinstance(text, str):
            raise BatchError(f'{where} has the point {json.dumps(text)}; expected text such as "1,0,420,250".')
        try:
            parse_click(text)
        except SamptError as error:
            raise BatchError(f"{where}: {error}") from None


def _beside(folder: Path, name: str) -> str:
    return name if "://" in name else str(folder / Path(name).expanduser())


def _name_of(video: str) -> str:
    path = Path(video.rstrip("/"))
    stem = path.parent.name if any(c in path.name for c in "*?[") else path.name if not path.suffix else path.stem
    return re.sub(r"\s+", "_", stem)


def _in_folder(folder: Path) -> Iterator[BatchItem]:
    entries = natural_order(folder.iterdir())
    videos = [e for e in entries if _is_video(e)]
    for video in videos:
        stem = folder / (video.name if video.is_dir() else video.stem)
        queries = next((q for s in _QUERY_SUFFIXES if (q := stem.with_name(stem.name + s)).is_file()), None)
        mask = stem.with_name(stem.name + ".png")
        if queries is None and not mask.is_file():
            raise BatchError(
                f"{video} has no queries; expected {stem.name}.json, {stem.name}.txt, or the mask {stem.name}.png beside it."
            )
        name = re.sub(r"\s+", "_", stem.name)
        yield BatchItem(
            name,
            str(video),
            queries=None if queries is None else str(queries),
            mask=str(mask) if queries is None else None,
        )


def _is_video(entry: Path) -> bool:
    if entry.is_dir():
        return bool(image_paths(entry.iterdir()))
    return entry.suffix.lower() in _VIDEO_SUFFIXES and entry.suffix.lower() not in IMAGE_SUFFIXES
