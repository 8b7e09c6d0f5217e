"""A stranger's exporter joins by an entry point: listed, used by runs and exports, and reported of when it is broken."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from sampt.errors import ConfigError
from sampt.exporters.registry import all_exporters, describe_exporters, export, exporter_names, find_exporter
from sampt.exporters.table import BUILT_IN
from sampt.runs.outputs import all_run_names, open_outputs

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = """[sampt.exporters]
centers = centers_of_masks:EXPORTER
broken = centers_of_masks.absent:EXPORTER
wrong = centers_of_masks:CenterTable
cvat = centers_of_masks:EXPORTER
"""


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The exporter of CONTRIBUTING.md, as an installed package has it, beside mistakes."""
    code = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    site = tmp_path / "site"
    (site / "masks_centers-1.2.dist-info").mkdir(parents=True)
    (site / "centers_of_masks.py").write_text(next(block for block in code if "CenterTable" in block))
    (site / "masks_centers-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.4\nName: masks-centers\nVersion: 1.2\n")
    (site / "masks_centers-1.2.dist-info/entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(site)


def test_it_is_listed_after_the_built_in_ones(caplog):
    assert exporter_names() == (*BUILT_IN, "broken", "centers", "wrong")
    assert describe_exporters()["centers"] == "of masks-centers 1.2"
    found = all_exporters()
    assert list(found) == [*BUILT_IN, "centers"]
    assert found["cvat"] is BUILT_IN["cvat"]
    assert found["centers"].title == "Centers of the masks (CSV)"
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_it_exports_and_takes_part_in_runs(case, kit, video, tmp_path):
    path = case.export("centers", "o.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ys, xs = np.nonzero(case.mask(3, 1))
    row = next(row for row in rows if (row["frame"], row["object"]) == ("00003", case.name[1]))
    assert (row["x"], row["y"]) == (f"{xs.mean():.1f}", f"{ys.mean():.1f}")
    with open_outputs(tmp_path / "run", ["png", "centers"], video, object_ids=[1, 2, 7]) as outputs:
        outputs.write(video.read(0, 1)[0], kit.result(0))
    assert kit.names_in(tmp_path / "run") == {"masks/00000.png", "centers.csv"}
    assert "centers.csv" in all_run_names()


def test_what_is_broken_is_one_line():
    with pytest.raises(ConfigError, match=r"'broken' cannot be imported from centers_of_masks\.absent:EXPORTER") as info:
        find_exporter("broken")
    assert "\n" not in str(info.value)
    assert isinstance(info.value.__cause__, ImportError)
    with pytest.raises(ConfigError, match=r"'wrong' is registered as the class CenterTable .*; expected an Exporter"):
        find_exporter("wrong")


def test_an_unknown_name_is_answered_with_the_closest(case):
    with pytest.raises(ConfigError, match=r"Unknown export 'centres'. Did you mean 'centers'\?"):
        export("centres", [], case.video, case.objects, case.folder / "o.csv")
