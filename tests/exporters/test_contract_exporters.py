"""Every exporter keeps the contract that is shipped for those of others, and the contract finds what is broken."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from sampt.exporters.base import ExportContext, Exporter, ExportFrame
from sampt.exporters.files import TextExport
from sampt.exporters.table import BUILT_IN
from sampt.testing.contracts import EXPORTER_CLAUSES, ContractError, ExporterClause, check_exporter


@pytest.mark.parametrize(("name", "clause"), EXPORTER_CLAUSES)
@pytest.mark.parametrize("kind", BUILT_IN)
def test_built_in(kind: str, name: str, clause: ExporterClause) -> None:
    clause(BUILT_IN[kind], None)


class _Careless:
    """Writes under its own name, and leaves what it has when it fails."""

    numbers = itertools.count()

    def __init__(self, path: Path, context: ExportContext) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(next(self.numbers)))

    def write(self, frame: ExportFrame) -> None:
        pass

    def close(self, success: bool) -> None:
        pass


class _Strict(TextExport):
    """Does not expect that frames are missing."""

    def __init__(self, path: Path, context: ExportContext) -> None:
        super().__init__(path)
        self.expected = 0

    def write(self, frame: ExportFrame) -> None:
        if frame.frame_idx != self.expected:
            raise LookupError("a frame is missing")
        self.expected += 1


@pytest.mark.parametrize(
    ("writer", "expected"), [(_Careless, {"only when complete", "same bytes", "missing folder"}), (_Strict, {"frames missing"})]
)
def test_what_is_broken_is_found(writer: type, expected: set[str]) -> None:
    with pytest.raises(ContractError) as info:
        check_exporter(Exporter("mine", ".txt", writer))
    assert set(info.value.broken) == expected


def test_a_class_is_no_exporter() -> None:
    with pytest.raises(ContractError, match="expected an Exporter"):
        check_exporter(_Strict)  # type: ignore[arg-type]
