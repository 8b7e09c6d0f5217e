"""Predicted masks on disk, whoever wrote them: where they lie, and what of them cannot be compared with the ground truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.label_maps import read_label_image
from sampt.files.listing import visible
from sampt.points.mask_images import VOID, MaskImage
from sampt.types import BoolArray, IntArray

__all__ = ["PredictedMasks", "find_predictions"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictedMasks:
    """The masks that a method predicted for one sequence, read as :mod:`sampt.points.mask_images` says.

    255 beside ids is void, which is background here; alone it is the object of a sequence of one.

    Attributes:
        sequence: its name.
        frame_names: of the sequence's frames, in order.
        object_ids: the objects that were given; None where objects were found, and may have any id.
        folder: where the masks lie.
        object_folders: object id -> its folder of black and white images; None where ``folder`` holds label maps.
    """

    sequence: str
    frame_names: tuple[str, ...]
    object_ids: tuple[int, ...] | None
    folder: Path
    object_folders: Mapping[int, Path] | None
    _describe: list[Path] = field(default_factory=list, compare=False, repr=False)

    def read(self, frame_idx: int, size_hw: tuple[int, int]) -> Callable[[int], BoolArray]:
        """Object id -> its (h, w) mask on a frame.

        Raises:
            EvaluationError: (also from the function returned) an image is missing, cannot be read, is not of ``size_hw``, or
                holds an id that was not given.
        """
        file_name = f"{self.frame_names[frame_idx]}.png"
        if self.object_folders is None:
            labels = self._label_map(self.folder / file_name, size_hw)
            return lambda object_id: np.asarray(labels == object_id)
        folders = self.object_folders
        return lambda object_id: np.asarray(self._image(folders[object_id] / file_name, size_hw).ids() > 0)

    def read_found(self, frame_idx: int, size_hw: tuple[int, int], max_id: int | None = None) -> dict[int, BoolArray]:
        """Object id -> its (h, w) mask, of those that have one on a frame, whatever was given; ids ascending.

        Raises:
            EvaluationError: an image is missing, cannot be read, or is not of ``size_hw``; or an id is above ``max_id``.
        """
        file_name = f"{self.frame_names[frame_idx]}.png"
        if self.object_folders is None:
            path = self.folder / file_name
            labels = self._image(path, size_hw).ids()
            found = {int(i): np.asarray(labels == i) for i in np.unique(labels) if i}
        else:
            path = self.folder
            masks = {i: self._image(f / file_name, size_hw).ids() > 0 for i, f in sorted(self.object_folders.items())}
            found = {i: np.asarray(mask) for i, mask in masks.items() if mask.any()}
        above = [i for i in found if max_id is not None and i > max_id]
        if above:
            raise EvaluationError(
                f"{path} holds the id {above[0]}; expected ids from 1 to {max_id}, the number of objects that may be found."
            )
        return found

    def _label_map(self, path: Path, size_hw: tuple[int, int]) -> IntArray:
        image = self._image(path, size_hw)
        labels, present = image.values, image.present
        if self.object_ids is None:
            return image.ids()
        if VOID not in self.object_ids:
            if present == [VOID] and len(self.object_ids) == 1:
                labels, present = np.where(labels == VOID, self.object_ids[0], 0), []
            elif image.void is not None:
                labels, present = image.ids(), [i for i in present if i != VOID]
        unknown = [i for i in present if i not in self.object_ids]
        if unknown:
            known = ", ".join(map(str, self.object_ids))
            raise EvaluationError(
                f"The predicted frame {path} holds the id {unknown[0]}; expected ids of {self.sequence}: {known}."
            )
        return labels

    def _image(self, path: Path, size_hw: tuple[int, int]) -> MaskImage:
        if not path.is_file():
            raise EvaluationError(
                f"The predicted frame {path} is missing; expected a label map for each frame of {self.sequence}."
                if self.object_folders is None
                else f"The predicted frame {path} is missing; expected a mask of each object for each frame of {self.sequence}."
            )
        image = read_label_image(path)
        h, w = image.values.shape
        if (h, w) != size_hw:
            raise EvaluationError(
                f"The predicted frame {path} is {w}x{h}; expected {size_hw[1]}x{size_hw[0]} as its annotation."
            )
        if image.notes and not self._describe:
            self._describe.append(path)
            _LOG.warning("The predicted frame %s: %s; others of %s alike.", path, "; ".join(image.notes), self.sequence)
        return image


def find_predictions(
    folder: Path, sequence: str, frame_names: Sequence[str], object_ids: Sequence[int] | None
) -> PredictedMasks:
    """Look how the masks lie in ``folder``: as label maps, or as one folder an object; there or in a folder ``masks``.

    ``object_ids`` is None where objects were found, and may have any id.

    Raises:
        EvaluationError: the folder is missing, holds neither, or lacks an object, or has one that was not given.
    """
    if not folder.is_dir():
        raise EvaluationError(f"The predictions of {sequence} are missing: {folder} is not a folder.")
    names, ids = tuple(frame_names), None if object_ids is None else tuple(object_ids)
    for location in (folder, folder / "masks"):
        if any(visible(location.glob("*.png"))):
            return PredictedMasks(sequence, names, ids, location, None)
        folders = {int(path.name): path for path in sorted(location.glob("*")) if path.name.isdecimal() and path.is_dir()}
        if folders:
            if ids is not None:
                _check_objects(folders, location, sequence, ids)
            return PredictedMasks(sequence, names, ids, location, folders)
    raise EvaluationError(
        f"{folder} holds no masks of {sequence}; expected label maps FRAME.png, or a folder OBJECT_ID of FRAME.png for each "
        "object."
    )


def _check_objects(folders: Mapping[int, Path], location: Path, sequence: str, object_ids: tuple[int, ...]) -> None:
    known = ", ".join(map(str, object_ids))
    unknown = sorted(set(folders) - set(object_ids))
    if unknown:
        raise EvaluationError(f"{folders[unknown[0]]} is of the object {unknown[0]}; expected ids of {sequence}: {known}.")
    lacking = sorted(set(object_ids) - set(folders))
    if lacking:
        raise EvaluationError(
            f"{location} has no folder of the object {lacking[0]}; expected one for each of {sequence}: {known}."
        )
