"""Builds the documentation site into site/, without network, and checks its links: `make docs`.

python -m tools.docs_site            builds and checks
python -m tools.docs_site --open     ... and opens it in a browser
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from .links import check_markdown, check_site
from .pages import ROOT, Navigation, repository_pages, write_pages

WORK = ROOT / "build/docs"
SITE = ROOT / "site"
_NOTICE = re.compile(r"warning|error", re.IGNORECASE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and check; 1 when there is anything to mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", action="store_true", help="open the site in a browser")
    options = parser.parse_args(arguments)
    try:
        problems = build(WORK) or check_site(WORK / "built")
    except ValueError as error:
        problems = [str(error)]
    for source in ("README.md", *repository_pages()):
        problems += check_markdown(ROOT / source)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(WORK / "built", SITE)
    print(f"site/index.html: {sum(1 for _ in SITE.rglob('*.html'))} pages, every link leads somewhere.")
    if options.open:
        webbrowser.open((SITE / "index.html").as_uri())
    return 0


def build(folder: Path) -> list[str]:
    """Build the site into ``folder``/built; returns what the generator had to say against it."""
    shutil.rmtree(folder, ignore_errors=True)
    navigation = write_pages(folder / "pages")
    config = (Path(__file__).parent / "zensical.toml").read_text(encoding="utf-8")
    config = config.replace("@NAVIGATION@", _to_toml(navigation)).replace("@SOURCES@", (ROOT / "src").as_posix())
    (folder / "zensical.toml").write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / "zensical.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = f"{done.stdout}{done.stderr}"
    return [said.strip()] if done.returncode or _NOTICE.search(said) else []


def _to_toml(navigation: Navigation) -> str:
    """The navigation as an array of inline tables; a string of JSON is one of TOML, too."""
    entries = []
    for entry in navigation:
        for title, value in entry.items():
            entries.append(f"{{ {json.dumps(title)} = {json.dumps(value) if isinstance(value, str) else _to_toml(value)} }}")
    return f"[{', '.join(entries)}]"


if __name__ == "__main__":
    raise SystemExit(main())
