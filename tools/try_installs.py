"""Installs sampt as users do, in throw-away environments, and runs the README's example in each.

    python tools/try_installs.py                        # what `make test-installs` does
    python tools/try_installs.py --sets newest --last   # what .ci/run does: the newest versions on the newest Python

Sets of versions: "lowest" is every lower bound of pyproject.toml, on the oldest Python, "newest" what pip takes by itself, on
every Python from 3.11 to 3.14 that is at hand (on the PATH or under pyenv). Installed are the wheel and the extras that need
no PyTorch. Each environment must go without PyTorch, list the backends, run the demo and the README's Python on it, serve the
page, and write to and read from an address of fsspec. Prints a table; the exit status is 1 when one of them fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("ui", "remote")
MINORS = range(11, 15)
SHOWN = ("av", "fastapi", "fsspec", "numpy", "onnxruntime", "opencv-python-headless", "pillow", "pycocotools", "rich")
_REQUIREMENT = re.compile(r"([\w.-]+)>=([\w.]+)(?:,<([\w.]+))?")

CHECKS = r"""
import contextlib, importlib.util, io, re, subprocess, sys, urllib.request
from pathlib import Path
from sampt.cli.main import main

assert importlib.util.find_spec("torch") is None, "a plain installation has no PyTorch"
listed = io.StringIO()
with contextlib.redirect_stdout(listed):
    assert main(["backends"]) == 0
assert "cannot be loaded" not in listed.getvalue(), listed.getvalue()
assert main(["demo", "--preset", "fast-offline", "--quiet"]) == 0
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    exec(Path("readme.py").read_text(), {"__name__": "readme"})
lines = shown.getvalue().splitlines()
video = __import__("sampt").open_video("sampt-demo/clip.mp4")
assert [line.split()[0] for line in lines] == [str(i) for i in range(video.num_frames)], lines
command = [sys.executable, "-m", "sampt", "ui", "sampt-demo/clip.mp4", "--no-browser", "--port", "0"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
try:
    address = next(found[0] for line in server.stdout if (found := re.search(r"http://[^/ ]+", line)))
    assert b"sampt" in urllib.request.urlopen(address + "/", timeout=60).read()
finally:
    server.terminate()
    server.wait(30)
from sampt.batch.remote import RemoteFolder
RemoteFolder("memory://folder").write("a.txt", b"kept")
assert RemoteFolder("memory://folder").read("a.txt") == b"kept"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=("lowest", "newest"), default=["lowest", "newest"])
    parser.add_argument("--last", action="store_true", help="on the newest Python at hand alone")
    arguments = parser.parse_args()
    pythons = find_pythons()
    chosen = {"lowest": dict(sorted(pythons.items())[:1]), "newest": pythons}
    if arguments.last:
        chosen = {versions: dict(sorted(pythons.items())[-1:]) for versions in chosen}
    works = True
    print("| Python | versions | result | s | installed |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="sampt-installs-") as folder:
        wheel = build_wheel(Path(folder))
        for versions in arguments.sets:
            for minor, python in chosen[versions].items():
                row = try_one(Path(folder) / f"{versions}-3.{minor}", wheel, python, versions)
                print(f"| {' | '.join(row)} |", flush=True)
                works &= row[2] == "works"
    return int(not works)


def find_pythons() -> dict[int, Path]:
    """Interpreters by their minor version; of several the last release."""
    under_pyenv = (Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions").glob("3.*/bin/python")
    on_path = (shutil.which(f"python3.{minor}") for minor in MINORS)
    found: dict[int, tuple[tuple[int, ...], Path]] = {}
    for python in (sys.executable, *on_path, *under_pyenv):
        code = "import sys, venv; print(*sys.version_info[:3])"
        run = python and subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if run and run.returncode == 0:
            release = tuple(map(int, run.stdout.split()))
            if release[1] in MINORS and release > found.get(release[1], ((), Path()))[0]:
                found[release[1]] = release, Path(python)
    return {minor: found[minor][1] for minor in sorted(found)}


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def try_one(folder: Path, wheel: Path, python: Path, versions: str) -> list[str]:
    """A row of the table. The environment is removed."""
    start = time.perf_counter()
    folder.mkdir()
    bounds = folder / "lowest.txt"
    bounds.write_text("\n".join(lower_bounds(EXTRAS)) + "\n")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (folder / "readme.py").write_text(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0], encoding="utf-8")
    own = str(folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    install += ["-c", str(bounds)] if versions == "lowest" else []
    steps = [
        [str(python), "-m", "venv", str(folder / "venv")],
        [*install, f"{wheel}[{','.join(EXTRAS)}]"],
        [own, "-m", "pip", "check", "--disable-pip-version-check"],
        [own, "-c", CHECKS],
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = "works"
    for step in steps:
        run = subprocess.run(step, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            print(run.stdout[-2000:] + run.stderr[-4000:], file=sys.stderr)
            last_line = " ".join((run.stderr or run.stdout).strip().splitlines()[-1:])
            result = f"fails: {last_line[:160]}"
            break
    release = _printed([str(python), "-c", "import platform; print(platform.python_version())"])
    installed = _printed(
        [own, "-c", f"from importlib.metadata import version as v; print(*(f'{{n}} {{v(n)}}' for n in {SHOWN}), sep=', ')"]
    )
    shutil.rmtree(folder, ignore_errors=True)
    return [release, versions, result, f"{time.perf_counter() - start:.0f}", installed]


def lower_bounds(extras: Sequence[str]) -> list[str]:
    """Constraints that leave of every requirement its lower bound alone.

    Raises:
        ValueError: a requirement has no bounds.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    found = {text: _REQUIREMENT.fullmatch(text) for text in requirements}
    if missing := [text for text, match in found.items() if match is None or match[3] is None]:
        raise ValueError(f"{', '.join(missing)}: expected NAME>=LOWEST,<FIRST_THAT_IS_NOT_ADMITTED")
    return [f"{match[1]}=={match[2]}" for match in found.values() if match is not None]


def _printed(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
