"""What the paper sets otherwise for single datasets and backends, and that `sampt eval` applies and reports it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.backends.registry import available
from sampt.config import SegmentConfig, with_settings
from sampt.evaluation.instances.predict import instances_config
from sampt.evaluation.paper_rules import PAPER_RULES, applied_rules, with_rules
from sampt.evaluation.predict import read_run
from sampt.evaluation.sweep import read_sweep
from sampt.presets import preset
from sampt.testing.scenes import slow_scene
from tests.command import run_command


def ruled(name: str, dataset: str, **given: Any) -> SegmentConfig:
    settings = {key.replace("__", "."): value for key, value in given.items()}
    config = with_settings(preset(name), settings)
    return with_rules(config, applied_rules(name, config, dataset, settings), settings)


def numbers(config: SegmentConfig) -> tuple[int, int, int]:
    """P+, P- and R."""
    return (
        config.effective_sampling.positive_points,
        config.effective_sampling.negative_points,
        config.prompting.refinement_steps,
    )


@pytest.mark.parametrize(
    ("name", "dataset", "given", "expected"),
    [
        ("paper-v1", "davis-2017", {}, (8, 1, 12)),
        ("paper-v2", "davis-2017", {}, (16, 1, 12)),
        ("paper-v1", "mose", {}, (8, 1, 0)),
        ("paper-v2", "bdd100k", {}, (16, 1, 0)),
        ("paper-v2-cotracker3", "mose", {}, (16, 1, 0)),
        ("paper-v1", "uvo", {}, (8, 1, 0)),
        ("paper-v1", "davis-2017", {"reinit__enabled": True}, (8, 72, 12)),
        ("paper-v1", "davis-2017", {"tracker": "tapir"}, (32, 72, 24)),
        ("paper-v2", "davis-2017", {"tracker": "tapir", "reinit__enabled": True}, (32, 72, 24)),
        ("paper-v2", "davis-2017", {"tracker": "pips"}, (8, 1, 12)),
        ("paper-v2", "davis-2017", {"tracker": "pips-pp"}, (8, 1, 12)),
        ("paper-v1", "davis-2017", {"segmenter": "mobile-sam"}, (8, 1, 3)),
        ("paper-v1", "davis-2017", {"segmenter": "light-hq-sam"}, (8, 1, 3)),
        ("paper-v1", "davis-2017", {"tracker": "superglue"}, (8, 0, 3)),
        # The segmenter's rule holds over the tracker's, the dataset's over both.
        ("paper-v1", "davis-2017", {"tracker": "tapir", "segmenter": "mobile-sam"}, (32, 72, 3)),
        ("paper-v1", "mose", {"tracker": "tapir", "segmenter": "mobile-sam"}, (32, 72, 0)),
        # What is given holds.
        ("paper-v1", "mose", {"prompting__refinement_steps": 5}, (8, 1, 5)),
        ("paper-v1", "mose", {"tracker": "tapir", "sampling__positive_points": 9}, (9, 72, 0)),
        ("paper-v1", "davis-2017", {"tracker": "tapir", "reinit__enabled": True, "reinit__negative_points": 6}, (32, 6, 24)),
        # Other presets are left alone.
        ("best", "mose", {}, (16, 1, 12)),
        ("default", "mose", {"tracker": "tapir"}, (64, 64, 0)),
    ],
)
def test_numbers_of_the_papers_commands(name: str, dataset: str, given: dict[str, Any], expected: tuple[int, int, int]) -> None:
    assert numbers(ruled(name, dataset, **given)) == expected


def test_superglue_gets_random_points() -> None:
    assert ruled("paper-v1", "davis-2017", tracker="superglue").sampling.positive_sampler == "random"
    assert ruled("paper-v1", "davis-2017").sampling.positive_sampler == "kmedoids"


@pytest.mark.parametrize("name", ["paper-v1", "paper-v2"])
def test_the_papers_presets_work_at_1024_pixels_with_seed_72(name: str) -> None:
    assert (preset(name).longest_side, preset(name).seed) == (1024, 72)


def test_rules_name_what_there_is() -> None:
    from sampt.evaluation.datasets import DATASETS

    known = {"tracker": available("tracker"), "segmenter": available("segmenter"), "dataset": DATASETS}
    for rule in PAPER_RULES:
        assert rule.names <= set(known[rule.kind])
        with_settings(SegmentConfig(), rule.settings)


def test_found_objects_are_prompted_as_asked_where_that_is_given() -> None:
    config = with_settings(preset("default"), {"prompting.refinement_steps": 3})
    assert instances_config(config).prompting.refinement_steps == 0
    given = instances_config(config, {"prompting.refinement_steps"})
    assert (given.prompting.refinement_steps, given.prompting.other_objects_as_negatives) == (3, False)


@pytest.fixture(scope="module")
def mose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, scene = tmp_path_factory.mktemp("MOSE"), slow_scene(3)
    for kind in ("JPEGImages", "Annotations"):
        (root / "valid" / kind / "slow").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(scene.frame(i)).save(root / "valid" / "JPEGImages" / "slow" / f"{i:05d}.jpg", quality=97)
    labels = (scene.masks(0) * np.array([1, 2])[:, None, None]).max(0).astype(np.uint8)
    Image.fromarray(labels).save(root / "valid" / "Annotations" / "slow" / "00000.png")
    return root


def test_eval_run_applies_prints_and_notes_the_rules(mose: Path, tmp_path: Path) -> None:
    backends = ("--tracker", "dis-flow", "--segmenter", "grabcut", "--longest-side", "64")
    command = ("eval", "run", "mose", "--root", str(mose), "--workers", "1")
    done = run_command(*command, "-o", str(tmp_path / "a"), "--preset", "paper-v1", *backends)
    assert done.returncode == 0, done.stderr
    assert "prompting.refinement_steps 0 (dataset mose)" in done.stderr
    said = read_run(tmp_path / "a")
    assert said["config"]["prompting"]["refinement_steps"] == 0
    assert [(r.setting, r.value, r.because) for r in said["rules"]] == [("prompting.refinement_steps", 0, "dataset mose")]
    manifest = json.loads((tmp_path / "a" / "slow" / "run.json").read_text())
    assert manifest["config"]["prompting"]["refinement_steps"] == 0


def test_a_sweep_applies_the_rules_to_every_configuration(tmp_path: Path) -> None:
    values = {"dataset": "mose", "root": "x", "preset": "paper-v2", "grid": {"tracker": ["tapir", "pips"]}}
    named = {"runs": {"many": {"prompting.refinement_steps": 7}}}
    (tmp_path / "sweep.json").write_text(json.dumps(values | named))
    sweep = read_sweep(tmp_path / "sweep.json")
    assert {name: numbers(config) for name, config in sweep.configs.items()} == {
        "many": (16, 1, 7),
        "tracker=tapir": (32, 72, 0),
        "tracker=pips": (8, 1, 0),
    }
    assert {config.protocol for config in sweep.configs.values()} == {"vos"}
    assert {name: len(rules) for name, rules in sweep.rules.items()} == {"many": 0, "tracker=tapir": 3, "tracker=pips": 2}
