"""Checkpoints are fetched once, whole and verified, whatever the server, the line, the disk and other processes do."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sampt.errors import BackendError
from sampt.weights import WeightsSource, fetch, no_downloads, verify, weights_folder
from sampt.weights.download import _KeepsEncrypted


def message_of(source: WeightsSource) -> str:
    with pytest.raises(BackendError) as caught:
        fetch(source, lambda done, total: None)
    text = str(caught.value)
    assert "\n" not in text
    return text


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if p.is_file()}


def start(source: WeightsSource, err: Path) -> subprocess.Popen[str]:
    """Fetch in a process of its own."""
    code = f"from pathlib import Path\nfrom sampt.weights import WeightsSource, fetch\nprint(fetch({source!r}))"
    with err.open("w") as file:
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=file, text=True)


def test_a_file_is_downloaded_verified_and_not_asked_for_again(server: Any, cache: Path) -> None:
    message: list[tuple[int, int | None]] = []
    source = server.source(num_bytes=300_000, is_exact_size=True)
    path = fetch(source, lambda done, total: message.append((done, total)))
    assert path == cache / "some.pth"
    assert path.read_bytes() == server.content
    assert files(cache) == {"some.pth", "some.pth.json"}
    assert message[0] == (0, 300_000)
    assert message[-1] == (300_000, 300_000)
    assert message == sorted(message)
    record = json.loads((cache / "some.pth.json").read_text())
    assert (record["algorithm"], record["digest"], record["is_published"]) == ("sha256", source.sha256, True)
    assert fetch(source) == path
    assert [seen.range for seen in server.seen] == [None]
    assert server.seen[0].agent.startswith("sampt/")


def test_a_verified_file_is_not_read_again_until_it_is_touched(
    server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(server.source())
    monkeypatch.setattr("sampt.weights.cache.compute_digest", lambda *_: pytest.fail("it was read"))
    assert fetch(server.source()) == path
    os.utime(path, ns=(1, 1))
    with pytest.raises(pytest.fail.Exception, match="it was read"):
        fetch(server.source())


def test_a_cut_download_goes_on_where_it_stopped(server: Any, cache: Path) -> None:
    server.cuts = [100_000, 50_000]
    assert fetch(server.source()).read_bytes() == server.content
    assert [(s.range, s.if_range, s.sent) for s in server.seen] == [
        (None, None, 100_000),
        ("bytes=100000-", '"first"', 50_000),
        ("bytes=150000-", '"first"', 150_000),
    ]


def test_without_ranges_a_cut_download_begins_again(server: Any, cache: Path) -> None:
    server.ranges, server.cuts = "no", [100_000]
    assert fetch(server.source()).read_bytes() == server.content
    assert [(s.range, s.sent) for s in server.seen] == [(None, 100_000), ("bytes=100000-", 300_000)]


@pytest.mark.parametrize("ranges", ["yes", "careless"])
@pytest.mark.parametrize("size", [300_000, 250_000, 90_000])
def test_a_file_that_changed_meanwhile_is_never_mixed(server: Any, cache: Path, ranges: str, size: int) -> None:
    server.ranges, server.cuts = ranges, [100_000] * 4
    source = server.source(sha256=None)  # nothing but the server tells
    assert "stopped at 100000 bytes (the connection was cut, 200000 bytes are missing); run" in message_of_stuck(server, source)
    server.content, server.headers["ETag"], server.cuts = bytes(size), '"second"', []
    assert fetch(source).read_bytes() == bytes(size)


def message_of_stuck(server: Any, source: WeightsSource) -> str:
    """The first response is cut, those that follow bring nothing."""
    server.cuts = [server.cuts[0], 0, 0, 0]
    return message_of(source)


def test_bytes_of_an_unknown_version_are_not_built_upon(server: Any, cache: Path) -> None:
    server.headers["ETag"] = 'W/"weak"'
    server.cuts = [100_000]
    fetch(server.source(sha256=None))
    assert [s.range for s in server.seen] == [None, None]
    server.seen.clear()
    server.cuts = [100_000]
    fetch(server.source(file="other.pth"))  # a digest would tell a mixture
    assert [s.range for s in server.seen] == [None, "bytes=100000-"]


def test_a_digest_catches_a_mixture_that_the_server_does_not_tell(server: Any, cache: Path) -> None:
    del server.headers["ETag"]
    source = server.source()
    server.cuts = [100_000, 0, 0, 0]
    message_of(source)
    first, server.content = server.content, bytes(300_000)
    assert "has the sha256" in message_of(source)
    assert not files(cache)
    server.content = first
    assert fetch(source).read_bytes() == first


def test_a_wrong_digest_removes_the_file(server: Any, cache: Path) -> None:
    wrong = "0" * 32
    found = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    assert message_of(server.source(sha256=None, md5=wrong)) == (
        f"What {server.url()} gave for 'some' has the md5 {found}, expected {wrong}; it was removed. Run it again; if that"
        f" does not help, get some.pth from PAGE and put it at {cache / 'some.pth'}."
    )
    assert not files(cache)


def test_a_wrong_size_is_told_before_the_download(server: Any, cache: Path) -> None:
    message = message_of(server.source(num_bytes=5, is_exact_size=True))
    assert message.startswith(f"{server.url()} has 300000 bytes, expected 5: it is not some; get some.pth from PAGE")
    assert not files(cache)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"binary", "text/html; charset=utf-8", "a web page"),
        (b"\n <!DOCTYPE html><p>log in", "application/octet-stream", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid ...", "application/octet-stream", "a pointer of Git LFS"),
    ],
)
def test_something_else_instead_of_weights_is_told(server: Any, cache: Path, content: bytes, kind: str, message: str) -> None:
    server.content, server.headers["Content-Type"] = content, kind
    assert message_of(server.source()).startswith(f"{server.url()} gave {message} instead of some, as behind a proxy")
    assert not files(cache)
    assert len(server.seen) == 1


def test_a_missing_file_is_told_at_once_and_a_busy_server_is_asked_again(server: Any, cache: Path) -> None:
    server.statuses = [404]
    assert message_of(server.source()) == (
        f"{server.url()} responded with 404 Not Found, expected the file of some; get some.pth from PAGE and put it at"
        f" {cache / 'some.pth'}."
    )
    server.statuses = [503, 429, 500]
    assert fetch(server.source()).read_bytes() == server.content
    assert len(server.seen) == 1 + 4
    server.statuses = [503] * 9
    assert "stopped at 0 bytes (the server responded with 503 Service Unavailable); run it again" in message_of(
        server.source(file="other.pth")
    )
    assert len(server.seen) == 5 + 4


def test_no_server_is_told_in_one_line(server: Any, cache: Path) -> None:
    source = server.source(url="http://127.0.0.1:9/file.pth")
    assert "stopped at 0 bytes (no connection: " in message_of(source)
    assert "expected one that begins with https://" in message_of(server.source(url="file:///etc/passwd"))


def test_after_giving_up_the_next_call_goes_on(server: Any, cache: Path) -> None:
    server.cuts = [100_000, 0, 0, 0, None]
    assert message_of(server.source()) == (
        f"The download of some from {server.url()} stopped at 100000 bytes (the connection was cut, 200000 bytes are missing);"
        " run it again to go on from there."
    )
    assert files(cache) == {"some.pth.partial", "some.pth.partial.json"}
    assert fetch(server.source()).read_bytes() == server.content
    assert server.seen[-1].range == "bytes=100000-"
    assert sum(s.sent for s in server.seen) == 300_000


def test_a_redirection_keeps_the_range_and_never_leaves_encryption(server: Any, cache: Path) -> None:
    server.cuts = [100_000]
    assert fetch(server.source(url=server.url("moved/file.pth"))).read_bytes() == server.content
    assert [s.range for s in server.file_requests] == [None, "bytes=100000-"]
    request = urllib.request.Request("https://a.example/f")
    with pytest.raises(BackendError, match=r"redirects to http://a\.example/f, which is not encrypted"):
        _KeepsEncrypted().redirect_request(request, io.BytesIO(), 302, "", Message(), "http://a.example/f")


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert message_of(server.source()) == (
        f"The disk is full: some needs 300000 bytes (300 kB) more in {cache}, where 1.0 kB are free; free some, or set"
        " SAMPT_WEIGHTS_DIR to a folder on another disk."
    )
    assert not files(cache)


class Full(io.FileIO):
    """A file on a disk that is full at its 120 000th byte, inside a piece of what is written."""

    def write(self, data: Any) -> int:
        room = 120_000 - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(data)[:room])


def test_a_disk_that_fills_up_keeps_what_came(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if path.name == "some.pth.partial" and "a" in mode:
            return io.BufferedWriter(Full(path, mode))
        return usual(path, mode, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        message = message_of(server.source())
    assert message.startswith(f"The disk is full: some needs 180000 bytes (180 kB) more in {cache}, where ")
    kept = (cache / "some.pth.partial").read_bytes()
    assert kept == server.content[:120_000]
    assert fetch(server.source()).read_bytes() == server.content
    assert server.seen[-1].range == "bytes=120000-"


def test_a_cache_that_cannot_be_written_is_told(server: Any, cache: Path) -> None:
    cache.write_text("a file is in the way")
    assert message_of(server.source()).startswith(f"some.pth cannot be kept in {cache} (Not a directory); expected a folder")


def test_two_processes_at_once_download_once(server: Any, cache: Path, tmp_path: Path, wait_until: Any) -> None:
    server.hold_at = 150_000
    errs = [tmp_path / "a", tmp_path / "b"]
    both = [start(server.source(), err) for err in errs]
    wait_until(lambda: any("waiting for another process" in err.read_text() for err in errs))
    server.go_on.set()
    assert [process.communicate(timeout=60)[0] for process in both] == [f"{cache / 'some.pth'}\n"] * 2
    assert [process.returncode for process in both] == [0, 0]
    assert [s.sent for s in server.seen] == [300_000]
    assert (cache / "some.pth").read_bytes() == server.content


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(
    server: Any, cache: Path, tmp_path: Path, wait_until: Any
) -> None:
    server.hold_at = 150_000
    process = start(server.source(), tmp_path / "err")
    partial = cache / "some.pth.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size == 150_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert files(cache) == {"some.pth.partial", "some.pth.partial.json"}
    server.hold_at = None
    assert fetch(server.source()).read_bytes() == server.content
    assert server.seen[-1].range == "bytes=150000-"
    assert server.seen[-1].sent == 150_000


def test_a_process_killed_before_the_renaming_downloads_nothing_again(server: Any, cache: Path) -> None:
    server.cuts = [100_000, 0, 0, 0]
    message_of(server.source())
    (cache / "some.pth.partial").write_bytes(server.content)
    count = len(server.seen)
    assert fetch(server.source()).read_bytes() == server.content
    assert len(server.seen) == count


def test_offline_nothing_is_asked_and_a_file_put_there_by_hand_is_used(
    server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    assert message_of(server.source()) == (
        f"'some' is not in the cache and SAMPT_OFFLINE is set; fetch {server.url()} on a machine with network and put it at"
        f" {cache / 'some.pth'}, or unset SAMPT_OFFLINE."
    )
    by_hand = "'some' cannot be downloaded directly; get it as PAGE says and put it at "
    assert message_of(server.source(url=None)).startswith(by_hand)
    assert not cache.exists()
    cache.mkdir()
    (cache / "some.pth").write_bytes(server.content)
    assert fetch(server.source()) == cache / "some.pth"
    assert not server.seen
    (cache / "some.pth").unlink()
    monkeypatch.setenv("SAMPT_OFFLINE", "0")
    assert fetch(server.source()) == cache / "some.pth"
    assert len(server.seen) == 1


def test_within_no_downloads_only_what_is_at_hand_is_used(server: Any, cache: Path) -> None:
    with no_downloads("nobody prompted"):
        assert "because nobody prompted" in message_of(server.source())
    assert not server.seen
    assert fetch(server.source()) == cache / "some.pth"
    assert len(server.seen) == 1
    with no_downloads("nobody prompted"):
        assert fetch(server.source()) == cache / "some.pth"


def test_a_file_by_hand_that_is_another_one_is_told_and_left_alone(server: Any, cache: Path) -> None:
    cache.mkdir()
    (cache / "some.pth").write_bytes(b"mine")
    message = message_of(server.source())
    assert message.startswith(f"{cache / 'some.pth'} has the sha256 {hashlib.sha256(b'mine').hexdigest()}, expected ")
    assert message.endswith(": it is not the official some. Delete it and run 'sampt weights pull some'.")
    assert (cache / "some.pth").read_bytes() == b"mine"
    assert not server.seen


def test_the_location_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SAMPT_WEIGHTS_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert weights_folder() == tmp_path / ".cache" / "sampt" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says to ignore it
    assert weights_folder() == tmp_path / ".cache" / "sampt" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert weights_folder() == tmp_path / "x" / "sampt" / "weights"
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", "~/w")
    assert weights_folder() == tmp_path / "w"


def in_hub(folder: Path, content: bytes, blob: str, commit: str = "c0ffee", is_main: bool = True) -> Path:
    """Put a file into a hub's cache, as its own library lays it out."""
    repository = folder / "models--owner--name"
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    (repository / "blobs" / blob).write_bytes(content)
    path = repository / "snapshots" / commit / "sub" / "file.pth"
    path.parent.mkdir(parents=True)
    path.symlink_to(Path("../../../blobs") / blob)
    if is_main:
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
    return path


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_the_hubs_own_cache_is_used_and_not_written(
    variable: str, server: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv(variable, str(tmp_path / "hub"))
    hub = tmp_path / "hub" / ("hub" if variable == "HF_HOME" else "")
    url = "https://huggingface.co/owner/name/resolve/main/sub/file.pth"
    sha256 = hashlib.sha256(server.content).hexdigest()
    old = in_hub(hub, server.content, sha256, commit="0ld", is_main=False)
    in_hub(hub, b"newer", hashlib.sha256(b"newer").hexdigest())
    before = sorted(hub.rglob("*"))
    assert fetch(server.source(url=url)) == old  # the published digest tells which one
    assert fetch(server.source(url=url, sha256=None)).read_bytes() == b"newer"  # the branch, where there is none
    assert sorted(hub.rglob("*")) == before
    assert "some.pth" not in files(cache)


def test_a_damaged_file_in_the_hubs_cache_is_not_used(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    in_hub(cache.parent / "hf" / "hub", b"damaged", hashlib.sha256(server.content).hexdigest())
    url = "https://huggingface.co/owner/name/resolve/main/sub/file.pth"
    for changes in ({}, {"sha256": None}):
        assert message_of(server.source(url=url, **changes)).startswith("'some' is not in the cache")


def test_an_unpublished_digest_is_recorded_and_held_on_to(server: Any, cache: Path) -> None:
    source = server.source(sha256=None)
    path = fetch(source)
    found = verify(source)
    assert found is not None
    assert (found.digest, found.is_published) == (hashlib.sha256(server.content).hexdigest(), False)
    path.write_bytes(b"changed")
    for check in (fetch, verify):
        with pytest.raises(BackendError, match=r"when it was first fetched it was [0-9a-f]{64}: it was changed\. Delete it"):
            check(source)
