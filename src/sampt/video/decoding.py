"""Opening a file's video stream, and decoding that goes on after a packet that the decoder refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sampt.errors import VideoError
from sampt.files.limits import check_pixels
from sampt.video.av_compat import open_input

__all__ = ["decode_packets", "one_file_options", "open_stream", "playlist_kind", "refuse_playlist"]

# Formats whose content is made of other files or addresses, or is a program that is run: a file of these, whatever its name,
# would make FFmpeg open what its author chose, and its digest would not cover the frames.
_REFERRING = {"hls", "concat", "dash", "sdp", "rtsp", "rtp", "sap", "imf", "lavfi", "vapoursynth", "avisynth"}
_PLAYLIST_KINDS = {
    "HLS playlist": re.compile(rb"#EXTM3U"),
    "list of files to join (ffconcat)": re.compile(rb"ffconcat\s+version"),
    "description of a session (SDP)": re.compile(rb"v=0\s*\r?\n[\s\S]*?(m=|o=)"),
    "DASH manifest": re.compile(rb"(<\?xml[\s\S]*?)?<MPD\b"),
    "IMF composition": re.compile(rb"(<\?xml[\s\S]*?)?<(\w+:)?CompositionPlaylist\b"),
}
_HEAD_BYTES = 4096
_PLAYLIST_PROTOCOLS = "file,crypto,data,http,https,httpproxy,tcp,tls"


_PLAYLISTS = {"hls", "concat", "dash", "imf"}


@cache
def _formats_without(excluded: frozenset[str]) -> str:
    return ",".join(sorted(set(av.formats_available) - excluded))


def one_file_options() -> dict[str, str]:
    """Options with which FFmpeg opens nothing but the one file that it is given."""
    return {"format_whitelist": _formats_without(frozenset(_REFERRING)), "protocol_whitelist": "file"}


def _playlist_options() -> dict[str, str]:
    """Options with which a playlist and what it names can be opened, but no script and no stream that never ends."""
    return {"format_whitelist": _formats_without(frozenset(_REFERRING - _PLAYLISTS)), "protocol_whitelist": _PLAYLIST_PROTOCOLS}


def playlist_kind(head: bytes) -> str | None:
    """What kind of playlist a file is that begins with ``head``; None where it is none."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for kind, pattern in _PLAYLIST_KINDS.items() if pattern.match(text)), None)


def refuse_playlist(path: Path) -> None:
    """Refuse a file that names other files instead of holding frames, whatever its own name.

    Raises:
        VideoError: it is one.
    """
    try:
        with path.open("rb") as file:
            kind = playlist_kind(file.read(_HEAD_BYTES))
    except OSError:
        return  # opening it as a video tells why
    if kind is not None:
        raise VideoError(
            f"{path} is no video but a {kind}, which has other files or addresses opened. Give the video itself, or, where the "
            "list is to be trusted, --allow-playlists (allow_playlists=True)."
        )


def open_stream(path: Path, *, allow_playlists: bool = False, threads: str = "AUTO") -> tuple[InputContainer, VideoStream]:
    """Open a file for reading, and choose its video stream.

    Args:
        path: the file.
        allow_playlists: it may be a playlist, and what it names is opened, on this machine or at http(s) addresses. Otherwise
            nothing but the file is.
        threads: of the decoder, see ``av.codec.context.ThreadType``.

    Raises:
        VideoError: it is no video, has only sound, or has a codec that cannot be decoded.
    """
    if not allow_playlists:
        refuse_playlist(path)
    options = _playlist_options() if allow_playlists else one_file_options()
    try:
        # "file:" because a colon in a name would otherwise name a protocol.
        container = open_input(f"file:{path}", options=options)
    except av.FFmpegError as error:
        raise VideoError(_unreadable(path, error)) from error
    if container.format.name == "tty":  # FFmpeg draws text files as if on a terminal
        raise VideoError(f"{path} is a text file, expected a video, a folder of images or a pattern.")
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise VideoError(f"{path} is one image, expected a video. Give the folder of its frames: {path.parent}.")
    # A song's cover is a video stream of one image.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "nothing"
        raise VideoError(f"{path} holds no video stream, only {kinds}. Give a file with images.")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"The video codec of {path} cannot be decoded by this build of FFmpeg. Re-encode it as H.264.")
    check_pixels(stream.width, stream.height, str(path))
    stream.thread_type = threads
    return container, stream


def _unreadable(path: Path, error: av.FFmpegError) -> str:
    if isinstance(error, OSError):
        return f"{path} cannot be opened: {error.strerror}."
    return (
        f"{path} cannot be read as a video ({error.strerror}): it is no video, or it is cut off and the index at its end is "
        "missing. Give a video file, or copy this one again."
    )


def decode_packets(
    packets: Iterable[Packet[VideoStream]], on_refused: Callable[[str], Any], is_wanted: Callable[[Any], bool] | None = None
) -> Iterator[VideoFrame]:
    """The frames of ``packets``; a packet that the decoder refuses ends nothing: the frames of the others follow.

    Args:
        packets: in decoding order.
        on_refused: called with the reason for each packet that is refused, and once where reading them fails, which is the end.
        is_wanted: whether a packet that the container calls corrupt is decoded at all.
    """
    upcoming = iter(packets)
    while True:
        try:
            packet = next(upcoming)
        except StopIteration:
            return
        except av.FFmpegError as error:
            on_refused(error.strerror or str(error))
            return
        if packet.is_corrupt and is_wanted is not None and not is_wanted(packet):
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            on_refused(error.strerror or str(error))
            continue
        yield from frames
