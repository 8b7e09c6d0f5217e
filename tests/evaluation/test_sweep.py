"""Sweeps: what a file means, and a small one run to its table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.errors import ConfigError, EvaluationError
from sampt.evaluation.sweep import read_sweep
from sampt.presets import preset
from sampt.testing.scenes import SceneVideo, slow_scene
from tests.command import run_command

BASE = {"dataset": "folder", "root": "data"}


def written(folder: Path, values: Any) -> Path:
    path = folder / "sweep.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_a_grid_gives_every_combination_beside_named_runs(tmp_path: Path) -> None:
    values = {
        **BASE,
        "split": "x",
        "sequences": ["a"],
        "seeds": [1, 2],
        "settings": {"reinit.enabled": False},
        "grid": {"tracker": ["nano", "dis-flow"], "prompting.refinement_steps": [0, 3]},
        "runs": {"many": {"sampling.positive_points": 128}},
    }
    sweep = read_sweep(written(tmp_path, values))
    assert (sweep.choice.name, sweep.choice.root, sweep.choice.split, sweep.choice.sequences) == (
        *("folder", str(tmp_path / "data"), "x"),
        ("a",),
    )
    assert sweep.seeds == (1, 2)
    assert list(sweep.configs) == [
        "many",
        *(f"tracker={t} refinement_steps={r}" for t in ("nano", "dis-flow") for r in (0, 3)),
    ]
    assert sweep.configs["many"].sampling.positive_points == 128
    last = sweep.configs["tracker=dis-flow refinement_steps=3"]
    assert (last.tracker, last.prompting.refinement_steps, last.protocol, last.reinit.enabled) == ("dis-flow", 3, "vos", False)
    assert last.sampling == preset("default").sampling


def test_without_grid_and_runs_the_preset_is_run(tmp_path: Path) -> None:
    assert list(read_sweep(written(tmp_path, {**BASE, "preset": "classical"})).configs) == ["base"]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ("{", EvaluationError, "cannot be read as a sweep"),
        ([], EvaluationError, 'expected a JSON object with "dataset" and "root"'),
        ({**BASE, "grids": {}}, EvaluationError, r"unknown key 'grids'\. Did you mean 'grid'"),
        ({**BASE, "grid": {"seed": 3}}, EvaluationError, "expected an object of settings with lists of values"),
        ({**BASE, "runs": {"a": 1}}, EvaluationError, "expected an object of names with objects of settings"),
        ({**BASE, "seeds": [1.5]}, EvaluationError, "expected a list of different whole numbers from 0"),
        ({**BASE, "seeds": [1, 1]}, EvaluationError, "expected a list of different whole numbers from 0"),
        ({**BASE, "dataset": 1}, EvaluationError, r'The "dataset" of .* is 1; expected a text'),
        ({**BASE, "root": 1}, EvaluationError, r'The "root" of .* is 1; expected a text'),
        ({**BASE, "split": 1}, EvaluationError, r'The "split" of .* is 1; expected a text'),
        ({**BASE, "preset": None}, EvaluationError, r'The "preset" of .* is None; expected a text'),
        ({**BASE, "settings": 3}, EvaluationError, r'The "settings" of .* is 3; expected an object'),
        ({**BASE, "sequences": "dog"}, EvaluationError, r"""The "sequences" of .* is 'dog'; expected a list"""),
        ({**BASE, "sequences": [3]}, EvaluationError, "expected a list of names"),
        ({**BASE, "runs": {"a b": {}, "a/b": {"seed": 1}}}, EvaluationError, "expected names of different folders"),
        ({**BASE, "runs": {"..": {}}}, EvaluationError, "expected names of different folders"),
        ({**BASE, "runs": {"": {}}}, EvaluationError, "expected names of different folders"),
        ({**BASE, "runs": {"a": {"sead": 1}}}, ConfigError, r"sweep\.json: Unknown setting 'sead'\. Did you mean 'seed'"),
        ({**BASE, "preset": "defautl"}, ConfigError, r"Unknown preset 'defautl'"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, values: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_sweep(written(tmp_path, values))


def test_a_sweep_gives_means_and_deviations_over_seeds(tmp_path: Path) -> None:
    scene = slow_scene(5)
    video = SceneVideo(scene)
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / "data" / kind / "slow").mkdir(parents=True)
    for i in range(5):
        Image.fromarray(video.read(i, i + 1)[0]).save(tmp_path / "data" / "JPEGImages" / "slow" / f"{i}.jpg", quality=97)
        labels = (scene.masks(i) * np.arange(1, 3)[:, None, None]).max(0).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "data" / "Annotations" / "slow" / f"{i}.png")
    values = {**BASE, "preset": "fast-offline", "seeds": [1, 2], "grid": {"sampling.positive_points": [2, 64]}}
    done = run_command("eval", "sweep", str(written(tmp_path, values)), "-o", str(tmp_path / "out"), "--workers", "1")
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["| positive_points=2", "| positive_points=64"]
    for name, row in zip(("positive_points=2", "positive_points=64"), rows, strict=True):
        found = [
            json.loads((tmp_path / "out" / name / f"seed-{seed}" / "scores.json").read_text())["overall"] for seed in (1, 2)
        ]
        assert row[1] == "2"
        assert row[2] == f"{100 * np.mean(found):.1f} \u00b1 {100 * np.std(found, ddof=1):.1f}"
    assert (tmp_path / "out" / "sweep.md").read_text().strip() == done.stdout.strip()
