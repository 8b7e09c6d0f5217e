"""Networks of the Segment Anything family exported to ONNX, run by ONNX Runtime and OpenVINO."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")
pytest.importorskip("onnx", reason="onnx is one of the [torch] extras")
pytest.importorskip("openvino", reason="OpenVINO is one of the [openvino] extras")

from sampt.config import PromptConfig  # noqa: E402
from sampt.errors import BackendError  # noqa: E402
from sampt.prompts.refine import segment_prompts  # noqa: E402
from sampt.segmenters.base import RefinementPlan  # noqa: E402
from sampt.segmenters.create import create_segmenter  # noqa: E402
from sampt.segmenters.edgetam.network import RepVitSizes  # noqa: E402
from sampt.segmenters.edgetam.network import build as build_repvit  # noqa: E402
from sampt.segmenters.hq_sam.network import build_vit as build_hq_vit  # noqa: E402
from sampt.segmenters.mobile_sam.network import build_light_hq_sam, build_mobile_sam  # noqa: E402
from sampt.segmenters.sam import export  # noqa: E402
from sampt.segmenters.sam.adapter import SamEmbedding, SamSegmenter  # noqa: E402
from sampt.segmenters.sam.checkpoint import fill_random  # noqa: E402
from sampt.segmenters.sam.export import export_network  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam.network import SamNetwork, VitSizes, build_vit  # noqa: E402
from sampt.segmenters.sam.prompts import PromptBatch  # noqa: E402
from sampt.segmenters.sam.runtime import TorchRuntime  # noqa: E402
from sampt.segmenters.sam.two_way import TwoWay  # noqa: E402
from sampt.segmenters.sam2.network import HieraSizes  # noqa: E402
from sampt.segmenters.sam2.network import build as build_hiera  # noqa: E402
from sampt.types import ObjectPrompt  # noqa: E402

pytestmark = pytest.mark.slow  # every network through three runtimes: minutes

SMALL = VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128)
HIERA = HieraSizes(width=16, heads=1, depths=(1, 1, 2, 1), global_layers=(3,), side=128)
BUILDERS = {
    "sam-vit-b": lambda: build_vit(SMALL),
    "hq-sam-vit-b": lambda: build_hq_vit(SMALL),
    "mobile-sam": lambda: build_mobile_sam(128),
    "light-hq-sam": lambda: build_light_hq_sam(128),
    "sam2.1-tiny": lambda: build_hiera(HIERA),
    "edgetam": lambda: build_repvit(RepVitSizes((16, 16, 16, 16), (1, 1, 2, 1), side=128)),
}
FRAME = np.random.default_rng(0).integers(0, 256, (1, 90, 160, 3), dtype=np.uint8)


def reduced(name: str) -> SamNetwork:
    with torch.random.fork_rng(devices=[]):
        network: SamNetwork = BUILDERS[name]()
    fill_random(network)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module", params=BUILDERS)
def pair(request: pytest.FixtureRequest, folder: Path) -> tuple[str, SamSegmenter, Path]:
    """Name, segmenter by PyTorch, and the same network's export."""
    network = reduced(request.param)
    export_network(network, folder / request.param, request.param, "made for a test", "random")
    return request.param, SamSegmenter(MODELS[request.param], lambda: network, torch.device("cpu")), folder / request.param


def prompts() -> list[ObjectPrompt]:
    rng = np.random.default_rng(1)

    def one(object_id: int, points: int, negatives: int) -> ObjectPrompt:
        xy = rng.uniform((0, 0), (159, 89), (points, 2)).astype(np.float32)
        return ObjectPrompt(object_id, xy, np.arange(points) < points - negatives)

    return [one(3, 4, 1), one(1, 1, 0), one(2, 6, 3)]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_export_answers_as_pytorch_does(pair: tuple[str, SamSegmenter, Path], runtime: str) -> None:
    name, plain, path = pair
    exported = create_segmenter(name, weights=str(path), runtime=runtime)
    assert exported.info.device == "cpu"
    for steps in (0, 2):
        config = PromptConfig(refinement_steps=steps)
        predictions = segment_prompts(exported, exported.encode(FRAME)[0], prompts(), config)
        expected = segment_prompts(plain, plain.encode(FRAME)[0], prompts(), config)
        for predict_masks, other in zip(predictions, expected, strict=True):
            assert predict_masks.object_id == other.object_id
            assert predict_masks.logits is not None
            assert other.logits is not None
            assert predict_masks.logits.shape == (90, 160)
            assert np.abs(predict_masks.logits - other.logits).max() < 1e-3
            assert abs(predict_masks.score - other.score) < 1e-3
    alone = segment_prompts(exported, exported.encode(FRAME)[0], prompts()[:1], PromptConfig(refinement_steps=2))[0]
    together = segment_prompts(exported, exported.encode(FRAME)[0], prompts(), PromptConfig(refinement_steps=2))[0]
    assert alone.logits is not None
    assert together.logits is not None
    assert np.abs(alone.logits - together.logits).max() < 1e-3  # beside others an object is prompted for on one core


def test_an_export_knows_what_it_is(pair: tuple[str, SamSegmenter, Path], folder: Path) -> None:
    name, _, path = pair
    other = "mobile-sam" if name != "mobile-sam" else "light-hq-sam"
    with pytest.raises(BackendError, match=f"{other}' got an export of '{name}' of format 1 in .* run: sampt weights export"):
        create_segmenter(other, weights=str(path), runtime="onnxruntime")
    note = json.loads((path / "model.json").read_text())
    later = folder / f"later-{name}"
    later.mkdir()
    (later / "model.json").write_text(json.dumps(note | {"format": 2}))
    with pytest.raises(BackendError, match=r"of format 2 in .* expected one of .* of format 1"):
        create_segmenter(name, weights=str(later), runtime="onnxruntime")


@pytest.fixture(scope="module")
def small_export(folder: Path) -> Path:
    export_network(reduced("sam-vit-b"), folder / "small", "sam-vit-b", "made for a test", "random")
    return folder / "small"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_broken_export_is_told_in_one_line(small_export: Path, tmp_path: Path, runtime: str) -> None:
    for file in small_export.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 1000 if file.name == "decoder.onnx" else None])
    with pytest.raises(BackendError, match=r"decoder\.onnx.*Export (them|it) again") as caught:
        create_segmenter("sam-vit-b", weights=str(tmp_path), runtime=runtime)
    assert "\n" not in str(caught.value)


def test_what_an_export_cannot_do_is_told(small_export: Path) -> None:
    make = lambda **options: create_segmenter("sam-vit-b", **{"weights": str(small_export), "runtime": "openvino"} | options)  # noqa: E731
    with pytest.raises(BackendError, match="runtime 'openvino' got device 'cuda', expected 'auto' or 'cpu'"):
        make(device="cuda")
    with pytest.raises(BackendError, match="got precision 'float16', expected one of 'float32', 'bfloat16'"):
        make(precision="float16")
    with pytest.raises(BackendError, match="'onnxruntime' got precision 'bfloat16', expected 'auto' or 'float32'"):
        make(runtime="onnxruntime", precision="bfloat16")
    with pytest.raises(BackendError, match="got random weights, expected a checkpoint or an export"):
        make(weights=None)


def test_a_checkpoint_without_its_export_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "mine.pth").write_bytes(b"weights")
    with pytest.raises(BackendError, match=r"is not exported for runtime 'openvino' .* run: sampt weights export sam-vit-b"):
        create_segmenter("sam-vit-b", weights=str(tmp_path / "mine.pth"), runtime="openvino")


def test_an_export_that_differs_from_pytorch_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(export.ExportedRuntime):
        def encode(self, images: torch.Tensor) -> export.FrameFeatures:
            return export.FrameFeatures(super().encode(images).embedding * 1.01)

    monkeypatch.setattr(export, "ExportedRuntime", Wrong)
    with pytest.raises(BackendError, match=r"The export of 'sam-vit-b' differs from PyTorch by .* in its embedding"):
        export_network(reduced("sam-vit-b"), tmp_path / "wrong", "sam-vit-b", "made for a test", "random")
    assert list(tmp_path.iterdir()) == []


def test_large_weights_lie_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_MAX_BYTES_IN_ONE", 100_000)
    export_network(reduced("sam-vit-b"), tmp_path / "large", "sam-vit-b", "made for a test", "random")
    assert (tmp_path / "large" / "decoder.onnx.data").stat().st_size > 10_000_000
    for runtime in ("onnxruntime", "openvino"):
        segmenter = create_segmenter("sam-vit-b", weights=str(tmp_path / "large"), runtime=runtime)
        assert segmenter.decode(segmenter.encode(FRAME)[0], prompts())[0].logits is not None


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_less_precision_gives_nearly_the_same_masks(precision: str) -> None:
    network = reduced("sam-vit-b")
    plain = SamSegmenter(MODELS["sam-vit-b"], lambda: network, torch.device("cpu"))
    runtime = TorchRuntime(network, torch.device("cpu"), precision, compiles=False, name="sam-vit-b")
    less = SamSegmenter(MODELS["sam-vit-b"], lambda: runtime, torch.device("cpu"))
    embedding = less.encode(FRAME)[0]
    again = less.unpack(less.pack(embedding))
    for name, value in embedding.features.maps().items():
        assert value.dtype == again.features.maps()[name].dtype
        assert torch.equal(value, again.features.maps()[name])
    config = PromptConfig(refinement_steps=1)
    for one, two, three in zip(
        segment_prompts(plain, plain.encode(FRAME)[0], prompts(), config),
        segment_prompts(less, embedding, prompts(), config),
        segment_prompts(less, again, prompts(), config),
        strict=True,
    ):
        assert one.logits is not None
        assert two.logits is not None
        assert three.logits is not None
        assert 0 < np.abs(one.logits - two.logits).max() < 0.05 * max(1, np.abs(one.logits).max())
        assert np.array_equal(two.logits, three.logits)


def in_bfloat16(network: SamNetwork, name: str) -> SamSegmenter:
    runtime = TorchRuntime(network, torch.device("cpu"), "bfloat16", compiles=False, name=name)
    return SamSegmenter(MODELS[name], lambda: runtime, torch.device("cpu"))


@pytest.mark.parametrize("name", BUILDERS)
def test_locations_are_encoded_in_float32_whatever_the_network_computes_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    usual = TwoWay.__call__

    def noted(self: TwoWay, locations: Any, tokens: torch.Tensor, *rest: Any) -> Any:
        seen.append((tokens, torch.cat([self._positions, *(self._projections[1][k].added for k in (0, 2))], -1)))
        return usual(self, locations, tokens, *rest)

    network = reduced(name)
    less = in_bfloat16(network, name)
    embedding = less.encode(FRAME)[0]
    boxed = [replace(prompt, box_xyxy=np.array([3, 5, 120, 77], np.float32)) for prompt in prompts()]
    monkeypatch.setattr(TwoWay, "__call__", noted)
    less.decode(embedding, boxed)
    in_short, _ = seen.copy(), seen.clear()
    network._derived = None  # what follows from the weights is made anew
    runtime = TorchRuntime(network, torch.device("cpu"), "float32", compiles=False, name=name)
    runtime.predict(replace(embedding.features, **float_maps(embedding)), less._batch(embedding, boxed))
    assert len(seen) == len(in_short) == 3
    for (tokens, positions), (exact_tokens, exact_positions) in zip(in_short, seen, strict=True):
        assert tokens.dtype == positions.dtype == torch.float32
        assert torch.equal(tokens, exact_tokens)
        assert torch.equal(positions, exact_positions)


def float_maps(embedding: SamEmbedding) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in embedding.features.maps().items()}


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bfloat16_tells_points_apart_that_are_a_tenth_of_a_pixel_apart(
    pair: tuple[str, SamSegmenter, Path], engine: str
) -> None:
    name, plain, folder = pair
    less = in_bfloat16(plain.runtime, name)
    if engine == "openvino":
        less = create_segmenter(name, weights=str(folder), runtime="openvino", precision="bfloat16")
    embedding = less.encode(FRAME)[0]
    # At 0.9 of the way bfloat16 knows locations to a quarter of a pixel of the square, a third of one of the frame.
    near = [ObjectPrompt(1, np.array([[152.0 + step, 80.0]], np.float32), np.ones(1, np.bool_)) for step in (0.0, 0.1)]
    one, two = (predict_masks.logits for predict_masks in less.decode(embedding, near))
    assert one is not None
    assert two is not None
    assert not np.array_equal(one, two)


def test_boxes_of_passes_in_bfloat16_are_whole_pixels_of_the_frame() -> None:
    less = in_bfloat16(reduced("sam-vit-b"), "sam-vit-b")
    embedding = less.encode(FRAME)[0]
    example: list[PromptBatch] = []
    usual = less.runtime.predict

    def noted(image: Any, batch: PromptBatch, **options: Any) -> Any:
        example.append(batch)
        return usual(image, batch, **options)

    less.runtime.predict = noted  # type: ignore[method-assign]
    less.decode_with_refinement(embedding, prompts(), RefinementPlan(positives_first=True, steps=2))
    corners = [batch.xy[batch.kinds >= 2] for batch in example if (batch.kinds >= 2).any()]
    assert corners
    for xy in corners:
        assert xy.dtype == torch.float32
        on_frame = xy * 160 / 128
        assert (on_frame - on_frame.round()).abs().max() < 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's compiler uses what PyTorch has deprecated
def test_a_compiled_encoder_gives_the_same_features() -> None:
    network = reduced("sam-vit-b")
    plain = SamSegmenter(MODELS["sam-vit-b"], lambda: network, torch.device("cpu")).encode(FRAME)[0]
    compiled = TorchRuntime(network, torch.device("cpu"), "float32", compiles=True, name="sam-vit-b")
    try:
        found = SamSegmenter(MODELS["sam-vit-b"], lambda: compiled, torch.device("cpu")).encode(FRAME)[0]
    except BackendError as error:
        if "InvalidCxxCompiler" not in str(error):
            raise
        pytest.skip("no C++ compiler")
    assert (found.features.embedding - plain.features.embedding).abs().max() < 1e-4


_COMPILED = """
import numpy as np
from sampt.errors import BackendError
from sampt.segmenters.create import create_segmenter

try:
    create_segmenter("mobile-sam", weights="random", device="cpu", runtime="compiled").encode(np.zeros((1, 9, 16, 3), np.uint8))
except BackendError as error:
    print(error, end="")
"""


@pytest.mark.slow
def test_no_compiler_is_told_in_one_line(tmp_path: Path) -> None:
    """In a process of its own: PyTorch keeps what it has found out about compilers."""
    environment = {name: value for name, value in os.environ.items() if name != "TORCH_INDUCTOR_INSTALL_GXX"}
    environment |= {"CXX": "/none/g++", "PATH": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    text = subprocess.run([sys.executable, "-c", _COMPILED], env=environment, capture_output=True, text=True, check=True).stdout
    # To the end of PyTorch's own sentence, without its advice for debugging PyTorch.
    line = r"'mobile-sam' cannot be compiled .* \(.*No working C\+\+ compiler.*'/none/g\+\+'\)\)\. Choose runtime 'torch'\."
    assert re.fullmatch(line, text), text
