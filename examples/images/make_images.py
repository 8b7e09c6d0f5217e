"""The images of README.md and of the method's description: the real method on real clips, nothing edited by hand.

    python examples/images/make_images.py                      # all six, into docs/images
    python examples/images/make_images.py points memory        # some of them
    python examples/images/make_images.py --shared DATA -o OUT

DATA holds ``davis`` (DAVIS-2016, CC BY-NC 4.0) and ``clips/bees.mp4`` (Pixabay); docs/images/README.md has the credits. Each
image takes from seconds to a few minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sampt
from sampt.config import PromptConfig, SamplingConfig, with_settings
from sampt.evaluation.vos.jf import jaccard
from sampt.exporters.overlay import OverlayStyle, draw_overlay
from sampt.files.palette import pick_display_color
from sampt.memory import ObjectMemory
from sampt.pipeline.preparation import prepare_queries
from sampt.prompts.refine import segment_prompts
from sampt.video import SubVideo

ROOT = Path(__file__).resolve().parents[2]
WIDTH, GAP, CAPTION = 448, 4, 24
"""Of a panel in pixels: two beside each other are 900 wide."""
MAX_BYTES, MAX_MOVING_BYTES = 150_000, 1_500_000
HORSE_CLICKS = [[155, 235], [270, 205], [222, 160]]
DOG_CLICKS = [[300, 130], [465, 212], [180, 95]]
"""(n, 2) x and y on frame 0, where a person would click: on the animal's body, head and rider or tail."""


class Panel:
    """A frame, reduced to the width of a panel, on which masks and points are drawn at their own coordinates."""

    def __init__(self, frame: np.ndarray, width: int = WIDTH) -> None:
        self.scale = width / frame.shape[1]
        self.size = (width, round(frame.shape[0] * self.scale))
        self.canvas = cv2.resize(frame, self.size, interpolation=cv2.INTER_AREA)

    def mask(self, mask: np.ndarray, object_id: int = 1) -> Panel:
        """Tint an (h, w) bool mask and draw its contour, in the object's color."""
        color = pick_display_color(object_id)
        small = cv2.resize(mask.astype(np.float32), self.size, interpolation=cv2.INTER_AREA) > 0.5
        self.canvas[small] = (0.5 * self.canvas[small] + 0.5 * np.array(color)).astype(np.uint8)
        contours, _ = cv2.findContours(small.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(self.canvas, contours, -1, color, 1, cv2.LINE_AA)
        return self

    def points(self, xy: np.ndarray, is_positive: np.ndarray, visible: np.ndarray | None = None, radius: int = 3) -> Panel:
        """Positive points are green, negative ones red, hidden ones a grey ring."""
        for i, (x, y) in enumerate(np.round(xy * self.scale).astype(int).tolist()):
            if visible is not None and not visible[i]:
                cv2.circle(self.canvas, (x, y), radius, (170, 170, 170), 1, cv2.LINE_AA)
                continue
            cv2.circle(self.canvas, (x, y), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(self.canvas, (x, y), radius, (0, 150, 60) if is_positive[i] else (215, 30, 40), -1, cv2.LINE_AA)
        return self

    def box(self, box_xyxy: np.ndarray | None) -> Panel:
        if box_xyxy is not None:
            x0, y0, x1, y1 = np.round(np.asarray(box_xyxy) * self.scale).astype(int).tolist()
            cv2.rectangle(self.canvas, (x0, y0), (x1, y1), (255, 215, 0), 2)
        return self

    def heat(self, prior: np.ndarray) -> Panel:
        """Lay (h', w') log odds over the frame: dark where the object is unlikely, bright where it is likely."""
        level = np.clip((prior + 6) / 12 * 255, 0, 255).astype(np.uint8)
        heat = cv2.applyColorMap(cv2.resize(level, self.size, interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_INFERNO)
        self.canvas = (0.35 * self.canvas + 0.65 * heat[..., ::-1]).astype(np.uint8)
        return self


def sheet(panels: Sequence[tuple[Panel, str]], columns: int = 2) -> np.ndarray:
    """Panels of one size in rows, a caption under each; (h, w, 3) uint8."""
    width, height = panels[0][0].size
    rows = -(-len(panels) // columns)
    page = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + CAPTION + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for i, (panel, caption) in enumerate(panels):
        x, y = i % columns * (width + GAP), i // columns * (height + CAPTION + GAP)
        page.paste(Image.fromarray(panel.canvas), (x, y))
        draw.text((x + 4, y + height + 2), caption, fill=(25, 25, 25), font=font)
    return np.asarray(page)


def save(page: np.ndarray, path: Path) -> None:
    """As a WebP of the highest quality that stays within :data:`MAX_BYTES`."""
    for quality in (88, 80, 70, 60, 50):
        Image.fromarray(page).save(path, quality=quality, method=6)
        if path.stat().st_size <= MAX_BYTES:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes at the lowest quality; expected at most {MAX_BYTES}.")


class Clips:
    """The clips that are shown."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared

    def davis(self, name: str, frames: range) -> sampt.video.base.Video:
        return SubVideo(sampt.open_video(self.shared / "davis/JPEGImages/480p" / name), frames)

    def gt(self, name: str, frame_idx: int) -> np.ndarray:
        return np.asarray(Image.open(self.shared / f"davis/Annotations/480p/{name}/{frame_idx:05d}.png").convert("L")) > 0


def method_points(clips: Clips) -> np.ndarray:
    """Clicks, the points sampled from their mask, and where they are tracked to."""
    video = clips.davis("horsejump-high", range(16))
    clicks = sampt.Points.of(1, 0, HORSE_CLICKS)
    results = list(sampt.segment_video(video, clicks))
    frames = video.read(0, 16)
    panels = [(Panel(frames[0]).points(clicks.xy, clicks.is_positive, radius=5), "Frame 0: three clicks")]
    for i, caption in (
        (0, "Frame 0: their mask, points sampled on it (green) and off it (red)"),
        (8, "Frame 8: the same points, tracked; hidden ones are grey"),
        (15, "Frame 15: more of them are hidden, or have left the frame"),
    ):
        row = results[i].points
        panel = Panel(frames[i])
        if i == 0:
            panel.mask(results[0].masks[0])
        panels.append((panel.points(row.xy, row.is_positive, row.visible), caption))
    return sheet(panels)


def tracked_prompt(
    clips: Clips, name: str, frame_idx: int, positive: int, negative: int
) -> tuple[np.ndarray, sampt.ObjectPrompt]:
    """A frame, and the points tracked to it from the given mask of frame 0, as a prompt."""
    video = clips.davis(name, range(frame_idx + 1))
    given = sampt.QueryMask(1, 0, clips.gt(name, 0))
    sampling = SamplingConfig(positive_points=positive, negative_points=negative)
    config = with_settings(sampt.SegmentConfig(sampling=sampling), {"reinit.enabled": False})
    points = prepare_queries(video, video, given, config, sampt.create_segmenter("nano")).points
    row = sampt.create_tracker("nano").track(video, points).at(frame_idx)
    seen = row.select(np.flatnonzero(row.visible))
    return video.read(frame_idx, frame_idx + 1)[0], sampt.ObjectPrompt(1, seen.xy, seen.is_positive)


def prompted(frame: np.ndarray, prompt: sampt.ObjectPrompt, first: bool, steps: int) -> sampt.MaskPrediction:
    segmenter = sampt.create_segmenter("nano")
    config = PromptConfig(positives_first=first, refinement_steps=steps)
    return segment_prompts(segmenter, segmenter.encode(frame[None])[0], [prompt], config)[0]


def iou_text(prediction: sampt.MaskPrediction, gt: np.ndarray) -> str:
    return f"IoU with the ground truth {jaccard(prediction.logits > 0, gt):.2f}"


def method_passes(clips: Clips) -> np.ndarray:
    """The positive points alone, then all points with the logits of the first pass."""
    name, frame_idx = "camel", 20
    frame, prompt = tracked_prompt(clips, name, frame_idx, 8, 8)
    gt = clips.gt(name, frame_idx)
    alone = prompted(frame, prompt.only_positive(), False, 0)
    both = prompted(frame, prompt, True, 0)
    own = prompt.is_positive
    return sheet(
        [
            (Panel(frame).points(prompt.xy, own, radius=5), f"Frame {frame_idx}: points tracked from frame 0"),
            (
                Panel(frame).mask(alone.logits > 0).points(prompt.xy[own], own[own], radius=5),
                f"Pass 1, on the object: {iou_text(alone, gt)}",
            ),
            (Panel(frame).mask(both.logits > 0).points(prompt.xy, own, radius=5), f"Pass 2, all points: {iou_text(both, gt)}"),
            (Panel(frame).mask(gt, 2), "Ground truth"),
        ]
    )


def method_refinement(clips: Clips) -> np.ndarray:
    """One click, then the same prompt with the box and the logits of the step before, again and again."""
    frame, gt = clips.davis("horsejump-high", range(1)).read(0, 1)[0], clips.gt("horsejump-high", 0)
    prompt = sampt.ObjectPrompt(1, np.array(HORSE_CLICKS[2:], np.float32), np.ones(1, np.bool_))
    panels = []
    for steps in (0, 1, 3, 12):
        found = prompted(frame, prompt, False, steps)
        panel = Panel(frame).mask(found.logits > 0).box(found.box_xyxy).points(prompt.xy, prompt.is_positive, radius=5)
        panels.append((panel, f"{steps} refinement step{'s' * (steps != 1)}: {iou_text(found, gt)}"))
    return sheet(panels)


def method_reinitialisation(clips: Clips) -> np.ndarray:
    """New points from the predicted mask at the end of a window, and what becomes of a clip without them."""
    name, stop, late = "libby", 38, 37
    video = clips.davis(name, range(stop))
    given = sampt.QueryMask(1, 0, clips.gt(name, 0))
    on = sampt.SegmentConfig()
    off = with_settings(on, {"reinit.enabled": False})
    runs = {word: list(sampt.segment_video(video, given, config=config)) for word, config in (("with", on), ("without", off))}
    first, last, later = (video.read(i, i + 1)[0] for i in (0, 15, late))
    gt = clips.gt(name, late)

    def show(frame: np.ndarray, result: sampt.FrameMasks) -> Panel:
        row = result.points
        return Panel(frame).mask(result.masks[0]).points(row.xy, row.is_positive, row.visible, radius=2)

    def ended(word: str) -> str:
        return f"Frame {late}, {word} re-initialisation: IoU {jaccard(runs[word][late].masks[0], gt):.2f}"

    return sheet(
        [
            (show(first, runs["with"][0]), "Frame 0: points sampled from the given mask"),
            (show(last, runs["with"][15]), "Frame 15, a window's end: new points from the mask"),
            (show(later, runs["with"][late]), ended("with")),
            (show(later, runs["without"][late]), ended("without")),
        ]
    )


def method_memory(clips: Clips) -> np.ndarray:
    """Where the object memory expects objects on a later frame, by what they looked like on frame 0."""
    folder = clips.shared / "davis/multi_object/dogs-jump"
    video = sampt.open_video(folder / "frames.mp4")
    labels = np.asarray(Image.open(sorted((folder / "Annotations").iterdir())[0]))
    masks = {i: labels == i for i in range(1, int(labels.max()) + 1)}
    late = 20
    first, later = (video.read(i, i + 1)[0] for i in (0, late))
    memory = ObjectMemory()
    memory.learn(0, first, masks)
    priors = memory.priors(late, later, list(masks))
    start = Panel(first)
    for i, mask in masks.items():
        start.mask(mask, i)
    panels = [
        (start, "Frame 0: three objects are named"),
        (Panel(later), f"Frame {late}: nothing is given here"),
        (Panel(later).heat(priors[3]), f"Frame {late}: where the person (yellow) may be, by its looks"),
        (Panel(later).heat(priors[2]), "The same for the green dog: to the memory, the two dogs look alike"),
    ]
    return sheet(panels)


def three_clips(clips: Clips) -> list[np.ndarray]:
    """Clicks on frame 0 of three clips, then the masks of every second frame, drawn as `sampt segment` draws them."""
    bees = SubVideo(sampt.open_video(clips.shared / "clips/bees.mp4"), range(48))
    chosen = [
        (bees, sampt.read_queries(clips.shared / "clips/bees_query_points.txt")),
        (clips.davis("horsejump-high", range(48)), sampt.Points.of(1, 0, HORSE_CLICKS)),
        (clips.davis("dog", range(48)), sampt.Points.of(1, 0, DOG_CLICKS)),
    ]
    columns = []
    for video, clicks in chosen:
        frames = video.read(0, 1)[0]
        clicked = Panel(frames, 320)
        clicked.points(clicks.xy, clicks.is_positive, radius=4)
        column = [clicked.canvas[:180]]
        for result in sampt.segment_video(video, clicks):
            if result.frame_idx % 2 == 0:
                frame = video.read(result.frame_idx, result.frame_idx + 1)[0]
                drawn = draw_overlay(frame, result, OverlayStyle(points=False, labels=False))
                column.append(Panel(drawn, 320).canvas[:180])
        columns.append(column)
    gap = np.full((min(c[0].shape[0] for c in columns), GAP, 3), 255, np.uint8)
    height = gap.shape[0]
    return [np.hstack([a[:height], gap, b[:height], gap, c[:height]]) for a, b, c in zip(*columns, strict=True)]


def save_moving(pages: Sequence[np.ndarray], path: Path) -> None:
    """Play in a loop, the clicks for a second and a half."""
    images = [Image.fromarray(page) for page in pages]
    durations = [1500] + [100] * (len(images) - 2) + [1000]
    for quality in (75, 65, 55, 45):
        images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=quality, method=6)
        if path.stat().st_size <= MAX_MOVING_BYTES:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes at the lowest quality; expected at most {MAX_MOVING_BYTES}.")


METHOD: dict[str, Callable[[Clips], np.ndarray]] = {
    "points": method_points,
    "passes": method_passes,
    "refinement": method_refinement,
    "reinitialisation": method_reinitialisation,
    "memory": method_memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(METHOD)}, three-clips (default: all)")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs/images")
    arguments = parser.parse_args()
    clips = Clips(arguments.shared)
    names = arguments.names or [*METHOD, "three-clips"]
    unknown = set(names) - {*METHOD, "three-clips"}
    if unknown:
        parser.error(f"got {', '.join(sorted(unknown))}; expected names among: {', '.join(METHOD)}, three-clips")
    for name in names:
        path = arguments.output / ("three-clips.webp" if name == "three-clips" else f"method-{name}.webp")
        if name == "three-clips":
            save_moving(three_clips(clips), path)
        else:
            save(METHOD[name](clips), path)
        print(f"{path}  {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
