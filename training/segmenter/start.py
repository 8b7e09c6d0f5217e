"""Where training of the second generation starts: the first generation's weights, and a trunk that knows what an object is.

    python -m training.segmenter.start --data ../shared/training --objects ../shared/weights/u2netp.onnx \
        --first gen1/before-decay.pt --out training-runs/start.pt

The trunk's weights are those of U2-Net-p, from its authors' ONNX file (normalisation merged into convolutions, in the order of
computation). Its first two stages, at fine resolution, are most of its cost: here our encoder's features learn to say what they
say (distillation, Hinton et al. 2015), first the features themselves, then what the trunk makes of them. What
the authors' stages say of a few thousand augmented crops is computed once and kept in memory.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

from training.data import load_store, sequence_of
from training.segmenter.augment import Maker
from training.segmenter.network import TrunkNetwork
from training.segmenter.trunk import WIDTH, ObjectTrunk, UBlock, halve

MEAN = (0.485, 0.456, 0.406)
SPREAD = (0.229, 0.224, 0.225)


class FineStages(nn.Module):
    """The first two stages of U2-Net-p, at strides 1 and 2: the teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = UBlock(3, 6)
        self.stage2 = UBlock(WIDTH, 5)

    def forward(self, picture: Tensor) -> Tensor:
        """What the third stage is given, (n, 64, s / 4, s / 4), for (n, 3, s, s) RGB in [-1, 1]."""
        mean, spread = (torch.tensor(v, device=picture.device).view(1, 3, 1, 1) for v in (MEAN, SPREAD))
        return halve(self.stage2(halve(self.stage1((picture * 0.5 + 0.5 - mean) / spread))))


def load_authors(path: Path, trunk: ObjectTrunk) -> FineStages:
    """Give ``trunk`` the authors' weights, and return their first two stages.

    Raises:
        SystemExit: the file holds another network.
    """
    graph = onnx.load(str(path)).graph
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    pairs = iter([n.input[1:3] for n in graph.node if n.op_type == "Conv" and not n.input[1].startswith(("side", "outconv"))])
    fine = FineStages()
    order = [fine.stage1, fine.stage2, trunk.stage3, trunk.stage4, trunk.stage5, trunk.stage6]
    order += [trunk.stage5d, trunk.stage4d, trunk.stage3d]
    with torch.no_grad():
        for block in order:
            for conv in (block.enter, *block.down, block.bottom, *block.up):
                weight, bias = (held[name] for name in next(pairs))
                if weight.shape != conv.weight.shape:
                    raise SystemExit(
                        f"{path} is not U2-Net-p: a convolution of {tuple(weight.shape)} is not where it should be."
                    )
                conv.weight.copy_(weight)
                conv.bias.copy_(bias)
        trunk.side3.weight.copy_(held["side3.weight"])
        trunk.side3.bias.copy_(held["side3.bias"])  # type: ignore[union-attr]
    return fine.eval()


def load_first_generation(network: TrunkNetwork, path: Path) -> None:
    """Take over what the first generation has, from its ``before-decay.pt``."""
    state = torch.load(path, map_location="cpu", weights_only=True)["average"]
    missing, unexpected = network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, False
    )
    new = ("encoder.to_trunk.", "decoder.trunk.", "decoder.join.", "decoder.judge.")
    if unexpected or any(not key.startswith(new) for key in missing):
        raise SystemExit(f"{path} does not hold the first generation: {[*unexpected, *missing][:3]}.")


def distil(network: TrunkNetwork, teacher: FineStages, maker: Maker, crops: int, minutes: float) -> list[dict[str, float]]:
    """Teach ``network.encoder.to_trunk`` what the teacher says; returns the course of the losses."""
    pictures: list[Tensor] = []
    targets: list[Tensor] = []
    with torch.no_grad():
        while sum(map(len, pictures)) < crops:
            picture = maker.batch().picture
            pictures.append(F.interpolate(picture, (128, 128), mode="bilinear", antialias=True))
            targets.append(teacher(pictures[-1]).half())
    picture, target = torch.cat(pictures), torch.cat(targets)
    spread = target[:512].float().std((0, 2, 3), keepdim=True) + 0.05
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    student = network.encoder.to_trunk
    student.train()
    for parameter in student.parameters():
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(student.parameters(), lr=2e-3, weight_decay=0.01)
    begin, course, step, sums = time.process_time(), [], 0, [0.0, 0.0, 0]
    while (share := (time.process_time() - begin) / (60 * minutes)) < 1:
        which = torch.randint(len(picture), (16,), generator=maker.rng)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50, 2 * (1 - share))
        with torch.no_grad():
            stem, fine, *_ = network.encoder(picture[which])
        found = student(torch.cat([fine, F.pixel_unshuffle(stem, 2)], 1))
        wanted = target[which].float()
        features = ((found - wanted) / spread).square().mean()
        loss = features
        there = torch.zeros(())
        if share > 0.6:  # then what the trunk makes of it counts, too
            trunk = network.decoder.trunk
            said = _unprompted(trunk, found)
            with torch.no_grad():
                truth = torch.sigmoid(_unprompted(trunk, wanted))
            there = F.binary_cross_entropy_with_logits(said, truth) - F.binary_cross_entropy(truth, truth)
            loss = loss + 2 * there
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step += 1
        sums = [sums[0] + float(features.detach()), sums[1] + float(there.detach()), sums[2] + 1]
        if step % 50 == 0:
            course.append({"step": step, "share": round(share, 3), "features": sums[0] / sums[2], "there": sums[1] / sums[2]})
            print(json.dumps(course[-1]), flush=True)
            sums = [0.0, 0.0, 0]
    return course


def _unprompted(trunk: ObjectTrunk, x: Tensor) -> Tensor:
    """The trunk's logit where no prompt says anything."""
    encoded = trunk.encode(x)
    zeros = [torch.zeros(1, conv.in_channels, 1, 1) for conv in trunk.given]
    return trunk.decode(encoded, zeros)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True, help="u2netp.onnx")
    parser.add_argument("--first", type=Path, required=True, help="before-decay.pt of the first generation")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    parser.add_argument("--crops", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=15.0, help="of processor time, after the teacher's")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = tomllib.loads(args.config.read_text())
    torch.manual_seed(settings["seed"])
    network = TrunkNetwork()
    load_first_generation(network, args.first)
    teacher = load_authors(args.objects, network.decoder.trunk)
    d = settings["data"]
    store = load_store(
        args.data, lambda path: sequence_of(path) not in d["held_out"], d["canvas"], d["smallest"], d["largest"], "cpu"
    )
    maker = Maker(store, settings, torch.Generator().manual_seed(settings["seed"]))
    distil(network, teacher, maker, args.crops, args.minutes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict(), "average": network.state_dict()}, args.out)


if __name__ == "__main__":
    main()
