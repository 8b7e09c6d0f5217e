"""Whatever the user gives -> a video."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sampt.errors import VideoError, did_you_mean
from sampt.files.listing import is_leftover, visible
from sampt.video.array import ArrayVideo
from sampt.video.base import Video
from sampt.video.damage import OnDamage, check_on_damage, without_damage
from sampt.video.file import VideoFile
from sampt.video.frame_names import IMAGE_SUFFIXES, frame_paths, image_paths, warn_of_names
from sampt.video.image_files import image_facts
from sampt.video.images import ImageVideo

__all__ = ["VIDEO_SUFFIXES", "open_source", "open_video"]

_ENDINGS = ", ".join(IMAGE_SUFFIXES)
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
"""Endings by which video files are known where folders are listed; one that is named is read whatever its ending."""


def open_video(
    source: str | Path | np.ndarray | Sequence[np.ndarray] | Video,
    *,
    on_damage: OnDamage = "stop",
    allow_playlists: bool = False,
) -> Video:
    """Open a video.

    Args:
        source: a video file; a folder of images (read in natural order: img2 before img10; see
            :func:`sampt.video.frame_names.frame_paths` for images that are no frames); a pattern such as ``"frames/*.jpg"``; an
            image file of several pages (TIFF, animated WebP or PNG); frames as one (t, h, w, 3) array or a sequence of
            (h, w, 3) arrays, uint8 RGB; or a video, which is given back as it is.
        on_damage: what becomes of frames that cannot be had. "stop": reading one is an error; "repeat": the frame before is
        instead; "skip": the video is without them. For the last two everything is decoded once to find them.
        allow_playlists: a video file may be a playlist (HLS, DASH, ffconcat), and what it names is opened, too.

    Raises:
        ConfigError: ``on_damage`` is something else.
        VideoError: there is nothing at the path, or what is there cannot be read as one video.
    """
    check_on_damage(on_damage)
    opened = open_source(source, allow_broken=on_damage != "stop", allow_playlists=allow_playlists)
    return without_damage(opened, on_damage)


def open_source(source: object, *, allow_broken: bool = False, allow_playlists: bool = False) -> Video:
    """What :func:`open_video` opens, with all its frames, broken ones, too.

    Args:
        source: see :func:`open_video`.
        allow_broken: images whose headers cannot be read are frames that cannot, instead of an error.
        allow_playlists: see :func:`open_video`.

    Raises:
        VideoError: see :func:`open_video`.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, (str, Path)):
        return _open_path(str(source), allow_broken, allow_playlists)
    if isinstance(source, (np.ndarray, list, tuple)):
        return ArrayVideo(source)
    raise VideoError(
        f"A {type(source).__name__} was given as video, expected a path, a pattern, a (t, h, w, 3) array or a list of frames."
    )


def _open_path(name: str, allow_broken: bool, allow_playlists: bool) -> Video:
    path = Path(os.path.expanduser(name))
    if not name.strip():
        raise VideoError("The path of the video is empty. Give a video file, a folder of images or a pattern.")
    if path.is_dir():
        return _open_folder(path, allow_broken)
    if not path.exists():
        if glob.has_magic(name):
            return _open_pattern(str(path), allow_broken)
        if path.is_symlink():
            raise VideoError(f"{name} is a link to something that is not there, or to itself. Give the file that it stood for.")
        advice = "Give a video file, a folder of images or a pattern."
        raise VideoError(f"There is no file or folder {name}.{_sibling_hint(path)} {advice}")
    if not path.is_file():
        raise VideoError(f"{name} is neither a regular file nor a folder. Give a video file or a folder of images.")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if path.stat().st_size and len(image_facts(path).pages) > 1:
            return ImageVideo([path], str(path))
        raise VideoError(f"{name} is one image, expected a video. Give the folder of its frames: {path.parent}.")
    if not path.stat().st_size:
        raise VideoError(f"{name} is empty (0 bytes). Copy or download it again.")
    return VideoFile(path, allow_playlists=allow_playlists)


def _open_folder(path: Path, allow_broken: bool) -> Video:
    try:
        entries = visible(path.iterdir())
    except OSError as error:
        raise VideoError(f"Folder {path} cannot be read: {error.strerror}. Check its permissions.") from error
    images = frame_paths(path, entries)
    if images:
        return ImageVideo(images, str(path), allow_broken=allow_broken)
    if not entries:
        raise VideoError(f"Folder {path} is empty. Give a folder with images ({_ENDINGS}) or a video file.")
    raise VideoError(f"Folder {path} holds no image. Files that end in {_ENDINGS} are read.{_folder_hint(entries)}")


def _folder_hint(entries: list[Path]) -> str:
    """Where the frames may be instead."""
    for entry in sorted(entries):
        if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file():
            return f" Did you mean the video {entry}?"
        if entry.is_dir() and os.access(entry, os.R_OK | os.X_OK) and image_paths(entry.iterdir()):
            return f" Did you mean the folder {entry}?"
    return ""


def _open_pattern(pattern: str, allow_broken: bool) -> Video:
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))  # folders before it were named by the user
    found = map(Path, glob.glob(pattern, recursive=True))
    matches = [match for match in found if not any(map(is_leftover, match.parts[first:]))]
    if not matches:
        raise VideoError(f"Nothing matches the pattern {pattern}. Check the folder and the ending, and quote the pattern.")
    images = image_paths(matches)
    if not images:
        raise VideoError(
            f"The pattern {pattern} matches no image (but {min(matches)}). Files that end in {_ENDINGS} are read; "
            "give one video file by its name."
        )
    warn_of_names(pattern, images, matches)
    return ImageVideo(images, pattern, allow_broken=allow_broken)


def _sibling_hint(path: Path) -> str:
    """The file or folder beside the missing one whose name is closest, or the parent that is missing itself."""
    parent = path.parent
    if not parent.is_dir():
        return f" The folder {parent} does not exist either."
    try:
        return did_you_mean(path.name, [entry.name for entry in visible(parent.iterdir())])
    except OSError:
        return ""
