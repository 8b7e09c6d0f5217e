"""What the installation test installs follows from pyproject.toml; the installations themselves are `make test-installs`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tools import try_installs

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_every_requirement_of_every_extra_has_both_bounds() -> None:
    extras = PROJECT["optional-dependencies"]
    own = [text for extra in extras for text in extras[extra] if not text.startswith("sampt[")]
    requirements = [text.partition(";")[0] for text in [*PROJECT["dependencies"], *own]]
    assert all(try_installs._REQUIREMENT.fullmatch(text)[3] for text in requirements)


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    lowest = try_installs.lower_bounds(["remote"])
    assert len(lowest) == len(PROJECT["dependencies"]) + len(PROJECT["optional-dependencies"]["remote"])
    assert {"av==17", "opencv-python-headless==4.9.0.80", "fsspec==2024.6"} <= set(lowest)


def test_a_requirement_without_an_upper_bound_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["av>=17", "rich>=13,<16"]\n')
    monkeypatch.setattr(try_installs, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"^av>=17: expected NAME>=LOWEST,<"):
        try_installs.lower_bounds([])


def test_interpreters_are_found_and_the_classifiers_name_no_others() -> None:
    assert sys.version_info[1] in try_installs.find_pythons()
    said = {int(text.rpartition(".")[2]) for text in PROJECT["classifiers"] if "Python :: 3." in text}
    assert said <= set(try_installs.MINORS)
