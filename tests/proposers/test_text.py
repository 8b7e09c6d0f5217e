"""Words to boxes by OWLv2 and Grounding DINO, and to masks by SAM 3; tiny networks with random weights prove the wiring."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.errors import BackendError
from sampt.proposers.base import ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.proposers.text.sam3 import Sam3Proposer
from sampt.proposers.text.words import split_words
from sampt.testing import ExactSegmenter, SceneVideo, check_proposer, static_scene
from sampt.types import BoolArray

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from transformers import (  # noqa: E402
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    SwinConfig,
)

from sampt.proposers.text import detectors  # noqa: E402

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
OWLV2 = Owlv2Config(text_config=dict(SMALL), vision_config={**SMALL, "image_size": 64, "patch_size": 16}, projection_dim=16)
DINO = GroundingDinoConfig(
    backbone_config=SwinConfig(
        image_size=32, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2, out_indices=[2, 3, 4]
    ),
    text_config={"model_type": "bert", "vocab_size": 2500, "max_position_embeddings": 24, **SMALL},
    d_model=32,
    encoder_layers=1,
    decoder_layers=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    num_queries=10,
)
SCENE = static_scene(size_hw=(96, 96))
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks as ``transformers`` writes them, with tokenizers that know letters."""
    folder = tmp_path_factory.mktemp("networks")
    found = {"text": folder / "owlv2", "text-grounding-dino": folder / "dino"}
    models = {"text": Owlv2ForObjectDetection(OWLV2), "text-grounding-dino": GroundingDinoForObjectDetection(DINO)}
    for name, model in models.items():
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.1, generator=generator)
        model.save_pretrained(found[name])
    words = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "d o"]
    numbers = {word.replace(" ", ""): 300 + k for k, word in enumerate(words)}
    numbers |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    (found["text"] / "vocab.json").write_text(json.dumps(numbers))
    (found["text"] / "merges.txt").write_text("#version: 0.2\nd o\n")
    lines = [f"[unused{k}]" for k in range(2000)] + LETTERS + [f"##{c}" for c in LETTERS]
    for number, word in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}.items():
        lines[number] = word
    (found["text-grounding-dino"] / "vocab.txt").write_text("\n".join(lines))
    return found


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "_SHORTEST", 128)
    monkeypatch.setattr(detectors._Owlv2, "threshold", 0.0)
    monkeypatch.setattr(detectors._GroundingDino, "threshold", 0.0)


def frame_of() -> ProposerFrame:
    return ProposerFrame(SceneVideo(SCENE), 0, ExactSegmenter(SCENE))


@pytest.mark.parametrize("name", ["text", "text-grounding-dino"])
def test_boxes_are_those_of_the_official_steps(name: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as ``transformers``' own network and postprocessing make of the same pixels and tokens."""
    seen: list[Any] = []
    monkeypatch.setattr(detectors, "masks_of_boxes", lambda _, *given: seen.append(given))
    proposer = create_proposer(f"{name}:a dog|ball", weights=str(folders[name]))
    proposer.propose(frame_of())
    boxes, scores, labels = seen[0]
    assert set(labels) <= {"a dog", "ball"}
    assert (np.diff(scores) <= 0).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= np.array([SCENE.size_hw[1] - 1, SCENE.size_hw[0] - 1])).all()
    reader = proposer._reader  # type: ignore[attr-defined]
    found = reader.find(frame_of().image)
    model = reader._model
    with torch.inference_mode():
        if name == "text":
            # d-o is one token by the merge; letters that end a word are others.
            letter = {c: 300 + k for k, c in enumerate(LETTERS)}
            ended = {c: 326 + k for k, c in enumerate(LETTERS)}
            dog = [49406, ended["a"], 352, ended["g"], 49407]
            ball = [49406, letter["b"], letter["a"], letter["l"], ended["l"], 49407]
            assert reader._ids.tolist() == [one + [0] * (16 - len(one)) for one in (dog, ball)]
            assert reader._is_used.sum(1).tolist() == [5, 6]
            assert found.scores.shape == (16, 2)
        else:
            a, b, d, *_ = [2000 + LETTERS.index(c) for c in "abd"]
            more = [2026 + LETTERS.index(c) for c in "ogal"]
            assert reader._ids.tolist() == [[101, a, d, more[0], more[1], 1012, b, more[2], more[3], more[3], 1012, 102]]
            tokens = (
                model(
                    pixel_values=detectors._to_tensor(
                        detectors._resize(frame_of().image / np.float32(255), (128, 128)),
                        detectors._IMAGENET,
                        torch.device("cpu"),
                    ),
                    input_ids=reader._ids,
                )
                .logits[0]
                .sigmoid()
            )
            np.testing.assert_allclose(found.scores[:, 0], tokens[:, 1:5].max(1).values, atol=1e-5)
            np.testing.assert_allclose(found.scores[:, 1], tokens[:, 6:10].max(1).values, atol=1e-5)


def test_owlv2_boxes_are_fractions_of_the_square_that_the_frame_is_padded_to() -> None:
    boxes = torch.tensor([[0.5, 0.25, 0.5, 0.25]])
    np.testing.assert_allclose(detectors._edges(boxes, (96, 96)), [[24, 12, 72, 36]])
    np.testing.assert_array_equal(
        detectors._clip_to_frame(np.array([[-3, 12.2, 72, 99]], np.float32), (64, 96)), [[0, 12, 71, 63]]
    )


@pytest.mark.parametrize("name", ["text", "text-grounding-dino"])
def test_proposals_have_the_phrases_as_labels_and_keep_the_contract(name: str, folders: dict[str, Path]) -> None:
    proposer = create_proposer(f"{name}:a dog,ball", weights=str(folders[name]))
    found = proposer.propose(frame_of())
    assert found
    assert {p.label for p in found} <= {"a dog", "ball"}
    check_proposer(proposer)


def test_sam3_gives_its_own_masks() -> None:
    masks = SCENE.masks(0)

    @dataclass
    class Found:
        text: str
        mask: BoolArray
        score: float

    class Concepts:
        def find(self, frame_rgb: Any, text: list[str]) -> list[Found]:
            assert frame_rgb.shape == (*SCENE.size_hw, 3)
            found = [Found(text[0], masks[0].copy(), 0.6), Found(text[1], masks[1].copy(), 0.9)]
            return [*found, Found(text[1], np.zeros(SCENE.size_hw, np.bool_), 0.95)]

    first, second = Sam3Proposer(Concepts(), ("fish", "red ball")).propose(frame_of())  # type: ignore[arg-type]
    assert [(first.label, first.score), (second.label, second.score)] == [("red ball", 0.9), ("fish", 0.6)]
    np.testing.assert_array_equal(second.mask, masks[0])
    assert not first.mask.flags.writeable


def test_phrases_are_between_commas_and_bars() -> None:
    assert split_words(" a  dog,red ball|cat , a dog", "text") == ("a dog", "red ball", "cat")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (None, "The proposer 'text' needs words; write them as 'text:a dog', or 'text:a dog,a red ball'."),
        (" ", "The proposer 'text' needs words"),
        ("dog,,cat", "'text' got 'dog,,cat', where a phrase has no word; expected words between all commas and bars."),
        ("dog,!", "'text' got 'dog,!', where a phrase has no word"),
        (",".join("abcdefghijklmnopqrstu"), "'text' got 21 phrases; expected at most 20."),
    ],
)
def test_words_that_cannot_be_read_are_one_line(words: str | None, message: str) -> None:
    with pytest.raises(BackendError) as caught:
        create_proposer("text" if words is None else f"text:{words}")
    assert message in str(caught.value)


def test_too_many_tokens_and_other_weights_are_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    owlv2, dino = str(folders["text"]), str(folders["text-grounding-dino"])
    cases = [
        ("text:abcdefghijklmno", owlv2, "'text' got words of 17 tokens, 'abcdefghijklmno', expected at most 16: name a kind"),
        ("text-grounding-dino:abcdefghijkl,bcdefghijklm", dino, "'text-grounding-dino' got words of 28 tokens, "),
        (
            "text:dog",
            str(tmp_path),
            "where there is no model.safetensors; expected 'default', OWNER/NAME on the hub, or a folder",
        ),
        ("text:dog", dino, "where there is no vocab.json; expected 'default'"),
    ]
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for file in ("model.safetensors", "config.json"):
        (wrong / file).write_bytes((folders["text-grounding-dino"] / file).read_bytes())
    for file in ("vocab.json", "merges.txt"):
        (wrong / file).write_bytes((folders["text"] / file).read_bytes())
    cases.append(("text:dog", str(wrong), "config.json (it is of the type 'grounding-dino'); expected that of 'owlv2'."))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for file in ("config.json", "vocab.json", "merges.txt"):
        (mixed / file).write_bytes((folders["text"] / file).read_bytes())
    (mixed / "model.safetensors").write_bytes((folders["text-grounding-dino"] / "model.safetensors").read_bytes())
    cases.append(("text:dog", str(mixed), "'text' got weights of another network in "))
    for name, weights, message in cases:
        with pytest.raises(BackendError) as caught:
            create_proposer(name, weights=weights)
        assert message in str(caught.value), str(caught.value)
        assert "\n" not in str(caught.value)


def test_default_and_hub_weights_are_looked_for_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name, weights, file in (
        ("text:dog", "default", "owlv2"),
        ("text-grounding-dino:dog", "default", "grounding-dino"),
        ("text:dog", "google/owlv2-large-patch14", "google/owlv2-large-patch14"),
        ("text-sam3:dog", "default", "sam3"),
    ):
        with pytest.raises(BackendError, match=file):
            create_proposer(name, weights=weights)


def test_random_weights_give_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"text": OWLV2, "text-grounding-dino": DINO}
    for name, config in sizes.items():
        family = replace(detectors.FAMILIES[name], config=lambda _config=config, **_: _config)
        monkeypatch.setitem(detectors.FAMILIES, name, family)
        one, two = (create_proposer(f"{name}:dog", weights="random") for _ in range(2))
        first, second = (proposer._reader.find(frame_of().image) for proposer in (one, two))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(first.scores, second.scores)
        assert np.isfinite(first.edges).all()
