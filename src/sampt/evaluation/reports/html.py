"""Pieces of HTML that reports of every kind of dataset are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence, Set
from html import escape

from sampt.evaluation.reports.published import SOURCE, published
from sampt.evaluation.reports.read import AnyRun, Speed
from sampt.evaluation.reports.worst import WorstFrame

__all__ = ["html_table", "page", "percent", "published_section", "run_sections", "worst_section"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --j: #2f7ed8; --f: #e8871e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6em 0 1.4em; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .7em; border-bottom: 1px solid var(--line); text-align: right; }
th { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.ours { font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1em; }
figure { margin: 0; } figcaption { font-size: 13px; opacity: .8; }
.plot { width: 100%; } .plot text { font-size: 9px; fill: currentColor; opacity: .7; }
.plot .grid { stroke: var(--line); }
.plot polyline { fill: none; stroke-width: 1.5; stroke-linecap: round; stroke-linejoin: round; }
.plot .j { stroke: var(--j); } .plot .f { stroke: var(--f); }
.key .j { color: var(--j); } .key .f { color: var(--f); }
.tracks span { white-space: nowrap; margin-right: .8em; }
.tracks i { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .3em; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; margin-bottom: .2em; } .pair img { width: 100%; }
.pair + figcaption { margin-bottom: 1.2em; }
pre { background: #8881; padding: .8em; overflow-x: auto; font-size: 12px; }
"""


def page(body: str) -> str:
    """A whole page, which needs no other file."""
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>sampt evaluation</title>\n<style>{_STYLE}</style></head>\n"
        f"<body>\n<h1>Evaluation</h1>\n{body}\n</body>\n</html>\n"
    )


def percent(*values: float | None) -> list[str]:
    """Parts of 1 as people read them; a dash where there is none."""
    return ["-" if value is None else f"{100 * value:.1f}" for value in values]


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], ours: Set[str] = frozenset()) -> str:
    """A table; a row whose first cell is in ``ours`` stands out."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = (
        ('<tr class="ours">' if row[0] in ours else "<tr>") + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def published_section(run: AnyRun, figures: Sequence[float | None], what: str) -> Iterator[str]:
    """Published figures with ours among them, worst first.

    Args:
        run: the run.
        figures: ours by the measures that are published, parts of 1.
        what: of how much they are, such as "10 sequences".
    """
    found = published(run.choice.name)
    if found is None:
        return
    ours = {f"{run.label} ({run.choice.split}, {what})": tuple(100 * (value or 0.0) for value in figures)}
    ranked = sorted((dict(found.figures) | ours).items(), key=lambda item: item[1])
    yield f"<h3>Published figures</h3>\n<p>On all of {escape(run.choice.name)} {found.split}: {escape(SOURCE)}.</p>"
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in ranked]
    yield html_table(("method", *found.measures), rows, ours=set(ours))


def worst_section(images: Sequence[WorstFrame], explained: str) -> Iterator[str]:
    """The worst frames, if there are any."""
    if images:
        yield f"<h3>Worst frames</h3>\n<p>Left the ground truth, right the prediction{escape(explained)}.</p>"
    missing = sorted({found.lacking for found in images if found.lacking is not None})
    if missing:
        more = "" if len(missing) == 1 else f" (and {len(missing) - 1} more)"
        yield f"<p>Masks on grey: the image is not to be had. {escape(missing[0])}{more}</p>"
    for found in images:
        sides = f'<img src="{found.gt}" alt="ground truth"><img src="{found.prediction}" alt="prediction">'
        yield f'<figure><div class="pair">{sides}</div><figcaption>{escape(found.caption)}</figcaption></figure>'


def run_sections(run: AnyRun) -> Iterator[str]:
    """Speed, licences and settings, as far as the run tells them."""
    if run.speed is not None:
        where = escape("; ".join(run.platforms))
        yield f"<h3>Speed</h3>\n<p>{run.speed.frames_per_s:.2f} frames/s over tracking, prompting and merging, on {where}.</p>"
        yield html_table(("stage", "seconds", "fraction"), _stages(run.speed))
    if run.licenses:
        yield "<h3>Licenses</h3>\n" + html_table(("backend", "license"), [[k, v] for k, v in run.licenses.items()])
    if run.config:
        yield "<h3>Settings</h3>"
        if run.rules:
            yield f"<p>Of the paper, besides its preset: {escape('; '.join(map(str, run.rules)))}.</p>"
        yield f"<pre>{escape(json.dumps(run.config, indent=1))}</pre>"


def _stages(speed: Speed) -> list[list[str]]:
    inside = sum(seconds for name, seconds in speed.stages.items() if name != "write")
    rows = [[name, f"{s:.1f}", f"{100 * s / inside:.0f} %"] for name, s in speed.stages.items() if name != "write" and inside]
    return [*rows, ["write (beside the rest)", f"{speed.stages['write']:.1f}", ""]]
