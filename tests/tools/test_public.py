"""Workflows, forms, citation and containers: by the programs that check each, and by what the Makefile has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tools import smoke, try_installs

yaml = pytest.importorskip("yaml", reason="one of the [dev] extras")
ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHECKED = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.dependabot": [ROOT / ".github/dependabot.yml"],
    "vendor.github-issue-config": [ROOT / ".github/ISSUE_TEMPLATE/config.yml"],
    "vendor.github-issue-forms": sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")),
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}


def check(program: str, *arguments: Any) -> None:
    """Run a program of the [dev] extras, which says what it finds by its exit status."""
    path = shutil.which(program, path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip(f"{program} is not installed; make it so by: pip install -e '.[dev]'")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            yield from ((f"{path.name}, {name}", step) for step in job["steps"])


@pytest.mark.parametrize("schema", CHECKED)
def test_forms_of_files(schema: str) -> None:
    assert CHECKED[schema]
    check("check-jsonschema", "--builtin-schema", schema, *CHECKED[schema])


def test_workflows_leak_nothing() -> None:
    check("zizmor", "--offline", "--no-progress", "--quiet", ".github")


def test_containers() -> None:
    files = sorted((ROOT / "containers").glob("*.Dockerfile"))
    assert [file.name for file in files] == ["gpu.Dockerfile", "page.Dockerfile"]
    check("hadolint", *files)
    sent = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    for file in files:
        text = file.read_text(encoding="utf-8")
        copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()}
        assert copied <= sent, "COPY of something that .dockerignore leaves out"
        assert all((ROOT / name).exists() for name in copied)
        assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "1000"


def test_steps_call_what_the_makefile_and_the_tools_have() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    called = 0
    for where, step in steps():
        for line in step.get("run", "").splitlines():
            if line.startswith("make "):
                words = [word for word in line.split()[1:] if "=" not in word]
                assert set(words) <= targets, f"{where}: {line}"
            elif line.startswith("python "):
                script = line.split()[1]
                assert (ROOT / script).is_file(), f"{where}: {line}"
                said = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True)
                options = re.findall(r" (--[a-z]+)", line)
                assert all(option in said.stdout for option in options), f"{where}: {line}"
            else:
                assert line.startswith("gh release create "), f"{where}: {line}"
            called += 1
    assert called >= 8
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {hook["entry"].split()[-1] for hook in hooks} <= targets


def test_actions_are_pinned_and_passwords_are_in_no_step() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line:
                found = re.fullmatch(r"\s*-? ?uses: ([\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", line)
                assert found is not None, f"{path.name}: {line.strip()}; expected a commit and, behind it, its version"
                pins.setdefault(found[1], set()).add(found[2])
    assert all(len(commits) == 1 for commits in pins.values()), pins
    assert {"actions/checkout", "pypa/gh-action-pypi-publish"} <= pins.keys()
    assert all("secrets." not in path.read_text(encoding="utf-8") for path in WORKFLOWS)
    writes = {(p.name, n): job["permissions"] for p in WORKFLOWS for n, job in jobs(p).items() if "permissions" in job}
    assert writes == {
        ("release.yml", "build"): {"contents": "read"},
        ("release.yml", "pypi"): {"id-token": "write"},
        ("release.yml", "page"): {"contents": "write"},
    }


def test_tests_run_on_every_python_that_is_admitted() -> None:
    matrix = jobs(ROOT / ".github/workflows/tests.yml")["pytest"]["strategy"]["matrix"]["python"]
    assert matrix == [f"3.{minor}" for minor in try_installs.MINORS]
    project = try_installs.tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)}
    assert named <= set(matrix)


@pytest.mark.parametrize(
    ("name", "changes", "wrong"),
    [
        ("a.whl", [], None),
        ("a.whl", ["-sampt/py.typed"], "lacks sampt/py.typed"),
        ("a.whl", ["-a.dist-info/licenses/LICENSE"], "lacks LICENSE"),
        ("a.whl", ["sampt/__pycache__/a.pyc"], "holds sampt/__pycache__/a.pyc"),
        ("a.tar.gz", [], None),
        ("a.tar.gz", ["-tests/test_a.py"], "lacks tests/"),
        ("a.tar.gz", [".venv/bin/python"], "holds .venv/bin/python"),
    ],
)
def test_what_is_missing_in_a_file_of_a_release_is_found(
    tmp_path: Path, name: str, changes: list[str], wrong: str | None
) -> None:
    file = tmp_path / name
    file.write_bytes(b"")
    names = [*smoke.IN_WHEEL, *(f"a.dist-info/licenses/{n}" for n in smoke.LICENSES)]
    if name.endswith(".gz"):
        names = [*smoke.IN_SOURCES, "tests/test_a.py"]
    for change in changes:
        if change.startswith("-"):
            names.remove(change[1:])
        else:
            names.append(change)
    assert smoke.check_names(file, names) == wrong
