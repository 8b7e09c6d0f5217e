"""Weights and backends that a user chose wrongly: status 2 and one line; and what is reported before weights are loaded."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampt.presets import PRESETS

needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "kornia", "safetensors")),
    reason="PyTorch, transformers, kornia and safetensors are the [sam] extras",
)
ADVICE = "For 'mobile-sam' that is mobile_sam.pt (https://github.com/ChaoningZhang/MobileSAM/"
ONE_PASS = ("--tracker", "lucas-kanade", "--no-reinit", "--refinement-steps", "0", "--stop", "1", "--formats", "png")


@pytest.fixture
def hub(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server instead of the Hugging Face hub."""
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    return server


def failed(outcome: Any, *fragments: str) -> None:
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("sampt: error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for fragment in fragments:
        assert fragment in outcome.err


def checkpoint(path: Path, **shapes: tuple[int, ...]) -> str:
    """A file of zeros; names with "__" for a dot."""
    import torch

    torch.save({name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}, path)
    return str(path)


def cut(path: Path) -> str:
    checkpoint(path, x=(1000,))
    path.write_bytes(path.read_bytes()[:-2000])
    return str(path)


def web_page(path: Path) -> str:
    path.write_text("<!DOCTYPE html><p>Please log in")
    return str(path)


@needs_torch
@pytest.mark.parametrize(
    ("make", "fragments"),
    [
        (
            lambda p: checkpoint(p / "sam_vit_b.pth", image_encoder__pos_embed=(1, 1, 1, 768)),
            ["'mobile-sam' got weights of another network in ", "they are those of 'sam-vit-b'", "official mobile_sam.pt"],
        ),
        (lambda p: cut(p / "w.pth"), ["w.pth cannot be read as weights (it is incomplete)", "fetch it again", ADVICE]),
        (lambda p: web_page(p / "w.pth"), ["w.pth cannot be read as weights (it is a web page)", ADVICE]),
        (lambda p: str(p / "none.pth"), ["No file of weights is at ", "none.pth", "expected a checkpoint (.pth, .pt", ADVICE]),
        (lambda p: str(p), ["found none of model.safetensors, pytorch_model.bin in the folder"]),
    ],
    ids=["of another model", "cut off", "web page", "missing", "empty folder"],
)
def test_files_that_are_no_weights_of_the_model(
    make: Callable[[Path], str], fragments: list[str], media: Any, kit: Any, call: Any, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    options = ["--segmenter", "mobile-sam", "--segmenter-weights", make(folder), *kit.click, "-o", tmp_path / "out"]
    failed(call("segment", media.path("clip.mp4"), *options, "--quiet"), *fragments)
    assert not (tmp_path / "out").exists()


@needs_torch
@pytest.mark.parametrize(
    ("statuses", "content", "fragments"),
    [
        ([404, 404], b"", ["'ownr/sam' is no file or folder here", "https://huggingface.co/ownr/sam has no model.safetensors"]),
        ([0], b"<html>sorry", ["gave a web page instead of ownr/sam", "put it at"]),
        ([0], b"noise" * 100, ["hub--ownr--sam--model.safetensors cannot be read as weights", ADVICE]),
    ],
    ids=["unknown", "web page", "noise"],
)
def test_repositories_that_give_no_weights(
    statuses: list[int], content: bytes, fragments: list[str], hub: Any, media: Any, kit: Any, call: Any, tmp_path: Path
) -> None:
    hub.statuses, hub.content = statuses, content
    options = ["--segmenter", "mobile-sam", "--segmenter-weights", "ownr/sam", *kit.click, "-o", tmp_path / "out"]
    failed(call("segment", media.path("clip.mp4"), *options, "--quiet"), *fragments)
    assert not (tmp_path / "out").exists()


def test_without_pytorch_the_extra_to_install_is_told_and_nothing_is_fetched(
    hub: Any, media: Any, kit: Any, tmp_path: Path
) -> None:
    options = [
        "--segmenter",
        "sam-vit-b",
        "--segmenter-weights",
        "owner/sam",
        *kit.click,
        "-o",
        str(tmp_path / "out"),
        "--quiet",
    ]
    without = "import sys; sys.modules['torch'] = None"
    done = kit.call_process(["segment", media.path("clip.mp4"), *options], before=without)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "'sam-vit-b' needs torch" in done.stderr
    assert done.stderr.endswith("not installed here. Run: pip install 'sampt[sam]'.\n")
    assert not hub.seen


@needs_torch
def test_offline_what_is_missing_is_told_for_both_back_ends_before_the_error(
    media: Any, kit: Any, call: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    options = ["--preset", "fast", "--tracker", "raft-small", *kit.click, "-o", tmp_path / "out"]
    outcome = call("segment", media.path("clip.mp4"), *options)
    assert outcome.status == 2
    lines = outcome.err.splitlines()
    assert [line.partition(" needs ")[0] for line in lines[:2]] == [
        "sampt: tracker 'raft-small'",
        "sampt: segmenter 'light-hq-sam'",
    ]
    assert "(4.0 MB, not in the cache), and SAMPT_OFFLINE is set; licence of the weights: BSD-3-Clause" in lines[0]
    assert "(42 MB, not in the cache), and SAMPT_OFFLINE is set; licence of the weights: Apache-2.0" in lines[1]
    assert lines[2].startswith("sampt: error: 'raft-small' is not in the cache and SAMPT_OFFLINE is set; fetch ")
    assert len(lines) == 3
    failed(call("segment", media.path("clip.mp4"), *options, "--quiet"), "SAMPT_OFFLINE is set")


def test_input_is_checked_before_weights_are_told(call: Any, kit: Any, cache: Path, tmp_path: Path) -> None:
    failed(call("segment", tmp_path / "none.mp4", "--preset", "best", *kit.click), "There is no file or folder")


@needs_torch
def test_weights_of_the_hub_from_the_download_to_the_record_of_the_run(
    hub: Any, cache: Path, media: Any, kit: Any, call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from safetensors.torch import save

    from sampt.segmenters.sam.checkpoint import load_network
    from sampt.segmenters.sam.models import MODELS

    state = {name: value.contiguous() for name, value in load_network(MODELS["mobile-sam"], None).state_dict().items()}
    hub.content = save(state)
    weights = ["--segmenter", "mobile-sam", "--segmenter-weights", "owner/tiny-sam"]
    arguments = ["segment", media.path("clip.mp4"), *kit.click, *ONE_PASS, *weights, "-o", tmp_path / "out"]
    first = call(*arguments)
    assert first.status == 0, first.err
    license = "see https://huggingface.co/owner/tiny-sam"
    url = hub.url("owner/tiny-sam/resolve/main/model.safetensors")
    assert first.err.splitlines()[0] == (
        f"sampt: segmenter 'mobile-sam' downloads {url} (size unknown, not in the cache) to {cache}; licence of the weights:"
        f" {license}"
    )
    assert f"segmenter mobile-sam: code Apache-2.0, weights {license}" in first.err
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["config"]["segmenter_weights"] == "owner/tiny-sam"
    assert record["weights"]["tracker"] == "default"
    assert record["licenses"]["segmenter mobile-sam"] == f"code Apache-2.0, weights {license}"
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    second = call(*arguments)
    path = cache / "hub--owner--tiny-sam--model.safetensors"
    size = f"{len(hub.content) / 1e6:.0f} MB"
    assert second.err.splitlines()[0] == (
        f"sampt: segmenter 'mobile-sam' loads {path} ({size}, in the cache); licence of the weights: {license}"
    )
    assert "Already complete" in second.err
    assert len(hub.seen) == 1


def test_bundled_back_ends_say_nothing_of_weights(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    options = [*kit.click, *kit.fast, "--stop", "1", "--formats", "png", "-o", tmp_path]
    outcome = call("segment", media.path("clip.mp4"), *options)
    assert outcome.status == 0
    assert "sampt:" not in outcome.err


def test_pull_and_path_take_repositories(hub: Any, cache: Path, call: Any) -> None:
    hub.statuses = [404]
    path = cache / "hub--owner--sam--pytorch_model.bin"
    outcome = call("weights", "pull", "owner/sam")
    assert (outcome.status, outcome.out) == (0, f"{path}\n")
    assert outcome.err.startswith(
        "owner/sam: size unknown, licence of code see https://huggingface.co/owner/sam, of weights see "
    )
    assert "unverified: no digest is published, this one is recorded here: sha256 " in outcome.err
    assert call("weights", "path", "owner/sam").out == f"{path}\n"
    assert call("weights", "verify", "owner/sam").status == 0
    hub.statuses = [404, 404]
    failed(call("weights", "pull", "ownr/sam", "--quiet"), "'ownr/sam' is no file or folder here", "check the name")


def test_help_explains_every_preset(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = call("segment", "--help").out
    presets = text.partition("presets:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in presets][:3] == ["default", "offline", "fast-offline"]
    assert {line.split()[0] for line in presets} == set(PRESETS)
    assert len(presets) == len(PRESETS)
    for words in ("auto, cpu, cuda, mps", "auto, torch, compiled, onnxruntime, openvino", "auto, float32, bfloat16, float16"):
        assert words in text
    assert "weights of the tracker: default, random (to try something out), a file or folder, or OWNER/NAME" in text
