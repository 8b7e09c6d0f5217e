"""Trackers by matched keypoints: matches to points (numbers alone), frames to matches (the libraries' networks), and both."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")
pytest.importorskip("transformers", reason="one of the [sam] extras")
pytest.importorskip("kornia", reason="one of the [sam] extras")

from safetensors.torch import save_file  # noqa: E402

from sampt.errors import BackendError  # noqa: E402
from sampt.geometry import sample_image  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.base import TrackerInfo  # noqa: E402
from sampt.trackers.create import create_tracker  # noqa: E402
from sampt.trackers.keypoints.adapter import KeypointTracker  # noqa: E402
from sampt.trackers.keypoints.carry import Matches, carry  # noqa: E402
from sampt.trackers.keypoints.matchers import (  # noqa: E402
    Features,
    GlueMatcher,
    KeypointMatcher,
    LightGlueMatcher,
    Pairs,
    TransformersMatcher,
    network_size,
)
from sampt.trackers.keypoints.networks import (  # noqa: E402
    AlikedSizes,
    SuperPointSizes,
    build_aliked,
    build_lightglue,
    build_superglue,
    load_pair,
    load_whole,
)
from sampt.types import HiddenBy, Points  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")
CPU = torch.device("cpu")
SMALL = SuperPointSizes(encoder=(8, 8, 16, 16), decoder=16, width=32, locations=(8, 16), layers=1, heads=2, max_keypoints=64)
SMALL_ALIKED = AlikedSizes("aliked-t16", described=64, width=32, layers=2, heads=2, max_keypoints=64)
SIDE = 600
NAMES = ("superglue", "lightglue", "lightglue-superpoint")


def small_matcher(name: str, longest_side: int = 96) -> GlueMatcher:
    """With random weights; nothing is too unlikely to be a match."""
    if name == "lightglue":
        return LightGlueMatcher(*build_aliked(SMALL_ALIKED, 0.0), CPU, longest_side)
    build = build_superglue if name == "superglue" else build_lightglue
    network = build(SMALL, 0.0)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.keypoint_detector.parameters():  # `transformers` draws such that hardly anything is a keypoint
        if parameter.ndim > 1:
            parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
    return TransformersMatcher(network, CPU, longest_side)


def info() -> TrackerInfo:
    return TrackerInfo("test", "Apache-2.0", None, is_causal=True)


def noise(size_hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)


def locations(n: int, seed: int, low: float = 100, high: float = 500) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (n, 2)).astype(np.float32)


def matches_by(move: Callable[[np.ndarray], np.ndarray], first_xy: np.ndarray, alone_xy: np.ndarray | None = None) -> Matches:
    alone = np.zeros((0, 2), np.float32) if alone_xy is None else alone_xy
    second = np.asarray(move(first_xy), np.float32)
    return Matches(first_xy, second, np.ones(len(first_xy), np.float32), alone, SIDE)


def turned(xy: np.ndarray) -> np.ndarray:
    """A quarter of a right angle, 20 % larger, and shifted."""
    angle = np.pi / 8
    matrix = 1.2 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((xy - 300) @ matrix.T + [310.5, 280.25])


# Matches to points


@pytest.mark.parametrize("move", [lambda xy: xy + np.array([12.25, -7.5]), turned], ids=["shift", "similarity"])
def test_matches_that_agree_carry_points_exactly(move: Callable[[np.ndarray], np.ndarray]) -> None:
    points = locations(30, 1, 150, 450)
    carried = carry(points, matches_by(move, locations(300, 0)))
    assert np.abs(carried.xy - move(points)).max() < 1e-3
    assert carried.visible.all()
    assert carried.confidence.min() == 1


def test_outliers_do_not_move_points() -> None:
    xy = locations(300, 0)
    matches = matches_by(turned, xy)
    wrong = np.random.default_rng(2).random(300) < 0.4
    matches.second_xy[wrong] = locations(300, 3)[wrong]
    points = locations(30, 1, 150, 450)
    carried = carry(points, matches)
    error = np.linalg.norm(carried.xy - turned(points), axis=1)
    assert error[carried.visible].max() < 0.1
    assert carried.visible.mean() > 0.8
    assert carried.confidence.mean() < 0.8


def test_points_go_with_the_keypoints_around_them() -> None:
    xy = locations(400, 0)
    is_object = np.linalg.norm(xy - 300, axis=1) < 80
    matches = matches_by(lambda p: np.where(is_object[:, None], p + np.array([40, 0]), p - np.array([10, 5])), xy)
    points = np.array([[300, 300], [330, 290], [130, 130], [470, 460]], np.float32)
    carried = carry(points, matches)
    assert np.allclose(carried.xy - points, [[40, 0], [40, 0], [-10, -5], [-10, -5]], atol=1e-3)
    assert carried.visible.all()


def test_a_homography_is_followed_locally() -> None:
    matrix = np.array([[1.05, 0.08, -12], [-0.06, 0.98, 20], [8e-5, -6e-5, 1]])

    def warp(xy: np.ndarray) -> np.ndarray:
        out = np.concatenate([xy, np.ones((len(xy), 1))], 1) @ matrix.T
        return np.asarray(out[:, :2] / out[:, 2:])

    points = locations(30, 1, 150, 450)
    carried = carry(points, matches_by(warp, locations(500, 0)))
    assert np.linalg.norm(carried.xy - warp(points), axis=1).max() < 0.5
    assert carried.visible.all()


def test_without_a_match_points_stay_hidden() -> None:
    none = np.zeros((0, 2), np.float32)
    points = locations(3, 1)
    carried = carry(points, Matches(none, none, np.zeros(0, np.float32), locations(9, 2), SIDE))
    assert np.array_equal(carried.xy, points)
    assert not carried.visible.any()
    assert carried.confidence.max() == 0


def test_one_match_shifts_points_and_is_not_enough_to_see_them() -> None:
    points = np.array([[300, 300], [590, 20]], np.float32)
    carried = carry(points, matches_by(lambda xy: xy + np.array([5, 3]), np.array([[310, 300]], np.float32)))
    assert np.allclose(carried.xy, [[305, 303], [590, 20]])  # the second one is out of its reach
    assert not carried.visible.any()


def test_matches_that_contradict_each_other_hide_a_point() -> None:
    around = 300 + 8 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [2, 2], [-2, -2]], np.float32)
    carried = carry(np.array([[300, 300]], np.float32), matches_by(lambda xy: locations(len(xy), 5), around))
    assert not carried.visible.any()
    assert np.isfinite(carried.xy).all()


def test_matches_that_agree_far_away_do_not_show_a_point() -> None:
    far = locations(20, 0, 355, 360)  # 78 px from the point, of 600: within reach, but not near
    carried = carry(np.array([[300, 300]], np.float32), matches_by(lambda xy: xy + 4, far - [0, 3]))
    assert not carried.visible.any()


def test_matches_all_on_one_spot_give_a_shift() -> None:
    spot = np.full((12, 2), 305, np.float32)
    carried = carry(np.array([[300, 300]], np.float32), matches_by(lambda xy: xy + np.array([3, 4]), spot))
    assert np.allclose(carried.xy, [[303, 304]], atol=1e-3)


def test_keypoints_left_alone_around_a_point_lower_its_confidence() -> None:
    xy, point = locations(300, 0), np.array([[300, 300]], np.float32)
    alone = 300 + np.random.default_rng(4).normal(0, 6, (40, 2)).astype(np.float32)
    without = carry(point, matches_by(lambda p: p + 5, xy))
    carried = carry(point, matches_by(lambda p: p + 5, xy, alone))
    assert without.confidence[0] == 1
    assert carried.confidence[0] < 0.5
    assert np.allclose(carried.xy, without.xy)


def test_points_do_not_influence_each_other() -> None:
    matches = matches_by(turned, locations(200, 0))
    matches.second_xy[::3] = locations(67, 8)
    points = locations(150, 1)  # more than are looked at together
    together = carry(points, matches)
    apart = [carry(points[i : i + 1], matches) for i in range(len(points))]
    assert np.array_equal(together.xy, np.concatenate([c.xy for c in apart]))
    assert np.array_equal(together.visible, np.concatenate([c.visible for c in apart]))


# Frames to matches


@pytest.mark.parametrize(
    ("size_hw", "expected_hw"),
    [((480, 854), (576, 1024)), ((1080, 1920), (576, 1024)), ((61, 97), (244, 388))],
)
def test_frames_are_brought_to_the_official_size(size_hw: tuple[int, int], expected_hw: tuple[int, int]) -> None:
    assert network_size(size_hw, 1024) == expected_hw


@pytest.mark.parametrize("longest_side", [64, 97, 200])
@pytest.mark.parametrize("name", NAMES)
def test_locations_are_those_of_the_frame(name: str, longest_side: int) -> None:
    """A frame whose red is x and whose green is y keeps saying, after resizing, where its pixels were."""
    frame = np.zeros((61, 97, 3), np.uint8)
    frame[..., 0], frame[..., 1] = 2 * np.arange(97), 2 * np.arange(61)[:, None]
    frame[..., 2] = noise((61, 97))[..., 0]
    matcher = small_matcher(name, longest_side)
    features = matcher.extract(frame)
    image = np.ascontiguousarray(matcher.image(frame)[0].permute(1, 2, 0).numpy())
    said = sample_image(image, features.network_xy.numpy())[:, :2] * 255 / 2
    inner = ((features.xy > 5) & (features.xy < [91, 55])).all(1)
    assert inner.sum() >= 10
    assert np.abs(said - features.xy)[inner].max() < 0.05
    assert image.shape[:2] == network_size((61, 97), longest_side) == features.network_hw


@pytest.mark.parametrize(("longest_side", "step"), [(128, 16), (256, 8)], ids=["as it is", "enlarged"])
def test_keypoints_of_superpoint_move_with_the_image(longest_side: int, step: int) -> None:
    image, matcher = noise((128, 160), 3), small_matcher("superglue", longest_side)
    first, second = (matcher.extract(image[:, x : x + 96]) for x in (0, step))
    inner = first.xy[((first.xy > 40) & (first.xy < [72, 90])).all(1)]
    found = np.abs((inner - [step, 0])[:, None] - second.xy).max(2).min(1)
    assert len(inner) >= 5
    assert np.median(found) < 1e-3


@pytest.mark.parametrize("name", ["superglue", "lightglue-superpoint"])
def test_halves_of_a_model_give_what_the_whole_gives(name: str) -> None:
    """Keypoints found once and matched later are those that the library's own call for a pair of images finds."""
    matcher = small_matcher(name)
    assert isinstance(matcher, TransformersMatcher)
    detector = matcher._network.keypoint_detector.keypoint_decoder
    detector.max_keypoints = -1  # so that the frames have different numbers of keypoints
    frames = [noise((72, 96), seed) for seed in (0, 1)]
    first, second = (matcher.extract(frame) for frame in frames)
    pairs = matcher.match(first, second)
    grey = [(matcher.image(f) * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True) for f in frames]
    with torch.inference_mode():
        whole = matcher._network(torch.stack([g.expand(-1, 3, -1, -1)[0] for g in grey])[None])
    partner = whole.matches.reshape(2, -1)[0, : len(first)].numpy()
    score = whole.matching_scores.reshape(2, -1)[0].numpy()
    assert np.array_equal(pairs.first, np.flatnonzero(partner >= 0))
    assert np.array_equal(pairs.second, partner[pairs.first])
    assert np.allclose(pairs.score, score[pairs.first], rtol=1e-4)
    assert len(pairs.score) > 0
    assert len(first) != len(second)


@pytest.mark.parametrize("name", NAMES)
def test_frames_without_keypoints_have_no_matches(name: str) -> None:
    matcher = small_matcher(name)
    thin = matcher.extract(noise((1, 97)))
    some = matcher.extract(noise((61, 97)))
    assert len(thin) == 0
    assert len(some) > 0
    for pair in ((thin, some), (some, thin), (thin, thin)):
        assert len(matcher.match(*pair).score) == 0


# Both together


class Counting(KeypointMatcher):
    """A matcher that counts how often it is prompted."""

    def __init__(self, matcher: KeypointMatcher) -> None:
        self.matcher, self.extracted, self.matched = matcher, 0, 0

    def extract(self, frame: np.ndarray) -> Features:
        self.extracted += 1
        return self.matcher.extract(frame)

    def match(self, first: Features, second: Features) -> Pairs:
        self.matched += 1
        return self.matcher.match(first, second)


class Sift(KeypointMatcher):
    """OpenCV's SIFT and nearest neighbours: a real matcher that needs no weights, instead of the networks."""

    def extract(self, frame: np.ndarray) -> Features:
        grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        found, descriptors = cv2.SIFT_create(1500).detectAndCompute(grey, None)  # type: ignore[attr-defined]
        xy = np.array([p.pt for p in found], np.float32).reshape(-1, 2)
        numbers = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
        size_hw = (frame.shape[0], frame.shape[1])
        return Features(xy, torch.from_numpy(xy), size_hw, torch.ones(len(xy)), torch.from_numpy(numbers))

    def match(self, first: Features, second: Features) -> Pairs:
        if len(first) < 2 or len(second) < 2:
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        away = torch.cdist(first.descriptor, second.descriptor)
        two = away.topk(2, 1, largest=False)
        ratio = two.values[:, 0] / two.values[:, 1].clamp_min(1e-6)
        mutual = away.argmin(0)[two.indices[:, 0]] == torch.arange(len(first))
        good = (mutual & (ratio < 0.85)).nonzero()[:, 0]
        return Pairs(good.numpy(), two.indices[good, 0].numpy(), (1 - ratio[good]).numpy())


def photo() -> np.ndarray:
    frame = cv2.imread(str(SHARED / "davis" / "JPEGImages" / "480p" / "camel" / "00000.jpg"))
    assert frame is not None
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


@needs_shared
def test_points_follow_a_warped_photo_and_are_hidden_where_it_is_not_shown() -> None:
    still = photo()
    h, w = still.shape[:2]
    matrix = np.array([[1.1, 0.12, -60], [-0.1, 1.05, 20], [5e-5, 2e-5, 1]])
    warped = np.asarray(cv2.warpPerspective(still, matrix, (w, h)))
    clip = np.stack([warped, noise((h, w)), still, noise((h, w), 1), warped])
    grid = np.stack(np.meshgrid(np.linspace(150, 700, 8), np.linspace(80, 400, 6)), -1).reshape(-1, 2)
    points = Points.of(1, 2, grid)
    tracks = KeypointTracker(info(), Sift()).track(ArrayVideo(clip), points)
    gt = cv2.perspectiveTransform(points.xy[None], matrix)[0]
    for frame_idx in (0, 4):
        seen = tracks.visible[frame_idx]
        assert seen.mean() > 0.6
        error = np.linalg.norm(tracks.xy[frame_idx] - gt, axis=1)
        assert np.median(error[seen]) < 0.5
        assert error[seen].max() < 3
    assert not tracks.visible[[1, 3]].any()
    assert (tracks.hidden_by[[1, 3]] == HiddenBy.TRACKER).all()
    assert np.array_equal(tracks.xy[3], points.xy)  # where each was seen last


def test_every_frame_is_looked_at_once_in_both_directions() -> None:
    counting = Counting(small_matcher("superglue"))
    clip = np.stack([noise((48, 64), i) for i in range(6)])
    points = Points.concat([Points.of(1, 5, [[20, 20]]), Points.of(2, 2, [[30, 30], [31, 9]])])
    KeypointTracker(info(), counting).track(ArrayVideo(clip), points)
    assert counting.extracted == 6
    assert counting.matched == 5 + 5  # each of two prompt frames with each of the other five frames


def test_kept_frames_are_bounded_and_query_frames_stay() -> None:
    counting = Counting(small_matcher("superglue"))
    frames = [noise((48, 64), i) for i in range(5)]
    sizes = [counting.extract(frame).num_bytes for frame in frames]
    counting.extracted = 0
    tracker = KeypointTracker(info(), counting, cache_bytes=sum(sizes[3:]))
    stream = tracker.stream()
    stream.push(frames[0])
    stream.add(np.array([[20, 20]], np.float32))
    for frame in frames[1:]:
        stream.push(frame)
    assert counting.extracted == 5
    assert len(tracker._cache) == 2
    step = stream.push(frames[0])  # forgotten by the cache, and known all the same
    assert step.visible.all()
    assert np.array_equal(step.xy, [[20, 20]])


def test_a_frame_that_repeats_the_query_frame_needs_no_match() -> None:
    counting = Counting(small_matcher("lightglue"))
    clip = np.repeat(noise((48, 64))[None], 3, 0)
    tracks = KeypointTracker(info(), counting).track(ArrayVideo(clip), Points.of(1, 1, [[20.5, 20.25]]))
    assert tracks.visible.all()
    assert np.array_equal(tracks.xy, np.full((3, 1, 2), [20.5, 20.25], np.float32))
    assert (counting.extracted, counting.matched) == (1, 0)


def test_frames_before_the_first_point_are_not_looked_at() -> None:
    counting = Counting(small_matcher("superglue"))
    stream = KeypointTracker(info(), counting).stream()
    for i in range(4):
        stream.push(noise((48, 64), i))
    assert counting.extracted == 0


_TRACKERS: dict[str, KeypointTracker] = {}


@pytest.mark.parametrize("clause", [clause for _, clause in TRACKER_CLAUSES], ids=[name for name, _ in TRACKER_CLAUSES])
@pytest.mark.parametrize("name", NAMES)
def test_small_tracker_keeps_clause(name: str, clause: Callable[..., None]) -> None:
    tracker = _TRACKERS.setdefault(name, KeypointTracker(info(), small_matcher(name)))
    clause(tracker, TrackerLimits(exact_tolerance_px=None))


# Weights, and what is missing


@pytest.mark.parametrize("name", NAMES)
def test_random_weights_need_no_network_and_are_always_the_same(name: str) -> None:
    before = torch.random.get_rng_state()
    frame = noise((40, 56))
    first, second = (create_tracker(name, weights="random", device="cpu") for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert isinstance(first, KeypointTracker)
    assert isinstance(second, KeypointTracker)
    templates = [tracker.extract_features(frame).features for tracker in (first, second)]
    assert torch.equal(templates[0].descriptor, templates[1].descriptor)
    assert first.info.name == name
    assert first.info.is_causal
    assert not first.info.needs_masks
    assert ("non-commercial" in str(first.info.license_weights)) == (name != "lightglue")


@pytest.mark.parametrize("in_folder", [False, True])
def test_a_whole_model_is_loaded_from_a_file_or_folder(tmp_path: Path, in_folder: bool) -> None:
    network, other = build_superglue(SMALL), build_superglue(SMALL)
    for value in network.state_dict().values():
        value.add_(1)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    load_whole(other, tmp_path if in_folder else tmp_path / "model.safetensors", "superglue")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


def test_half_a_model_and_another_model_are_refused(tmp_path: Path) -> None:
    network = build_superglue(SMALL)
    state = network.state_dict()
    save_file(dict(list(state.items())[: len(state) // 2]), tmp_path / "half.safetensors")
    with pytest.raises(BackendError, match="parameters are missing"):
        load_whole(network, tmp_path / "half.safetensors", "superglue")
    save_file(build_lightglue(SMALL).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(BackendError, match="they are those of 'lightglue-superpoint'"):
        load_whole(network, tmp_path / "other.safetensors", "superglue")
    with pytest.raises(BackendError, match="found none of"):
        load_whole(network, tmp_path, "superglue")


def test_a_pair_is_loaded_from_official_names(tmp_path: Path) -> None:
    networks, others = build_aliked(SMALL_ALIKED), build_aliked(SMALL_ALIKED)
    for network in networks:
        for parameter in network.parameters():
            parameter.add_(0.5)
    detector, matcher = (dict(network.state_dict()) for network in networks)
    del detector["dkd.hw_grid"], matcher["confidence_thresholds"]
    old = {}
    for key, value in matcher.items():
        parts = key.split(".")
        old[".".join([parts[2], parts[1], *parts[3:]]) if parts[0] == "transformers" else key] = value
    assert "self_attn.0.Wqkv.weight" in old
    files = tmp_path / "aliked-n16.pth", tmp_path / "aliked_lightglue.pth"
    torch.save(detector, files[0])
    torch.save(old, files[1])
    load_pair(others, files, "lightglue")
    for network, other in zip(networks, others, strict=True):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())
    with pytest.raises(BackendError, match=r"first is 'block1\..*Expected the official aliked_lightglue\.pth"):
        load_pair(others, (files[1], files[0]), "lightglue")


def test_wrong_files_of_the_pair_are_refused(tmp_path: Path) -> None:
    networks = build_aliked(SMALL_ALIKED)
    torch.save({"a": torch.zeros(1)}, tmp_path / "aliked-n16.pth")
    with pytest.raises(BackendError, match="weights of another network"):
        load_pair(networks, (tmp_path / "aliked-n16.pth", tmp_path / "aliked-n16.pth"), "lightglue")
    with pytest.raises(BackendError, match=r"no aliked_lightglue\.pth at .*; expected a folder with"):
        create_tracker("lightglue", weights=str(tmp_path), device="cpu")


@pytest.mark.parametrize("name", NAMES)
def test_without_network_it_says_what_to_fetch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(BackendError, match=r"SAMPT_OFFLINE is set; fetch https://\S+ on a machine"):
        create_tracker(name)


@pytest.mark.parametrize(("name", "package"), [("superglue", "transformers"), ("lightglue", "kornia")])
def test_a_missing_library_names_the_install_command(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda p, *rest: None if p == package else find(p, *rest))
    with pytest.raises(BackendError, match=rf"needs {package}, not installed here\. Run: pip install 'sampt\[sam\]'"):
        create_tracker(name, weights=None)


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(BackendError, match="cannot run on device 'cuda:77'"):
        create_tracker("superglue", weights=None, device="cuda:77")
