"""What a manifest says of a run: what decides its results, and what came of it."""

from __future__ import annotations

import dataclasses
import sys
from hashlib import sha256
from typing import Any

import numpy as np

from sampt.backends.spec import ProposerInfo
from sampt.config import flatten_settings
from sampt.runs.job import Job, JobResult
from sampt.runs.manifest import config_digest, versions
from sampt.runs.timing import StageClock
from sampt.segmenters.base import SegmenterInfo
from sampt.trackers.base import TrackerInfo
from sampt.video.base import Video
from sampt.weights import weights_identity

__all__ = ["build_manifest", "collect_licenses", "identify", "peak_memory_bytes"]


def identify(
    job: Job,
    video_sha256: str,
    frames: dict[str, Any],
    infos: tuple[TrackerInfo, SegmenterInfo],
) -> dict[str, Any]:
    """Everything that decides the results: equal identities give equal results, wherever the files lie."""
    config, options, queries, (tracker, segmenter) = job.config, job.options, job.queries, infos
    points = queries.points
    return {
        "config": {name: value for name, value in flatten_settings(config).items() if not name.endswith("_weights")},
        "formats": list(options.formats),
        **({"labels": {str(i): name for i, name in sorted(job.labels.items())}} if job.labels else {}),
        **({"classes": list(job.classes)} if job.classes else {}),
        **({"images": options.images} if options.images else {}),
        "frames": frames,
        "inputs": {
            "video_sha256": video_sha256,
            "points": [
                {"object": int(o), "frame": int(f), "x": float(x), "y": float(y), "sign": "+" if s else "-"}
                for o, f, (x, y), s in zip(points.object_id, points.frame_idx, points.xy, points.is_positive, strict=True)
            ],
            "masks": [
                {"object": m.object_id, "frame": m.frame_idx, "sha256": sha256(np.packbits(m.mask).tobytes()).hexdigest()}
                for m in queries.masks
            ],
            "boxes": [{"object": b.object_id, "frame": b.frame_idx, "box_xyxy": b.box_xyxy.tolist()} for b in queries.boxes],
        },
        "backends": {"tracker": dataclasses.asdict(tracker), "segmenter": dataclasses.asdict(segmenter)},
        "weights": {
            "tracker": weights_identity(config.tracker, config.tracker_weights),
            "segmenter": weights_identity(config.segmenter, config.segmenter_weights),
        },
        "runtime": options.runtime,
        "precision": options.precision,
        "versions": {name: version for name, version in versions().items() if name != "platform"},
    }


def collect_licenses(tracker: TrackerInfo, segmenter: SegmenterInfo, proposer: ProposerInfo | None = None) -> dict[str, str]:
    """Which licences the backends of a run come under."""

    def both(info: TrackerInfo | SegmenterInfo | ProposerInfo) -> str:
        weights = info.license_weights
        return f"code {info.license_code}, " + ("no weights" if weights is None else f"weights {weights}")

    # They may bear the same name.
    found = {f"tracker {tracker.name}": both(tracker), f"segmenter {segmenter.name}": both(segmenter)}
    return found if proposer is None else {**found, f"proposer {proposer.name}": both(proposer)}


def build_manifest(job: Job, identity: dict[str, Any], video: Video, result: JobResult, clock: StageClock) -> dict[str, Any]:
    return {
        **identity,
        "config": flatten_settings(job.config),
        "video": video.label,
        "platform": versions()["platform"],
        "run_digest": config_digest(identity),
        "num_frames": result.num_frames,
        "num_resumed": result.num_resumed,
        "size_hw": list(video.size_hw),
        "fps": video.fps,
        "objects": [
            {
                "id": o.object_id,
                **({} if o.label is None else {"label": o.label}),
                "frames_present": o.frames_present,
                "score": o.score,
                "last_state": o.last_state.name,
            }
            for o in result.objects
        ],
        "files": {name: path.name for name, path in result.files.items()},
        "licenses": result.licenses,
        "seconds": {"total": result.seconds, **clock.seconds},
        "peak_memory_bytes": peak_memory_bytes(),
    }


def peak_memory_bytes() -> int | None:
    """The largest memory the process has had, or None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
