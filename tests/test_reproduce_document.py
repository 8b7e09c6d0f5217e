"""docs/reproduce.md: every command is one, with the paper's settings, and every row of the paper's own stands in it."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest

from sampt.cli.main import build_parser, main
from sampt.cli.settings import config_from, given_settings
from sampt.config import SegmentConfig
from sampt.evaluation.paper_rules import applied_rules, with_rules
from sampt.evaluation.reports.published import published
from sampt.evaluation.sweep import read_sweep
from sampt.weights import SOURCES

TEXT = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
FENCED = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines() if line]
ROWS: list[tuple[str, str, str]] = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \|(?: [\d.]+ \|)? `(sampt [^`]+)` \|$", TEXT, re.MULTILINE
)
PARSER = build_parser()


def parse(command: str) -> argparse.Namespace:
    program, *arguments = shlex.split(command)
    assert program == "sampt"
    return PARSER.parse_args(arguments)


def ruled(command: str) -> tuple[str, SegmentConfig]:
    """Dataset and settings of a run, with what the paper sets for it."""
    arguments = parse(command)
    config, given = config_from(arguments), given_settings(arguments)
    return arguments.dataset, with_rules(config, applied_rules(arguments.preset, config, arguments.dataset, given), given)


def numbers(config: SegmentConfig) -> tuple[str, str, int, int, int, bool]:
    sampling = config.effective_sampling
    counts = sampling.positive_points, sampling.negative_points, config.prompting.refinement_steps
    return config.tracker, config.segmenter, *counts, config.reinit.enabled


def test_every_command_is_read() -> None:
    assert len(FENCED) > 15
    for command in FENCED:
        if not command.startswith("pip install"):
            parse(command)
    inline = re.findall(r"`(sampt [^`]*-o [^`]*)`", TEXT)
    assert len(inline) == len(ROWS) == 19
    folders = [parse(command).output for command in inline]
    assert len(set(folders)) == len(folders)
    scored = [Path(name) for command in FENCED if " score " in command for name in shlex.split(command)[3:]]
    assert set(scored) <= set(folders)
    assert all(name in SOURCES for command in FENCED if "weights pull" in command for name in shlex.split(command)[3:])


def test_every_row_of_the_papers_tables_has_its_figure_and_settings() -> None:
    found = {}
    for method, figure, command in ROWS:
        dataset, config = ruled(command)
        if method.startswith(("SAM-PT", "HQ-SAM-PT")):
            found[dataset, method] = tuple(float(part) for part in figure.split("/"))
        assert config.full_precision
        assert config.longest_side == 1024
        steps = 0 if dataset in ("mose", "uvo") else 3 if method in ("Light HQ-SAM", "MobileSAM") else 12
        is_reinitialised = "reinit" in method
        tracker, segmenter, *rest = numbers(config)
        if method.endswith("v2"):
            assert (tracker, segmenter, *rest) == ("cotracker-v1", "hq-sam-vit-h", 16, 1, steps, False)
        else:
            assert tracker == "pips"
            assert rest == [8, 72 if is_reinitialised else 1, steps, is_reinitialised]
        assert segmenter.startswith("hq-sam") == (method.startswith("HQ-SAM") or method.endswith("v2"))
    wanted = {
        (dataset, method): figures
        for dataset in ("davis-2016", "davis-2017", "youtube-vos-2018", "mose", "uvo")
        for method, figures in published(dataset).figures.items()  # type: ignore[union-attr]
        if "SAM-PT" in method
    }
    assert found == wanted


def test_the_sweep_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "v1.json").write_text(block)
    sweep = read_sweep(tmp_path / "v1.json")
    assert list(sweep.seeds) == json.loads(block)["seeds"]
    assert [numbers(config) for config in sweep.configs.values()] == [("pips", "sam-vit-h", 8, 1, 12, False)]


def test_backends_lists_every_system_that_the_paper_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["backends"]) == 0
    listed = capsys.readouterr().out
    names = {line.split()[1] for line in listed.splitlines() if len(line.split()) > 1}
    trackers = {"pips", "pips-pp", "raft", "tapnet", "tapir", "superglue", "cotracker-v1", "tracks"}
    segmenters = {"sam-vit-h", "sam-vit-l", "sam-vit-b", "hq-sam-vit-h", "light-hq-sam", "mobile-sam"}
    assert trackers | segmenters <= names
    assert "OmniMotion" in listed
    used = {ruled(command)[1].tracker for command in FENCED if "eval run" in command and "--tracker" in command}
    assert used == trackers - {"pips", "cotracker-v1", "tracks"}
