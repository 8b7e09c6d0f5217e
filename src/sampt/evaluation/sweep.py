"""Many settings on one dataset from one small file: every combination, over seeds, predicted, scored, and put in a table."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from sampt.batch.driver import BatchReport, Pool
from sampt.batch.work import BatchSettings, ItemResult
from sampt.config import SegmentConfig, with_settings
from sampt.errors import EvaluationError, SamptError, did_you_mean
from sampt.evaluation.paper_rules import AppliedRule, applied_rules, with_rules
from sampt.evaluation.predict import DatasetChoice, predict_dataset, vos_config
from sampt.evaluation.score_files import SCORES_NAME, write_scores
from sampt.evaluation.vos.results import Scores
from sampt.evaluation.vos.score import score_dataset
from sampt.files.atomic import write_atomic
from sampt.files.limits import parse_json
from sampt.files.names import fold_name, markdown_cell, portable_name
from sampt.files.text import read_text
from sampt.presets import preset

__all__ = ["Sweep", "SweepRow", "read_sweep", "run_sweep", "sweep_table"]

_KEYS = ("dataset", "root", "split", "sequences", "preset", "settings", "grid", "runs", "seeds")
_FIELDS = {str: "a text", dict: "an object", list: "a list"}
_Ruled: TypeAlias = tuple[SegmentConfig, tuple[AppliedRule, ...]]
_PLUS_MINUS = "\u00b1"


@dataclass(frozen=True)
class Sweep:
    """What is compared.

    Attributes:
        choice: the dataset.
        configs: name -> settings, but the seed.
        rules: name -> what decided some of them besides the file and the preset.
        seeds: each of them is tried with every configuration.
    """

    choice: DatasetChoice
    configs: Mapping[str, SegmentConfig]
    rules: Mapping[str, tuple[AppliedRule, ...]]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class SweepRow:
    """The scores of one configuration, one a seed."""

    name: str
    scores: tuple[Scores, ...]

    def describe(self, value: Callable[[Scores], float]) -> str:
        """Mean and, with several seeds, sample standard deviation, in percent."""
        values = [100 * value(score) for score in self.scores]
        spread = f" {_PLUS_MINUS} {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.1f}{spread}"


def read_sweep(path: Path) -> Sweep:
    """Read a file such as::

        {"dataset": "davis-2017", "root": "DAVIS", "split": "val", "preset": "default", "seeds": [72, 73, 74],
         "settings": {"reinit.enabled": false},
         "grid": {"tracker": ["nano", "dis-flow"], "prompting.refinement_steps": [0, 3]},
         "runs": {"many points": {"sampling.positive_points": 128}}}

    ``settings`` are common to all; ``grid`` gives every combination of its values; ``runs`` are named ones. With neither, the
    preset alone is run. ``root`` begins at the file's folder.

    Raises:
        EvaluationError: it is missing or has another form.
        ConfigError: a setting is unknown or out of range.
    """
    try:
        values = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read as a sweep ({error}); expected a JSON object.") from None
    if not isinstance(values, dict) or not {"dataset", "root"} <= values.keys():
        raise EvaluationError(f'{path} is no sweep; expected a JSON object with "dataset" and "root".')
    for key in values:
        if key not in _KEYS:
            raise EvaluationError(f"{path} has the unknown key {key!r}.{did_you_mean(key, _KEYS)} Known: {', '.join(_KEYS)}.")
    _check_kinds(path, values)
    seeds = values.get("seeds", [72])
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise EvaluationError(f"{path} has the seeds {seeds!r}; expected a list of different whole numbers from 0.")
    root = str(path.parent / Path(values["root"]).expanduser())
    choice = DatasetChoice(values["dataset"], root, values.get("split"), tuple(values.get("sequences", ())))
    ruled = _configs(path, values)
    return Sweep(choice, {n: config for n, (config, _) in ruled.items()}, {n: r for n, (_, r) in ruled.items()}, tuple(seeds))


def _check_kinds(path: Path, values: Mapping[str, Any]) -> None:
    kinds = {str: ("dataset", "root", "split", "preset"), dict: ("settings", "grid", "runs"), list: ("sequences", "seeds")}
    for kind, keys in kinds.items():
        for key in keys:
            if not isinstance(values.get(key, kind()), kind) and (key, values[key]) != ("split", None):
                raise EvaluationError(f'The "{key}" of {path} is {values[key]!r}; expected {_FIELDS[kind]}.')
    if not all(isinstance(name, str) for name in values.get("sequences", ())):
        raise EvaluationError(f'The "sequences" of {path} are {values["sequences"]!r}; expected a list of names.')


def _configs(path: Path, values: Mapping[str, Any]) -> dict[str, _Ruled]:
    grid, runs = values.get("grid", {}), values.get("runs", {})
    if not all(isinstance(choices, list) and choices for choices in grid.values()):
        raise EvaluationError(f'The "grid" of {path} is {grid!r}; expected an object of settings with lists of values.')
    if not all(isinstance(changes, dict) for changes in runs.values()):
        raise EvaluationError(f'The "runs" of {path} are {runs!r}; expected an object of names with objects of settings.')
    name, settings = values.get("preset", "default"), values.get("settings", {})
    base = with_settings(preset(name), settings)
    found = dict(runs)
    if grid or not runs:
        for combination in itertools.product(*grid.values()):
            changes = dict(zip(grid, combination, strict=True))
            found[" ".join(f"{name.rpartition('.')[2]}={value}" for name, value in changes.items()) or "base"] = changes
    folders = {fold_name(_find_folder(name)): name for name in found}
    if len(folders) < len(found) or not folders.keys().isdisjoint(("", ".", "..")):
        describe = ", ".join(map(repr, found))
        raise EvaluationError(
            f"{path} makes configurations named {describe}; expected names of different folders, with '_' for '/' and ' ': "
            'name them in "runs".'
        )
    try:
        return {
            run: _apply_rules(name, with_settings(base, changes), values["dataset"], settings | changes)
            for run, changes in found.items()
        }
    except SamptError as error:
        raise type(error)(f"{path}: {error}") from None


def _apply_rules(preset_name: str, config: SegmentConfig, dataset: str, given: Mapping[str, Any]) -> _Ruled:
    """As `sampt eval run` would run it: by the paper's rules where the preset is the paper's."""
    rules = applied_rules(preset_name, config, dataset, given)
    return vos_config(with_rules(config, rules, given)), rules


def run_sweep(
    sweep: Sweep,
    settings: BatchSettings,
    open_pool: Callable[[BatchSettings], AbstractContextManager[Pool]],
    *,
    retries: int = 2,
    on_result: Callable[[ItemResult], None] | None = None,
) -> list[SweepRow]:
    """Predict and score every configuration with every seed.

    Predictions lie in NAME/seed-SEED of the output, with their ``scores.json``; what is there already is not predicted again.

    Args:
        sweep: what to compare.
        settings: what the runs have in common; their configurations are the sweep's.
        open_pool: gives the workers for some settings.
        retries, on_result: see :func:`sampt.batch.driver.run_batch`.

    Raises:
        EvaluationError: a sequence cannot be predicted or scored.
    """
    rows = []
    for name, config in sweep.configs.items():
        scores = []
        for seed in sweep.seeds:
            output = settings.output / _find_folder(name) / f"seed-{seed}"
            one = replace(settings, output=output, config=with_settings(config, {"seed": seed}))
            one.check()
            with open_pool(one) as pool:
                report = predict_dataset(sweep.choice, one, pool, rules=sweep.rules[name], retries=retries, on_result=on_result)
            _check(name, seed, report)
            scores.append(_score(sweep.choice, output))
        rows.append(SweepRow(name, tuple(scores)))
    write_atomic(settings.output / "sweep.md", (sweep_table(rows) + "\n").encode("utf-8", "backslashreplace"))
    return rows


def _find_folder(name: str) -> str:
    plain = name.replace("/", "_").replace(" ", "_")
    return plain if plain in (".", "..") else portable_name(plain)


def _check(name: str, seed: int, report: BatchReport) -> None:
    broken = next((r for r in report.results if r.error is not None), None)
    if broken is not None:
        raise EvaluationError(f"{name!r} with seed {seed}: {broken.name} has no results ({broken.error}).")


def _score(choice: DatasetChoice, output: Path) -> Scores:
    scores = score_dataset(choice.open_given(), output)
    write_scores(output / SCORES_NAME, choice, scores)
    return scores


def sweep_table(rows: Sequence[SweepRow]) -> str:
    """A Markdown table: a row for each configuration, mean and standard deviation over the seeds, in percent."""
    lines = ["| configuration | seeds | overall | J&F | J mean | J recall | F mean |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [
            row.describe(lambda s: s.overall),
            row.describe(lambda s: s.total.j_and_f),
            row.describe(lambda s: s.total.j.mean),
            row.describe(lambda s: s.total.j.recall),
            row.describe(lambda s: s.total.f.mean),
        ]
        lines.append(f"| {markdown_cell(row.name)} | {len(row.scores)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
