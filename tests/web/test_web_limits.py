"""What a session may grow to, and what is refused before it is read."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import re
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sampt.masks.rle import encode_mask
from sampt.web.settings import Limits

S = "/api/v1/session"
EVENTS = "ws://127.0.0.1:7268/api/v1/session/events"
Opening = Callable[..., TestClient]


@pytest.fixture
def opening(serving: Callable[..., FastAPI], browsing: Callable[..., TestClient]) -> Opening:
    """Opens the clip on a server with limits of the test."""

    def start(**limits: Any) -> TestClient:
        browser = browsing(serving(limits))
        assert browser.post(S, json={"video": "root/clip"}).status_code == 201
        return browser

    return start


def test_objects_and_points_of_a_session_are_limited(opening: Opening, site: Any) -> None:
    browser = opening(objects=2, points=3)
    assert [browser.post(f"{S}/objects", json={}).status_code for _ in range(3)] == [201, 201, 409]
    point = {"object_id": 1, "frame": 0, "x": 1, "y": 1}
    assert [browser.post(f"{S}/points", json=point).status_code for _ in range(4)] == [201, 201, 201, 409]
    state = browser.get(S).json()
    assert (len(state["objects"]), len(state["points"])) == (2, 3)
    assert browser.delete(f"{S}/objects/1").status_code == 200
    assert browser.post(f"{S}/objects", json={}).status_code == 201


def test_given_masks_of_a_session_are_limited(opening: Opening, site: Any) -> None:
    code = encode_mask(site.masks(0)[0])
    browser = opening(given_bytes=2 * len(code.counts))
    browser.post(f"{S}/objects", json={})
    response = {"size": list(code.size_hw), "counts": code.counts}
    got = [browser.put(f"{S}/objects/1/frames/{i}/mask", json=response).status_code for i in range(4)]
    assert got == [200, 200, 409, 409]
    assert browser.delete(f"{S}/objects/1/frames/0/mask").status_code == 200
    assert browser.put(f"{S}/objects/1/frames/3/mask", json=response).status_code == 200


class Body:
    """A body that notes whether anybody reads it."""

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes, self.read_bytes = num_bytes, 0


async def _asked(app: FastAPI, path: str, kind: str, body: Body, *, is_announced: bool) -> int:
    """The status of a PUT, whose body comes in blocks of 1000 bytes."""
    status = 0

    async def receive() -> dict[str, Any]:
        body.read_bytes += 1000
        return {"type": "http.request", "body": b"1" * 1000, "more_body": body.read_bytes < body.num_bytes}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", kind.encode()), (b"cookie", app.state.cookie.encode())]
    if is_announced:
        headers.append((b"content-length", str(body.num_bytes).encode()))
    scope = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    await app({**scope, "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1)}, receive, send)
    return status


@pytest.mark.parametrize(("kind", "limit"), [("image/png", 60_000), ("application/json", 20_000), ("", 60_000)])
@pytest.mark.parametrize("is_announced", [True, False])
def test_masks_that_are_too_large_are_not_read(
    kind: str, limit: int, is_announced: bool, serving: Callable[..., FastAPI], browsing: Callable[..., TestClient]
) -> None:
    app = serving({"mask_bytes": 60_000, "code_bytes": 20_000})
    browser = browsing(app)
    browser.post(S, json={"video": "root/clip"})
    app.state.cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    body = Body(limit + 1000)
    assert asyncio.run(_asked(app, f"{S}/objects/1/frames/0/mask", kind, body, is_announced=is_announced)) == 413
    assert body.read_bytes == (0 if is_announced else limit + 1000)


def test_the_body_of_a_mask_is_not_read_without_a_session(serving: Callable[..., FastAPI]) -> None:
    app, body = serving(), Body(50_000)
    app.state.cookie = ""
    assert asyncio.run(_asked(app, f"{S}/objects/1/frames/0/mask", "image/png", body, is_announced=True)) == 404
    assert body.read_bytes == 0


def test_one_mask_of_a_browser_is_in_memory_at_a_time(opening: Opening, site: Any) -> None:
    browser = opening()
    browser.post(f"{S}/objects", json={})
    code = encode_mask(site.masks(0)[0])
    response = {"size": list(code.size_hw), "counts": code.counts}
    found = browser.app.state.services.browsers.find(browser.cookies["sampt_session"])  # type: ignore[attr-defined]
    with found.sending_mask():
        assert browser.put(f"{S}/objects/1/frames/0/mask", json=response).status_code == 429
    assert browser.put(f"{S}/objects/1/frames/0/mask", json=response).status_code == 200
    assert browser.put(f"{S}/objects/1/frames/0/mask", content=b"none").status_code == 415
    assert browser.put(f"{S}/objects/1/frames/1/mask", json=response).status_code == 200  # an error has not kept it


def test_event_streams_of_a_browser_are_limited(opening: Opening) -> None:
    browser = opening(streams=2)
    with browser.websocket_connect(EVENTS) as one, browser.websocket_connect(EVENTS) as two:
        assert one.receive_json()["type"] == two.receive_json()["type"] == "hello"
        with browser.websocket_connect(EVENTS) as third:
            assert third.receive_json()["type"] == "error"
            with pytest.raises(WebSocketDisconnect):
                third.receive_json()
    with browser.websocket_connect(EVENTS) as again:
        assert again.receive_json()["type"] == "hello"


def test_slow_requests_keep_nobody_waiting_for_a_thread(opening: Opening, site: Any) -> None:
    browser = opening()
    site.click(browser, 1)
    site.segmenter.go_on.clear()
    message = [
        threading.Thread(target=browser.get, args=(f"{S}/frames/{i % 8}/masks",), kwargs={"params": {"preview": True}})
        for i in range(60)
    ]
    for thread in message:
        thread.start()
    quick = threading.Thread(target=browser.get, args=("/api/v1/files",))
    quick.start()
    quick.join(20)
    is_done = not quick.is_alive()
    site.segmenter.go_on.set()
    for thread in message:
        thread.join(60)
    assert is_done


def test_exports_leave_room_on_the_disk(opening: Opening, site: Any) -> None:
    browser = opening(free_bytes=1 << 60)
    site.click(browser, 1)
    assert browser.post(f"{S}/exports", json={"format": "png"}).status_code == 503
    assert browser.get(f"{S}/exports/1").status_code == 404


def test_objects_times_frames_of_a_session_are_limited(opening: Opening, site: Any) -> None:
    browser = opening(cells=2 * 8 + 7)  # eight frames
    assert [browser.post(f"{S}/objects", json={}).status_code for _ in range(3)] == [201, 201, 409]
    assert [len(o["area"]) for o in browser.get(f"{S}/timelines").json()["objects"]] == [8, 8]


@pytest.mark.parametrize("limits", [{"objects": 1}, {"points": 1}, {"cells": 15}, {"given_bytes": 1}])
def test_a_project_with_more_than_the_page_adds_is_refused_and_left_alone(
    limits: dict[str, int], opening: Opening, site: Any, serving: Callable[..., FastAPI], browsing: Callable[..., TestClient]
) -> None:
    browser = opening()
    code = encode_mask(site.masks(0)[0])
    for object_id in (1, 2):
        site.click(browser, object_id)
        response = {"size": list(code.size_hw), "counts": code.counts}
        assert browser.put(f"{S}/objects/{object_id}/frames/3/mask", json=response).status_code == 200
    before = browser.get(S).json()
    assert browser.delete(S).status_code == 204
    other = browsing(serving(limits))
    assert other.post(S, json={"video": "root/clip"}).status_code == 400
    assert other.get(S).status_code == 404
    again = browser.post(S, json={"video": "root/clip"})  # not locked, and all there
    assert again.status_code == 201
    assert {k: v for k, v in again.json().items() if k != "revision"} == {k: v for k, v in before.items() if k != "revision"}


def test_a_collector_in_the_environment_is_told_nothing(
    serving: Callable[..., FastAPI], browsing: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI would set up an exporter for it at the start."""
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert browsing(serving()).get("/api/v1/about").status_code == 200


def test_a_png_that_says_two_sizes_is_refused_before_its_pixels_are_made(opening: Opening, site: Any) -> None:
    """The first header has the video's size; decoders believe the last one, of an image of 81 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w = site.masks(0)[0].shape
    large = zlib.compress(b"\0" * (9001 * 9000))
    header = b"\x08\x00\x00\x00\x00"
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", w, h) + header)
    data += chunk(b"IHDR", struct.pack(">II", 9000, 9000) + header) + chunk(b"IDAT", large) + chunk(b"IEND", b"")
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (9000, 9000)
    browser = opening()
    browser.post(f"{S}/objects", json={})
    tracemalloc.start()
    answer = browser.put(f"{S}/objects/1/frames/0/mask", content=data, headers={"content-type": "image/png"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status_code, browser.get(S).json()["masks"]) == (400, [])
    assert peak < 50 << 20


def test_an_export_ends_before_the_disk_is_full(opening: Opening, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = opening()
    site.click(browser, 1)
    site.propagate(browser)
    monkeypatch.setattr("sampt.web.tasks.has_room", lambda *_: False)  # it was there at the beginning
    monkeypatch.setattr("sampt.web.tasks._NOTIFY_S", 0.0)
    number = browser.post(f"{S}/exports", json={"format": "png"}).json()["export_id"]
    response = site.wait_for(lambda: browser.get(f"{S}/exports/{number}").json(), lambda response: response["is_done"])
    assert (response["num_bytes"], "no room" in response["error"]) == (None, True)
    assert browser.get(f"{S}/exports/{number}/file").status_code == 409


def test_one_preview_of_a_session_is_computed_at_a_time(opening: Opening, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = opening()
    site.click(browser, 1)
    for frame in range(1, 8):
        browser.post(f"{S}/points", json={"object_id": 1, "frame": frame, **site.inside(1, frame)})
    running, limit = [0], [0]
    decode = site.segmenter.decode

    def counting(*arguments: Any, **keywords: Any) -> Any:
        running[0] += 1
        limit[0] = max(limit[0], running[0])
        time.sleep(0.02)
        running[0] -= 1
        return decode(*arguments, **keywords)

    monkeypatch.setattr(site.segmenter, "decode", counting)
    message = [
        threading.Thread(target=browser.get, args=(f"{S}/frames/{i}/masks",), kwargs={"params": {"preview": True}})
        for i in range(8)
    ]
    for thread in message:
        thread.start()
    for thread in message:
        thread.join(60)
    assert limit == [1]


def test_the_documents_table_has_the_limits() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ui.md").read_text(encoding="utf-8")
    table = text[text.index("## Limits") : text.index("## Images")]
    has = Limits()
    for response in (
        f"| {has.connections} / {has.connections_a_client}, fewer",
        f"| {has.header_s:g} s from their first byte",
        f"| silence between requests | {has.keep_alive_s} s |",
        f"| {has.wait_s:g} s; every {has.bytes_a_s >> 10} KiB (uploads: {has.upload_bytes_a_s >> 10} KiB)",
        f"| {has.json_bytes >> 10} KiB / {has.mask_bytes >> 20} MiB / {has.code_bytes >> 20} MiB |",
        f"| {has.uploads} / {has.uploads_a_client}, of {has.upload_bytes >> 30} GiB each |",
        f"leave on the disk | {has.free_bytes >> 30} GiB |",
        f"| {has.sessions}; {has.idle_s / 3600:g} hours |",
        f"| {has.objects} / {has.points:_} / {has.cells:_} / {has.given_bytes >> 20} MiB |".replace("_", " "),
        f"exports kept by a session | {has.exports} |",
        f"| {has.streams}; {has.message_bytes >> 10} KiB, {has.messages_a_s:g} a second |",
        f"| {has.embedding_bytes >> 20} MiB / {has.image_bytes >> 20} MiB |",
    ):
        assert response in table, response
    assert {f.name for f in dataclasses.fields(Limits)} <= set(re.findall(r"has\.(\w+)", Path(__file__).read_text()))
