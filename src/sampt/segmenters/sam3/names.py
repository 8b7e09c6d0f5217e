"""Names of the parameters of SAM 3: from those of its whole model in `transformers` to those of its two networks here.

The published ``model.safetensors`` holds a detector, which understands words, and a tracker, which understands points and has a
neck of its own on the detector's backbone. The official ``sam3.pt`` has other names and is not read.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sampt.segmenters.sam.network import renamed
from sampt.segmenters.sam2 import names as sam2

__all__ = ["convert_concepts", "convert_state_dict", "is_sam3"]

_NECK = "vision_encoder.neck.fpn_layers."
_TRACKER = (
    (r"^detector_model\.vision_encoder\.backbone\.", "vision_encoder.backbone."),
    (r"^tracker_neck\.", "vision_encoder.neck."),
    (r"^tracker_model\.", ""),
)
_COMPUTED = "text_encoder.text_model.embeddings.position_ids"
"""In files of some versions, though it follows from the sizes."""


def is_sam3(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint is one of SAM 3 with names of `transformers`: the whole model, or one of its two networks."""
    return any(name.startswith(("tracker_neck.", f"detector_model.{_NECK}", _NECK)) for name in state)


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint with the names of the network for points, boxes and masks.

    Returns:
        The same tensors without those that only words or the memory of a video need; the coarsest level of the neck, which
        the official program drops, is among them. Unknown names are kept, so that loading finds them.
    """
    named = renamed(state, _TRACKER)
    used = {name: value for name, value in named.items() if not name.startswith(("detector_model.", f"{_NECK}3."))}
    return sam2.convert_state_dict(used)


def convert_concepts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint with the names of the network for words; unknown names are kept."""
    named = renamed(state, ((r"^detector_model\.", ""),))
    return {name: value for name, value in named.items() if not name.startswith(("tracker_neck.", "tracker_model.", _COMPUTED))}
