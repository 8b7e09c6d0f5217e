"""The clips that the point tracker learns from: tracks are where the pixels are, and what is held out stays held out."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import Generator, Tensor  # noqa: E402

from training.data import Store, is_held_out  # noqa: E402
from training.tracker.layers import Layer, compute_tracks, map_frame, to_layer, to_unit  # noqa: E402
from training.tracker.scenes import Clips, SceneMaker, held_out_clips  # noqa: E402
from training.tracker.train import Trainer  # noqa: E402

CONFIG = Path(__file__).parents[2] / "training" / "tracker" / "config.toml"
SIZE_HW = (96, 160)
CANVAS = 192
"""Side of the images of ``smooth_store``."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings() -> dict[str, Any]:
    return tomllib.loads(CONFIG.read_text())


@pytest.fixture
def clean(settings: dict[str, Any]) -> dict[str, Any]:
    """Nothing happens to the images after they are drawn, but a fixed change of exposure; objects are large and present."""
    settings["image"] |= dict.fromkeys(("change", "gamma", "grey", "soft", "compressed", "noise"), 0.0)
    settings["camera"]["blur"] = 0.0
    settings["objects"] |= {"plain": 0.0, "absent": 0.0, "smallest": 0.6, "max_layers": 3, "shade": 0.0}
    settings["background"]["plain"] = 0.0
    return settings


class WatchedMaker(SceneMaker):
    """Keeps which layer shows at every pixel of the clips made last."""

    owner: Tensor

    def _render(self, *args: Any) -> tuple[Tensor, Tensor]:
        image, self.owner = super()._render(*args)
        return image, self.owner


Watched = Callable[..., WatchedMaker]


@pytest.fixture
def watched(smooth_store: Store) -> Watched:
    """Makes a maker from settings and a seed."""
    return lambda settings, seed=0: WatchedMaker(smooth_store, settings, Generator().manual_seed(seed))


def sample(maps: Tensor, xy: Tensor) -> Tensor:
    """(m, c, h, w) bilinear at (m, n, 2) pixels -> (m, n, c)."""
    grid = (xy + 0.5) * 2 / torch.tensor([maps.shape[3], maps.shape[2]]) - 1
    out = F.grid_sample(maps, grid.unsqueeze(1), padding_mode="border", align_corners=False)
    return out[:, :, 0].transpose(1, 2)


def pixels_of(maps: Tensor, xy: Tensor) -> Tensor:
    """(b, t, h, w) at the pixels that hold (b, t, n, 2) places."""
    b, t, h, w = maps.shape
    at = xy.round().long()
    index = at[..., 1].clamp(0, h - 1) * w + at[..., 0].clamp(0, w - 1)
    return torch.gather(maps.reshape(b, t, -1), 2, index)


def deep_inside(owner: Tensor, layer: int, reach: int = 3) -> Tensor:
    """(b, t, h, w): all pixels within ``reach`` belong to the layer."""
    other = (owner != layer).float()
    return F.max_pool2d(other, 2 * reach + 1, 1, reach) == 0


# ---- tracks ------------------------------------------------------------------------------------------------------------------


def color_change(maker: WatchedMaker, clips: Clips, shift: float) -> dict[str, Tensor]:
    """How much the colour at a point's place, ``shift`` pixels aside on later frames, differs from that on frame 0."""
    b, t, n, _ = clips.xy.shape
    aside = torch.tensor([shift, 0.0]) * (torch.arange(t) > 0).view(1, t, 1, 1)
    color = sample(clips.frames.flatten(0, 1), (clips.xy + aside).flatten(0, 1)).view(b, t, n, 3)
    change = (color - color[:, :1]).abs().mean(-1)
    own = pixels_of(maker.owner[:, :1], clips.xy[:, :1])
    inside = torch.zeros_like(clips.visible)
    for layer in range(4):
        deep = pixels_of(deep_inside(maker.owner, layer).float(), clips.xy) > 0
        inside |= deep & (own == layer)
    sure = clips.visible & clips.usable.unsqueeze(1) & inside & inside[:, :1]
    sure[:, 0] = False
    on_object = (own > 0).expand(b, t, n)
    return {"background": change[sure & ~on_object], "object": change[sure & on_object]}


@pytest.mark.parametrize(
    ("bend", "swing", "background_bend"), [(0.0, 0.0, 0.0), (0.12, 0.0, 0.05), (0.0, 0.6, 0.0)], ids=["plane", "bend", "swing"]
)
def test_a_visible_point_keeps_its_colour(
    clean: dict[str, Any], bend: float, swing: float, background_bend: float, watched: Watched
) -> None:
    clean["objects"] |= {"bend": bend, "swing": swing}
    clean["background"]["bend"] = background_bend
    maker = watched(clean)
    right: dict[str, list[Tensor]] = {"background": [], "object": []}
    shifted: dict[str, list[Tensor]] = {"background": [], "object": []}
    for _ in range(3):
        clips = maker.batch(2, 8, SIZE_HW, 128)
        for layer, change in color_change(maker, clips, 0.0).items():
            right[layer].append(change)
        for layer, change in color_change(maker, clips, 0.5).items():
            shifted[layer].append(change)
    for layer in right:
        exact, aside = torch.cat(right[layer]), torch.cat(shifted[layer])
        assert len(exact) > 300
        assert exact.mean() < 0.004
        assert aside.mean() > 4 * exact.mean()  # half a pixel shows


def test_points_move(clean: dict[str, Any], watched: Watched) -> None:
    """Still scenes would satisfy the colours too."""
    clean["camera"]["still"] = clean["objects"]["still"] = 0.0
    clips = watched(clean).batch(4, 8, SIZE_HW, 64)
    far = (clips.xy[:, -1] - clips.xy[:, 0]).norm(dim=-1)
    assert far.median() > 3


def test_a_point_is_hidden_where_a_layer_before_it_shows_and_outside(clean: dict[str, Any], watched: Watched) -> None:
    clean["objects"]["swing"] = 0.3
    maker = watched(clean, 1)
    counts = {"covered": 0, "outside": 0, "shows": 0, "left": 0}
    for _ in range(4):
        clips = maker.batch(2, 10, SIZE_HW, 128)
        owner = maker.owner.float()
        usable = clips.usable.unsqueeze(1)
        own = pixels_of(maker.owner[:, :1], clips.xy[:, :1])
        high = pixels_of(F.max_pool2d(owner, 3, 1, 1), clips.xy)
        low = pixels_of(-F.max_pool2d(-owner, 3, 1, 1), clips.xy)
        limit = torch.tensor([SIZE_HW[1] - 0.5, SIZE_HW[0] - 0.5])
        inside = ((clips.xy >= -0.5) & (clips.xy <= limit)).all(-1)
        covered, shows = usable & inside & (low > own), usable & inside & (low == own) & (high == own)
        assert not clips.visible[covered].any()
        assert not clips.visible[~inside].any()
        assert clips.visible[shows].all()
        for name, what in (("covered", covered), ("outside", usable & ~inside), ("shows", shows)):
            counts[name] += int(what.sum())
        # On the edge of a layer, nothing is claimed; those are few.
        counts["left"] += int((usable & inside & ~covered & ~shows).sum())
    assert min(counts["covered"], counts["outside"]) > 100
    assert counts["left"] < 0.2 * counts["shows"]


def test_every_usable_point_is_visible_on_the_first_frame(clean: dict[str, Any], watched: Watched) -> None:
    clips = watched(clean).batch(2, 6, SIZE_HW, 128)
    assert clips.visible[:, 0][clips.usable].all()
    assert clips.usable.float().mean() > 0.6
    assert torch.isfinite(clips.xy).all()


def test_motion_blur_is_even_about_the_frame(clean: dict[str, Any], watched: Watched) -> None:
    """So a point lies in the middle of its smear: smooth colours stay where they were."""
    clean["camera"] |= {"jump": 0.0, "slow": 0.05, "fast": 0.06, "still": 0.0, "shaking": 0.0}
    clean["objects"]["max_layers"] = 0
    maker = watched(clean)
    layers = maker._make_layers(3, 8, SIZE_HW)
    maps = [map_frame(layer, SIZE_HW, 8) for layer in layers]
    # The motion on the first and the last frame is known from one side only.
    sharp, blurred = (maker._render(layers, maps, SIZE_HW, on)[0].unflatten(0, (3, 8))[:, 1:-1] for on in (False, True))
    speed_px = (maps[0][1:8] - maps[0][:7]).abs().mean() * SIZE_HW[1] / 2
    assert speed_px > 1.5
    change, aside = (blurred - sharp).abs().mean(), (sharp[..., 1:] - sharp[..., :-1]).abs().mean() / 2
    assert 0.02 * aside < change < 0.4 * aside


def test_a_layer_of_the_frames_own_size_is_drawn_pixel_by_pixel(clean: dict[str, Any], watched: Watched) -> None:
    """The frame is 192 wide as the image is; its 96 rows are the middle ones."""
    maker = watched(clean)
    texture = torch.cat([maker.store.images[:1].float() / 255, torch.ones(1, 1, CANVAS, CANVAS)], 1)
    same = torch.eye(3).expand(1, 2, 3, 3)
    middle, half = torch.full((1, 2), (CANVAS - 1) / 2), torch.full((1, 2), CANVAS / 2)
    layer = Layer(texture, middle, half, same, same, torch.zeros(1, 2, 2, 33, 33), endless=True)
    size_hw = (CANVAS // 2, CANVAS)
    image, _ = maker._render([layer], [map_frame(layer, size_hw, 2)], size_hw, False)
    torch.testing.assert_close(image[1], texture[0, :3, 48:144], rtol=0, atol=1e-4)
    start = torch.tensor([[[0.0, 0.0], [100.25, 33.5], [191.0, 95.0]]])
    xy, visible, usable = compute_tracks([layer], torch.zeros((1, 2, *size_hw), dtype=torch.long), start, size_hw)
    torch.testing.assert_close(xy, start.unsqueeze(1).expand(1, 2, 3, 2), rtol=0, atol=1e-4)
    assert visible.all()
    assert usable.all()


def test_pixels_and_tracks_use_the_same_map(clean: dict[str, Any], watched: Watched) -> None:
    """The map is drawn from every fourth pixel; between, it is what the tracks use but for a small part of a pixel."""
    clean["objects"] |= {"bend": 0.08, "swing": 0.6}
    maker = watched(clean)
    h, w = SIZE_HW
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    unit = to_unit(torch.stack([x, y], -1).float().view(1, 1, -1, 2), SIZE_HW).expand(2, 4, -1, 2)
    for layer in maker._make_layers(2, 4, SIZE_HW):
        coarse = map_frame(layer, SIZE_HW, 4)
        dense = F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False)[:, :, 4:-4, 4:-4]
        exact = to_layer(layer, unit, slice(None)).flatten(0, 1).transpose(1, 2).view(8, 2, h, w)
        apart = (dense - exact).norm(dim=1)
        shown = (exact.abs() < 1).all(1)
        pixel = (exact[..., 1:] - exact[..., :-1]).norm(dim=1).mean()
        assert apart[shown].mean() < 0.06 * pixel
        assert apart[shown].quantile(0.98) < 0.25 * pixel


# ---- seeds -------------------------------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_clip_and_another_another(settings: dict[str, Any], watched: Watched) -> None:
    first, again, other = (watched(settings, seed).batch(1, 4, (32, 48), 16) for seed in (7, 7, 8))
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.xy, again.xy)
    assert torch.equal(first.visible, again.visible)
    assert (first.frames - other.frames).abs().mean() > 0.02


def test_the_global_generator_does_not_matter(settings: dict[str, Any], watched: Watched) -> None:
    before = torch.random.get_rng_state()
    watched(settings).batch(1, 3, (32, 48), 8)
    assert torch.equal(before, torch.random.get_rng_state())


# ---- held out ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out images are red, those for training are blue."""
    root = tmp_path_factory.mktemp("colored")
    held_out = tomllib.loads(CONFIG.read_text())["data"]["held_out"]
    red, blue = (225, 30, 40), (40, 30, 225)
    ids = np.zeros((100, 140), np.uint8)
    ids[30:70, 40:100] = 1

    def write(folder: str, name: str, color: tuple[int, int, int], suffixes: tuple[str, ...] = ("",)) -> None:
        (root / folder).mkdir(exist_ok=True)
        shaded = np.clip(np.full((100, 140, 3), color) + np.arange(140)[:, None] % 20 - 10, 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / folder / f"{name}.jpg"), shaded[..., ::-1])
        for suffix in suffixes:
            cv2.imwrite(str(root / folder / f"{name}{suffix}.png"), ids)

    names = [f"{k:04d}" for k in range(200)]
    kept_back = [name for name in names if zlib.crc32(name.encode()) % 10 == 0][:2]
    trained = [name for name in names if name not in kept_back and zlib.crc32(name.encode()) % 10][:2]
    for k in range(2):
        write("davis2016_train", f"{held_out[0]}_{k:05d}", red)
        write("davis2016_train", f"bear_{k:05d}", blue)
    for group, color in ((kept_back, red), (trained, blue)):
        for name in group:
            write("clothing_co_parsing", name, color)
            write("bsds500", name, color, ("_0", "_1"))
    return root


def redness(images: Tensor) -> Tensor:
    """(..., 3, h, w) -> share of pixels much redder than blue, less those much bluer than red."""
    difference = images[..., 0, :, :].float() - images[..., 2, :, :].float()
    return ((difference > 40).float() - (difference < -40).float()).mean()


def test_held_out_clips_show_held_out_pictures_and_training_loads_none_of_them(
    colored: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    store = Trainer(settings, colored, tmp_path, "cpu").pool.maker.store
    assert len(store.images) == 2 + 2 + 2
    assert redness(store.images[..., :100, :140]) == -1
    clips = list(held_out_clips(colored, 3, 6, 0))
    shown = torch.stack([torch.from_numpy(clip.frames).permute(0, 3, 1, 2) for clip in clips])
    assert redness(shown) > 0.4  # some textures are noise of any colour
    for clip in clips:
        assert clip.frames.shape == (3, 160, 256, 3)
        assert clip.xy.shape == (3, *clip.points_xy.shape)
        assert clip.points_xy.shape[0] <= 64
        assert clip.visible[0].all()
        np.testing.assert_array_equal(clip.points_xy, clip.xy[0])


def test_held_out_clips_repeat(colored: Path) -> None:
    first, again = (list(held_out_clips(colored, 2, 2, 5)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.xy, b.xy)
    assert not np.array_equal(first[0].frames, first[1].frames)


def test_the_configuration_holds_out_sequences_that_exist() -> None:
    shared = Path(__file__).parents[3] / "shared" / "training"
    held = tomllib.loads(CONFIG.read_text())["data"]["held_out"]
    assert all(list((shared / "davis2016_train").glob(f"{name}_*.jpg")) for name in held)
    photos = [path for folder in ("bsds500", "clothing_co_parsing") for path in (shared / folder).glob("*.jpg")]
    assert 0.07 < np.mean([is_held_out(path, held) for path in photos]) < 0.13
