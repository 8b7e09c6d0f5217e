"""SAM 2.1 on single frames: equal to `transformers`' own way through it, and its weights by all their names."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from transformers.models.sam2.configuration_sam2 import Sam2Config  # noqa: E402
from transformers.models.sam2.modeling_sam2 import Sam2Model  # noqa: E402
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig  # noqa: E402
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel  # noqa: E402

from sampt.config import PromptConfig  # noqa: E402
from sampt.errors import BackendError  # noqa: E402
from sampt.prompts.refine import segment_prompts  # noqa: E402
from sampt.segmenters.create import create_segmenter  # noqa: E402
from sampt.segmenters.sam.adapter import SamSegmenter  # noqa: E402
from sampt.segmenters.sam.checkpoint import build as build_model  # noqa: E402
from sampt.segmenters.sam.checkpoint import fill_random, load_network, load_weights, read_state  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam.prompts import make_batch  # noqa: E402
from sampt.segmenters.sam.resizing import Fit, to_square, upsample  # noqa: E402
from sampt.segmenters.sam2 import network as sam2  # noqa: E402
from sampt.segmenters.sam2.names import convert_state_dict, is_sam2  # noqa: E402
from sampt.segmenters.sam2.network import HieraSizes, Sam2Network, build, vision_config  # noqa: E402
from sampt.testing import SEGMENTER_CLAUSES, SegmenterLimits  # noqa: E402
from sampt.types import MaskPrediction, ObjectPrompt  # noqa: E402

CPU = torch.device("cpu")
SIZES = {"tiny": sam2.TINY, "small": sam2.SMALL, "base-plus": sam2.BASE_PLUS, "large": sam2.LARGE}
REDUCED = HieraSizes(16, 1, (1, 1, 2, 1), (3,), side=128)
SHARED = "shared_image_embedding.positional_embedding"
FREQUENCIES = "prompt_encoder.shared_embedding.positional_embedding"


def filled(sizes: HieraSizes = REDUCED, deviation: float = 0.1) -> Sam2Network:
    with torch.random.fork_rng(devices=[]):
        network = build(sizes)
    fill_random(network, deviation)
    return network


@cache
def reduced() -> Sam2Network:
    return filled()


def segmenter_of(network: Sam2Network) -> SamSegmenter:
    return SamSegmenter(MODELS["sam2.1-tiny"], lambda: network, CPU)


def theirs_like(network: Sam2Network) -> Any:
    """The model of `transformers` with the same weights."""
    config = Sam2Config(vision_config=vision_config(REDUCED), prompt_encoder_config={"image_size": 128})
    with torch.random.fork_rng(devices=[]):
        model = Sam2Model(config).eval()
    state = network.state_dict()
    model.load_state_dict(state | {SHARED: state[FREQUENCIES]}, strict=True)
    return model


def images(seed: int = 1) -> torch.Tensor:
    return torch.randn((1, 3, 128, 128), generator=torch.Generator().manual_seed(seed))


def prompt(
    points: int,
    negatives: int = 0,
    *,
    box: tuple[float, ...] | None = None,
    mask: Any = None,
    seed: int = 0,
    object_id: int = 1,
) -> ObjectPrompt:
    """So many points, the last of them negative, anywhere on a frame of 96 x 128."""
    xy = np.random.default_rng(seed).uniform((0, 0), (127, 95), (points, 2)).astype(np.float32)
    corners = None if box is None else np.array(box, np.float32)
    return ObjectPrompt(object_id, xy, np.arange(points) < points - negatives, corners, mask)


def asked_of_theirs(prompt: ObjectPrompt) -> dict[str, Any]:
    """The same prompt for the model of `transformers`, on a frame of 128 x 128."""
    prompted: dict[str, Any] = {}
    if len(prompt.xy):
        prompted["input_points"] = torch.tensor(prompt.xy)[None, None]
        prompted["input_labels"] = torch.tensor(prompt.is_positive.astype(np.int64))[None, None]
    if prompt.box_xyxy is not None:
        prompted["input_boxes"] = torch.tensor(prompt.box_xyxy)[None, None]
    if prompt.mask_logits is not None:
        prompted["input_masks"] = torch.tensor(prompt.mask_logits)[None, None]
    return prompted


MASK = np.random.default_rng(3).normal(0, 4, (32, 32)).astype(np.float32)
PROMPTS = {
    "points": prompt(3, 1),
    "box": prompt(0, box=(20, 30, 90, 100)),
    "points and box": prompt(4, 2, box=(20, 30, 90, 100), seed=1),
    "points and mask": prompt(2, mask=MASK, seed=2),
    "all": prompt(3, 1, box=(5, 6, 60, 70), mask=MASK, seed=3),
}


@pytest.mark.parametrize("prompted", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("single", ["stable", "unstable"])
def test_answers_are_those_of_transformers(prompted: ObjectPrompt, single: str) -> None:
    network = filled(deviation=0.06)
    for parameter in network.mask_decoder.output_hypernetworks_mlps[0].proj_out.parameters():
        parameter.mul_(40 if single == "stable" else 1e-3)  # logits far from 0, or near it
    model, seen = theirs_like(network), images()
    with torch.inference_mode():
        features = network.encode(seen)
        batch = make_batch([prompted], network.fit((128, 128)), 32, CPU, "test", ends_boxes=True)
        for multimask in (False, True):
            logits, iou = network.predict(features, batch, multimask=multimask)
            prediction = model(seen, **asked_of_theirs(prompted), multimask_output=multimask)
            assert logits.shape == (1, 3 if multimask else 1, 32, 32)
            assert prediction.pred_masks.std() > 1e-3
            within = 1e-5 * max(1.0, float(prediction.pred_masks.abs().max()) / 5)
            assert (logits - prediction.pred_masks[:, 0]).abs().max() < within
            assert (iou - prediction.iou_scores[:, 0]).abs().max() < 1e-5
        whole = network.predict(features, batch, multimask=True)
        chosen = network.predict(features, batch)
    # Within rounding: another number of masks at once may be summed in another order, depending on the processor.
    is_one_of_three = bool(((chosen[0] - whole[0]).abs().flatten(2).amax(-1) < within).any())
    assert is_one_of_three == (single == "unstable")
    if is_one_of_three:
        assert chosen[1].item() == pytest.approx(whole[1].max().item(), abs=1e-5)


def test_stability_is_counted_in_pixels() -> None:
    logits = torch.full((4, 1, 20, 20), -1.0)
    for k, unsure in enumerate((2, 3)):
        logits[k, 0].flatten()[:100] = 1
        logits[k, 0].flatten()[100 : 100 + unsure] = 0.05  # not above the limit, but above minus it
    logits[2, 0, 0, 0] = -0.04  # one pixel nearly there
    stable = sam2._is_stable(logits)  # 100 / 102 = 0.9804, 100 / 103 = 0.971, 0 / 1, nothing at all
    assert stable.flatten().tolist() == [True, False, False, True]


def test_embeddings_are_those_of_transformers() -> None:
    network = reduced()
    with torch.inference_mode():
        ours, theirs = network.encode(images()), theirs_like(network).get_image_embeddings(images())
    for one, two, shape in zip((ours.fine, ours.middle, ours.embedding), theirs, ((32, 32), (64, 16), (256, 8)), strict=True):
        assert one is not None
        assert one.shape == (1, shape[0], shape[1], shape[1])
        assert one.std() > 0.01
        assert (one - two).abs().max() < 1e-5


def same(one: MaskPrediction, two: MaskPrediction, tolerance: float) -> None:
    assert one.logits is not None
    assert two.logits is not None
    assert np.abs(one.logits - two.logits).max() < tolerance
    assert (one.low_res_logits - two.low_res_logits).abs().max() < tolerance
    assert abs(one.score - two.score) < tolerance
    assert one.object_id == two.object_id


def test_objects_together_get_the_answers_that_they_get_alone() -> None:
    segmenter = segmenter_of(reduced())
    frame = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    embedding = segmenter.encode(frame)[0]
    earlier = segmenter.decode(embedding, [prompt(2, seed=9)])[0].low_res_logits
    prompts = [
        prompt(4, 2, seed=1, object_id=5),
        prompt(1, seed=2, object_id=2),
        prompt(4, seed=3, object_id=7, mask=earlier),
        prompt(2, 1, seed=4, object_id=4, box=(10, 5, 40, 30)),  # as many tokens as four points without a box
        prompt(0, seed=5, object_id=1, box=(20, 10, 70, 40)),
        prompt(2, 1, seed=6, object_id=3, box=(1, 2, 8, 9), mask=earlier.numpy()),
    ]
    together = segmenter.decode(embedding, prompts)
    assert [prediction.object_id for prediction in together] == [5, 2, 7, 4, 1, 3]
    for prediction, prompted in zip(together, prompts, strict=True):
        same(prediction, segmenter.decode(embedding, [prompted])[0], 1e-4)
    config = PromptConfig(refinement_steps=2)
    for prediction, prompted in zip(segment_prompts(segmenter, embedding, prompts, config), prompts, strict=True):
        same(prediction, segment_prompts(segmenter, embedding, [prompted], config)[0], 1e-3)


def test_frames_in_one_batch_are_encoded_as_alone() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 60, 100, 3), dtype=np.uint8)
    network = reduced()
    with torch.inference_mode():
        squares = to_square(frames, network.fit((60, 100)), CPU)
        together, alone = network.encode(squares).at(1), network.encode(squares[1:2])
    for name in ("embedding", "fine", "middle"):
        assert (getattr(together, name) - getattr(alone, name)).abs().max() < 1e-4


@pytest.mark.parametrize(("name", "clause"), SEGMENTER_CLAUSES, ids=[name for name, _ in SEGMENTER_CLAUSES])
def test_reduced_network_keeps_clause(name: str, clause: Any) -> None:
    clause(segmenter_of(reduced()), SegmenterLimits(min_iou=None))


def test_frames_are_stretched_to_the_square() -> None:
    fit = reduced().fit((60, 100))
    assert fit == Fit((60, 100), (128, 128), 128, is_stretched=True)
    assert fit.scale_xy(np.array([[50, 30], [99, 59]], np.float32)).tolist() == [
        [64, 64],
        [np.float32(126.72), np.float32(59 * 128 / 60)],
    ]
    frame = np.zeros((1, 64, 256, 3), np.uint8)
    frame[..., 0] = np.arange(256)  # halved in width: the mean of a triangle over four pixels
    square = to_square(frame, reduced().fit((64, 256)), CPU)
    assert square.shape == (1, 3, 128, 128)
    red = square[0, 0] * 0.229 + 0.485
    assert torch.allclose(red[:, 1:-1], ((2 * torch.arange(1, 127) + 0.5) / 255).expand(128, -1), atol=1e-6)
    assert torch.allclose(square[0, 2], torch.tensor(-0.406 / 0.225), atol=1e-6)


def test_logits_come_back_at_once() -> None:
    low_res = torch.arange(32.0).expand(1, 32, 32)
    full = upsample(low_res, reduced().fit((64, 96)))
    assert full.shape == (1, 64, 96)
    assert full[0, 5, 1:-1].tolist() == pytest.approx([(x + 0.5) / 3 - 0.5 for x in range(1, 95)], abs=1e-5)


def test_logits_for_the_next_prompt_are_cut_and_those_of_the_frame_are_not() -> None:
    network = filled()
    network.mask_decoder.output_hypernetworks_mlps[0].proj_out.weight.mul_(1e6)
    segmenter = segmenter_of(network)
    frame = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    prediction = segmenter.decode(segmenter.encode(frame)[0], [prompt(3)])[0]
    assert prediction.logits is not None
    assert np.abs(prediction.logits).max() > 100
    assert prediction.low_res_logits.abs().max() == 32


# ---- weights ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "millions"), [("tiny", 38.9), ("small", 46.0), ("base-plus", 80.8), ("large", 224.4)])
def test_networks_are_the_published_ones_without_their_memory(size: str, millions: float) -> None:
    with torch.device("meta"):
        whole = Sam2VideoModel(Sam2VideoConfig(vision_config=vision_config(SIZES[size])))
    count = sum(parameter.numel() for parameter in whole.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)
    own = {name: value.shape for name, value in build_model(MODELS[f"sam2.1-{size}"]).state_dict().items()}
    assert {name: value.shape for name, value in convert_state_dict(whole.state_dict()).items()} == own
    # What is for video alone: memory attention, memory encoder, the rest; the same in all four.
    only_for_video = 5_922_304 + 1_384_608 + 214_865
    assert sum(np.prod(shape) for name, shape in own.items() if name != FREQUENCIES) == count - only_for_video


OFFICIAL = {
    "image_encoder.trunk.pos_embed_window": "vision_encoder.backbone.pos_embed_window",
    "image_encoder.trunk.patch_embed.proj.bias": "vision_encoder.backbone.patch_embed.projection.bias",
    "image_encoder.trunk.blocks.1.proj.weight": "vision_encoder.backbone.blocks.1.proj.weight",
    "image_encoder.trunk.blocks.1.norm2.bias": "vision_encoder.backbone.blocks.1.layer_norm2.bias",
    "image_encoder.trunk.blocks.2.attn.qkv.weight": "vision_encoder.backbone.blocks.2.attn.qkv.weight",
    "image_encoder.trunk.blocks.2.mlp.layers.0.weight": "vision_encoder.backbone.blocks.2.mlp.proj_in.weight",
    "image_encoder.trunk.blocks.2.mlp.layers.1.weight": "vision_encoder.backbone.blocks.2.mlp.proj_out.weight",
    "image_encoder.neck.convs.3.conv.weight": "vision_encoder.neck.convs.3.weight",
    "no_mem_embed": "no_memory_embedding",
    "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": FREQUENCIES,
    "sam_prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    "sam_prompt_encoder.mask_downscaling.1.weight": "prompt_encoder.mask_embed.layer_norm1.weight",
    "sam_prompt_encoder.mask_downscaling.6.weight": "prompt_encoder.mask_embed.conv3.weight",
    "sam_mask_decoder.obj_score_token.weight": "mask_decoder.obj_score_token.weight",
    "sam_mask_decoder.transformer.layers.1.self_attn.out_proj.bias": "mask_decoder.transformer.layers.1.self_attn.o_proj.bias",
    "sam_mask_decoder.transformer.layers.1.norm4.bias": "mask_decoder.transformer.layers.1.layer_norm4.bias",
    "sam_mask_decoder.transformer.layers.0.mlp.layers.0.bias": "mask_decoder.transformer.layers.0.mlp.proj_in.bias",
    "sam_mask_decoder.transformer.layers.0.mlp.layers.1.bias": "mask_decoder.transformer.layers.0.mlp.proj_out.bias",
    "sam_mask_decoder.transformer.norm_final_attn.weight": "mask_decoder.transformer.layer_norm_final_attn.weight",
    "sam_mask_decoder.output_upscaling.1.bias": "mask_decoder.upscale_layer_norm.bias",
    "sam_mask_decoder.output_upscaling.3.weight": "mask_decoder.upscale_conv2.weight",
    "sam_mask_decoder.conv_s1.weight": "mask_decoder.conv_s1.weight",
    "sam_mask_decoder.output_hypernetworks_mlps.2.layers.1.weight": "mask_decoder.output_hypernetworks_mlps.2.layers.0.weight",
    "sam_mask_decoder.iou_prediction_head.layers.2.bias": "mask_decoder.iou_prediction_head.proj_out.bias",
    "sam_mask_decoder.pred_obj_score_head.layers.0.weight": "mask_decoder.pred_obj_score_head.proj_in.weight",
    "sam_mask_decoder.pred_obj_score_head.layers.1.weight": "mask_decoder.pred_obj_score_head.layers.0.weight",
    "sam_mask_decoder.pred_obj_score_head.layers.2.weight": "mask_decoder.pred_obj_score_head.proj_out.weight",
}
"""Names of the official program, and what they are here; a part of all, one of each kind."""
BACKWARDS = (
    ("vision_encoder.backbone.", "image_encoder.trunk."),
    ("vision_encoder.", "image_encoder."),
    ("patch_embed.projection", "patch_embed.proj"),
    ("no_memory_embedding", "no_mem_embed"),
    ("prompt_encoder.shared_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    *((f"mask_embed.{ours}.", f"mask_downscaling.{k}.") for k, ours in ((0, "conv1"), (1, "layer_norm1"), (3, "conv2"))),
    *((f"mask_embed.{ours}.", f"mask_downscaling.{k}.") for k, ours in ((4, "layer_norm2"), (6, "conv3"))),
    ("upscale_conv1", "output_upscaling.0"),
    ("upscale_layer_norm", "output_upscaling.1"),
    ("upscale_conv2", "output_upscaling.3"),
    ("layer_norm", "norm"),
    ("o_proj", "out_proj"),
)


def official(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our weights by the official program's names, with some that are only for video."""
    out = {"maskmem_tpos_enc": torch.zeros(7, 1, 1, 64), "obj_ptr_proj.layers.0.weight": torch.zeros(256, 256)}
    for key, value in state.items():
        name = key
        for ours, theirs in BACKWARDS:
            name = name.replace(ours, theirs)
        if "mask_decoder.transformer" in name or "blocks" in name:
            name = name.replace("mlp.proj_in", "mlp.layers.0").replace("mlp.proj_out", "mlp.layers.1")
        else:
            name = name.replace(".layers.0.", ".layers.1.").replace("proj_in", "layers.0").replace("proj_out", "layers.2")
        if name.startswith("image_encoder.neck"):
            *start, kind = name.split(".")
            name = ".".join([*start, "conv", kind])
        if name.startswith(("prompt_encoder", "mask_decoder")):
            name = f"sam_{name}"
        if name == "sam_prompt_encoder.point_embed.weight":
            out |= {f"sam_prompt_encoder.point_embeddings.{k}.weight": value[k : k + 1] for k in range(4)}
        else:
            out[name] = value
    return out


def test_official_names_become_exactly_the_networks() -> None:
    own = reduced().state_dict()
    state = official(own)
    assert OFFICIAL.keys() <= state.keys()
    assert is_sam2(state)
    converted = convert_state_dict(state)
    assert converted.keys() == own.keys()
    assert all(torch.equal(converted[name], value) for name, value in own.items())
    for name, ours in OFFICIAL.items():
        assert torch.equal(convert_state_dict({name: state[name], "image_encoder.trunk.x": own[ours]})[ours], own[ours]), name


def test_an_official_file_loads(tmp_path: Path) -> None:
    network = load_network(MODELS["sam2.1-tiny"], None)
    torch.save({"model": official(network.state_dict())}, tmp_path / "sam2.1_hiera_tiny.pt")
    segmenter = create_segmenter("sam2.1-tiny", weights=str(tmp_path / "sam2.1_hiera_tiny.pt"), device="cpu")
    assert isinstance(segmenter, SamSegmenter)
    loaded = segmenter.runtime.network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())
    assert segmenter.info.name == "sam2.1-tiny"
    assert segmenter.info.license_weights == "Apache-2.0"


def test_a_folder_of_transformers_loads(tmp_path: Path) -> None:
    network, other = reduced(), filled()
    for parameter in other.parameters():
        parameter.zero_()
    theirs_like(network).save_pretrained(tmp_path)
    model = MODELS["sam2.1-tiny"]
    load_weights(other, read_state(tmp_path, model), tmp_path, model)
    for (name, value), loaded in zip(network.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, loaded), name


@pytest.mark.parametrize("given", ["sam2.1-tiny", "sam2.1-small", "sam2.1-base-plus", "sam2.1-large", "mobile-sam"])
@pytest.mark.parametrize("wanted", ["sam2.1-tiny", "sam2.1-base-plus", "sam-vit-b"])
def test_weights_of_another_network_are_named(given: str, wanted: str) -> None:
    if given == "mobile-sam":
        pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")
    if given == wanted:
        return
    state = {name: value.to("meta") for name, value in build_model(MODELS[given]).state_dict().items()}
    if given == "sam2.1-small":
        state = official(state)
    with pytest.raises(BackendError) as caught:
        load_weights(build_model(MODELS[wanted]), state, Path("my.pt"), MODELS[wanted])
    text = str(caught.value)
    assert text.startswith(f"'{wanted}' got weights of another network in my.pt: ")
    assert text.endswith(f"; they are those of '{given}'. Expected those of the official {MODELS[wanted].file}.")


def test_a_name_too_many_or_too_few_is_refused() -> None:
    state, model = official(reduced().state_dict()), MODELS["sam2.1-tiny"]
    with pytest.raises(
        BackendError, match=r"1 parameters are missing, unknown or of another size, the first is 'extra\.weight'"
    ):
        load_weights(filled(), state | {"extra.weight": torch.zeros(1)}, Path("my.pt"), model)
    del state["sam_prompt_encoder.point_embeddings.2.weight"]
    with pytest.raises(
        BackendError, match=r"4 parameters are missing, .* the first is 'prompt_encoder\.point_embed\.0\.weight'"
    ):
        load_weights(filled(), state, Path("my.pt"), model)


def test_random_weights_are_always_the_same_and_leave_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, two = (load_network(MODELS["sam2.1-tiny"], None) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    for (name, first), second in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    assert one.vision_encoder.backbone.blocks[3].attn.qkv.weight.std() == pytest.approx(0.02, rel=0.1)
    assert one.prompt_encoder.shared_embedding.positional_embedding.std() == pytest.approx(1, rel=0.1)
