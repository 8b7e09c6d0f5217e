"""``sampt eval``: predictions for datasets, their scores, and a report."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sampt.cli.batch import add_output_options, add_worker_options, pool_for, print_report, print_results, settings_from
from sampt.cli.finding import add_find_options, given_find_settings
from sampt.cli.settings import (
    add_running_options,
    add_setting_options,
    config_from,
    describe_presets,
    finite_number,
    given_settings,
    whole_number,
)
from sampt.errors import EvaluationError

if TYPE_CHECKING:
    from sampt.batch.local import LocalPool
    from sampt.batch.on_ray import RayPool
    from sampt.batch.work import BatchSettings
    from sampt.evaluation.predict import DatasetChoice

__all__ = ["add_command"]

_EXAMPLES = """\
examples:
  sampt eval run davis-2017 --root DAVIS --split val -o runs/davis
  sampt eval run davis-2017-unsupervised --root DAVIS -o runs/found --find-every 12      # nothing is given but frames
  sampt eval score runs/davis                               # of `sampt eval run`: it knows its dataset
  sampt eval score predictions/ --dataset davis-2017 --root DAVIS --split val -o scores.json
  sampt eval report runs/davis runs/other -o report         # report/index.html, report/report.md
"""
_BROKEN = 1
_SWEEP_EXAMPLE = """\
example:
  {"dataset": "davis-2017", "root": "DAVIS", "split": "val", "preset": "default", "seeds": [72, 73, 74],
   "grid": {"tracker": ["nano", "dis-flow"], "prompting.refinement_steps": [0, 3]},
   "runs": {"many points": {"sampling.positive_points": 128}}}
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "eval",
        help="evaluate on a benchmark: predict, score, report",
        description="Write predictions for a dataset, score those of any method, and report.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", title="actions", metavar="ACTION", required=True)
    for add in (_add_datasets, _add_run, _add_score, _add_report, _add_sweep, _add_interactive):
        add(actions)
    return parser


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    name: str,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name, help=summary, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_datasets(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _action(actions, _list, "datasets", "list the names of the datasets", "List the names of the datasets.")


def _add_run(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = """\
Segment the objects of every sequence of a dataset from the masks that its protocol gives, or find them where
none are given (UVO, YouTube-VIS, OVIS, davis-...-unsupervised). A run that was stopped goes on; a broken sequence
is recorded, and the others go on (exit status 1). Where a server scores, submission.zip is what it takes. With
the presets paper-v1, paper-v2 and paper-v2-cotracker3, what the paper set otherwise for a dataset, tracker or
segmenter holds, too, unless it is given; this is printed, and noted in eval.json."""
    parser = _action(
        actions, _run, "run", "segment the objects of every sequence of a dataset", description, describe_presets()
    )
    parser.add_argument("dataset", metavar="DATASET", help="name; `sampt eval datasets` lists them")
    _add_dataset_options(parser)
    saved = "what to save; png is needed to score, coco where objects have to be found (default: that)"
    add_output_options(parser, "a folder for every sequence comes here", saved)
    add_find_options(parser)
    group = parser.add_argument_group(
        "UVO, YouTube-VIS and OVIS by the paper's rule",
        "its presets, --find-every 0 and these options segment the masks that are generated on the first frame, nothing else",
    )
    group.add_argument(
        "--mask-score",
        type=finite_number,
        metavar="X",
        help="predicted IoU that a mask generated on the first frame has to exceed (default: 0.88; nano: 0.5)",
    )
    stability = "least stability of such a mask (default: 0.95; nano: 0.8)"
    group.add_argument("--mask-stability", type=finite_number, metavar="X", help=stability)
    add_worker_options(parser)
    add_setting_options(parser)


def _add_dataset_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("dataset")
    group.add_argument("--root", metavar="DIR", help="its folder, as the official download leaves it")
    group.add_argument("--split", metavar="NAME", help="val, train, test-dev, ... (default: the dataset's own)")
    group.add_argument("--sequence", action="append", default=[], metavar="NAME", help="only this one; repeatable")


def _add_score(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = """\
Score predictions on disk: masks as PREDICTIONS/SEQUENCE/FRAME.png with object ids, or SEQUENCE/OBJECT/FRAME.png
where masks overlap; where objects have to be found (UVO, YouTube-VIS, OVIS), PREDICTIONS/results.json in the layout
of the YouTube-VIS server. Prints a Markdown table and writes scores.json."""
    parser = _action(actions, _score, "score", "score the predictions of any method by the dataset's protocol", description)
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="a folder, as above")
    parser.add_argument("--dataset", metavar="NAME", help="default: that of `sampt eval run`")
    _add_dataset_options(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: scores.json in PREDICTIONS")
    parser.add_argument("--workers", type=whole_number, metavar="N", help="frames scored at once (default: one a core)")
    categories = "found objects match only within their category (default: yes, but not for what `sampt eval run` found)"
    parser.add_argument("--categories", action=argparse.BooleanOptionalAction, default=None, help=categories)


def _add_report(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = """\
Make index.html, which needs no other file, and report.md of one or more folders that `sampt eval score` has
scored: J and F, or IoU of tracks, over time, worst frames beside the ground truth, published figures, settings,
licences, speed."""
    parser = _action(actions, _report, "report", "one HTML page and a Markdown table of scored predictions", description)
    parser.add_argument("predictions", type=Path, nargs="+", metavar="PREDICTIONS", help="folders with scores.json")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.add_argument("--worst", type=whole_number, default=6, metavar="N", help="frames shown of each (default: 6)")


def _add_sweep(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = """\
Predict and score every configuration of a small JSON file with every seed; print a table of means and standard
deviations. What was done before is not done again."""
    summary = "compare many settings on one dataset, over seeds"
    parser = _action(actions, _sweep, "sweep", summary, description, _SWEEP_EXAMPLE)
    parser.add_argument("sweep", type=Path, metavar="FILE", help="JSON, see below")
    add_output_options(parser, "a folder for every configuration", "what to save (default: png)", "png")
    add_worker_options(parser)


def _add_interactive(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    description = """\
The interactive study of the SAM-PT paper: a simulated person, who knows the ground truth, corrects the points of every
object. Prints IoU and J&F against the number of actions and writes every step to DIR. Any tracker will do: one of
whole clips is given the clip from each click's frame on."""
    summary = "simulate a person who corrects points, and count the actions"
    parser = _action(actions, _interactive, "interactive", summary, description)
    parser.add_argument("dataset", metavar="DATASET", help="name; every frame of it is annotated")
    _add_dataset_options(parser)
    group = parser.add_argument_group("study")
    group.add_argument("--mode", choices=("online", "offline"), default="online", help="one pass, or passes (default: online)")
    group.add_argument("--tracking", action=argparse.BooleanOptionalAction, default=True, help="points are tracked (default)")
    group.add_argument(
        "--per-frame", type=whole_number, default=3, metavar="N", help="actions on a frame of a pass (default: 3)"
    )
    group.add_argument("--actions", type=whole_number, default=300, metavar="N", help="for an object, at most (default: 300)")
    group.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a JSON file for every object")
    add_running_options(group)
    add_setting_options(parser)


def _list(arguments: argparse.Namespace) -> int:
    from sampt.evaluation.datasets import DATASETS

    print("\n".join(DATASETS))  # noqa: T201
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from sampt.backends.table import SEGMENTERS
    from sampt.evaluation.datasets import InstanceDataset
    from sampt.evaluation.finding import choose_finding, finding_config
    from sampt.evaluation.instances.predict import instances_config, predict_instances
    from sampt.evaluation.paper_rules import applied_rules, with_rules
    from sampt.evaluation.predict import SUBMISSION_NAME, predict_dataset, vos_config
    from sampt.segmenters.automatic import AutomaticMaskConfig

    choice = _choice(arguments)
    dataset = choice.open()
    has_tracks = isinstance(dataset, InstanceDataset)
    num_sequences = len(dataset.videos if isinstance(dataset, InstanceDataset) else dataset.sequences)
    thresholds = {"score_threshold": arguments.mask_score, "stability_threshold": arguments.mask_stability}
    limits = {name: value for name, value in thresholds.items() if value is not None}
    if limits and not has_tracks:
        raise EvaluationError(f"No mask is generated on the first frame of {choice.name}; leave --mask-... out.")
    find = choose_finding(dataset, arguments.preset, given_find_settings(arguments), generates=bool(limits))
    arguments.formats = arguments.formats or ("coco" if has_tracks else "png")
    given = given_settings(arguments)
    config = config_from(arguments)
    rules = applied_rules(arguments.preset, config, choice.name, given)
    config = with_rules(config, rules, given)
    spec = SEGMENTERS.get(config.segmenter)
    automatic_masks = AutomaticMaskConfig.for_segmenter(spec.info, **limits) if spec else AutomaticMaskConfig(**limits)
    config = instances_config(config, given) if has_tracks else vos_config(config)
    settings = settings_from(arguments, config if find is None else finding_config(config))
    settings = replace(settings, find=find)
    if rules and not arguments.quiet:
        print(f"settings of the paper: {'; '.join(map(str, rules))}", file=sys.stderr)  # noqa: T201
    with (
        pool_for(arguments, settings, num_sequences) as pool,
        print_results(num_sequences, "sequences", quiet=arguments.quiet) as on_result,
    ):
        if has_tracks:
            masks = automatic_masks if find is None else None
            report = predict_instances(
                choice, settings, pool, masks, rules=rules, retries=arguments.retries, on_result=on_result
            )
        else:
            report = predict_dataset(choice, settings, pool, rules=rules, retries=arguments.retries, on_result=on_result)
    if not arguments.quiet:
        if find is not None:
            often = f"on every {find.every} frames" if find.every else "on the first frame"
            print(f"objects: found by {find.proposer!r} {often}, {find.max_objects} at most", file=sys.stderr)  # noqa: T201
        is_sent = (Path(arguments.output) / SUBMISSION_NAME).exists()  # a server scores
        score = None if is_sent else f"sampt eval score {shlex.quote(str(arguments.output))}"
        print_report(report, arguments.output, "sequences", score)
    return 0 if report.is_complete else _BROKEN


def _choice(arguments: argparse.Namespace) -> DatasetChoice:
    from sampt.evaluation.predict import DatasetChoice

    if arguments.root is None:
        raise EvaluationError(f"--root is missing; give the folder of {arguments.dataset}.")
    return DatasetChoice(arguments.dataset, arguments.root, arguments.split, tuple(arguments.sequence))


def _score(arguments: argparse.Namespace) -> int:
    from sampt.evaluation.score_files import SCORES_NAME, score_predictions, write_scores

    if not arguments.predictions.is_dir():
        raise EvaluationError(f"{arguments.predictions} is not a folder; expected one with the predictions in it.")
    choice = _scored_choice(arguments)
    scores = score_predictions(choice, arguments.predictions, workers=arguments.workers, use_categories=arguments.categories)
    path = arguments.output or arguments.predictions / SCORES_NAME
    write_scores(path, choice, scores)
    print(scores.to_markdown())  # noqa: T201
    print(f"scores of every frame in {path}", file=sys.stderr)  # noqa: T201
    return 0


def _scored_choice(arguments: argparse.Namespace) -> DatasetChoice:
    """What the predictions are of: as the options tell, else as the run does that made them."""
    from sampt.evaluation.datasets import InstanceDataset
    from sampt.evaluation.predict import DatasetChoice, read_run

    run = read_run(arguments.predictions) if arguments.dataset is None else {}
    said = run.get("dataset", {})
    name, root = arguments.dataset or said.get("name"), arguments.root or said.get("root")
    if name is None or root is None:
        raise EvaluationError(f"{arguments.predictions} does not tell its dataset; give --dataset and --root.")
    choice = DatasetChoice(name, root, arguments.split or said.get("split"))
    # Tracks are scored in whole datasets, whatever their runs name.
    has_tracks = not arguments.sequence and isinstance(choice.open(), InstanceDataset)
    return replace(choice, sequences=() if has_tracks else tuple(arguments.sequence or run.get("sequences", [])))


def _sweep(arguments: argparse.Namespace) -> int:
    from sampt.evaluation.sweep import read_sweep, run_sweep, sweep_table

    sweep = read_sweep(arguments.sweep)
    num_sequences = len(sweep.choice.open_given().sequences)
    settings = settings_from(arguments, next(iter(sweep.configs.values())))

    def open_pool(one: BatchSettings) -> LocalPool | RayPool:
        return pool_for(arguments, one, num_sequences)

    total = num_sequences * len(sweep.configs) * len(sweep.seeds)
    with print_results(total, "sequences", quiet=arguments.quiet) as on_result:
        rows = run_sweep(sweep, settings, open_pool, retries=arguments.retries, on_result=on_result)
    print(sweep_table(rows))  # noqa: T201
    return 0


def _interactive(arguments: argparse.Namespace) -> int:
    from sampt.evaluation.vos.interactive import InteractiveConfig, run_study, study_table
    from sampt.files.atomic import make_folder, write_atomic
    from sampt.pipeline.backends import make_segmenter, make_tracker

    study = InteractiveConfig(arguments.mode, arguments.tracking, arguments.per_frame, arguments.actions)
    config = config_from(arguments)
    dataset = _choice(arguments).open_given()
    tracker, segmenter = make_tracker(config, arguments.device), make_segmenter(config, arguments.device)
    for sequence in dataset.sequences:
        for object_id in sequence.object_ids:
            path = make_folder(arguments.output) / f"{sequence.name}-{object_id}.json"
            points = list(run_study(sequence, object_id, tracker, segmenter, config, study))
            write_atomic(path, (json.dumps({"study": vars(study), "points": [vars(p) for p in points]}) + "\n").encode())
            print(f"\n{sequence.name} #{object_id}\n\n{study_table(points)}", flush=True)  # noqa: T201
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from sampt.evaluation.reports import write_report

    if arguments.worst < 0:
        raise EvaluationError(f"--worst is {arguments.worst}; expected a whole number from 0.")
    page, table = write_report(arguments.predictions, arguments.output, worst=arguments.worst)
    print(f"{page}\n{table}")  # noqa: T201
    return 0
