"""What the object memory says of training images, as the segmenter's training is given it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from training.data import Store, load_training_store
from training.segmenter.appearances import SCALE, SIDE, load_appearances, match_all, region_mask

CONFIG = Path(__file__).parents[2] / "training" / "segmenter" / "config.toml"


@pytest.fixture
def store(data: Path) -> Store:
    settings = tomllib.loads(CONFIG.read_text())["data"]
    return load_training_store(
        data, settings | {"held_out": ["held"], "held_out_things": [], "canvas": 288, "extra": {}}, "cpu"
    )


def test_objects_of_clips_and_photos_are_told_from_what_is_around_them(store: Store, tmp_path: Path) -> None:
    prior = match_all(store, seed=1)
    assert prior.shape == (len(store.regions), 2, SIDE, SIDE)
    kinds = store.regions.kind.numpy()
    for row in np.flatnonzero(kinds <= 2):  # moving objects, things and persons; all of one brightness, on another
        h, w = store.sizes[store.regions.image[row]].int().tolist()
        y, x = ((np.arange(SIDE) + 0.5) / SIDE * side for side in (h, w))
        inside = region_mask(store, int(row))[y.astype(int)][:, x.astype(int)] > 0
        assert prior[row, 0][inside].mean() > prior[row, 0][~inside].mean() + 2 * SCALE
    assert np.array_equal(prior, match_all(store, seed=1))
    assert not np.array_equal(prior, match_all(store, seed=2))

    np.savez(tmp_path / "of.npz", prior=prior, box=store.regions.box.numpy())
    held = load_appearances(tmp_path / "of.npz", store)
    assert held is not None
    assert np.array_equal(held.numpy(), prior)
    assert load_appearances(tmp_path / "none.npz", store) is None
    np.savez(tmp_path / "other.npz", prior=prior, box=store.regions.box.numpy() + 1)
    with pytest.raises(SystemExit, match="made for other images"):
        load_appearances(tmp_path / "other.npz", store)
