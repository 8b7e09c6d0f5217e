"""What every dataset offers, however its files lie on disk.

Two kinds exist. In video object segmentation (:class:`VosDataset`) masks of the objects are given, except where it is
unsupervised, and the objects are segmented; in video instance segmentation (:class:`InstanceDataset`) objects have to be found,
too, and scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast, overload

from sampt.errors import EvaluationError, did_you_mean
from sampt.types import BoolArray, IntArray, QueryMask
from sampt.video import Video

__all__ = [
    "Annotation",
    "InstanceDataset",
    "InstanceVideo",
    "LazySequences",
    "SubmissionLayout",
    "VosDataset",
    "VosSequence",
    "select_sequences",
]

Annotation = Mapping[str, Any]
"""One object of a video as the YouTube-VIS layout has it: ``id``, ``video_id``, ``category_id``, ``iscrowd`` and, one a frame,
``segmentations`` (a COCO run-length code of either kind, polygons, or None), ``areas`` and ``bboxes`` (x, y, w, h)."""


class VosSequence(ABC):
    """A video whose objects are given by their masks. Making one reads nothing; what is requested is read then.

    Attributes:
        name: of the sequence, and of its folder in predictions.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    @abstractmethod
    def frame_names(self) -> tuple[str, ...]:
        """One a frame, in order; predictions are filed under them."""

    @property
    @abstractmethod
    def first_frame(self) -> Mapping[int, int]:
        """Object id -> index of the frame on which its mask is given, ids ascending."""

    @property
    @abstractmethod
    def annotated_frames(self) -> tuple[int, ...]:
        """Indices of the frames that have an annotation, ascending; nothing is known of the others."""

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]:
        """Size of the annotations."""

    @abstractmethod
    def label_map(self, frame_idx: int) -> IntArray:
        """The true (h, w) int64 object ids of an annotated frame; 0 for background and for pixels that do not count.

        Raises:
            EvaluationError: the frame has no annotation, or it is unreadable or not of ``size_hw``.
        """

    @abstractmethod
    def open(self) -> Video:
        """The frames.

        Raises:
            EvaluationError: they are not of the annotations' size.
            VideoError: they cannot be read.
        """

    @property
    def end_frame(self) -> Mapping[int, int]:
        """Object id -> index of the frame from which on it is not scored, where the dataset tells that an object leaves."""
        return {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are given, ascending."""
        return tuple(self.first_frame)

    @property
    def categories(self) -> Mapping[int, str]:
        """Object id -> what it is, where the dataset tells."""
        return {}

    @property
    def groups(self) -> Mapping[int, str]:
        """Object id -> "seen" or "unseen" in training, where the dataset tells them apart."""
        return {}

    @property
    def submission_frames(self) -> tuple[int, ...]:
        """Indices of the frames of which the benchmark's server wants masks, ascending."""
        return tuple(range(len(self.frame_names)))

    def void_mask(self, frame_idx: int) -> BoolArray | None:
        """(h, w) bool: the pixels of an annotated frame that do not count; None when all do.

        Raises:
            EvaluationError: as :meth:`label_map`.
        """
        return None

    def query_masks(self) -> list[QueryMask]:
        """What the protocol gives to the method: each object's mask on its own first frame, ids ascending.

        Raises:
            EvaluationError: there is no object, or one is not on the frame that is said to show it first.
        """
        found: dict[int, QueryMask] = {}
        for frame_idx in sorted(set(self.first_frame.values())):
            labels = self.label_map(frame_idx)
            for object_id in (i for i, first in self.first_frame.items() if first == frame_idx):
                mask = labels == object_id
                if not mask.any():
                    raise EvaluationError(
                        f"The annotation of frame {self.frame_names[frame_idx]} of {self.name} does not show the object "
                        f"{object_id}; expected its mask on the first frame that is said to hold it."
                    )
                found[object_id] = QueryMask(object_id, frame_idx, mask)
        if not found:
            raise EvaluationError(f"{self.name} holds no object; expected at least one on the frames that are given.")
        return [found[object_id] for object_id in self.object_ids]


class LazySequences(Sequence[VosSequence]):
    """Sequences by number, each made when it is first requested.

    Args:
        names: of all of them, or what finds them; it is called when they are first requested.
        make: gives the sequence of a name.
        has: tells whether a name is one of them, where that is quicker than to look through all.
    """

    def __init__(
        self,
        names: Iterable[str] | Callable[[], Iterable[str]],
        make: Callable[[str], VosSequence],
        has: Callable[[str], bool] | None = None,
    ) -> None:
        self._names, self._make, self._has = names, make, has
        self._made: dict[str, VosSequence] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all of them, in order."""
        return tuple(self._names() if callable(self._names) else self._names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[VosSequence]:
        return (self.named(name) for name in self.names)

    @overload
    def __getitem__(self, index: int) -> VosSequence: ...
    @overload
    def __getitem__(self, index: slice) -> LazySequences: ...
    def __getitem__(self, index: int | slice) -> VosSequence | LazySequences:
        if isinstance(index, slice):
            return LazySequences(self.names[index], self.named)
        return self.named(self.names[index])

    def has(self, name: str) -> bool:
        """Whether a sequence is called so."""
        return self._has(name) if self._has else name in self.names

    def named(self, name: str) -> VosSequence:
        """The sequence of a name that :meth:`has` knows."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]


@dataclass(frozen=True)
class SubmissionLayout:
    """How masks lie in the ZIP archive that a benchmark's server takes: one palette PNG of object ids a frame.

    Attributes:
        folder: in the archive, that holds a folder for each sequence; "" where those lie at the top.
    """

    folder: str = ""

    def member(self, sequence: str, frame_name: str) -> str:
        """Name in the archive of the masks of one frame."""
        return "/".join(part for part in (self.folder, sequence, f"{frame_name}.png") if part)


@dataclass(frozen=True, eq=False)
class VosDataset:
    """Videos whose objects are given by their masks, or were annotated in the same way and have to be found.

    Attributes:
        name: as :func:`sampt.evaluation.datasets.open_dataset` calls it.
        split: "val", say.
        protocol: how it is scored: a name of :data:`sampt.evaluation.vos.protocols.SCORING_RULES`.
        sequences: in the order of the dataset's own list, else by name.
        is_server_scored: only the masks that are given are public.
        submission: what the benchmark's server takes.
        finds_objects: nothing is given but the frames; objects have to be found.
    """

    name: str
    split: str
    protocol: str
    sequences: Sequence[VosSequence]
    is_server_scored: bool = False
    submission: SubmissionLayout = SubmissionLayout()
    finds_objects: bool = False


class InstanceVideo(ABC):
    """A video in which objects have to be found and segmented.

    Attributes:
        id: by which annotations and results name it.
        name: of the video, and of its folder in predictions.
        frame_names: one a frame, in order.
        size_hw: of its annotations.
    """

    def __init__(self, video_id: int, name: str, frame_names: Sequence[str], size_hw: tuple[int, int]) -> None:
        self.id = video_id
        self.name = name
        self.frame_names = tuple(frame_names)
        self.size_hw = size_hw

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id}, {self.name!r})"

    @abstractmethod
    def open(self) -> Video:
        """The frames.

        Raises:
            EvaluationError: one is missing, or they are not of the annotations' size.
            VideoError: they cannot be read.
        """


class InstanceDataset(ABC):
    """Videos in which objects have to be found and segmented; the annotation file is read when something of it is requested.

    Attributes:
        name: as :func:`sampt.evaluation.datasets.open_dataset` calls it.
        split: "val", say.
    """

    def __init__(self, name: str, split: str) -> None:
        self.name = name
        self.split = split

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.split!r})"

    @property
    @abstractmethod
    def videos(self) -> tuple[InstanceVideo, ...]: ...

    @property
    @abstractmethod
    def categories(self) -> Mapping[int, str]:
        """Category id -> name."""

    @property
    @abstractmethod
    def annotations(self) -> Sequence[Annotation]:
        """All objects of all videos; empty where they are not public."""

    @property
    def is_server_scored(self) -> bool:
        """No annotation is public."""
        return not self.annotations


_AnySequence = TypeVar("_AnySequence", bound=VosSequence)


def select_sequences(sequences: Sequence[_AnySequence], names: Sequence[str]) -> list[_AnySequence]:
    """Those of ``sequences`` that are called ``names``, in that order.

    Raises:
        EvaluationError: there is no sequence of such a name.
    """
    if isinstance(sequences, LazySequences) and all(sequences.has(name) for name in names):
        return [cast(_AnySequence, sequences.named(name)) for name in names]
    by_name = {sequence.name: sequence for sequence in sequences}
    for name in names:
        if name not in by_name:
            raise EvaluationError(f"Unknown sequence {name!r}.{did_you_mean(name, by_name)} Available: {', '.join(by_name)}.")
    return [by_name[name] for name in names]
