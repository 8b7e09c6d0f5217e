"""Turn trained weights into the ONNX files of the package.

    python -m training.segmenter.export --weights training-runs/segmenter/weights.pt --out src/sampt/segmenters/nano/weights

``encoder.onnx``, ``pretrained.onnx``, ``decoder.onnx`` and ``saliency.onnx`` hold the folded network (no normalisation left) at
half precision; every parameter keeps its name, so that PyTorch loads its weights from the same files. Computed is in single
precision. What ONNX Runtime computes is compared with PyTorch before a file is kept.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from sampt.segmenters.nano import BUNDLED_WEIGHTS
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.runtime import (
    FEATURES,
    INT8_SALIENCY,
    SALIENCY,
    SALIENT_MAPS,
    PromptArrays,
    lay_over,
    saliency_side,
)
from training.onnx_export import write_onnx
from training.run import averaged

PROMPT = tuple(field.name for field in fields(PromptArrays))


def load_weights(path: Path) -> NanoNetwork:
    """The folded network from ``weights.pt``, or the averaged one of a ``checkpoint.pt``."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = NanoNetwork()
    network.load_state_dict(averaged(state))
    network.fold()
    # As they are stored, so that PyTorch is compared with what the files hold.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    return network


def example(side: int = 160, objects: int = 2, points: int = 5) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """An image, and prompts for windows of it."""
    rng = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=rng)

    prompts = (
        torch.ones(objects, 1, side // 4, side // 4),
        rand(objects, points, 2) * side,
        torch.randint(-1, 2, (objects, points), generator=rng).float(),
        torch.tensor([[8.0, 8.0, 90.0, 120.0], [0.0] * 4])[:objects],
        rand(objects, 1, side // 4, side // 4),
        torch.tensor([1.0, 0.0])[:objects],
        torch.tensor([0.0, 0.6])[:objects],
        rand(objects, 1, side // 4, side // 4) * 4 - 2,
    )
    return rand(1, 3, side, side) * 2 - 1, prompts


def export(network: NanoNetwork, out: Path) -> None:
    """Write the files, checked, each complete or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    image, prompts = example()
    features = network.encoder(image)
    export_encoder(network, image, features, out)
    square = torch.nn.functional.interpolate(image, (saliency_side(160),) * 2).expand(2, -1, -1, -1)
    export_saliency(network, square, out)
    corners = np.array([[4.0, -3.0], [20.0, 10.0]]), np.array([[150.0, 170.0], [140.0, 160.0]])
    salient = network.find_salient(square, lay_over(*corners, 160))
    windows = tuple(f.expand(2, -1, -1, -1) for f in features)
    export_decoder(network, (*windows, *salient, *prompts), out)


def export_encoder(network: NanoNetwork, image: torch.Tensor, features: Sequence[torch.Tensor], out: Path) -> None:
    """The part that is ours and the pretrained one, which adds to all ``features`` but the finest."""
    sizes = {n: {0: "n", 2: f"h_{n}", 3: f"w_{n}"} for n in FEATURES} | {"picture": {0: "n", 2: "h", 3: "w"}}
    write_onnx(
        network.encoder,
        (image,),
        out / "encoder.onnx",
        ["picture"],
        list(FEATURES),
        sizes,
        half=True,
    )
    added_to = FEATURES[1:]
    write_onnx(
        network.pretrained,
        (image, *features[1:]),
        out / "pretrained.onnx",
        ["picture", *added_to],
        [f"known_{n}" for n in added_to],
        {n: sizes[n] for n in ("picture", *added_to)} | {f"known_{n}": sizes[n] for n in added_to},
        half=True,
    )


def export_saliency(network: NanoNetwork, square: torch.Tensor, out: Path) -> None:
    write_onnx(
        network.saliency,
        (square,),
        out / "saliency.onnx",
        ["picture"],
        list(SALIENT_MAPS),
        {"picture": {0: "n", 2: "s", 3: "s"}, **{n: {0: "n", 2: f"h_{n}", 3: f"w_{n}"} for n in SALIENT_MAPS}},
        half=True,
    )


def export_decoder(network: NanoNetwork, inputs: tuple[torch.Tensor, ...], out: Path) -> None:
    axes: dict[str, dict[int, str]] = {n: {0: "n", 2: f"s_{n}", 3: f"s_{n}"} for n in FEATURES}
    axes |= {n: {0: "n", 2: f"s_{n}", 3: f"s_{n}"} for n in SALIENCY}
    axes |= {"inside": {0: "n", 2: "s_fine", 3: "s_fine"}, "previous": {0: "n", 2: "s_fine", 3: "s_fine"}}
    axes |= {"memory": {0: "n", 2: "s_fine", 3: "s_fine"}}
    axes |= {
        "points_xy": {0: "n", 1: "p"},
        "labels": {0: "n", 1: "p"},
        "box": {0: "n"},
        "has_previous": {0: "n"},
        "tracked": {0: "n"},
    }
    axes |= {"logits": {0: "n", 2: "s", 3: "s"}, "score": {0: "n"}}
    write_onnx(
        network.decoder,
        inputs,
        out / "decoder.onnx",
        [*FEATURES, *SALIENCY, *PROMPT],
        ["logits", "score"],
        axes,
        half=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt, or checkpoint.pt of a run that goes on")
    parser.add_argument("--out", type=Path, default=BUNDLED_WEIGHTS)
    args = parser.parse_args()
    with torch.no_grad():
        export(load_weights(args.weights), args.out)
    if args.out.resolve() != BUNDLED_WEIGHTS:  # what it was made from is never trained
        shutil.copyfile(BUNDLED_WEIGHTS / INT8_SALIENCY, args.out / INT8_SALIENCY)


if __name__ == "__main__":
    main()
