"""What a run has segmented so far, kept so that a killed run goes on where it was.

An append-only file of lines ``<JSON> <CRC-32 of the JSON, 8 hex digits>``. The first line names the run; then one line a frame.
A line reaches the operating system before the frame is passed on, so that ``kill -9`` loses at most the line being written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sampt.outputs.files import output_errors
from sampt.outputs.rle import decode_mask, encode_mask
from sampt.types import FrameMasks, FramePoints

__all__ = ["Journal", "run_digest_of"]

_FORMAT = "sampt-journal-1"
_log = logging.getLogger(__name__)


class Journal:
    """Frames already segmented under ``run_digest``; memory is one number a frame.

    A torn or damaged line is cut off with all that follows it; a file of another run is started anew.

    Raises:
        OutputError: the file cannot be read or written, or the disk is full.
    """

    def __init__(self, path: Path | str, run_digest: str) -> None:
        self.path = path = Path(path)
        self._offsets: dict[int, int] = {}
        with output_errors(path):
            self._file = path.open("r+b" if path.exists() else "w+b")
            end = self._scan(run_digest)
            self._file.seek(end)
            self._file.truncate()
            if not end:
                self._put({"format": _FORMAT, "run_digest": run_digest})

    def __len__(self) -> int:
        return len(self._offsets)

    def _scan(self, run_digest: str) -> int:
        """Note where the frames are; return the offset at which the good lines end (0: not even the header is good)."""
        header, end = _parse(self._file.readline()), self._file.tell()
        if header is None or header.get("format") != _FORMAT or header.get("run_digest") != run_digest:
            if end:
                _log.info("%s belongs to another run; it is started anew.", self.path)
            return 0
        while line := self._file.readline():
            record = _parse(line)
            if record is None:
                # A torn last line is what a killed run leaves; anything else is not.
                level = logging.WARNING if self._file.readline() else logging.INFO
                _log.log(level, "%s is damaged after %d frames; the rest is segmented again.", self.path, len(self._offsets))
                break
            self._offsets[record["frame_idx"]] = end
            end += len(line)
        return end

    def lookup(self, frame_idx: int, prompt_digest: str, points: FramePoints) -> FrameMasks | None:
        """The result on ``frame_idx`` if it was made from the same prompts, else None.

        Args:
            frame_idx: of the frame.
            prompt_digest: of everything that decides the frame's masks besides the run's own digest.
            points: the tracked points on the frame; the journal does not keep them.
        """
        if frame_idx not in self._offsets:
            return None
        with output_errors(self.path):
            self._file.seek(self._offsets[frame_idx])
            record = _parse(self._file.readline())
        if record is None or record["prompt_digest"] != prompt_digest:
            return None
        masks = np.zeros((len(record["rles"]), *record["size_hw"]), np.bool_)
        for mask, rle in zip(masks, record["rles"], strict=True):
            if rle is not None:
                mask[:] = decode_mask(rle)
        scores = [np.nan if score is None else float.fromhex(score) for score in record["scores"]]
        return FrameMasks(
            frame_idx,
            np.array(record["object_ids"], np.int64),
            masks,
            np.array(scores, np.float32),
            np.array(record["states"], np.uint8),
            points,
        )

    def append(self, frame_masks: FrameMasks, prompt_digest: str) -> None:
        """Note the result of one frame; it replaces an earlier one of the same frame."""
        record = {
            "frame_idx": frame_masks.frame_idx,
            "prompt_digest": prompt_digest,
            "size_hw": list(frame_masks.masks.shape[1:]),
            "object_ids": frame_masks.object_ids.tolist(),
            "scores": [None if math.isnan(score) else score.hex() for score in frame_masks.scores.tolist()],
            "states": frame_masks.states.tolist(),
            "rles": [encode_mask(mask) if mask.any() else None for mask in frame_masks.masks],
        }
        with output_errors(self.path):
            self._offsets[frame_masks.frame_idx] = self._put(record)

    def _put(self, record: dict[str, Any]) -> int:
        body = json.dumps(record, separators=(",", ":")).encode("ascii")
        offset = self._file.seek(0, 2)
        self._file.write(body + b" %08x\n" % zlib.crc32(body))
        self._file.flush()
        return offset

    def close(self) -> None:
        with contextlib.suppress(OSError):  # every line was flushed when it was written
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def run_digest_of(path: Path) -> str | None:
    """The run that a journal belongs to; None when there is no journal, or none that can be read."""
    try:
        with path.open("rb") as file:
            header = _parse(file.readline())
    except OSError:
        return None
    return None if header is None else header.get("run_digest")


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record of a whole, undamaged line, else None."""
    body, checksum = line[:-10], line[-10:]
    if checksum != b" %08x\n" % zlib.crc32(body):
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
