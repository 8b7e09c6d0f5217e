"""Printed values show types, shapes and counts of their arrays, never the elements."""

import contextlib
import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sampt
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import encode_mask
from sampt.types import (
    FrameMasks,
    FramePoints,
    MaskPrediction,
    ObjectPrompt,
    ObjectState,
    Points,
    QueryBox,
    QueryMask,
    Tracks,
)

POINTS = Points.of(1, 0, np.arange(200).reshape(100, 2), np.arange(100) < 64)
FRAME_POINTS = FramePoints(
    *(np.zeros(100, np.int64),) * 2, np.zeros(100, np.bool_), *(np.zeros((100, 2)), *(np.zeros(100),) * 2)
)
MASK = np.indices((40, 60)).sum(0) < 30
POINTS_TEXT = "Points(xy=float32 (100, 2), frame_idx=int64 (100,), object_id=int64 (100,), is_positive=bool (100,), 64 True)"
FRAME_POINTS_TEXT = (
    "FramePoints(point_id=int64 (100,), object_id=int64 (100,), is_positive=bool (100,), 0 True, xy=float32 (100, 2), "
    "confidence=float32 (100,), hidden_by=uint8 (100,))"
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (POINTS, POINTS_TEXT),
        (QueryMask(1, 7, MASK), f"QueryMask(object_id=1, frame_idx=7, mask=bool (40, 60), {MASK.sum()} True)"),
        (QueryBox(1, 7, np.arange(4)), "QueryBox(object_id=1, frame_idx=7, box_xyxy=float32 (4,))"),
        (
            Tracks(POINTS, np.zeros((5, 100, 2)), np.ones((5, 100), bool), np.ones((5, 100)), np.zeros((5, 100))),
            f"Tracks(points={POINTS_TEXT}, xy=float32 (5, 100, 2), visible=bool (5, 100), 500 True, "
            "confidence=float32 (5, 100), hidden_by=uint8 (5, 100))",
        ),
        (FRAME_POINTS, FRAME_POINTS_TEXT),
        (
            ObjectPrompt(2, POINTS.xy, POINTS.is_positive),
            "ObjectPrompt(object_id=2, xy=float32 (100, 2), is_positive=bool (100,), 64 True, box_xyxy=None, mask_logits=None,"
            " is_certain=bool (100,), 100 True, prior=None)",
        ),
        (
            MaskPrediction(2, 0.5, (np.zeros((64, 64)),) * 2, None, np.zeros((480, 854), np.float32)),
            "MaskPrediction(object_id=2, score=0.5, low_res_logits=tuple of 2, box_xyxy=None, logits=float32 (480, 854))",
        ),
        (
            FrameMasks(3, [1], MASK[None], [0.5], [0], FRAME_POINTS),
            f"FrameMasks(frame_idx=3, object_ids=int64 (1,), masks=bool (1, 40, 60), {MASK.sum()} True, scores=float32 (1,), "
            f"states=uint8 (1,), points={FRAME_POINTS_TEXT}, good_probability=None)",
        ),
        (
            ObjectMask(1, ObjectState.PRESENT, 0.5, np.zeros((40, 60), np.float32), (3, 4)),
            "ObjectMask(object_id=1, state=<ObjectState.PRESENT: 0>, score=0.5, logits=float32 (40, 60), origin_yx=(3, 4), "
            "is_given=False)",
        ),
        (encode_mask(MASK), f"Rle(size_hw=(40, 60), counts=str of {len(encode_mask(MASK).counts)})"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_prints_shapes_and_counts(value: Any, text: str) -> None:
    assert repr(value) == text


def test_tensors_and_what_segmenters_return_print_their_shapes_too() -> None:
    torch = pytest.importorskip("torch")
    prediction = MaskPrediction(2, 0.5, torch.zeros(1, 256, 256, dtype=torch.bool), None)
    assert "low_res_logits=bool (1, 256, 256), 0 True" in repr(prediction)
    answer = dataclasses.make_dataclass("Prediction", ["logits", "scale"])(np.zeros((64, 64), np.float32), 0.25)
    assert "low_res_logits=Prediction(logits=float32 (64, 64), scale=0.25)" in repr(MaskPrediction(2, 0.5, answer, None))


def _modules() -> Iterator[ModuleType]:
    """All but what needs an extra that is not installed."""
    for module in pkgutil.walk_packages(sampt.__path__, "sampt."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ModuleNotFoundError):
                yield importlib.import_module(module.name)


def _values_with_arrays() -> list[type]:
    """Public dataclasses and named tuples with arrays or tensors, those in the folders of backends included."""
    public = [getattr(module, name) for module in _modules() for name in getattr(module, "__all__", ())]
    records = {k for k in public if inspect.isclass(k) and (dataclasses.is_dataclass(k) or hasattr(k, "_fields"))}
    return [kind for kind in records if any(map(_is_array, typing.get_type_hints(kind).values()))]


def _is_array(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is Callable:
        return False
    is_tensor = inspect.isclass(hint) and (hint.__module__, hint.__name__) == ("torch", "Tensor")
    return is_tensor or np.ndarray in (hint, origin) or any(map(_is_array, typing.get_args(hint)))


def test_no_value_with_arrays_prints_them() -> None:
    kinds = _values_with_arrays()
    assert len(kinds) >= 30
    assert {"LowResLogits", "PromptArrays", "Encoded", "Evidence"} <= {kind.__qualname__ for kind in kinds}
    assert [kind.__qualname__ for kind in kinds if "float64 (100,)" not in repr(_filled(kind))] == []


def _filled(kind: Any) -> Any:
    """One whose fields are all the same array; nothing is checked."""
    if hasattr(kind, "_make"):
        return kind._make([np.arange(100.0)] * len(kind._fields))
    value = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(value, field.name, np.arange(100.0))
    return value
