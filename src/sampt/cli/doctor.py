"""``sampt doctor``: what this machine can run, what presets would download, and a self-test of one of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sampt.cli.settings import add_preset_option
from sampt.errors import SamptError
from sampt.presets import PRESETS, preset

if TYPE_CHECKING:
    from sampt.backends.spec import BackendSpec

__all__ = ["add_command"]

_FAILED = 1


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="what this machine can run, and a self-test",
        description="Say what there is on this machine, which extras are installed, what each preset would still download, "
        "and run the preset for some seconds on a clip made on the spot, whose exact masks are known. Nothing is downloaded.",
        epilog="exit status: 0, or 1 when the self-test fails",
    )
    add_preset_option(parser)
    parser.add_argument("--device", default="auto", metavar="NAME", help="where the self-test runs (default: auto)")
    parser.add_argument("--no-test", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from sampt.backends.machine import describe_machine, list_extras

    preset(arguments.preset)  # a wrong name is reported before anything else
    facts: dict[str, Any] = {
        "machine": dataclasses.asdict(describe_machine()),
        "extras": [dataclasses.asdict(extra) | {"install": _install(extra.name)} for extra in list_extras()],
        "presets": [_preset_facts(name) for name in PRESETS],
    }
    if not arguments.json:
        _show(facts)
    test = None if arguments.no_test else _test(arguments.preset, arguments.device)
    if arguments.json:
        print(json.dumps(facts | {"self_test": test}, indent=1))  # noqa: T201
    elif test is not None:
        _show_test(test)
    return _FAILED if test is not None and not test["passed"] else 0


def _install(extra: str) -> str:
    return f"pip install 'sampt[{extra}]'"


def _preset_facts(name: str) -> dict[str, Any]:
    """What a preset consists of, and what it still needs here."""
    from sampt.backends.table import BUILT_IN

    config = PRESETS[name]
    specs = {"tracker": BUILT_IN["tracker"][config.tracker], "segmenter": BUILT_IN["segmenter"][config.segmenter]}
    networks = [_backend_facts(kind, spec) for kind, spec in specs.items()]
    missing = sorted({extra for spec in specs.values() if (extra := spec.missing)})
    if "sam" in missing:
        missing = ["sam"]  # which brings the other one along
    to_download = [each for network in networks for each in network["weights"] if not each["is_cached"]]
    return {
        "name": name,
        "networks": networks,
        "missing_extras": missing,
        "to_download": [each["name"] for each in to_download],
        "bytes_to_download": sum(each["num_bytes"] or 0 for each in to_download),
        "is_ready": not missing and not to_download,
    }


def _backend_facts(kind: str, spec: BackendSpec[Any]) -> dict[str, Any]:
    from sampt.weights import cached_path
    from sampt.weights.sources import find_source

    weights = [
        {"name": source.name, "num_bytes": source.num_bytes, "is_cached": cached_path(source) is not None}
        for source in map(find_source, spec.weights)
    ]
    own = {"license_code": spec.info.license_code, "license_weights": spec.info.license_weights}
    return {"kind": kind, "name": spec.name, **own, "weights": weights}


def _test(name: str, device: str) -> dict[str, Any]:
    """The self-test as plain values; what keeps it from running counts as failed, with its line."""
    start: dict[str, Any] = {"preset": name, "device": device}
    try:
        from sampt.testing.self_test import run_self_test

        found = run_self_test(preset(name), device=device)
    except SamptError as error:
        return start | {"passed": False, "error": str(error)}
    return start | {
        "passed": found.passed,
        "error": None,
        "num_frames": found.num_frames,
        "size_hw": list(found.size_hw),
        "iou": [round(each, 3) for each in found.iou],
        "seconds_ready": round(found.seconds_ready, 2),
        "seconds": round(found.seconds, 2),
        "frames_per_second": round(found.frames_per_second, 2),
    }


def _show(facts: dict[str, Any]) -> None:
    from sampt.backends.opencv import describe_builds
    from sampt.cli.running import print_note
    from sampt.cli.tables import print_table
    from sampt.weights import weights_folder
    from sampt.weights.cache import is_offline
    from sampt.weights.sources import describe_bytes

    machine = facts["machine"]
    memory = "memory not known" if machine["memory_bytes"] is None else f"{describe_bytes(machine['memory_bytes'])} of memory"
    gpu = "; ".join(machine["gpus"]) or f"none ({machine['gpu_note']})"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    extras = [f"{extra['name']}: {_describe_extra(extra)}" for extra in facts["extras"]]
    rows = [
        ("machine", f"{machine['system']}; {machine['cores']} cores, {memory}"),
        ("GPU", gpu),
        ("versions", versions),
        ("extras", "\n".join(extras) or "pip does not know of sampt here"),
        ("weights", f"{weights_folder()}{'; SAMPT_OFFLINE is set' if is_offline() else ''}"),
    ]
    print_table("this machine", ("what", "here"), rows)
    print_table(
        "presets",
        ("preset", "tracker and segmenter", "state"),
        [
            (each["name"], "\n".join(map(_describe_backend, each["networks"])), _describe_state(each))
            for each in facts["presets"]
        ],
    )
    print_note("weights come with the first run, or before it by: sampt weights pull NAME ...")
    if (builds := describe_builds()) is not None:
        print_note(builds)


def _describe_extra(extra: dict[str, Any]) -> str:
    return f"{', '.join(extra['missing'])} missing: {extra['install']}" if extra["missing"] else "installed"


def _describe_backend(facts: dict[str, Any]) -> str:
    from sampt.weights.sources import describe_bytes

    license = facts["license_code"]
    if facts["license_weights"] not in (None, license):
        license += f", weights {facts['license_weights']}"
    files = [f"{describe_bytes(w['num_bytes'])}{' in the cache' if w['is_cached'] else ''}" for w in facts["weights"]]
    if not files:
        files = ["in the package" if facts["license_weights"] else "no weights"]
    return f"{facts['name']}: {' + '.join(files)}; {license}"


def _describe_state(facts: dict[str, Any]) -> str:
    from sampt.weights.sources import describe_bytes

    needs = [*map(_install, facts["missing_extras"])]
    if facts["to_download"]:
        needs.append(f"to download: {describe_bytes(facts['bytes_to_download'])}")
    return "\n".join(needs) or "ready"


def _show_test(test: dict[str, Any]) -> None:
    if test["error"]:
        text = f"self-test of {test['preset']}: NOT RUN: {test['error']}"
    else:
        size = f"{test['size_hw'][1]}x{test['size_hw'][0]}"
        each = ", ".join(f"{value:.2f}" for value in test["iou"])
        text = (
            f"self-test of {test['preset']}: {'passed' if test['passed'] else 'FAILED'}: {test['num_frames']} frames of {size}"
            f" with {len(test['iou'])} objects, {test['frames_per_second']:.1f} frames/s, networks ready after"
            f" {test['seconds_ready']:.1f} s; IoU with the exact masks {each}"
        )
    print(text)  # noqa: T201
