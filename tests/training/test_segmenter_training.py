"""The training code of the click segmenter on a few made images: what it draws is what it says, and a run resumes."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sampt.segmenters.nano.backbone import Backbone  # noqa: E402
from sampt.segmenters.nano.network import NanoNetwork  # noqa: E402
from sampt.segmenters.nano.runtime import saliency_side  # noqa: E402
from training.data import KINDS, Store, load_training_store  # noqa: E402
from training.segmenter.augment import Maker  # noqa: E402
from training.segmenter.degradation import compress_jpeg  # noqa: E402
from training.segmenter.recorded import load_recorded  # noqa: E402
from training.segmenter.rollouts import Plan, run_plan  # noqa: E402
from training.segmenter.start import load_backbone, load_before  # noqa: E402
from training.segmenter.train import Trainer  # noqa: E402

CONFIG = Path(__file__).parents[2] / "training" / "segmenter" / "config.toml"


@pytest.fixture
def settings() -> dict[str, Any]:
    s = tomllib.loads(CONFIG.read_text())
    s["data"] |= {"held_out": ["held"], "held_out_things": ["apart"], "canvas": 288, "extra": {}}
    s["train"] |= {"batch": 6, "steps": 6, "warmup": 2}
    s["crop"] |= {"sides": [64], "side_probabilities": [1.0]}
    s["points"] |= {"caps": [4], "cap_probabilities": [1.0], "joined": 0.0, "lost": 0.0}
    return copy.deepcopy(s)


def load_store(data: Path, settings: dict[str, Any]) -> Store:
    return load_training_store(data, settings["data"], "cpu")


def test_held_out_sequences_are_not_loaded_and_every_kind_is(data: Path, settings: dict[str, Any]) -> None:
    store = load_store(data, settings)
    assert len(store.images) == 4 + 1 + 2 + 2
    kinds = np.bincount(store.regions.kind.numpy(), minlength=len(KINDS))
    assert kinds.tolist() == [4, 2, 2, 4, 8]
    settings["data"] |= {"held_out": [], "held_out_things": []}
    assert len(load_store(data, settings).images) == 4 + 4 + 2 + 2 + 2


def test_frames_of_full_size_are_taken_where_they_are_at_hand(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    for folder in data.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    for sequence in ("seen", "held"):
        folder = tmp_path / "davis2016_train_480" / sequence
        folder.mkdir(parents=True)
        for path in (data / "davis2016_train").glob(f"{sequence}_*"):
            (folder / f"{path.stem.split('_')[1]}{path.suffix}").symlink_to(path)
    (tmp_path / "davis2016_train").unlink()  # not needed then
    assert len(load_store(tmp_path, settings).images) == 4 + 1 + 2 + 2


def test_the_real_configuration_holds_out_sequences_that_exist() -> None:
    shared = Path(__file__).parents[3] / "shared" / "training" / "davis2016_train"
    data = tomllib.loads(CONFIG.read_text())["data"]
    held = data["held_out"]
    assert len(held) >= 5
    things = shared.parent / "davis2017_challenge_first_frames"
    assert all((things / f"{name}.jpg").exists() for name in data["held_out_things"])
    assert all(list(shared.glob(f"{name}_*.jpg")) for name in held)


def test_nothing_reported_on_is_trained_on() -> None:
    shared = Path(__file__).parents[3] / "shared"
    reported = {path.name for path in (shared / "davis" / "JPEGImages" / "480p").iterdir()}
    trained = {path.stem.rsplit("_", 1)[0] for path in (shared / "training" / "davis2016_train").glob("*.jpg")}
    assert reported
    assert not reported & trained


def test_points_are_where_they_say_when_none_are_wrong(data: Path, settings: dict[str, Any]) -> None:
    settings["points"] |= {"wrong_probability": 0.0, "jitter": 0.0}
    maker = Maker(load_store(data, settings), settings, torch.Generator().manual_seed(0))
    seen = {1: 0, 0: 0}
    for _ in range(4):
        batch = maker.batch()
        for prompts in (batch.first, batch.second):
            for target, xy, labels in zip(batch.target[:, 0], prompts.points, prompts.labels, strict=True):
                for (x, y), label in zip(xy, labels, strict=True):
                    if label >= 0:
                        assert target[int(y), int(x)] == label
                        seen[int(label)] += 1
    assert min(seen.values()) > 20


def test_the_set_fraction_of_points_is_wrong(data: Path, settings: dict[str, Any]) -> None:
    settings["points"] |= {"caps": [32], "wrong_probability": 1.0, "wrong": [0.2, 0.2001], "jitter": 0.0}
    settings["previous"]["corrected"] = 0.0
    maker = Maker(load_store(data, settings), settings, torch.Generator().manual_seed(0))
    wrong = total = 0
    for _ in range(12):
        batch = maker.batch()
        for target, xy, labels in zip(batch.target[:, 0], batch.first.points, batch.first.labels, strict=True):
            if (labels == 1).sum() >= 4:
                at = xy.long()
                on = target[at[:, 1], at[:, 0]]
                wrong += int(((labels >= 0) & (on != labels)).sum())
                total += int((labels >= 0).sum())
    assert total > 300
    assert 0.12 < wrong / total < 0.28


def test_negatives_lie_on_neighbours_and_clusters_are_close(data: Path, settings: dict[str, Any]) -> None:
    settings["made"] = dict.fromkeys(settings["made"], 0.0)
    settings["points"] |= {
        "wrong_probability": 0.0,
        "jitter": 0.0,
        "neighbours": 1.0,
        "no_negatives": 0.0,
        "clustered": 1.0,
        "box": 0.0,
    }
    settings["previous"]["corrected"] = 0.0
    settings["color"] |= {"probability": 0.0, "blur": 0.0, "grey": 0.0, "noise": 0.0}
    for name in ("few_clicks", "many_clicks"):
        settings["data"][name] = {"davis": 0.0, "thing": 1.0, "person": 0.0, "part": 0.0, "segment": 0.0}
    batch = Maker(load_store(data, settings), settings, torch.Generator().manual_seed(0)).batch()
    seen = 0
    for image, xy, labels in zip(batch.image.mean(1), batch.first.points, batch.first.labels, strict=True):
        at = xy.long()
        bright = image[at[:, 1], at[:, 0]]
        negatives = bright[labels == 0]
        if len(negatives) and ((image > -0.4).float().mean() > 0.3):
            seen += int((negatives > -0.4).sum())
        positives = xy[labels == 1]
        assert torch.pdist(positives).max() <= 2 * 64 / 6 if len(positives) > 1 else True
    assert seen > 3


@pytest.mark.parametrize("missing", [True, False])
def test_a_correction_lies_in_what_the_previous_mask_gets_wrong(data: Path, settings: dict[str, Any], missing: bool) -> None:
    settings["previous"] |= {"goes_on": 1.0}
    maker = Maker(load_store(data, settings), settings, torch.Generator().manual_seed(0))
    batch = maker.batch()
    probability = torch.zeros_like(batch.first.previous) if missing else torch.ones_like(batch.first.previous)
    prompts = maker.correct(batch, probability)
    assert (prompts.has_previous == 1).all()
    at = prompts.points[:, -1].long()
    for target, (x, y), label in zip(batch.target[:, 0], at, prompts.labels[:, -1], strict=True):
        assert label == (1 if missing else 0)
        assert target[y, x] == label


def test_target_and_picture_belong_together(data: Path, settings: dict[str, Any]) -> None:
    """Without made samples and colour changes, object 1 of the sequences is bright and all else dark."""
    settings["made"] = dict.fromkeys(settings["made"], 0.0)
    settings["color"] |= {"probability": 0.0, "blur": 0.0, "grey": 0.0, "noise": 0.0}
    for name in ("few_clicks", "many_clicks"):
        settings["data"][name] = {"davis": 1.0, "thing": 0.0, "person": 0.0, "part": 0.0, "segment": 0.0}
    batch = Maker(load_store(data, settings), settings, torch.Generator().manual_seed(0)).batch()
    bright = batch.image.mean(1, keepdim=True) > 0
    agree = ((bright == (batch.target > 0)) | (batch.inside == 0)).float().mean()
    assert agree > 0.98
    assert (batch.image * (1 - batch.inside)).abs().max() == 0
    side = batch.image.shape[-1]
    assert batch.seen.shape[-1] == saliency_side(side) > side
    for seen, whole, (x0, y0, x1, y1) in zip(batch.seen, batch.image, batch.view.round().int().tolist(), strict=True):
        part = whole[None, :, y0:y1, x0:x1]
        small = torch.nn.functional.interpolate(seen[None], part.shape[2:], mode="bilinear", antialias=True)
        assert (small - part).abs().mean() < 0.1


def test_recorded_prompts_stay_on_what_they_were_about(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    """Turned, stretched and cropped, a point of the object lies on it and the previous mask covers it."""
    for name, frames in {"seen": sorted((data / "davis2016_train").glob("seen_*.jpg"))}.items():
        folder = tmp_path / "davis2016_train_480" / name
        folder.mkdir(parents=True)
        for k, path in enumerate(frames):
            for suffix in (".jpg", ".png"):
                (folder / f"{k:05d}{suffix}").symlink_to(path.with_suffix(suffix))
    for folder in data.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    plan = Plan("made", "lucas-kanade", fast=True)
    run_plan(plan, {"seen": sorted((tmp_path / "davis2016_train_480" / "seen").glob("*.jpg"))}, 0, tmp_path)
    settings["recorded"] |= {"probability": 1.0, "joined": 0.0, "lost": 0.0}
    store = load_store(tmp_path, settings)
    recorded = load_recorded(tmp_path, store)
    assert recorded is not None
    batch = Maker(store, settings, torch.Generator().manual_seed(0), recorded).batch()
    assert batch.is_recorded
    on = off = 0
    for target, xy, labels in zip(batch.target[:, 0], batch.first.points.long(), batch.first.labels, strict=True):
        on += int(target[xy[labels == 1, 1], xy[labels == 1, 0]].sum())
        off += int((1 - target[xy[labels == 1, 1], xy[labels == 1, 0]]).sum())
    assert on > 20 * max(off, 1)
    has = batch.first.has_previous > 0
    previous, target = batch.first.previous[has], torch.nn.functional.avg_pool2d(batch.target, 4)[has]
    assert len(previous)
    both, either = torch.minimum(previous, target).sum((1, 2, 3)), torch.maximum(previous, target).sum((1, 2, 3))
    assert (both / either).mean() > 0.55  # the object has moved by a third of its radius since
    settings["recorded"] |= {"joined": 1.0}
    leaked = Maker(store, settings, torch.Generator().manual_seed(0), recorded).batch()
    before = (batch.first.labels == 1).sum(), batch.first.previous.sum()
    assert (leaked.first.labels == 1).sum() > before[0]
    assert leaked.first.previous.sum() > before[1]


def test_blocks_of_a_jpeg_are_those_of_a_real_one() -> None:
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), np.uint8), (0, 0), 2.0)
    image = np.clip((image.astype(np.float32) - 128) * 3 + 128, 0, 255).astype(np.uint8)
    image = np.repeat(image[..., :1], 3, axis=2)  # of colour only the kind of loss is the same
    real = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 10])[1], cv2.IMREAD_COLOR)
    unit = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    made = compress_jpeg(unit, torch.tensor([10.0]))[0].permute(1, 2, 0).numpy()[..., ::-1] * 255
    lost = [np.abs(a.mean(-1) - b.mean(-1)).mean() for a, b in ((image, made), (real, made), (image, real))]
    assert lost[1] < 0.2 * min(lost[0], lost[2])


def test_what_others_trained_is_not_trained(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    trainer = Trainer(settings, data, tmp_path, "cpu")
    before = copy.deepcopy(trainer.network.state_dict())
    for _ in range(2):
        trainer.one()
    same = {name: torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items()}
    assert all(is_same for name, is_same in same.items() if name.startswith(("saliency.", "pretrained.backbone.")))
    for name in ("decoder.enter.conv.weight", "decoder.salient_fine.weight", "pretrained.neck.add_fine.weight"):
        assert not same[name]


def test_a_backbone_changes_nothing_at_the_start(tmp_path: Path) -> None:
    network = NanoNetwork().eval()
    new = ("pretrained.",)
    before = {k: v for k, v in network.state_dict().items() if not k.startswith(new)}
    torch.save(before, tmp_path / "weights.pt")
    started = NanoNetwork().eval()
    load_before(started, tmp_path / "weights.pt")
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        stem, *learnt = started.encoder(image)
        for a, b in zip(network.encoder(image), (stem, *started.pretrained(image, *learnt)), strict=True):
            torch.testing.assert_close(a, b)
    with pytest.raises(SystemExit, match="does not hold an earlier nano"):
        torch.save(before | {"more": torch.zeros(1)}, tmp_path / "other.pt")
        load_before(NanoNetwork(), tmp_path / "other.pt")


def test_the_backbone_computes_what_its_weights_were_trained_for(tmp_path: Path) -> None:
    """Convolution, normalisation and ReLU6 one by one, from a file in the layout of EfficientNet-Lite0's."""
    backbone = Backbone().eval()
    names = {"stem": ("_conv_stem", "_bn0")}
    for k, block in enumerate(backbone.blocks):
        parts = (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        )
        names |= {f"blocks.{k}.{p}": (f"_blocks.{k}.{c}", f"_blocks.{k}.{n}") for p, c, n in parts[not block.is_expanded :]}
    rng = torch.Generator().manual_seed(0)
    held = {}
    for own, (conv, norm) in names.items():
        shape = backbone.get_submodule(own).weight.shape
        held[f"{conv}.weight"] = torch.randn(shape, generator=rng) * (2 / shape[1:].numel()) ** 0.5
        for key, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            held[f"{norm}.{key}"] = torch.rand(shape[0], generator=rng) + low
    torch.save(held, tmp_path / "lite0.pth")
    load_backbone(tmp_path / "lite0.pth", backbone)

    def apply(own: str, x: torch.Tensor) -> torch.Tensor:
        conv, norm = names[own]
        part = backbone.get_submodule(own)
        x = torch.nn.functional.conv2d(x, held[f"{conv}.weight"], None, part.stride, part.padding, 1, part.groups)
        mean, var, weight, bias = (held[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    image = torch.rand(1, 3, 64, 96, generator=rng) * 2 - 1
    x = torch.nn.functional.relu6(apply("stem", image))
    found = []
    with torch.no_grad():
        for k, block in enumerate(backbone.blocks):
            wide = torch.nn.functional.relu6(apply(f"blocks.{k}.expand", x)) if block.is_expanded else x
            wide = torch.nn.functional.pad(wide, block.pad) if block.shift else wide
            out = apply(f"blocks.{k}.project", torch.nn.functional.relu6(apply(f"blocks.{k}.depthwise", wide)))
            x = out + x if out.shape == x.shape else out
            found.append(x)
        for a, b in zip(backbone(image), (found[2], found[4], found[10]), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    with pytest.raises(SystemExit, match="is not EfficientNet-Lite0"):
        torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
        load_backbone(tmp_path / "other.pth", Backbone())


def test_a_stale_mask_is_near_the_target_and_not_the_target(data: Path, settings: dict[str, Any]) -> None:
    maker = Maker(load_store(data, settings), settings, torch.Generator().manual_seed(0))
    batch = maker.batch()
    target = torch.nn.functional.avg_pool2d(batch.target, 4)
    error = (batch.first.previous - target).abs().mean((1, 2, 3))
    assert (error > 0.001).all()
    assert error.mean() < 0.3


def test_a_run_goes_on_from_its_checkpoint_as_if_never_stopped(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = Trainer(settings, data, tmp_path, "cpu")
    losses = [whole.one()["loss"] for _ in range(4)]
    first = Trainer(settings, data, tmp_path, "cpu")
    for expected in losses[:2]:
        assert first.one()["loss"] == pytest.approx(expected, rel=1e-4)
    first.save()
    second = Trainer(settings, data, tmp_path, "cpu")
    second.load(tmp_path / "checkpoint.pt")
    assert second.step == 2
    for expected in losses[2:]:
        assert second.one()["loss"] == pytest.approx(expected, rel=0.02)
    assert not list(tmp_path.glob("*.partial"))


def test_the_loss_falls(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"steps": 40, "batch": 8, "rate": 3e-3}
    for name in ("few_clicks", "many_clicks"):
        settings["data"][name] = {"davis": 1.0, "thing": 0.0, "person": 0.0, "part": 0.0, "segment": 0.0}
    trainer = Trainer(settings, data, tmp_path, "cpu")
    logged = [trainer.one() for _ in range(30)]
    start, end = (np.mean([entry["loss"] for entry in part]) for part in (logged[:5], logged[-5:]))
    assert end < 0.8 * start


def test_the_rate_warms_up_stays_and_falls(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"steps": 100, "warmup": 10, "decay": 0.2, "rate": 1.0}
    trainer = Trainer(settings, data, tmp_path, "cpu")
    rates = []
    for trainer.step in range(101):
        rates.append(trainer.rate())
    assert rates[:2] == [0.1, 0.2]
    assert set(rates[9:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0


def test_a_longer_run_starts_from_the_weights_before_the_fall(data: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    settings["train"] |= {"steps": 4, "decay": 0.5}
    first = Trainer(settings, data, tmp_path, "cpu")
    first.one()
    assert not (tmp_path / "before-decay.pt").exists()
    first.one()
    kept = {name: value.clone() for name, value in first.network.state_dict().items()}
    first.one()
    second = Trainer(settings, data, tmp_path, "cpu")
    second.start_from(tmp_path / "before-decay.pt")
    assert second.step == 0
    assert second.samples > 0
    for name, value in second.network.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=1e-3, atol=1e-3)
    assert (tmp_path / "before-decay.pt").stat().st_size < 12e6
    assert np.isfinite(second.one()["loss"])
