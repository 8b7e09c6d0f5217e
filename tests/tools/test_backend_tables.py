"""The tables of docs/trackers.md, segmenters.md, proposers.md and models.md say what the tables of backends and presets say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampt.backends.registry import available
from sampt.presets import PRESETS
from tools import backend_tables
from tools.backend_tables import (
    BEGIN,
    DOCS,
    END,
    main,
    preset_table,
    proposer_table,
    segmenter_table,
    tracker_table,
    with_table,
)


def test_documents_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_document_is_reported_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backend_tables, "DOCS", tmp_path)
    for name in ("trackers.md", "segmenters.md", "proposers.md", "models.md"):
        text = (DOCS / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("| `nano`", "| `mano`").replace("| `motion`", "| `notion`"), encoding="utf-8")
    assert main(["--check"]) == 1
    assert (
        "docs/trackers.md, docs/segmenters.md, docs/proposers.md, docs/models.md: not what the table says"
        in capsys.readouterr().err
    )
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert "| `nano` (default) |" in (tmp_path / "trackers.md").read_text(encoding="utf-8")


def test_every_back_end_has_a_row() -> None:
    for kind, table in (("tracker", tracker_table()), ("segmenter", segmenter_table()), ("proposer", proposer_table())):
        names = [line.split("`")[1] for line in table.splitlines()[2:]]
        assert sorted(names) == list(available(kind))


def test_what_a_row_says() -> None:
    (line,) = (line for line in tracker_table().splitlines() if line.startswith("| `cotracker3-online` |"))
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[4:6] == ["CC-BY-NC-4.0", "CC-BY-NC-4.0 (scaled_online.pth: 100 MB)"]
    assert cells[6:10] == ["15 frames", "15 frames later", "yes", "`sampt[torch]`"]


def test_what_a_preset_needs() -> None:
    rows = {line.split("`")[1]: [cell.strip() for cell in line.split("|")] for line in preset_table().splitlines()[2:]}
    assert list(rows) == list(PRESETS)
    assert rows["default"][2:7] == ["`nano`", "`nano`", "Apache-2.0", "nothing", ""]
    assert rows["classical"][4:6] == ["none", "nothing"]
    assert rows["paper-v2"][4:7] == ["CC-BY-NC-4.0, Apache-2.0", "2.7 GB", "`sampt[sam]`"]


def test_a_document_has_one_location_for_its_table() -> None:
    assert with_table(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"
    with pytest.raises(ValueError, match="Found 0 tables to be made, expected one between"):
        with_table("a\n", "new\n")
