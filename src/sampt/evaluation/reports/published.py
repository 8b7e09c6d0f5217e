"""Published figures, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SOURCE", "Published", "published"]

SOURCE = "Rajič et al., arXiv 2307.01197, versions 1 and 2, and what it compares with"


@dataclass(frozen=True)
class Published:
    """What others reached on a dataset.

    Attributes:
        split: all of it.
        measures: names of the measures.
        figures: method -> its figure in percent by each of ``measures``.
    """

    split: str
    measures: tuple[str, ...]
    figures: Mapping[str, tuple[float, ...]]


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
_UVO = {
    "TAM": (24.1, 1.7),
    "SAM-PT v1": (28.8, 6.7),
    "SAM-PT-reinit v1": (30.8, 6.5),
    "Mask2Former (trained)": (35.4, 27.3),
}


def _report_one(split: str, measure: str, figures: Mapping[str, float]) -> Published:
    return Published(split, (measure,), {method: (figure,) for method, figure in figures.items()})


_TABLE = {
    "davis-2016": _report_one("val", "J&F", _DAVIS_2016),
    "davis-2017": _report_one("val", "J&F", _DAVIS_2017),
    "youtube-vos-2018": _report_one("valid", "G", _YOUTUBE_VOS_2018),
    "mose": _report_one("valid", "J&F", _MOSE),
    "uvo": Published("val", ("AR100", "AP"), _UVO),
}


def published(dataset: str) -> Published | None:
    """The figures for a dataset; None where there are none."""
    return _TABLE.get(dataset)
