"""The plain installation: our dependencies and theirs, and nothing else of what lies on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import sampt

SOURCES = Path(sampt.__file__).parents[1]
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

Bare = Callable[..., subprocess.CompletedProcess[str]]


def closure(requirements: list[str]) -> set[str]:
    """Names of the distributions, with those that they need without extras."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        text = waiting.pop()
        name = re.match(r"[\w.-]+", text)[0].lower()  # type: ignore[index]
        if name in found or "extra ==" in text:
            continue
        try:
            waiting += metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another platform or Python
            continue
        found.add(name)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """Runs Python with the plain dependencies alone."""
    folder = tmp_path_factory.mktemp("bare")
    for name in closure(tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            location = folder / top
            if not location.is_symlink():
                location.symlink_to(Path(str(distribution.locate_file(top))))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": f"{SOURCES}{os.pathsep}{folder}", "COLUMNS": "250", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-S", "-s", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_it_is_bare(bare: Bare) -> None:
    code = "import importlib.util as u; print([n for n in ('torch', 'fastapi', 'pytest', 'ray', 'numpy') if u.find_spec(n)])"
    assert bare("-c", code).stdout == "['numpy']\n"


def test_all_back_ends_are_listed_with_their_licenses_and_what_they_need(bare: Bare) -> None:
    outcome = bare("-m", "sampt", "backends")
    assert outcome.returncode == 0, outcome.stderr
    rows = {tuple(cells[:2]): cells for line in outcome.stdout.splitlines() if len(cells := _cells(line)) == 6}
    assert rows["nano", "tracker"][2:5] == ["Apache-2.0", "Apache-2.0", ""]
    assert rows["nano", "segmenter"][2:5] == ["Apache-2.0", "Apache-2.0", ""]
    assert rows["dis-flow", "tracker"][2:5] == ["Apache-2.0", "none", ""]
    assert rows["raft", "tracker"][2:5] == ["BSD-3-Clause", "BSD-3-Clause", "pip install 'sampt[torch]'"]
    assert rows["cotracker3-online", "tracker"][2:5] == ["CC-BY-NC-4.0", "CC-BY-NC-4.0", "pip install 'sampt[torch]'"]
    assert rows["mobile-sam", "segmenter"][2:5] == ["Apache-2.0", "Apache-2.0", "pip install 'sampt[sam]'"]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃").split("│")]


def test_what_needs_nothing_is_made_and_what_needs_more_says_what(bare: Bare) -> None:
    code = """
from sampt.errors import BackendError
from sampt.backends.registry import describe_backends
from sampt.proposers.create import create_proposer
from sampt.segmenters.create import create_segmenter
from sampt.trackers.create import create_tracker
for kind, create in (("tracker", create_tracker), ("segmenter", create_segmenter), ("proposer", create_proposer)):
    for facts in describe_backends(kind):
        if facts.name in ("tracks", "boxes"):
            continue  # made of a file
        try:
            words = ":dog" if facts.name.startswith("text") else ""
            made = create(facts.name + words, **({} if facts.missing is None else {"weights": None}))
        except BackendError as error:
            assert f"pip install 'sampt[{facts.missing}]'" in str(error).replace("--upgrade ", ""), (facts.name, str(error))
        else:
            assert facts.missing is None and made.info.name == facts.name, facts.name
"""
    outcome = bare("-c", code)
    assert outcome.returncode == 0, outcome.stderr


def test_what_stands_in_brackets_is_shown(bare: Bare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path / "[red]weights[/]"))
    assert str(tmp_path / "[red]weights[/]") in " ".join(bare("-m", "sampt", "weights", "list").stdout.split("\n"))
