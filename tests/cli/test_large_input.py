"""Small inputs that request much: refused by what they say of themselves, before the memory or the time is spent."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*sizes: tuple[int, int]) -> bytes:
    """A grey PNG with a header for each size, (w, h), and the first rows of the last."""
    heads = [chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)) for w, h in sizes]
    pixels = zlib.compress(bytes((sizes[-1][0] + 1) * 64))
    return b"\x89PNG\r\n\x1a\n" + b"".join(heads) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _frames(m: Any, tmp_path: Path) -> list[str]:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").write_bytes(png((96, 64), (13000, 13000)))
    return [str(tmp_path / "frames"), "--points", "1,0,25,32"]


def _mask(*sizes: tuple[int, int]) -> Callable[[Any, Path], list[str]]:
    def arguments(m: Any, tmp_path: Path) -> list[str]:
        (tmp_path / "large.png").write_bytes(png(*sizes))
        return [m.path("clip.mp4"), "--mask", str(tmp_path / "large.png")]

    return arguments


CASES: dict[str, Callable[[Any, Path], list[str]]] = {
    "mask with two headers": _mask((96, 64), (13000, 13000)),
    "mask of 169 million pixels": _mask((13000, 13000)),
    "frame with two headers": _frames,
    "raw frames of ten gigapixels": lambda m, _: ["-", "--raw-size", "100000x100000", "--points", "1,0,25,32"],
    "endless query file": lambda m, _: [m.path("clip.mp4"), "--queries", "/dev/zero"],
}


@pytest.fixture(scope="module")
def measured(kit: Any) -> Callable[..., tuple[Any, int]]:
    """Runs the command line; gives the ended process and its peak memory in kB."""
    peak = "import atexit; atexit.register(lambda: print([s for s in open('/proc/self/status') if 'VmHWM' in s][0].split()[1]))"

    def run(*arguments: str) -> tuple[Any, int]:
        with open("/dev/zero", "rb") as endless:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = kit.call_process(["segment", *arguments, "--quiet"], peak, env=environment, stdin=endless)
        return done, int(done.stdout)

    return run


@pytest.fixture(scope="module")
def usual_kb(measured: Any) -> int:
    """What the imports take."""
    peak: int = measured("none.mp4", "--points", "1,0,2,2")[1]
    return peak


@pytest.mark.parametrize("name", CASES)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_refused_in_one_line_without_the_memory(name: str, media: Any, measured: Any, usual_kb: int, tmp_path: Path) -> None:
    """The peak above that of the imports stays below 100 MB, where pixels alone would take 169."""
    done, peak_kb = measured(*CASES[name](media, tmp_path), "-o", str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sampt: error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()
    assert peak_kb - usual_kb < 100_000
