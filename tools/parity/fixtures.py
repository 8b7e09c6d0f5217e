"""Fixtures of the official programs as files, and what our networks give beside them."""

from __future__ import annotations

import importlib.util
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["ALLOWED", "Comparison", "Fixture", "FixtureError", "error_line"]

SHARED_SOURCE = Path(__file__).resolve().parents[3] / "shared" / "parity" / "parity.py"
ALLOWED = {
    "flow": 0.05,
    "embedding": 2e-3,
    "embedding by its greatest value": 1e-4,
    "logits": 0.02,
    "IoU": 2e-3,
    "1 - mask IoU": 0.01,
    "CoTracker v1 tracks": 0.01,
    "CoTracker v1 visibility": 1e-3,
    "CoTracker v1 features": 1e-3,
    "CoTracker3 tracks": 0.02,
    "CoTracker3 visibility": 1e-3,
    "CoTracker3 confidence": 1e-3,
    "PIPS tracks": 0.02,
    "PIPS visibility": 5e-3,
    "PIPS features": 5e-3,
    "PIPS++ tracks": 0.05,
    "TAP-Net tracks": 0.05,
    "TAP-Net logits": 5e-3,
    "TAP-Net features": 1e-4,
    "TAPIR tracks": 0.05,
    "TAPIR logits": 5e-3,
    "TAPNext tracks": 0.02,
    "TAPNext logits": 1e-3,
}
"""As the README of the fixtures has it; "embedding" and "features" are ours, it says nothing about these."""


class FixtureError(Exception):
    """The folder, or a file in it, is not what it should be. One line."""


@dataclass(frozen=True)
class Comparison:
    """Something that our network gave, next to the same of the official program.

    Attributes:
        what: begins with a key of the table of what is allowed.
        difference: greatest one; infinite where shapes differ.
        allowed: at most so much.
    """

    what: str
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        """False for NaN, too."""
        return self.difference <= self.allowed


@dataclass(frozen=True, eq=False)
class Fixture:
    """A pair of NAME.json and NAME.npz.

    Attributes:
        path: of NAME.json.
        spec: what is in it.
        expected: the official program's predictions by name.
        source: the module that fills parameters and draws videos and points.
    """

    path: Path
    spec: dict[str, Any]
    expected: dict[str, np.ndarray]
    source: Any

    @classmethod
    def read(cls, folder: Path, name: str) -> Fixture:
        """The fixture called ``name``.

        Raises:
            FixtureError: a file is missing or is no such thing.
        """
        path = folder / f"{name}.json"
        try:
            spec = json.loads(path.read_text())
            with path.with_suffix(".npz").open("rb") as file, np.load(file) as arrays:
                expected = dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
            raise FixtureError(f"{path} and its .npz cannot be read as a fixture: {error_line(error)}.") from error
        keys = ("model", "call", "gains", "seed", "parameters")
        missing = [key for key in keys if not isinstance(spec, dict) or key not in spec]
        if missing or not isinstance(spec["model"], str):
            raise FixtureError(f"{path} is no fixture: it lacks {', '.join(missing or ['a name of the model'])}.")
        return cls(path, spec, expected, _source(folder))

    @property
    def name(self) -> str:
        """Of its files."""
        return self.path.stem

    @property
    def kind(self) -> str:
        """First word of the model: "raft_small", "tapir", "pips++"."""
        words: list[str] = self.spec["model"].lower().replace(",", " ").split()
        return words[0] if words else ""

    def state(self, prefix: str = "") -> dict[str, Tensor]:
        """The official names, after ``prefix``, with values filled by the formula."""
        filled = self.source.state_dict(self.path)
        return {prefix + name: torch.from_numpy(np.asarray(value)) for name, value in filled.items()}

    @contextmanager
    def checkpoint(self, prefix: str = "") -> Iterator[str]:
        """Path of a file like the official checkpoint, as long as the block lasts."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.name}.pth"
            torch.save(self.state(prefix), path)
            yield str(path)

    def near(self, what: str, ours: np.ndarray, key: str) -> Comparison:
        """Ours next to the official result ``key``; ``what`` begins with what it is, up to a comma."""
        return Comparison(what, _greatest(ours, self.expected[key]), ALLOWED[what.partition(",")[0]])


def _greatest(ours: np.ndarray, expected: np.ndarray) -> float:
    if ours.shape != expected.shape:
        return float("inf")
    return float(np.abs(ours.astype(np.float64) - expected.astype(np.float64)).max(initial=0))


def _source(folder: Path) -> Any:
    own = folder / "parity.py"
    path = own if own.is_file() else SHARED_SOURCE
    spec = importlib.util.spec_from_file_location("parity_source", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise FixtureError(f"Neither {own} nor {SHARED_SOURCE} is there; one of them fills the parameters.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def error_line(error: BaseException) -> str:
    """An error as one line for the table."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{error} is missing" if isinstance(error, KeyError) else text.removesuffix(".")
