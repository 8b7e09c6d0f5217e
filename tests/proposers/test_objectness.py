"""What stands out, found by the saliency network and cut into objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sampt.errors import BackendError
from sampt.finding.choose import overlap_fractions
from sampt.proposers.base import ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.proposers.regions import find_regions, spread_points, unite_regions
from sampt.segmenters.create import create_segmenter
from sampt.testing import ExactSegmenter, SceneVideo, static_scene


def test_objects_that_stand_out_are_proposed_each_by_itself() -> None:
    """The network itself, and grabcut in place of the network's own segmenter: any one will do."""
    scene = static_scene()
    for segmenter in (ExactSegmenter(scene), create_segmenter("grabcut")):
        found = create_proposer("objectness").propose(ProposerFrame(SceneVideo(scene), 0, segmenter))
        masks = scene.masks(0)
        assert all(max(overlap_fractions(p.mask, m)[0] for p in found) > 0.6 for m in masks), segmenter.info.name


def test_regions_are_what_is_connected_the_weightiest_first_and_no_specks() -> None:
    values = np.full((40, 60), 0.1, np.float32)
    values[5:15, 5:15] = 0.6
    values[20:26, 30:40] = 0.9
    values[30, 50] = 1.0
    first, second = find_regions(values)
    assert first[22, 35]
    assert first.sum() == 60
    assert second[10, 10]
    assert second.sum() == 100
    nearly = second.copy()
    nearly[5, 5:15] = False
    assert unite_regions([first], [nearly, first]) == [first, nearly]
    assert unite_regions([second], [nearly]) == [second]


def test_points_lie_in_the_region_away_from_its_border_and_apart() -> None:
    region = np.zeros((30, 50), np.bool_)
    region[4:24, 6:46] = True
    xy = spread_points(region, 5)
    assert xy.shape == (5, 2)
    assert (xy >= [7, 5]).all()
    assert (xy <= [44, 22]).all()
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 99 * np.eye(5)
    assert apart.min() > 10
    speck = np.zeros((30, 50), np.bool_)
    speck[3, 4] = True
    np.testing.assert_array_equal(spread_points(speck, 5), [[4, 3]])


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    for given, message in (
        ({"weights": str(tmp_path)}, "'objectness' found no saliency-int8.onnx in "),
        ({"weights": "random"}, "'objectness' has no random weights; leave the option out."),
        ({"device": "cuda"}, "'objectness' cannot run on device 'cuda'"),
    ):
        with pytest.raises(BackendError, match=message):
            create_proposer("objectness", **given)
    with pytest.raises(BackendError, match="The proposer 'objectness' takes nothing after a colon, got 'dogs'"):
        create_proposer("objectness:dogs")
    with pytest.raises(BackendError, match=r"Unknown proposer 'objectnes'. Did you mean 'objectness'\?"):
        create_proposer("objectnes")
