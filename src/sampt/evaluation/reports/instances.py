"""The report's part about datasets whose objects have to be found."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sampt.evaluation.instances.matches import FOUND_IOU, ScoredInstances, VideoMatches
from sampt.evaluation.reports.html import html_table, percent, published_section, run_sections, worst_section
from sampt.evaluation.reports.plots import Line, score_plot
from sampt.evaluation.reports.read import ScoredRun
from sampt.evaluation.reports.worst import worst_instance_frames
from sampt.files.palette import pick_display_color

__all__ = ["COLUMNS", "sections", "summary"]

_FIGURES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "AR1": "ar1", "AR10": "ar10", "AR100": "ar100"}
_BY_AREA = ("small", "medium", "large")
COLUMNS = ("run", "dataset", "videos", "ground-truth tracks", "predicted", *_FIGURES, "frames/s")


def summary(run: ScoredRun[ScoredInstances]) -> list[str]:
    """The row of a run under ``COLUMNS``."""
    videos = run.scores.videos
    counts = len(videos), sum(len(video.tracks) for video in videos), sum(video.num_predictions for video in videos)
    values = percent(*(getattr(run.scores.scores, name) for name in _FIGURES.values()))
    return [run.label, run.scores.dataset, *map(str, counts), *values, run.describe_speed]


def sections(run: ScoredRun[ScoredInstances], worst: int) -> Iterator[str]:
    """HTML of all that is reported of a run, with the worst frames of ``worst`` videos."""
    found = run.scores
    caption = (
        "distinguished: tracks match within their category" if found.uses_categories else "not distinguished: any tracks match"
    )
    yield f"<h2>{escape(run.label)}</h2>\n<p>{escape(found.dataset)}, protocol youtube-vis; categories are {caption}.</p>"
    yield from published_section(run, (found.scores.ar100, found.scores.ap), f"{len(found.videos)} videos")
    yield "<h3>By area</h3>\n<p>Mean area of a track: up to 128 x 128 pixels, up to 256 x 256, above.</p>"
    rows = [[area, *percent(*(getattr(found.scores, f"{what}_{area}") for what in ("ap", "ar")))] for area in _BY_AREA]
    yield html_table(("tracks", "AP", "AR100"), rows)
    yield from _categories(found)
    yield "<h3>Videos</h3>\n" + html_table(
        ("video", "ground-truth tracks", "predicted", f"found (IoU from {FOUND_IOU:g})", "mean IoU"),
        [[v.folder, str(len(v.tracks)), str(v.num_predictions), str(v.num_found), *percent(v.mean_iou)] for v in found.videos],
    )
    yield (
        "<h3>Over time</h3>\n<p>IoU by frame of every annotated track and the prediction that overlaps it most over space and "
        "time; each goes with one at most. A gap: neither is there.</p>"
    )
    yield '<div class="plots">' + "".join(_plot(video) for video in found.videos if video.tracks) + "</div>"
    explained = ": tracks that go with a true one, in its colour; others are not drawn"
    yield from worst_section(worst_instance_frames(run, worst), explained)
    yield from run_sections(run)


def _categories(found: ScoredInstances) -> Iterator[str]:
    by_category = found.by_category
    if len(by_category) < 2:
        return
    ap = found.scores.category_ap
    rows = [
        [
            name,
            str(len(tracks)),
            str(sum(track.iou >= FOUND_IOU for track in tracks)),
            *percent(sum(track.iou for track in tracks) / len(tracks)),
            *(percent(ap.get(name)) if found.uses_categories else ()),
        ]
        for name, tracks in by_category.items()
    ]
    columns = ("category", "ground-truth tracks", f"found (IoU from {FOUND_IOU:g})", "mean IoU")
    yield "<h3>Categories</h3>\n" + html_table((*columns, *(("AP",) if found.uses_categories else ())), rows)


def _plot(video: VideoMatches) -> str:
    lines = [Line(track.frame_ious, "iou", pick_display_color(k)) for k, track in enumerate(video.tracks, 1)]
    keys = []
    for k, track in enumerate(video.tracks, 1):
        caption = "no prediction" if track.score is None else f"{100 * track.iou:.1f} (score {track.score:.2f})"
        keys.append(
            f'<span><i style="background:rgb{pick_display_color(k)}"></i>{k} {escape(track.category)}: {caption}</span>'
        )
    plot = score_plot(range(len(video.tracks[0].frame_ious)), lines, f"{video.folder}: IoU")
    return f'<figure>{plot}<figcaption class="tracks">{escape(video.folder)}<br>{" ".join(keys)}</figcaption></figure>'
