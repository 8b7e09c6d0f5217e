from pathlib import Path

import pytest

from sampt.errors import QueryError
from sampt.exporters.labels import check_labels, parse_classes, parse_labels


def test_labels_come_as_text_lines_or_json(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("1 = dog, small\n\n12=Größe\n", encoding="utf-8")
    (tmp_path / "names.json").write_text('{"3": " cat ", "1": "dog"}')
    assert parse_labels(" 1=dog, 2 = big cat ") == {1: "dog", 2: "big cat"}
    assert parse_labels(str(tmp_path / "names.txt")) == {1: "dog, small", 12: "Größe"}
    assert parse_labels(str(tmp_path / "names.json")) == {3: "cat", 1: "dog"}
    assert parse_labels("1=a=b") == {1: "a=b"}


@pytest.mark.parametrize("text", ["dog", "1=", "=dog", "x=dog", "-1=dog", "1=dog,1=cat", "no.txt", "no.json"])
def test_what_is_no_list_is_one_line(text: str) -> None:
    with pytest.raises(QueryError, match="expected") as info:
        parse_labels(text)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("text", ["[1]", '{"dog": 1}', '{"1": 5}', '{"1": " "}', "{"])
def test_json_of_another_kind_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(QueryError, match=r"names\.json") as info:
        parse_labels(str(tmp_path / "names.json"))
    assert "\n" not in str(info.value)


def test_classes_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("zebra\na, b\n")
    assert parse_classes("zebra, ant") == ("zebra", "ant")
    assert parse_classes(str(tmp_path / "classes.txt")) == ("zebra", "a, b")
    for text in ("", " , ", "a,b,a"):
        with pytest.raises(QueryError):
            parse_classes(text)


def test_labels_fit_the_objects() -> None:
    check_labels({1: "a", 2: "b"}, [2, 1])
    with pytest.raises(QueryError, match="object 5, which there is not; expected labels of the objects 1, 2"):
        check_labels({1: "a", 2: "b", 5: "c"}, [1, 2])
    with pytest.raises(QueryError, match="no name for object 2"):
        check_labels({1: "a"}, [1, 2])
