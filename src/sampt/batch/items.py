"""Which videos a batch has and what to segment in each: a manifest, one JSON object a line, or a folder."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampt.batch.remote import fetched, is_folder, is_url, listed
from sampt.errors import BatchError, SamptError, did_you_mean
from sampt.exporters.labels import is_label
from sampt.files.limits import MAX_LIST_BYTES, parse_json
from sampt.files.listing import is_leftover
from sampt.files.names import fold_name, portable_name, real_path
from sampt.files.text import read_text
from sampt.pipeline.queries import Queries, parse_queries
from sampt.points.parse import parse_boxes, parse_click, parse_mask_location
from sampt.segmenters.base import PromptableSegmenter
from sampt.video.frame_names import IMAGE_SUFFIXES, image_paths, natural_order
from sampt.video.open import VIDEO_SUFFIXES

__all__ = ["BatchItem", "read_batch"]

_QUERY_SUFFIXES = (".json", ".txt")
_MASK_SUFFIX = ".png"
_STACK_SUFFIXES = (".apng", ".tif", ".tiff", ".webp")
"""Images that may have several pages: videos where queries lie beside them."""
_INPUTS = ("video", "queries", "mask")
_TEXTS = ("points", "boxes", "masks")
_NOT_NAMED = ("loader", "arguments", "part", "num_parts", "error")
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
        boxes: as :func:`sampt.points.parse.parse_boxes` reads them.
        masks: mask images, as :func:`sampt.points.parse.parse_mask_location` reads them: PNG@FRAME, or PNG for that of
        ``start``.
        mask: a mask image.
        mask_frame: the frame of ``mask``; None for ``start``.
        start, stop, stride: see :class:`sampt.runs.job.Job`.
        settings: settings of the method by dotted name, which replace those of the batch.
        labels: object id -> what it is called, of all its objects; left out: as the batch says.
        loader: "package.module:function" that gives the video and its queries for ``arguments``, instead of all the
            above but ``settings``; a manifest cannot name one. One that has a parameter ``segmenter`` is given the item's.
        arguments: plain values.
        part: (k, n) for a fraction of the objects alone: k, k + n, ... of them; a manifest cannot name one.
        num_parts: above 0, the results are merged from so many parts, which are there; likewise.
        error: one line on what is wrong with the item, which is recorded as failed while the others go on; likewise.
    """

    name: str
    video: str
    points: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    queries: str | None = None
    mask: str | None = None
    mask_frame: int | None = None
    start: int = 0
    stop: int | None = None
    stride: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    loader: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    part: tuple[int, int] | None = None
    num_parts: int = 0
    error: str | None = None

    def load(self, segmenter: Callable[[], PromptableSegmenter]) -> tuple[Any, Queries]:
        """The video, as :func:`sampt.open_video` takes it, and the clicks, boxes and masks.

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
        return video, Queries.of(queries)

    @property
    def has_urls(self) -> bool:
        """Whether something of it lies elsewhere."""
        return any(is_url(getattr(self, key) or "") for key in _INPUTS) or any(map(is_url, self.masks))

    def fetched(self, folder: Path) -> BatchItem:
        """The item with all its inputs here: what lies elsewhere is copied into ``folder``.

        Raises:
            BatchError: see :func:`sampt.batch.remote.fetched`.
        """
        here: dict[str, Any] = {
            key: str(fetched(url, folder / key)) for key in _INPUTS if is_url(url := getattr(self, key) or "")
        }

        def fetched_mask(url: str) -> str:
            return str(fetched(url, folder / f"mask-{len(masks)}")) if is_url(url) else url

        masks: list[str] = []
        for text in self.masks:
            masks.append(_at_location(text, fetched_mask))
        return dataclasses.replace(self, **here, masks=tuple(masks))

    def read_queries(self) -> Queries:
        """The clicks, boxes and masks.

        Raises:
            QueryError: a file is missing, or does not hold queries.
        """
        masks = [] if self.mask is None else [(self.mask, self.mask_frame)]
        masks += map(parse_mask_location, self.masks)
        return parse_queries(
            clicks=self.points,
            boxes=self.boxes,
            file=self.queries,
            masks=[(path, self.start if frame_idx is None else frame_idx) for path, frame_idx in masks],
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_json` makes the item again."""
        return dataclasses.asdict(self) | {key: list(getattr(self, key)) for key in _TEXTS}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BatchItem:
        """See :meth:`to_json`."""
        part = values.get("part")
        texts = {key: tuple(values.get(key, ())) for key in _TEXTS}
        return cls(**{**values, **texts, "part": None if part is None else (part[0], part[1])})


def read_batch(source: str | Path, *, finds: bool = False) -> list[BatchItem]:
    """The items of a batch.

    Args:
        source: a file of JSON lines, ``{"video": "a.mp4", "points": ["1,0,420,250"]}``, with any of the attributes of
            :class:`BatchItem`, where ``name`` is the video's own when left out and relative paths begin at the file's folder.
            Or a folder of video files and folders of images, each with a query file (NAME.json or NAME.txt) or a mask image
            of its first frame (NAME.png) beside it, where NAME is the video's name with or without its ending. Either may be
            an address that fsspec opens, and so may what a line names. Videos that would have one name are distinguished by
            their endings, then by their folders, then by numbers.

        finds: objects are found, so that none need be named, and no queries need lie beside a video.

    Returns:
        The items; a line of another form, a second item of a given name and a video without queries are items with an
        ``error``. Videos and query files are not opened: one that is broken is reported when it is its turn.

    Raises:
        BatchError: nothing is there, or there is an error in every item.
    """
    url, path = str(source), Path(source)
    if is_url(url):
        items = list(_in_remote_folder(url) if is_folder(url) else _in_remote_manifest(url))
    elif path.is_dir():
        items = list(_in_folder(real_path(path)))
    elif path.is_file():
        items = list(_in_manifest(real_path(path)))
    else:
        raise BatchError(f"There is no file or folder {path}; give a manifest of JSON lines or a folder of videos.")
    if not items:
        raise BatchError(f"{source} names no video; expected at least one.")
    if finds:  # an item with a video and an error lacks queries, and nothing else
        items = [dataclasses.replace(item, error=None) if item.video else item for item in items]
    if all(item.error is not None for item in items):
        others = f" The other {len(items) - 1} cannot be done either." if len(items) > 1 else ""
        raise BatchError(f"{items[0].error}{others}")
    return _distinct(items)


def _distinct(items: list[BatchItem]) -> list[BatchItem]:
    """The items with a name each: a given name stays, one made from the video gets longer until no other item has it.

    Names that differ by upper and lower case are one folder on Windows and macOS, and so they are here.
    """
    forms = [(item.name,) * 3 if item.name else _list_names(item.video) for item in items]
    names = [form[0] for form in forms]
    for level in (1, 2):
        counts = Counter(map(fold_name, names))
        names = [form[level] if counts[fold_name(name)] > 1 else name for form, name in zip(forms, names, strict=True)]
    taken = {fold_name(item.name) for item in items}
    for i, item in enumerate(items):
        number, name = 1, names[i]
        while not item.name and fold_name(names[i]) in taken:
            number += 1
            names[i] = f"{name}-{number}"
        taken.add(fold_name(names[i]))
    return [dataclasses.replace(item, name=name) for item, name in zip(items, names, strict=True)]


def _list_names(video: str) -> tuple[str, str, str]:
    """A video's names, the longer ones for where it shares the shorter ones: stem, with its ending, with its folder."""
    path = Path(video.rstrip("/"))
    if any(c in path.name for c in "*?["):
        path = path.parent
        stem = path.name
    else:
        stem = path.stem
    names = (stem, path.name, f"{path.parent.name}-{path.name}" if path.parent.name else path.name)
    return (_plain(names[0]), _plain(names[1]), _plain(names[2]))


def _plain(name: str) -> str:
    return portable_name(re.sub(r"\s+", "_", name))


def _in_manifest(path: Path) -> Iterator[BatchItem]:
    try:
        text = read_text(path, MAX_LIST_BYTES, "one JSON object a line")
    except (OSError, ValueError) as error:
        raise BatchError(f"{path} cannot be read as a manifest ({error}); expected one JSON object a line.") from error
    return _list_items(text, str(path), lambda name: str(path.parent / Path(name).expanduser()))


def _in_remote_manifest(url: str) -> Iterator[BatchItem]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            text = read_text(fetched(url, Path(folder) / "manifest"), MAX_LIST_BYTES, "one JSON object a line")
        except ValueError as error:
            raise BatchError(f"{url} cannot be read as a manifest ({error}); expected one JSON object a line.") from error
    return _list_items(text, url, lambda name: name if name.startswith("/") else f"{url.rpartition('/')[0]}/{name}")


def _list_items(text: str, path: str, beside: Callable[[str], str]) -> Iterator[BatchItem]:
    """An item a line; a name is "" where the line gives none."""
    given: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):  # no other character ends a line: JSON takes them in its texts
        if not line.strip():
            continue
        where = f"Line {number} of {path}"
        try:
            item = _make_item(line, where, beside)
            if fold_name(item.name) in given:
                raise BatchError(f'{where} has the name {item.name!r} of an earlier line; give it another "name".')
        except BatchError as error:
            yield BatchItem(f"line-{number}", "", error=str(error))
            continue
        given |= {fold_name(item.name)} - {""}
        yield item


def _make_item(line: str, where: str, beside: Callable[[str], str]) -> BatchItem:
    try:
        values = parse_json(line)
    except json.JSONDecodeError as error:
        raise BatchError(f"{where} is no JSON ({error.msg} at column {error.colno}); expected one object a line.") from None
    except ValueError:
        raise BatchError(f"{where} holds a number of thousands of digits or is nested too deeply.") from None
    if not isinstance(values, dict):
        raise BatchError(f'{where} is a {type(values).__name__}; expected an object such as {{"video": "a.mp4", ...}}.')
    known = {f.name: f.type for f in dataclasses.fields(BatchItem) if f.name not in _NOT_NAMED}
    for key, value in values.items():
        if key not in known:
            raise BatchError(f"{where} has the unknown key {key!r}.{did_you_mean(key, known)} Known: {', '.join(known)}.")
        _check_type(where, key, value, str(known[key]))
    if not values.get("video"):
        raise BatchError(f'{where} has no "video"; expected the path of one.')
    for key, (example, parse) in _FORMS.items():
        _check_texts(where, key, values.get(key, []), example, parse)
    lacks = None
    if not any(values.get(key) for key in (*_TEXTS, "queries", "mask")):
        lacks = f'{where} names no object; give "points", "boxes", "queries", "mask" or "masks", or let --find find them.'
    masks = [_at_location(text, lambda name: name if is_url(name) else beside(name)) for text in values.get("masks", [])]
    paths = {key: name if is_url(name) else beside(name) for key in _INPUTS if (name := values.get(key))}
    for object_id, label in values.get("labels", {}).items():
        if not is_label(object_id, label):
            shown = json.dumps({object_id: label})
            raise BatchError(f'{where} has {shown} among its labels; expected an object id and a name, such as {{"1": "dog"}}.')
    name = values.get("name") or _list_names(values["video"])[0]
    if not _NAME.fullmatch(name):
        raise BatchError(f"{where} has the name {name!r}; expected the name of a folder: no space, slash, or dot at its start.")
    if portable_name(name) != name:
        expected = f"expected one such as {portable_name(name)!r}"
        raise BatchError(f"{where} has the name {name!r}, which Windows does not take; {expected}.")
    return BatchItem.from_json({**values, **paths, "masks": masks, "name": values.get("name") or "", "error": lacks})


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "tuple": (list,),
    "Mapping": (dict,),
    "None": (type(None),),
}
_FIELDS = {"str": "text", "int": "a whole number", "tuple": "a list", "Mapping": "an object", "None": "null"}


def _check_type(where: str, key: str, value: Any, annotation: str) -> None:
    kinds = [part.strip().partition("[")[0] for part in annotation.split("|")]
    accepted = tuple(t for kind in kinds for t in _TYPES[kind])
    if not isinstance(value, accepted) or isinstance(value, bool):
        expected = " or ".join(_FIELDS[kind] for kind in kinds)
        raise BatchError(f"{where} has {json.dumps(value)} for {key!r}; expected {expected}.")


_FORMS: dict[str, tuple[str, Callable[[str], object]]] = {
    "points": ("1,0,420,250", parse_click),
    "boxes": ("1,0,400,200,460,310", parse_boxes),
    "masks": ("first.png@0", parse_mask_location),
}


def _check_texts(where: str, key: str, texts: list[Any], example: str, parse: Callable[[str], object]) -> None:
    for text in texts:
        if not isinstance(text, str) or not text:
            raise BatchError(f'{where} has {json.dumps(text)} among its {key}; expected text such as "{example}".')
        try:
            parse(text)
        except SamptError as error:
            raise BatchError(f"{where}: {error}") from None


def _at_location(text: str, location: Callable[[str], str]) -> str:
    """The text of a mask, PNG@FRAME or PNG, with its path replaced."""
    path, frame_idx = parse_mask_location(text)
    return location(path) if frame_idx is None else f"{location(path)}@{frame_idx}"


def _in_folder(folder: Path) -> Iterator[BatchItem]:
    entries = {e.name: e.is_dir() for e in folder.iterdir()}
    return _among(entries, lambda name: str(folder / name), lambda name: bool(image_paths((folder / name).iterdir())))


def _in_remote_folder(url: str) -> Iterator[BatchItem]:
    def holds_images(name: str) -> bool:
        return any(
            Path(inside).suffix.lower() in IMAGE_SUFFIXES and not is_leftover(inside)
            for inside in listed(f"{url.rstrip('/')}/{name}")
        )

    return _among(listed(url), lambda name: f"{url.rstrip('/')}/{name}", holds_images)


def _among(entries: Mapping[str, bool], at: Callable[[str], str], holds_images: Callable[[str], bool]) -> Iterator[BatchItem]:
    """The videos among the entries of a folder, name -> whether it is a folder, with the queries beside them."""
    for video in (p.name for p in natural_order(map(Path, entries))):
        is_stack = entries[video] is False and Path(video).suffix.lower() in _STACK_SUFFIXES
        if is_leftover(video) or not (holds_images(video) if entries[video] else is_stack or _is_video_file(video)):
            continue
        stems = dict.fromkeys((video, video if entries[video] else Path(video).stem))
        beside = [stem + suffix for suffix in (*_QUERY_SUFFIXES, _MASK_SUFFIX) for stem in stems]
        found = next((name for name in beside if entries.get(name) is False), None)
        if found is None and is_stack:
            continue  # an image like any other
        if found is None:
            *queries, mask = (list(stems)[-1] + suffix for suffix in (*_QUERY_SUFFIXES, _MASK_SUFFIX))
            error = f"{at(video)} has no queries; expected {', '.join(queries)}, or the mask {mask} beside it, or --find."
            yield BatchItem("", at(video), error=error)
        elif found.endswith(_MASK_SUFFIX):
            yield BatchItem("", at(video), mask=at(found))
        else:
            yield BatchItem("", at(video), queries=at(found))


def _is_video_file(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES
