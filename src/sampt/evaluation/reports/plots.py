"""J and F over time as SVG, which an HTML page holds without another file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["score_plot"]

_WIDTH, _HEIGHT = 460, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 8, 8, 20


def score_plot(frames: Sequence[int], j: Sequence[float], f: Sequence[float], label: str) -> str:
    """An SVG element: J and F, from 0 to 1, over frame numbers."""
    first, last = frames[0], max(frames[-1], frames[0] + 1)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def line(values: Sequence[float], kind: str) -> str:
        places = (
            f"{_LEFT + (i - first) / (last - first) * wide:.1f},{_TOP + (1 - v) * high:.1f}"
            for i, v in zip(frames, values, strict=True)
        )
        return f'<polyline class="{kind}" points="{" ".join(places)}"/>'

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
    title = f"<title>{escape(label)}: J and F over frames {first} to {last}</title>"
    lines = line(j, "j") + line(f, "f")
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="plot">{title}{grid}{ends}{lines}</svg>'
