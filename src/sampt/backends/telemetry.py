"""No dependency reports to its maker: that is switched off in every process that imports sampt, before their import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast

__all__ = ["SWITCHES", "switch_off", "without_openvino_telemetry"]

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Of ONNX Runtime (a device's id and a queue of events under ~/.cache, sent after a while), Ray (usage reports of the clusters
that it starts) and Hugging Face (what transformers adds to its requests)."""

_OPENVINO = "openvino_telemetry"


def switch_off() -> None:
    """Set :data:`SWITCHES` for this process and its children; what the user has set stays."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)


@contextmanager
def without_openvino_telemetry() -> Iterator[None]:
    """Around the import of ``openvino``, which reports itself to Google Analytics, and knows no variable that says no.

    It does so by a package of its own, and goes without where that is missing. A program that has imported either before
    keeps what it has.
    """
    if {"openvino", _OPENVINO} & sys.modules.keys():
        yield
        return
    sys.modules[_OPENVINO] = cast("ModuleType", None)  # its import raises ImportError
    try:
        yield
    finally:
        del sys.modules[_OPENVINO]
