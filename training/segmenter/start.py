"""Where training of the second generation starts: the first generation's weights, and a network that knows what an object is.

    python -m training.segmenter.start --objects ../shared/weights/u2netp.onnx --first first.pt \
        --out training-runs/start.pt

The saliency network has the weights of U2-Net-p, from its authors' ONNX file (normalisation merged into convolutions, in the
order of computation), and keeps them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.saliency import SaliencyNetwork


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


def load_first_generation(network: NanoNetwork, path: Path) -> None:
    """Take over what the first generation has, from its ``before-decay.pt``.

    Raises:
        SystemExit: the file holds another network.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)["average"]
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    first = state["decoder.score.0.weight"]  # has become wider: what is new says nothing at first
    state["decoder.score.0.weight"] = torch.zeros_like(network.decoder.score[0].weight)
    state["decoder.score.0.weight"][:, : first.shape[1]] = first
    missing, unexpected = network.load_state_dict(state, strict=False)
    if unexpected or any(not key.startswith(("saliency.", "decoder.salient_", "decoder.trust.")) for key in missing):
        raise SystemExit(f"{path} does not hold the first generation: {[*unexpected, *missing][:3]}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=Path, required=True, help="u2netp.onnx")
    parser.add_argument("--first", type=Path, required=True, help="before-decay.pt of the first generation")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    network = NanoNetwork()
    load_first_generation(network, args.first)
    load_authors(args.objects, network.saliency)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict(), "average": network.state_dict()}, args.out)


if __name__ == "__main__":
    main()
