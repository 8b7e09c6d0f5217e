"""Make more folders of training images from clones of public repositories: photos, index-PNG masks, SOURCE.txt.

    python -m training.segmenter.more_images --clones FOLDER --out training-runs/extra
    python -m training.segmenter.more_images --licenses

FOLDER holds plain clones named OWNER+NAME. Where one is missing, the ``git clone`` commands are printed; nothing is downloaded.
Files are read from git's objects at the commits in more_images.toml, whatever is checked out. Every folder is written beside
its place and renamed when it is complete; complete ones are left as they are. They are made in the order of more_images.toml,
as some leave out what others before them have.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sampt.files.atomic import make_partial_path
from training.segmenter.clones import Bytes, Clone, Repository, is_clone

MAX_SIDE = 1024  # pixels
MAX_OBJECTS = 250  # an index PNG holds 255
MIN_OBJECT_PIXELS, MIN_OBJECT_FRACTION = 24, 0.0002
JPEG_QUALITY = 93

MASK_NOTE = (
    "8-bit index PNG, 0 background. Images with a side over 1024 were reduced to 1024; specks under 24 pixels or 0.02 % of the "
    "image were dropped."
)

Polygon = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """An image and its objects.

    Attributes:
        stem: name of its files.
        image: (h, w, 3) RGB.
        ids: (h, w) the object at every pixel, 0: background.
        jpeg: the file that the image came in, where it is a JPEG and was not changed: it is written as it is.
        license_id: of the image, as COCO counts licences; None: its source does not say.
    """

    stem: str
    image: Bytes
    ids: Bytes
    jpeg: bytes | None = None
    license_id: int | None = None


@dataclass(frozen=True)
class Dataset:
    """A folder to make: where from, and what is known of it.

    Attributes:
        name: of the folder.
        repositories: whose clones its reader takes, in this order.
        part: which of their files.
        kinds: what the objects are.
        license: what the repository and the makers say, and what they do not say.
        masks: how the masks came about.
        distinct_from: folders that come before it; images of a name that one of them has are left out.
    """

    name: str
    repositories: tuple[Repository, ...]
    part: str
    kinds: str
    license: str
    masks: str
    distinct_from: Sequence[str] = ()

    @property
    def origin(self) -> str:
        return "From: " + "; ".join(f"github.com/{item.name} at commit {item.commit}" for item in self.repositories)


def draw_polygons(size_hw: tuple[int, int], objects: Iterable[Sequence[Polygon]]) -> Bytes:
    """Ids (h, w) of objects given as polygons (n, 2) in pixels, x before y, from the largest to the smallest.

    A small object lies over a large one. Where polygons of one object overlap an even number of times there is a hole.
    """
    ids = np.zeros(size_hw, np.uint8)
    ordered = sorted(objects, key=lambda polygons: -sum(abs(cv2.contourArea(p.astype(np.float32))) for p in polygons))
    for object_id, polygons in enumerate(ordered[:MAX_OBJECTS], 1):
        cv2.fillPoly(ids, [np.round(polygon).astype(np.int32) for polygon in polygons], object_id)
    return ids


def make_sample(clone: Clone, path: str, ids: Bytes, image: Bytes | None = None) -> Sample:
    """The sample of an image file; ``image``: its pixels, where they are read already."""
    image = clone.read_image(path) if image is None else image
    if image.shape[:2] != ids.shape:
        raise SystemExit(f"{path} of {clone.folder} has {image.shape[:2]} pixels, its mask {ids.shape}; expected the same.")
    name = PurePosixPath(path)
    jpeg = clone.read(path) if name.suffix.lower() in (".jpg", ".jpeg") else None
    return Sample(name.stem, image, ids, jpeg)


def read_mask_images(clone: Clone, images: str, masks: str) -> Iterator[Sample]:
    """Images that match a pattern with one object each: where the mask, ``masks`` with the stem for ``*``, is over 127."""
    for path in clone.list_files(images):
        mask = clone.read_image(masks.replace("*", PurePosixPath(path).stem), "L")
        yield make_sample(clone, path, (mask > 127).astype(np.uint8))


def read_yolo(clone: Clone, images: Iterable[str]) -> Iterator[tuple[str, Sample]]:
    """Paths and samples of images with polygons in a YOLO text file, whose folder is ``labels`` for ``images``.

    A row is the class and a polygon as fractions of width and height. Rows of boxes are left out, and images without polygons.
    """
    listed = set(clone.list_files("*/*/*.txt") + clone.list_files("*/*/*/*.txt"))
    for path in images:
        labels = re.sub(r"/images([^/]*)/", r"/labels\1/", str(PurePosixPath(path).with_suffix(".txt")))
        if labels not in listed:
            continue
        rows = [[float(value) for value in row.split()[1:]] for row in clone.read(labels).decode().splitlines()]
        polygons = [np.array(row).reshape(-1, 2) for row in rows if len(row) >= 6]
        if polygons:
            image = clone.read_image(path)
            height, width = image.shape[:2]
            ids = draw_polygons((height, width), [[polygon * [width, height]] for polygon in polygons])
            yield path, make_sample(clone, path, ids, image)


def read_id_images(clone: Clone, images: str, masks: str) -> Iterator[Sample]:
    """Images that match a pattern, and index images, ``masks`` with the stem for ``*``, of the object at every pixel."""
    for path in clone.list_files(images):
        yield make_sample(clone, path, clone.read_ids(masks.replace("*", PurePosixPath(path).stem)))


def read_coco(clone: Clone, annotations: str, images: str, min_fraction: float = 0.0) -> Iterator[Sample]:
    """Images of a folder with their polygons in a COCO JSON file; crowds, which are run lengths, are left out.

    Images that the folder lacks are skipped, and those without polygons; objects of less than ``min_fraction`` of their image,
    by the file, are left out.
    """
    table = json.loads(clone.read(annotations))
    listed = set(clone.list_files(f"{images}/*"))
    objects: dict[int, list[list[Polygon]]] = defaultdict(list)
    min_areas = {row["id"]: min_fraction * row["width"] * row["height"] for row in table["images"]} if min_fraction else {}
    for row in table["annotations"]:
        parts = row.get("segmentation")
        large = row.get("area", 0.0) >= min_areas.get(row["image_id"], 0.0)
        if isinstance(parts, list) and parts and not row.get("iscrowd") and large:
            objects[row["image_id"]].append([np.asarray(part, float).reshape(-1, 2) for part in parts])
    for row in table["images"]:
        path = f"{images}/{row['file_name']}"
        if path in listed and objects[row["id"]]:
            image = clone.read_image(path)
            ids = draw_polygons((image.shape[0], image.shape[1]), objects[row["id"]])
            yield dataclasses.replace(make_sample(clone, path, ids, image), license_id=row.get("license"))


def read_coco_subsets(tiny: Clone, mini: Clone, coco128: Clone) -> Iterator[Sample]:
    """The images of three subsets of COCO, each image from the first that has it."""
    seen = set()
    for clone, root in ((tiny, "tiny_coco/"), (mini, "")):
        for split in ("train2017", "val2017"):
            for sample in read_coco(clone, f"{root}annotations/instances_{split}.json", root + split):
                if sample.stem not in seen:
                    seen.add(sample.stem)
                    yield sample
    for _, sample in read_yolo(coco128, coco128.list_files("coco128-seg/images/train2017/*.jpg")):
        if sample.stem not in seen:
            yield sample


def read_coco_more(tiny: Clone, other: Clone) -> Iterator[Sample]:
    """The training and validation images of two more subsets of COCO; no image of one is in the other."""
    for clone, root in ((tiny, ""), (other, "images/")):
        for split in ("train2017", "val2017"):
            yield from read_coco(clone, f"annotations/instances_{split}.json", root + split)


def read_coco_street(clone: Clone) -> Iterator[Sample]:
    for split in ("train2017", "val2017"):
        yield from read_coco(clone, f"data/annotations/instances_{split}.json", "data/images")


def read_coco_people(one: Clone, other: Clone) -> Iterator[Sample]:
    """People of a hundredth of the image and more: in the crowd nobody knows what a click means."""
    yield from read_coco(one, "data/coco/annotations/instances_train2017.json", "data/coco/images/train2017", 0.01)
    yield from read_coco(other, "coco/annotations/instances_val2017.json", "coco/images/val2017", 0.01)


def read_feral_cats(clone: Clone) -> Iterator[Sample]:
    """One of the augmented copies of every photo, the first by name; those for training have salt and pepper, and a median."""
    copies: dict[str, str] = {}
    for path in clone.list_files("feral-cat-segmentation.v1i.yolov8/*/images*/*.jpg"):
        copies.setdefault(PurePosixPath(path).name.split(".rf.")[0], path)
    for path, sample in read_yolo(clone, sorted(copies.values())):
        sample = dataclasses.replace(sample, stem=sample.stem.split(".rf.")[0])
        if "/train/" in path:
            sample = dataclasses.replace(sample, image=np.asarray(cv2.medianBlur(sample.image, 3), np.uint8), jpeg=None)
        yield sample


def read_endangered_animals(clone: Clone) -> Iterator[Sample]:
    """All three parts; of the few photos that come more than once, the first by name. Photos of COCO keep their name there."""
    seen = set()
    for split in ("test", "train", "valid"):
        for sample in read_coco(clone, f"dataset/{split}/_annotations.coco.json", f"dataset/{split}"):
            stem = sample.stem.split(".rf.")[0].removesuffix("_jpg")
            if stem not in seen:
                seen.add(stem)
                yield dataclasses.replace(sample, stem=stem, license_id=None)


def read_caltech_animals(clone: Clone) -> Iterator[Sample]:
    """Four kinds of Caltech 101, which number their images alike: the kind is put before the number."""
    listed = set(clone.paths)
    for path in clone.list_files("data/images/*/image_*.jpg"):
        kind, number = PurePosixPath(path).parent.name, PurePosixPath(path).stem.removeprefix("image_")
        mask = f"data/masks/{kind}/mask_{number}.png"
        if mask in listed:
            sample = make_sample(clone, path, (clone.read_image(mask, "L") > 127).astype(np.uint8))
            yield dataclasses.replace(sample, stem=f"{kind}_{number}")


def read_butterflies(clone: Clone) -> Iterator[Sample]:
    """Both splits, whose names overlap: the split is put before the name."""
    for split in ("train", "test"):
        for _, sample in read_yolo(clone, clone.list_files(f"datasets/{split}/images/*")):
            yield dataclasses.replace(sample, stem=f"{split}_{sample.stem}")


def read_ecssd(clone: Clone) -> Iterator[Sample]:
    return read_mask_images(clone, "data/images/*", "data/ground_truth_mask/*.png")


def read_cats_ardamavi(clone: Clone) -> Iterator[Sample]:
    return read_mask_images(clone, "Data/Train_Data/input/*.jpg", "Data/Train_Data/mask/mask_*.jpg")


def read_pennfudan(clone: Clone) -> Iterator[Sample]:
    return read_id_images(clone, "data/PennFudanPed/PNGImages/*.png", "data/PennFudanPed/PedMasks/*_mask.png")


READERS: dict[str, Callable[..., Iterator[Sample]]] = {
    "coco_subsets": read_coco_subsets,
    "coco_more": read_coco_more,
    "coco_street": read_coco_street,
    "coco_people": read_coco_people,
    "ecssd": read_ecssd,
    "feral_cats": read_feral_cats,
    "butterflies": read_butterflies,
    "cats_ardamavi": read_cats_ardamavi,
    "pennfudan": read_pennfudan,
    "endangered_animals": read_endangered_animals,
    "caltech_animals": read_caltech_animals,
}


def load_datasets() -> list[Dataset]:
    """What ``more_images.toml`` says."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    repositories = {name: tuple(Repository(**row) for row in entry.pop("repositories")) for name, entry in table.items()}
    return [Dataset(name, repositories[name], **entry) for name, entry in table.items()]


def drop_specks(ids: Bytes) -> Bytes:
    """``ids`` without objects of next to no pixels, numbered anew from 1."""
    min_pixels = max(MIN_OBJECT_PIXELS, MIN_OBJECT_FRACTION * ids.size)
    numbers = np.zeros(256, np.uint8)
    kept = [i for i, count in enumerate(np.bincount(ids.ravel())) if i and count >= min_pixels]
    numbers[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(numbers[ids], np.uint8)


def write_sample(folder: Path, sample: Sample) -> int:
    """Write STEM.jpg and STEM.png, reduced to :data:`MAX_SIDE`; number of objects, with 0 nothing is written.

    Raises:
        SystemExit: an image of this name was written before.
    """
    image, ids, jpeg = sample.image, sample.ids, sample.jpeg
    height, width = ids.shape
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        size_wh = (round(width * scale), round(height * scale))
        image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        ids, jpeg = np.asarray(cv2.resize(ids, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8), None
    ids = drop_specks(ids)
    if not ids.any():
        return 0
    path = folder / (re.sub(r"[^A-Za-z0-9_-]+", "_", sample.stem) + ".jpg")
    if path.exists():
        raise SystemExit(f"{folder} has two images named {path.name}; expected different names: name one after its folder.")
    if jpeg is None:
        Image.fromarray(image).save(path, quality=JPEG_QUALITY)
    else:
        path.write_bytes(jpeg)
    Image.fromarray(ids).save(path.with_suffix(".png"))
    return int(ids.max())


def make_dataset(dataset: Dataset, clones: Path, out: Path) -> str:
    """Make the folder of a dataset in ``out`` from the folder of clones; one line to tell of it.

    Raises:
        SystemExit: something else lies in its place, or a clone is damaged.
    """
    folder = out / dataset.name
    source = folder / "SOURCE.txt"
    if source.exists() and source.read_text(encoding="utf-8").startswith(dataset.origin + "\n"):
        return f"{folder}: complete already"
    if folder.exists():
        raise SystemExit(f"{folder} holds something else than {dataset.origin[6:]}; remove it, or choose another --out.")
    partial = make_partial_path(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    counts: list[int] = []
    license_ids: dict[str, int | None] = {}
    opened = [Clone(clones / item.folder_name, item) for item in dataset.repositories]
    taken = {path.stem for name in dataset.distinct_from for path in (out / name).glob("*.jpg")}
    for sample in READERS[dataset.name](*opened):
        if sample.stem not in taken and (count := write_sample(partial, sample)):
            counts.append(count)
            license_ids[sample.stem] = sample.license_id
    if any(license_ids.values()):
        (partial / "licenses.json").write_text(json.dumps(license_ids, indent=0, sort_keys=True), encoding="utf-8")
    contents = f"{len(counts)} images, {sum(counts)} objects"
    lines = [dataset.origin, f"Part: {dataset.part}", f"How many: {contents} ({dataset.kinds})"]
    lines += [f"Licence: {dataset.license}", f"Masks: {dataset.masks} {MASK_NOTE}", ""]
    (partial / source.name).write_text("\n".join(lines), encoding="utf-8")
    partial.rename(folder)
    return f"{folder}: {contents}"


def check_clones(folder: Path, repositories: Sequence[Repository]) -> None:
    """Print the commands for clones that ``folder`` lacks.

    Raises:
        SystemExit: some are missing, or lack the commit.
    """
    missing = [item for item in repositories if not is_clone(folder / item.folder_name, item.commit)]
    for item in missing:
        print(f"git clone https://github.com/{item.name} '{folder / item.folder_name}'  # commit {item.commit}")
    if missing:
        number = f"{len(missing)} of {len(repositories)}"
        raise SystemExit(f"{folder} lacks {number} clones at the commits named; run the commands above.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, help="folder of clones, each named OWNER+NAME")
    parser.add_argument("--out", type=Path, help="where the folders are made")
    parser.add_argument("--licenses", action="store_true", help="print the licence of every folder, and make none")
    args = parser.parse_args(arguments)
    datasets = load_datasets()
    if args.licenses:
        for dataset in datasets:
            print(dataset.name, dataset.origin, f"Licence: {dataset.license}", "", sep="\n")
        return
    if args.clones is None or args.out is None:
        parser.error("expected --clones FOLDER --out FOLDER, or --licenses")
    check_clones(args.clones, [item for dataset in datasets for item in dataset.repositories])
    for dataset in datasets:
        print(make_dataset(dataset, args.clones, args.out), flush=True)


if __name__ == "__main__":
    main()
