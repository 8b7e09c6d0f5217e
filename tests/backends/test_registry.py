"""Names become backends; a stranger's package joins by entry points, proven with one that pip installs."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sampt
from sampt.backends.options import check_device
from sampt.backends.registry import available, describe_backends, list_options
from sampt.backends.spec import BackendSpec, SegmenterInfo
from sampt.backends.table import BUILT_IN, PROPOSERS
from sampt.errors import BackendError
from sampt.proposers.create import create_proposer
from sampt.segmenters.create import create_segmenter
from sampt.trackers.create import create_tracker
from sampt.weights import SOURCES

_PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny-sampt-plugin"
version = "0.1"
"""

# A build backend of its own, so that pip needs no network and no build tool.
_BACKEND = """\
import pathlib
import zipfile

INFO = "tiny_sampt_plugin-0.1.dist-info"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny_sampt_plugin-0.1-py3-none-any.whl"
    files = {
        "tiny_sampt_plugin/__init__.py": pathlib.Path("tiny_sampt_plugin/__init__.py").read_text(),
        INFO + "/METADATA": "Metadata-Version: 2.1\\nName: tiny-sampt-plugin\\nVersion: 0.1\\n",
        INFO + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        INFO + "/entry_points.txt": pathlib.Path("entry_points.txt").read_text(),
    }
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(INFO + "/RECORD", "".join(f"{path},,\\n" for path in [*files, INFO + "/RECORD"]))
    return name
"""

_ENTRY_POINTS = """\
[sampt.trackers]
tiny-tracker = tiny_sampt_plugin:create_tracker
absent-tracker = tiny_sampt_plugin.missing:create
[sampt.segmenters]
tiny-segmenter = tiny_sampt_plugin:create_segmenter
"""

# A tracker by matching small patches near the last location, and a segmenter by the colour of the first positive point.
_MODULE = """\
import cv2
import numpy as np
from sampt.geometry import find_mask_box, inside_frame, round_to_pixels
from sampt.segmenters.base import SegmenterInfo
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep
from sampt.types import MaskPrediction


def create_tracker(*, weights="default", device="auto"):
    return TinyTracker()


def create_segmenter(*, weights="default", device="auto"):
    return TinySegmenter()


class TinyTracker(CausalTracker):
    info = TrackerInfo("tiny-tracker", "MIT", None, is_causal=True)

    def stream(self):
        return TinyStream()


class TinyStream(TrackerStream):
    def __init__(self):
        self.xy = np.zeros((0, 2), np.float32)
        self.seen = np.zeros(0, bool)
        self.last = None

    def push(self, frame):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if len(self.xy):
            moved, found, _ = cv2.calcOpticalFlowPyrLK(self.last, grey, self.xy[:, None], None, winSize=(15, 15))
            moved = moved.reshape(-1, 2)
            self.seen = self.seen & (found.ravel() == 1) & inside_frame(moved, grey.shape)
            self.xy = np.where(self.seen[:, None], moved, self.xy)
        self.last = grey
        return TrackStep(self.xy.copy(), self.seen.copy(), self.seen.astype(np.float32))

    def add(self, xy):
        self.xy = np.concatenate([self.xy, xy]).astype(np.float32)
        self.seen = np.concatenate([self.seen, np.ones(len(xy), bool)])


class TinySegmenter:
    info = SegmenterInfo("tiny-segmenter", "MIT", None, encode_batch=2)

    def encode(self, frames):
        return [cv2.cvtColor(cv2.GaussianBlur(f, (0, 0), 1.5), cv2.COLOR_RGB2LAB).astype(np.float32) for f in frames]

    def decode(self, embedding, prompts, *, full_size=True):
        return [self.answer(embedding, p, full_size) for p in prompts]

    def answer(self, lab, prompt, full_size):
        if prompt.is_positive.any():
            rows, columns = round_to_pixels(prompt.xy[prompt.is_positive], lab.shape[:2])
            seeds = lab[rows, columns]
            distance = np.min([np.linalg.norm((lab - s)[..., 1:], axis=-1) for s in seeds], axis=0)
            logits = (18 - distance).astype(np.float32)
        else:
            logits = np.full(lab.shape[:2], 1, np.float32)
        mask = logits > 0
        box = find_mask_box(mask) if mask.sum() > 1 else None
        return MaskPrediction(prompt.object_id, 0.9, logits, box, logits if full_size else None)
"""

_RUN = """\
import numpy as np
from sampt import Points, SegmentConfig, create_segmenter, create_tracker, segment_video
from sampt.errors import BackendError
from sampt.backends.registry import available
from sampt.testing import SceneVideo, check_segmenter, check_tracker, static_scene

assert "tiny-tracker" in available("tracker") and "dis-flow" in available("tracker"), available("tracker")
assert "tiny-segmenter" in available("segmenter"), available("segmenter")
import sys
assert "tiny_sampt_plugin" not in sys.modules, "listing must not import"
check_tracker(lambda: create_tracker("tiny-tracker"))
check_segmenter(lambda: create_segmenter("tiny-segmenter"))
scene = static_scene(4)
config = SegmentConfig(tracker="tiny-tracker", segmenter="tiny-segmenter")
query = Points.of(1, 1, [[27, 29], [20, 30]])
results = list(segment_video(SceneVideo(scene), query, config=config))
for result in results:
    gt = scene.masks(result.frame_idx)[0]
    iou = (result.masks[0] & gt).sum() / (result.masks[0] | gt).sum()
    assert iou > 0.5, iou
try:
    create_tracker("absent-tracker")
except BackendError as error:
    assert "'absent-tracker' cannot be imported from tiny_sampt_plugin.missing:create (package tiny-sampt-plugin)" in str(error)
else:
    raise AssertionError("absent-tracker was made")
print("frames", len(results))
"""


@pytest.fixture(scope="module")
def plugin_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed a tiny plug-in package."""
    pytest.importorskip("pip", reason="the environment has no pip to install the plug-in with")
    root = tmp_path_factory.mktemp("plugin")
    source = root / "source"
    (source / "tiny_sampt_plugin").mkdir(parents=True)
    (source / "tiny_sampt_plugin" / "__init__.py").write_text(_MODULE)
    (source / "pyproject.toml").write_text(_PROJECT)
    (source / "backend.py").write_text(_BACKEND)
    (source / "entry_points.txt").write_text(_ENTRY_POINTS)
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(root / "site"), str(source)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return root / "site"


def test_installed_package_is_listed_checked_and_run(plugin_path: Path) -> None:
    folders = [str(plugin_path), str(Path(sampt.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-W", "error", "-c", _RUN]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout == "frames 4\n"


def test_built_in_back_ends_are_listed_sorted() -> None:
    assert set(available("tracker")) >= {"dis-flow", "lucas-kanade"}
    assert "grabcut" in available("segmenter")
    assert list(available("tracker")) == sorted(available("tracker"))


def test_every_back_end_answers_to_its_name() -> None:
    for name in available("tracker"):
        if name != "tracks":  # which has no network, and is made of a file (test_tracks_file.py)
            _check_said("tracker", name, create_tracker(name, weights=None).info)
    for name in available("segmenter"):
        _check_said("segmenter", name, create_segmenter(name, weights=None).info)
    for name, spec in PROPOSERS.items():
        if not spec.info.needs_argument:  # the others are made of a file or words (tests/proposers)
            _check_said("proposer", name, create_proposer(name).info)


def _check_said(kind: str, name: str, info: Any) -> None:
    """The table says of a backend what it says of itself; Segment Anything has no licence of random weights."""
    spec = BUILT_IN[kind][name]
    assert (info.name, spec.name) == (name, name)
    assert info.license_weights in (spec.info.license_weights, None)
    measured = {field: getattr(info, field) for field in ("device", "encode_batch", "license_weights") if hasattr(info, field)}
    assert replace(spec.info, **measured) == info


def test_licenses_of_weights_are_those_of_the_checkpoints() -> None:
    specs = BUILT_IN["tracker"] | BUILT_IN["segmenter"] | {s.name: s for s in PROPOSERS.values() if s.weights}
    found = {s.backend: s.license_weights for s in SOURCES.values() if s.backend in specs and s.backend != "lightglue"}
    assert len(found) > 20
    assert {name: specs[name].info.license_weights for name in found} == found
    assert specs["nano"].info.license_weights == "Apache-2.0"
    assert [n for n, s in specs.items() if s.info.license_weights is None] == ["dis-flow", "lucas-kanade", "tracks", "grabcut"]


def test_checkpoints_are_those_that_are_known_for_a_back_end() -> None:
    for spec in (*BUILT_IN["tracker"].values(), *BUILT_IN["segmenter"].values(), *PROPOSERS.values()):
        if spec.name == "text-sam3":
            continue  # whose weights are those of the segmenter
        assert spec.weights == tuple(source.name for source in SOURCES.values() if source.backend == spec.name)


def test_describing_imports_no_back_end() -> None:
    code = """
import sys
from sampt.backends.registry import describe_backends
found = {kind: describe_backends(kind) for kind in ("tracker", "segmenter", "proposer")}
backends = "torch", "onnxruntime", "sampt.trackers", "sampt.segmenters", "sampt.proposers"
assert not [m for m in sys.modules if m.startswith(backends)]
print(*(facts.name for kind in found for facts in found[kind]))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(sampt.__file__).parents[1])}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.split() == [*available("tracker"), *available("segmenter"), *available("proposer")]


def test_an_installed_back_end_is_described_by_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "wavelets-1.2.dist-info"
    folder.mkdir()
    folder.joinpath("METADATA").write_text("Metadata-Version: 2.4\nName: wavelets\nVersion: 1.2\nLicense-Expression: MIT\n")
    folder.joinpath("entry_points.txt").write_text("[sampt.trackers]\nwaves = absent_module:create\n")
    monkeypatch.syspath_prepend(tmp_path)
    (facts,) = (f for f in describe_backends("tracker") if f.name == "waves")
    assert (facts.license_code, facts.license_weights, facts.source, facts.missing) == ("MIT", "not said", "wavelets 1.2", None)


def test_unknown_names_are_answered_with_the_closest() -> None:
    with pytest.raises(BackendError, match=r"'lucas-canade'. Did you mean 'lucas-kanade'\? Available: bootstapir, "):
        create_tracker("lucas-canade")
    with pytest.raises(BackendError, match=r"Unknown segmenter 'zzz'. Available: edgetam, grabcut, hq-sam-vit-b, "):
        create_segmenter("zzz")


@pytest.mark.parametrize("name", ["dis-flow", "lucas-kanade"])
def test_classical_trackers_refuse_weights_and_other_devices(name: str) -> None:
    with pytest.raises(BackendError, match=f"'{name}' has no weights, got 'my.pt'; leave the option out"):
        create_tracker(name, weights="my.pt")
    with pytest.raises(BackendError, match=f"'{name}' cannot run on device 'cuda'; it runs on the CPU: choose 'auto' or 'cpu'"):
        create_tracker(name, device="cuda")
    assert create_tracker(name, weights=None, device="cpu").info.is_causal


def test_device_check_lets_the_cpu_pass() -> None:
    check_device("auto", "x")
    check_device("cpu", "x")
    with pytest.raises(BackendError, match=r"'x' cannot run on device 'mps'"):
        check_device("mps", "x")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str | None]]:
    """What the segmenters "plain", with no choice, "chosen", of the runtime, and "open", of all, were made with."""
    calls: list[dict[str, str | None]] = []

    def plain(*, weights: str | None, device: str) -> None:
        calls.append({"weights": weights, "device": device})

    def chosen(*, weights: str | None, device: str, runtime: str = "own") -> None:
        calls.append({"weights": weights, "device": device, "runtime": runtime})

    def open_(**given: str | None) -> None:
        calls.append(given)

    module = types.ModuleType("made_up")
    vars(module).update(plain=plain, chosen=chosen, open=open_)
    monkeypatch.setitem(sys.modules, "made_up", module)
    for name in ("plain", "chosen", "open"):
        spec = BackendSpec(name, f"made_up:{name}", SegmenterInfo(name, "MIT", None))
        monkeypatch.setitem(BUILT_IN["segmenter"], name, spec)
    return calls


def test_a_choice_reaches_the_back_ends_that_leave_it(made: Any) -> None:
    names = ("plain", "chosen", "open", "grabcut")
    assert [sorted(list_options("segmenter", name)) for name in names] == [[], ["runtime"], ["precision", "runtime"], []]
    for name in names[:3]:
        create_segmenter(name)
    create_segmenter("chosen", weights="a.pth", device="cpu", runtime="openvino")
    create_segmenter("open", weights="random", precision="float16")
    usual = {"weights": "default", "device": "auto"}
    assert made == [
        usual,
        usual | {"runtime": "own"},
        usual,
        {"weights": "a.pth", "device": "cpu", "runtime": "openvino"},
        {"weights": None, "device": "auto", "precision": "float16"},
    ]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grabcut", {"runtime": "openvino"}, "'grabcut' has no choice of runtime, got 'openvino'; leave the option out."),
        ("chosen", {"precision": "float32"}, "'chosen' has no choice of precision, got 'float32'; leave the option out."),
        (
            "plain",
            {"runtime": "openvno"},
            "Unknown runtime 'openvno'. Did you mean 'openvino'? Expected one of: auto, torch, compiled, onnxruntime, "
            "openvino.",
        ),
        (
            "open",
            {"precision": "fp16"},
            "Unknown precision 'fp16'. Expected one of: auto, float32, bfloat16, float16.",
        ),
    ],
)
def test_choices_that_are_not_there_are_refused(name: str, options: dict[str, str], message: str, made: Any) -> None:
    with pytest.raises(BackendError) as caught:
        create_segmenter(name, **options)
    assert str(caught.value) == message
    assert not made
