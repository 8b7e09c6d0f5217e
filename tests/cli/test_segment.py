"""``sampt segment`` on good input, also of the unusual kind: which files it makes and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.cli.segment import _choose_name
from sampt.runs.outputs import DEFAULT_FORMATS, output_name


def mask_sizes(output: Path) -> set[tuple[int, int]]:
    """(width, height) of all label maps."""
    return {np.asarray(Image.open(path)).shape[::-1] for path in (output / "masks").iterdir()}


def test_summary_tells_what_was_done(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    outcome = call("segment", media.path("clip.mp4"), *kit.click, *kit.fast, "-o", output)
    assert (outcome.status, outcome.out) == (0, "")
    lines = outcome.err.splitlines()
    assert lines[0].startswith("6 frames, 1 object in ")
    assert "frames/s, peak memory " in lines[0]
    assert lines[1].startswith("  object 1: mask on 6 of 6 frames, mean predicted IoU ")
    assert lines[2] == (
        "licences: tracker nano: code Apache-2.0, weights Apache-2.0; segmenter nano: code Apache-2.0, weights Apache-2.0"
    )
    assert lines[3] == f"results in {output}: masks, masks.json, tracks.npz, overlay.mp4, sheet.png"
    assert [line[:5] for line in lines[4:]] == ["next:", "     "]  # tests/cli/test_next_commands.py
    assert {p.name for p in output.iterdir()} == {"run.json", *map(output_name, DEFAULT_FORMATS)}


def test_quiet_prints_nothing_and_the_folder_has_the_videos_name(
    media: Any, kit: Any, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("segment", media.path("frames/"), *kit.click, *kit.fast, "--quiet", "--formats", "png,npz")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert {p.name for p in (tmp_path / "sampt-output" / "frames").iterdir()} == {"masks", "tracks.npz", "run.json"}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/clip.mp4", "clip"),
        ("a/frames", "frames"),
        ("a/frames/", "frames"),
        ("a/b/*.png", "b"),
        ("a/*/c/*.png", "a"),
        ("a/v1.2", "v1.2"),
    ],
)
def test_name_of_the_default_folder(source: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "v1.2").mkdir(parents=True)
    assert _choose_name(source) == name


def test_the_same_clicks_in_another_form_are_the_same_run(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    clip, output, fast = media.path("clip.mp4"), tmp_path / "out", [*kit.fast, "--formats", "coco"]
    clicks = [{"frame": 0, "x": 25, "y": 32}, {"frame": 0, "x": 75, "y": 30, "sign": "-"}]
    as_json = media.json("clicks.json", {"objects": [{"id": 1, "clicks": clicks}]})
    as_text = media.text("clicks.txt", "1\n0;25,32 75,30\n")
    forms = [["--points", "1,0,25,32", "--points", "1,0,75,30,-"], ["--points", "1,0,25,32,+ 1,0,75,30,-"]]
    forms += [["--queries", as_json], ["--queries", as_text]]
    outcomes = [call("segment", clip, *form, *fast, "-o", output) for form in forms]
    assert [o.status for o in outcomes] == [0] * 4
    assert ["Already complete" in o.err for o in outcomes] == [False, True, True, True]


def test_every_id_of_a_mask_is_an_object_and_overlapping_gives_a_folder_each(
    media: Any, kit: Any, call: Any, tmp_path: Path
) -> None:
    mask = media.palette_png("third.png", media.labels(3) * 7)
    options = ["--mask", mask, "--mask-frame", "3", "--overlapping", "--protocol", "vos", "--formats", "png", *kit.fast]
    assert call("segment", media.path("clip.mp4"), *options, "-o", tmp_path, "--quiet").status == 0
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["14", "7"]
    given = np.asarray(Image.open(tmp_path / "masks" / "7" / "00003.png"))
    np.testing.assert_array_equal(given, media.scene.masks(3)[0])


def test_several_masks_each_on_its_frame_and_a_box(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    one, two = (media.labels(0) == 1), (media.labels(4) == 2)
    masks = [f"{media.palette_png('one.png', one)}@0", f"{media.palette_png('two.png', two * 2)}@4"]
    rows, columns = np.nonzero(media.labels(2) == 2)
    box = f"2,2,{columns.min()},{rows.min()},{columns.max()},{rows.max()}"
    options = ["--mask", masks[0], "--mask", masks[1], "--box", box, "--formats", "png", *kit.fast]
    assert call("segment", media.path("clip.mp4"), *options, "-o", tmp_path / "out", "--quiet").status == 0
    labels = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out" / "masks").iterdir())]
    np.testing.assert_array_equal(labels[0] == 1, one)
    np.testing.assert_array_equal(labels[4] == 2, two)
    inputs = json.loads((tmp_path / "out" / "run.json").read_text())["inputs"]
    assert [(m["object"], m["frame"]) for m in inputs["masks"]] == [(1, 0), (2, 4)]
    assert [(b["object"], b["frame"], len(b["box_xyxy"])) for b in inputs["boxes"]] == [(2, 2, 4)]


def test_a_box_alone_finds_its_object(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    square = media.labels(1) == 1
    rows, columns = np.nonzero(square)
    box = f"1,1,{columns.min()},{rows.min()},{columns.max()},{rows.max()}"
    options = ["--box", box, "--start", "1", "--stop", "3", "--formats", "png", *kit.fast]
    assert call("segment", media.path("clip.mp4"), *options, "-o", tmp_path / "out", "--quiet").status == 0
    found = np.asarray(Image.open(tmp_path / "out" / "masks" / "00001.png")) > 0
    assert (found & square).sum() / (found | square).sum() > 0.8


def test_pattern_range_and_stride(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    options = ["--points", "1,5,25,32", "--start", "1", "--stride", "2", "--formats", "png", *kit.fast]
    assert call("segment", media.path("frames/0000[0-9].png"), *options, "-o", tmp_path, "--quiet").status == 0
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["00001.png", "00003.png", "00005.png"]


def test_mask_goes_to_the_first_frame_worked_on(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    mask = media.palette_png("second.png", media.labels(2))
    options = ["--mask", mask, "--start", "2", "--stop", "3", "--formats", "png", *kit.fast]
    assert call("segment", media.path("clip.mp4"), *options, "-o", tmp_path, "--quiet").status == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "masks" / "00002.png")), media.labels(2))


def test_longest_side_changes_the_work_but_not_the_size_of_masks(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    arguments = ["segment", media.path("clip.mp4"), *kit.click, *kit.fast, "--longest-side", "48", "-o", tmp_path]
    assert call(*arguments, "--formats", "png", "--quiet").status == 0
    assert mask_sizes(tmp_path) == {(96, 64)}


def test_clip_of_one_frame(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    folder = media.folder("single", media.frames[:1])
    outcome = call("segment", folder, *kit.click, *kit.fast, "-o", tmp_path / "out")
    assert outcome.status == 0
    assert outcome.err.startswith("1 frame, 1 object in ")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"run.json", *map(output_name, DEFAULT_FORMATS)}


@pytest.mark.parametrize("kind", ["16-bit", "grey", "cmyk", "palette", "alpha", "rotated"])
def test_unusual_images_work(kind: str, media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    for i, frame in enumerate(media.frames[:2]):
        image = Image.fromarray(frame)
        if kind == "16-bit":
            Image.fromarray(frame.mean(-1).astype(np.uint16) * 257).save(folder / f"{i}.png")
        elif kind == "cmyk":
            image.convert("CMYK").save(folder / f"{i}.jpg")
        elif kind == "rotated":  # stored lying on its side; the tag says how to turn it upright
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(folder / f"{i}.jpg", exif=exif)
        else:
            image.convert({"grey": "L", "palette": "P", "alpha": "RGBA"}[kind]).save(folder / f"{i}.png")
    output = tmp_path / "out"
    outcome = call("segment", folder, *kit.click, *kit.fast, "--formats", "png", "-o", output, "--quiet")
    assert (outcome.status, outcome.err) == (0, "")
    assert mask_sizes(output) == {(96, 64)}
    assert json.loads((output / "run.json").read_text())["num_frames"] == 2
