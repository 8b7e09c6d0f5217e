"""Objects of a run that nobody named: found before the first frame is segmented, and from then on as if they had been named."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sampt.config import FindConfig
from sampt.exporters.base import object_named
from sampt.finding import FoundObjects, find_objects
from sampt.pipeline.queries import Queries
from sampt.proposers.base import Proposer, ProposerInfo
from sampt.proposers.create import create_proposer, split_name
from sampt.runs.backends import Backends
from sampt.runs.job import Job, RunOptions
from sampt.video.base import Video
from sampt.video.digest import compute_digest_of_files
from sampt.weights import describe_source, weights_identity

__all__ = ["Finding", "describe_found", "find_for", "make_proposer"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a job finds, and how.

    Attributes:
        proposer: what proposes objects.
        config: where, and what counts.
    """

    proposer: Proposer
    config: FindConfig

    @property
    def info(self) -> ProposerInfo:
        """What the proposer says of itself."""
        return self.proposer.info

    def facts(self) -> dict[str, Any]:
        """For the identity of a run: with what lies in a file that the proposer reads, and not where it lies."""
        name, _ = split_name(self.config.proposer)
        facts = {**dataclasses.asdict(self.config), "proposer_info": dataclasses.asdict(self.info)}
        facts["proposer_weights"] = weights_identity(name, self.config.proposer_weights)
        digest = _digest_of_argument(self.config.proposer)
        return facts if digest is None else {**facts, "proposer": name, "proposer_sha256": digest}


def _digest_of_argument(proposer: str) -> str | None:
    """Of the file, or the files of the folder, that a proposer's name ends with; None where it ends with none."""
    argument = split_name(proposer)[1]
    path = None if argument is None else Path(argument)
    if path is None or not path.exists():
        return None
    return compute_digest_of_files(sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path])


def make_proposer(find: FindConfig, options: RunOptions, on_weights: Callable[[str], None] | None = None) -> Finding:
    """The proposer of the settings; ``on_weights`` as in :func:`sampt.runs.run.run_job`.

    Raises:
        BackendError: it is unknown, or cannot be made.
    """
    name, _ = split_name(find.proposer)
    text = describe_source(name, find.proposer_weights)
    if text is not None and on_weights is not None:
        on_weights(f"proposer {name!r} {text}")
    digest = _digest_of_argument(find.proposer)
    return Finding(_made(find.proposer, find.proposer_weights, options.device, digest), find)


@functools.lru_cache(maxsize=1)
def _made(name: str, weights: str, device: str, _: str | None) -> Proposer:
    """The proposer, once for all videos of a batch; made anew when its file holds something else."""
    return create_proposer(name, weights=weights, device=device)


def find_for(
    job: Job,
    video: Video,
    queries: Queries,
    backends: Backends,
    finding: Finding,
    on_frame: Callable[[int, int], None],
) -> tuple[Job, Queries, FoundObjects]:
    """The job with the names of all its objects, its queries with those of the objects found, and these.

    Raises:
        SamptError: a frame cannot be read, or a backend fails.
    """
    tracker, segmenter = backends
    found = find_objects(
        video,
        proposer=finding.proposer,
        tracker=tracker,
        segmenter=segmenter,
        config=job.config,
        find=finding.config,
        known=queries,
        on_frame=on_frame,
    )
    everyone = Queries(queries.points, (*queries.masks, *found.queries.masks), queries.boxes)
    labels = {**found.labels, **job.labels}
    if labels:
        labels = {o: labels.get(o) or object_named(o).name for o in everyone.object_ids}
    return dataclasses.replace(job, labels=labels), everyone, found


def describe_found(found: FoundObjects) -> dict[str, Any]:
    """For the manifest: which objects were found, where they were named, and where there was a look."""
    return {
        "searched": list(found.searched),
        "left_out": found.num_left_out,
        "objects": [
            {
                "id": o.object_id,
                "frame": o.frame_idx,
                "score": o.score,
                "label": o.label,
                "frames": list(o.frames),
                "num_pixels": int(np.count_nonzero(o.mask)),
            }
            for o in found.objects
        ],
    }
