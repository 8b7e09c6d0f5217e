"""The fixtures of learned point trackers, each repeated with our network: part of parity_fixtures.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sampt.trackers.pips import adapter as pips_adapter
from sampt.trackers.pips.encoder import EncoderSizes
from sampt.trackers.pips.network import PipsSizes
from sampt.trackers.pips_pp import adapter as pips_pp_adapter
from sampt.trackers.pips_pp.network import PipsPpSizes
from sampt.trackers.tapnext.adapter import load_network as load_tapnext
from sampt.trackers.tapnext.network import TapNextSizes

if TYPE_CHECKING:
    from scripts.parity_fixtures import Comparison, Fixture

__all__ = ["ALLOWED", "CHECKS"]

ALLOWED = {
    "PIPS tracks": 0.02,
    "PIPS visibility": 5e-3,
    "PIPS features": 5e-3,
    "PIPS++ tracks": 0.05,
    "TAPNext tracks": 0.02,
    "TAPNext logits": 1e-3,
}
"""As the README of the fixtures has it; "features" is ours, it says nothing about them."""


def video_and_points(fixture: Fixture) -> tuple[Tensor, Tensor]:
    """Pictures (t, 3, h, w) of RGB in [0, 255], and points (n, 3) as frame, x, y."""
    video, asked = fixture.spec["call"]["video"], fixture.spec["call"]["queries"]
    size = video["frames"], video["height"], video["width"]
    pictures = torch.from_numpy(fixture.source.video(*size, video["seed"])).permute(0, 3, 1, 2).float()
    return pictures, torch.from_numpy(fixture.source.queries(asked["count"], *size, asked["seed"]))


def pips(fixture: Fixture) -> list[Comparison]:
    """One window, all points from its first frame on."""
    made, (pictures, points) = fixture.spec["constructor"], video_and_points(fixture)
    with fixture.checkpoint() as path:
        network = pips_adapter.load_network(path, PipsSizes(made["S"], EncoderSizes(made["stride"])))
    with torch.inference_mode():
        window, features = network(pictures, points[:, 1:], fixture.spec["call"]["iters"])
    return [
        fixture.near("PIPS tracks", window.xy.transpose(0, 1).numpy(), "tracks"),
        fixture.near("PIPS visibility", window.visibility.T.numpy(), "visibility"),
        fixture.near("PIPS features", features.numpy(), "features"),
    ]


def pips_pp(fixture: Fixture) -> list[Comparison]:
    """One window, the points standing still at first."""
    pictures, points = video_and_points(fixture)
    with fixture.checkpoint() as path:
        network = pips_pp_adapter.load_network(path, PipsPpSizes(EncoderSizes(fixture.spec["constructor"]["stride"])))
    with torch.inference_mode():
        tracks = network(pictures, points[:, 1:].expand(len(pictures), -1, -1), fixture.spec["call"]["iters"])
    return [fixture.near("PIPS++ tracks", tracks.numpy(), "tracks")]


def tapnext(fixture: Fixture) -> list[Comparison]:
    """All frames at once, points as frame, y, x."""
    made, (pictures, points) = fixture.spec["constructor"], video_and_points(fixture)
    height, width = made["image_size"]
    sizes = TapNextSizes((height, width), made["width"], made["num_heads"], made["lru_width"], made["depth"])
    with fixture.checkpoint("tapnext.") as path:
        network = load_tapnext("tapnext", path, sizes)
    with torch.inference_mode():
        found, _ = network(pictures / 127.5 - 1, points[:, [0, 2, 1]])
    return [
        fixture.near("TAPNext tracks", found.yx.numpy(), "tracks"),
        fixture.near("TAPNext logits, of tracks", found.track_logits.numpy(), "track_logits"),
        fixture.near("TAPNext logits, of visibility", found.visible_logits.numpy(), "visible_logits"),
    ]


CHECKS = {"pips": pips, "pips++": pips_pp, "tapnext": tapnext}
"""By kind of fixture."""
