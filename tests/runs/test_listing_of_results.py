"""What a manifest says of its files: found again as they were, and nothing else taken for them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sampt.runs.listing import is_as_listed, list_results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "masks" / "1").mkdir(parents=True)
    (tmp_path / "masks" / "1" / "a.png").write_bytes(b"one")
    (tmp_path / "masks" / "b.png").write_bytes(b"two")
    (tmp_path / "tracks.npz").write_bytes(b"tracks")
    return tmp_path


def results(folder: Path) -> list[Path]:
    return [folder / "masks", folder / "tracks.npz"]


def test_every_file_has_its_size_and_digest(folder: Path) -> None:
    listed = list_results(folder, results(folder))
    assert listed == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in {"masks/1/a.png": b"one", "masks/b.png": b"two", "tracks.npz": b"tracks"}.items()
    }
    assert is_as_listed(folder, results(folder), json.loads(json.dumps(listed)))


@pytest.mark.parametrize("name", ["masks/1/a.png", "masks/b.png", "tracks.npz"])
@pytest.mark.parametrize("new", [None, b"", b"tw0", b"0ne", b"TRACKS"])
def test_a_file_that_is_gone_or_another_is_seen(folder: Path, name: str, new: bytes | None) -> None:
    listed = list_results(folder, results(folder))
    (folder / name).unlink()
    if new is not None:
        (folder / name).write_bytes(new)
    assert not is_as_listed(folder, results(folder), listed)


def test_what_is_beside_the_results_does_not_matter(folder: Path) -> None:
    (folder / "masks" / "Thumbs.db").write_bytes(b"left by a system")
    listed = list_results(folder, results(folder))
    (folder / "masks" / "Thumbs.db").unlink()
    (folder / "masks" / ".DS_Store").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"mine")
    assert is_as_listed(folder, results(folder), listed)


@pytest.mark.parametrize(
    "listed",
    [None, [], {}, 3, {"masks/b.png": None}, {"masks/../../x": {"bytes": 1}}, {"/etc/passwd": {"bytes": 1}}, {"masks": {}}],
)
def test_a_list_that_somebody_changed_is_no_list(folder: Path, listed: Any) -> None:
    assert not is_as_listed(folder, results(folder), listed)
    good = list_results(folder, results(folder))
    if isinstance(listed, dict) and listed:
        assert not is_as_listed(folder, results(folder), good | listed)
