"""What the system hands over: names that are no text, links in circles, too little memory, interruptions at any moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.exporters.tracks_npz import load_tracks
from sampt.video import open_video

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux alone")


def check_one_line(outcome: Any) -> None:
    assert outcome.status == 2, outcome.err
    assert outcome.err.startswith("sampt: error: ")
    assert outcome.err.count("\n") == 1, outcome.err


@LINUX
def test_a_video_whose_name_is_no_utf_8_is_segmented_as_any_other(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    for name in (b"clip.mp4", b"cl\xffip.mp4"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        shutil.copy(media.path("clip.mp4"), path)
        outcome = call("segment", path, *kit.click, *kit.fast, "-o", tmp_path / path.stem, "--quiet")
        assert outcome.status == 0, outcome.err
    good, odd = tmp_path / "clip", tmp_path / os.fsdecode(b"cl\xffip")
    for i in range(kit.num_frames):
        name = f"masks/{i:05d}.png"
        assert (odd / name).read_bytes() == (good / name).read_bytes()
    text = json.loads((odd / "run.json").read_text("utf-8"))
    assert os.fsencode(text["video"]).endswith(b"cl\xffip.mp4")
    assert call("segment", str(odd) + ".mp4", *kit.click, *kit.fast, "-o", odd, "--quiet").status == 0  # complete, and read


@LINUX
def test_frames_whose_names_are_no_utf_8_keep_them(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"fr\xfe")
    folder.mkdir()
    for i, frame in enumerate(media.frames):
        Image.fromarray(frame).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(folder / os.fsdecode(b"%d\xfd.png" % i))
    outcome = call("segment", folder, *kit.click, *kit.fast, "-o", tmp_path / "out", "--quiet")
    assert outcome.status == 0, outcome.err
    names = sorted(os.fsencode(p.name) for p in (tmp_path / "out" / "masks").iterdir())
    assert names == [b"%d\xfd.png" % i for i in range(kit.num_frames)]
    assert [os.fsencode(str(n)) for n in load_tracks(tmp_path / "out" / "tracks.npz").frame_names] == [n[:-4] for n in names]


@LINUX
def test_digests_of_odd_names_are_apart(tmp_path: Path) -> None:
    digests = set()
    for name in (b"a", b"a\xff", b"a\xfe", "aÿ".encode()):
        folder = tmp_path / str(len(digests))
        folder.mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "x.png")
        (folder / "x.png").rename(folder / os.fsdecode(name + b".png"))
        digests.add(open_video(folder).digest())
    assert len(digests) == 4


@LINUX
def test_a_path_of_any_bytes_is_printed_as_it_is() -> None:
    script = (
        "import os, sys, types\nimport sampt.cli.main as m\n"
        "run = lambda a: print(os.fsdecode(b'cl\\xff')) or 0\n"
        "m.build_parser = lambda: types.SimpleNamespace(parse_args=lambda a: types.SimpleNamespace(run=run))\n"
        "sys.exit(m.main([]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONUTF8": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"cl\xff\n", b"")


@pytest.mark.parametrize("location", ["loop", "loop/x.mp4"])
def test_links_in_circles_are_one_line_wherever_they_stand(
    location: str, media: Any, kit: Any, call: Any, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    loop, clip, output = tmp_path / location, media.path("clip.mp4"), tmp_path / "out"
    for arguments in (
        ("segment", loop, *kit.click, "-o", output),
        ("segment", loop, *kit.click),
        ("segment", clip, *kit.click, "-o", loop),
        ("segment", clip, "--queries", loop, "-o", output),
        ("segment", clip, "--mask", loop, "-o", output),
        ("segment", clip, *kit.click, "--segmenter-weights", loop, "-o", output),
        ("batch", loop, "-o", output),
        ("export", loop, "png"),
        ("eval", "score", loop),
        ("eval", "report", loop, "-o", output),
    ):
        check_one_line(call(*arguments))
    assert not output.exists()


def test_an_error_cannot_write_to_the_terminal(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    outcome = call("segment", tmp_path / "a\x1b]0;title\x07b.mp4", *kit.click)
    check_one_line(outcome)
    assert "\x1b" not in outcome.err
    assert "\x07" not in outcome.err
    assert "a\\x1b]0;title\\x07b.mp4" in outcome.err


@LINUX
@pytest.mark.parametrize("source", ["clip.mp4", "frames"])
def test_an_address_space_too_small_for_a_thread_is_one_line(source: str, media: Any, kit: Any, tmp_path: Path) -> None:
    """All is imported, and then there is room for no stack of a thread."""
    before = (
        "import resource, numpy, sampt.runs.run, sampt.cli.segment, sampt.segmenters.grabcut, sampt.trackers.lucas_kanade\n"
        "numpy.ones((512, 512)) @ numpy.ones((512, 512))  # OpenBLAS gets its memory now: without it ends the process itself\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 20), -1))"
    )
    output = tmp_path / "out"
    arguments = ["segment", media.path(source), *kit.click, "--preset", "classical", "-o", str(output), "--quiet"]
    done = kit.call_process(arguments, before, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("sampt: ")]
    assert len(lines) == 1
    assert "not enough memory" in lines[0]
    assert "Traceback" not in done.stderr
    assert not (output / "run.json").exists()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't start new thread"), OSError(12, "Cannot allocate memory")], ids=repr
)
def test_too_little_memory_is_told_whoever_meets_it(error: Exception, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("sampt.cli.backends._run", fail)
    outcome = call("backends")
    check_one_line(outcome)
    assert "not enough memory" in outcome.err


def test_other_errors_of_the_program_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("sampt.cli.backends._run", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main(["backends"])


@pytest.mark.parametrize("text", ['{"output": ', "", '{"output": "x", "config'])
def test_a_worker_whose_driver_is_stopped_while_it_starts_says_nothing(text: str) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "sampt.batch.process"], input=text, capture_output=True, text=True, timeout=60
        )
        assert (done.stdout, done.stderr) == ("", "")
        assert done.returncode == 3


@LINUX
def test_a_worker_that_starts_is_not_interrupted(tmp_path: Path) -> None:
    """SIGINT while it imports, as from a terminal that sends it to everything: it waits for its driver all the same."""
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from sampt.batch.local import LocalPool\nfrom sampt.batch.work import BatchSettings\n"
        "with LocalPool(BatchSettings(Path('out')), 1) as pool:\n"
        "    print(pool._start_worker(0).pid, flush=True)\n    sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        for _ in range(20):
            os.kill(worker, signal.SIGINT)
            time.sleep(0.02)
        assert Path(f"/proc/{worker}").exists()
        _, err = driver.communicate("\n", timeout=60)
    assert (driver.returncode, err) == (0, "")
