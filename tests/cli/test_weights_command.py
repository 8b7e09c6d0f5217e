"""``sampt weights``: what it prints, where, and with which status."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampt.weights import SOURCES, WeightsSource


@pytest.fixture
def offered(server: Any, cache: Path) -> Iterator[dict[str, WeightsSource]]:
    """Two checkpoints, instead of the official ones, which come back in their order: a published digest, and none."""
    sha256 = hashlib.sha256(server.content).hexdigest()
    made = {
        name: WeightsSource(
            name, name, f"{name}.pth", server.url(), "PAGE", "MIT", "CC-BY-NC-4.0", sha256=digest, num_bytes=300_000
        )
        for name, digest in (("known", sha256), ("unknown", None))
    }
    before = dict(SOURCES)
    SOURCES.clear()
    SOURCES.update(made)
    yield made
    SOURCES.clear()
    SOURCES.update(before)


def test_list_shows_every_official_checkpoint(call: Any, server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setitem(SOURCES, "mine", server.source(name="mine", file="mine.pth", url=None))
    outcome = call("weights", "list")
    assert outcome.status == 0
    rows = {cells[0]: cells for line in outcome.out.splitlines() if (cells := [c.strip() for c in line.split("│")[1:-1]])}
    assert set(rows) == set(SOURCES)
    assert rows["sam-vit-b"] == ["sam-vit-b", "375 MB", "Apache-2.0", "Apache-2.0", "no"]
    assert rows["cotracker3-offline"][2:4] == ["CC-BY-NC-4.0", "CC-BY-NC-4.0"]
    assert (rows["pips-pp"][4], rows["mine"][4]) == ("no", "no; by hand")
    assert rows["raft-small"] == ["raft-small", "4.0 MB", "BSD-3-Clause", "BSD-3-Clause", "no"]


def test_list_for_programs_and_what_is_cached(call: Any, offered: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # it is not wrapped
    assert call("weights", "pull", "known", "--quiet").out == f"{cache / 'known.pth'}\n"
    facts = {fact["name"]: fact for fact in json.loads(call("weights", "list", "--json").out)}
    assert list(facts) == ["known", "unknown"]
    assert facts["known"]["cached"] == str(cache / "known.pth")
    assert facts["known"]["sha256"] == offered["known"].sha256
    assert (facts["unknown"]["cached"], facts["unknown"]["license_weights"]) == (None, "CC-BY-NC-4.0")
    monkeypatch.setenv("COLUMNS", "120")
    assert re.search(r"│ known +│ 300 kB │ MIT +│ CC-BY-NC-4.0 +│ yes +│", call("weights", "list").out)


def test_pull_tells_licenses_and_digests_and_prints_paths(call: Any, offered: Any, server: Any, cache: Path) -> None:
    outcome = call("weights", "pull", "known", "unknown")
    assert outcome.status == 0
    assert outcome.out == f"{cache / 'known.pth'}\n{cache / 'unknown.pth'}\n"
    sha256 = offered["known"].sha256
    assert outcome.err.splitlines() == [
        "known: 300 kB, licence of code MIT, of weights CC-BY-NC-4.0; PAGE",
        f"known: verified sha256 {sha256}",
        "unknown: 300 kB, licence of code MIT, of weights CC-BY-NC-4.0; PAGE",
        f"unknown: unverified: no digest is published, this one is recorded here: sha256 {sha256}",
    ]
    assert len(server.seen) == 2
    call("weights", "pull", "known", "unknown")
    assert len(server.seen) == 2


def test_an_unknown_name_ends_before_any_download(call: Any, offered: Any, server: Any) -> None:
    outcome = call("weights", "pull", "known", "unknwn")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == "sampt: error: Unknown weights 'unknwn'. Did you mean 'unknown'? Available: known, unknown.\n"
    assert not server.seen


def test_a_failed_download_is_one_line(
    call: Any, offered: Any, server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts = [100_000, 0, 0, 0]
    outcome = call("weights", "pull", "known", "--quiet")
    assert outcome.status == 2
    assert outcome.err.startswith(f"sampt: error: The download of known from {server.url()} stopped at 100000 bytes")
    assert outcome.err.endswith("run it again to go on from there.\n")
    assert outcome.err.count("\n") == 1
    assert call("weights", "pull", "known", "--quiet").status == 0
    assert server.seen[-1].range == "bytes=100000-"
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    outcome = call("weights", "pull", "unknown", "--quiet")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert f"put it at {cache / 'unknown.pth'}, or unset SAMPT_OFFLINE." in outcome.err


def test_verify_reads_what_is_there(call: Any, offered: Any, cache: Path) -> None:
    outcome = call("weights", "verify")
    assert outcome.status == 2
    assert outcome.err == f"sampt: error: The cache {cache} holds no weights; run 'sampt weights pull NAME'.\n"
    call("weights", "pull", "known", "unknown")
    outcome = call("weights", "verify")
    assert (outcome.status, outcome.err) == (0, "")
    assert [line.split(":")[0:2] for line in outcome.out.splitlines()] == [
        ["known", f" verified sha256 {offered['known'].sha256}"],
        ["unknown", " unverified"],
    ]
    (cache / "known.pth").write_bytes(b"x" * 300_000)
    outcome = call("weights", "verify")
    assert outcome.status == 2
    assert outcome.out.startswith(f"known: WRONG: {cache / 'known.pth'} has the sha256 ")
    assert outcome.err == "sampt: error: 1 of 2 weights are missing or wrong: known; pull them again.\n"
    assert call("weights", "verify", "unknown").status == 0


def test_verify_tells_a_change_that_leaves_size_and_time_alone(call: Any, offered: Any, cache: Path) -> None:
    import os

    call("weights", "pull", "known")
    path = cache / "known.pth"
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"?")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert call("weights", "verify", "known").status == 2


def test_path_of_a_file_and_of_the_cache(call: Any, offered: Any, cache: Path) -> None:
    assert call("weights", "path").out == f"{cache}\n"
    outcome = call("weights", "path", "known")
    assert outcome.status == 2
    assert outcome.err == f"sampt: error: 'known' is not in the cache {cache}; run 'sampt weights pull known'.\n"
    call("weights", "pull", "known")
    assert call("weights", "path", "known").out == f"{cache / 'known.pth'}\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "the following arguments are required: ACTION. See 'sampt weights --help'.\n"),
        (["pul"], "Did you mean 'pull'? See 'sampt weights --help'.\n"),
        (["pull"], "the following arguments are required: NAME. See 'sampt weights pull --help'.\n"),
        (["list", "--jsn"], "Did you mean '--json'? See 'sampt weights list --help'.\n"),
    ],
)
def test_wrong_words_are_one_line(words: list[str], text: str, call: Any) -> None:
    outcome = call("weights", *words)
    assert outcome.status == 2
    assert outcome.err.endswith(text)
    assert outcome.err.count("\n") == 1
