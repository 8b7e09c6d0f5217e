"""`sampt completion`: what a shell offers, asked of bash itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sampt.cli.completion import SHELLS
from sampt.cli.main import main


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import contextlib
    import io

    path = tmp_path_factory.mktemp("completion") / "sampt.bash"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["completion", "bash"]) == 0
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


def offered(script: Path, line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of ``line``, which may be empty."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    # What Tab does without `bash-completion`: the function fills COMPREPLY; where it leaves it empty, files are offered.
    program = (
        f"source '{script}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        f"COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _shtab_sampt; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("sampt ", ["segment", "export", "completion"], ["nano"]),
        ("sampt se", ["segment"], ["export"]),
        ("sampt segment clip.mp4 --tracker ", ["nano", "bootstapir", "cotracker3-offline"], ["sam-vit-h"]),
        ("sampt segment clip.mp4 --segmenter sam-", ["sam-vit-h"], ["nano"]),
        ("sampt segment clip.mp4 --preset pa", ["paper-v1", "paper-v2"], ["default"]),
        ("sampt export out ", ["cvat", "coco-instances"], ["nano"]),
        ("sampt eval run davis", ["davis-2016", "davis-2017"], ["mose"]),
        ("sampt segment --po", ["--points"], ["--preset"]),
        ("sampt segment ca", ["camel.mp4"], ["segment"]),
        ("sampt segment clip.mp4 --mask ca", ["camel.mp4"], []),
    ],
)
def test_bash_offers_commands_options_names_and_files(
    script: Path, tmp_path: Path, line: str, some: list[str], none: list[str]
) -> None:
    (tmp_path / "camel.mp4").touch()
    found = offered(script, line, tmp_path)
    assert set(some) <= set(found)
    assert not set(none) & set(found)


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "bash"])
def test_other_shells_get_a_script_with_the_same_names(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("segment", "--points", "paper-v2", "bootstapir"))


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["completion", "cmd"])
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
