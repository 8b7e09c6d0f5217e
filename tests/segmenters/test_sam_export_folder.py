"""Where an export may be written: what is in its way would be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from sampt.errors import BackendError
from sampt.segmenters.sam.export import _check_replaceable


@pytest.mark.parametrize("name", [".git", ".env", "lost+found", "thesis.pdf"])
def test_a_folder_that_holds_anything_else_is_refused_whatever_its_name(name: str, tmp_path: Path) -> None:
    _check_replaceable(tmp_path)  # an empty one may be taken
    (tmp_path / name).write_text("dear")
    with pytest.raises(BackendError, match="would be replaced"):
        _check_replaceable(tmp_path)
