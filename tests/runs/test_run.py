"""run_job: what is written, what is done again and what is not."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, with_settings
from sampt.errors import BackendError, InputChangedError, OutputError
from sampt.exporters.tracks_npz import load_tracks
from sampt.runs.backends import make_backends
from sampt.runs.job import Job, RunOptions
from sampt.runs.outputs import DEFAULT_FORMATS, output_name
from sampt.runs.run import prepare_run, run_job, run_part
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import Scene, SceneVideo, crossing_scene
from sampt.types import ObjectState, Points, QueryMask
from sampt.video.writer import VideoWriter
from tests.tampering import changed_at, find_windows

CONFIG = SegmentConfig(
    tracker="dis-flow", sampling=SamplingConfig(), prompting=PromptConfig(refinement_steps=0), reinit=ReinitConfig()
)
NUM_FRAMES = 9


@pytest.fixture(scope="module")
def scene() -> Scene:
    return crossing_scene(NUM_FRAMES)


@pytest.fixture
def segmenter(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> ExactSegmenter:
    """Backends that know the scene, instead of those that the names mean."""
    exact = ExactSegmenter(scene)
    monkeypatch.setattr("sampt.runs.backends.create_segmenter", lambda name, **options: exact)
    monkeypatch.setattr("sampt.runs.backends.create_tracker", lambda name, **options: ExactStreamTracker(scene))
    return exact


def collect_masks(scene: Scene, frame_idx: int = 0) -> list[QueryMask]:
    return [QueryMask(o, frame_idx, m) for o, m in enumerate(scene.masks(frame_idx), 1)]


def job(scene: Scene, output: Path, **changes: Any) -> Job:
    given: dict[str, Any] = {"video": SceneVideo(scene), "queries": collect_masks(scene), "output": output, "config": CONFIG}
    names = {f.name for f in dataclasses.fields(RunOptions)} & changes.keys()
    given["options"] = RunOptions(**{name: changes.pop(name) for name in names})
    return Job(**given | changes)


def manifest(output: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((output / "run.json").read_text())
    return data


def labels(output: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(output / "masks" / f"{name}.png"))


def gt(scene: Scene, frame_idx: int) -> np.ndarray:
    return (scene.masks(frame_idx) * np.array([1, 2])[:, None, None]).sum(0)


class Stop:
    """Ctrl-C after a number of frames."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.seen.append((done, total))
        if done == self.number:
            raise KeyboardInterrupt


def test_exact_back_ends_give_the_exact_masks_and_a_full_record(
    scene: Scene, segmenter: ExactSegmenter, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    result = run_job(job(scene, tmp_path), lambda done, total: seen.append((done, total)))
    assert seen == [(i, NUM_FRAMES) for i in range(NUM_FRAMES + 1)]
    for i in range(NUM_FRAMES):
        np.testing.assert_array_equal(labels(tmp_path, f"{i:05d}"), gt(scene, i))
    assert {p.name for p in tmp_path.iterdir()} == {"run.json", *map(output_name, DEFAULT_FORMATS)}
    assert result.files == {name: tmp_path / output_name(name) for name in DEFAULT_FORMATS}
    assert [(o.object_id, o.frames_present, o.last_state) for o in result.objects] == [
        (1, NUM_FRAMES, ObjectState.PRESENT),
        (2, NUM_FRAMES, ObjectState.PRESENT),
    ]
    data = manifest(tmp_path)
    assert data["config"]["prompting"]["refinement_steps"] == 0
    assert data["frames"] == {"start": 0, "stop": NUM_FRAMES, "stride": 1, "count": NUM_FRAMES}
    assert data["licenses"] == {
        "tracker exact-stream": "code Apache-2.0, no weights",
        "segmenter exact": "code Apache-2.0, no weights",
    }
    assert set(data["seconds"]) == {"total", "read", "track", "encode", "decode", "write"}
    assert sum(data["seconds"].values()) <= 2 * data["seconds"]["total"]


def test_range_and_stride_keep_the_frames_own_numbers(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    queries = collect_masks(scene, 3)
    result = run_job(job(scene, tmp_path, queries=queries, start=1, stop=8, stride=2))
    assert result.num_frames == 4
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["00001.png", "00003.png", "00005.png", "00007.png"]
    for i in (1, 3, 5, 7):
        np.testing.assert_array_equal(labels(tmp_path, f"{i:05d}"), gt(scene, i))
    data = manifest(tmp_path)
    assert data["frames"] == {"start": 1, "stop": 8, "stride": 2, "count": 4}
    assert [m["frame"] for m in data["inputs"]["masks"]] == [3, 3]
    assert load_tracks(tmp_path / "tracks.npz").frame_names.tolist() == ["00001", "00003", "00005", "00007"]


def test_resumed_run_segments_only_what_is_not_in_the_journal(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_job(job(scene, tmp_path), Stop(5))
    assert not (tmp_path / "run.json").exists()
    before = {call.frame_idx for call in segmenter.calls}
    in_journal = len((tmp_path / "resume.journal").read_bytes().splitlines()) - 1
    segmenter.calls.clear()
    result = run_job(job(scene, tmp_path))
    assert result.num_resumed == in_journal == 5
    assert {call.frame_idx for call in segmenter.calls} == set(range(5, NUM_FRAMES))
    assert before >= set(range(1, 5))
    for i in range(NUM_FRAMES):
        np.testing.assert_array_equal(labels(tmp_path, f"{i:05d}"), gt(scene, i))
    assert [o.frames_present for o in result.objects] == [NUM_FRAMES, NUM_FRAMES]
    assert not (tmp_path / "resume.journal").exists()


def test_complete_run_is_not_repeated_unless_told_or_damaged(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    first = run_job(job(scene, tmp_path))
    assert (first.was_complete, run_job(job(scene, tmp_path)).was_complete) == (False, True)
    assert run_job(job(scene, tmp_path)).objects == [
        type(o)(o.object_id, o.frames_present, o.score or 0.0, 1, o.last_state) for o in first.objects
    ]
    assert not run_job(job(scene, tmp_path, overwrite=True)).was_complete
    (tmp_path / "tracks.npz").unlink()
    assert not run_job(job(scene, tmp_path)).was_complete
    assert (tmp_path / "tracks.npz").exists()


def test_a_run_is_the_same_wherever_its_file_lies(scene: Scene, tmp_path: Path) -> None:
    clip, output = tmp_path / "clip.mp4", tmp_path / "out"
    with VideoWriter(clip, 24, scene.size_hw) as writer:
        for i in range(3):
            writer.write(scene.frame(i))
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(clip, tmp_path / "elsewhere" / "clip.mp4")
    run_job(job(scene, output, video=clip, formats=["png"]))
    assert run_job(job(scene, output, video=tmp_path / "elsewhere" / "clip.mp4", formats=["png"], stop=3)).was_complete
    with pytest.raises(OutputError, match="with other settings or input"):
        run_job(job(scene, output, video=clip, formats=["png"], queries=collect_masks(scene)[:1]))


def test_interrupted_before_the_first_frame_leaves_nothing(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_job(job(scene, tmp_path / "out"), Stop(0))
    assert not (tmp_path / "out").exists()


def test_replaced_results_leave_no_file_of_the_old_run(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    run_job(job(scene, tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    run_job(job(scene, tmp_path, stride=4, formats=["png"], overwrite=True))
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert names == {"run.json", "notes.txt", "masks/00000.png", "masks/00004.png", "masks/00008.png"}


def test_clearing_that_was_killed_half_way_goes_on(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    run_job(job(scene, tmp_path))
    (tmp_path / "run.json").rename(tmp_path / "run.json.replaced")  # the first step of replacing
    with pytest.raises(OutputError, match="unfinished run with other settings"):
        run_job(job(scene, tmp_path, stop=3))
    assert run_job(job(scene, tmp_path, stop=3, overwrite=True)).num_frames == 3
    assert not (tmp_path / "run.json.replaced").exists()


def test_vos_protocol_counts_frames_from_the_query_frame_on(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    last = NUM_FRAMES - 1
    queries = [collect_masks(scene)[0], collect_masks(scene, last)[1]]
    config = with_settings(CONFIG, {"protocol": "vos"})
    result = run_job(job(scene, tmp_path, queries=queries, config=config))
    assert [(o.object_id, o.frames_present) for o in result.objects] == [(1, NUM_FRAMES), (2, 1)]
    assert not (labels(tmp_path, f"{last - 1:05d}") == 2).any()


def test_clicks_are_recorded_as_given(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    y, x = np.argwhere(scene.masks(4)[1])[100]
    clicks = Points.of(2, 4, [(x, y)])
    run_job(job(scene, tmp_path, queries=clicks, start=2, stride=2, formats=["coco"]))
    assert manifest(tmp_path)["inputs"]["points"] == [{"object": 2, "frame": 4, "x": float(x), "y": float(y), "sign": "+"}]


def with_weights(path: Path, **changes: Any) -> SegmentConfig:
    return with_settings(CONFIG, {"segmenter_weights": str(path), **changes})


def test_other_weights_of_the_same_name_are_another_run(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    weights, elsewhere, output = tmp_path / "w.pth", tmp_path / "elsewhere", tmp_path / "out"
    weights.write_bytes(b"first")
    elsewhere.mkdir()
    shutil.copy2(weights, elsewhere)
    first = run_job(job(scene, output, config=with_weights(weights)))
    assert first.licenses["segmenter exact"] == "code Apache-2.0, weights unknown (not an official file)"
    assert manifest(output)["config"]["segmenter_weights"] == str(weights)
    assert run_job(job(scene, output, config=with_weights(elsewhere / "w.pth"))).was_complete
    weights.write_bytes(b"other")
    for changed in (with_weights(weights), CONFIG, with_weights(Path("random"))):
        with pytest.raises(OutputError, match="with other settings or input"):
            run_job(job(scene, output, config=changed))


def test_weights_are_told_before_anything_is_made(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text: list[str] = []
    monkeypatch.setattr("sampt.runs.backends.create_tracker", lambda *_, **__: pytest.fail(f"made after {len(text)} lines"))
    for name in ("t.pth", "s.pth"):
        (tmp_path / name).write_bytes(bytes(1500))
    config = with_weights(tmp_path / "s.pth", tracker_weights=str(tmp_path / "t.pth"))
    with pytest.raises(pytest.fail.Exception, match="made after 2 lines"):
        run_job(job(scene, tmp_path / "out", config=config), on_weights=text.append)
    end = "(1.5 kB); licence of the weights: unknown (not an official file)"
    assert text == [
        f"tracker 'dis-flow' loads {tmp_path / 't.pth'} {end}",
        f"segmenter 'nano' loads {tmp_path / 's.pth'} {end}",
    ]


def test_options_go_to_the_back_end_that_has_the_choice(
    scene: Scene, segmenter: ExactSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, dict[str, str]] = {}
    make = {"tracker": ExactStreamTracker, "segmenter": ExactSegmenter}
    for kind in make:
        monkeypatch.setattr(
            f"sampt.runs.backends.create_{kind}",
            lambda name, kind=kind, **options: seen.update({kind: options}) or make[kind](scene),
        )
    config = with_weights(Path("random"), segmenter="sam-vit-b")
    run_job(job(scene, tmp_path, config=config, runtime="openvino", precision="float32", device="cpu"))
    assert seen == {
        "tracker": {"weights": "default", "device": "cpu"},
        "segmenter": {"weights": "random", "device": "cpu", "runtime": "openvino", "precision": "float32"},
    }
    for changes in ({}, {"runtime": "torch", "precision": "float32"}, {"runtime": "openvino"}):
        with pytest.raises(OutputError, match="with other settings or input"):
            run_job(job(scene, tmp_path, config=config, device="cpu", **changes))


def test_a_choice_that_no_back_end_leaves_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(BackendError) as caught:
        run_job(job(scene, tmp_path / "out", precision="float16"))
    assert str(caught.value) == (
        "Neither the tracker 'dis-flow' nor the segmenter 'nano' has a choice of precision, got 'float16'; "
        "leave the option out."
    )
    with pytest.raises(BackendError, match=r"Unknown runtime 'onnx-runtime'\. Did you mean 'onnxruntime'\?"):
        run_job(job(scene, tmp_path / "out", runtime="onnx-runtime"))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not locked there")
def test_two_processes_do_not_work_in_one_folder(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    def meanwhile(done: int, total: int | None) -> None:
        if done == 2:
            for overwrite in (False, True):
                with pytest.raises(OutputError, match=r"Another process works in .*; wait for it to end, or choose another"):
                    run_job(job(scene, tmp_path, overwrite=overwrite))

    assert run_job(job(scene, tmp_path), meanwhile).num_frames == NUM_FRAMES
    assert run_job(job(scene, tmp_path)).was_complete


def frames_folder(scene: Scene, folder: Path) -> Path:
    folder.mkdir()
    for i, frame in enumerate(SceneVideo(scene).read(0, NUM_FRAMES)):
        Image.fromarray(frame).save(folder / f"{i:05d}.png")
    return folder


class Meanwhile:
    """Something that happens in the middle of a run."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def __call__(self, done: int, total: int | None) -> None:
        if done == 4:
            self.act()


@pytest.mark.parametrize("number", [0, 3, 8], ids=["read before", "being worked on", "still to come"])
def test_a_frame_replaced_during_a_run_ends_it_and_leaves_nothing(
    number: int, scene: Scene, segmenter: ExactSegmenter, tmp_path: Path
) -> None:
    folder = frames_folder(scene, tmp_path / "frames")
    path, output = folder / f"{number:05d}.png", tmp_path / "out"
    whole = path.read_bytes()
    other = np.full((*scene.size_hw, 3), 99, np.uint8)
    with pytest.raises(InputChangedError, match=rf"{path.name} has been replaced or changed while it was in use"):
        run_job(job(scene, output, video=folder), Meanwhile(lambda: Image.fromarray(other).save(path)))
    assert not output.exists()
    path.write_bytes(whole)
    result = run_job(job(scene, output, video=folder))
    assert (result.num_resumed, result.was_complete) == (0, False)
    for i in range(NUM_FRAMES):
        np.testing.assert_array_equal(labels(output, f"{i:05d}"), gt(scene, i))


def test_a_frame_that_was_touched_or_copied_again_is_the_same(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    folder = frames_folder(scene, tmp_path / "frames")

    def touch() -> None:
        os.utime(folder / "00002.png", (1, 1))
        copy = tmp_path / "copy.png"
        shutil.copy(folder / "00006.png", copy)
        copy.replace(folder / "00006.png")

    assert run_job(job(scene, tmp_path / "out", video=folder), Meanwhile(touch)).num_frames == NUM_FRAMES
    assert run_job(job(scene, tmp_path / "out", video=folder)).was_complete


def test_a_video_file_replaced_by_another_one_during_a_run(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shift in (("clip.mp4", 0), ("other.mp4", 20)):
        with VideoWriter(tmp_path / name, 24, scene.size_hw) as writer:
            for i in range(6):
                writer.write(np.roll(scene.frame(i), shift, 1))
    replace = Meanwhile(lambda: (tmp_path / "other.mp4").replace(tmp_path / "clip.mp4"))
    with pytest.raises(InputChangedError, match=r"clip\.mp4 has been replaced"):
        run_job(job(scene, tmp_path / "out", video=tmp_path / "clip.mp4", formats=["png"]), replace)
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_video_that_was_replaced_is_not_kept(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    folder, path = frames_folder(scene, tmp_path / "frames"), tmp_path / "parts" / "1.part"
    seen = 0

    def encode(frames: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 1:
            (folder / "00001.png").write_bytes((folder / "00002.png").read_bytes())
        return ExactSegmenter.encode(segmenter, frames)

    segmenter.encode = encode  # type: ignore[method-assign]
    with pytest.raises(InputChangedError):
        run_part(job(scene, tmp_path / "out", video=folder), (0, 2), path, make=make_backends)
    assert seen
    assert not path.exists()


def results_of(output: Path) -> dict[str, bytes]:
    return {p.relative_to(output).as_posix(): p.read_bytes() for p in sorted(output.rglob("*")) if p.is_file()}


DAMAGES = {
    "a mask is gone": lambda out: (out / "masks" / "00003.png").unlink(),
    "a mask is empty": lambda out: (out / "masks" / "00003.png").write_bytes(b""),
    "masks.json is empty": lambda out: (out / "masks.json").write_bytes(b""),
    "tracks.npz is gone": lambda out: (out / "tracks.npz").unlink(),
    "tracks.npz has other bytes": lambda out: (out / "tracks.npz").write_bytes(bytes((out / "tracks.npz").stat().st_size)),
    "all masks are gone": lambda out: shutil.rmtree(out / "masks"),
    "run.json lists nothing": lambda out: change_manifest(out, lambda text: text.pop("results")),
    "an object has no score": lambda out: change_manifest(out, lambda text: text["objects"][0].pop("score")),
}


def change_manifest(output: Path, change: Any) -> None:
    text = manifest(output)
    change(text)
    (output / "run.json").write_text(json.dumps(text))


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_missing_of_a_complete_run_is_made_again(
    damage: str, scene: Scene, segmenter: ExactSegmenter, tmp_path: Path
) -> None:
    run_job(job(scene, tmp_path))
    before = results_of(tmp_path)
    DAMAGES[damage](tmp_path)
    assert not run_job(job(scene, tmp_path)).was_complete
    after = results_of(tmp_path)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name] and name not in ("run.json", "overlay.mp4")] == []
    assert run_job(job(scene, tmp_path)).was_complete


def test_results_are_on_the_disk_before_the_manifest_has_its_name(
    scene: Scene, segmenter: ExactSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[int, bool] = {}
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        synced.setdefault(os.fstat(descriptor).st_ino, (tmp_path / "run.json").exists())

    monkeypatch.setattr("os.fsync", fsync)
    run_job(job(scene, tmp_path))
    results = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(results) == NUM_FRAMES + 5
    for path in [*results, tmp_path, tmp_path / "masks"]:
        assert synced[path.stat().st_ino] is False, path


def test_any_part_of_a_manifest_may_be_wrong(scene: Scene, segmenter: ExactSegmenter, tmp_path: Path) -> None:
    """Every value that is read again is taken away or replaced: the run counts as complete or not, or one line is reported."""
    wanted = job(scene, tmp_path, formats=["png"], video=SceneVideo(scene).read(0, 1))
    run_job(wanted)
    whole = manifest(tmp_path)
    locations = [p for p in find_windows(whole) if p and p[0] in ("objects", "licenses", "seconds", "num_frames", "results")]
    assert len(locations) > 20
    outcomes = set()
    for location in locations:
        for new in (..., None, 1e300, "x", [], {"a": 1}, float("nan")):
            (tmp_path / "run.json").write_text(json.dumps(changed_at(whole, location, new)))
            outcomes.add(prepare_run(wanted).finished is None)
    assert outcomes == {True, False}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[1]", "3", "{", "\0", '{"run_digest": [1]}'])
def test_a_manifest_that_is_none_is_told_in_one_line(
    text: str, scene: Scene, segmenter: ExactSegmenter, tmp_path: Path
) -> None:
    run_job(job(scene, tmp_path, formats=["npz"]))
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError) as caught:
        run_job(job(scene, tmp_path, formats=["npz"]))
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run.json").read_text() == text
