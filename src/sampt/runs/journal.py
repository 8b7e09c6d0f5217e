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
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sampt.errors import LimitError, one_line
from sampt.files.atomic import output_errors
from sampt.files.limits import MAX_RECORD_BYTES, check_pixels, parse_json
from sampt.masks.rle import Rle, decode_mask, encode_mask
from sampt.types import FrameMasks, FramePoints, ObjectState

__all__ = ["JOURNAL_NAME", "Journal", "compute_run_digest"]

JOURNAL_NAME = "resume.journal"
_FORMAT = "sampt-journal-1"
_log = logging.getLogger(__name__)


class Journal:
    """Frames already segmented under ``run_digest``; memory is one number a frame.

    A torn or damaged line is cut off with all that follows it; a file of another run is started anew. A line that is whole but
    holds something else than a frame of this run, whoever wrote it, is passed over.

    Args:
        path: the file.
        run_digest: of the run.
        expected: (h, w) of the frames and the ids of the objects; None: any.

    Raises:
        OutputError: the file cannot be read or written, or the disk is full.
    """

    def __init__(
        self, path: Path | str, run_digest: str, expected: tuple[tuple[int, int], Sequence[int]] | None = None
    ) -> None:
        self.path = path = Path(path)
        self._offsets: dict[int, int] = {}
        self._expected = expected
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
        header, end = _parse(self._file.readline(MAX_RECORD_BYTES)), self._file.tell()
        if header is None or header.get("format") != _FORMAT or header.get("run_digest") != run_digest:
            if end:
                _log.info("%s belongs to another run; it is started anew.", self.path)
            return 0
        while line := self._file.readline(MAX_RECORD_BYTES):
            record = _parse(line)
            if record is None:
                # A torn last line is what a killed run leaves; anything else is not.
                level = logging.WARNING if self._file.read(1) else logging.INFO
                _log.log(level, "%s is damaged after %d frames; the rest is segmented again.", self.path, len(self._offsets))
                break
            if type(frame_idx := record.get("frame_idx")) is int:
                self._offsets[frame_idx] = end
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
            record = _parse(self._file.readline(MAX_RECORD_BYTES))
        if record is None or record.get("prompt_digest") != prompt_digest:
            return None
        try:
            return self._unpack(frame_idx, record, points)
        except (AttributeError, KeyError, LimitError, OverflowError, TypeError, ValueError) as error:
            text = one_line(error)
            _log.warning("%s was changed at frame %d (%s); it is segmented again.", self.path, frame_idx, text)
            return None

    def _unpack(self, frame_idx: int, record: dict[str, Any], points: FramePoints) -> FrameMasks:
        """The result in a record; errors of many kinds where it holds something else than :meth:`append` wrote."""
        (height, width), ids = record["size_hw"], record["object_ids"]
        if self._expected is not None:
            size_hw, expected_ids = self._expected
            if (height, width) != tuple(size_hw) or not set(ids) <= set(expected_ids) or len(ids) > len(expected_ids):
                raise ValueError("frames of another size, or other objects")
        check_pixels(width, height, "A mask")
        masks = np.zeros((len(ids), height, width), np.bool_)
        for mask, rle in zip(masks, record["rles"], strict=True):
            if rle is not None:
                mask[:] = decode_mask(Rle.from_json(rle))
        scores = [np.nan if score is None else float.fromhex(score) for score in record["scores"]]
        states = [ObjectState(state) for state in record["states"]]
        return FrameMasks(
            frame_idx,
            np.array(ids, np.int64),
            masks,
            np.array(scores, np.float32),
            np.array(states, np.uint8),
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
            "rles": [encode_mask(mask).to_json() if mask.any() else None for mask in frame_masks.masks],
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


def compute_run_digest(path: Path) -> str | None:
    """The run that a journal belongs to; None when there is no journal, or none that can be read."""
    try:
        with path.open("rb") as file:
            header = _parse(file.readline(MAX_RECORD_BYTES))
    except OSError:
        return None
    digest = None if header is None else header.get("run_digest")
    return digest if isinstance(digest, str) else None


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record of a whole, undamaged line, else None."""
    body, checksum = line[:-10], line[-10:]
    if checksum != b" %08x\n" % zlib.crc32(body):
        return None
    try:
        record = parse_json(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
