"""The network of the object memory as the package's ONNX file.

    python -m training.memory.export --backbone efficientnet-lite0-57934424.pth

It is the pretrained part of nano's encoder, up to a sixteenth of the image's size: nothing of it is trained here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from sampt.memory.features import WEIGHTS
from sampt.segmenters.nano.backbone import Backbone
from training.onnx_export import write_onnx
from training.segmenter.start import load_backbone


class Coarse(nn.Module):
    """The last of the backbone's maps."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> Tensor:
        coarse: Tensor = self.backbone(image)[2]
        return coarse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, required=True, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    backbone = Backbone().eval()
    load_backbone(args.backbone, backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(parameter.half().float())
        image = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
        axes = {"image": {0: "n", 2: "h", 3: "w"}, "features": {0: "n", 2: "h_features", 3: "w_features"}}
        write_onnx(Coarse(backbone).eval(), (image,), args.out, ["image"], ["features"], axes, half=True)


if __name__ == "__main__":
    main()
