"""Turn trained weights into the four ONNX files of the package.

    python -m training.tracker.export --weights training-runs/tracker/weights.pt
    python -m training.tracker.export --refinement training-runs/refinement/weights.pt

``encoder.onnx``, ``begin.onnx`` (what a new point looks like; no weights) and ``step.onnx`` hold the folded network,
``refinement.onnx`` its second look, which is trained for them; every parameter keeps its name, so that PyTorch loads its
weights from the same files. After a new encoder run ``training.tracker.quantize``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from sampt.trackers.nano.network import NanoTrackerNetwork, NanoTrackerRefinement, NanoTrackerStep
from sampt.trackers.nano.runtime import INT8_ENCODER, PointState
from training.onnx_export import write_onnx

_MAPS = {"fine": {2: "h_fine", 3: "w_fine"}, "coarse": {2: "h_coarse", 3: "w_coarse"}}
_CARRIED = ("xy", "velocity", "seen", "hidden", "recent_fine", "recent_coarse")


class _Begin(nn.Module):
    def __init__(self, step: NanoTrackerStep) -> None:
        super().__init__()
        self._begin = step.begin

    def forward(self, fine: Tensor, coarse: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        state = self._begin(fine, coarse, xy)
        return state.first_fine, state.first_coarse


class _Step(nn.Module):
    """The step, or the refinement, with the state as separate tensors; its parameters are those of the part."""

    def __init__(self, part: NanoTrackerStep | NanoTrackerRefinement) -> None:
        super().__init__()
        self.__dict__["_forward"] = part.forward
        for name, child in part.named_children():
            self.add_module(name, child)
        for name, parameter in part.named_parameters(recurse=False):
            self.register_parameter(name, parameter)

    def forward(self, fine: Tensor, coarse: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        known = len(PointState._fields)
        after, _ = self._forward(fine, coarse, PointState(*state[:known]), *state[known:])
        return tuple(getattr(after, name) for name in _CARRIED)


def load_weights(path: Path) -> NanoTrackerNetwork:
    """The folded network from ``weights.pt``, or the averaged one of a ``checkpoint.pt``."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = NanoTrackerNetwork()
    network.load_state_dict(state.get("average", state))
    return network.fold()


def load_refinement(path: Path) -> NanoTrackerRefinement:
    """From ``weights.pt``, or the averaged one of a ``checkpoint.pt``."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    refinement = NanoTrackerRefinement()
    refinement.load_state_dict(state.get("average", state))
    return refinement.eval()


@torch.no_grad()
def export(network: NanoTrackerNetwork, out: Path) -> None:
    """Write the files of encoder and step, checked, each complete or not at all; one in integers of another encoder goes."""
    out.mkdir(parents=True, exist_ok=True)
    (out / INT8_ENCODER).unlink(missing_ok=True)
    image, xy = _example()
    fine, coarse = network.encoder(image)
    maps = _MAPS
    write_onnx(
        network.encoder,
        (image,),
        out / "encoder.onnx",
        ["picture"],
        ["fine", "coarse"],
        {"picture": {2: "h", 3: "w"}, **maps},
    )
    points = {name: {1: "n"} for name in PointState._fields}
    axes = {**maps, "xy": {1: "n"}, "first_fine": {1: "n"}, "first_coarse": {1: "n"}}
    write_onnx(
        _Begin(network.step),
        (fine, coarse, xy),
        out / "begin.onnx",
        ["fine", "coarse", "xy"],
        ["first_fine", "first_coarse"],
        axes,
    )
    state = network.step.begin(fine, coarse, xy)
    moved = network.encoder(image.roll(5, 3))
    state, _ = network.step(*moved, state)
    new = [f"new_{name}" for name in _CARRIED]
    axes = {**maps, **points, **{name: {1: "n"} for name in new}}
    write_onnx(
        _Step(network.step), (fine, coarse, *state), out / "step.onnx", ["fine", "coarse", *PointState._fields], new, axes
    )


@torch.no_grad()
def export_refinement(refinement: NanoTrackerRefinement, out: Path) -> None:
    """Write ``refinement.onnx``, likewise."""
    out.mkdir(parents=True, exist_ok=True)
    image, xy = _example()
    encoder = NanoTrackerNetwork().fold().encoder  # any one makes maps of these shapes
    state = refinement.begin(*encoder(image), xy)
    fine, coarse = encoder(image.roll(5, 3))
    new = [f"new_{name}" for name in _CARRIED]
    given = ["given", "given_seen"]
    axes = {**_MAPS, **{name: {1: "n"} for name in (*PointState._fields, *given, *new)}}
    write_onnx(
        _Step(refinement),
        (fine, coarse, *state, xy + 2, torch.full(xy.shape[:2], 0.9)),
        out / "refinement.onnx",
        ["fine", "coarse", *PointState._fields, *given],
        new,
        axes,
    )


def _example() -> tuple[Tensor, Tensor]:
    """An image and points on it."""
    rng = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, 96, 128), generator=rng) * 2 - 1
    return image, torch.rand((1, 5, 2), generator=rng) * torch.tensor([120.0, 90.0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="of the tracker: weights.pt, or checkpoint.pt of a run that goes on")
    parser.add_argument("--refinement", type=Path, help="of the refinement, likewise")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "src/sampt/trackers/nano/weights")
    args = parser.parse_args()
    if not args.weights and not args.refinement:
        parser.error("nothing to export: give --weights, --refinement, or both")
    if args.weights:
        export(load_weights(args.weights), args.out)
    if args.refinement:
        export_refinement(load_refinement(args.refinement), args.out)


if __name__ == "__main__":
    main()
