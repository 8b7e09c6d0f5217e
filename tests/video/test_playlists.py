"""A file that names other files is no video, whatever it is called: nothing that it names is opened unless requested."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sampt.cli.main import main
from sampt.errors import VideoError
from sampt.video.decoding import one_file_options, playlist_kind
from sampt.video.file import VideoFile
from sampt.video.open import open_video
from sampt.video.streaming import open_stream

MakeVideo = Callable[..., Path]
DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT5S"><Period>
<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>clip.mp4</BaseURL></Representation></AdaptationSet>
</Period></MPD>"""
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nclip.mp4\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile clip.mp4\n",
    "SDP": SDP,
    "DASH": DASH,
    "ffconcat with a mark": "\ufeffffconcat version 1.0\nfile clip.mp4\n",
}
NAMES = ("a.mp4", "a.m3u8", "a.ffconcat", "a.sdp", "a.mpd", "a.ts")


@pytest.fixture
def clip(make_video: MakeVideo) -> Path:
    return make_video("clip.mp4", 5)


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_of_any_name_is_refused(kind: str, clip: Path) -> None:
    for name in NAMES:
        path = clip.with_name(name)
        path.write_text(PLAYLISTS[kind])
        with pytest.raises(VideoError, match=rf"{name} is no video but a .*--allow-playlists"):
            open_video(path)


@pytest.mark.parametrize("kind", ["HLS", "ffconcat", "SDP"])
def test_ffmpeg_itself_would_not_open_what_it_names(kind: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Were a playlist disguised so that its beginning does not tell, FFmpeg still may open none.
    monkeypatch.setattr("sampt.video.decoding.playlist_kind", lambda head: None)
    for name in ("a.m3u8", "a.mp4"):
        path = clip.with_name(name)
        path.write_text(PLAYLISTS[kind])
        with pytest.raises(VideoError):
            VideoFile(path)


def test_nothing_but_files_of_one_file_can_be_opened() -> None:
    options = one_file_options()
    assert options["protocol_whitelist"] == "file"
    formats = set(options["format_whitelist"].split(","))
    assert not formats & {"hls", "concat", "dash", "sdp", "rtsp", "rtp", "lavfi"}
    assert {"mp4", "matroska", "avi", "mpegts", "gif"} <= formats


def test_a_playlist_that_was_asked_for_is_read_and_its_digest_is_that_of_the_frames(clip: Path) -> None:
    path = clip.with_name("a.ffconcat")
    path.write_text(PLAYLISTS["ffconcat"])
    video = open_video(path, allow_playlists=True)
    assert np.array_equal(video.read(0, 5), VideoFile(clip).read(0, 5))
    before = video.digest()
    other = clip.with_name("other.mp4")
    shutil.copy(clip, other)
    other.write_bytes(other.read_bytes() + b"\0" * 8)  # the same frames in another file
    path.write_text(PLAYLISTS["ffconcat"].replace("clip", "other"))
    assert open_video(path, allow_playlists=True).digest() == before


def test_the_command_takes_one_only_when_it_is_asked_to(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = clip.with_name("a.mp4")
    path.write_text(PLAYLISTS["ffconcat"])
    how = ["--points", "1,0,48,30", "--tracker", "lucas-kanade", "--segmenter", "grabcut", "--formats", "png", "--quiet"]
    call = ["segment", str(path), *how, "-o", str(tmp_path / "out")]
    assert main(call) == 2
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*call, "--allow-playlists"]) == 0
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 5


def test_standard_input_and_file_addresses_are_no_way_round(clip: Path) -> None:
    path = clip.with_name("a.ffconcat")
    path.write_text(PLAYLISTS["ffconcat"])
    with pytest.raises(VideoError):
        open_stream(f"file://{path}")
    assert [frame.shape for frame in open_stream(f"file://{clip}")] == [(48, 96, 3)] * 5


def test_videos_are_told_from_playlists(clip: Path) -> None:
    assert playlist_kind(clip.read_bytes()[:4096]) is None
    assert playlist_kind(b"") is None
    assert playlist_kind(b"v=0 is how a text begins") is None


def test_even_a_playlist_that_was_asked_for_starts_no_stream_and_no_script(clip: Path) -> None:
    for name, text in (("a.sdp", PLAYLISTS["SDP"]), ("a.vpy", "raise SystemExit"), ("a.avs", "Version()")):
        path = clip.with_name(name)
        path.write_text(text)
        with pytest.raises(VideoError):
            open_video(path, allow_playlists=True)
