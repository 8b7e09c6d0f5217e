"""The versions of PyAV differ; what reads videos does not notice."""

from __future__ import annotations

import importlib
import os
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

import sampt.video.av_compat as av_compat
from sampt.video.file import VideoFile
from sampt.video.streaming import open_stream

ROOT = Path(__file__).resolve().parents[2]


class Ratio(NamedTuple):
    """As PyAV 19 gives one: no Fraction, and its denominator may be 0."""

    numerator: int
    denominator: int


FRAMES = np.random.default_rng(3).integers(0, 256, (6, 16, 24, 3), np.uint8)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A Matroska file whose title is in Latin-1."""
    path = tmp_path / "tagged.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "QQQQQQQQ"
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "bgr0"
        for rgb in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"QQQQQQQQ") == 1
    path.write_bytes(data.replace(b"QQQQQQQQ", "Éléphant".encode("latin-1")))
    return path


def test_tags_in_another_encoding_hide_no_frame_of_a_file(tagged: Path) -> None:
    assert np.array_equal(VideoFile(tagged).read(0, 6), FRAMES)


def test_nor_of_a_stream(tagged: Path) -> None:
    before = os.dup(0)
    with tagged.open("rb") as file:
        os.dup2(file.fileno(), 0)
        try:
            assert np.array_equal(np.stack(list(open_stream("-"))), FRAMES)
        finally:
            os.dup2(before, 0)
            os.close(before)


@pytest.fixture
def reload_compat() -> Iterator[None]:
    yield
    importlib.reload(av_compat)


@pytest.mark.parametrize(("version", "takes"), [("17.0.0", True), ("18.1.0", True), ("19.0.2", False), ("20.0.0", False)])
def test_a_version_gets_the_options_that_it_takes(
    version: str, takes: bool, monkeypatch: pytest.MonkeyPatch, reload_compat: None
) -> None:
    given: list[dict[str, Any]] = []
    with monkeypatch.context() as patch:
        patch.setattr(av, "__version__", version)
        patch.setattr(av, "open", lambda source, **options: given.append({"source": source, **options}))
        importlib.reload(av_compat).open_input("a.mp4", timeout=3)
    assert given == [{"source": "a.mp4", "timeout": 3} | ({"metadata_errors": "replace"} if takes else {})]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (None, None),
        (Fraction(25, 2), Fraction(25, 2)),
        (Ratio(25, 2), Fraction(25, 2)),
        (Ratio(0, 1), None),
        (Ratio(1, 0), None),
    ],
)
def test_a_ratio_of_any_version_is_a_fraction_or_none(ratio: Any, expected: Fraction | None) -> None:
    found = av_compat.to_fraction(ratio)
    assert found == expected
    assert found is None or isinstance(found, Fraction)


def test_the_installed_version_is_one_that_the_requirements_admit() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (bounds,) = (text.removeprefix("av") for text in requirements if text.startswith("av>"))
    lowest, highest = (int(bound.strip(">=<").split(".")[0]) for bound in bounds.split(","))
    assert lowest <= int(av.__version__.split(".")[0]) < highest
