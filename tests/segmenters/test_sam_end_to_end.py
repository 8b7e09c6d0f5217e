"""The Segment Anything family from the command line to the files, with random weights and a tracker that knows the ground
truth.

Points stay on the true objects of a DAVIS sequence, so everything that the segmenter is prompted can be checked, and what it
reports is the same whichever way it is prompted. Networks are reduced but where their size matters.
"""

from __future__ import annotations

import json
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")

import sampt  # noqa: E402
from sampt.backends.spec import BackendSpec  # noqa: E402
from sampt.backends.table import BUILT_IN  # noqa: E402
from sampt.cli.main import main  # noqa: E402
from sampt.config import PromptConfig, SegmentConfig, with_settings  # noqa: E402
from sampt.errors import BackendError, OutputError  # noqa: E402
from sampt.exporters.tracks_npz import load_tracks  # noqa: E402
from sampt.geometry import mask_at  # noqa: E402
from sampt.pipeline.propagation import Engine  # noqa: E402
from sampt.pipeline.segment import segment_video  # noqa: E402
from sampt.presets import PRESETS  # noqa: E402
from sampt.prompts.refine import segment_prompts  # noqa: E402
from sampt.runs.job import Job, RunOptions  # noqa: E402
from sampt.runs.outputs import DEFAULT_FORMATS, output_name  # noqa: E402
from sampt.runs.run import run_job  # noqa: E402
from sampt.segmenters.automatic import AutomaticMaskConfig, generate_masks  # noqa: E402
from sampt.segmenters.base import RefinementPlan  # noqa: E402
from sampt.segmenters.create import create_segmenter  # noqa: E402
from sampt.segmenters.hq_sam.network import build_vit as build_hq_vit  # noqa: E402
from sampt.segmenters.mobile_sam.network import build_light_hq_sam, build_mobile_sam  # noqa: E402
from sampt.segmenters.sam.adapter import SamEmbedding, SamSegmenter  # noqa: E402
from sampt.segmenters.sam.checkpoint import load_network  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam.network import VitSizes, build_vit  # noqa: E402
from sampt.segmenters.sam2.network import HieraSizes  # noqa: E402
from sampt.segmenters.sam2.network import build as build_hiera  # noqa: E402
from sampt.testing import ExactStreamTracker, RecordedClip, SceneVideo, crossing_scene  # noqa: E402
from sampt.testing.fakes import FrameFinder  # noqa: E402
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep  # noqa: E402
from sampt.trackers.create import create_tracker  # noqa: E402
from sampt.types import FrameMasks, ObjectPrompt, ObjectState, QueryMask, UInt8Array  # noqa: E402
from sampt.video.open import open_video  # noqa: E402

pytestmark = pytest.mark.slow  # every model through the whole pipeline: minutes

DAVIS = Path(__file__).resolve().parents[3] / "shared" / "davis"
needs_davis = pytest.mark.skipif(not DAVIS.is_dir(), reason="the project's shared data is not beside this checkout")
SEQUENCE, NUM_FRAMES = "dog", 6
SMALL = VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128)
BUILDERS: dict[str, Callable[[], Any]] = {
    "sam-vit-b": lambda: build_vit(SMALL),
    "hq-sam-vit-b": lambda: build_hq_vit(SMALL),
    "mobile-sam": lambda: build_mobile_sam(128),
    "light-hq-sam": lambda: build_light_hq_sam(128),
    "sam2.1-tiny": lambda: build_hiera(HieraSizes(width=16, heads=1, depths=(1, 1, 2, 1), global_layers=(3,), side=128)),
}
WINDOWS = {"reinit.enabled": True, "reinit.horizon": 3, "reinit.tracker_horizon": 3}
"""Short ones, so that there are several in the clip."""


@dataclass(frozen=True, eq=False)
class Gt:
    """The first frames of a sequence with two objects: the left and the right half of the annotated one."""

    folder: str
    clip: RecordedClip

    @classmethod
    def read(cls) -> Gt:
        folder = str(DAVIS / "JPEGImages" / "480p" / SEQUENCE)
        masks = []
        for i in range(NUM_FRAMES):
            whole = np.asarray(Image.open(DAVIS / "Annotations" / "480p" / SEQUENCE / f"{i:05d}.png")) > 0
            left = np.arange(whole.shape[1]) <= np.median(np.nonzero(whole)[1])
            masks.append([whole & left, whole & ~left])
        return cls(folder, RecordedClip(open_video(folder).read(0, NUM_FRAMES), np.array(masks)))

    def queries(self, frame_idx: int = 0) -> list[QueryMask]:
        return [QueryMask(o, frame_idx, mask) for o, mask in enumerate(self.clip.masks(frame_idx), 1)]

    def label_png(self, path: Path) -> str:
        labels = sum((o * mask for o, mask in enumerate(self.clip.masks(0), 1)), np.zeros((), np.int64))
        Image.fromarray(np.asarray(labels, np.uint8)).save(path)
        return str(path)

    def is_on(self, frame_idx: int, object_id: int, xy: np.ndarray) -> np.ndarray:
        return mask_at(self.clip.masks(frame_idx)[object_id - 1], xy)


class OracleTracker(CausalTracker):
    """A point on an object keeps its rank among the pixels of the object's ground-truth mask, left to right; others stay in
    place."""

    def __init__(self, clip: RecordedClip) -> None:
        self.clip = clip

    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo("oracle", "MIT", None, is_causal=True)

    @cached_property
    def finder(self) -> FrameFinder:
        return FrameFinder([self.clip])

    def stream(self) -> TrackerStream:
        return OracleStream(self.clip, self.finder)


class OracleStream(TrackerStream):
    def __init__(self, clip: RecordedClip, finder: FrameFinder) -> None:
        self._clip, self._finder = clip, finder
        self._xy, self._owner, self._fraction = np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros(0)
        self._masks = np.zeros((0, 0, 0), np.bool_)

    def push(self, frame: UInt8Array) -> TrackStep:
        self._masks = self._clip.masks(self._finder.find(frame)[1])
        visible = ~mask_at(self._masks.any(0), self._xy)  # off the objects: until one comes
        for o, mask in enumerate(self._masks):
            own, pixels = self._owner == o, np.argwhere(mask.T)
            visible[own] = len(pixels) > 0
            if len(pixels):
                self._xy[own] = pixels[(self._fraction[own] * len(pixels)).astype(int)]
        return TrackStep(self._xy.copy(), visible, visible.astype(np.float32))

    def add(self, xy: np.ndarray) -> None:
        owner, fraction = np.full(len(xy), -1), np.zeros(len(xy))
        for o, mask in enumerate(self._masks):
            pixels = np.argwhere(mask.T)
            for k in np.flatnonzero(mask_at(mask, xy)):
                owner[k] = o
                fraction[k] = np.flatnonzero((pixels == np.rint(xy[k])).all(1))[0] / len(pixels)
        self._xy = np.concatenate([self._xy, xy]).astype(np.float32)
        self._owner, self._fraction = np.concatenate([self._owner, owner]), np.concatenate([self._fraction, fraction])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On busy cores several threads wait for each other most of the time."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def gt() -> Gt:
    return Gt.read()


@pytest.fixture
def oracle(gt: Gt, monkeypatch: pytest.MonkeyPatch) -> OracleTracker:
    """Installed under its name, like a tracker of another package."""
    tracker = OracleTracker(gt.clip)
    module = types.ModuleType("oracle_for_tests")
    vars(module)["create"] = lambda *, weights, device: tracker
    monkeypatch.setitem(sys.modules, "oracle_for_tests", module)
    spec = BackendSpec("oracle", "oracle_for_tests:create", TrackerInfo("oracle", "MIT", None))
    monkeypatch.setitem(BUILT_IN["tracker"], "oracle", spec)
    return tracker


@pytest.fixture
def reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks under the published names."""
    module = types.ModuleType("reduced_for_tests")
    for name, builder in BUILDERS.items():
        vars(module)[name] = builder
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], builder=f"reduced_for_tests:{name}"))
    monkeypatch.setitem(sys.modules, "reduced_for_tests", module)


@dataclass(frozen=True, eq=False)
class Asked:
    """What the segmenter was prompted for one frame, by its size in the clip's order of prompting."""

    prompts: Sequence[ObjectPrompt]
    plan: RefinementPlan


@pytest.fixture
def prompted(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Everything that any segmenter of the family is prompted."""
    calls: list[Asked] = []
    inner = SamSegmenter.decode_with_refinement

    def decode_with_refinement(self: SamSegmenter, embedding: Any, prompts: Any, plan: RefinementPlan) -> Any:
        calls.append(Asked(prompts, plan))
        return inner(self, embedding, prompts, plan)

    monkeypatch.setattr(SamSegmenter, "decode_with_refinement", decode_with_refinement)
    return calls


def config_of(name: str, **changes: Any) -> SegmentConfig:
    """The preset for small networks with the oracle; random weights predict any IoU, so none is too low."""
    given = {"tracker": "oracle", "segmenter": name, "segmenter_weights": "random", "prompting.iou_threshold": 0.0}
    given |= {"sampling.positive_sampler": "random", "sampling.negative_sampler": "random"}
    given |= {"sampling.positive_points": 6, "prompting.refinement_steps": 2, "reinit.enabled": False}
    given |= {"prompting.object_memory": False, "reinit.compete": False}  # which would change what is prompted
    return with_settings(PRESETS["fast"], given | changes)


def job_of(gt: Gt, output: Path, config: SegmentConfig, **changes: Any) -> Job:
    given: dict[str, Any] = {"video": gt.folder, "queries": gt.queries(), "output": output, "config": config}
    options = {"device": "cpu", "formats": ["png", "npz"]}
    options |= {name: changes.pop(name) for name in ("precision", "runtime") if name in changes}
    return Job(**given | {"stop": NUM_FRAMES, "options": RunOptions(**options)} | changes)


def labels_in(output: Path) -> np.ndarray:
    """(t, h, w) label maps that a run wrote."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((output / "masks").glob("*.png"))])


def check_points(output: Path, gt: Gt, *, is_renewed: bool) -> None:
    """Every saved point that is visible and was drawn from a ground-truth mask lies on its object; others came if
    ``is_renewed``."""
    tracks = load_tracks(output / "tracks.npz")
    frames = np.repeat(tracks.frame_idx, np.diff(tracks.frame_splits))
    num_given = tracks.frame_splits[1]  # with re-initialisation tracked twice: in the first window, and to the end
    assert (tracks.point_id.max() >= 2 * num_given) == is_renewed
    own = tracks.visible & tracks.is_positive & (tracks.point_id < 2 * num_given)
    for i in range(len(tracks.frame_idx)):
        for object_id in (1, 2):
            xy = tracks.xy[own & (frames == i) & (tracks.object_id == object_id)]
            assert len(xy) >= 3
            assert gt.is_on(i, object_id, xy).all()


def check_asked(prompted: Sequence[Asked], steps: int) -> None:
    """Several rounds, and with two objects each one's points are the other one's negatives."""
    together = [call.prompts for call in prompted if len(call.prompts) == 2]
    assert together
    assert {call.plan for call in prompted} == {RefinementPlan(positives_first=True, steps=steps)}
    for one, two in together:
        for own, other in ((one, two), (two, one)):
            negatives = {tuple(xy) for xy in own.xy[~own.is_positive].tolist()}
            assert {tuple(xy) for xy in other.xy[other.is_positive].tolist()} <= negatives
            assert own.is_positive.any()


@needs_davis
@pytest.mark.parametrize("reinit", ["--no-reinit", "--reinit"])
@pytest.mark.parametrize("name", BUILDERS)
def test_from_the_command_line_to_the_files(
    name: str, reinit: str, gt: Gt, oracle: Any, reduced: None, prompted: list[Asked], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--preset", "fast", "--tracker", "oracle", "--segmenter", name, "--segmenter-weights", "random", reinit]
    options += ["--no-object-memory", "--no-reinit-compete"]
    options += ["--iou-threshold", "0", "--positive-points", "6", "--refinement-steps", "2", "--device", "cpu"]
    options += ["--reinit-horizon", "3", "--reinit-tracker-horizon", "3", "--stop", str(NUM_FRAMES), "--quiet"]
    options += ["--positive-sampler", "random", "--negative-sampler", "random"]
    mask = gt.label_png(tmp_path / "first.png")
    assert main(["segment", gt.folder, "--mask", mask, "-o", str(out), *options]) == 0

    assert {path.name for path in out.iterdir()} == {"run.json", *map(output_name, DEFAULT_FORMATS)}
    record = json.loads((out / "run.json").read_text())
    assert record["weights"] == {"tracker": "default", "segmenter": "random"}
    assert (record["runtime"], record["precision"]) == ("auto", "auto")
    assert record["licenses"] == {"tracker oracle": "code MIT, no weights", f"segmenter {name}": "code Apache-2.0, no weights"}
    assert record["backends"]["segmenter"]["device"] == "cpu"
    assert record["backends"]["segmenter"]["source"] == BUILT_IN["segmenter"][name].info.source
    assert (record["num_frames"], record["size_hw"]) == (NUM_FRAMES, [480, 854])

    labels = labels_in(out)
    assert labels.shape == (NUM_FRAMES, 480, 854)
    assert np.array_equal(labels[0], np.asarray(Image.open(mask)))
    for item in record["objects"]:
        present = [(frame == item["id"]).any() for frame in labels]
        assert item["frames_present"] == sum(present)
        assert (item["last_state"] == "PRESENT") == present[-1]
    assert labels[1:].any()
    check_points(out, gt, is_renewed=reinit == "--reinit")
    check_asked(prompted, steps=2)

    config = config_of(name, **WINDOWS | {"reinit.enabled": reinit == "--reinit"})
    segmenter = create_segmenter(name, weights="random", device="cpu")
    video = sampt.video.base.SubVideo(open_video(gt.folder), range(NUM_FRAMES))
    results = list(segment_video(video, gt.queries(), config=config, tracker=oracle, segmenter=segmenter))
    assert np.array_equal(np.stack([result.label_map() for result in results]), labels)
    assert {ObjectState(s) for result in results for s in result.states} <= {
        ObjectState.PRESENT,
        ObjectState.RETIRED,
        ObjectState.HIDDEN_BY_OTHERS,
        ObjectState.EMPTY,
        ObjectState.NO_VISIBLE_POINT,
    }


class PassByPass:
    """The segmenter without its own way through the rounds."""

    def __init__(self, segmenter: Any) -> None:
        self.info = replace(segmenter.info, has_refinement=False)
        self.encode, self.decode = segmenter.encode, segmenter.decode


@needs_davis
@pytest.mark.parametrize("name", BUILDERS)
def test_masks_are_the_answers_to_the_saved_points(name: str, gt: Gt, oracle: Any, reduced: None, tmp_path: Path) -> None:
    run_job(job_of(gt, tmp_path / "out", config_of(name), stop=3))
    labels, tracks = labels_in(tmp_path / "out"), load_tracks(tmp_path / "out" / "tracks.npz")
    segmenter = PassByPass(create_segmenter(name, weights="random", device="cpu"))
    rows = slice(*tracks.frame_splits[2:4])
    xy, visible = tracks.xy[rows], tracks.visible[rows]
    prompts = []
    for object_id in (1, 2):
        own = tracks.object_id[rows] == object_id
        used = np.concatenate([np.flatnonzero(visible & own), np.flatnonzero(visible & ~own & tracks.is_positive[rows])])
        prompts.append(ObjectPrompt(object_id, xy[used], (own & tracks.is_positive[rows])[used]))
    embedding = segmenter.encode(gt.clip.frames[2:3])[0]
    predictions = segment_prompts(segmenter, embedding, prompts, PromptConfig(refinement_steps=2))
    logits = np.stack([np.zeros((480, 854)), *(a.logits for a in predictions if a.logits is not None)])
    assert ((logits[1:] > 0).mean((1, 2)) > 0.01).any()  # random weights say something
    assert (logits.argmax(0) != labels[2]).mean() < 1e-3  # of logits that are nearly equal either may win


@needs_davis
@pytest.mark.parametrize(
    "name",
    [
        "mobile-sam",
        "light-hq-sam",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sam-vit-b", "sam2.1-tiny")),
    ],
)
def test_networks_of_full_size_from_clicks(name: str, gt: Gt, oracle: Any, prompted: list[Asked], tmp_path: Path) -> None:
    clicks = []
    for object_id, mask in enumerate(gt.clip.masks(0), 1):
        x, y = np.argwhere(mask.T)[mask.sum() // 2]
        clicks += ["--points", f"{object_id},0,{x},{y}"]
    options = ["--preset", "fast", "--tracker", "oracle", "--segmenter", name, "--segmenter-weights", "random", "--quiet"]
    options += ["--no-object-memory", "--no-reinit-compete"]
    options += ["--iou-threshold", "0", "--refinement-steps", "1", "--positive-points", "4", "--device", "cpu"]
    options += ["--positive-sampler", "random", "--negative-sampler", "random"]
    options += ["--stop", "2", "--reinit-horizon", "2", "--formats", "png,npz"]
    assert main(["segment", gt.folder, *clicks, "-o", str(tmp_path), *options]) == 0
    labels = labels_in(tmp_path)
    assert labels.shape == (2, 480, 854)
    assert set(np.unique(labels)) <= {0, 1, 2}
    assert labels.any()
    check_asked(prompted, steps=1)
    assert max(len(p.xy) for call in prompted for p in call.prompts) >= 10  # points of its own masks were added to the clicks


@needs_davis
@pytest.mark.parametrize("name", ["mobile-sam", "sam2.1-tiny"])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_masks(
    name: str, gt: Gt, oracle: Any, reduced: None, prompted: list[Asked], tmp_path: Path
) -> None:
    whole = run_job(job_of(gt, tmp_path / "whole", config_of(name)))
    num_asked = len(prompted)
    assert num_asked == NUM_FRAMES - 1  # masks are given on the first frame

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    job = job_of(gt, tmp_path / "cut", config_of(name))
    with pytest.raises(KeyboardInterrupt):
        run_job(job, stop)
    prompted.clear()
    result = run_job(job)
    assert result.num_resumed == 4
    assert len(prompted) == NUM_FRAMES - 4
    assert np.array_equal(labels_in(tmp_path / "cut"), labels_in(tmp_path / "whole"))
    assert [o.frames_present for o in result.objects] == [o.frames_present for o in whole.objects]
    assert run_job(job).was_complete


@needs_davis
def test_other_weights_runtime_or_precision_are_another_run(gt: Gt, oracle: Any, reduced: None, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "mine.pth"
    config = config_of("mobile-sam")
    run_job(job_of(gt, out, config, stop=3))
    torch.save(load_network(MODELS["mobile-sam"], None).state_dict(), file)
    from_file = with_settings(config, {"segmenter_weights": str(file)})
    others = [(config, {"precision": "bfloat16"}), (config, {"runtime": "torch"}), (from_file, {})]
    for other, changes in others:
        with pytest.raises(OutputError, match="with other settings or input"):
            run_job(job_of(gt, out, other, stop=3, **changes))
    assert run_job(job_of(gt, out, config, stop=3)).was_complete

    loaded = run_job(job_of(gt, tmp_path / "loaded", from_file, stop=3))
    assert np.array_equal(labels_in(tmp_path / "loaded"), labels_in(out))  # the file holds the random weights
    assert loaded.licenses["segmenter mobile-sam"] == "code Apache-2.0, weights unknown (not an official file)"
    half = run_job(job_of(gt, tmp_path / "half", config, stop=3, precision="bfloat16"))
    assert json.loads((half.output / "run.json").read_text())["precision"] == "bfloat16"
    assert (labels_in(half.output) != labels_in(out)).mean() < 0.1


class Counted:
    """All embeddings that segmenters of the family have made, and which of them are still there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._made: list[weakref.ref[SamEmbedding]] = []
        inner = SamSegmenter.encode

        def encode(segmenter: SamSegmenter, frames: UInt8Array) -> Sequence[SamEmbedding]:
            found = inner(segmenter, frames)
            self._made += [weakref.ref(embedding) for embedding in found]
            self.num_made += len(found)
            return found

        self.num_made = 0
        monkeypatch.setattr(SamSegmenter, "encode", encode)

    def num_alive(self) -> int:
        self._made = [made for made in self._made if made() is not None]
        return len(self._made)


def run_windows(config: SegmentConfig, counted: Counted) -> Iterator[tuple[int, FrameMasks]]:
    """Embeddings alive after each of 60 frames, and its masks; one object is named in the middle: windows run back, too."""
    scene = crossing_scene(60, (48, 80))
    queries = [QueryMask(1, 0, scene.masks(0)[0]), QueryMask(2, 30, scene.masks(30)[1])]
    segmenter = create_segmenter("sam-vit-b", weights="random", device="cpu")
    parts: dict[str, Any] = {"tracker": ExactStreamTracker(scene), "segmenter": segmenter}
    for result in segment_video(SceneVideo(scene), queries, config=config, **parts):
        yield counted.num_alive(), result


def test_embeddings_kept_do_not_grow_with_the_frames(reduced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    config = config_of("sam-vit-b", **WINDOWS, **{"prompting.refinement_steps": 0})
    found = list(run_windows(config, counted))
    alive = np.array([number for number, _ in found])
    horizon = config.reinit.tracker_horizon
    assert len(found) == 60
    assert counted.num_made > 60  # in both directions, and frames are prompted with from several windows
    assert alive.max() <= 2 * horizon  # those of a window, of the next one, and the frame prompted for last
    assert alive[40:].max() <= alive[:40].max()

    made = counted.num_made
    size = 256 * 8 * 8 * 4  # bytes of an embedding of the reduced network
    monkeypatch.setattr("sampt.pipeline.segment.Engine", partial(Engine, cache_bytes=2 * size))
    tight = list(run_windows(config, counted))
    assert max(number for number, _ in tight) <= 3  # two kept, and the frame prompted for last
    assert counted.num_made - made >= made  # what is not kept is made again
    for (_, one), (_, two) in zip(found, tight, strict=True):
        assert np.array_equal(one.masks, two.masks)


ODD_SIZES = [(40, 8192), (256, 8192), (8192, 3), (5000, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("size_hw", ODD_SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
@pytest.mark.parametrize("name", BUILDERS)
def test_frames_of_odd_sizes_get_finite_logits_of_their_size(name: str, size_hw: tuple[int, int], reduced: None) -> None:
    segmenter = create_segmenter(name, weights="random", device="cpu")
    height, width = size_hw
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    frames = np.stack([np.broadcast_to(ramp[:, None], (*size_hw, 3)), np.full((*size_hw, 3), 128, np.uint8)])  # and plain grey
    corners = np.array([[0, 0], [width - 1, height - 1], [width // 2, height // 2]], np.float32)
    prompts = [ObjectPrompt(1, corners, np.array([True, False, True])), ObjectPrompt(2, corners[:1], np.array([True]))]
    for embedding in segmenter.encode(frames):
        for prediction in segment_prompts(segmenter, embedding, prompts, PromptConfig(refinement_steps=2)):
            assert prediction.logits is not None
            assert prediction.logits.shape == size_hw
            assert np.isfinite(prediction.logits).all()
            assert 0 <= prediction.score <= 1
            if prediction.box_xyxy is not None:
                x0, y0, x1, y1 = prediction.box_xyxy
                assert 0 <= x0 <= x1 < width
                assert 0 <= y0 <= y1 < height


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (40, 8192)], ids=str)
def test_automatic_masks_on_odd_frames_fit_them(size_hw: tuple[int, int], reduced: None) -> None:
    segmenter = create_segmenter("mobile-sam", weights="random", device="cpu")
    config = AutomaticMaskConfig(points_per_side=2, score_threshold=0, stability_threshold=0)
    for found_mask in generate_masks(np.full((*size_hw, 3), 99, np.uint8), segmenter, config):
        assert found_mask.mask.shape == size_hw
        assert found_mask.mask.any()


SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of 8 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: 99 bytes"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


def failing(method: str, error: Exception) -> Any:
    """A small network with one method that fails."""
    network = load_network(MODELS["mobile-sam"], None)

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    setattr(network, method, fail)
    return network


@pytest.mark.parametrize("error", SHORT, ids=["CUDA", "CPU", "MPS", "cuBLAS", "Python"])
@pytest.mark.parametrize("method", ["encode", "predict", "load"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_too_little_memory_names_what_lowers_it(method: str, error: Exception, device: str, reduced: None) -> None:
    def load() -> Any:
        if method == "load":
            raise error
        return failing(method, error)

    # The device is a name here, and nothing is put there before the network fails.
    segmenter = SamSegmenter(MODELS["mobile-sam"], load, torch.device(device if method == "load" else "cpu"))
    frame = np.zeros((1, 30, 40, 3), np.uint8)
    prompt = ObjectPrompt(1, np.ones((1, 2), np.float32), np.array([True]))
    with pytest.raises(BackendError) as caught:
        segment_prompts(segmenter, segmenter.encode(frame)[0], [prompt], PromptConfig(refinement_steps=1))
    message = str(caught.value)
    assert message.startswith(f"'mobile-sam' needs more memory than {segmenter.info.device} has free; choose ")
    assert "a smaller model" in message
    assert "longest_side" in message
    assert ("precision 'bfloat16'" in message) == ("device 'cpu'" in message) == (segmenter.info.device == "cuda")
    assert "\n" not in message
    assert caught.value.__cause__ is error


def test_other_failures_of_a_network_are_no_matter_of_memory(reduced: None) -> None:
    network = failing("encode", RuntimeError("shapes cannot be multiplied"))
    segmenter = SamSegmenter(MODELS["mobile-sam"], lambda: network, torch.device("cpu"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        segmenter.encode(np.zeros((1, 30, 40, 3), np.uint8))


@needs_davis
def test_the_oracle_keeps_points_on_their_objects(gt: Gt, oracle: OracleTracker) -> None:
    video = sampt.video.base.SubVideo(open_video(gt.folder), range(NUM_FRAMES))
    xy = np.concatenate([np.argwhere(mask.T)[:: mask.sum() // 5][:5] for mask in gt.clip.masks(3)])
    points = sampt.Points(xy, np.full(10, 3), np.repeat([1, 2], 5), np.ones(10, np.bool_))
    tracks = create_tracker("oracle").track(video, points)
    assert tracks.visible.all()
    assert np.array_equal(tracks.xy[3], xy)
    for i in range(NUM_FRAMES):
        assert gt.is_on(i, 1, tracks.xy[i, :5]).all()
        assert gt.is_on(i, 2, tracks.xy[i, 5:]).all()
    assert np.abs(tracks.xy[0] - tracks.xy[5]).max() > 3
