"""Backends that a session, or the page, makes by name are made as the settings say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")

from sampt.presets import PRESETS
from sampt.session import project
from sampt.web import backends as web_backends

Made = list[tuple[str, dict[str, Any]]]


class Named:
    """A backend that can only say its name."""

    def __init__(self, name: str) -> None:
        self.info = SimpleNamespace(name=name)


def maker(made: Made) -> Callable[..., Any]:
    def make(name: str, **options: Any) -> Any:
        made.append((name, options))
        return Named(name)

    return make


@pytest.mark.parametrize("last_names", [None, ("cotracker3-offline", "hq-sam-vit-h"), ("cotracker3-online", "sam-vit-b")])
def test_a_session_makes_back_ends_as_its_settings_say(
    last_names: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Made = []
    monkeypatch.setattr(project, "create_tracker", maker(made))
    monkeypatch.setattr(project, "create_segmenter", maker(made))
    project.make_session_backends(PRESETS["paper-v2"], None, None, "cpu", last_names)
    (tracker, of_tracker), (segmenter, of_segmenter) = made
    assert (tracker, segmenter) == (last_names or ("cotracker-v1", "hq-sam-vit-h"))
    assert of_tracker.get("support_grid") == "paper"
    assert of_tracker["precision"] == of_segmenter["precision"] == "float32"


def test_the_page_shares_a_segmenter_among_sessions_that_want_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Made = []
    monkeypatch.setattr(web_backends, "create_tracker", maker([]))
    monkeypatch.setattr(web_backends, "create_segmenter", maker(made))
    make = web_backends.NamedBackends("cpu")
    fast = dataclasses.replace(PRESETS["fast"], full_precision=False)
    exact = dataclasses.replace(fast, full_precision=True)
    first, second, third = (make(config)[1] for config in (fast, exact, fast))
    assert first is third
    assert first is not second
    assert [options.get("precision") for _, options in made] == [None, "float32"]
