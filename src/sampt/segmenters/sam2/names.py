"""Names of the parameters of SAM 2 and EdgeTAM: from those of the official programs and of `transformers` to this network's.

Both kinds of file hold the whole model for video. Its memory, which a single frame does not use, is left out by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sampt.segmenters.sam.network import DECODER_NAMES, renamed

__all__ = ["convert_state_dict", "is_sam2"]

_ONLY_FOR_VIDEO = re.compile(
    # of the official program
    r"(memory_attention|memory_encoder|spatial_perceiver|obj_ptr_proj|obj_ptr_tpos_proj|mask_downsample)\..+"
    r"|maskmem_tpos_enc|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial"
    # of transformers, where they are called differently
    r"|(object_pointer_proj|temporal_positional_encoding_projection_layer)\..+"
    r"|memory_temporal_positional_encoding|no_memory_positional_encoding|no_object_pointer|occlusion_spatial_embedding_parameter"
)
_BLOCK = r"^(vision_encoder\.backbone\.blocks\.\d+)"
_TWO_WAY = r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\."
_SCORE = r"^(mask_decoder\.pred_obj_score_head)\.layers\."
_NAMES = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^(vision_encoder\.backbone\.patch_embed)\.proj\.", r"\1.projection."),
    (_BLOCK + r"\.norm(\d)\.", r"\1.layer_norm\2."),
    (_BLOCK + r"\.mlp\.layers\.0\.", r"\1.mlp.proj_in."),
    (_BLOCK + r"\.mlp\.layers\.1\.", r"\1.mlp.proj_out."),
    *DECODER_NAMES,
    (r"^(mask_decoder\.transformer\..*)\.out_proj\.", r"\1.o_proj."),
    (_TWO_WAY + r"0\.", r"\1.proj_in."),
    (_TWO_WAY + r"1\.", r"\1.proj_out."),
    (_SCORE + r"0\.", r"\1.proj_in."),
    (_SCORE + r"2\.", r"\1.proj_out."),
    (_SCORE + r"1\.", r"\1.layers.0."),
)
"""Pattern and replacement from the official program's names, in order."""
_KINDS = [f"prompt_encoder.point_embed.{k}.weight" for k in range(4)]
"""Kinds of points, each (1, 256) in official files, one table (4, 256) here."""


def is_sam2(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint is one of SAM 2, of whatever size and with either kind of names, or of EdgeTAM."""
    return any(name.startswith(("image_encoder.trunk.", "vision_encoder.backbone.")) for name in state)


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint of SAM 2 with this network's names.

    Args:
        state: with the names of the official program, or those of `transformers`, whose positional embedding may stand under
            either of its two names.

    Returns:
        The same tensors without those that only the model for video has. Unknown names are kept, so that loading finds them.
    """
    out = {name: value for name, value in state.items() if not _ONLY_FOR_VIDEO.fullmatch(name)}
    shared = out.pop("shared_image_embedding.positional_embedding", None)
    if shared is not None:
        out.setdefault("prompt_encoder.shared_embedding.positional_embedding", shared)
    if any(name.startswith("image_encoder.") for name in out):
        out = renamed(out, _NAMES)
        if all(name in out for name in _KINDS):
            out["prompt_encoder.point_embed.weight"] = torch.cat([out.pop(name) for name in _KINDS])
    return out
