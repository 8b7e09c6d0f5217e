"""The event stream: what pages are reported, what they may request, and what bad ones cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sampt.web.events import EventHub, Subscriber
from sampt.web.schemas.base import RleMask
from sampt.web.schemas.session import ObjectMask
from sampt.web.schemas.stream import ChangedEvent, ErrorEvent, ExportEvent, FrameEvent, PongEvent, ProgressEvent

S = "/api/v1/session"
EVENTS = "ws://127.0.0.1:7268/api/v1/session/events"


def until(socket: Any, kind: str, **wanted: Any) -> list[dict[str, Any]]:
    """All messages up to the first of a kind with some values."""
    seen = []
    for _ in range(1000):
        seen.append(socket.receive_json())
        if wanted.items() <= seen[-1].items() and seen[-1]["type"] == kind:
            return seen
    raise AssertionError(f"no {kind} with {wanted} came")


def test_edits_are_told_to_every_page_of_the_browser(opened: TestClient, site: Any) -> None:
    with opened.websocket_connect(EVENTS) as one, opened.websocket_connect(EVENTS) as two:
        assert one.receive_json() == two.receive_json() == {"type": "hello", "revision": 0}
        state = opened.post(f"{S}/objects", json={}).json()["state"]
        for socket in (one, two):
            assert socket.receive_json() == {"type": "changed", "revision": state["revision"]}


def test_a_preview_is_answered_on_the_stream(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    with opened.websocket_connect(EVENTS) as socket:
        socket.send_json({"type": "preview", "request": 7, "frame": 0})
        body = until(socket, "preview", request=7)[-1]
        assert np.array_equal(site.mask(body["objects"][0]), site.masks(0)[0])
        assert body["frame"] == 0
        socket.send_json({"type": "preview", "request": 8, "frame": 99})
        assert until(socket, "error")[-1] == {
            "type": "error",
            "request": 8,
            "message": "There is no frame 99; the last one is 7.",
        }


def test_a_newer_preview_replaces_a_waiting_one(opened: TestClient, site: Any) -> None:
    for frame in range(3):
        site.click(opened, 1, frame)
    site.segmenter.go_on.clear()
    with opened.websocket_connect(EVENTS) as socket:
        for frame in range(3):
            socket.send_json({"type": "preview", "request": frame, "frame": frame})
        socket.send_json({"type": "ping"})
        seen = until(socket, "pong")
        lost = [m["request"] for m in seen if m["type"] == "error"]
        assert lost == [1] or lost == [0, 1]  # the first may have begun
        site.segmenter.go_on.set()
        assert until(socket, "preview", request=2)[-1]["frame"] == 2


def test_a_propagation_streams_masks_and_progress(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    with opened.websocket_connect(EVENTS) as full, opened.websocket_connect(EVENTS) as brief:
        full.send_json({"type": "watch", "frame": 3})
        brief.send_json({"type": "watch", "frames": "none"})
        for socket in (full, brief):
            socket.send_json({"type": "ping"})
            until(socket, "pong")
        site.propagate(opened)
        full.send_json({"type": "ping"})
        seen = until(full, "pong")
        frames = [m for m in [*seen, *_rest(full, opened)] if m["type"] == "frame"]
        assert [m["frame"] for m in frames if not m["is_provisional"]] == list(range(8))
        for message in frames:
            assert np.array_equal(site.mask(message["objects"][0]), site.masks(message["frame"])[0])
        body = _rest(brief, opened)
        assert "frame" not in {m["type"] for m in body}
        last = [m for m in body if m["type"] == "progress"][-1]
        assert (last["done"], last["total"], last["is_running"], last["seconds_left"]) == (8, 8, False, 0.0)


def _rest(socket: Any, browser: TestClient) -> list[dict[str, Any]]:
    """What comes up to the next edit, which is reported last of all but frames."""
    revision = browser.post(f"{S}/objects", json={}).json()["state"]["revision"]
    seen = until(socket, "changed", revision=revision)
    for _ in range(40):  # frames come after everything else: one responded with message a round
        socket.send_json({"type": "ping"})
        seen += until(socket, "pong")
    return seen


def test_cancel_ends_the_propagation(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    site.segmenter.go_on.clear()
    with opened.websocket_connect(EVENTS) as socket:
        opened.post(f"{S}/propagations", json={})
        socket.send_json({"type": "cancel"})
        site.wait_for(lambda: opened.get(f"{S}/propagations").json(), lambda body: body["is_cancelled"])
        site.segmenter.go_on.set()
        assert until(socket, "progress", is_running=False)[-1]["is_cancelled"] is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "3",
        "[]",
        "{}",
        '{"type": "explode"}',
        '{"type": "preview"}',
        '{"type": "preview", "request": "1", "frame": 0}',
        '{"type": "preview", "request": 1, "frame": -1}',
        '{"type": "watch", "frames": "some"}',
        "[" * 5000,
        "NaN",
        '{"type": "preview", "request": 1, "frame": 1e999}',
        '{"type": "ping", "more": 1}',
        '"\\ud800"',
        "9" * 5000,
    ],
)
def test_a_bad_message_is_answered_and_closes_nothing(opened: TestClient, text: str) -> None:
    with opened.websocket_connect(EVENTS) as socket:
        assert socket.receive_json()["type"] == "hello"
        socket.send_text(text)
        body = socket.receive_json()
        assert (body["type"], set(body)) == ("error", {"type", "request", "message"})
        socket.send_bytes(b"\xff\x00" + text.encode())
        assert socket.receive_json()["type"] == "error"
        socket.send_json({"type": "ping"})
        assert socket.receive_json() == {"type": "pong"}


def test_a_large_message_closes_the_stream(opened: TestClient) -> None:
    with opened.websocket_connect(EVENTS) as socket:
        until(socket, "hello")
        socket.send_text("x" * (64 << 10))
        assert socket.receive_json()["type"] == "error"
        socket.send_text("x" * ((64 << 10) + 1))
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1009
    assert opened.get(S).status_code == 200


def test_too_many_messages_close_the_stream(opened: TestClient) -> None:
    with opened.websocket_connect(EVENTS) as socket:
        for _ in range(1000):
            socket.send_json({"type": "ping"})
        with pytest.raises(WebSocketDisconnect) as closed:
            for _ in range(1001):
                socket.receive_json()
    assert closed.value.code == 1008


def test_without_a_session_the_stream_says_so_and_ends(browser: TestClient) -> None:
    with browser.websocket_connect(EVENTS) as socket:
        assert socket.receive_json()["type"] == "error"
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_the_end_of_the_session_ends_the_stream(opened: TestClient) -> None:
    with opened.websocket_connect(EVENTS) as socket:
        until(socket, "hello")
        opened.delete(S)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1000


def test_the_stream_goes_on_when_another_video_is_opened(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    with opened.websocket_connect(EVENTS) as socket:
        until(socket, "hello")
        opened.post(S, json={"video": "root/clip.mp4", "project": "root/other.sampt"})
        assert until(socket, "changed")[-1]["revision"] == 0


def _frame(frame: int, *object_ids: int) -> FrameEvent:
    rle = RleMask(size=(2, 2), counts="x" * 100)
    common = {"state": "present", "score": 1.0, "good_probability": None, "rle": rle, "num_visible_points": 1}
    common |= {"is_stale": False, "whole_rle": None}
    return FrameEvent(frame=frame, is_provisional=False, objects=[ObjectMask(object_id=o, **common) for o in object_ids])


def _progress(done: int) -> ProgressEvent:
    common = {"total": 20_000, "frame": done, "seconds_left": 0.0, "is_running": True, "is_cancelled": False, "error": None}
    return ProgressEvent(propagation_id=1, done=done, stage="tracking", **common)


def _export(export_id: int, done: int) -> ExportEvent:
    common = {"format": "png", "is_done": False, "error": None, "file_name": None, "num_bytes": None, "total": 20_000}
    return ExportEvent(export_id=export_id, done=done, **common)


def test_a_page_that_does_not_read_costs_no_memory() -> None:
    async def fill() -> tuple[list[dict[str, Any]], bool]:
        hub, slow = EventHub(), Subscriber(asyncio.get_running_loop())
        hub.add(slow)
        for i in range(20_000):
            hub.publish(_frame(i, 1))
            hub.publish(_progress(i))
            hub.publish(ChangedEvent(revision=i))
            hub.publish(_export(i % 2, i))
        hub.close()
        got = []
        while (text := await slow.next()) is not None:
            got.append(json.loads(text))
        for _ in range(10_000):
            slow.reply(PongEvent())
        return got, slow.is_full

    got, is_full = asyncio.run(fill())
    kinds = [m["type"] for m in got]
    assert [kinds.count(kind) for kind in ("progress", "changed", "export", "frame")] == [1, 1, 2, 32]
    assert [m["frame"] for m in got if m["type"] == "frame"] == list(range(20_000 - 32, 20_000))
    assert next(m for m in got if m["type"] == "progress")["done"] == 19_999
    assert is_full


def test_updates_of_one_frame_with_other_objects_are_all_told() -> None:
    async def tell() -> list[dict[str, Any]]:
        hub, page = EventHub(), Subscriber(asyncio.get_running_loop())
        hub.add(page)
        for object_id in (1, 2, 1):
            hub.publish(_frame(5, object_id))
        hub.close()
        return [json.loads(text) for text in [await page.next(), await page.next()] if text]

    assert [m["objects"][0]["object_id"] for m in asyncio.run(tell())] == [1, 2]


def test_previews_are_answered_while_a_propagation_runs(
    serving: Callable[..., FastAPI], browsing: Callable[..., TestClient], site: Any
) -> None:
    browser = browsing(serving())
    browser.post(S, json={"video": "root/clip"})
    site.click(browser, 1)
    browser.get(f"{S}/frames/0/masks", params={"preview": True})  # its embedding is known now
    site.segmenter.go_on.clear()
    browser.post(f"{S}/propagations", json={})
    shown = browser.get(f"{S}/frames/0/masks", params={"preview": True}).json()
    assert np.array_equal(site.mask(shown["objects"][0]), site.masks(0)[0])
    assert browser.post(f"{S}/points", json={"object_id": 1, "frame": 0, **site.inside(1)}).status_code == 201
    assert browser.get(f"{S}/propagations").json()["is_running"] is True


def _texts(subscriber: Subscriber) -> list[str]:
    """All that waits."""
    subscriber.end()

    async def fetch() -> list[str]:
        found = []
        while (text := await subscriber.next()) is not None:
            found.append(text)
        return found

    return asyncio.run(fetch())


def test_what_waits_for_a_slow_page_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of many objects are megabytes a frame, and few of them are enough to fill a memory."""
    monkeypatch.setattr("sampt.web.events._MAX_CHARS", 1000)
    loop = asyncio.new_event_loop()
    slow, asking = Subscriber(loop), Subscriber(loop)
    for frame in range(20):
        slow.offer(_frame(frame), f"{frame:0300}")
    slow.offer(_frame(19), "again")
    assert _texts(slow) == [f"{17:0300}", f"{18:0300}", "again"]
    large = Subscriber(loop)
    large.offer(_frame(1), "x" * 5000)
    assert _texts(large) == ["x" * 5000]  # one is sent, however large it is
    for _ in range(20):
        asking.reply(ErrorEvent(request=1, message="x" * 300))
    assert asking.is_full
    loop.close()
