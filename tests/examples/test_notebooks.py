"""The notebooks of examples/ are committed without outputs, use the words of the project, and run from top to bottom."""

import ast
import json
import re
from pathlib import Path

import pytest

from tools.words import find_rivals

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples/notebooks").glob("*.ipynb"))


def sources(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def printed(notebook) -> str:
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return "\n".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


def count_images(notebook) -> int:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def check_first_masks(text: str) -> None:
    assert "0 (1, 180, 320)" in text
    assert "'overlay.mp4', 'run.json'" in text


def check_compare_trackers(text: str) -> None:
    found = dict(re.findall(r"^(\S+)\s+J .* J&F (\d\.\d+)$", text, re.MULTILINE))
    assert set(found) == {"nano", "dis-flow", "lucas-kanade"}
    assert float(found["nano"]) > 0.6


def check_correct_and_export(text: str) -> None:
    assert "num_up_to_date=12" in text
    assert "out of date: (range(" in text
    assert int(re.search(r"^(\d+) files", text, re.MULTILINE)[1]) >= 24  # an image and a label file a frame


CHECKS = {
    "first_masks": (check_first_masks, 2),
    "compare_trackers": (check_compare_trackers, 1),
    "correct_and_export": (check_correct_and_export, 1),
}


def test_every_notebook_is_checked():
    assert {path.stem for path in NOTEBOOKS} == set(CHECKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_as_committed(path):
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    code, prose = "\n".join(sources(path, "code")), "\n\n".join(sources(path, "markdown"))
    ast.parse(code)
    assert not list(find_rivals(f"examples/{path.stem}.py", code))
    assert not list(find_rivals(f"examples/{path.stem}.md", prose))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # what Jupyter warns of is not ours
def test_notebook_runs(path, tmp_path):
    """In a kernel of its own, half a minute each."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    check, num_images = CHECKS[path.stem]
    check(printed(notebook))
    assert count_images(notebook) == num_images
