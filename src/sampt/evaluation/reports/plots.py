"""Measures over time as SVG, which an HTML page holds without another file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

__all__ = ["Line", "score_plot"]

_WIDTH, _HEIGHT = 460, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 8, 8, 20


@dataclass(frozen=True)
class Line:
    """Values from 0 to 1 over time.

    Attributes:
        values: one a frame of the plot; None makes a gap.
        kind: class of the line, for the style sheet.
        colour: RGB; None leaves it to the style sheet.
    """

    values: Sequence[float | None]
    kind: str
    color: tuple[int, int, int] | None = None


def score_plot(frames: Sequence[int], lines: Sequence[Line], title: str) -> str:
    """An SVG element: ``lines`` over frame numbers (ascending, at least one)."""
    first, last = frames[0], max(frames[-1], frames[0] + 1)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def drawn(line: Line) -> Iterator[str]:
        stroke = "" if line.color is None else f' style="stroke:rgb{line.color}"'
        for is_gap, part in groupby(zip(frames, line.values, strict=True), lambda pair: pair[1] is None):
            if not is_gap:
                locations = [
                    f"{_LEFT + (i - first) / (last - first) * wide:.1f},{_TOP + (1 - (v or 0)) * high:.1f}" for i, v in part
                ]
                # A line of one point would not be drawn.
                yield f'<polyline class="{line.kind}"{stroke} points="{" ".join(locations * (1 + (len(locations) == 1)))}"/>'

    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{value:g}</text>'
        for value in (0, 0.5, 1)
        for y in (_TOP + (1 - value) * high,)
    )
    ends = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{first}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{last}</text>'
    )
    caption = f"<title>{escape(title)} over frames {first} to {last}</title>"
    body = "".join(part for line in lines for part in drawn(line))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="plot">{caption}{grid}{ends}{body}</svg>'
