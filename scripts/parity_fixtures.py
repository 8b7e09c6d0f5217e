"""Compare our networks with fixtures of the official programs: the work of `scripts/parity`, and of tests.

    scripts/parity FOLDER [--only NAME ...]

FOLDER holds pairs of NAME.json (what was called, and names and shapes of the official parameters) and NAME.npz (what the
official program returned), as ../shared/parity does; its parity.py fills the parameters and draws videos and points, or that
of ../shared/parity where the folder has none. Every size, seed and number of points is read from NAME.json. Each fixture's
weights are written with their official names and loaded like a downloaded checkpoint; the call is repeated; a Markdown table
is printed. Exit status: 0 all is as near as it should be, 1 something is not, 2 the folder cannot be used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import parity_trackers
from sampt.errors import BackendError, did_you_mean
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.sam.prompts import batch_of
from sampt.segmenters.sam.segmenter import SamSegmenter
from sampt.trackers.raft.adapter import load_network
from sampt.types import ObjectPrompt

__all__ = ["Comparison", "Fixture", "FixtureError", "SamCase", "compare", "main"]

SHARED_SOURCE = Path(__file__).resolve().parents[2] / "shared" / "parity" / "parity.py"
CPU = torch.device("cpu")
ALLOWED = {"flow": 0.05, "embedding": 2e-3, "logits": 0.02, "IoU": 2e-3, "1 - mask IoU": 0.01, **parity_trackers.ALLOWED}
"""As the README of the fixtures has it; "embedding" is ours, it says nothing about that."""
RAFT_STRIDE = 8


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
        expected: the official program's answers by name.
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
            raise FixtureError(f"{path} and its .npz cannot be read as a fixture: {_line(error)}.") from error
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
        """Ours next to the official answer ``key``; ``what`` begins with what it is, up to a comma."""
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


# ---- RAFT ------------------------------------------------------------------------------------------------------------------


def raft(name: str, fixture: Fixture) -> list[Comparison]:
    """Flow from the first frame to the second, by the network that a tracker of this name runs."""
    call = fixture.spec["call"]
    video = call["video"]
    size_hw = video["height"], video["width"]
    frames = fixture.source.video(video["frames"], *size_hw, video["seed"])[:2]
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    pad_h, pad_w = (-side % RAFT_STRIDE for side in size_hw)  # as the official program pads, if there is anything to
    top, left = pad_h // 2, pad_w // 2
    pictures = F.pad(pictures, (left, pad_w - left, top, pad_h - top), mode="replicate")
    with fixture.checkpoint("module.") as path:
        network = load_network(name, path)
    with torch.inference_mode():
        flow = network(pictures[:1], pictures[1:], iterations=call.get("iters", 12))[0]
    return [fixture.near("flow", flow[:, top : top + size_hw[0], left : left + size_hw[1]].numpy(), "flow")]


# ---- Segment Anything ------------------------------------------------------------------------------------------------------


class SamCase:
    """The official call of a fixture of the Segment Anything family, with our segmenter; its frame is encoded once.

    Args:
        name: of the segmenter.
        fixture: of the same model.
    """

    def __init__(self, name: str, fixture: Fixture) -> None:
        with fixture.checkpoint() as path:
            segmenter = create_segmenter(name, weights=path, device="cpu")
        assert isinstance(segmenter, SamSegmenter)
        image, queries = fixture.spec["call"]["image"], fixture.spec["call"]["queries"]
        self.fixture, self.segmenter = fixture, segmenter
        self.size_hw = image["height"], image["width"]
        self.embedding = segmenter.encode(fixture.source.video(1, *self.size_hw, image["seed"]))[0]
        xy = fixture.source.queries(queries["count"], 1, *self.size_hw, queries["seed"])[:, 1:]
        self.points = ObjectPrompt(1, xy, np.array(queries["labels"], np.bool_))

    def predict(self, asked: ObjectPrompt, multimask: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Low-resolution logits (k, 256, 256) and predicted IoU (k,), as the network gives them."""
        network = self.segmenter.runtime
        with torch.inference_mode():
            batch = batch_of([asked], self.embedding.fit, network.mask_side, CPU, "parity")
            logits, iou = network.predict(self.embedding.features, batch, multimask=multimask)
        return logits[0].numpy(), iou[0].numpy()

    def comparisons(self) -> list[Comparison]:
        """All points; the same with their tight box and the first logits; the first point alone with three masks."""
        near = self.fixture.near
        sample = self.embedding.features.embedding[0, ::16, ::4, ::4].numpy()
        found = [near("embedding", sample, "embedding_sample")]
        first = self.predict(self.points)
        box = np.concatenate([self.points.xy.min(0), self.points.xy.max(0)])
        refined = replace(self.points, box_xyxy=box, mask_logits=first[0][0])
        alone = ObjectPrompt(1, self.points.xy[:1], self.points.is_positive[:1])
        calls = (("first", "", first), ("refined", "_refined", self.predict(refined)))
        for which, suffix, (logits, iou) in (*calls, ("multi", "_multi", self.predict(alone, multimask=True))):
            found.append(near(f"logits, {which}", logits, f"low_res{suffix}"))
            found.append(near(f"IoU, {which}", iou, f"iou{suffix}"))
        return [*found, self._mask()]

    def _mask(self) -> Comparison:
        """Of the full size, through the segmenter's own way."""
        logits = self.segmenter.decode(self.embedding, [self.points])[0].logits
        assert logits is not None
        count = self.size_hw[0] * self.size_hw[1]
        bits = np.unpackbits(self.fixture.expected["mask_packed"])
        if logits.shape != self.size_hw or not 0 <= len(bits) - count < 8:
            return Comparison("1 - mask IoU", float("inf"), ALLOWED["1 - mask IoU"])
        ours, theirs = logits > 0, bits[:count].reshape(self.size_hw) > 0
        either = (ours | theirs).sum()
        difference = float((ours ^ theirs).sum() / either) if either else 0.0
        return Comparison("1 - mask IoU", difference, ALLOWED["1 - mask IoU"])


def sam(name: str, fixture: Fixture) -> list[Comparison]:
    """See :class:`SamCase`."""
    return SamCase(name, fixture).comparisons()


# ---- all -------------------------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Fixture], list[Comparison]]] = {
    "raft": partial(raft, "raft"),
    "raft_small": partial(raft, "raft-small"),
    "mobile_sam": partial(sam, "mobile-sam"),
    "sam_hq_vit_tiny": partial(sam, "light-hq-sam"),
    **{f"sam_vit_{letter}": partial(sam, f"sam-vit-{letter}") for letter in "blh"},
    **{f"sam_hq_vit_{letter}": partial(sam, f"hq-sam-vit-{letter}") for letter in "blh"},
    **parity_trackers.CHECKS,
}
"""By kind of fixture."""


def compare(fixture: Fixture) -> list[Comparison]:
    """Repeat the call of a fixture whose kind is in the table of checks.

    Raises:
        BackendError: its weights do not load.
        KeyError: the call, or one of the official answers, is not in it.
    """
    return CHECKS[fixture.kind](fixture)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{error} is missing" if isinstance(error, KeyError) else text.removesuffix(".")


def _rows(fixture: Fixture) -> Iterator[tuple[str, str, str, str, bool]]:
    """What is compared, greatest difference, allowed, verdict, and whether it counts as a failure."""
    if fixture.kind not in CHECKS:
        yield "-", "-", "-", f"fail: the model {fixture.spec['model']!r} is unknown", True
        return
    try:
        for found in compare(fixture):
            verdict = "pass" if found.passed else "fail"
            yield found.what, f"{found.difference:.1e}", f"{found.allowed:g}", verdict, not found.passed
    except (BackendError, LookupError, TypeError, ValueError, RuntimeError) as error:
        yield "-", "-", "-", f"fail: {_line(error)}", True


def _names(folder: Path, only: Sequence[str]) -> list[str]:
    if not folder.is_dir():
        raise FixtureError(f"No folder is at {folder}; expected one with NAME.json and NAME.npz, like ../shared/parity.")
    names = sorted(path.stem for path in folder.glob("*.json"))
    if not names:
        raise FixtureError(f"No NAME.json is in {folder}; expected fixtures, like those of ../shared/parity.")
    for name in only:
        if name not in names:
            raise FixtureError(f"No fixture {name!r} is in {folder}.{did_you_mean(name, names)} There: {', '.join(names)}.")
    return [name for name in names if name in only] if only else names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="parity", description="Compare our networks with fixtures of the official programs.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with NAME.json and NAME.npz, like ../shared/parity")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this fixture alone; may be repeated")
    options = parser.parse_args(arguments)
    try:
        fixtures = [Fixture.read(options.folder, name) for name in _names(options.folder, options.only)]
    except FixtureError as error:
        print(error, file=sys.stderr)
        return 2
    print("| fixture | what is compared | greatest difference | allowed | result |\n|---|---|---|---|---|", flush=True)
    failed = False
    for fixture in fixtures:
        for *cells, is_failure in _rows(fixture):
            print(f"| {' | '.join((fixture.name, *cells))} |", flush=True)
            failed |= is_failure
    return int(failed)
