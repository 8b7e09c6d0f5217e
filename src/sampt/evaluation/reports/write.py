"""The pages themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from html import escape
from pathlib import Path

from sampt.errors import EvaluationError
from sampt.evaluation.reports.plots import score_plot
from sampt.evaluation.reports.published import SOURCE, published
from sampt.evaluation.reports.read import ScoredRun, Speed, read_scored
from sampt.evaluation.reports.worst import worst_frames
from sampt.evaluation.scores import SequenceScore
from sampt.outputs.files import make_folder, write_atomic

__all__ = ["write_report"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --j: #2f7ed8; --f: #e8871e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: .6em 0 1.4em; }
th, td { padding: .2em .7em; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.ours { font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1em; }
figure { margin: 0; } figcaption { font-size: 13px; opacity: .8; }
.plot { width: 100%; } .plot text { font-size: 9px; fill: currentColor; opacity: .7; }
.plot .grid { stroke: var(--line); } .plot polyline { fill: none; stroke-width: 1.5; }
.plot .j { stroke: var(--j); } .plot .f { stroke: var(--f); }
.key .j { color: var(--j); } .key .f { color: var(--f); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; margin-bottom: 1em; } .pair img { width: 100%; }
pre { background: #8881; padding: .8em; overflow-x: auto; font-size: 12px; }
"""
_COLUMNS = ("run", "data set", "sequences", "objects", "overall", "J&F", "J mean", "J recall", "F mean", "F recall", "frames/s")


def write_report(folders: Sequence[Path], output: Path, *, worst: int = 6) -> tuple[Path, Path]:
    """Make ``index.html`` and ``report.md`` of scored predictions.

    Args:
        folders: each with the ``scores.json`` of `sampt eval score`.
        output: folder of the report, made when missing.
        worst: how many sequences show their worst frame, for each folder.

    Returns:
        The two files.

    Raises:
        EvaluationError: a folder has no scores, or the data set that they are of is gone.
        OutputError: a file cannot be written.
    """
    if not folders:
        raise EvaluationError("There is nothing to report; give a folder of scored predictions.")
    runs = [read_scored(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)]
    body = "\n".join(part for run in runs for part in _sections(run, worst))
    page = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>sampt evaluation</title>\n<style>{_STYLE}</style></head>\n<body>\n<h1>Evaluation</h1>\n"
        f"{_html_table(_COLUMNS, [_summary(run) for run in runs])}\n{body}\n</body>\n</html>\n"
    )
    make_folder(output)
    paths = output / "index.html", output / "report.md"
    write_atomic(paths[0], page.encode())
    write_atomic(paths[1], ("\n".join(_markdown(runs)) + "\n").encode())
    return paths


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or the whole paths where two are alike."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _summary(run: ScoredRun) -> list[str]:
    total = run.scores.total
    values = (run.scores.overall, total.j_and_f, total.j.mean, total.j.recall, total.f.mean, total.f.recall)
    speed = "" if run.speed is None else f"{run.speed.frames_per_s:.1f}"
    counts = str(len(run.scores.sequences)), str(len(total.objects))
    return [run.label, run.scores.dataset, *counts, *(f"{100 * value:.1f}" for value in values), speed]


def _sections(run: ScoredRun, worst: int) -> Iterator[str]:
    yield f"<h2>{escape(run.label)}</h2>\n<p>{escape(run.scores.dataset)}, protocol {escape(run.scores.protocol)}.</p>"
    yield from _published(run)
    rows = [_score_row(sequence) for sequence in (*run.scores.sequences, run.scores.total)]
    yield "<h3>Sequences</h3>\n" + _html_table(
        ("sequence", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay"), rows
    )
    if run.scores.groups:
        groups = [[name, str(g.num_objects), *_percent(g.j_and_f, g.j, g.f)] for name, g in run.scores.groups.items()]
        yield _html_table(("group", "objects", "J&F", "J", "F"), groups)
    yield '<h3>Over time</h3>\n<p class="key"><span class="j">J</span> and <span class="f">F</span>, by frame.</p>'
    yield '<div class="plots">' + "".join(_plots(run)) + "</div>"
    pictures = worst_frames(run, worst)
    if pictures:
        yield "<h3>Worst frames</h3>\n<p>Left the ground truth, right the prediction.</p>"
    for found in pictures:
        where = f"{escape(found.sequence)}, frame {escape(found.frame_name)}, J&amp;F {100 * found.j_and_f:.1f}"
        sides = f'<img src="{found.truth}" alt="ground truth"><img src="{found.prediction}" alt="prediction">'
        yield f'<figure><div class="pair">{sides}</div><figcaption>{where}</figcaption></figure>'
    yield from _told_of_run(run)


def _published(run: ScoredRun) -> Iterator[str]:
    found = published(run.choice.name)
    if found is None:
        return
    split, measure, figures = found
    ours = {f"{run.label} ({run.choice.split}, {len(run.scores.sequences)} sequences)": 100 * run.scores.overall}
    ranked = sorted((figures | ours).items(), key=lambda item: item[1])
    yield f"<h3>Published figures</h3>\n<p>On all of {escape(run.choice.name)} {split}: {escape(SOURCE)}.</p>"
    yield _html_table(("method", measure), [[name, f"{value:.1f}"] for name, value in ranked], ours=set(ours))


def _score_row(score: SequenceScore) -> list[str]:
    j, f = score.j, score.f
    return [score.name, *_percent(score.j_and_f, j.mean, j.recall, j.decay, f.mean, f.recall, f.decay)]


def _percent(*values: float) -> list[str]:
    return [f"{100 * value:.1f}" for value in values]


def _plots(run: ScoredRun) -> Iterator[str]:
    for sequence in run.scores.sequences:
        for one in sequence.objects:
            if not one.frames:
                continue
            label = sequence.name if len(sequence.objects) == 1 else f"{sequence.name} #{one.object_id}"
            j_and_f = (one.j.mean + one.f.mean) / 2
            plot = score_plot(one.frames, one.j_frames, one.f_frames, label)
            yield f"<figure>{plot}<figcaption>{escape(label)}: {100 * j_and_f:.1f}</figcaption></figure>"


def _told_of_run(run: ScoredRun) -> Iterator[str]:
    if run.speed is not None:
        where = escape("; ".join(run.platforms))
        yield f"<h3>Speed</h3>\n<p>{run.speed.frames_per_s:.2f} frames/s over tracking, prompting and merging, on {where}.</p>"
        yield _html_table(("stage", "seconds", "share"), _stages(run.speed))
    if run.licences:
        yield "<h3>Licences</h3>\n" + _html_table(("back end", "licence"), [[k, v] for k, v in run.licences.items()])
    if run.config:
        yield f"<h3>Settings</h3>\n<pre>{escape(json.dumps(run.config, indent=1))}</pre>"


def _stages(speed: Speed) -> list[list[str]]:
    inside = sum(seconds for name, seconds in speed.stages.items() if name != "write")
    rows = [[name, f"{s:.1f}", f"{100 * s / inside:.0f} %"] for name, s in speed.stages.items() if name != "write" and inside]
    return [*rows, ["write (beside the rest)", f"{speed.stages['write']:.1f}", ""]]


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]], ours: Set[str] = frozenset()) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = (
        ('<tr class="ours">' if row[0] in ours else "<tr>") + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _markdown(runs: Sequence[ScoredRun]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for run in runs:
        yield f"| {' | '.join(_summary(run))} |"
    for run in runs:
        yield f"\n## {run.label}\n"
        yield run.scores.to_markdown()
        found = published(run.choice.name)
        if found is not None:
            split, measure, figures = found
            told = ", ".join(f"{name} {value}" for name, value in figures.items())
            yield f"\nPublished {measure} on all of {run.choice.name} {split} ({SOURCE}): {told}"
