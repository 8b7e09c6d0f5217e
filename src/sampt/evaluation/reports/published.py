"""Published figures, to stand beside ours."""

from __future__ import annotations

__all__ = ["SOURCE", "published"]

SOURCE = "Rajič et al., arXiv 2307.01197, versions 1 and 2, and what it compares with"

_DAVIS_2016 = {
    "SAM-PT v1": 83.1,
    "SAM-PT v2": 84.3,
    "TAM": 88.4,
    "SegGPT": 82.3,
    "XMem (trained)": 92.0,
    "DeAOT (trained)": 92.9,
}
_DAVIS_2017 = {
    "Painter": 34.6,
    "DINO": 71.4,
    "PerSAM-F": 71.9,
    "SegGPT": 75.6,
    "SAM-PT v1": 76.3,
    "SAM-PT-reinit v1": 76.6,
    "HQ-SAM-PT v1": 77.2,
    "HQ-SAM-PT-reinit v1": 77.0,
    "SAM-PT v2": 79.4,
    "XMem (trained)": 87.7,
    "DeAOT (trained)": 86.2,
}
_YOUTUBE_VOS_2018 = {
    "Painter": 24.1,
    "PerSAM-F": 54.4,
    "SegGPT": 74.7,
    "SAM-PT v1": 67.0,
    "SAM-PT-reinit v1": 67.5,
    "XMem (trained)": 86.1,
    "DeAOT (trained)": 86.2,
}
_MOSE = {
    "Painter": 14.5,
    "PerSAM-F": 23.3,
    "SegGPT": 45.1,
    "SAM-PT v1": 38.5,
    "SAM-PT-reinit v1": 41.0,
    "XMem (trained)": 57.6,
    "DeAOT (trained)": 59.4,
}
_TABLE = {
    "davis-2016": ("val", "J&F", _DAVIS_2016),
    "davis-2017": ("val", "J&F", _DAVIS_2017),
    "youtube-vos-2018": ("valid", "G", _YOUTUBE_VOS_2018),
    "mose": ("valid", "J&F", _MOSE),
}


def published(dataset: str) -> tuple[str, str, dict[str, float]] | None:
    """The split, the name of the measure, and method -> its figure in percent; None where there are none."""
    return _TABLE.get(dataset)
