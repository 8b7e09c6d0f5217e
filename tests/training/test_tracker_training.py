"""The training of the point tracker: clips are cut rightly, the loss is what it says, and a run resumes."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.data import Store  # noqa: E402
from training.tracker.real import TrackedClip  # noqa: E402
from training.tracker.scenes import SceneMaker  # noqa: E402
from training.tracker.train import Pool, Trainer, _Clip, _match_loss  # noqa: E402

CONFIG = Path(__file__).parents[2] / "training" / "tracker" / "config.toml"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings() -> dict[str, Any]:
    return tomllib.loads(CONFIG.read_text())


@pytest.fixture
def pool(settings: dict[str, Any], smooth_store: Store) -> Pool:
    """Reads its settings when it is used."""
    return Pool(SceneMaker(smooth_store, settings, torch.Generator().manual_seed(0)), settings)


# ---- the pool ----------------------------------------------------------------------------------------------------------------


def marked_clip() -> _Clip:
    """Eight frames of 16 x 24. Green tells the frame; a point's red its number, drawn where it is and visible."""
    t, n = 8, 5
    rng = np.random.default_rng(0)
    frames, xy = np.zeros((t, 3, 16, 24), np.uint8), np.zeros((t, n, 2), np.float32)
    visible = rng.random((t, n)) < 0.6
    visible[0], visible[-1] = True, False
    for k in range(t):
        frames[k, 1] = 10 * k
        cells = rng.permutation(16 * 24)[:n]
        xy[k] = np.stack([cells % 24, cells // 24], 1)
        for p in np.flatnonzero(visible[k]):
            frames[k, 0, int(xy[k, p, 1]), int(xy[k, p, 0])] = 40 * (p + 1)
    known = rng.random((t, n)) < 0.8
    known[0] = True
    return _Clip(torch.from_numpy(frames), torch.from_numpy(xy), torch.from_numpy(visible), torch.from_numpy(known))


def test_a_cut_keeps_point_and_pixel_together_in_every_direction(settings: dict[str, Any], pool: Pool) -> None:
    settings["points"]["count"] = 4
    clip = marked_clip()
    seen, asked = set(), set()
    for _ in range(60):
        frames, xy, visible, known = pool._cut(clip, 5)
        assert frames.shape == (5, 3, 16, 24)
        assert xy.shape == (5, 4, 2)
        assert (visible & known)[0].all()
        shown = ((frames + 1) * 127.5).round().int()
        times = (shown[:, 1, 0, 0] // 10).tolist()
        forward = times == list(range(times[0], times[0] + 5))
        assert forward or times == list(range(times[0], times[0] - 5, -1))
        at = xy.long()
        red = torch.stack([shown[k, 0, at[k, :, 1], at[k, :, 0]] for k in range(5)])
        assert (red[0] > 0).all()
        assert torch.where(visible, red == red[0], True).all()  # the same point all along
        who = (red[0] // 40 - 1).long()
        expected = clip.xy[times][:, who]
        mirrored = not torch.equal(xy, expected)
        if mirrored:
            expected = torch.stack([23 - expected[..., 0], expected[..., 1]], -1)
        assert torch.equal(xy, expected)  # also of hidden points
        assert torch.equal(visible, clip.visible[times][:, who])
        assert torch.equal(known, clip.known[times][:, who])
        assert times[0] != 7  # nothing can be asked about there
        seen.add((forward, mirrored))
        asked.add(times[0])
    assert len(seen) == 4
    assert len(asked) >= 5


def test_the_pool_makes_clips_at_the_set_pace_and_throws_the_oldest_away(settings: dict[str, Any], pool: Pool) -> None:
    settings["pool"] |= {"uses": 4.0, "max_clips": 4, "first": 4, "together": 2}
    settings["points"] |= {"made": 16, "count": 4}
    stage = {"clips": 2, "frames": 2, "made_frames": 3, "size_hw": [16, 32]}
    pool.batch(stage)
    first = list(pool.clips)
    assert len(first) == 4
    for _ in range(2):
        pool.batch(stage)
    assert [a is b for a, b in zip(first, pool.clips, strict=True)] == [True] * 4
    pool.batch(stage)  # eight clips used, so two are made
    assert [a is b for a, b in zip(first, pool.clips, strict=True)] == [False, False, True, True]
    pool.batch({**stage, "made_frames": 4})
    assert all(len(clip.frames) == 4 for clip in pool.clips)


# ---- loss --------------------------------------------------------------------------------------------------------------------


def test_the_match_loss_is_the_cross_entropy_with_the_four_cells_about_the_place() -> None:
    # A map of 2 x 3 cells of 8 pixels; cell (0, 0) has its centre at 3.5 px.
    logits = torch.log(torch.tensor([[[0.1, 0.2, 0.3], [0.05, 0.25, 0.1]]])).reshape(1, 1, 6).expand(1, 4, 6)
    xy = torch.tensor([[[11.5, 3.5], [13.5, 5.5], [-9.0, 3.5], [19.5, 11.5]]])
    loss = _match_loss(logits, xy, torch.Size([2, 3]))[0]
    between = -(0.5625 * math.log(0.2) + 0.1875 * math.log(0.3) + 0.1875 * math.log(0.25) + 0.0625 * math.log(0.1))
    torch.testing.assert_close(loss, torch.tensor([-math.log(0.2), between, -math.log(0.1), -math.log(0.1)]))


@torch.no_grad()
def test_nothing_is_learnt_of_what_is_not_known(data: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer(tiny, data, tmp_path, "cpu")
    batch = trainer.batch()
    fine, coarse = (f.unflatten(0, batch.frames.shape[:2]) for f in trainer.network.encoder(batch.frames.flatten(0, 1)))
    state = trainer.network.step.begin(fine[:, 0], coarse[:, 0], batch.xy[:, 0])
    _, details = trainer.network.step(fine[:, 1], coarse[:, 1], state)
    known = batch.known[:, 1].clone()
    known[:, ::2] = False

    def losses(xy: Any, visible: Any) -> dict[str, Any]:
        return trainer._losses(details, xy, visible, known, coarse.shape[-2:])

    xy, visible = batch.xy[:, 1], batch.visible[:, 1]
    other_xy, other_visible = xy.clone(), visible.clone()
    other_xy[:, ::2] += 9.0
    other_visible[:, ::2] ^= True
    right = losses(xy, visible)
    assert right == losses(other_xy, other_visible)
    other_xy[:, 1::2] += 9.0
    wrong = losses(other_xy, other_visible ^ True)
    assert all(wrong[name] != right[name] for name in ("match", "likeness", "place", "look", "visible"))


# ---- runs --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(settings: dict[str, Any]) -> dict[str, Any]:
    settings["data"]["held_out"] = ["held"]
    settings["points"] |= {"made": 24, "count": 6}
    settings["pool"] |= {"first": 2, "max_clips": 4}
    settings["train"] |= {"steps": 6, "warmup": 2, "decay": 0.5}
    stage = {"clips": 2, "frames": 3, "made_frames": 4, "size_hw": [32, 64]}
    settings["train"]["stages"] = [{**stage, "fraction": 0.5}, {**stage, "clips": 1, "frames": 4, "fraction": 0.5}]
    return settings


def test_stages_follow_each_other(data: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer(tiny, data, tmp_path, "cpu")
    frames = []
    for trainer.step in range(7):
        frames.append(trainer.stage()["frames"])
    assert frames == [3, 3, 3, 4, 4, 4, 4]


def test_a_stage_may_ask_for_real_clips(
    data: Path, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = TrackedClip(torch.full((4, 3, 80, 144), 99, dtype=torch.uint8), torch.full((4, 9, 2), 70.0), torch.ones(4, 9) > 0)
    monkeypatch.setattr("training.tracker.train.track_clips", lambda *_: [clip])
    tiny["real"]["crossing"] = 0
    tiny["train"]["stages"][1]["real"] = 1.0
    trainer = Trainer(tiny, data, tmp_path, "cpu")
    assert trainer.batch().frames.std() > 0.05
    trainer.step = 3
    batch = trainer.batch()
    assert batch.frames.shape == (1, 4, 3, 32, 64)
    assert batch.frames[:, 0].std((-1, -2)).max() < 0.2  # the grey clip, with noise
    assert np.isfinite(trainer.one()["loss"])


def test_a_run_goes_on_where_it_stopped(data: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    first = Trainer(tiny, data, tmp_path, "cpu")
    start = {name: value.clone() for name, value in first.network.state_dict().items()}
    for _ in range(2):
        logged = first.one()
        assert all(np.isfinite(value) for value in logged.values())
    assert {"loss", "match", "likeness", "look", "place", "visible", "certain", "within_4px", "norm"} <= set(logged)
    assert any(not torch.equal(value, start[name]) for name, value in first.network.state_dict().items())
    first.save()
    second = Trainer(tiny, data, tmp_path, "cpu")
    second.load(tmp_path / "checkpoint.pt")
    assert second.step == 2
    assert second.samples == first.samples == 4
    for a, b in ((first.network, second.network), (first.average, second.average)):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name])
    assert torch.equal(first.rng.get_state(), second.rng.get_state())
    assert np.isfinite(second.one()["loss"])
    assert not list(tmp_path.glob("*.partial"))


def test_the_weights_before_the_fall_are_written_once(data: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer(tiny, data, tmp_path, "cpu")
    kept = tmp_path / "before-decay.pt"
    for _ in range(2):
        trainer.one()
    assert not kept.exists()
    trainer.one()
    state = torch.load(kept, weights_only=True)
    assert state["step"] == 3
    for name, value in trainer.network.state_dict().items():
        torch.testing.assert_close(state["network"][name].to(value.dtype), value, rtol=1e-3, atol=1e-3)
    kept.unlink()
    while trainer.step < 6:
        trainer.one()
    assert not kept.exists()
    assert trainer.rate() == 0


def test_every_weight_is_learned(data: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer(tiny, data, tmp_path, "cpu")
    loss, _, _ = trainer.loss()
    loss.backward()
    idle = [name for name, p in trainer.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Normalisation takes away what the biases of the convolutions before it add.
    assert [name for name in idle if not name.endswith("conv.bias")] == []
