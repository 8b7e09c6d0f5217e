"""What a user says of weights: the official ones, a path, a repository on the hub; and what is said before they are loaded."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sampt.errors import BackendError
from sampt.weights import (
    SOURCES,
    WeightsFacts,
    describe_source,
    describe_weights,
    downloads_shown_by,
    fetch,
    find_sources,
    local_weights,
    weights_identity,
)
from sampt.weights.sources import hub_sources, is_hub_id


@pytest.fixture
def hub(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The server instead of the hub, and a working folder without files."""
    monkeypatch.setenv("HF_ENDPOINT", f"{server.address}/")
    monkeypatch.chdir(tmp_path)
    return server


def asked(server: Any) -> list[str]:
    return [seen.path for seen in server.seen]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("facebook/sam-vit-base", True),
        ("nielsr/sam2.1_x", True),
        ("a/b", True),
        ("sam-vit-base", False),
        ("a/b/c", False),
        ("/sam", False),
        ("./sam", False),
        ("../sam", False),
        ("~/sam", False),
        ("a/b--c", False),
        ("a/b..c", False),
        ("a/-b", False),
        ("a/b.", False),
        ("ä/b", False),
        ("weights/sam_vit_b.pth", False),
        ("weights/Model.SAFETENSORS", False),
        ("a/b\n", False),
        (f"a/{'b' * 97}", False),
    ],
)
def test_what_can_be_a_repository_on_the_hub(text: str, expected: bool) -> None:
    assert is_hub_id(text) is expected


def test_files_of_the_hub_have_names_of_their_own() -> None:
    ids = ["a/b", "a-/b", "a/-b", "a-b/c", "a/b-c", "a.b/c", "a_b/c"]
    names = [source.file for hub_id in ids if is_hub_id(hub_id) for source in hub_sources(hub_id)]
    assert len(names) == 2 * 5
    assert len({*names, *(source.file for source in SOURCES.values())}) == len(names) + len(SOURCES)


def test_weights_of_a_repository_are_fetched_once(hub: Any, cache: Path) -> None:
    path = local_weights("sam-vit-b", "owner/name")
    assert path == cache / "hub--owner--name--model.safetensors"
    assert path.read_bytes() == hub.content
    assert asked(hub) == ["/owner/name/resolve/main/model.safetensors"]
    assert local_weights("mobile-sam", "owner/name") == path
    assert len(hub.seen) == 1
    assert weights_identity("sam-vit-b", "owner/name") == {"sha256": hashlib.sha256(hub.content).hexdigest()}


def test_a_repository_without_safetensors_gives_its_other_file(hub: Any, cache: Path) -> None:
    hub.statuses = [404]
    path = local_weights("sam-vit-b", "owner/name")
    assert path == cache / "hub--owner--name--pytorch_model.bin"
    assert asked(hub) == [f"/owner/name/resolve/main/{name}" for name in ("model.safetensors", "pytorch_model.bin")]
    assert local_weights("sam-vit-b", "owner/name") == path  # without prompting for the first one again
    assert len(hub.seen) == 2


def test_a_cut_download_from_the_hub_goes_on(hub: Any) -> None:
    hub.cuts = [100_000]
    path = local_weights("sam-vit-b", "owner/name")
    assert path is not None
    assert path.read_bytes() == hub.content
    assert [seen.range for seen in hub.seen] == [None, "bytes=100000-"]


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (401, "401 Unauthorized")])
def test_a_repository_that_nobody_may_read_is_one_line(hub: Any, status: int, reason: str) -> None:
    hub.statuses = [status, status]
    with pytest.raises(BackendError) as caught:
        local_weights("sam-vit-b", "ownr/name")
    assert str(caught.value) == (
        "'ownr/name' is no file or folder here, and https://huggingface.co/ownr/name has no model.safetensors or"
        f" pytorch_model.bin for everybody"
        f" (it responded with {reason}); check the name, or get the file by hand and give its path."
    )
    assert len(hub.seen) == 2


def test_a_server_in_trouble_is_not_taken_for_a_missing_file(hub: Any) -> None:
    hub.statuses = [500] * 9
    with pytest.raises(BackendError, match="the server responded with 500 Internal Server Error"):
        local_weights("sam-vit-b", "owner/name")
    assert {seen.path for seen in hub.seen} == {"/owner/name/resolve/main/model.safetensors"}


def test_offline_a_repository_is_not_asked_and_a_file_put_there_is_used(
    hub: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    with pytest.raises(
        BackendError, match=r"'owner/name' is not in the cache and SAMPT_OFFLINE is set; fetch .*safetensors on"
    ):
        local_weights("sam-vit-b", "owner/name")
    cache.mkdir()
    by_hand = cache / "hub--owner--name--pytorch_model.bin"
    by_hand.write_bytes(b"weights")
    assert local_weights("sam-vit-b", "owner/name") == by_hand
    assert not hub.seen


def test_the_hubs_own_cache_is_used_for_a_repository(hub: Any, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hf" / "hub" / "models--owner--name"
    path = folder / "snapshots" / "c0ffee" / "pytorch_model.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")
    assert local_weights("sam-vit-b", "owner/name") == path
    assert describe_weights("sam-vit-b", "owner/name") == WeightsFacts(
        str(path), 7, "see https://huggingface.co/owner/name", "cached"
    )
    assert not hub.seen


def test_what_is_on_the_disk_goes_before_the_hub(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert local_weights("sam-vit-b", "owner/name") == Path("owner/name")
    assert not hub.seen


def test_a_mirror_of_the_hub_serves_the_official_files_of_the_hub_alone(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(SOURCES["sam2.1-tiny"], lambda done, total: None)
    assert asked(hub) == ["/facebook/sam2.1-hiera-tiny/resolve/main/model.safetensors"]
    facts = [describe_weights(name, "default") for name in ("sam2.1-small", "sam-vit-b")]
    assert [fact.where.startswith(hub.address) for fact in facts if fact] == [True, False]


def test_names_of_the_command_may_be_repositories() -> None:
    assert find_sources("mobile-sam") == (SOURCES["mobile-sam"],)
    assert find_sources("owner/name") == hub_sources("owner/name")
    with pytest.raises(BackendError, match=r"Unknown weights 'moble-sam'\. Did you mean 'mobile-sam'\?"):
        find_sources("moble-sam")


def test_what_is_told_before_a_download(hub: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth"
    assert describe_source("sam-vit-b", "default") == (
        f"downloads {url} (375 MB, not in the cache) to {cache}; licence of the weights: Apache-2.0"
    )
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    assert describe_source("sam-vit-b", "default") == (
        f"needs {url} (375 MB, not in the cache), and SAMPT_OFFLINE is set; licence of the weights: Apache-2.0"
    )
    by_hand = hub.source(name="by-hand", backend="by-hand", url=None, page="https://example.org", num_bytes=421_000_000)
    monkeypatch.setitem(SOURCES, "by-hand", by_hand)
    assert describe_source("by-hand", "default") == (
        "needs what https://example.org offers (421 MB, not in the cache); licence of the weights: MIT"
    )
    assert describe_source("sam-vit-b", "owner/name") == (
        f"needs {hub.address}/owner/name/resolve/main/model.safetensors (size unknown, not in the cache), and SAMPT_OFFLINE is"
        " set; licence of the weights: see https://huggingface.co/owner/name"
    )
    assert not hub.seen
    assert not cache.exists()


def test_what_is_told_of_files_that_are_here(hub: Any, cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    (cache / "sam_vit_b_01ec64.pth").write_bytes(bytes(2000))
    assert describe_source("sam-vit-b", "default") == (
        f"loads {cache / 'sam_vit_b_01ec64.pth'} (2.0 kB, in the cache); licence of the weights: Apache-2.0"
    )
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, size in (("config.json", 10), ("model.safetensors", 990)):
        (folder / name).write_bytes(bytes(size))
    message = f"loads {folder} (1.0 kB); licence of the weights: unknown (not an official file)"
    assert describe_source("sam-vit-b", str(folder)) == message


@pytest.mark.parametrize(
    ("backend", "weights"),
    [("nano", "default"), ("grabcut", "default"), ("sam-vit-b", "random"), ("sam-vit-b", None), ("sam-vit-b", "no.pth")],
)
def test_nothing_is_told_where_nothing_outside_the_package_is_loaded(hub: Any, backend: str, weights: str | None) -> None:
    assert describe_source(backend, weights) is None


def test_other_weights_have_another_identity_and_moved_ones_the_same(hub: Any, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "a" / "some.pth"
    path.parent.mkdir()
    path.write_bytes(b"first")
    first = weights_identity("sam-vit-b", str(path))
    shutil.copytree(path.parent, tmp_path / "b")  # keeps the times
    assert weights_identity("sam-vit-b", str(tmp_path / "b" / "some.pth")) == first
    os.utime(path, ns=(1, 1))
    assert weights_identity("sam-vit-b", str(path)) != first
    folder = weights_identity("sam-vit-b", str(tmp_path / "b"))
    (tmp_path / "b" / "some.pth").write_bytes(b"longer")
    assert weights_identity("sam-vit-b", str(tmp_path / "b")) != folder
    assert weights_identity("sam-vit-b", None) == weights_identity("sam-vit-b", "random") == "random"
    (tmp_path / "default").mkdir()
    assert weights_identity("grabcut", "default") == "default"


def test_downloads_without_a_progress_are_shown(hub: Any, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[object] = []

    @contextmanager
    def show(source: Any) -> Iterator[Any]:
        seen.append(f"begin {source.name}")
        yield lambda done, total: seen.append((done, total))
        seen.append("end")

    with downloads_shown_by(show):
        fetch(hub.source())
    assert seen[:2] == ["begin some", (0, 300_000)]
    assert seen[-2:] == [(300_000, 300_000), "end"]
    assert not caplog.messages
    fetch(hub.source(file="other.pth"))
    assert [m.startswith("downloading other.pth (size unknown) from") for m in caplog.messages] == [True]
