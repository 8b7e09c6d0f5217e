"""Contracts that every backend and every exporter keeps; run them on your own.

    check_tracker(create_tracker("mine"))
    check_segmenter(create_segmenter("mine"))
    check_proposer(create_proposer("mine"))
    check_exporter(find_exporter("mine"))

or one test a clause: ``@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES)``, then
``clause(tracker, TrackerLimits())``.
"""

from __future__ import annotations

from sampt.testing.clauses import ContractError, contract_scenes
from sampt.testing.exporter_contract import EXPORTER_CLAUSES, ExporterClause, check_exporter
from sampt.testing.proposer_contract import PROPOSER_CLAUSES, ProposerClause, check_proposer
from sampt.testing.segmenter_contract import SEGMENTER_CLAUSES, SegmenterClause, SegmenterLimits, check_segmenter
from sampt.testing.tracker_contract import TRACKER_CLAUSES, TrackerClause, TrackerLimits, check_tracker

__all__ = [
    "EXPORTER_CLAUSES",
    "PROPOSER_CLAUSES",
    "SEGMENTER_CLAUSES",
    "TRACKER_CLAUSES",
    "ContractError",
    "ExporterClause",
    "ProposerClause",
    "SegmenterClause",
    "SegmenterLimits",
    "TrackerClause",
    "TrackerLimits",
    "check_exporter",
    "check_proposer",
    "check_segmenter",
    "check_tracker",
    "contract_scenes",
]
