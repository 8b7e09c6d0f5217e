"""JSON files of datasets and results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError
from sampt.files.limits import parse_json
from sampt.files.text import read_text

__all__ = ["read_json"]


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds; ``what`` says in the error what was expected of it.

    Raises:
        EvaluationError: the file is missing or no JSON.
    """
    try:
        return parse_json(read_text(path))
    except FileNotFoundError:
        raise EvaluationError(f"{path} does not exist; expected {what}.") from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read as JSON: {error}.") from None
