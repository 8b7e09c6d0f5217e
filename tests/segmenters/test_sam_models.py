"""Making a model of the Segment Anything family: what is missing is said in one line, nothing is built before it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("safetensors", reason="safetensors is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")

import torch
from safetensors.torch import save

from sampt.backends.registry import list_options
from sampt.errors import BackendError
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.sam.models import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_default_weights_are_fetched_and_offline_their_location_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(BackendError) as caught:
        create_segmenter(name)
    assert MODELS[name].url in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert MODELS[name].file in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "package"), [("sam-vit-b", "transformers"), ("mobile-sam", "kornia"), ("hq-sam-vit-h", "torch")]
)
def test_missing_packages_are_named_with_the_extra(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=rf"'{name}' needs {package}, not installed here. Run: pip install 'sampt\[sam\]'"):
        create_segmenter(name, weights=None)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(BackendError, match=r"'mobile-sam' cannot run on device 'toaster': "):
        create_segmenter("mobile-sam", weights=None, device="toaster")


def test_random_weights_are_made_when_first_needed() -> None:
    segmenter = create_segmenter("sam-vit-h", weights=None, device="cpu")
    assert "network" not in vars(segmenter)  # 2.5 GB
    assert segmenter.info.license_weights is None


def test_weights_on_the_hub_are_fetched_and_those_of_another_model_are_told(
    server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.content = save({"image_encoder.pos_embed": torch.zeros(1, 1, 1, 1280)})
    with pytest.raises(BackendError, match=r"'mobile-sam' got weights of another network in .*; they are those of 'sam-vit-h'"):
        create_segmenter("mobile-sam", weights="owner/name")
    assert [seen.path for seen in server.seen] == ["/owner/name/resolve/main/model.safetensors"]
    assert (cache / "hub--owner--name--model.safetensors").is_file()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_leaves_the_choice_of_runtime_and_precision(name: str) -> None:
    assert list_options("segmenter", name) == {"runtime", "precision"}
    if not MODELS[name].is_exportable:
        with pytest.raises(BackendError, match=rf"'{name}' got runtime 'openvino', expected 'torch' or"):
            create_segmenter(name, weights="random", runtime="openvino")
        return
    with pytest.raises(BackendError, match=rf"'{name}' with runtime 'onnxruntime' got random weights, expected"):
        create_segmenter(name, weights="random", runtime="onnxruntime")
    with pytest.raises(BackendError, match=rf"'{name}' with runtime 'openvino' got precision 'float16', expected"):
        create_segmenter(name, weights="random", runtime="openvino", precision="float16")
