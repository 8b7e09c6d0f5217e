"""Predictions for a small dataset in DAVIS layout by real workers, their scores, submissions and reports."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.batch.local import LocalPool
from sampt.batch.work import BatchSettings
from sampt.errors import EvaluationError
from sampt.evaluation.datasets import open_dataset
from sampt.evaluation.predict import DatasetChoice, predict_dataset, read_run, vos_config, write_submission
from sampt.presets import preset
from sampt.runs.job import RunOptions
from sampt.testing.scenes import SceneVideo, crossing_scene, slow_scene
from tests.command import run_command

SEQUENCES = {"crossing": crossing_scene(8), "slow": slow_scene(6)}


def eval_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("eval", *arguments)


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of two objects each."""
    root = tmp_path_factory.mktemp("DAVIS")
    for name, scene in SEQUENCES.items():
        video = SceneVideo(scene)
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / "480p" / name).mkdir(parents=True)
        for i in range(video.num_frames):
            Image.fromarray(video.read(i, i + 1)[0]).save(root / "JPEGImages" / "480p" / name / f"{i:05d}.jpg", quality=97)
            labels = (scene.masks(i) * np.arange(1, 3)[:, None, None]).max(0).astype(np.uint8)
            Image.fromarray(labels).save(root / "Annotations" / "480p" / name / f"{i:05d}.png")
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("crossing\nslow\n")
    return root


@pytest.fixture(scope="module")
def predictions(davis: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "first"
    options = ("--root", str(davis), "--split", "val", "-o", str(output), "--workers", "2", "--quiet")
    done = eval_command("run", "davis-2017", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return output


def test_a_run_begins_with_the_given_masks_and_follows_the_objects(predictions: Path) -> None:
    for name, scene in SEQUENCES.items():
        first = np.asarray(Image.open(predictions / name / "masks" / "00000.png"))
        assert np.array_equal(first, (scene.masks(0) * np.arange(1, 3)[:, None, None]).max(0))
        assert len(list((predictions / name / "masks").iterdir())) == scene.num_frames
    said = read_run(predictions)
    assert said["dataset"]["name"] == "davis-2017"
    assert said["config"]["protocol"] == "vos"
    assert said["sequences"] == ["crossing", "slow"]


def test_scores_know_their_data_set(predictions: Path, davis: Path, tmp_path: Path) -> None:
    done = eval_command("score", str(predictions))
    assert done.returncode == 0, done.stderr
    values = json.loads((predictions / "scores.json").read_text())
    assert values["gt"] == {"name": "davis-2017", "root": str(davis), "split": "val"}
    assert set(values["sequences"]) == {"crossing", "slow"}
    assert 0.6 < values["overall"] <= 1
    assert f"| total | {values['total']['j_and_f']:.3f} |" in done.stdout
    # The same masks of another program, which tells nothing.
    for name in SEQUENCES:
        (tmp_path / "other" / name).mkdir(parents=True)
        for path in (predictions / name / "masks").iterdir():
            (tmp_path / "other" / name / path.name).write_bytes(path.read_bytes())
    refused = eval_command("score", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert "does not tell its dataset; give --dataset and --root" in refused.stderr
    chosen = ("--dataset", "davis-2017", "--root", str(davis), "--split", "val", "-o", str(tmp_path / "scores.json"))
    assert eval_command("score", str(tmp_path / "other"), *chosen).returncode == 0
    assert json.loads((tmp_path / "scores.json").read_text())["sequences"] == values["sequences"]


def test_a_run_goes_on_with_other_sequences_and_refuses_other_settings(davis: Path, tmp_path: Path) -> None:
    def run(*sequences: str, seed: int = 72) -> list[str]:
        config = replace(vos_config(preset("fast-offline")), seed=seed)
        settings = BatchSettings(tmp_path, config, RunOptions(formats=("png",)))
        with LocalPool(settings, 1) as pool:
            report = predict_dataset(DatasetChoice("davis-2017", str(davis), "val", sequences), settings, pool)
        return [r.status for r in report.results]

    assert run("slow") == ["done"]
    assert run("crossing", "slow") == ["done", "was done"]
    assert read_run(tmp_path)["sequences"] == ["slow", "crossing"]
    with pytest.raises(EvaluationError, match="holds predictions with another config; choose another output folder"):
        run("slow", seed=1)
    with pytest.raises(EvaluationError, match=r"Unknown sequence 'slo'\. Did you mean 'slow'"):
        run("slo")


def test_a_broken_sequence_is_recorded_and_the_other_is_done(davis: Path, tmp_path: Path) -> None:
    copy = tmp_path / "DAVIS"
    subprocess.run(["cp", "-r", str(davis), str(copy)], check=True)
    (copy / "JPEGImages" / "480p" / "slow" / "00003.jpg").write_bytes(b"broken")
    options = ("--root", str(copy), "--split", "val", "-o", str(tmp_path / "out"), "--preset", "fast-offline")
    done = eval_command("run", "davis-2017", *options)
    assert done.returncode == 1
    assert re.search(r"1 sequences \(8 frames\) .* 1 without results", done.stderr)
    assert re.search(r"^  slow: .*00003\.jpg", done.stderr, re.MULTILINE)


def test_a_submission_holds_the_frames_that_the_server_wants(predictions: Path, davis: Path, tmp_path: Path) -> None:
    dataset = open_dataset("davis-2017", davis, "val")
    write_submission(dataset, predictions, tmp_path / "submission.zip")  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        names = archive.namelist()
        assert sorted(names) == sorted(f"{n}/{i:05d}.png" for n, s in SEQUENCES.items() for i in range(s.num_frames))
        with archive.open("slow/00003.png") as file:
            assert file.read() == (predictions / "slow" / "masks" / "00003.png").read_bytes()
    (tmp_path / "few" / "slow" / "masks").mkdir(parents=True)
    with pytest.raises(EvaluationError, match=r"00000\.png is missing; expected the masks of every frame"):
        write_submission(dataset, tmp_path / "few", tmp_path / "few.zip")  # type: ignore[arg-type]
    assert not (tmp_path / "few.zip").exists()


def test_a_report_is_one_page_with_plots_images_and_published_figures(predictions: Path, tmp_path: Path) -> None:
    assert eval_command("score", str(predictions)).returncode == 0
    done = eval_command("report", str(predictions), "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("<svg") == 4  # two objects in each of two sequences
    assert page.count("data:image/jpeg;base64,") == 4  # ground truth and prediction of each sequence's worst frame
    assert "SAM-PT v2" in page
    assert "first (val, 2 sequences)" in page
    assert "frames/s over tracking, prompting and merging" in page
    assert "tracker nano" in page
    values = json.loads((predictions / "scores.json").read_text())
    assert f"{100 * values['total']['j_and_f']:.1f}" in page
    table = (tmp_path / "report.md").read_text()
    assert "| first | davis-2017 val | 2 | 4 |" in table


@pytest.mark.parametrize("options", [("--formats", "coco"), ("--overlapping",)])
def test_masks_that_a_server_does_not_take_are_not_made(davis: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    (davis / "ImageSets" / "2017" / "test-dev.txt").write_text("slow\n")
    done = eval_command("run", "davis-2017", "--root", str(davis), "--split", "test-dev", "-o", str(tmp_path / "out"), *options)
    assert done.returncode == 2
    assert "is scored by a server, which wants label maps; expected png in --formats, and no --overlapping" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "davis-2017", "-o", "out"), "--root is missing"),
        (("run", "davis-17", "--root", ".", "-o", "out"), "Unknown dataset 'davis-17'. Did you mean 'davis-2017'"),
        (("run", "davis-2017", "--root", "nowhere", "-o", "out"), "nowhere"),
        (("run", "uvo", "--root", ".", "-o", "out"), "UVO"),
        (("score", "nowhere"), "nowhere is not a folder"),
        (("report", "nowhere", "-o", "out"), "nowhere has no scores.json; expected scored predictions"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = eval_command(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())
