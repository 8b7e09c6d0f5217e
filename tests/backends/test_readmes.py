"""The README of a backend's folder names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sampt.backends.registry import available

SOURCE = Path(__file__).resolve().parents[2] / "src" / "sampt"
READMES = sorted([*SOURCE.glob("trackers/*/README.md"), *SOURCE.glob("segmenters/*/README.md")])


def text_of(readme: Path) -> str:
    return re.sub(r"```.*?```", "", readme.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("readme", READMES, ids=[path.parent.name for path in READMES])
def test_back_ends_of_its_first_table_and_heading_exist(readme: Path) -> None:
    kind = "tracker" if readme.parents[1].name == "trackers" else "segmenter"
    lines = text_of(readme).splitlines()
    text = [lines[0], *(line.split("|")[1] for line in lines if line.startswith("| `") and ".py" not in line.split("|")[1])]
    family = lines[0].split("`")[1].partition("-")[0].rstrip("0123456789.")
    names = {name for line in text for name in re.findall(r"`([a-z0-9.-]+)`", line) if name.startswith(family)}
    assert names
    assert names <= set(available(kind))


@pytest.mark.parametrize("readme", READMES, ids=[path.parent.name for path in READMES])
def test_methods_and_classes_that_it_names_exist(readme: Path) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    text = text_of(readme)
    for owner, method in re.findall(r"`([A-Z]\w+)\.(\w+)\(", text):
        assert f"class {owner}" in source, owner
        assert f"def {method}(" in source, method
    for name in re.findall(r"`(\w+(?:Tracker|Tracks|Stream|Segmenter|Network))`", text):
        assert f"class {name}" in source, name
