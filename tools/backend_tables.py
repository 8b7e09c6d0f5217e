"""The tables of docs/trackers.md, segmenters.md, proposers.md and models.md, made from sampt/backends/table.py and presets.py.

python -m tools.backend_tables            writes them
python -m tools.backend_tables --check    says whether they are up to date, and exits with 1 when they are not
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sampt.backends.spec import BackendSpec, Info, ProposerInfo, SegmenterInfo, TrackerInfo
from sampt.backends.table import PROPOSERS, SEGMENTERS, TRACKERS
from sampt.config import FindConfig, SegmentConfig
from sampt.presets import PRESET_SUMMARIES, PRESETS
from sampt.weights.sources import describe_bytes, find_source

DOCS = Path(__file__).parents[1] / "docs"
BEGIN = "<!-- made by tools/backend_tables.py from src/sampt/backends/table.py -->\n"
END = "<!-- end -->\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, or compare them with the documents; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a table is not up to date")
    options = parser.parse_args(arguments)
    stale = []
    tables = {"trackers.md": tracker_table(), "segmenters.md": segmenter_table(), "proposers.md": proposer_table()}
    tables["models.md"] = preset_table()
    for name, table in tables.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        wanted = with_table(text, table)
        if text != wanted and options.check:
            stale.append(name)
        elif text != wanted:
            (DOCS / name).write_text(wanted, encoding="utf-8")
    if stale:
        print(f"docs/{', docs/'.join(stale)}: not what the table says; run python -m tools.backend_tables.", file=sys.stderr)
    return 1 if stale else 0


def with_table(text: str, table: str) -> str:
    """A document with the part between the two marks replaced."""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    made, count = re.subn(pattern, lambda _: BEGIN + table + END, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"Found {count} tables to be made, expected one between {BEGIN.strip()!r} and {END.strip()!r}.")
    return made


def tracker_table() -> str:
    """All trackers that come with sampt, in the order of their table there."""
    head = (
        "tracker",
        "method",
        "of",
        "code",
        "weights",
        "needs later frames",
        "streaming",
        "points influence each other",
        "install",
    )
    default = SegmentConfig().tracker
    return _table(head, (_tracker_row(spec, default) for spec in TRACKERS.values()))


def segmenter_table() -> str:
    """All segmenters, likewise."""
    head = ("segmenter", "method", "of", "code", "weights", "install")
    default = SegmentConfig().segmenter
    rows = ((*_first_cells(spec, default), _install(spec)) for spec in SEGMENTERS.values())
    return _table(head, rows)


def proposer_table() -> str:
    """All proposers, likewise."""
    head = ("proposer", "finds", "of", "code", "weights", "later frames", "says what things are", "install")
    default = FindConfig().proposer
    return _table(head, (_proposer_row(spec, default) for spec in PROPOSERS.values()))


def preset_table() -> str:
    """All presets: what they are made of, under which licences, and what has to be fetched for them."""
    head = ("preset", "tracker", "segmenter", "licences of the weights", "download", "install", "what it is")
    return _table(head, map(_preset_row, PRESETS))


def _preset_row(name: str) -> Sequence[str]:
    config = PRESETS[name]
    specs: tuple[BackendSpec[TrackerInfo], BackendSpec[SegmenterInfo]] = TRACKERS[config.tracker], SEGMENTERS[config.segmenter]
    licenses = dict.fromkeys(spec.info.license_weights or "none" for spec in specs)
    sizes = [find_source(weights).num_bytes for spec in specs for weights in spec.weights]
    size = describe_bytes(None if None in sizes else sum(filter(None, sizes))) if sizes else "nothing"
    install = next((_install(spec) for spec in reversed(specs) if spec.extra), "")
    backends = f"`{config.tracker}`", f"`{config.segmenter}`"
    return f"`{name}`", *backends, ", ".join(licenses), size, install, PRESET_SUMMARIES[name]


def _proposer_row(spec: BackendSpec[ProposerInfo], default: str) -> Sequence[str]:
    info = spec.info
    after = f"{info.frames_after}" if info.frames_after else "no"
    return *_first_cells(spec, default), after, "yes" if info.has_labels else "no", _install(spec)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("|  |", "| |")


def _tracker_row(spec: BackendSpec[TrackerInfo], default: str) -> Sequence[str]:
    latency = spec.info.streaming_latency
    streaming = "no" if latency is None else f"{latency} frames later" if latency else "at once"
    return *_first_cells(spec, default), _ahead(spec.info), streaming, "yes" if spec.info.is_joint else "no", _install(spec)


def _ahead(info: TrackerInfo) -> str:
    if info.is_causal:
        return "no"
    if info.latency is not None:
        return f"{info.latency} frames"
    return f"windows of {info.window} frames" if info.window else "the clip"


def _first_cells(spec: BackendSpec[Info], default: str) -> Sequence[str]:
    info: TrackerInfo | SegmenterInfo | ProposerInfo = spec.info
    name = f"`{spec.name}`" + (" (default)" if spec.name == default else "")
    return name, spec.method, info.source, info.license_code, _weights(spec)


def _weights(spec: BackendSpec[Info]) -> str:
    license = spec.info.license_weights
    if license is None:
        return "none"
    return f"{license} ({', '.join(map(_checkpoint, spec.weights)) or 'in the package'})"


def _checkpoint(name: str) -> str:
    source = find_source(name)
    return source.file if source.num_bytes is None else f"{source.file}: {describe_bytes(source.num_bytes)}"


def _install(spec: BackendSpec[Info]) -> str:
    return f"`sampt[{spec.extra}]`" if spec.extra else ""


if __name__ == "__main__":
    raise SystemExit(main())
