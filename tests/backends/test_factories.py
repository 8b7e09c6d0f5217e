"""A factory with a mistake in it, or something else instead: one line that says what, and where to see more."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.backends.spec import BackendSpec, TrackerInfo
from sampt.backends.table import BUILT_IN
from sampt.cli.main import main
from sampt.errors import BackendError
from sampt.trackers.create import create_tracker


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Registers what it is given as the tracker "mine"."""

    def put(factory: Any) -> None:
        module = types.ModuleType("made_up")
        vars(module)["mine"] = factory
        monkeypatch.setitem(sys.modules, "made_up", module)
        monkeypatch.setitem(BUILT_IN["tracker"], "mine", BackendSpec("mine", "made_up:mine", TrackerInfo("mine", "MIT", None)))

    return put


class Mine:
    """A tracker; nothing of it is run."""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            Mine,
            r"The tracker 'mine' is registered as the class Mine \(got an unexpected keyword argument 'weights'\); exp",
        ),
        (Mine(), r"The tracker 'mine' is registered as a Mine; expected a function create\(\*, weights, device\) that makes a"),
        (
            lambda weights: Mine(),
            r"registered as the function <lambda> \(got an unexpected keyword argument 'device'\); exp",
        ),
        (lambda *, weights, device: Mine, r"The factory of the tracker 'mine' returns the class Mine; expected Mine\(\)\."),
    ],
)
def test_what_is_no_factory_is_refused(factory: Any, message: str, register: Callable[[Any], None]) -> None:
    register(factory)
    with pytest.raises(BackendError, match=message):
        create_tracker("mine")


def test_a_class_that_takes_weights_and_device_is_a_factory(register: Callable[[Any], None]) -> None:
    class Whole(Mine):
        def __init__(self, weights: str | None, device: str) -> None:
            self.made_with = weights, device

    register(Whole)
    assert create_tracker("mine", weights="a.pt").made_with == ("a.pt", "auto")  # type: ignore[attr-defined]


def broken_factory(*, weights: str | None, device: str) -> None:
    raise KeyError("encoder")


def test_a_broken_factory_is_one_line_and_its_traceback_is_in_the_log(
    register: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    register(broken_factory)
    with caplog.at_level("DEBUG", "sampt.backends"), pytest.raises(BackendError) as caught:
        create_tracker("mine")
    assert str(caught.value) == (
        "The tracker 'mine' cannot be made, its program raised KeyError: 'encoder'. Run sampt.create_tracker('mine') in "
        "Python to see where."
    )
    assert isinstance(caught.value.__cause__, KeyError)
    assert caplog.text.count("in broken_factory") == 1


def test_the_command_line_prints_a_broken_factory_in_one_line(
    register: Callable[[Any], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(broken_factory)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "0.png")
    arguments = ["segment", str(tmp_path), "--points", "1,0,20,20", "--tracker", "mine", "-o", str(tmp_path / "out")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("sampt: error: The tracker 'mine' cannot be made, its program raised KeyError: 'encoder'.")
    assert error.count("\n") == 1


def test_a_factory_that_runs_out_of_memory_is_no_broken_one(register: Callable[[Any], None]) -> None:
    def greedy(*, weights: str | None, device: str) -> None:
        raise MemoryError

    register(greedy)
    with pytest.raises(MemoryError):
        create_tracker("mine")


def test_an_error_at_import_names_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "no_program.py").write_text("def create(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BUILT_IN["tracker"], "mine", BackendSpec("mine", "no_program:create", TrackerInfo("mine", "MIT", None)))
    with pytest.raises(BackendError, match=r"'mine' cannot be imported, its program raised SyntaxError: .*no_program.py"):
        create_tracker("mine")
