"""The contract of a promptable segmenter, clause by clause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sampt.geometry import find_mask_box
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo, innermost
from sampt.testing.clauses import Clip, ContractError, demand, maker, run_clauses, spread_points, watched_random_state
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["SEGMENTER_CLAUSES", "SegmenterClause", "SegmenterLimits", "check_segmenter"]


@dataclass(frozen=True)
class SegmenterLimits:
    """How well a segmenter has to do.

    Attributes:
        min_iou: IoU with the exact mask on an easy frame, prompted with several points; None leaves out every clause part that
            measures accuracy (for random weights).
        same: logits and scores that should be the same may differ by this much, absolutely or relatively.
    """

    min_iou: float | None = 0.5
    same: float = 1e-3


_DEFAULT = SegmenterLimits()
SegmenterClause = Callable[[PromptableSegmenter, SegmenterLimits], None]


def info_is_complete(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """``info`` is a SegmenterInfo with a name, the code's licence and a batch size; its flags say what the segmenter has."""
    info = segmenter.info
    demand(isinstance(info, SegmenterInfo), f"info is a {type(info).__name__}; expected a SegmenterInfo.")
    named = f"name={info.name!r}, license_code={info.license_code!r}"
    demand(bool(info.name and info.license_code), f"info has {named}; expected both.")
    demand(info.encode_batch >= 1, f"info.encode_batch is {info.encode_batch}; expected at least 1.")
    inner = innermost(segmenter)
    flags = {"has_refinement": "decode_with_refinement", "has_candidates": "candidates", "has_mask_logits": "make_mask_logits"}
    for flag, method in flags.items():
        says, has = getattr(info, flag), callable(getattr(inner, method, None))
        demand(
            says == has, f"info.{flag} is {says}, and {method}() is {'there' if has else 'missing'}; expected them to agree."
        )


def one_prompt(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """One positive point gives one prediction whose id, score, box and logits are what they promise."""
    frame, masks = _easy()
    _predict(segmenter, frame, [_prompt(masks, 1, 1)])


def no_prompts(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """No prompts give an empty list."""
    predictions = segmenter.decode(_encode(segmenter, _easy()[0]), [])
    demand(isinstance(predictions, list) and not predictions, f"decode() of no prompts returned {predictions!r}; expected [].")


def easy_objects(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Objects of a colour of their own are found from several points, and hold these points."""
    frame, masks = _easy()
    prompts = [_prompt(masks, object_id, 5, negatives=3) for object_id in (1, 2)]
    for prediction, prompt, mask in zip(_predict(segmenter, frame, prompts), prompts, masks, strict=True):
        if limits.min_iou is None:
            continue
        got = _threshold(prediction)
        _demand_overlap(got, mask, limits.min_iou, f"The mask of object {prediction.object_id}")
        x, y = prompt.xy[0].astype(int)
        demand(
            got[y, x],
            f"The mask of object {prediction.object_id} leaves out its first positive point ({x}, {y}); expected it in.",
        )


def batch_equals_one_by_one(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Several prompts with as many points each, prompted together, get the predictions that they get alone."""
    frame, masks = _easy()
    _demand_alone_is_same(segmenter, frame, [_prompt(masks, 1, 2), _prompt(masks, 2, 2), _prompt(masks, 1, 1, 1)], limits)


def mixed_numbers_of_points(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Prompts with different numbers of points, with and without boxes, get the predictions that they get alone."""
    frame, masks = _easy()
    boxed = replace(_prompt(masks, 2, 1), box_xyxy=find_mask_box(masks[1]))
    prompts = [_prompt(masks, 1, 1), _prompt(masks, 2, 6, 3), boxed, _prompt(masks, 1, 3, 1)]
    _demand_alone_is_same(segmenter, frame, prompts, limits)


def order_of_prompts(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Prompts in another order get the same predictions in that order."""
    frame, masks = _easy()
    prompts = [_prompt(masks, 1, 3, 1), _prompt(masks, 1, 1), _prompt(masks, 2, 3, 1)]
    first, second = _predict(segmenter, frame, prompts), _predict(segmenter, frame, prompts[::-1])[::-1]
    for one, two in zip(first, second, strict=True):
        _demand_same(one, two, limits, "when the prompts are in another order")


def order_of_points(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """The order of the points of a prompt does not matter."""
    frame, masks = _easy()
    prompt = _prompt(masks, 1, 4, 2)
    turned = replace(prompt, xy=prompt.xy[::-1], is_positive=prompt.is_positive[::-1])
    one, two = _predict(segmenter, frame, [prompt])[0], _predict(segmenter, frame, [turned])[0]
    _demand_same(one, two, limits, "when the points of the prompt are in another order")


def stateless(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """What is encoded or decoded in between does not change a prediction about an earlier frame."""
    frame, masks = _easy()
    other = Clip.of("crossing").video.read(3, 4)[0]
    prompt = _prompt(masks, 1, 3, 1)
    embedding = _encode(segmenter, frame)
    first = _decode(segmenter, embedding, frame, [prompt])[0]
    between = _encode(segmenter, other)
    _decode(segmenter, between, other, [_prompt(masks, 2, 2)])
    second = _decode(segmenter, embedding, frame, [prompt])[0]
    _demand_same(first, second, limits, "after another frame was encoded and decoded")


def frames_in_a_batch(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Frames encoded together give the masks that they give alone."""
    clip = Clip.of("crossing")
    frames = clip.video.read(0, 3)
    embeddings = segmenter.encode(frames)
    demand(len(embeddings) == 3, f"encode() of 3 frames returned {len(embeddings)} embeddings; expected 3.")
    for i in (0, 2):
        prompt = _prompt(clip.masks(i), 2, 3)
        together = _threshold(_decode(segmenter, embeddings[i], frames[i], [prompt])[0])
        alone = _threshold(_predict(segmenter, frames[i], [prompt])[0])
        changed = float((together != alone).mean())
        demand(changed <= 0.01, f"{changed:.1%} of the pixels of a mask change when 3 frames are encoded together; expected 0.")


def odd_sizes(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Frames that are high or wide and have odd sides get logits of their own size, with the object where it is."""
    for size_hw in ((97, 61), (83, 131)):
        clip = Clip.sized(size_hw)
        masks = clip.masks(0)
        prediction = _predict(segmenter, clip.video.read(0, 1)[0], [_prompt(masks, 2, 5, 3)])[0]
        if limits.min_iou is not None:
            _demand_overlap(_threshold(prediction), masks[1], limits.min_iou, f"The mask on a frame of (h, w) = {size_hw}")


def points_on_the_edge(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Points on the first and last row and column are handled."""
    frame, _ = _easy()
    h, w = frame.shape[:2]
    edge = [[w // 2, 0], [0, h // 2], [w - 1, h // 2], [w // 2, h - 1], [0, 0], [w - 1, h - 1]]
    _predict(segmenter, frame, [ObjectPrompt(k + 1, [xy], [True]) for k, xy in enumerate(edge)])  # type: ignore[arg-type]


def box_and_previous_logits(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """A prompt may have a box, a previous prediction's low-resolution logits, both, or a box alone."""
    frame, masks = _easy()
    prompt = _prompt(masks, 1, 3, 1)
    embedding = _encode(segmenter, frame)
    previous = _decode(segmenter, embedding, frame, [prompt])[0]
    box = previous.box_xyxy if previous.box_xyxy is not None else find_mask_box(masks[0])
    more = [
        replace(prompt, box_xyxy=box),
        replace(prompt, mask_logits=previous.low_res_logits),
        replace(prompt, box_xyxy=box, mask_logits=previous.low_res_logits),
        ObjectPrompt(4, np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), box),
    ]
    _decode(segmenter, embedding, frame, more)


def low_resolution_only(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """With ``full_size=False`` logits are None, and score, box and low-resolution logits are those of the full prediction."""
    frame, masks = _easy()
    embedding = _encode(segmenter, frame)
    prompts = [_prompt(masks, 1, 3, 1), _prompt(masks, 2, 2)]
    full = _decode(segmenter, embedding, frame, prompts)
    for one, two in zip(full, segmenter.decode(embedding, prompts, full_size=False), strict=True):
        demand(two.logits is None, "decode(full_size=False) returned logits; expected None.")
        demand(two.low_res_logits is not None, "decode(full_size=False) returned no low_res_logits; expected them.")
        demand(abs(one.score - two.score) <= limits.same, f"full_size=False changes the score from {one.score} to {two.score}.")
        same_box = _same_box(one.box_xyxy, two.box_xyxy)
        demand(same_box, f"full_size=False changes the box from {one.box_xyxy} to {two.box_xyxy}; expected the same.")


def frame_is_left_alone(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Frames are not written to, and may be read-only."""
    frame, masks = _easy()
    kept = frame.copy()
    _predict(segmenter, frame, [_prompt(masks, 1, 3, 1)])
    demand(np.array_equal(frame, kept), "The segmenter wrote into the frame; expected it unchanged.")
    frame.setflags(write=False)
    _predict(segmenter, frame, [_prompt(masks, 1, 3, 1)])


def global_random_state_is_left_alone(segmenter: PromptableSegmenter, limits: SegmenterLimits = _DEFAULT) -> None:
    """Neither numpy's nor Python's global random numbers are drawn from or seeded."""
    frame, masks = _easy()
    with watched_random_state("segmenter"):
        _predict(segmenter, frame, [_prompt(masks, 1, 3, 1)])


SEGMENTER_CLAUSES: tuple[tuple[str, SegmenterClause], ...] = tuple(
    (clause.__name__, clause)
    for clause in (
        info_is_complete,
        one_prompt,
        no_prompts,
        easy_objects,
        batch_equals_one_by_one,
        mixed_numbers_of_points,
        order_of_prompts,
        order_of_points,
        stateless,
        frames_in_a_batch,
        odd_sizes,
        points_on_the_edge,
        box_and_previous_logits,
        low_resolution_only,
        frame_is_left_alone,
        global_random_state_is_left_alone,
    )
)
"""Name and function of every clause; ``function(segmenter)`` raises ContractError when the clause is broken."""


def check_segmenter(
    segmenter: PromptableSegmenter | Callable[[], PromptableSegmenter], *, min_iou: float | None = 0.5, same: float = 1e-3
) -> None:
    """Hold a segmenter against every clause of the contract.

    Args:
        segmenter: a segmenter, or a function that makes a fresh one for each clause.
        min_iou: see :class:`SegmenterLimits`; None for a segmenter with random weights.
        same: see :class:`SegmenterLimits`.

    Raises:
        ContractError: with a sentence for every broken clause; or there is none to try, for its factory is broken or a class.
    """
    run_clauses("segmenter", SEGMENTER_CLAUSES, maker("segmenter", segmenter, "decode"), SegmenterLimits(min_iou, same))


def _easy() -> tuple[UInt8Array, BoolArray]:
    """A frame with two objects of clearly different colours, and their masks."""
    clip = Clip.of("static")
    return clip.video.read(0, 1)[0].copy(), clip.masks(0)


def _prompt(masks: BoolArray, object_id: int, positives: int, negatives: int = 0) -> ObjectPrompt:
    """Points inside an object, then points well off all objects."""
    xy = [spread_points(np.asarray(masks[object_id - 1]), positives)]
    if negatives:
        xy.append(spread_points(np.asarray(~masks.any(0)), negatives))
    is_positive = np.arange(positives + negatives) < positives
    return ObjectPrompt(object_id, np.concatenate(xy), is_positive)


def _encode(segmenter: PromptableSegmenter, frame: UInt8Array) -> object:
    embeddings = segmenter.encode(frame[None])
    demand(len(embeddings) == 1, f"encode() of one frame returned {len(embeddings)} embeddings; expected 1.")
    return embeddings[0]


def _predict(segmenter: PromptableSegmenter, frame: UInt8Array, prompts: Sequence[ObjectPrompt]) -> list[MaskPrediction]:
    return _decode(segmenter, _encode(segmenter, frame), frame, prompts)


def _decode(
    segmenter: PromptableSegmenter, embedding: object, frame: UInt8Array, prompts: Sequence[ObjectPrompt]
) -> list[MaskPrediction]:
    """Decode, and demand what every prediction has to be."""
    predictions = segmenter.decode(embedding, prompts)
    ids, expected = [prediction.object_id for prediction in predictions], [prompt.object_id for prompt in prompts]
    demand(ids == expected, f"Predictions are about objects {ids}; expected {expected}, one a prompt, in order.")
    for prediction in predictions:
        logits = _check_logits(prediction)
        demand(isinstance(logits, np.ndarray), f"logits is a {type(logits).__name__}; expected an array of the frame's size.")
        demand(logits.shape == frame.shape[:2], f"logits have shape {logits.shape}; expected {frame.shape[:2]}.")
        demand(logits.dtype == np.float32, f"logits are {logits.dtype}; expected float32.")
        demand(np.isfinite(logits).all(), "logits hold NaN or infinity; expected finite numbers.")
        demand(0 <= prediction.score <= 1, f"The score is {prediction.score}; expected 0 to 1.")
        demand(
            prediction.low_res_logits is not None, "low_res_logits is None; expected what the next prompt's mask_logits takes."
        )
        mask = logits > 0
        box = find_mask_box(mask) if mask.sum() >= 2 else None
        demand(
            _same_box(prediction.box_xyxy, box),
            f"The box is {prediction.box_xyxy}; expected the tight box of logits > 0, {box}.",
        )
    return predictions


def _threshold(prediction: MaskPrediction) -> BoolArray:
    return np.asarray(_check_logits(prediction) > 0)


def _check_logits(prediction: MaskPrediction) -> FloatArray:
    if prediction.logits is None:
        raise ContractError("logits is None; expected an array of the frame's size.")
    return prediction.logits


def _demand_overlap(got: BoolArray, mask: BoolArray, min_iou: float, what: str) -> None:
    iou = float((got & mask).sum() / (got | mask).sum())
    demand(iou > min_iou, f"{what} has IoU {iou:.2f} with the object; expected above {min_iou}.")


def _same_box(one: FloatArray | None, two: FloatArray | None) -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.abs(np.asarray(one) - np.asarray(two)).max() <= 1e-3)


def _demand_alone_is_same(
    segmenter: PromptableSegmenter, frame: UInt8Array, prompts: Sequence[ObjectPrompt], limits: SegmenterLimits
) -> None:
    embedding = _encode(segmenter, frame)
    together = _decode(segmenter, embedding, frame, prompts)
    for prediction, prompt in zip(together, prompts, strict=True):
        alone = _decode(segmenter, embedding, frame, [prompt])[0]
        _demand_same(prediction, alone, limits, f"between a batch of {len(prompts)} prompts and the prompt alone")


def _demand_same(one: MaskPrediction, two: MaskPrediction, limits: SegmenterLimits, when: str) -> None:
    first, second = _check_logits(one), _check_logits(two)
    difference = np.abs(first - second)
    excess = difference - limits.same * np.maximum(np.abs(first), 1)
    demand(
        excess.max() <= 0,
        f"Logits of object {one.object_id} differ by up to {difference.max():.4g} {when}; expected at most {limits.same}.",
    )
    demand(abs(one.score - two.score) <= limits.same, f"Scores differ, {one.score} and {two.score}, {when}; expected the same.")
