"""SAM 3 on single frames: its tracker's decoder as `transformers` has it, words, and its weights by their names."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from safetensors.torch import save_file  # noqa: E402
from transformers.models.sam3.configuration_sam3 import Sam3Config  # noqa: E402
from transformers.models.sam3_tracker.configuration_sam3_tracker import Sam3TrackerConfig  # noqa: E402
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerModel  # noqa: E402
from transformers.models.sam3_video.configuration_sam3_video import Sam3VideoConfig  # noqa: E402
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoModel  # noqa: E402

from sampt.errors import BackendError, ConfigError, VideoError  # noqa: E402
from sampt.segmenters import sam3  # noqa: E402
from sampt.segmenters.create import create_segmenter  # noqa: E402
from sampt.segmenters.sam.adapter import SamSegmenter  # noqa: E402
from sampt.segmenters.sam.checkpoint import build as build_model  # noqa: E402
from sampt.segmenters.sam.checkpoint import fill_random, load_weights  # noqa: E402
from sampt.segmenters.sam.create import export_model  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam.prompts import make_batch  # noqa: E402
from sampt.segmenters.sam.resizing import to_square  # noqa: E402
from sampt.segmenters.sam3 import concepts  # noqa: E402
from sampt.segmenters.sam3.concepts import ConceptSegmenter, number_bytes  # noqa: E402
from sampt.segmenters.sam3.names import convert_concepts, convert_state_dict, is_sam3  # noqa: E402
from sampt.segmenters.sam3.network import (  # noqa: E402
    Sam3Network,
    VitSizes,
    build,
    build_concepts,
    build_sam3,
    vision_config,
)
from sampt.testing import SEGMENTER_CLAUSES, SegmenterLimits  # noqa: E402
from sampt.types import ObjectPrompt  # noqa: E402

CPU = torch.device("cpu")
SIDE, LOCATIONS = 112, 8
REDUCED = VitSizes(32, 64, 2, 2, (1,), window=4, positions=4, side=SIDE)
SHARED = "shared_image_embedding.positional_embedding"
FREQUENCIES = "prompt_encoder.shared_embedding.positional_embedding"
FRAME = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)


@cache
def reduced() -> Sam3Network:
    with torch.random.fork_rng(devices=[]):
        network = build(REDUCED)
    fill_random(network, 0.06)
    return network


@cache
def reduced_words() -> Any:
    small = {"num_layers": 1, "intermediate_size": 32, "dropout": 0.0}
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Sam3Config(
        vision_config=vision_config(REDUCED, (4.0, 2.0, 1.0, 0.5)),
        text_config={"vocab_size": 49408, "projection_dim": 16, "max_position_embeddings": 32} | text,
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config=small | {"num_queries": 9},
        mask_decoder_config={},
    )
    with torch.random.fork_rng(devices=[]):
        model = build_concepts(config)
    fill_random(model, 0.1)
    return model


def whole_model(**settings: Any) -> dict[str, Any]:
    """Names and sizes of what is published, without memory."""
    with torch.device("meta"):
        return dict(Sam3VideoModel(Sam3VideoConfig(**settings)).state_dict())


def prompted(*, box: bool = False, mask: bool = False) -> ObjectPrompt:
    rng = np.random.default_rng(2)
    xy = rng.uniform(0, SIDE - 1, (3, 2)).astype(np.float32)
    logits = rng.normal(0, 4, (4 * LOCATIONS, 4 * LOCATIONS)).astype(np.float32)
    corners = np.array([20, 30, 90, 100], np.float32)
    return ObjectPrompt(1, xy, np.array([True, True, False]), corners if box else None, logits if mask else None)


def test_features_and_predictions_are_those_of_the_tracker_model_of_transformers() -> None:
    network = reduced()
    settings = {"vision_config": vision_config(REDUCED), "prompt_encoder_config": {"image_size": SIDE}}
    with torch.random.fork_rng(devices=[]):
        theirs = Sam3TrackerModel(Sam3TrackerConfig(**settings)).eval()
    state = network.state_dict()
    theirs.load_state_dict(state | {SHARED: state[FREQUENCIES]}, strict=True)
    image = torch.randn((1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours = network.encode(image)
        for one, two in zip((ours.fine, ours.middle, ours.embedding), theirs.get_image_embeddings(image), strict=True):
            assert one is not None
            assert one.std() > 1e-3
            assert (one - two).abs().max() < 1e-5
        for prompt in (prompted(), prompted(box=True), prompted(mask=True), prompted(box=True, mask=True)):
            given = {
                "input_points": torch.tensor(prompt.xy)[None, None],
                "input_labels": torch.tensor(prompt.is_positive.astype(np.int64))[None, None],
            }
            if prompt.box_xyxy is not None:
                given["input_boxes"] = torch.tensor(prompt.box_xyxy)[None, None]
            if prompt.mask_logits is not None:
                given["input_masks"] = torch.tensor(prompt.mask_logits)[None, None]
            batch = make_batch([prompt], network.fit((SIDE, SIDE)), network.mask_side, CPU, "test", ends_boxes=True)
            for multimask in (False, True):
                logits, iou = network.predict(ours, batch, multimask=multimask)
                wanted = theirs(image, **given, multimask_output=multimask)
                assert logits.shape == (1, 3 if multimask else 1, 4 * LOCATIONS, 4 * LOCATIONS)
                assert wanted.pred_masks.std() > 1e-3
                assert (logits - wanted.pred_masks[:, 0]).abs().max() < 1e-5 * max(1, wanted.pred_masks.abs().max())
                assert (iou - wanted.iou_scores[:, 0]).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "clause"), SEGMENTER_CLAUSES, ids=[name for name, _ in SEGMENTER_CLAUSES])
def test_reduced_network_keeps_clause(name: str, clause: Any) -> None:
    clause(SamSegmenter(MODELS["sam3"], reduced, CPU), SegmenterLimits(min_iou=None))


def test_frames_are_stretched_and_lie_between_minus_1_and_1() -> None:
    fit = reduced().fit((2, 2))
    frame = np.zeros((1, 2, 2, 3), np.uint8)
    frame[0, :, 1] = 255
    square = to_square(frame, fit, CPU)
    assert square.shape == (1, 3, SIDE, SIDE)
    assert (float(square.min()), float(square.max())) == (-1, 1)


def check_names(state: dict[str, Any], points: Sam3Network, words: Any) -> None:
    """The whole model's names become exactly those of the networks for points and for words."""
    assert is_sam3(state)
    for network, convert in ((points, convert_state_dict), (words, convert_concepts)):
        own = {name: value.shape for name, value in network.state_dict().items()}
        assert {name: value.shape for name, value in convert(state).items()} == own


@pytest.mark.slow
def test_the_published_names_and_sizes_become_those_of_both_networks() -> None:
    state = whole_model()
    assert sum(value.numel() * 4 for value in state.values()) == pytest.approx(3_440_000_000, rel=1e-3)  # as is said
    with torch.device("meta"):
        words = build_concepts()
        check_names(state, build_sam3(), words)
    assert sum(parameter.numel() for parameter in words.parameters()) == 840_376_374  # published as 840 M


def test_names_of_the_whole_model_become_those_of_both_networks() -> None:
    detector = reduced_words().config.to_dict()
    tracker = {"memory_attention_num_layers": 1, "memory_attention_feed_forward_hidden_size": 8}
    state = whole_model(detector_config=detector, tracker_config={"vision_config": detector["vision_config"]} | tracker)
    check_names(state, reduced(), reduced_words())
    model = MODELS["sam2.1-tiny"]
    with pytest.raises(BackendError, match=r"'sam2\.1-tiny' got weights of another network in .*; they are those of 'sam3'"):
        load_weights(build_model(model), state, Path("my.safetensors"), model)


def test_words_find_what_the_model_finds_scaled_to_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    model = reduced_words()
    finder = ConceptSegmenter(model, number_bytes, CPU)
    found = finder.find(FRAME, ["a dog", "Horse "], score_threshold=0)
    numbers = [49406, *b"a dog", 49407]
    with torch.inference_mode():
        outputs = model(
            pixel_values=finder._to_square(FRAME, (60, 100)),
            input_ids=torch.tensor([numbers + [49407] * 25]),
            attention_mask=torch.tensor([[1] * 7 + [0] * 25]),
        )
        scores = (outputs.pred_logits[0].sigmoid() * outputs.presence_logits[0].sigmoid()).numpy()
        order = np.argsort(-scores, kind="stable")
        logits = torch.nn.functional.interpolate(outputs.pred_masks, (60, 100), mode="bilinear", align_corners=False)[0]
    assert [mask.text for mask in found] == ["a dog"] * 9 + ["Horse "] * 9
    assert [mask.score for mask in found[:9]] == pytest.approx(scores[order].tolist(), abs=1e-6)
    assert np.ptp(scores) > 1e-4
    assert [mask.score for mask in found[9:]] != pytest.approx(scores[order].tolist(), abs=1e-7)
    for mask, k in zip(found, order, strict=False):
        assert np.array_equal(mask.mask, (logits[k] > 0).numpy())
        x0, y0, x1, y1 = outputs.pred_boxes[0, k].tolist()
        assert mask.box_xyxy == pytest.approx(
            np.clip([x0 * 100, y0 * 60, x1 * 100 - 1, y1 * 60 - 1], 0, [99, 59] * 2), abs=1e-3
        )
    limit = (scores[order[2]] + scores[order[3]]) / 2
    assert len(finder.find(FRAME, "a dog", score_threshold=float(limit))) == 3
    monkeypatch.setattr(concepts, "_MAX_LOGITS", 1)  # one by one
    again = finder.find(FRAME, "a dog", score_threshold=0)
    assert all(np.array_equal(one.mask, two.mask) for one, two in zip(found, again, strict=False))


def test_words_and_frames_that_cannot_be_read_are_told() -> None:
    finder = ConceptSegmenter(reduced_words(), number_bytes, CPU)
    with pytest.raises(BackendError, match="'sam3' got an empty text, expected a few words"):
        finder.find(FRAME, " ")
    with pytest.raises(BackendError, match=r"'sam3' got a text of 42 tokens, 'xxx.*expected at most 32"):
        finder.find(FRAME, "x" * 40)
    with pytest.raises(ConfigError, match="score_threshold got 2, expected 0 to 1"):
        finder.find(FRAME, "a dog", score_threshold=2)
    with pytest.raises(VideoError, match="sam3 got a frame of shape"):
        finder.find(FRAME[..., :2], "a dog")


def test_weights_that_are_not_there_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    advice = (
        r"'sam3' is given only to admitted accounts; request access at https://huggingface\.co/facebook/sam3, then run: hf "
        r"download facebook/sam3 model\.safetensors \(the hub's cache is used\), or put https://\S+ at \S+sam3\.safetensors\."
    )
    for make in (lambda: create_segmenter("sam3"), sam3.create_concepts):
        with pytest.raises(BackendError, match=advice):
            make()
    with pytest.raises(
        BackendError, match=r"'sam3' for words got weights '.*', where there is no model\.safetensors; expected"
    ):
        sam3.create_concepts(weights=str(tmp_path))
    with pytest.raises(BackendError, match="'sam3' runs by PyTorch alone and is not exported"):
        export_model("sam3")


def test_a_folder_of_weights_and_words_gives_the_same_masks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = reduced_words()
    save_file({f"detector_model.{name}": value for name, value in model.state_dict().items()}, tmp_path / "model.safetensors")
    with torch.random.fork_rng(devices=[]):
        monkeypatch.setattr(concepts, "build_concepts", lambda: build_concepts(model.config))
        (tmp_path / "tokenizer.json").write_text("{}")
        with pytest.raises(BackendError, match="cannot be read as a tokenizer"):
            sam3.create_concepts(weights=str(tmp_path), device="cpu")
        words = {"[UNK]": 0, "a": 1, "dog": 2}
        tokenizer = {
            "version": "1.0",
            "truncation": None,
            "padding": {
                "strategy": {"Fixed": 32},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "[UNK]",
            },
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
        }
        (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
        finder = sam3.create_concepts(weights=str(tmp_path), device="cpu")
    found = finder.find(FRAME, "a dog", score_threshold=0)
    wanted = ConceptSegmenter(model, lambda text: [1, 2], CPU).find(FRAME, "a dog", score_threshold=0)
    assert [mask.score for mask in found] == [mask.score for mask in wanted]
