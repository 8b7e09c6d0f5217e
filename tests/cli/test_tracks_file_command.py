"""`sampt segment --tracker tracks:FILE`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def test_a_run_with_tracks_from_a_file_records_it(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    y, x = np.mgrid[0:64:4, 0:96:4]
    grid = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
    file = tmp_path / "still.npy"
    np.save(file, np.repeat(grid[None], kit.num_frames, 0))
    options = ["--tracker", f"tracks:{file}", "--segmenter", "grabcut", "--no-reinit", "--formats", "npz"]
    done = call("segment", media.path("clip.mp4"), *kit.click, *options, "-o", tmp_path / "out")
    assert done.status == 0, done.err
    assert f"tracker 'tracks' loads {file}" in done.err
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "out").rglob("run.json"))
    text = json.dumps(record)
    assert '"tracker": "tracks"' in text
    assert "still.npy" in text
    (tracks,) = (tmp_path / "out").rglob("tracks.npz")
    with np.load(tracks) as held:
        click = (held["xy"] == [25, 32]).all(-1) & held["visible"]
        assert click.sum() == kit.num_frames  # it stands still, as the file's tracks do


def test_a_file_that_is_not_there_is_one_line_and_status_2(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    done = call(
        "segment", media.path("clip.mp4"), *kit.click, "--tracker", f"tracks:{tmp_path / 'no.npz'}", "-o", tmp_path / "out"
    )
    assert done.status == 2
    assert f"No file of tracks is at {tmp_path / 'no.npz'}; expected .npz" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()
