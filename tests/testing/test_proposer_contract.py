"""Every built-in proposer keeps the contract, and each kind of mistake breaks the clause that is about it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.proposers.automatic import AutomaticProposer
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.proposers.create import create_proposer
from sampt.proposers.objectness import ObjectnessProposer
from sampt.segmenters.automatic import AutomaticMaskConfig
from sampt.testing import PROPOSER_CLAUSES, ContractError, check_proposer


@pytest.mark.parametrize("name", ["automatic", "motion", "motion-causal", "objectness"])
def test_built_in_proposers_keep_every_clause(name: str) -> None:
    """As they are made but for a setting that costs time and changes nothing of what is promised."""
    proposer = create_proposer(name)
    if isinstance(proposer, AutomaticProposer):
        proposer = AutomaticProposer(AutomaticMaskConfig(points_per_side=4))
    if isinstance(proposer, ObjectnessProposer):
        proposer = ObjectnessProposer(proposer.session, side=128)
    check_proposer(proposer)


class Plain:
    """Proposes the frame's two halves, upper and lower; ``spoil`` changes what it returns."""

    def __init__(self, spoil: Callable[[list[Proposal], ProposerFrame], Any] = lambda found, _: found) -> None:
        self.info = ProposerInfo("plain", "MIT", None)
        self.spoil = spoil

    def propose(self, frame: ProposerFrame) -> Any:
        upper = np.zeros(frame.size_hw, np.bool_)
        upper[: (len(upper) + 1) // 2] = True
        found = [Proposal(mask, score) for mask, score in ((upper, 0.9), (~upper, 0.3)) if mask.any()]
        for proposal in found:
            proposal.mask.setflags(write=False)
        return self.spoil(found, frame)


def test_a_plain_proposer_keeps_every_clause_as_backend_or_factory() -> None:
    check_proposer(Plain())
    check_proposer(lambda: Plain())
    with pytest.raises(ContractError, match=r"Got the class Plain; expected a proposer, such as Plain\(\)"):
        check_proposer(Plain)


def first(**changes: Any) -> Callable[[list[Proposal], ProposerFrame], Any]:
    return lambda found, _: [replace(found[0], **changes), *found[1:]]


def forgets(found: list[Proposal], frame: ProposerFrame) -> list[Proposal]:
    """Scores by how often it was called."""
    random_score = 1 - 0.01 * vars(frame.segmenter).setdefault("calls", 0)
    vars(frame.segmenter)["calls"] += 1
    return [replace(found[0], score=random_score)]


def writes(found: list[Proposal], frame: ProposerFrame) -> list[Proposal]:
    frame.image[0, 0] ^= 1
    return found


def draws(found: list[Proposal], _: ProposerFrame) -> list[Proposal]:
    random.random()
    return found


def reads_on(found: list[Proposal], frame: ProposerFrame) -> list[Proposal]:
    frame.neighbour(1)
    return found


def refuses(condition: Callable[[ProposerFrame], Any]) -> Callable[[list[Proposal], ProposerFrame], list[Proposal]]:
    def spoil(found: list[Proposal], frame: ProposerFrame) -> list[Proposal]:
        if condition(frame):
            raise ZeroDivisionError("broken")
        return found

    return spoil


PROMISE = "proposals_keep_their_promise"


@pytest.mark.parametrize(
    ("spoil", "clause", "sentence"),
    [
        (lambda found, _: tuple(found), PROMISE, "propose() returned a tuple; expected a list."),
        (lambda found, _: [found[0].mask], PROMISE, "propose() gave a ndarray; expected a Proposal."),
        (lambda found, _: found[::-1], PROMISE, "Scores are [0.3, 0.9]; expected the best one first."),
        (first(score=1.5), PROMISE, "A score is 1.5; expected a number from 0 to 1."),
        (first(score=float("nan")), PROMISE, "A score is nan; expected"),
        (first(mask=np.ones((2, 2), np.bool_)), PROMISE, "A mask is bool (2, 2); expected bool (64, 96), the frame's size."),
        (first(mask=np.ones((64, 96), np.uint8)), PROMISE, "A mask is uint8 (64, 96); expected bool"),
        (first(mask=np.zeros((64, 96), np.bool_)), PROMISE, "A mask is empty; expected at least one pixel"),
        (first(mask=np.ones((64, 96), np.bool_)), PROMISE, "A mask can be written to; expected it read-only."),
        (first(label="half"), PROMISE, "A label is 'half' with info.has_labels=False; expected words with True"),
        (forgets, "equal_frames_give_equal_proposals", "The same frame gave other proposals the second time"),
        (writes, "frames_are_left_alone", "The proposer wrote into a frame; expected it unchanged."),
        (draws, "global_random_state_is_left_alone", "The proposer changed a global random state"),
        (reads_on, "later_frames_as_announced", "Frame 1 was read for proposals on frame 0; expected none after frame 0."),
        (refuses(lambda f: min(f.size_hw) == 1), "small_and_odd_sizes", "It raised ZeroDivisionError: broken"),
        (refuses(lambda f: np.ptp(f.image) == 0 and f.size_hw != (1, 1)), "plain_frame", "It raised ZeroDivisionError: broken"),
        (refuses(lambda f: f.neighbour(-1) is None), "ends_of_the_video", "It raised ZeroDivisionError: broken"),
    ],
)
def test_a_broken_proposer_breaks_its_clause(spoil: Any, clause: str, sentence: str) -> None:
    with pytest.raises(ContractError) as caught:
        check_proposer(Plain(spoil))
    assert sentence in caught.value.broken[clause]


def test_incomplete_info_is_caught() -> None:
    for changes, sentence in (
        ({"license_code": ""}, "info has name='plain', license_code=''; expected both."),
        ({"frames_after": -1}, "info.frames_after is -1; expected a whole number from 0."),
    ):
        broken = Plain()
        broken.info = replace(broken.info, **changes)
        with pytest.raises(ContractError) as caught:
            check_proposer(broken)
        assert caught.value.broken["info_is_complete"] == sentence


def test_every_clause_is_broken_above() -> None:
    marks = test_a_broken_proposer_breaks_its_clause.pytestmark
    assert {case[1] for case in marks[0].args[1]} | {"info_is_complete"} == {name for name, _ in PROPOSER_CLAUSES}


def test_the_proposer_of_the_contributors_guide_keeps_every_clause() -> None:
    guide = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, rest = guide.partition("<!-- tested by tests/testing/test_proposer_contract.py -->\n```python\n")
    program: dict[str, Any] = {}
    exec(rest.partition("```")[0], program)
    check_proposer(program["create"])
