"""Types of the page, made from the OpenAPI document of `sampt ui`: static/schema.d.ts.

python tools/page_types.py            writes the file
python tools/page_types.py --check    says whether it is up to date, and exits with 1 when it is not
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sampt.web.app import create_app
from sampt.web.settings import WebSettings

TARGET = Path(__file__).parents[1] / "src" / "sampt" / "web" / "static" / "schema.d.ts"
HEAD = """\
// Made from the server's schemas (src/sampt/web/schemas) by tools/page_types.py; change those, and run it again.
"""
LINE = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the types, or compare them with the file; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the file is not up to date")
    parser.add_argument("--file", type=Path, default=TARGET, help="what to write or check (default: %(default)s)")
    options = parser.parse_args(arguments)
    text = page_types(openapi_document())
    if not options.check:
        options.file.write_text(text, encoding="utf-8")
        return 0
    if options.file.is_file() and options.file.read_text(encoding="utf-8") == text:
        return 0
    print(f"{options.file} is not what the schemas say; run python tools/page_types.py.", file=sys.stderr)
    return 1


def openapi_document() -> dict[str, Any]:
    """Of a server without files; what it is made with does not change the document."""

    def backends(_: object) -> Any:
        raise NotImplementedError("no session is opened here")

    with tempfile.TemporaryDirectory() as work:
        return create_app(WebSettings({}, Path(work), backends)).openapi()


def page_types(document: Mapping[str, Any]) -> str:
    """A TypeScript declaration of each schema of an OpenAPI document, in the order of their names."""
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    made = [_declaration(name, schemas[name]) for name in sorted(schemas)]
    return "\n".join([HEAD, *made])


def _declaration(name: str, schema: Mapping[str, Any]) -> str:
    comment = _comment(schema.get("description"))
    if schema.get("type") != "object" or "properties" not in schema:
        return f"{comment}export type {name} ={_union_lines(schema)};\n"
    required = schema.get("required", ())
    lines = [f"  {field}{'' if field in required else '?'}: {_type(value)};\n" for field, value in schema["properties"].items()]
    return f"{comment}export interface {name} {{\n{''.join(lines)}}}\n"


def _comment(text: str | None) -> str:
    if not text:
        return ""
    words = text.replace("``", "`").replace("*/", "* /").split()
    line = f"/** {' '.join(words)} */\n"
    if len(line) <= LINE:
        return line
    rows, row = [], ""
    for word in words:
        if row and len(row) + len(word) + 4 > LINE:
            rows.append(row)
            row = ""
        row = f"{row} {word}".strip()
    return "/**\n" + "".join(f" * {row}\n" for row in [*rows, row]) + " */\n"


def _union_lines(schema: Mapping[str, Any]) -> str:
    members = schema.get("oneOf")
    return f" {_type(schema)}" if members is None else "".join(f"\n  | {_type(member)}" for member in members)


def _type(schema: Mapping[str, Any]) -> str:
    """A schema as a TypeScript type; raises KeyError or ValueError for one that says something unknown here."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(_literal(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(_type(member) for member in schema[key])
    kind = schema["type"]
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return f"Record<string, {_type(schema['additionalProperties'])}>"
    names = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
    return names[kind]


def _array(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(item) for item in schema['prefixItems'])}]"
    item = _type(schema["items"])
    return f"({item})[]" if " | " in item else f"{item}[]"


def _literal(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"A literal is {value!r}; expected a string.")
    return f'"{value}"'


if __name__ == "__main__":
    sys.exit(main())
