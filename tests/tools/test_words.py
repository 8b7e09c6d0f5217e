"""The words of the glossary's rivals are found where they are meant, and nowhere in the project."""

from __future__ import annotations

import pytest

from tools.words import find_rivals, main


def found(text: str, path: str = "src/sampt/some.py") -> list[str]:
    return [item.word for item in find_rivals(path, text)]


def test_the_project_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "needs_look = 1",
        "kept_frames = 3",
        "most_points, least_visible = 1, 2",
        "def back_ends(): ...",
        "licence_code = 'MIT'",
        "query_frames = []",
        "# the query frame of an object",
        "# the segmenter is asked about a frame",
        '"""Follow the objects of a video."""',
        'raise ValueError("both ways")',
        "# compared with the truth",
        "# a share of its points",
        "picture = read()",
    ],
)
def test_a_rival_is_found_in_names_and_in_prose(line: str) -> None:
    assert found(line + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "backends, datasets, licenses = [], [], []",
        "# what follows is kept, and looks like the ground truth; at most two of them; workers share a video",
        "name = text.strip()",
        "# in place, and files in their place",
        "counts.most_common()",
    ],
)
def test_plain_english_and_names_of_others_are_left_alone(line: str) -> None:
    assert not found(line + "\n")


def test_prose_of_the_page_and_of_documents_is_searched() -> None:
    assert found("/** Where the pictures are. */\nconst x = 1;\n", "src/sampt/web/static/some.js") == ["pictures"]
    assert found('<p title="A strip">no <b>question</b></p>\n', "src/sampt/web/static/some.html") == ["strip", "question"]
    assert found("A live video.\n\n```sh\nsampt segment\n```\n\n`--reinit-look-back`\n", "docs/some.md") == ["live", "look"]


def test_a_line_says_where_the_word_is_and_what_to_write() -> None:
    (item,) = find_rivals("src/sampt/some.py", "x = 1\nstop_share = 2\n")
    assert (item.line, item.word, item.write, item.text) == (2, "stop_share", "max_, min_, fraction", "stop_share = 2")
