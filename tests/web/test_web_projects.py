"""A project's file from a stranger: what it may make the server open and fetch."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sampt.config import SegmentConfig, with_settings
from sampt.errors import BackendError
from sampt.presets import PRESETS
from sampt.weights import fetch, find_source

S = "/api/v1/session"
OWN = PRESETS["default"]


class Project:
    """``root/clip.sampt``, not open, whose file can be written anew; and a server that notes which backends it makes."""

    def __init__(self, site: Any, serving: Callable[..., FastAPI], browsing: Callable[..., TestClient]) -> None:
        self.path, self._site = site.root / "clip.sampt", site
        self._serving, self._browsing = serving, browsing
        browser = browsing(serving())
        assert browser.post(S, json={"video": "root/clip"}).status_code == 201
        assert browser.delete(S).status_code == 204
        self.made: list[SegmentConfig] = []

    def says(self, **settings: str) -> None:
        data = json.loads((self.path / "project.json").read_text())
        data["config"] |= settings
        (self.path / "project.json").write_text(json.dumps(data))

    def open(self, config: SegmentConfig = OWN, make: Callable[[SegmentConfig], Any] | None = None) -> Any:
        """The response of a server whose own settings are ``config``."""

        def backends(wanted: SegmentConfig) -> Any:
            self.made.append(wanted)
            return (make or self._site.settings.backends)(wanted)

        browser = self._browsing(self._serving(config=config, backends=backends))
        return browser.post(S, json={"project": "root/clip.sampt"})


@pytest.fixture
def project(site: Any, serving: Callable[..., FastAPI], browsing: Callable[..., TestClient]) -> Project:
    return Project(site, serving, browsing)


@pytest.mark.parametrize("role", ["tracker", "segmenter"])
@pytest.mark.parametrize(
    "weights", ["owner/name", "{outside}/w.pth", "{root}/../w.pth", "{root}/link.pth", "{root}/no.pth", "~/w.pth"]
)
def test_weights_from_elsewhere_are_not_opened(
    project: Project, site: Any, role: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = site.folder / "outside"
    outside.mkdir()
    monkeypatch.setenv("HOME", str(outside))
    for folder in (outside, site.root.parent):
        (folder / "w.pth").write_bytes(b"weights")
    (site.root / "link.pth").symlink_to(outside / "w.pth")
    project.says(**{f"{role}_weights": weights.format(outside=outside, root=site.root)})
    answer = project.open()
    assert answer.status_code == 403
    assert str(site.folder) not in answer.text
    assert project.made == []


@pytest.mark.parametrize("weights", ["default", "random", "{root}/w.pth", "{root}/model"])
def test_weights_in_the_roots_are_taken(project: Project, site: Any, weights: str) -> None:
    (site.root / "w.pth").write_bytes(b"weights")
    (site.root / "model").mkdir()
    project.says(segmenter_weights=weights.format(root=site.root))
    assert project.open().status_code == 201
    assert [c.segmenter_weights for c in project.made] == [weights.format(root=site.root)]


def test_a_folder_of_weights_may_not_link_elsewhere(project: Project, site: Any) -> None:
    (site.folder / "w.pth").write_bytes(b"weights")
    (site.root / "model").mkdir()
    (site.root / "model" / "w.pth").symlink_to(site.folder / "w.pth")
    project.says(segmenter_weights=str(site.root / "model"))
    assert project.open().status_code == 403


def test_weights_that_the_server_was_started_with_are_taken(project: Project, site: Any) -> None:
    weights = str(site.folder / "w.pth")
    project.says(segmenter_weights=weights)
    assert project.open(with_settings(OWN, {"segmenter_weights": weights})).status_code == 201


class AskedError(BackendError):
    """Where a download would have begun."""


@pytest.mark.parametrize("is_own", [True, False])
def test_only_what_a_person_named_is_downloaded(
    project: Project, tmp_path: Path, is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SAMPT_OFFLINE", raising=False)
    begun = []

    def download(request: Any, _: Any) -> None:
        begun.append(request.url)
        raise AskedError("It would have begun.")

    monkeypatch.setattr(importlib.import_module("sampt.weights.fetch"), "download", download)  # its name is a function's, too
    source = find_source("sam-vit-b")
    project.says(segmenter="sam-vit-b")
    own = with_settings(OWN, {"segmenter": "sam-vit-b"}) if is_own else OWN
    answer = project.open(own, lambda _: fetch(source))
    assert answer.status_code == 400
    assert len(begun) == int(is_own)
    assert ("sampt weights pull sam-vit-b" in answer.text) != is_own


@pytest.mark.parametrize("name", ["masks.journal", "project.json", "anything"])
def test_parts_of_a_project_may_not_link_elsewhere(project: Project, site: Any, name: str) -> None:
    precious = site.folder / "precious"
    content = (project.path / "project.json").read_bytes() if name == "project.json" else b"not to be touched\n" * 100
    precious.write_bytes(content)
    (project.path / name).unlink(missing_ok=True)
    (project.path / name).symlink_to(precious)
    assert project.open().status_code == 403
    assert precious.read_bytes() == content


def test_a_video_is_opened_where_it_was_checked(project: Project, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder called ~ in the roots is not the home of whoever started the server."""
    home = site.folder / "home"
    for folder in (home, site.root / "~"):
        shutil.copytree(site.root / "clip", folder / "film")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(site.root)
    data = json.loads((project.path / "project.json").read_text())
    data["video"] |= {"path": "~/film", "beside": None}
    (project.path / "project.json").write_text(json.dumps(data))
    answer = project.open()
    assert answer.status_code == 201, answer.text
    opened = json.loads((project.path / "project.json").read_text())["video"]["path"]
    assert opened == os.path.join(site.root, "~", "film")


def test_settings_of_a_server_do_not_change_a_project(project: Project) -> None:
    project.says(segmenter_weights="random")
    assert project.open(dataclasses.replace(OWN, segmenter_weights="default")).status_code == 201
    assert [c.segmenter_weights for c in project.made] == ["random"]
