"""The program that times peers: what one measurement gives, and the table of several."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers


def test_the_table_has_medians_and_ratios_to_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([2.0, 5.0, 1.0, 7.0, 3.0, 6.0])  # default and SAM 2.1 in turn, three times
    commands: list[list[str]] = []

    def answer(command: list[str], **_: Any) -> Any:
        commands.append(command)
        found = {"frame_s": next(times), "frames": 2, "peak_mb": 100.0 * len(commands)}
        return subprocess.CompletedProcess(command, 0, json.dumps(found))

    monkeypatch.setattr(subprocess, "run", answer)
    assert peers.main(["--systems", "default", peers.SAM2, "--objects", "3", "--frames", "2"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows == ["| default | 3 | 2.00 | 1.00 | 300 |", f"| {peers.SAM2} | 3 | 6.00 | 3.00 | 400 |"]
    assert [command[4] for command in commands] == ["default", peers.SAM2] * 3


def test_a_measurement_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3, ""))
    assert peers.main([]) == 2
    assert capsys.readouterr().err == "benchmarks.peers: default ended with status 3, its message is above.\n"
    with pytest.raises(SystemExit):
        peers.main(["--mask", "a.png"])


@pytest.mark.slow
def test_every_system_is_measured_in_a_process_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
    assert peers.main(["--objects", "1", "--frames", "2", "--size", "96", "64", "--repeats", "1"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows] == list(peers.SYSTEMS)
    assert all(float(row[2]) > 0 and float(row[4].strip("| ")) > 50 for row in rows)
