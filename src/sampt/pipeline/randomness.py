"""Where a run's random numbers come from: a seed for each purpose, object and frame."""

from __future__ import annotations

import enum

import numpy as np

__all__ = ["RngPurpose", "rng_for"]


class RngPurpose(enum.IntEnum):
    """What random numbers are for. Masks depend on these numbers, which therefore never change."""

    SAMPLE_QUERY = 1
    """Points from the mask of a query; keys: object, frame."""
    ONE_CLICK = 2
    """The single point of a mask in one-click mode; keys: object."""
    PROMPT = 3
    """Points of other objects in a prompt, when there are too many; keys: object, frame."""
    REINIT = 4
    """Points from a predicted mask, at re-initialisation; keys: object, frame."""
    SIMULATED_PERSON = 5
    """Where the person of an interactive study clicks; keys: frame, actions so far."""
    FIND = 6
    """Points from the mask of an object while objects are looked for; keys: object, frame."""


def rng_for(seed: int, purpose: RngPurpose, *keys: int) -> np.random.Generator:
    """Randomness that depends on what it is for, not on what was drawn before: a resumed run draws the same numbers."""
    return np.random.default_rng([seed, int(purpose), *keys])
