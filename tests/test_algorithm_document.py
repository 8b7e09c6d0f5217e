"""docs/algorithm.md has the settings as they are, and what the code cites of it is there."""

import re
from operator import attrgetter
from pathlib import Path

import pytest

from sampt.config import setting_fields
from sampt.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "algorithm.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)


@pytest.mark.parametrize(("column", "name"), [(1, "paper-v1"), (2, "paper-v2"), (3, "default")])
def test_its_tables_have_the_values_of_the_presets(column: int, name: str) -> None:
    assert {row[0]: row[column] for row in SETTINGS} == {row[0]: str(attrgetter(row[0])(PRESETS[name])) for row in SETTINGS}


def test_every_setting_of_the_method_is_in_a_table() -> None:
    parts = ("sampling.", "tracking.", "prompting.", "reinit.")
    assert {row[0] for row in SETTINGS} >= {name for name in setting_fields() if name.startswith(parts)}


def test_what_the_code_cites_is_a_heading_of_it() -> None:
    headings = re.findall(r"^## (.+)$", DOCUMENT, re.MULTILINE)
    code = "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "src").rglob("*.py")))
    cited = re.findall(r'docs/algorithm\.md,\s+"([^"]+)"', code)
    assert len(cited) >= 15
    assert set(cited) <= set(headings)
    assert code.count("docs/algorithm.md") == len(cited), "cited without a heading"
    assert not re.findall(r"algorithm, section \d", code)
