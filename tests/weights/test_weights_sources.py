"""The table of official checkpoints, and those that come in archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.backends.registry import available
from sampt.errors import BackendError
from sampt.weights import SOURCES, WeightsSource, default_source, fetch, find_source
from sampt.weights.sources import describe_bytes

FACTS = Path(__file__).resolve().parents[3] / "shared" / "weights.md"


def message_of(source: WeightsSource) -> str:
    with pytest.raises(BackendError) as caught:
        fetch(source, lambda done, total: None)
    text = str(caught.value)
    assert "\n" not in text
    return text


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if p.is_file()}


def zipped(**members: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"models/{name}.pth", content)
    return memory.getvalue()


@pytest.fixture
def pair(server: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[WeightsSource, WeightsSource]:
    """Two sources in one archive, which the server has."""
    made = []
    for name in ("one", "two"):
        sha256 = hashlib.sha256(name.encode() * 50_000).hexdigest()
        source = server.source(name=name, file=f"{name}.pth", member=f"{name}.pth", sha256=sha256, url=server.url("m.zip"))
        monkeypatch.setitem(SOURCES, name, source)
        made.append(source)
    server.content = zipped(one=b"one" * 50_000, two=b"two" * 50_000)
    return made[0], made[1]


def test_files_come_out_of_an_archive_that_is_downloaded_once(server: Any, cache: Path, pair: Any) -> None:
    server.cuts = [100]
    assert fetch(pair[1]).read_bytes() == b"two" * 50_000
    assert files(cache) == {"one.pth", "one.pth.json", "two.pth", "two.pth.json"}
    assert fetch(pair[0]).read_bytes() == b"one" * 50_000
    assert [s.range for s in server.seen] == [None, "bytes=100-"]


def test_archives_that_do_not_hold_the_file_are_told(server: Any, cache: Path, pair: Any) -> None:
    good, server.content = server.content, zipped(one=b"another one", two=b"two" * 50_000)
    assert "has the sha256" in message_of(pair[0])
    server.content = zipped(three=b"")
    assert "holds one.pth 0 times, expected it once; get one.pth from PAGE and put it at" in message_of(pair[0])
    server.content = good[:200] + b"damaged" + good[207:]
    assert "is no sound zip archive" in message_of(pair[0])
    server.content = b"no archive at all"
    assert "is no sound zip archive (File is not a zip file); it was removed. Run it again, or get one.pth" in message_of(
        pair[0]
    )
    assert not {name for name in files(cache) if name.endswith("partial")}


Entry = tuple[str, bytes | str]
"""A name in a tar with its contents, or with the target of a symbolic link."""


def tarred(*entries: Entry) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
    return memory.getvalue()


@pytest.fixture
def in_tar(server: Any, cache: Path) -> WeightsSource:
    """A source in a tar.gz, at an address like that of PIPS++; the server has it beside other files."""
    cache.mkdir()
    content = np.random.default_rng(1).bytes(200_000)
    server.content = tarred(("reference_model/notes.txt", b"notes"), ("reference_model/m.pth", content))
    url = server.url("scl/reference_model.tar.gz?rlkey=56eb&dl=1")
    source: WeightsSource = server.source(url=url, member="m.pth", sha256=hashlib.sha256(content).hexdigest())
    return source


def test_a_file_comes_out_of_a_tar(server: Any, cache: Path, in_tar: WeightsSource) -> None:
    server.cuts = [1000]
    found = fetch(in_tar)
    assert (found, found.stat().st_size) == (cache / "some.pth", 200_000)
    assert files(cache) == {"some.pth", "some.pth.json"}
    assert [s.range for s in server.seen] == [None, "bytes=1000-"]
    assert server.seen[0].path == "/scl/reference_model.tar.gz?rlkey=56eb&dl=1"


@pytest.mark.parametrize(
    "path", ["../../m.pth", "/m.pth", "a/../../../../m.pth", "./m.pth", "m.pth"], ids=["up", "root", "over", "dot", "plain"]
)
def test_where_a_tar_says_that_its_file_belongs_is_not_believed(path: str, server: Any, cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    server.content = tarred((path, b"weights"), ("../../other.pth", b"other"))
    fetch(server.source(url=server.url("m.tgz"), member="m.pth", sha256=hashlib.sha256(b"weights").hexdigest()))
    assert (cache / "some.pth").read_bytes() == b"weights"
    assert {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*")} == {cache.relative_to(tmp_path).parts[0]}
    assert files(cache) == {"some.pth", "some.pth.json"}


def test_tars_that_do_not_hold_the_file_are_told(
    server: Any, cache: Path, in_tar: WeightsSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, secret = server.content, tmp_path / "secret"
    secret.write_bytes(b"mine")
    server.content = tarred(("m.pth", str(secret)))
    assert "holds m.pth 0 times, expected it once; get m.pth from PAGE and put it at" in message_of(in_tar)
    server.content = tarred(("a/m.pth", b"one"), ("b/m.pth", b"another"))
    assert "holds m.pth 2 times, expected it once" in message_of(in_tar)
    server.content = tarred(("m.pth", b"other weights"))
    assert "has the sha256" in message_of(in_tar)
    server.content = good[:50_000] + b"damaged" + good[50_007:]
    assert "; it was removed. Run it again; if that does not help, get m.pth from PAGE" in message_of(in_tar)
    for damaged in (b"no archive at all", good[:50_000], zipped(m=b"")):
        server.content = damaged
        assert "it was removed. Run it again, or get m.pth from PAGE" in message_of(in_tar)
    server.content = good
    monkeypatch.setattr("sampt.weights.archive._MAX_BYTES", 199_999)
    assert "holds more than any checkpoint; get m.pth from PAGE" in message_of(in_tar)
    assert files(cache) == set()


def test_a_tar_whose_header_claims_gigabytes_is_not_read_into_memory(server: Any, cache: Path, in_tar: WeightsSource) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    server.content = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    assert "holds more than any checkpoint" in message_of(in_tar)


def test_the_table_has_what_a_back_end_can_load() -> None:
    backends = {*available("tracker"), *available("segmenter"), *available("proposer")}
    assert [source.name for source in SOURCES.values() if source.backend not in backends] == []


def test_the_table_says_what_the_facts_say() -> None:
    assert len({source.file for source in SOURCES.values()}) == len(SOURCES)
    assert {s.url is None or s.url.startswith("https://") for s in SOURCES.values()} == {True}
    assert default_source("raft").file == "raft-things.pth"
    assert default_source("raft-small").digest == ("md5", "925642262acc623b3996690eac7d14c9")
    assert SOURCES["sam2.1-tiny"].hub_file == ("facebook/sam2.1-hiera-tiny", "model.safetensors")
    assert SOURCES["raft-small"].hub_file is None
    with pytest.raises(
        BackendError, match=r"^Unknown weights 'moble-sam'\. Did you mean 'mobile-sam'\? Available: .*sam-vit-b"
    ):
        find_source("moble-sam")
    if FACTS.is_file():
        text = FACTS.read_text(encoding="utf-8")
        assert [s.name for s in SOURCES.values() if s.md5 and s.md5 not in text] == []
        assert sum(s.md5 is not None for s in SOURCES.values()) == 12


@pytest.mark.parametrize(
    ("count", "message"),
    [(None, "size unknown"), (999, "999 bytes"), (1000, "1.0 kB"), (375_042_383, "375 MB"), (2_564_550_879, "2.6 GB")],
)
def test_sizes_for_people(count: int | None, message: str) -> None:
    assert describe_bytes(count) == message


def test_a_source_that_could_leave_the_cache_is_refused(server: Any) -> None:
    for changes in ({"file": "../x.pth"}, {"file": "a/b.pth"}, {"sha256": "abc"}, {"md5": "Z" * 32}, {"member": "x.pth"}):
        with pytest.raises(ValueError, match="expected"):
            server.source(**changes)
