"""Help, version, the list of backends, and what the progress bar shows."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

import sampt
from sampt.cli.progress import progress_bar
from sampt.config import SegmentConfig, setting_fields, with_settings
from sampt.presets import PRESETS


def test_help_lists_the_commands(call: Any) -> None:
    outcome = call("--help")
    assert outcome.status == 0
    assert re.findall("^ +([a-z]+) {2,}[a-z]", outcome.out, re.MULTILINE) == [
        "segment",
        "ui",
        "export",
        "batch",
        "eval",
        "demo",
        "doctor",
        "backends",
        "weights",
    ]


def test_version_is_the_packages(call: Any) -> None:
    assert call("--version").out == f"sampt {sampt.__version__}\n"


def test_help_shows_every_setting_with_its_default(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = call("segment", "--help").out
    assert len(re.findall("^  --", text, re.MULTILINE)) >= len(setting_fields())
    assert (
        "usage: sampt segment VIDEO (--points ... | --box ... | --queries FILE | --mask PNG | --find) [-o DIR] [options]"
        in text
    )
    rounds = PRESETS["default"].prompting.refinement_steps
    assert f"refinement steps: with the box and logits of the step before (default: {rounds})" in text
    assert "sample points again from the predicted masks (default: on)" in text
    assert "(default: None)" not in text


def test_options_reach_the_settings_they_name(call: Any) -> None:
    from sampt.cli.main import build_parser
    from sampt.cli.settings import config_from

    given = ["--seed", "5", "--reinit", "--reinit-horizon", "9", "--no-other-objects-as-negatives", "--border-fraction", "0.2"]
    given += ["--negative-sampler", "random", "--tracker", "lucas-kanade"]
    arguments = build_parser().parse_args(["segment", "clip.mp4", "--preset", "fast-offline", *given])
    expected: SegmentConfig = with_settings(
        PRESETS["fast-offline"],
        {
            "seed": 5,
            "reinit.enabled": True,
            "reinit.horizon": 9,
            "prompting.other_objects_as_negatives": False,
            "tracking.border_fraction": 0.2,
            "sampling.negative_sampler": "random",
            "tracker": "lucas-kanade",
        },
    )
    assert config_from(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "sampt: error: the following arguments are required: COMMAND. See 'sampt --help'.\n"),
        (["segment"], "sampt: error: the following arguments are required: VIDEO. See 'sampt segment --help'.\n"),
        (["demo", "--qiet"], "unrecognized arguments: --qiet. Did you mean '--quiet'? See 'sampt demo --help'.\n"),
        (["segment", "x", "--refine", "3"], "unrecognized arguments: --refine 3."),  # no abbreviations
        (["sgment", "x"], "Did you mean 'segment'? See 'sampt --help'.\n"),
    ],
)
def test_wrong_words_end_with_one_line(arguments: list[str], message: str, call: Any) -> None:
    outcome = call(*arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_backends_lists_names_and_licenses(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    outcome = call("backends")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    shown = (("tracker", "dis-flow"), ("tracker", "nano"), ("segmenter", "grabcut"), ("segmenter", "nano"))
    for kind, name in (*shown, ("proposer", "objectness")):
        row = next(line for line in lines if name in line and kind in line)
        assert "Apache-2.0" in row


def test_progress_bar_shows_speed_and_is_wiped_by_an_error(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("clip", quiet=False) as on_frame:
        for i in range(5):
            on_frame(i, 4)
    shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(r"clip .* 4/4 [0-9.]+ frames/s 0:00:00 left", shown)
    with pytest.raises(ValueError, match="broken"), progress_bar("clip", quiet=False) as on_frame:
        on_frame(1, 4)
        raise ValueError("broken")
    assert capsys.readouterr().err.endswith("\x1b[1A\x1b[2K")  # the cursor goes up, the line is cleared


def test_importing_the_command_loads_no_back_end() -> None:
    heavy = ("cv2", "av", "torch", "onnxruntime", "PIL", "rich")
    code = f"import sys, sampt.cli.main; print(sorted(m for m in sys.modules if m in {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
