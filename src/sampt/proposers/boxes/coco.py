"""Detections as COCO has them: a list of results, or a file with images, annotations and categories.

https://cocodataset.org/#format-data: a box is left, top, width, height. Without a list of images their ids are the numbers of
frames. ``frame_id`` or ``frame_index`` of an image, as files of videos have it, counts from 0.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from sampt.errors import BackendError
from sampt.files.limits import MAX_BOX_BYTES, parse_json, read_bounded
from sampt.proposers.boxes.rows import BoxRows, FileBoxes

__all__ = ["read_coco"]


def read_coco(path: Path) -> FileBoxes:
    """The boxes of a JSON file.

    Raises:
        BackendError: an annotation has no box, or names no image.
        ValueError: it is not COCO's.
    """
    data = parse_json(read_bounded(path, MAX_BOX_BYTES, "detections"))
    rows = BoxRows(path, unit="annotation")
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        annotations, categories = data["annotations"], _read_categories(data.get("categories", []))
        images = _read_images(rows, data["images"]) if isinstance(data.get("images"), list) else None
    elif isinstance(data, list):
        annotations, categories, images = data, {}, None
    else:
        raise ValueError("it has no list of annotations")
    known: dict[Any, int] = {} if images is None else images
    for number, annotation in enumerate(annotations, 1):
        try:
            image_id = annotation["image_id"]
            if images is None and image_id not in known:
                known[image_id] = len(known)
                is_number = isinstance(image_id, int) and image_id >= 0
                rows.add_image(known[image_id], None if is_number else str(image_id), image_id if is_number else None)
            if annotation.get("iscrowd"):
                continue
            x, y, width, height = (float(v) for v in annotation["bbox"])
            label, score = categories.get(annotation.get("category_id")), annotation.get("score", 1.0)
            rows.add(known[image_id], (x, y, x + width, y + height), float(score), label, number)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            what = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
            raise BackendError(
                f"{path}, annotation {number}: no box can be read ({what}); expected image_id of an image and bbox of left, "
                "top, width, height."
            ) from error
    return rows.finish()


def _read_images(rows: BoxRows, images: list[Any]) -> dict[Any, int]:
    """Images by their ids."""
    known = {}
    for image, entry in enumerate(images):
        try:
            known[entry["id"]] = image
            name = PurePosixPath(str(entry["file_name"]).replace("\\", "/")).stem if "file_name" in entry else None
            frame = next((int(entry[key]) for key in ("frame_id", "frame_index") if key in entry), None)
            if frame is None and name is None:
                frame = int(entry["id"])
            elif frame is not None:
                rows.counts_from_0 = True
            rows.add_image(image, name, frame)
            if "width" in entry and "height" in entry:
                rows.sizes_hw[image] = int(entry["height"]), int(entry["width"])
        except (KeyError, TypeError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise BackendError(f"{rows.path}, image {image + 1} cannot be read ({what}); expected id and file_name.") from error
    return known


def _read_categories(categories: Any) -> dict[Any, str]:
    entries = categories if isinstance(categories, list) else []
    named = (entry for entry in entries if isinstance(entry, dict) and "id" in entry and str(entry.get("name", "")).strip())
    return {entry["id"]: str(entry["name"]).strip() for entry in named}
