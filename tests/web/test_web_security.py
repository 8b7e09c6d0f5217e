"""Who may connect, what no response may hold, and that browsers do not meet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sampt.web.roots import Roots, named_roots
from sampt.web.security import SECURITY_HEADERS, is_loopback

API = "/api/v1"
S = f"{API}/session"
EVENTS = "ws://127.0.0.1:7268/api/v1/session/events"
Browsing = Callable[..., TestClient]
Serving = Callable[..., FastAPI]


@pytest.mark.parametrize(
    ("bound", "host", "is_allowed"),
    [
        ("127.0.0.1", "127.0.0.1:7268", True),
        ("127.0.0.1", "localhost:9", True),  # through a tunnel
        ("127.0.0.1", "LOCALHOST.", True),
        ("127.0.0.1", "[::1]:7268", True),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "localhost.evil.example:7268", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "192.168.0.9:7268", False),
        ("127.0.0.1", "user@localhost", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "localhost:7268:1", False),
        ("0.0.0.0", "192.168.0.9:7268", True),  # no other site can make its name an address
        ("0.0.0.0", "evil.example:7268", False),
        ("studio.lan", "studio.lan:7268", True),
    ],
)
def test_only_names_of_the_server_are_answered(
    serving: Serving, browsing: Browsing, bound: str, host: str, is_allowed: bool
) -> None:
    browser = browsing(serving(host=bound))
    answer = browser.get(f"{API}/about", headers={"host": host})
    assert answer.status_code == (200 if is_allowed else 403)
    if is_allowed:
        return
    assert "Host" in answer.json()["error"]
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect(EVENTS, headers={"host": host}):
        pass


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:7268"}, True),
        ({"origin": "https://127.0.0.1:7268"}, True),  # behind a proxy
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
    ],
)
def test_pages_of_other_origins_are_refused(opened: TestClient, headers: dict[str, str], is_allowed: bool) -> None:
    answer = opened.post(f"{S}/objects", json={}, headers=headers)
    assert answer.status_code == (201 if is_allowed else 403)
    assert len(opened.get(S).json()["objects"]) == int(is_allowed)
    if is_allowed:
        with opened.websocket_connect(EVENTS, headers=headers) as socket:
            assert socket.receive_json()["type"] == "hello"
    else:
        with pytest.raises(WebSocketDisconnect), opened.websocket_connect(EVENTS, headers=headers):
            pass


def test_a_link_from_another_site_opens_the_page_but_not_the_interface(browser: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert browser.get("/static/nothing.js", headers=headers).status_code == 404
    assert browser.get(f"{API}/files", headers=headers).status_code == 403


def test_the_token_is_needed_everywhere(serving: Serving, browsing: Browsing) -> None:
    app = serving(token="s3cret")
    stranger = browsing(app, follow_redirects=False)
    for path in ("/", "/static/main.js", f"{API}/about", f"{API}/openapi.json", S, "/nothing"):
        answer = stranger.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert stranger.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert stranger.get(path, params={"token": "wrong"}).status_code == 401
    assert stranger.get(f"{API}/about", params={"token": "s3cret"}).status_code == 401  # the page's address alone takes it
    assert stranger.get(f"{API}/about", headers={"cookie": "sampt_token=wrong"}).status_code == 401
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect(EVENTS):
        pass
    script = browsing(app, headers={"authorization": "Bearer s3cret"})
    assert script.get(f"{API}/about").json()["token_required"] is True
    assert script.post(S, json={"video": "root/clip"}).status_code == 201
    with script.websocket_connect(EVENTS) as socket:
        assert socket.receive_json()["type"] == "hello"


def test_the_page_takes_the_token_from_its_address_into_a_cookie(serving: Serving, browsing: Browsing) -> None:
    browser = browsing(serving(token="s3cret"), follow_redirects=False)
    answer = browser.get("/", params={"token": "s3cret"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"] == "sampt_token=s3cret; HttpOnly; SameSite=Strict; Path=/"
    assert "s3cret" not in answer.text
    assert browser.get(f"{API}/about").status_code == 200


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(browser: TestClient) -> None:
    answer = browser.post(S, json={"video": "root/clip"}, headers={"cookie": "sampt_session=chosen-by-somebody"})
    name, *flags = answer.headers["set-cookie"].split("; ")
    assert name.startswith("sampt_session=")
    assert "chosen" not in name
    assert len(name) > 50
    assert {flag.lower() for flag in flags} == {"httponly", "samesite=strict", "path=/", "max-age=2592000"}


def test_servers_on_other_ports_have_cookies_of_their_own(serving: Serving, browsing: Browsing) -> None:
    browser = browsing(serving(port=8000))
    answer = browser.post(S, json={"video": "root/clip"})
    assert answer.headers["set-cookie"].startswith("sampt_session_8000=")
    assert browser.get(S).status_code == 200


def test_every_answer_has_the_security_headers(serving: Serving, browsing: Browsing) -> None:
    app = serving({"json_bytes": 1000})
    browser = browsing(app)
    opened = browsing(app)
    opened.post(S, json={"video": "root/clip"})
    answers = [
        browser.get(f"{API}/about"),
        browser.get(f"{API}/openapi.json"),
        browser.get("/nothing"),
        browser.get("/static/nothing"),
        browser.get(S),
        browser.delete(f"{API}/about"),
        browser.post(S, content=b"{", headers={"content-type": "application/json"}),
        browser.post(S, content=b"x" * 1001, headers={"content-type": "application/json"}),
        browser.get(f"{API}/about", headers={"host": "evil.example"}),
        opened.get(f"{S}/frames/1"),
        opened.get(f"{S}/frames/1/masks"),
        browsing(serving(token="t")).get("/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 404, 404, 405, 422, 413, 403, 200, 200, 401]
    for answer in answers:
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    for part in ("default-src 'self'", "frame-ancestors 'none'", "img-src 'self' blob: data:"):
        assert part in SECURITY_HEADERS["content-security-policy"]


@pytest.fixture
def trapped(site: Any) -> Any:
    """A root full of ways out of it."""
    outside = site.folder / "outside"
    (outside / "frames").mkdir(parents=True)
    (outside / "clip.mp4").write_bytes((site.root / "clip.mp4").read_bytes())
    Image.fromarray(site.frames[0]).save(outside / "frames" / "0.png")
    (site.root / "link.mp4").symlink_to(outside / "clip.mp4")
    (site.root / "folder").symlink_to(outside)
    (site.root / "loop").symlink_to(site.root / "loop")
    (site.root / "mixed").mkdir()
    Image.fromarray(site.frames[0]).save(site.root / "mixed" / "0.png")
    (site.root / "mixed" / "1.png").symlink_to(outside / "frames" / "0.png")
    (site.root / "new.sampt").symlink_to(outside / "new.sampt")
    return site


@pytest.mark.parametrize(
    "path",
    [
        "root/../outside/clip.mp4",
        "root/clip/../../outside/clip.mp4",
        "../outside/clip.mp4",
        "root/./clip.mp4",
        "root//clip.mp4",
        "/etc/passwd",
        "root//etc/passwd",
        "root/link.mp4",
        "root/folder/clip.mp4",
        "root/folder",
        "root/mixed",
        "root/..",
        "..",
        ".",
        "~",
        "other/clip.mp4",
        "root\\..\\outside",
        "root/clip\x00.mp4",
        "root/" + "a/" * 3000,
        "C:\\x",
        "file:///etc/passwd",
        "root/*.mp4",
        "root/loop",
        "root/nothing/clip.mp4",
        "root/" + "n" * 300,
    ],
)
def test_no_path_leads_out_of_the_roots(trapped: Any, browser: TestClient, path: str) -> None:
    for wanted in ({"video": path}, {"project": path}, {"video": "root/clip.mp4", "project": f"{path}.sampt"}):
        answer = browser.post(S, json=wanted)
        if answer.status_code == 201:  # some can be the name of a new project
            assert answer.json()["project"].startswith("root/")
            assert "project" in wanted
            assert browser.delete(S).status_code == 204
        else:
            assert answer.status_code in (400, 403, 404, 422), wanted
        assert str(trapped.folder) not in answer.text
        assert browser.get(S).status_code == 404
    listed = browser.get(f"{API}/files", params={"path": path})
    assert listed.status_code in (403, 404, 422) or path == "root/mixed"
    assert str(trapped.folder) not in listed.text
    assert sorted(p.name for p in (trapped.folder / "outside").rglob("*")) == ["0.png", "clip.mp4", "frames"]


@pytest.mark.parametrize("path", ["root/folder/clip.sampt", "root/new.sampt", "root/../new.sampt", "root/folder/a/b.sampt"])
def test_no_project_is_made_outside(trapped: Any, browser: TestClient, path: str) -> None:
    assert browser.post(S, json={"video": "root/clip", "project": path}).status_code == 403
    assert list(trapped.folder.rglob("*.sampt")) == [trapped.root / "new.sampt"]


def test_links_that_lead_out_are_not_listed(trapped: Any, browser: TestClient) -> None:
    entries = browser.get(f"{API}/files", params={"path": "root"}).json()["entries"]
    assert [entry["name"] for entry in entries] == ["clip", "mixed", "clip.mp4"]


def test_a_project_cannot_bring_in_a_video_from_outside(trapped: Any, browser: TestClient) -> None:
    browser.post(S, json={"video": "root/clip"})
    browser.delete(S)
    project = trapped.root / "clip.sampt" / "project.json"
    texts = json.loads(project.read_text())
    texts["video"]["path"] = str(trapped.folder / "outside" / "clip.mp4")
    texts["video"]["beside"] = "../../outside/clip.mp4"
    project.write_text(json.dumps(texts))
    answer = browser.post(S, json={"project": "root/clip.sampt"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("root/clip.mp4 is not the video of root/clip.sampt")  # it was found beside
    (trapped.root / "clip.mp4").unlink()
    answer = browser.post(S, json={"project": "root/clip.sampt"})
    assert answer.json()["error"].startswith("The video clip.mp4 of the project is in no folder that the server was given")
    assert str(trapped.folder) not in answer.text


def test_no_error_tells_where_files_are(site: Any, browser: TestClient) -> None:
    (site.root / "broken.mp4").write_bytes(b"no video at all" * 100)
    (site.root / "empty.mp4").write_bytes(b"")
    (site.root / "bad.sampt").mkdir()
    (site.root / "bad.sampt" / "project.json").write_text("{")
    (site.root / "full.sampt").mkdir()
    (site.root / "full.sampt" / "notes.txt").write_text("x")
    (site.root / "text").mkdir()
    for wanted in (
        {"video": "root/broken.mp4"},
        {"video": "root/empty.mp4"},
        {"project": "root/bad.sampt"},
        {"video": "root/clip", "project": "root/full.sampt"},
        {"video": "root/clip", "project": "root/full.txt"},
        {"video": "root/text"},
    ):
        answer = browser.post(S, json=wanted)
        assert answer.status_code == 400, answer.text
        assert str(site.folder) not in answer.text
        assert "root/" in answer.json()["error"]


def test_messages_lose_every_absolute_path() -> None:
    roots = Roots({"data": Path("/srv/my data")}, hidden=[Path("/home/ann")])
    texts = {
        "/srv/my data/a b/clip.mp4 is empty": "data/a b/clip.mp4 is empty",
        "in /srv/my data: none": "in data: none",
        "'/usr/lib/python3/x.so' is missing": "'x.so' is missing",
        "/home/ann/weights/w.pth is gone": "weights/w.pth is gone",
        "C:\\Users\\ann\\w.pth": "w.pth",
        "give OWNER/NAME or GET /files, 3/4 of 1280x720": "give OWNER/NAME or GET /files, 3/4 of 1280x720",
        "two\nlines": "two lines",
    }
    assert {text: roots.message(text) for text in texts} == texts


def test_roots_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/clips", "b/clips", "c/my clips"):
        (tmp_path / name).mkdir(parents=True)
    named = named_roots([tmp_path / "a/clips", tmp_path / "b/clips", tmp_path / "c/my clips", tmp_path / "a/clips"])
    assert list(named) == ["clips", "clips-2", "my-clips"]


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("::", False),
        ("studio.lan", False),
        ("192.168.0.1", False),
    ],
)
def test_loopback_is_known(host: str, is_local: bool) -> None:
    assert is_loopback(host) is is_local


def test_two_browsers_do_not_meet(app: FastAPI, opened: TestClient, browsing: Browsing, site: Any) -> None:
    other, stranger = browsing(app), browsing(app)
    assert other.post(S, json={"video": "root/clip", "project": "root/other.sampt"}).status_code == 201
    site.click(opened, 1)
    site.propagate(opened)
    opened.post(f"{S}/exports", json={"format": "tracks-csv"})
    with other.websocket_connect(EVENTS) as socket:
        assert socket.receive_json() == {"type": "hello", "revision": 0}
        opened.post(f"{S}/objects", json={})
        other.post(f"{S}/objects", json={})
        assert socket.receive_json() == {"type": "changed", "revision": 1}
    seen = other.get(S).json()
    assert (len(seen["objects"]), seen["points"], seen["propagation"], seen["project"]) == (1, [], None, "root/other.sampt")
    number = 2  # the export of the first browser
    assert opened.get(f"{S}/exports/{number}").status_code == 200
    assert other.get(f"{S}/exports/{number}").status_code == 404
    assert other.delete(f"{S}/points/1").status_code == 404
    for path in (S, f"{S}/frames/0", f"{S}/timelines", f"{S}/exports/{number}/file"):
        assert stranger.get(path).status_code == 404
    other.delete(S)
    assert len(opened.get(S).json()["objects"]) == 2


def test_sessions_are_limited(serving: Serving, browsing: Browsing) -> None:
    app = serving({"sessions": 2})
    for name in ("a", "b"):
        assert browsing(app).post(S, json={"video": "root/clip", "project": f"root/{name}.sampt"}).status_code == 201
    third = browsing(app)
    full = third.post(S, json={"video": "root/clip", "project": "root/c.sampt"})
    assert full.status_code == 503
    assert "2 open sessions" in full.json()["error"]
    assert third.post(S, json={"video": "root/none"}).status_code == 404  # a mistake takes no location


def test_a_session_that_nobody_uses_is_closed(serving: Serving, browsing: Browsing, site: Any) -> None:
    app = serving({"idle_s": 0.4})
    watched, left = browsing(app), browsing(app)
    assert watched.post(S, json={"video": "root/clip"}).status_code == 201
    with watched.websocket_connect(EVENTS):
        assert left.post(S, json={"video": "root/clip", "project": "root/left.sampt"}).status_code == 201
        browsers = app.state.services.browsers
        site.wait_for(lambda: len(browsers._by_id), lambda number: number == 1)
        assert left.get(S).status_code == 404
        assert watched.get(S).status_code == 200


def test_the_end_of_the_server_closes_sessions(serving: Serving, browsing: Browsing, site: Any) -> None:
    app = serving()
    browsing(app).post(S, json={"video": "root/clip"})
    app.state.services.browsers.close()
    assert browsing(serving()).post(S, json={"video": "root/clip"}).status_code == 201
