"""Builds the wheel and the source distribution, and tries each as a stranger would: in a bare environment, by the demo.

    python tools/smoke.py                 # the wheel and the source distribution
    python tools/smoke.py --systems       # also the tests that tell systems apart: what tests.yml runs on Linux, macOS, Windows
    python tools/smoke.py --keep dist     # what a release runs: both files stay in dist/

Needs nothing but Python: `build` and `twine` are installed in an environment of their own, beside those that the two are tried
in. Tried are the metadata, what the files hold, the command, `sampt demo`, its IoU and its files. Prints a table; the exit
status is 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("build>=1.2,<2", "twine>=6.1,<8")
TEST_TOOLS = ("pytest>=9.2,<10", "pytest-timeout>=2.4,<3")
LOWEST_IOU = 0.6
"""Of the demo's preset; docs/benchmarks.md has what it comes to."""
_IOU = re.compile(r"mean over frames: ([0-9.]+)")
IN_WHEEL = ("sampt/version.py", "sampt/py.typed", "sampt/web/static/index.html")
IN_SOURCES = (
    "src/sampt/version.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "THIRD_PARTY.md",
    "CHANGELOG.md",
    "CITATION.cff",
)
LICENSES = ("LICENSE", "THIRD_PARTY.md")
MAX_BYTES = 60_000_000
"""Of either file; PyPI takes 100 MB."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", action="store_true", help="run tests/platforms with the wheel, too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the wheel and the source distribution there")
    arguments = parser.parse_args()
    works = True
    with tempfile.TemporaryDirectory(prefix="sampt-smoke-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = build(folder)
        print("| file | MB | files | result | s | IoU of the demo |\n|---|---|---|---|---|---|", flush=True)
        for file in files:
            start = time.perf_counter()
            names = list_names(file)
            wrong, iou = check_names(file, names), ""
            if wrong is None:
                wrong, iou = try_file(folder / f"try-{file.suffix[1:]}", file)
            works &= wrong is None
            facts = (
                f"{file.stat().st_size / 1e6:.1f}",
                f"{len(names)}",
                wrong or "works",
                f"{time.perf_counter() - start:.0f}",
                iou,
            )
            print(f"| {file.name} | {' | '.join(facts)} |", flush=True)
        if arguments.systems and works:
            works = try_platforms(folder / "platforms", files[0])
        if arguments.keep is not None and works:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy2(file, arguments.keep)
    return int(not works)


def build(folder: Path) -> list[Path]:
    """The wheel, which is built from the source distribution, and that; their metadata are checked."""
    python = make_environment(folder / "tools")
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS], folder)
    run([python, "-m", "build", "--outdir", folder / "dist", ROOT], folder)
    files = sorted((folder / "dist").iterdir())
    if [file.suffix for file in files] != [".whl", ".gz"]:
        raise SystemExit(f"The build made {[file.name for file in files]}; expected a wheel and a source distribution.")
    run([python, "-m", "twine", "check", "--strict", *files], folder)
    return files


def list_names(file: Path) -> list[str]:
    """Files in it, a source distribution's without its folder."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    with tarfile.open(file) as archive:
        return [member.name.partition("/")[2] for member in archive if member.isfile()]


def check_names(file: Path, names: Sequence[str]) -> str | None:
    """What is wrong with what it holds."""
    is_wheel = file.suffix == ".whl"
    missing = set(IN_WHEEL if is_wheel else IN_SOURCES) - set(names)
    if is_wheel:
        missing |= {name for name in LICENSES if not any(n.endswith(f".dist-info/licenses/{name}") for n in names)}
    elif not any(name.startswith("tests/") for name in names):
        missing.add("tests/")
    if missing:
        return f"lacks {', '.join(sorted(missing))}"
    stray = [n for n in names if "__pycache__" in n or (n.startswith((".", "node_modules/", "shared/")) and n != ".gitignore")]
    if stray:
        return f"holds {stray[0]}"
    size = file.stat().st_size
    return f"has {size} bytes; expected {MAX_BYTES} at most" if size > MAX_BYTES else None


def try_file(folder: Path, file: Path) -> tuple[str | None, str]:
    """What is wrong with it in an environment that has nothing else, and the IoU of the demo."""
    try:
        python = make_environment(folder / "venv")
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", file], folder)
        run([python, "-m", "pip", "check", "--disable-pip-version-check"], folder)
        command = python.with_name(f"sampt{python.suffix}")
        version = file.name.split("-")[1].removesuffix(".tar.gz")
        if (said := run([command, "--version"], folder).strip()) != f"sampt {version}":
            return f"says {said!r}; expected sampt {version}", ""
        found = _IOU.search(run([command, "demo", "--quiet"], folder))
        if found is None or float(found[1]) < LOWEST_IOU:
            return f"the demo's IoU is {found and found[1]}; expected {LOWEST_IOU} or more", found[1] if found else ""
        result = folder / "sampt-demo" / "result"
        manifest = json.loads((result / "run.json").read_text(encoding="utf-8"))
        lacks = [name for name in manifest["files"].values() if not (result / name).exists()]
        if lacks or not lists_results(manifest):
            return f"the demo's run.json names {lacks}, which is not there", found[1]
        return None, found[1]
    except subprocess.CalledProcessError as error:
        print(f"{error.stdout[-2000:]}{error.stderr[-4000:]}", file=sys.stderr)
        last = (error.stderr or error.stdout).strip().splitlines()[-1:]
        return f"fails: {' '.join(map(str, error.cmd[1:4]))}: {' '.join(last)[:160]}", ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def try_platforms(folder: Path, wheel: Path) -> bool:
    """Whether tests/platforms pass on this system, with the wheel; what they print is shown."""
    python = make_environment(folder)
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[ui]", *TEST_TOOLS], folder)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/platforms"]
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=False).returncode == 0


def lists_results(manifest: Mapping[str, object]) -> bool:
    return bool(manifest.get("results")) and bool(manifest.get("files"))


def make_environment(folder: Path) -> Path:
    """Its Python."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "venv", folder], folder.parent)
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def run(command: Sequence[str | Path], folder: Path) -> str:
    """What it prints; without this checkout on the path."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
