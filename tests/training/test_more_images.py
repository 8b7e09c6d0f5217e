"""Training images out of made-up clones, one for each format: the pixels of the objects, and what is left out."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.segmenter import more_images
from training.segmenter.clones import Clone, Repository
from training.segmenter.more_images import (
    Dataset,
    Sample,
    check_clones,
    load_datasets,
    main,
    make_dataset,
    read_caltech_animals,
    read_coco,
    read_coco_people,
    read_coco_subsets,
    read_endangered_animals,
    read_feral_cats,
    read_id_images,
    read_mask_images,
    read_yolo,
    write_sample,
)

GREY = np.full((40, 60, 3), 90, np.uint8)


def encode(pixels: NDArray[np.uint8], kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def git(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True, text=True).stdout


def make_repository(folder: Path, files: dict[str, bytes | str]) -> Repository:
    """A clone of these files; later changes of its work tree are not in the commit."""
    for name, contents in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "made")
    return Repository(folder.name.replace("+", "/"), git(folder, "rev-parse", "HEAD").strip(), ["."])


def make_clone(folder: Path, files: dict[str, bytes | str]) -> Clone:
    return Clone(folder, make_repository(folder, files))


def rectangle(x0: int, y0: int, x1: int, y1: int) -> list[int]:
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def coco_json(annotations: list[dict[str, object]], *names: str) -> str:
    images = [{"id": i, "file_name": name, "license": 4 + i, "width": 60, "height": 40} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": annotations})


def test_coco_polygons_small_over_large_with_a_hole_and_without_crowds(tmp_path: Path) -> None:
    small, large = rectangle(10, 10, 19, 19), rectangle(5, 5, 44, 34)
    hole = rectangle(30, 10, 39, 29)
    annotations: list[dict[str, object]] = [
        {"image_id": 0, "segmentation": [small]},
        {"image_id": 0, "segmentation": [large, hole], "iscrowd": 0},
        {"image_id": 0, "segmentation": {"counts": [1], "size": [40, 60]}, "iscrowd": 1},
        {"image_id": 1, "segmentation": [small]},
    ]
    jpeg = encode(GREY)
    files = {"a.json": coco_json(annotations, "x.jpg", "gone.jpg", "empty.jpg"), "i/x.jpg": jpeg, "i/empty.jpg": jpeg}
    (sample,) = read_coco(make_clone(tmp_path / "a+b", files), "a.json", "i")
    expected = np.zeros((40, 60), np.uint8)
    expected[5:35, 5:45] = 1
    expected[11:29, 31:39] = 0  # a polygon's border is drawn, that of a hole too
    expected[10:20, 10:20] = 2
    np.testing.assert_array_equal(sample.ids, expected)
    assert (sample.stem, sample.license_id, sample.jpeg) == ("x", 4, jpeg)


def test_no_coco_image_comes_twice(tmp_path: Path) -> None:
    table = coco_json([{"image_id": i, "segmentation": [rectangle(3, 3, 20, 20)]} for i in range(2)], "1.jpg", "2.jpg")
    none = coco_json([])
    tiny = {"tiny_coco/annotations/instances_train2017.json": table, "tiny_coco/annotations/instances_val2017.json": none}
    mini = {"annotations/instances_train2017.json": none, "annotations/instances_val2017.json": table}
    jpeg, row = encode(GREY), "0 0.1 0.1 0.9 0.1 0.9 0.9\n"
    clones = [
        make_clone(tmp_path / "a", {**tiny, "tiny_coco/train2017/1.jpg": jpeg}),
        make_clone(tmp_path / "b", {**mini, "val2017/1.jpg": jpeg, "val2017/2.jpg": jpeg}),
        make_clone(
            tmp_path / "c",
            {f"coco128-seg/images/train2017/{i}.jpg": jpeg for i in (2, 3)}
            | {f"coco128-seg/labels/train2017/{i}.txt": row for i in (2, 3)},
        ),
    ]
    assert [(s.stem, s.license_id) for s in read_coco_subsets(*clones)] == [("1", 4), ("2", 5), ("3", None)]


def test_small_people_are_left_out(tmp_path: Path) -> None:
    outline = [rectangle(10, 10, 19, 19)]
    areas = [(0, 23.9), (0, 24.0), (1, 23.9)]
    annotations: list[dict[str, object]] = [{"image_id": i, "segmentation": outline, "area": area} for i, area in areas]
    table, none = coco_json(annotations, "1.jpg", "2.jpg"), coco_json([])
    images = {f"data/coco/images/train2017/{i}.jpg": encode(GREY) for i in (1, 2)}
    one = make_clone(tmp_path / "a", {"data/coco/annotations/instances_train2017.json": table, **images})
    other = make_clone(tmp_path / "b", {"coco/annotations/instances_val2017.json": none})
    (sample,) = read_coco_people(one, other)
    assert (sample.stem, sample.ids.max()) == ("1", 1)


def test_a_photo_exported_twice_comes_once_under_its_name(tmp_path: Path) -> None:
    root, names = "dataset", ("000000000312_jpg.rf.aa.jpg", "000000000312_jpg.rf.bb.jpg", "tiger-84_jpg.rf.cc.jpg")
    table = coco_json([{"image_id": i, "segmentation": [rectangle(3, 3, 20, 20)]} for i in range(3)], *names)
    files: dict[str, bytes | str] = {f"{root}/train/{name}": encode(GREY) for name in names}
    files |= {f"{root}/{split}/_annotations.coco.json": coco_json([]) for split in ("test", "valid")}
    clone = make_clone(tmp_path / "a", {**files, f"{root}/train/_annotations.coco.json": table})
    found = list(read_endangered_animals(clone))
    assert [(sample.stem, sample.license_id) for sample in found] == [("000000000312", None), ("tiger-84", None)]


def test_kinds_that_number_their_images_alike_keep_apart_and_want_a_mask(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[3:9] = 255
    files: dict[str, bytes | str] = {f"data/images/{kind}/image_0002.jpg": encode(GREY) for kind in ("emu", "rhino")}
    files |= {f"data/masks/{kind}/mask_0002.png": encode(mask, "PNG") for kind in ("emu", "rhino")}
    found = list(read_caltech_animals(make_clone(tmp_path / "a", {**files, "data/images/emu/image_0003.jpg": encode(GREY)})))
    assert [sample.stem for sample in found] == ["emu_0002", "rhino_0002"]
    assert np.unique(np.argwhere(found[0].ids)[:, 0]).tolist() == list(range(3, 9))


def test_index_images_give_their_values_not_their_colors(tmp_path: Path) -> None:
    ids = np.zeros((40, 60), np.uint8)
    ids[5:10], ids[20:30] = 1, 2
    palette, file = Image.fromarray(ids), io.BytesIO()
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    palette.save(file, "PNG")
    files: dict[str, bytes | str] = {f"i/{name}.png": encode(GREY, "PNG") for name in "xy"}
    clone = make_clone(tmp_path / "a", {**files, "m/x_mask.png": file.getvalue(), "m/y_mask.png": encode(GREY, "PNG")})
    samples = read_id_images(clone, "i/*.png", "m/*_mask.png")
    np.testing.assert_array_equal(next(samples).ids, ids)
    with pytest.raises(SystemExit, match=r"m/y_mask\.png .* mode RGB; expected L or P"):
        next(samples)


def test_yolo_polygons_are_fractions_and_boxes_are_left_out(tmp_path: Path) -> None:
    rows = "0 0.5 0.5 0.2 0.2\n3 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75\n"
    files: dict[str, bytes | str] = {
        "d/train/images/a (1).png": encode(GREY, "PNG"),
        "d/train/labels/a (1).txt": rows,
        "d/train/images/box.png": encode(GREY, "PNG"),
        "d/train/labels/box.txt": "0 0.5 0.5 0.2 0.2\n",
        "d/train/images/bare.png": encode(GREY, "PNG"),
    }
    clone = make_clone(tmp_path / "a", files)
    ((path, sample),) = read_yolo(clone, clone.list_files("d/train/images/*"))
    expected = np.zeros((40, 60), np.uint8)
    expected[10:31, 15:31] = 1
    np.testing.assert_array_equal(sample.ids, expected)
    assert (path, sample.jpeg) == ("d/train/images/a (1).png", None)


def test_one_augmented_copy_of_a_cat_without_its_salt(tmp_path: Path) -> None:
    root, row = "feral-cat-segmentation.v1i.yolov8", "0 0.1 0.1 0.9 0.1 0.9 0.9\n"
    salted = GREY.copy()
    salted[20, 30] = 255
    names = {"train/images_1st/c.rf.2": salted, "train/images_2nd/c.rf.1": GREY, "valid/images/v.rf.1": GREY}
    files: dict[str, bytes | str] = {f"{root}/{name}.jpg": encode(image, "PNG") for name, image in names.items()}
    files |= {f"{root}/{name.replace('images', 'labels')}.txt": row for name in names}
    cat, valid = read_feral_cats(make_clone(tmp_path / "a", files))
    assert (cat.stem, valid.stem) == ("c", "v")
    np.testing.assert_array_equal(cat.image, GREY)
    assert cat.jpeg is None
    assert valid.jpeg is not None


def test_mask_images_are_cut_at_127_and_have_the_size_of_the_image(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:10], mask[10:20], mask[20:30] = 127, 128, 255
    clone = make_clone(tmp_path / "a", {"i/x.jpg": encode(GREY), "m/mask_x.png": encode(mask, "PNG")})
    (sample,) = read_mask_images(clone, "i/*.jpg", "m/mask_*.png")
    assert np.unique(np.argwhere(sample.ids)[:, 0]).tolist() == list(range(10, 30))
    clone = make_clone(tmp_path / "b", {"i/x.jpg": encode(GREY), "m/mask_x.png": encode(mask[1:], "PNG")})
    with pytest.raises(SystemExit, match=r"\(40, 60\).*\(39, 60\)"):
        next(read_mask_images(clone, "i/*.jpg", "m/mask_*.png"))
    with pytest.raises(SystemExit, match=r"lacks the file n/x\.png"):
        next(read_mask_images(clone, "i/*.jpg", "n/*.png"))


def test_what_is_written_is_reduced_without_specks_and_else_as_it_came(tmp_path: Path) -> None:
    ids = np.zeros((40, 60), np.uint8)
    ids[0, :23], ids[5, :24], ids[10:20] = 1, 2, 3
    jpeg = encode(GREY)
    assert write_sample(tmp_path, Sample("a (1)", GREY, ids, jpeg)) == 2
    assert (tmp_path / "a_1_.jpg").read_bytes() == jpeg
    written = np.array(Image.open(tmp_path / "a_1_.png"))
    assert np.bincount(written.ravel()).tolist() == [40 * 60 - 24 - 600, 24, 600]
    with pytest.raises(SystemExit, match=r"two images named a_1_\.jpg"):
        write_sample(tmp_path, Sample("a 1 ", GREY, ids, jpeg))
    assert write_sample(tmp_path, Sample("none", GREY, np.zeros_like(ids), jpeg)) == 0
    assert not (tmp_path / "none.jpg").exists()
    large = np.zeros((1000, 2048, 3), np.uint8)
    write_sample(tmp_path, Sample("large", large, np.ones((1000, 2048), np.uint8), encode(large)))
    for name in ("large.jpg", "large.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (1024, 500)


def test_a_folder_is_made_from_the_commit_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, bytes | str] = {"i/x.jpg": encode(GREY), "m/x.png": encode(np.full((40, 60), 255, np.uint8), "PNG")}
    repository = make_repository(tmp_path / "clones" / "me+masks", files)
    (tmp_path / "clones" / "me+masks" / "i" / "x.jpg").unlink()
    dataset = Dataset("made", (repository,), "i + m", "things", "none stated", "One id.")
    monkeypatch.setitem(more_images.READERS, "made", lambda clone: read_mask_images(clone, "i/*", "m/*.png"))
    assert make_dataset(dataset, tmp_path / "clones", tmp_path / "out").endswith("made: 1 images, 1 objects")
    assert sorted(path.name for path in (tmp_path / "out" / "made").iterdir()) == ["SOURCE.txt", "x.jpg", "x.png"]
    source = (tmp_path / "out" / "made" / "SOURCE.txt").read_text().splitlines()
    assert source[0] == f"From: github.com/me/masks at commit {repository.commit}"
    assert source[3] == "Licence: none stated"
    assert make_dataset(dataset, tmp_path / "none", tmp_path / "out").endswith("complete already")
    again = dataclasses.replace(dataset, name="again", distinct_from=("made",))
    monkeypatch.setitem(more_images.READERS, "again", more_images.READERS["made"])
    assert make_dataset(again, tmp_path / "clones", tmp_path / "out").endswith("again: 0 images, 0 objects")
    (tmp_path / "out" / "made" / "SOURCE.txt").write_text("From: elsewhere\n")
    with pytest.raises(SystemExit, match="something else"):
        make_dataset(dataset, tmp_path / "clones", tmp_path / "out")


def test_missing_clones_are_named_with_their_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"lacks 15 of 15 clones") as caught:
        main(["--clones", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "\n" not in str(caught.value)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 15
    assert f"git clone https://github.com/gmguarino/PennFudan '{tmp_path}/gmguarino+PennFudan'" in lines[-3]
    assert not (tmp_path / "out").exists()


def test_a_clone_without_the_commit_is_missing(tmp_path: Path) -> None:
    there = make_repository(tmp_path / "a+b", {"x": "y"})
    check_clones(tmp_path, [there])
    with pytest.raises(SystemExit, match="lacks 1 of 2"):
        check_clones(tmp_path, [there, Repository("a/b", "0" * 40, ["."])])


def test_every_folder_names_its_license(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--licenses"])
    printed = capsys.readouterr().out
    names = [dataset.name for dataset in load_datasets()]
    assert names == list(more_images.READERS)
    for k, dataset in enumerate(load_datasets()):
        assert set(dataset.distinct_from) <= set(names[:k])  # folders are made in this order
    assert [name for name in printed.splitlines() if name in names] == names
    assert printed.count("\nLicence: ") == len(names)
    assert "authors state NO licence" in printed
