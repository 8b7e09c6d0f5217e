"""The page's types: made from OpenAPI, and made anew after every change of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="FastAPI is one of the [ui] extras")

from tools.page_types import main, openapi_document, page_types


def test_the_types_in_the_repository_are_those_of_the_server() -> None:
    assert main(["--check"]) == 0


def test_types_that_are_not_up_to_date_are_told_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schema.d.ts"
    assert main(["--check", "--file", str(file)]) == 1  # there is none
    file.write_text("export interface Point {}\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["--check", "--file", str(file)]) == 1
    assert capsys.readouterr().err == f"{file} is not what the schemas say; run python tools/page_types.py.\n"
    assert main(["--file", str(file)]) == 0
    assert main(["--check", "--file", str(file)]) == 0


def test_a_schema_becomes_a_declaration() -> None:
    text = {"type": "string"}
    properties = {
        "name": text,
        "kind": {"type": "string", "enum": ["a", "b"]},
        "sizes": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "number"}], "minItems": 2, "maxItems": 2},
        "scores": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
        "by_id": {"type": "object", "additionalProperties": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}},
    }
    schemas = {
        "Thing": {
            "type": "object",
            "description": "A thing;\n``x`` */ y.",
            "properties": properties,
            "required": ["name", "by_id"],
        },
        "Event": {"oneOf": [{"$ref": "#/components/schemas/Thing"}, {"const": "none"}]},
    }
    made = page_types({"components": {"schemas": schemas}})
    assert made.partition("\n\n")[2] == (
        "export type Event =\n"
        "  | Thing\n"
        '  | "none";\n'
        "\n"
        "/** A thing; `x` * / y. */\n"
        "export interface Thing {\n"
        "  name: string;\n"
        '  kind?: "a" | "b";\n'
        "  sizes?: [number, number];\n"
        "  scores?: (number | null)[];\n"
        "  by_id: Record<string, Event[]>;\n"
        "}\n"
    )


def test_what_has_no_type_here_is_refused() -> None:
    thing = {"type": "object", "properties": {"x": {"type": "anything"}}}
    with pytest.raises(KeyError):
        page_types({"components": {"schemas": {"Thing": thing}}})


def test_all_of_the_document_is_described_and_every_reference_leads_somewhere() -> None:
    document = openapi_document()
    schemas: dict[str, Any] = document["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert {"SessionResponse", "PointCreate", "FrameEvent", "PreviewMessage"} <= named <= set(schemas)
    unions = {"SessionEvent", "SessionMessage"}
    assert {name for name, schema in schemas.items() if "description" not in schema} == unions
