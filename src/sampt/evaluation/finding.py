"""How objects are found in datasets that do not give them, unless it is said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampt.config import FindConfig, SegmentConfig, with_settings
from sampt.errors import EvaluationError
from sampt.evaluation.datasets import InstanceDataset, VosDataset
from sampt.evaluation.paper_rules import PAPER_PRESETS
from sampt.evaluation.vos.protocols import MAX_PROPOSALS, scoring_rule

__all__ = ["choose_finding", "finding_config"]

_INSTANCES: Mapping[str, Any] = {"proposer": "automatic", "max_objects": 100}
"""Whatever is there counts, as much of it as the paper's rule generates on the first frame."""


def finding_config(config: SegmentConfig) -> SegmentConfig:
    """``config`` with masks on all frames, also before the one that an object is named on: none is given."""
    return with_settings(config, {"protocol": "bidirectional"})


def choose_finding(
    dataset: VosDataset | InstanceDataset, preset: str, given: Mapping[str, Any] | None, *, generates: bool = False
) -> FindConfig | None:
    """What is looked for in the videos of a dataset, and how.

    Args:
        dataset: the dataset.
        preset: that the run begins with.
        given: values of fields of :class:`sampt.config.FindConfig`, the others are chosen here; None where nothing is said.
        generates: something is said of the masks that the SAM-PT paper generates on the first frame.

    Returns:
        None where objects are given, and where they are those of the paper: automatic masks of the first frame alone. So it is
        with the paper's presets unless something is given, and with ``{"every": 0}``.

    Raises:
        EvaluationError: the dataset gives its objects, its rules forbid so many, or is to be looked at in two ways at once.
        ConfigError: a value is out of range.
    """
    if isinstance(dataset, InstanceDataset):
        if dict(given or {}) == {"every": 0} or (given is None and (generates or preset in PAPER_PRESETS)):
            return None
        if generates:
            raise EvaluationError(
                "--mask-score and --mask-stability are of masks that are generated on the first frame alone; leave them out, "
                "or of the options to find objects all but --find-every 0."
            )
        return FindConfig(**{**_INSTANCES, **(given or {})})
    if not dataset.finds_objects:
        if given is not None:
            raise EvaluationError(f"The objects of {dataset.name} are given, so that none is looked for; leave --find... out.")
        return None
    pairing = scoring_rule(dataset.protocol).pairing
    find = FindConfig(**{"max_objects": 1 if pairing == "all" else MAX_PROPOSALS, **(given or {})})
    if pairing == "match" and find.max_objects > MAX_PROPOSALS:
        raise EvaluationError(
            f"--find-max is {find.max_objects}; expected {MAX_PROPOSALS} at most, as the rules of {dataset.name} say."
        )
    return find
