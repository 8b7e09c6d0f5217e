"""The fixtures of flow and of learned point trackers, each repeated with our network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.trackers.cotracker.adapter import load_network as load_cotracker
from sampt.trackers.cotracker.network import STRIDE, CoTrackerSizes
from sampt.trackers.cotracker.windows import WindowPlan, whole_clip
from sampt.trackers.pips import adapter as pips_adapter
from sampt.trackers.pips.encoder import EncoderSizes
from sampt.trackers.pips.network import PipsSizes
from sampt.trackers.pips_pp import adapter as pips_pp_adapter
from sampt.trackers.pips_pp.network import PipsPpSizes
from sampt.trackers.raft.adapter import load_network as load_raft
from sampt.trackers.tapir import adapter as tapir_adapter
from sampt.trackers.tapir.network import BOOTSTAPIR, BOOTSTAPIR_CAUSAL, TAPIR
from sampt.trackers.tapnet.adapter import load_network as load_tapnet
from sampt.trackers.tapnext.adapter import load_network as load_tapnext
from sampt.trackers.tapnext.network import TapNextSizes
from tools.parity.cotracker_v1 import cotracker_v1
from tools.parity.fixtures import Comparison, Fixture

__all__ = ["CHECKS"]

RAFT_STRIDE = 8


def video_and_points(fixture: Fixture) -> tuple[Tensor, Tensor]:
    """Images (t, 3, h, w) of RGB in [0, 255], and points (n, 3) as frame, x, y."""
    video, call = fixture.spec["call"]["video"], fixture.spec["call"]["queries"]
    size = video["frames"], video["height"], video["width"]
    images = torch.from_numpy(fixture.source.video(*size, video["seed"])).permute(0, 3, 1, 2).float()
    return images, torch.from_numpy(fixture.source.queries(call["count"], *size, call["seed"]))


def raft(name: str, fixture: Fixture) -> list[Comparison]:
    """Flow from the first frame to the second, by the network that a tracker of this name runs."""
    call = fixture.spec["call"]
    video = call["video"]
    size_hw = video["height"], video["width"]
    frames = fixture.source.video(video["frames"], *size_hw, video["seed"])[:2]
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    pad_h, pad_w = (-side % RAFT_STRIDE for side in size_hw)  # as the official program pads, if there is anything to
    top, left = pad_h // 2, pad_w // 2
    images = F.pad(images, (left, pad_w - left, top, pad_h - top), mode="replicate")
    with fixture.checkpoint("module.") as path:
        network = load_raft(name, path)
    with torch.inference_mode():
        flow = network(images[:1], images[1:], iterations=call.get("iters", 12))[0]
    return [fixture.near("flow", flow[:, top : top + size_hw[0], left : left + size_hw[1]].numpy(), "flow")]


def cotracker3(fixture: Fixture) -> list[Comparison]:
    """One pass forward over the clip, as it is; all points are known from the start."""
    made, (images, points) = fixture.spec["constructor"], video_and_points(fixture)
    kind, window = fixture.spec["model"].lower().split()[1], made["window_len"]
    sizes = CoTrackerSizes(window, tuple(made["model_resolution"]), radius=made["corr_radius"])
    with fixture.checkpoint() as path:
        network = load_cotracker(f"cotracker3-{kind}", path, sizes)
    plan = WindowPlan.online(window) if kind == "online" else WindowPlan.offline(len(images))
    with torch.inference_mode():
        found = whole_clip(network, plan, images, points[:, 1:], points[:, 0].long(), fixture.spec["call"]["iters"])
    return [
        fixture.near("CoTracker3 tracks", (found.xy * STRIDE).transpose(0, 1).numpy(), "tracks"),
        fixture.near("CoTracker3 visibility", found.visible.sigmoid().T.numpy(), "visibility"),
        fixture.near("CoTracker3 confidence", found.confidence.sigmoid().T.numpy(), "confidence"),
    ]


def pips(fixture: Fixture) -> list[Comparison]:
    """One window, all points from its first frame on."""
    made, (images, points) = fixture.spec["constructor"], video_and_points(fixture)
    with fixture.checkpoint() as path:
        network = pips_adapter.load_network(path, PipsSizes(made["S"], EncoderSizes(made["stride"])))
    with torch.inference_mode():
        window, features = network(images, points[:, 1:], fixture.spec["call"]["iters"])
    return [
        fixture.near("PIPS tracks", window.xy.transpose(0, 1).numpy(), "tracks"),
        fixture.near("PIPS visibility", window.visibility.T.numpy(), "visibility"),
        fixture.near("PIPS features", features.numpy(), "features"),
    ]


def pips_pp(fixture: Fixture) -> list[Comparison]:
    """One window, the points standing still at first."""
    images, points = video_and_points(fixture)
    with fixture.checkpoint() as path:
        network = pips_pp_adapter.load_network(path, PipsPpSizes(EncoderSizes(fixture.spec["constructor"]["stride"])))
    with torch.inference_mode():
        tracks = network(images, points[:, 1:].expand(len(images), -1, -1), fixture.spec["call"]["iters"])
    return [fixture.near("PIPS++ tracks", tracks.numpy(), "tracks")]


def tapir(name: str, fixture: Fixture) -> list[Comparison]:
    """The whole clip at once, of the size of the network's image."""
    height, width = fixture.spec["constructor"]["initial_resolution"]
    sizes = {"tapir": TAPIR, "bootstapir": BOOTSTAPIR, "bootstapir-causal": BOOTSTAPIR_CAUSAL}[name]
    images, points = video_and_points(fixture)
    with fixture.checkpoint() as path:
        network = tapir_adapter.load_network(name, path, replace(sizes, image_hw=(height, width)))
    with torch.inference_mode():
        table = network(images / 127.5 - 1, points[:, 1:], points[:, 0].long()).numpy()
    return [
        fixture.near("TAPIR tracks", table[..., :2], "tracks"),
        fixture.near("TAPIR logits, of occlusion", table[..., 2], "occlusion"),
        fixture.near("TAPIR logits, of expected distance", table[..., 3], "expected_dist"),
    ]


def tapnet(fixture: Fixture) -> list[Comparison]:
    """The whole clip at once; the weights are read as the official checkpoint is, nested dictionaries saved by NumPy."""
    images, points = video_and_points(fixture)
    with jax_checkpoint(fixture) as path:
        network = load_tapnet(path)
    with torch.inference_mode():
        scaled, frame_idx, xy = images / 127.5 - 1, points[:, 0].long(), points[:, 1:]
        tracks, occluded = network(scaled, xy, frame_idx)
        features = network.encode(scaled)
        templates = network.sample(features, frame_idx, xy)
    return [
        fixture.near("TAP-Net tracks", tracks.numpy(), "tracks"),
        fixture.near("TAP-Net logits, of occlusion", occluded.numpy(), "occlusion"),
        fixture.near("TAP-Net features, of points", templates.numpy(), "query_feats"),
        fixture.near("TAP-Net features", features[:, ::4, ::4, ::8].numpy(), "feature_grid_sample"),
    ]


@contextmanager
def jax_checkpoint(fixture: Fixture) -> Iterator[str]:
    """Path of a file as the official program of TAP-Net saves it, as long as the block lasts."""
    parts: dict[str, dict[str, dict[str, np.ndarray]]] = {"params": {}, "state": {}}
    for key, value in fixture.source.state_dict(fixture.path).items():
        module, _, name = key.removesuffix("/running_var").rpartition("/")
        is_vector = name in ("scale", "offset", "average")
        where = parts["state" if name == "average" else "params"].setdefault(module, {})
        where[name] = value.reshape(1, 1, 1, -1) if is_vector else value
        if name == "average":
            where |= {"hidden": where[name] * 0.5, "counter": np.array(7, np.int32)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.npy"
        np.save(path, np.array(parts, dtype=object), allow_pickle=True)
        yield str(path)


def tapnext(fixture: Fixture) -> list[Comparison]:
    """All frames at once, points as frame, y, x."""
    made, (images, points) = fixture.spec["constructor"], video_and_points(fixture)
    height, width = made["image_size"]
    sizes = TapNextSizes((height, width), made["width"], made["num_heads"], made["lru_width"], made["depth"])
    with fixture.checkpoint("tapnext.") as path:
        network = load_tapnext("tapnext", path, sizes)
    with torch.inference_mode():
        found, _ = network(images / 127.5 - 1, points[:, [0, 2, 1]])
    return [
        fixture.near("TAPNext tracks", found.yx.numpy(), "tracks"),
        fixture.near("TAPNext logits, of tracks", found.track_logits.numpy(), "track_logits"),
        fixture.near("TAPNext logits, of visibility", found.visible_logits.numpy(), "visible_logits"),
    ]


CHECKS: dict[str, Callable[[Fixture], list[Comparison]]] = {
    "raft": partial(raft, "raft"),
    "raft_small": partial(raft, "raft-small"),
    "cotracker": cotracker_v1,
    "cotracker3": cotracker3,
    "pips": pips,
    "pips++": pips_pp,
    "tapir": partial(tapir, "tapir"),
    "bootstapir": partial(tapir, "bootstapir"),
    "causal_bootstapir": partial(tapir, "bootstapir-causal"),
    "tap-net": tapnet,
    "tapnext": tapnext,
}
"""By kind of fixture."""
