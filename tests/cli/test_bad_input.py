"""Wrong input of every kind: status 2, one line that says what was got and what to do, nothing that looks like a result."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sampt.runs.outputs import DEFAULT_FORMATS, output_name

Arguments = Callable[[Any], list[str]]
"""From the shared files to the arguments of ``sampt segment``, without the output folder."""

MASK_ADVICE = "expected a palette or grey PNG of object ids"
TEXT_FORM = "expected the number of positive points on the first line"


def video(make: Callable[[Any], str]) -> Arguments:
    """A bad video with a good click."""
    return lambda m: [make(m), "--points", "1,0,25,32"]


def on_clip(*options: str) -> Arguments:
    """The good clip with a good click and other options."""
    return lambda m: [m.path("clip.mp4"), "--points", "1,0,25,32", *options]


def points(*clicks: str) -> Arguments:
    return lambda m: [m.path("clip.mp4"), *(a for click in clicks for a in ("--points", click))]


def queries(make: Callable[[Any], str]) -> Arguments:
    return lambda m: [m.path("clip.mp4"), "--queries", make(m)]


def objects(*items: object) -> Arguments:
    return queries(lambda m: m.json(f"queries-{abs(hash(repr(items)))}.json", {"objects": items}))


def mask(make: Callable[[Any], str]) -> Arguments:
    return lambda m: [m.path("clip.mp4"), "--mask", make(m)]


def _empty_folder(m: Any) -> str:
    return m.folder("empty", [])


def _text_folder(m: Any) -> str:
    m.folder("texts", [])
    m.text("texts/notes.txt", "nothing")
    return m.path("texts")


def _folder_of_folders(m: Any) -> str:
    m.folder("outer", [])
    m.folder("outer/inner", m.frames[:2])
    return m.path("outer")


def _mixed_sizes(m: Any) -> str:
    return m.folder("mixed", [m.frames[0], m.frames[1][:50]])


def _broken_image(m: Any) -> str:
    folder = Path(m.folder("broken", m.frames))
    whole = (folder / "00003.png").read_bytes()
    (folder / "00003.png").write_bytes(whole[: len(whole) // 2])
    return str(folder)


def _same_stems(m: Any) -> str:
    folder = Path(m.folder("stems", m.frames[:2]))
    Image.fromarray(m.frames[0]).save(folder / "00000.jpg")
    return str(folder)


def _cut(m: Any, fraction: float, name: str) -> str:
    whole = (m.root / "clip.mp4").read_bytes()
    return m.data(name, whole[: int(len(whole) * fraction)])


def _without_index(m: Any) -> str:
    """An MP4 whose index, which usually comes last, is missing."""
    with av.open(m.path("headless.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width = m.frames.shape[1:3]
        for frame in m.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    whole = (m.root / "headless.mp4").read_bytes()
    return m.data("headless.mp4", whole[: whole.index(b"moov") - 4])


def _image_mask(m: Any) -> str:
    Image.fromarray(m.frames[0]).save(m.path("image.png"))
    return m.path("image.png")


def _grey_image_mask(m: Any) -> str:
    ramp = np.arange(64 * 96, dtype=np.int64).reshape(64, 96) % 256
    Image.fromarray(ramp.astype(np.uint8)).save(m.path("grey.png"))
    return m.path("grey.png")


def _big_id_mask(m: Any) -> str:
    labels = np.zeros((64, 96), np.uint16)
    labels[20:40, 20:40] = 300
    Image.fromarray(labels).save(m.path("id300.png"))
    return m.path("id300.png")


GOOD_CLICK = {"frame": 0, "x": 25, "y": 32}
CASES: dict[str, tuple[Arguments, list[str]]] = {
    # the video
    "missing video": (video(lambda m: m.path("clop.mp4")), ["no file or folder", "clop.mp4", "Did you mean 'clip.mp4'"]),
    "missing parent": (video(lambda m: m.path("no/clip.mp4")), ["There is no file or folder", "does not exist either"]),
    "empty path": (video(lambda m: ""), ["path of the video is empty", "Give a video file"]),
    "empty file": (video(lambda m: m.data("empty.mp4", b"")), ["empty.mp4 is empty (0 bytes)", "Copy or download it again"]),
    "index cut off": (video(_without_index), ["headless.mp4 cannot be read as a video", "copy this one again"]),
    "frames cut off": (video(lambda m: _cut(m, 0.97, "cut.mp4")), ["announces 6 frames", "or use what is there with --stop"]),
    "almost all cut off": (video(lambda m: _cut(m, 0.5, "half.mp4")), ["No frame of", "can be decoded", "Copy it again"]),
    "text": (video(lambda m: m.text("notes.txt", "hello\n" * 99)), ["notes.txt is a text file, expected a video"]),
    "text called video": (video(lambda m: m.text("text.mp4", "hello\n" * 99)), ["text.mp4", "it is no video"]),
    "noise as video": (video(lambda m: m.data("noise.mp4", bytes(range(256)) * 40)), ["noise.mp4", "Give a video file"]),
    "sound alone": (video(lambda m: m.sound("song.wav")), ["holds no video stream, only audio", "Give a file with images"]),
    "one image": (video(lambda m: m.path("frames/00000.png")), ["is one image, expected a video", "Give the folder"]),
    "device file": (video(lambda m: "/dev/null"), ["neither a regular file nor a folder"]),
    "empty folder": (video(_empty_folder), ["is empty", "Give a folder with images"]),
    "folder of texts": (video(_text_folder), ["holds no image", "Files that end in"]),
    "folder of folders": (video(_folder_of_folders), ["holds no image", "Did you mean the folder", "inner"]),
    "mixed sizes": (video(_mixed_sizes), ["00000.png is 96x64", "00001.png is 96x50", "Resize them"]),
    "broken image": (video(_broken_image), ["00003.png cannot be read", "Replace the file or take it out"]),
    "two images of one name": (video(_same_stems), ["share the name '00000'", "Rename one"]),
    "pattern without match": (video(lambda m: m.path("nothing*.png")), ["Nothing matches the pattern", "quote the pattern"]),
    "pattern of videos": (video(lambda m: m.path("cli*.mp4")), ["matches no image", "give one video file by its name"]),
    # clicks
    "no query": (lambda m: [m.path("clip.mp4")], ["No object is named; give --points, --box, --queries or --mask"]),
    "click of words": (points("swan"), ["The click 'swan' cannot be read", "expected OBJECT,FRAME,X,Y"]),
    "click with bad sign": (points("1,0,25,32,x"), ["the click '1,0,25,32,x'", "A sign is 'x'", 'expected "+", 1']),
    "click with NaN": (points("1,0,nan,32"), ["'1,0,nan,32'", "expected a finite number of pixels"]),
    "click with half a frame": (points("1,0.5,25,32"), ["'0.5' is not a whole number"]),
    "empty click": (points(" "), ["A click is empty", "for example 1,0,420,250,+"]),
    "point right of the frame": (points("1,0,96,32"), ["point (96, 32) of object 1 lies outside", "x goes from 0 to 95"]),
    "point above the frame": (points("1,0,25,-3"), ["(25, -3)", "y from 0 to 63"]),
    "frame past the end": (points("1,6,25,32"), ["on frame 6", "6 frames, numbered from 0 to 5"]),
    "huge frame": (points("1,99999999999999999999,25,32"), ["99999999999999999999", "expected"]),
    "huge id": (points("99999999999999999999,0,25,32"), ["99999999999999999999", "expected"]),
    "negative frame": (points("1,-1,25,32"), ["frame is -1, expected frames from 0"]),
    "object 0": (points("0,0,25,32"), ["object id is 0, expected ids from 1"]),
    "object 300 as PNG": (points("300,0,25,32"), ["Object id 300 does not fit", "up to 255", "overlapping"]),
    "only negative points": (points("1,0,25,32,-"), ["Object 1 has only negative points", "at least one positive point"]),
    # query files
    "missing query file": (queries(lambda m: m.path("no.json")), ["no.json", "cannot be read: No such file"]),
    "query file is a folder": (queries(lambda m: m.path("frames")), ["frames", "cannot be read: Is a directory"]),
    "binary query file": (queries(lambda m: m.data("b.txt", b"\x89PNG\xff\x00")), ["b.txt", "it is not text"]),
    "bad JSON": (queries(lambda m: m.text("bad.json", '{"objects": [}')), ["bad.json is not valid JSON", "line 1, column 14"]),
    "deep JSON": (queries(lambda m: m.text("deep.json", "[" * 100_000)), ["deep.json", "nested too deeply"]),
    "JSON list": (queries(lambda m: m.json("list.json", [1, 2])), ['has no list "objects"', "expected"]),
    "JSON without objects": (objects(), ['has no list "objects"', '"clicks"']),
    "JSON without id": (objects({"clicks": [GOOD_CLICK]}), ["objects[0]", 'has no "id"']),
    "JSON without clicks": (objects({"id": 3, "clicks": []}), ["Object 3", "has no clicks", "at least one"]),
    "JSON click without x": (objects({"id": 1, "clicks": [{"frame": 0, "y": 2}]}), ["click 0 of object 1", 'has no "x"']),
    "JSON text as x": (objects({"id": 1, "clicks": [GOOD_CLICK | {"x": "left"}]}), ["'left' is not a number"]),
    "JSON list as x": (objects({"id": 1, "clicks": [GOOD_CLICK | {"x": [1]}]}), ["'[1]' is not a number"]),
    "JSON true as x": (objects({"id": 1, "clicks": [GOOD_CLICK | {"x": True}]}), ["a coordinate is True, expected a finite"]),
    "JSON NaN": (objects({"id": 1, "clicks": [GOOD_CLICK | {"x": float("nan")}]}), ["coordinate is nan, expected a finite"]),
    "JSON sign list": (objects({"id": 1, "clicks": [GOOD_CLICK | {"sign": []}]}), ["A sign is '[]'", 'expected "+", 1']),
    "JSON click is a number": (objects({"id": 1, "clicks": [7]}), ["click 0 of object 1", 'has no "frame"']),
    "two objects of one id": (
        objects({"id": 2, "clicks": [GOOD_CLICK]}, {"id": 2, "clicks": [GOOD_CLICK]}),
        ["two objects with id 2", "its own id"],
    ),
    "empty text": (queries(lambda m: m.text("empty.txt", "\n")), ["has 0 line(s)", TEXT_FORM]),
    "text without count": (queries(lambda m: m.text("nocount.txt", "0;1,2\n0;3,4")), ["line 1 of nocount.txt", "whole number"]),
    "text count too large": (queries(lambda m: m.text("many.txt", "3\n0;25,32 26,33")), ["line 2", "promises 3 positive"]),
    "text count zero": (queries(lambda m: m.text("zero.txt", "0\n0;25,32")), ["promises 0 positive", "expected from 1"]),
    "text without frame": (queries(lambda m: m.text("noframe.txt", "1\n25,32")), ["line 2 of noframe.txt", TEXT_FORM]),
    "text with NaN": (queries(lambda m: m.text("nan.txt", "1\n0;nan,32")), ["line 2 of nan.txt", "expected a finite number"]),
    # masks
    "missing mask": (mask(lambda m: m.path("none.png")), ["none.png", "cannot be read: No such file"]),
    "mask is a folder": (mask(lambda m: m.path("frames")), ["frames", "cannot be read: Is a directory"]),
    "mask is text": (mask(lambda m: m.text("mask.txt", "x")), ["is not an image", MASK_ADVICE]),
    "broken mask": (
        mask(lambda m: m.data("torn.png", (m.root / "mask.png").read_bytes()[:200])),
        ["torn.png", "cannot be read", "expected a palette or grey PNG"],
    ),
    "empty mask": (mask(lambda m: m.palette_png("zero.png", np.zeros((64, 96)))), ["is empty: every pixel is 0"]),
    "mask of another size": (
        mask(lambda m: m.palette_png("small.png", np.ones((32, 48)))),
        ["is 48x32 pixels", "frames are 96x64", "give a mask of the frame's size"],
    ),
    "image as mask": (mask(_image_mask), ["is a colour photograph (RGB)", MASK_ADVICE]),
    "grey photograph as mask": (mask(_grey_image_mask), ["is a grey photograph", MASK_ADVICE]),
    "mask id 300 as PNG": (mask(_big_id_mask), ["Object id 300 does not fit", "up to 255"]),
    "mask frame without mask": (on_clip("--mask-frame", "2"), ["--mask-frame is given without --mask", "give the mask"]),
    "mask frame for a mask with a frame": (
        lambda m: [m.path("clip.mp4"), "--mask", f"{m.path('mask.png')}@1", "--mask-frame", "2"],
        ["or each has its own @FRAME"],
    ),
    "mask on no frame": (lambda m: [m.path("clip.mp4"), "--mask", f"{m.path('mask.png')}@6"], ["A query is on frame 6"]),
    "two masks of an object": (
        lambda m: [m.path("clip.mp4"), *(a for _ in range(2) for a in ("--mask", m.path("mask.png")))],
        ["Object 1 has two masks on frame 0"],
    ),
    "box of five numbers": (lambda m: [m.path("clip.mp4"), "--box", "1,0,1,2,3"], ["'1,0,1,2,3' cannot be read", "X0,Y0"]),
    "box inside out": (lambda m: [m.path("clip.mp4"), "--box", "1,0,30,2,3,20"], ["its first pixel, then its last"]),
    "box outside": (lambda m: [m.path("clip.mp4"), "--box", "1,0,1,2,96,20"], ["reaches outside the frame"]),
    "box and mask": (
        lambda m: [m.path("clip.mp4"), "--box", "1,0,1,2,9,20", "--mask", m.path("mask.png")],
        ["Object 1 has a mask and a box on frame 0"],
    ),
    "negative mask frame": (
        lambda m: [m.path("clip.mp4"), "--mask", m.path("mask.png"), "--mask-frame", "-1"],
        ["--mask-frame is -1", "expected a frame from 0"],
    ),
    # frames
    "stride 0": (on_clip("--stride", "0"), ["The stride is 0", "whole number from 1"]),
    "negative stride": (on_clip("--stride", "-2"), ["The stride is -2", "whole number from 1"]),
    "stride of text": (on_clip("--stride", "two"), ["--stride", "got 'two', expected a whole number", "--help"]),
    "start at stop": (on_clip("--start", "2", "--stop", "2"), ["stops before frame 2", "from 3 to 6"]),
    "start past the end": (on_clip("--start", "6"), ["first frame is 6", "frames 0 to 5"]),
    "negative start": (on_clip("--start", "-1"), ["first frame is -1", "frames 0 to 5"]),
    "stop past the end": (on_clip("--stop", "7"), ["stops before frame 7", "from 1 to 6"]),
    "query before the range": (on_clip("--start", "1"), ["on frame 0", "1 to 5", "choose other frames"]),
    "query between the strides": (
        lambda m: [m.path("clip.mp4"), "--points", "1,1,25,32", "--stride", "2"],
        ["on frame 1", "0 to 4 in steps of 2"],
    ),
    # settings
    "unknown tracker": (on_clip("--tracker", "lukas-kanade"), ["tracker 'lukas-kanade'", "Did you mean 'lucas-kanade'"]),
    "unknown segmenter": (on_clip("--segmenter", "grabcat"), ["Unknown segmenter 'grabcat'", "Did you mean 'grabcut'"]),
    "SAM misspelt": (on_clip("--segmenter", "sam-vit-he"), ["Unknown segmenter 'sam-vit-he'", "Did you mean 'sam-vit-h'"]),
    "unknown runtime": (
        on_clip("--runtime", "opnvino"),
        ["Unknown runtime 'opnvino'", "Did you mean 'openvino'", "auto, torch"],
    ),
    "unknown precision": (on_clip("--precision", "float23"), ["'float23'", "Did you mean 'float32'", "Expected one of: auto"]),
    "no choice of runtime": (
        on_clip("--runtime", "openvino"),
        ["tracker 'nano' nor the segmenter 'nano' has a choice of runtime, got 'openvino'", "leave the option out"],
    ),
    "weights for a backend without": (
        lambda m: [*on_clip("--segmenter", "grabcut", "--segmenter-weights", m.path("mask.png"))(m)],
        ["'grabcut' has no weights", "leave weights out"],
    ),
    "weights that are not there": (on_clip("--tracker-weights", "no/such"), ["found no", "no/such", "or 'default'"]),
    "unknown preset": (on_clip("--preset", "defualt"), ["Unknown preset 'defualt'", "Did you mean 'default'", "Available"]),
    "unknown format": (on_clip("--formats", "png,overly"), ["output 'overly'", "Did you mean 'overlay'", "Available: png"]),
    "no format": (on_clip("--formats", ","), ["--formats is empty", "expected some of: png"]),
    "unknown sampler": (on_clip("--positive-sampler", "kmedoid"), ["'kmedoid'", "Did you mean 'kmedoids'", "mixed"]),
    "unknown option": (on_clip("--trakcer", "dis-flow"), ["--trakcer", "Did you mean '--tracker'", "--help"]),
    "longest side 3": (on_clip("--longest-side", "3"), ["longest_side is 3", "at least 16"]),
    "threshold NaN": (on_clip("--iou-threshold", "nan"), ["--iou-threshold", "got 'nan', expected a number"]),
    "threshold 2": (on_clip("--iou-threshold", "2"), ["iou_threshold is 2", "from 0 to 1"]),
    "no positive points": (on_clip("--positive-points", "0"), ["positive_points is 0", "at least 1"]),
    "horizon of tracker too short": (on_clip("--reinit-tracker-horizon", "5"), ["tracker_horizon is 5", "expected"]),
    "device": (on_clip("--device", "cuda"), ["cannot run on device 'cuda'", "or a device PyTorch has"]),
}


def check_failure(status: int, err: str, fragments: list[str]) -> None:
    assert status == 2
    assert err.startswith("sampt: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    for fragment in fragments:
        assert fragment in err, err


def check_nothing_made(output: Path) -> None:
    names = {"run.json", "resume.journal", *map(output_name, DEFAULT_FORMATS)}
    assert not [p for p in output.rglob("*") if p.name in names or p.name.endswith(".partial")]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_ends_with_one_line_and_no_result(name: str, media: Any, call: Any, tmp_path: Path) -> None:
    arguments, fragments = CASES[name]
    outcome = call("segment", *arguments(media), "-o", tmp_path / "out", "--quiet")
    check_failure(outcome.status, outcome.err, fragments)
    assert outcome.out == ""
    check_nothing_made(tmp_path)


def _a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file"


def _foreign_masks(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "masks").mkdir(parents=True)
    (tmp_path / "mine" / "masks" / "00000.png").write_text("mine")
    return tmp_path / "mine"


def _foreign_manifest(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.json").write_text('{"by": "another program"}')
    return tmp_path / "mine"


FOLDERS: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "a file": (_a_file, ["is a file", "choose another output folder"]),
    "below a file": (lambda p: _a_file(p) / "out", ["cannot be written (Not a directory)", "choose another output folder"]),
    "in /proc": (lambda p: Path("/proc/sampt/out"), ["/proc/sampt/out cannot be written", "choose another output folder"]),
    "somebody's masks": (_foreign_masks, ["already holds masks", "choose another output folder"]),
    "somebody's run.json": (_foreign_manifest, ["already holds run.json", "choose another output folder"]),
}


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["keep", "overwrite"])
@pytest.mark.parametrize("name", FOLDERS)
def test_output_folder_that_cannot_be_used(
    name: str, overwrite: list[str], media: Any, kit: Any, call: Any, tmp_path: Path
) -> None:
    make, fragments = FOLDERS[name]
    output = make(tmp_path)
    before = kit.digests(tmp_path)
    outcome = call("segment", media.path("clip.mp4"), *kit.click, "-o", output, "--quiet", *overwrite)
    check_failure(outcome.status, outcome.err, fragments)
    assert kit.digests(tmp_path) == before


@pytest.mark.parametrize("source", ["frames", "frames/*.png"])
def test_results_may_not_lie_among_the_frames(source: str, media: Any, kit: Any, call: Any) -> None:
    before = kit.digests(media.root / "frames")
    outcome = call("segment", media.path(source), *kit.click, "-o", media.path("frames"), "--quiet")
    check_failure(outcome.status, outcome.err, ["is the folder of the video's images", "choose another output folder"])
    assert kit.digests(media.root / "frames") == before


@pytest.fixture(scope="module")
def finished(media: Any, kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sampt.cli.main import main

    output = tmp_path_factory.mktemp("finished") / "out"
    assert main(["segment", media.path("clip.mp4"), *kit.click, *kit.fast, "-o", str(output), "--quiet"]) == 0
    return output


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (["--seed", "1"], ["holds the results of a run with other settings or input", "--overwrite"]),
        (["--stop", "3"], ["holds the results of a run with other settings or input", "choose another output folder"]),
        (["--seed", "1", "--overwrite", "--formats", "pngs"], ["Did you mean 'png'"]),
        (["--seed", "1", "--overwrite", "--points", "300,0,25,32"], ["Object id 300 does not fit"]),
        (["--seed", "1", "--overwrite", "--device", "cuda"], ["cannot run on device 'cuda'"]),
        (["--seed", "1", "--overwrite", "--points", "2,0,900,32"], ["lies outside the frame"]),
    ],
)
def test_results_of_another_run_stay_untouched(
    options: list[str], fragments: list[str], finished: Path, media: Any, kit: Any, call: Any
) -> None:
    before = kit.digests(finished)
    arguments = [media.path("clip.mp4"), *kit.click, *kit.fast, "-o", str(finished), "--quiet"]
    outcome = call("segment", *arguments, *options)
    check_failure(outcome.status, outcome.err, fragments)
    assert kit.digests(finished) == before
    assert "run.json" in before


@pytest.mark.parametrize("name", ["missing video", "frames cut off", "unknown option", "broken image", "index cut off"])
def test_the_real_command_fails_with_one_line_too(name: str, media: Any, kit: Any, tmp_path: Path) -> None:
    arguments, fragments = CASES[name]
    own = type(media)(tmp_path)
    done = kit.call_process(["segment", *arguments(own), "-o", str(tmp_path / "out")])
    check_failure(done.returncode, done.stderr, fragments)
    assert done.stdout == ""
    check_nothing_made(tmp_path / "out")


@pytest.mark.parametrize("limit_kib", [1, 4])
def test_a_full_disk_leaves_no_complete_looking_result(limit_kib: int, media: Any, kit: Any, tmp_path: Path) -> None:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_kib} * 1024,) * 2)"
    output = tmp_path / "out"
    done = kit.call_process(["segment", media.path("clip.mp4"), *kit.click, *kit.fast, "-o", str(output)], before=limit)
    check_failure(done.returncode, done.stderr, ["cannot be written", "File too large"])
    assert not [p for p in output.rglob("*") if p.name in {"run.json", "masks.json", "tracks.npz", "overlay.mp4", "sheet.png"}]
    again = kit.call_process(["segment", media.path("clip.mp4"), *kit.click, *kit.fast, "-o", str(output), "--quiet"])
    assert (again.returncode, again.stderr) == (0, "")  # room again: the same command goes on
    assert json.loads((output / "run.json").read_text())["num_frames"] == kit.num_frames


def _timeline(m: Any) -> str:
    return m.folder("wide", [np.tile(frame[:40], (1, 86, 1))[:, :8192] for frame in m.frames[:2]])


ODD_VIDEOS: dict[str, tuple[Callable[[Any], str], str, tuple[int, int]]] = {
    "grey images": (lambda m: m.folder("grey", [f[..., 1] for f in m.frames[:3]]), "1,0,25,32", (64, 96)),
    "one shade of grey": (lambda m: m.folder("plain", [np.full((48, 64, 3), 128, np.uint8)] * 3), "1,0,25,32", (48, 64)),
    "one pixel wide": (lambda m: m.folder("thin", [f[:, 20:21] for f in m.frames[:3]]), "1,0,0,32", (64, 1)),
    "one pixel high": (lambda m: m.folder("flat", [f[30:31] for f in m.frames[:3]]), "1,0,25,0", (1, 96)),
    "one pixel": (lambda m: m.folder("dot", [f[30:31, 25:26] for f in m.frames[:3]]), "1,0,0,0", (1, 1)),
    "8192 pixels wide": (_timeline, "1,0,25,32", (40, 8192)),
}
"""A video, a click, and its size."""


@pytest.fixture
def small_sam(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A reduced network instead of `sam-vit-b`; tests may replace its ``build``."""
    for name in ("torch", "transformers"):
        pytest.importorskip(name, reason=f"{name} is one of the [sam] extras")
    from sampt.segmenters.sam.models import MODELS
    from sampt.segmenters.sam.network import VitSizes, build_vit

    module: Any = types.ModuleType("small_sam_for_tests")
    module.build = lambda: build_vit(VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128))
    monkeypatch.setitem(sys.modules, "small_sam_for_tests", module)
    monkeypatch.setitem(MODELS, "sam-vit-b", replace(MODELS["sam-vit-b"], builder="small_sam_for_tests:build"))
    return module


SAM = ("--segmenter", "sam-vit-b", "--segmenter-weights", "random", "--device", "cpu", "--iou-threshold", "0", "--quiet")


@pytest.mark.parametrize(
    ("tracker", "reinit"), [("lucas-kanade", "--no-reinit"), ("dis-flow", "--reinit"), ("nano", "--reinit")]
)
@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_frames_of_odd_sizes_and_without_color_are_segmented(
    name: str, tracker: str, reinit: str, media: Any, call: Any, small_sam: Any, tmp_path: Path
) -> None:
    make, click, size_hw = ODD_VIDEOS[name]
    own = type(media)(tmp_path)
    options = ["--points", click, "--tracker", tracker, reinit, "--refinement-steps", "2"]
    outcome = call("segment", make(own), *options, *SAM, "-o", tmp_path / "out")
    assert (outcome.status, outcome.err) == (0, "")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert tuple(record["size_hw"]) == size_hw
    masks = sorted((tmp_path / "out" / "masks").iterdir())
    assert len(masks) == record["num_frames"] >= 2
    for path in masks:
        labels = np.asarray(Image.open(path))
        assert labels.shape == size_hw
        assert labels.max() <= 1
    assert np.isfinite(np.load(tmp_path / "out" / "tracks.npz")["xy"]).all()


@pytest.mark.parametrize("method", ["encode", "predict"])
@pytest.mark.parametrize("kind", ["of the device", "of the computer"])
def test_too_little_memory_is_one_line_that_names_an_option(
    kind: str, method: str, media: Any, kit: Any, call: Any, small_sam: Any, tmp_path: Path
) -> None:
    import torch

    errors = {
        "of the device": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 8.00 GiB."),
        "of the computer": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 99"),
    }
    inner = small_sam.build

    def build() -> Any:
        network = inner()

        def fail(*_: object, **__: object) -> None:
            raise errors[kind]

        setattr(network, method, fail)
        return network

    small_sam.build = build
    outcome = call("segment", media.path("clip.mp4"), *kit.click, *SAM, "-o", tmp_path / "out")
    advice = "choose a smaller model, 'mobile-sam' say, or for large frames a smaller longest_side"
    check_failure(outcome.status, outcome.err, ["'sam-vit-b' needs more memory than cpu has free", advice])
    assert outcome.out == ""
    check_nothing_made(tmp_path)
