"""What README.md, docs/command-line.md and CONTRIBUTING.md tell a newcomer to type works as it stands."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.runs.outputs import DEFAULT_FORMATS, output_name
from sampt.testing.contracts import check_exporter, check_tracker
from sampt.testing.scenes import SceneVideo, demo_scene
from sampt.video.writer import VideoWriter

ROOT = Path(__file__).resolve().parents[1]
SIZE_HW = (270, 540)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """The files that the README's commands speak of."""
    folder = tmp_path_factory.mktemp("readme")
    scene = demo_scene(num_frames=92, size_hw=SIZE_HW)
    video = SceneVideo(scene)
    (folder / "frames").mkdir()
    (folder / "sampt-demo").mkdir()
    with VideoWriter(folder / "clip.mp4", 24, SIZE_HW) as writer:
        for i in range(video.num_frames):
            frame = video.read(i, i + 1)[0]
            writer.write(frame)
            Image.fromarray(frame).save(folder / "frames" / f"{i}.jpg")
    (folder / "sampt-demo" / "clip.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    for name, frame_idx in (("first", 0), ("later", 40)):
        labels = (scene.masks(frame_idx) * np.arange(1, 4)[:, None, None]).sum(0)
        Image.fromarray(labels.astype(np.uint8)).save(folder / f"{name}.png")
    ys, xs = np.nonzero(scene.masks(20)[1])
    click = {"frame": 20, "x": int(np.median(xs)), "y": int(np.median(ys)), "sign": "+"}
    (folder / "clicks.json").write_text(json.dumps({"objects": [{"id": 1, "clicks": [click]}]}))
    return folder


def segment_commands() -> list[str]:
    found = blocks("README.md", "sh") + blocks("docs/command-line.md", "sh")
    lines = [line for block in found for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("sampt segment")))


def shortened(arguments):
    """With ten frames, among them those that are prompted on, where the command itself does not choose some."""
    if "--stride" in arguments:
        return arguments
    if "--stop" in arguments:
        at = arguments.index("--stop")
        return [*arguments[:at], "--stop", "10", *arguments[at + 2 :]]
    has_later_prompt = any(re.search("@40$|^1,90,", argument) for argument in arguments)
    return [*arguments, *(("--stride", "10") if has_later_prompt else ("--stop", "10"))]


@pytest.mark.parametrize("command", segment_commands())
def test_command_of_the_readme(command, workplace, monkeypatch, tmp_path):
    monkeypatch.chdir(workplace)
    at_hand = command.replace("rtsp://camera/stream", f"file://{workplace}/clip.mp4")
    arguments = shortened(shlex.split(at_hand, comments=True)[1:])
    assert main([*arguments, "--preset", "fast-offline", "--quiet", "--output", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    count = len(range(20, 80, 2)) if "--stride" in command else 10
    assert manifest["num_frames"] == count == len(list((tmp_path / "out" / "masks").glob("*.png")))
    assert sum(o["frames_present"] for o in manifest["objects"]) > 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*map(output_name, DEFAULT_FORMATS), "run.json"}


def test_there_are_commands_to_test():
    assert len(segment_commands()) >= 4


def test_python_of_the_readme(workplace, monkeypatch, capsys):
    (code,) = blocks("README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 7
    # As long as the README's code is, its clip: 12 frames tell the same.
    monkeypatch.chdir(workplace)
    shown = code.replace("sampt.open_video(", "sampt.video.SubVideo(sampt.open_video(").replace('.mp4")', '.mp4"), range(12))')
    exec(compile("import sampt.video\n" + shown, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert lines[3].startswith(f"3 (1, {SIZE_HW[0]}, {SIZE_HW[1]})")


@pytest.mark.parametrize("name", ["PatchTracker", "MatchTracker"])
def test_tracker_in_thirty_lines_keeps_the_contract(name):
    code = next(b for b in blocks("CONTRIBUTING.md", "python") if f"class {name}" in b)
    assert len([line for line in code.splitlines() if line.strip() and "import" not in line]) <= 36
    namespace: dict = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), namespace)
    check_tracker(namespace["create"])


def test_exporter_keeps_the_contract():
    code = next(b for b in blocks("CONTRIBUTING.md", "python") if "class CenterTable" in b)
    namespace: dict = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), namespace)
    check_exporter(namespace["EXPORTER"])
