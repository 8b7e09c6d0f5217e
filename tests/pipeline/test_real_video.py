"""The main job on real clips of ../shared, from the command line to every output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.evaluation.datasets import davis_sequences, select_sequences
from sampt.evaluation.vos.score import score_sequence
from sampt.exporters.tracks_npz import load_tracks
from sampt.masks.rle import Rle, decode_mask
from sampt.video import open_video

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="../shared, with the real clips, is not there")


@pytest.mark.parametrize("stop", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_blackswan_from_its_first_mask(stop, tmp_path):
    frames, masks = (SHARED / "davis" / kind / "480p" / "blackswan" for kind in ("JPEGImages", "Annotations"))
    out = tmp_path / "out"
    options = ["--mask", str(masks / "00000.png"), "--stop", str(stop), "--output", str(out), "--quiet"]
    assert main(["segment", str(frames), *options]) == 0
    labels = {path.stem: np.asarray(Image.open(path)) for path in (out / "masks").glob("*.png")}
    assert sorted(labels) == [f"{i:05d}" for i in range(stop)]
    if stop == 50:
        (sequence,) = select_sequences(davis_sequences(SHARED / "davis"), ["blackswan"])
        assert score_sequence(out / "masks", sequence).j_and_f > 0.6
    gt = np.asarray(Image.open(masks / f"{stop - 1:05d}.png")) > 0
    last = labels[f"{stop - 1:05d}"] == 1
    assert (last & gt).sum() > 0.6 * (last | gt).sum()

    (annotation,) = json.loads((out / "masks.json").read_text())["annotations"]
    for i in (0, stop // 2, stop - 1):
        assert np.array_equal(decode_mask(Rle.from_json(annotation["segmentations"][i])), labels[f"{i:05d}"] == 1)
    tracks = load_tracks(out / "tracks.npz")
    assert len(tracks.frame_splits) == stop + 1
    assert np.isfinite(tracks.xy).all()
    overlay = open_video(out / "overlay.mp4")
    assert (overlay.num_frames, overlay.size_hw) == (stop, (480, 854))
    i = stop // 2
    original = open_video(frames).read(i, i + 1)[0].astype(int)
    changed = np.abs(overlay.read(i, i + 1)[0].astype(int) - original).mean(-1)
    inside = labels[f"{i:05d}"] == 1
    assert changed[inside].mean() > 5 * changed[~inside].mean()


def test_bees_from_the_reference_query_file(tmp_path):
    clips, out = SHARED / "clips", tmp_path / "out"
    queries = ["--queries", str(clips / "bees_query_points.txt"), "--stop", "8", "--output", str(out), "--quiet"]
    assert main(["segment", str(clips / "bees.mp4"), *queries]) == 0
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["size_hw"] == [720, 1280]
    assert [o["id"] for o in manifest["objects"]] == [1, 2]
    assert all(o["frames_present"] == 8 for o in manifest["objects"])
    first = np.asarray(Image.open(out / "masks" / "00000.png"))
    for object_id, clicks in ((1, [(282, 241), (336, 240), (357, 276)]), (2, [(1116, 429), (1137, 411), (1165, 413)])):
        assert sum(first[y, x] == object_id for x, y in clicks) >= 2
    assert first[242, 531] == 0  # a negative click
    assert first[272, 1130] == 0
