"""What there is on this machine: processors, memory, GPU, versions, and which extras of sampt are installed.

PyTorch is imported only where a driver says that there may be a GPU; everything else is read from what pip and the system know.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from sampt.backends.opencv import BUILDS
from sampt.version import __version__

__all__ = ["Extra", "Machine", "describe_machine", "list_extras", "num_cores"]

_DISTRIBUTION = "sampt"
_FOR_DEVELOPERS = ("dev", "training")
_PACKAGES = ("numpy", "onnxruntime", "av", "torch", "transformers", "kornia", "openvino")
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Files that a driver of NVIDIA's or AMD's makes on Linux, the last one in Windows' Linux."""
_REQUIRED = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?[^;]*;.*extra\s*==\s*['\"]([\w-]+)['\"]")


@dataclass(frozen=True)
class Machine:
    """What a run would have.

    Attributes:
        system: operating system and processor.
        cores: that this process may use.
        memory_bytes: that this process may use, in all; None where the system does not say.
        gpus: names that PyTorch gives, with their memory; empty without any, or without PyTorch.
        gpu_note: why there are none, or None.
        versions: of Python, sampt, FFmpeg and the packages installed, by name.
    """

    system: str
    cores: int
    memory_bytes: int | None
    gpus: tuple[str, ...]
    gpu_note: str | None
    versions: dict[str, str]


@dataclass(frozen=True)
class Extra:
    """An extra of sampt.

    Attributes:
        name: in ``pip install 'sampt[NAME]'``.
        missing: its packages that are not installed.
    """

    name: str
    missing: tuple[str, ...]


def describe_machine() -> Machine:
    """Look at this machine; imports PyTorch where there may be a GPU, else nothing large."""
    gpus, note = _gpus()
    system = f"{platform.system()} {platform.release()}, {_processor()}"
    return Machine(system, num_cores(), _memory_bytes(), gpus, note, dict(_versions()))


def list_extras() -> tuple[Extra, ...]:
    """The extras for users, as the installed package names them; none where pip does not know of it."""
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return ()
    needed: dict[str, set[str]] = {}
    parts: dict[str, set[str]] = {}
    for found in filter(None, map(_REQUIRED.match, lines)):
        package, inner, extra = found.groups()
        if package == _DISTRIBUTION:
            parts.setdefault(extra, set()).update((inner or "").split(","))
            needed.setdefault(extra, set())
        else:
            needed.setdefault(extra, set()).add(package)
    return tuple(
        Extra(extra, tuple(sorted(p for p in _all_packages(extra, needed, parts) if _version(p) is None)))
        for extra in needed
        if extra not in _FOR_DEVELOPERS
    )


def _all_packages(extra: str, needed: dict[str, set[str]], parts: dict[str, set[str]]) -> set[str]:
    return needed.get(extra, set()).union(*(_all_packages(part, needed, parts) for part in parts.get(extra, ())))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> Iterator[tuple[str, str]]:
    yield "Python", platform.python_version()
    yield "sampt", __version__
    yield "FFmpeg", _ffmpeg()
    for name in (*BUILDS, *_PACKAGES):
        if version := _version(name):
            yield name, version


def _ffmpeg() -> str:
    """FFmpeg comes inside of PyAV, and is not the program on the PATH."""
    try:
        import av
    except ImportError as error:
        return f"cannot be imported ({error})"
    codec = ".".join(map(str, av.library_versions.get("libavcodec", ())))
    return str(getattr(av, "ffmpeg_version_info", "")) or f"libavcodec {codec}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def num_cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """The machine's, or the limit of the container where that is less."""
    try:
        total: int | None = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        total = None
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no container, or "max"
            continue
        total = limit if total is None else min(total, limit)
    return total


def _gpus() -> tuple[tuple[str, ...], str | None]:
    """Names, or none and why."""
    if util.find_spec("torch") is None:
        return (), "PyTorch is not installed"
    if sys.platform == "linux" and not any(Path(path).exists() for path in _DRIVERS):
        return (), "no driver of one"
    try:
        import torch
    except (ImportError, OSError) as error:
        return (), f"PyTorch cannot be imported ({' '.join(str(error).split())[:120]})"
    if torch.cuda.is_available():
        facts = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return tuple(f"{each.name}, {each.total_memory / 1e9:.0f} GB" for each in facts), None
    if torch.backends.mps.is_available():
        return (f"{platform.machine()} (mps)",), None
    return (), f"PyTorch {torch.__version__} sees none"
