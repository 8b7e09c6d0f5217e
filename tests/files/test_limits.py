"""What bounds an input: exact at the limit, read no further, and one error for JSON of any kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sampt.errors import LimitError
from sampt.files import limits


def test_pixels_at_the_limit_and_beyond() -> None:
    limits.check_pixels(8192, 8192, "A mask")
    with pytest.raises(LimitError, match=r"^A mask is 8193x8192; expected at most 67108864 pixels"):
        limits.check_pixels(8193, 8192, "A mask")
    limits.check_pixels(1 << 26, 1, "A mask")


def test_a_file_is_read_to_its_limit_and_an_endless_one_no_further(tmp_path: Path) -> None:
    path = tmp_path / "ten"
    path.write_bytes(b"0123456789")
    assert limits.read_bounded(path, 10, "ten bytes") == b"0123456789"
    for source, limit in ((path, 9), (Path("/dev/zero"), 1 << 16)):
        with pytest.raises(LimitError, match=rf"{source} has more than {limit} bytes; expected a list\."):
            limits.read_bounded(source, limit, "a list")
    with pytest.raises(FileNotFoundError):
        limits.read_bounded(tmp_path / "none", 9, "a list")


def test_json_of_any_kind_is_a_value_or_a_value_error() -> None:
    assert limits.parse_json(b'{"a": [1, "\xc3\xbc"]}') == {"a": [1, "ü"]}
    assert limits.parse_json("[1.5]") == [1.5]
    for text in ("[" * 100_000, '{"a":' * 100_000, b"\xff\xfe[\x00]\x00", "9" * 5000, ""):
        with pytest.raises(ValueError, match=r"."):
            limits.parse_json(text)
    with pytest.raises(json.JSONDecodeError) as caught:
        limits.parse_json('{\n"a" 1}')
    assert (caught.value.lineno, caught.value.colno) == (2, 5)
