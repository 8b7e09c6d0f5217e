"""Frames known by their content: what is cached of one serves both directions, all groups of objects, and windows."""

from __future__ import annotations

import hashlib

import numpy as np

from sampt.types import UInt8Array

__all__ = ["frame_key"]


def frame_key(frame: UInt8Array) -> bytes:
    """Equal for equal (h, w, 3) uint8 RGB frames alone."""
    salt = b"%dx%d" % frame.shape[:2]
    return hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16, salt=salt[:16]).digest()
