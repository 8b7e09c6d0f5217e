"""The version is the same wherever it is written, and tools/version.py finds where it is not."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from tools import version

FILES = ("src/sampt/version.py", "CITATION.cff", "CHANGELOG.md", "pyproject.toml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files that name it, to be changed."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(version.ROOT / name, tmp_path / name)
    return tmp_path


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert old in text
    (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_project_names_one_version() -> None:
    assert list(version.disagreements(version.ROOT)) == []


def test_a_file_that_names_another_one_is_found(root: Path) -> None:
    change(root, "src/sampt/version.py", f'"{version.read_version(root)}"', '"9.8.7"')
    change(root, "CHANGELOG.md", "## [Unreleased]", "## [Next]")
    first, second = version.disagreements(root)
    assert first.startswith("CITATION.cff has the version ")
    assert second == "CHANGELOG.md begins with ['Next']; expected ## [Unreleased] first."


def test_a_release_needs_tag_heading_date_and_home(root: Path) -> None:
    version.write_version(root, "1.2.3rc1", "2027-01-02")
    lacking = list(version.disagreements(root, "v1.2.3"))
    assert lacking[0] == "The tag is v1.2.3, and src/sampt/version.py has 1.2.3rc1; expected v1.2.3rc1."
    assert lacking[1].startswith("[project.urls] of pyproject.toml lacks Changelog, Documentation, Issues, Source")
    for url in ("https://example.org/a/b", "https://example.org/people/sampt"):
        version.write_home(root, url)
    assert list(version.disagreements(root, "v1.2.3rc1")) == []
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Issues"] == "https://example.org/people/sampt/issues"
    assert urls["Paper"] == "https://arxiv.org/abs/2307.01197"
    cited = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert cited.count("repository-code:") == cited.count("date-released:") == 1
    assert 'date-released: "2027-01-02"' in cited


def test_what_was_not_released_is_the_part_of_the_new_version(root: Path) -> None:
    before = version.find_notes(root)
    assert before.startswith("### Added")
    version.write_version(root, "9.0.0", "2027-01-02")
    assert version.find_notes(root) == before
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]\n\n## [9.0.0] - 2027-01-02\n" in text
    version.write_version(root, "9.0.0", "2027-01-02")
    assert (root / "CHANGELOG.md").read_text(encoding="utf-8") == text
