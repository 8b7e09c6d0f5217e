"""Turn trained weights into the four ONNX files of the package.

    python -m training.tracker.export --weights training-runs/tracker/weights.pt

``encoder.onnx``, ``begin.onnx`` (what a new point looks like; no weights) and ``step.onnx`` hold the folded network,
``refinement.onnx`` the step's weights once more, in the graph of the refinement; every parameter keeps its name, so that
PyTorch loads its weights from the same files. After a new encoder run ``training.tracker.quantize``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from sampt.trackers.nano.network import NanoTrackerNetwork, NanoTrackerStep
from sampt.trackers.nano.runtime import INT8_ENCODER, PointState
from training.onnx_export import write_onnx

_CARRIED = ("xy", "velocity", "seen", "hidden", "recent_fine", "recent_coarse")


class _Begin(nn.Module):
    def __init__(self, step: NanoTrackerStep) -> None:
        super().__init__()
        self._begin = step.begin

    def forward(self, fine: Tensor, coarse: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        state = self._begin(fine, coarse, xy)
        return state.first_fine, state.first_coarse


class _Step(nn.Module):
    """The step with the state as separate tensors; its parameters are those of the step."""

    def __init__(self, step: NanoTrackerStep) -> None:
        super().__init__()
        self.__dict__["_step"] = step
        for name, child in step.named_children():
            self.add_module(name, child)
        self._add_parameters(step)

    def _add_parameters(self, step: NanoTrackerStep) -> None:
        self.match = step.match

    def forward(self, fine: Tensor, coarse: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        after, _ = self._step(fine, coarse, PointState(*state))
        return tuple(getattr(after, name) for name in _CARRIED)


class _Refinement(_Step):
    """The step's refinement of points, likewise; the last two tensors are what the step gave."""

    def _add_parameters(self, step: NanoTrackerStep) -> None:
        """It matches nothing."""

    def forward(self, fine: Tensor, coarse: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        after = self._step.refine(fine, coarse, PointState(*state[:-2]), *state[-2:])
        return tuple(getattr(after, name) for name in _CARRIED)


def load_weights(path: Path) -> NanoTrackerNetwork:
    """The folded network from ``weights.pt``, or the averaged one of a ``checkpoint.pt``."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = NanoTrackerNetwork()
    network.load_state_dict(state.get("average", state))
    return network.fold()


@torch.no_grad()
def export(network: NanoTrackerNetwork, out: Path) -> None:
    """Write the four files, checked, each complete or not at all; one in integers of another encoder goes."""
    out.mkdir(parents=True, exist_ok=True)
    (out / INT8_ENCODER).unlink(missing_ok=True)
    rng = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, 96, 128), generator=rng) * 2 - 1
    xy = torch.rand((1, 5, 2), generator=rng) * torch.tensor([120.0, 90.0])
    fine, coarse = network.encoder(image)
    maps = {"fine": {2: "h_fine", 3: "w_fine"}, "coarse": {2: "h_coarse", 3: "w_coarse"}}
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
    given = (xy + 2, torch.full(xy.shape[:2], 0.9))
    axes |= {"given": {1: "n"}, "given_seen": {1: "n"}}
    names = ["fine", "coarse", *PointState._fields, "given", "given_seen"]
    write_onnx(_Refinement(network.step), (fine, coarse, *state, *given), out / "refinement.onnx", names, new, axes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt, or checkpoint.pt of a run that goes on")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "src/sampt/trackers/nano/weights")
    args = parser.parse_args()
    export(load_weights(args.weights), args.out)


if __name__ == "__main__":
    main()
