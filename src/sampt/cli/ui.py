"""``sampt ui``: the page."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import secrets
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from sampt.cli.running import print_note
from sampt.cli.settings import add_running_options, add_setting_options, config_from, describe_presets, whole_number
from sampt.errors import ConfigError, OutputError, VideoError

if TYPE_CHECKING:
    from sampt.web.settings import WebSettings

__all__ = ["add_command"]

_PORT = 7268
"""As :data:`sampt.web.settings.DEFAULT_PORT`, whose module is not imported for a help text."""
_NEEDED = ("fastapi", "uvicorn", "websockets")
_EXAMPLES = """\
examples:
  sampt ui clip.mp4
  sampt ui clips/                        # which of its videos are new, partly done, complete, reviewed
  sampt ui --root ~/videos --root /data/clips
  sampt ui clip.mp4 --project work/clip.sampt --segmenter sam-vit-b --device cuda
  sampt ui --root /data --host 0.0.0.0 --port 7268 --no-browser
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "ui",
        help="click objects in a page, correct their masks on any frame, export",
        description="Serve a page on this machine: click an object, see its mask at once, propagate it, correct it, export it.",
        usage="%(prog)s [VIDEO] [--project DIR] [--root DIR ...] [options]",
        epilog=f"{describe_presets()}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "video",
        metavar="VIDEO",
        nargs="?",
        type=Path,
        help="video file or folder of images to open first, or a folder of these: a list of work",
    )
    files = parser.add_argument_group("files")
    files.add_argument("--project", type=Path, metavar="DIR", help="project to open first (default: NAME.sampt beside VIDEO)")
    files.add_argument(
        "--root",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder that the page may open files of; repeat it (default: that of VIDEO and --project, else the current one)",
    )
    _add_server_options(parser)
    add_setting_options(parser)
    parser.set_defaults(run=_run)
    return parser


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument("--host", default="127.0.0.1", metavar="NAME", help="address to bind to (default: 127.0.0.1)")
    group.add_argument("--port", type=whole_number, metavar="N", help=f"0 for any (default: {_PORT}, or any when it is taken)")
    group.add_argument(
        "--token",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="require the random token in the printed address (default: on, unless bound to this machine alone)",
    )
    group.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    add_running_options(group)


def _run(arguments: argparse.Namespace) -> int:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"'sampt ui' needs {' and '.join(missing)}, not installed here. Run: pip install 'sampt[ui]'.")
    from sampt.web.security import is_loopback
    from sampt.web.serving import serve

    is_local = is_loopback(arguments.host)
    if arguments.token is False and not is_local:
        raise ConfigError(f"--no-token is for this machine alone, and --host is {arguments.host}; leave one of them out.")
    token = secrets.token_urlsafe(24) if arguments.token or not is_local else None
    bound = _bound(arguments.host, arguments.port)
    with bound:
        settings = _settings(arguments, bound.getsockname()[1], token)
        url = _url(arguments.host, settings.port, token)
        print_note(f"the page is at {url} (Ctrl+C ends)")
        if not arguments.no_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        serve(settings, bound)
    return 0


def _settings(arguments: argparse.Namespace, port: int, token: str | None) -> WebSettings:
    from sampt.proposers.create import create_proposer
    from sampt.runs.backends import backend_options
    from sampt.web.backends import NamedBackends
    from sampt.web.roots import Roots, named_roots
    from sampt.web.settings import WebSettings, default_work_folder

    is_list = _is_list(arguments.video)
    folders = _folders(arguments, is_list)
    config = config_from(arguments)
    backend_options(config, arguments.runtime, arguments.precision)  # unknown names are reported here, not in the page
    backends = NamedBackends(arguments.device, arguments.runtime, arguments.precision)
    roots = named_roots(folders)
    known_roots = Roots(roots)
    given = {"folder" if is_list else "video": arguments.video, "project": arguments.project}
    for name, path in given.items():
        if path is not None and not known_roots.contains(path):
            raise ConfigError(f"The {name} {path} lies in no --root; add its folder as one.")
    start = {name: known_roots.describe(path) for name, path in given.items() if path is not None}
    proposers = functools.partial(create_proposer, device=arguments.device)
    address = {"host": arguments.host, "port": port, "token": token}
    return WebSettings(roots, default_work_folder(), backends, config, start=start, proposers=proposers, **address)


def _folders(arguments: argparse.Namespace, is_list: bool) -> list[Path]:
    """The roots; checked, as the video is."""
    from sampt.session.project import read_project
    from sampt.video.open import open_video

    video, project = arguments.video, arguments.project
    if video is not None and not video.exists():
        raise VideoError(f"There is no file or folder {video}. Give a video file or a folder of images.")
    if project is not None and video is None:
        if not project.is_dir():
            raise OutputError(f"There is no project {project}; give a video to begin one.")
        read_project(project)
    if is_list and project is not None:
        raise ConfigError(
            f"{video} is a folder of videos, and --project belongs to one video; leave it out, or name the video."
        )
    if video is not None and not is_list:
        open_video(video)  # what is no video is reported here, not in the page
    for folder in arguments.root:
        if not folder.is_dir():
            raise ConfigError(f"--root is {folder}, which is no folder; expected one.")
    if arguments.root:
        return list(arguments.root)
    if is_list:
        return [video]
    beside = [path.absolute().parent for path in (video, project) if path is not None]
    return beside or [Path.cwd()]


def _is_list(folder: Path | None) -> bool:
    """Whether what was given is a folder of videos, of folders of frames, or of projects, and no video itself."""
    from starlette.exceptions import HTTPException

    from sampt.web.roots import Roots, folder_kind, named_roots

    if folder is None or not folder.is_dir():
        return False
    (name, root), *_ = named_roots([folder]).items()
    roots = Roots({name: root})
    if folder_kind(root) != "folder":
        return False
    try:
        return any(entry.kind != "folder" for entry in roots.list(name))
    except HTTPException:  # it cannot be read; who opens it as a video gets the error
        return False


def _bound(host: str, port: int | None) -> socket.socket:
    """A listening socket; on the usual port, or any free one when that is taken, unless one was requested."""
    if port is not None and not 0 <= port <= 65535:
        raise ConfigError(f"--port is {port}; expected 0 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise ConfigError(f"--host is {host!r}, which is no address of this machine; use 127.0.0.1 or 0.0.0.0.") from None
    for tried in (_PORT, 0) if port is None else (port,):
        bound = socket.socket(family, kind, protocol)
        if os.name == "nt":  # where SO_REUSEADDR lets two servers have one port
            bound.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", ~socket.SO_REUSEADDR), 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((address[0], tried, *address[2:]))
            bound.listen(128)
        except OSError as error:
            bound.close()
            if tried != _PORT or port is not None:
                raise ConfigError(f"{host} port {tried} cannot be used ({error.strerror}); choose another --port.") from None
        else:
            return bound
    raise AssertionError("any free port was tried")


def _url(host: str, port: int, token: str | None) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host.strip("[]"))  # noqa: S104
    named = f"[{shown}]" if ":" in shown else shown
    return f"http://{named}:{port}/" + ("" if token is None else f"?token={token}")
