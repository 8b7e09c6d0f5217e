"""The version, which several files name: whether they agree, a new one written to all, and what a release of it says.

    python tools/version.py                     # prints it
    python tools/version.py --check             # what the tests and pre-commit run
    python tools/version.py --check --tag v0.2.0   # what a release runs: the tag is the version, too
    python tools/version.py --set 0.2.0         # version.py, CITATION.cff and the heading of CHANGELOG.md
    python tools/version.py --notes             # CHANGELOG.md's part of it, for the release's page
    python tools/version.py --home https://HOST/OWNER/NAME   # where it is to be found, to all files that name it

``src/sampt/version.py`` is where it is written; the other files have it from there. A version that has no heading in
CHANGELOG.md yet is one that is being worked on, under ``[Unreleased]``; a tag needs the heading.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_CITED = re.compile(r'^version: "?([^"\n]+)"?$', re.MULTILINE)
_CITED_DATE = re.compile(r'^date-released: "?([^"\n]+)"?$', re.MULTILINE)
_HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
_FORM = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
_UNRELEASED = "Unreleased"
_URLS = {
    "Source": "",
    "Documentation": "/tree/main/docs",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Issues": "/issues",
}
"""Of ``[project.urls]``, below the project's home."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--check", action="store_true", help="exit status 1 and a line for each file that disagrees")
    act.add_argument("--set", metavar="VERSION", help="write a new version, and today's date")
    act.add_argument("--notes", action="store_true", help="print what CHANGELOG.md says of the version")
    act.add_argument("--home", metavar="URL", help="write where the project is to be found")
    parser.add_argument("--tag", metavar="NAME", help="with --check: the tag of a release")
    arguments = parser.parse_args()
    if arguments.tag is not None and not arguments.check:
        parser.error("--tag goes with --check")
    if arguments.set:
        if not _FORM.fullmatch(arguments.set):
            parser.error(f"--set is {arguments.set}; expected a version such as 0.2.0 or 0.2.0rc1")
        write_version(ROOT, arguments.set, datetime.datetime.now(tz=datetime.UTC).date().isoformat())
    elif arguments.home:
        if not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+", arguments.home):
            parser.error(f"--home is {arguments.home}; expected https://HOST/OWNER/NAME without a slash at its end")
        write_home(ROOT, arguments.home)
    elif arguments.notes:
        print(find_notes(ROOT))
    elif arguments.check:
        found = list(disagreements(ROOT, arguments.tag))
        print("\n".join(found), end="\n" if found else "", file=sys.stderr)
        return int(bool(found))
    else:
        print(read_version(ROOT))
    return 0


def read_version(root: Path) -> str:
    """What ``src/sampt/version.py`` says."""
    found = _VERSION.search(_read(root, "src/sampt/version.py"))
    assert found is not None
    return found[1]


def disagreements(root: Path, tag: str | None = None) -> Iterator[str]:
    """A line for each file that names another version than ``version.py``; with a tag, also for what a release lacks."""
    version = read_version(root)
    if not _FORM.fullmatch(version):
        yield f"src/sampt/version.py has {version}; expected a version such as 0.2.0 or 0.2.0rc1."
    cited = _CITED.search(_read(root, "CITATION.cff"))
    if cited is None or cited[1] != version:
        yield f"CITATION.cff has the version {cited and cited[1]}, src/sampt/version.py {version}; run tools/version.py --set."
    headings = _HEADING.findall(_read(root, "CHANGELOG.md"))
    names = [name for name, _ in headings]
    if not names or names[0] != _UNRELEASED:
        yield f"CHANGELOG.md begins with {names[:1]}; expected ## [{_UNRELEASED}] first."
    released = [name for name in names if name != _UNRELEASED]
    if released and released[0] != version and version in released:
        yield f"CHANGELOG.md has {released[0]} above {version}, which src/sampt/version.py has; expected the newest one first."
    if tag is None:
        return
    if tag != f"v{version}":
        yield f"The tag is {tag}, and src/sampt/version.py has {version}; expected v{version}."
    dates = dict(headings)
    if not dates.get(version):
        yield f"CHANGELOG.md has no heading ## [{version}] - DATE; run tools/version.py --set {version} before the tag is set."
    date = _CITED_DATE.search(_read(root, "CITATION.cff"))
    if date is None or date[1] != dates.get(version):
        yield f"CITATION.cff has the date {date and date[1]}, CHANGELOG.md {dates.get(version)}; run tools/version.py --set."
    urls = tomllib.loads(_read(root, "pyproject.toml"))["project"].get("urls", {})
    if missing := _URLS.keys() - urls.keys():
        yield f"[project.urls] of pyproject.toml lacks {', '.join(sorted(missing))}; run tools/version.py --home URL."


def find_notes(root: Path) -> str:
    """CHANGELOG.md's part of the version, or of what is not released where there is none."""
    text = _read(root, "CHANGELOG.md")
    found = {match[1]: match for match in _HEADING.finditer(text)}
    match = found.get(read_version(root)) or found[_UNRELEASED]
    next_heading = _HEADING.search(text, match.end())
    return text[match.end() : next_heading.start() if next_heading else len(text)].strip()


def write_version(root: Path, version: str, date: str) -> None:
    """A version to all files; what was not released is its part of CHANGELOG.md."""
    _replace(root, "src/sampt/version.py", _VERSION, f'__version__ = "{version}"')
    _replace(root, "CITATION.cff", _CITED, f'version: "{version}"')
    text = _read(root, "CITATION.cff")
    if _CITED_DATE.search(text):
        _replace(root, "CITATION.cff", _CITED_DATE, f'date-released: "{date}"')
    else:
        _replace(root, "CITATION.cff", _CITED, f'version: "{version}"\ndate-released: "{date}"')
    if version not in {name for name, _ in _HEADING.findall(_read(root, "CHANGELOG.md"))}:
        heading = re.compile(rf"^## \[{_UNRELEASED}\]$", re.MULTILINE)
        _replace(root, "CHANGELOG.md", heading, f"## [{_UNRELEASED}]\n\n## [{version}] - {date}")


def write_home(root: Path, url: str) -> None:
    """Where the project is to be found, to pyproject.toml, CITATION.cff and the form for reports of weaknesses."""
    lines = "".join(f'{name} = "{url}{below}"\n' for name, below in _URLS.items())
    text = _read(root, "pyproject.toml")
    start = text.index("[project.urls]\n") + len("[project.urls]\n")
    end = text.index("\n[", start)
    kept = [line for line in text[start:end].splitlines(keepends=True) if line.partition(" ")[0] not in _URLS]
    _write(root, "pyproject.toml", text[:start] + lines + "".join(kept) + text[end:])
    cited = re.sub(r"^repository-code:.*\n", "", _read(root, "CITATION.cff"), flags=re.MULTILINE)
    _write(root, "CITATION.cff", _CITED.sub(lambda found: f'{found[0]}\nrepository-code: "{url}"', cited, count=1))


def _replace(root: Path, name: str, pattern: re.Pattern[str], new: str) -> None:
    text, count = pattern.subn(lambda _: new, _read(root, name), count=1)
    if not count:
        raise SystemExit(f"{name} has no line {pattern.pattern}; expected one to write {new!r} to.")
    _write(root, name, text)


def _read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def _write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    raise SystemExit(main())
