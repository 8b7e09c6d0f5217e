"""Finds words that stand for something that docs/glossary.md has another word for, and says which.

    python -m tools.words                     # src, docs, README, CONTRIBUTING, benchmarks, tools, training, examples
    python -m tools.words src/sampt/cli       # some files or folders

A word is looked for in names (``needs_look`` and ``needsLook`` have the part "look") and in prose: comments, docstrings,
messages, documents, the page's texts. Words that are also plain English are looked for in names only, or as part of a phrase.
ALLOWED lists names that other people have given. The exit status is 1 when something is found.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import token
import tokenize
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WHERE = ("src", "docs", "README.md", "CONTRIBUTING.md", "benchmarks", "tools", "training", "examples")
NOT_YET = ("tools/words.py",)
"""This file has to name the rivals."""
SUFFIXES = (".py", ".js", ".html", ".css", ".md")


class Rival(NamedTuple):
    """What one row of the table forbids.

    Attributes:
        write: what to write instead.
        words: forbidden in names and in prose.
        names: forbidden as a part of a name only; in prose they are plain English.
        phrases: regular expressions, forbidden in prose and, where they have ``_`` or ``\\w``, as names.
    """

    write: str
    words: str = ""
    names: str = ""
    phrases: tuple[str, ...] = ()


_WHOSE = r"(?:(?:the|an?|its|all|every|each|these|those|one|some|several|many|user's|own) )*"
_THINGS = _WHOSE + r"(?:objects?|masks?|points?|clicks?)"
_KEPT = (r"\w+Memory", r"(?:Feature|Frame)Store", r"_?kept_\w+", r"\w+_kept", r"_kept")
RIVALS = (
    Rival(
        "prompt, predict, request, result", "ask asks asked asking asker question questions answer answers answered answering"
    ),
    Rival("streaming, stream", "live arrive arrives arrived arriving"),
    Rival("prompt frame, in the page keyframe", phrases=(r"query[- ]frames?", r"\w*query_?frames?\w*", r"\w*queryFrames?")),
    Rival("bidirectional", phrases=(r"both[-_ ]ways",)),
    Rival(
        "propagate (masks), track (points)",
        "spreading leg legs walk walks walked",
        "follow follows followed following",
        (rf"follow(?:s|ed|ing)? {_THINGS}", rf"{_THINGS} (?:is|are|was|were|be|being) followed"),
    ),
    Rival("cache", "remember remembers remembered", phrases=_KEPT),
    Rival(
        "review, needs review",
        "",
        "look looks looked",
        (r"needs? a look", r"second look", r"look(?:s|ing)? back", r"looked back"),
    ),
    Rival("automatic mask generation", "", "everything"),
    Rival("refinement steps", "", "rounds", (r"rounds of refinement", r"refinement rounds?", r"passes and rounds")),
    Rival("ground truth, gt_", phrases=(r"(?<!ground[ -])truth", r"true_\w+", r"(?!ground_)\w+_truth")),
    Rival("max_, min_, fraction", "", "most least share shares", (r"(?:a|the|this|what|its) share", r"shares? of")),
    Rival("image", "picture pictures"),
    Rival("location", "", "place places", (r"(?:a|this|that|each|every|which|same|one|of its) places?",)),
    Rival("timeline", "strip strips"),
    Rival("interface, adapter", "seam seams"),
    Rival("describe_, summary", "told"),
)
SPELLINGS = (
    (r"(?i:back_ends?)|[bB]ackEnds?", "backend"),
    (r"(?i:data_sets?)|[dD]ataSets?", "dataset"),
    (r"(?i:colour)", "color"),
    (r"(?i:licence)", "license"),
)
ALLOWED = (
    ("*.py", "ObjectMemory", "the field's own term"),
    ("*.py", "most_common", "collections.Counter"),
    ("*.py", "true_positives", "the field's own term"),
    ("*.py", "follow_symlinks", "os"),
    ("src/sampt/web/settings.py", "share", "the XDG folders"),
    ("docs/ui.md", "share", "the XDG folders"),
    ("src/sampt/segmenters/sam/exported.py", "share_inputs", "OpenVINO"),
    ("src/sampt/cli/progress.py", "live", "rich"),
    ("src/sampt/files/listing.py", "DS_Store", "macOS"),
    ("src/sampt/trackers/tapir/README.md", "live", "the official live demo"),
    ("src/sampt/segmenters/nano/onnx_runtime.py", "picture", "a name in the weights"),
    ("src/sampt/trackers/nano/onnx_runtime.py", "picture", "a name in the weights"),
    ("benchmarks/speed.py", "picture", "a name in the weights"),
    ("training/*/export.py", "picture", "a name in the weights"),
    ("training/quantization.py", "picture", "a name in the weights"),
    ("training/segmenter/train.py", "picture", "a name in the weights"),
    ("training/data.py", "walk", "os"),
    ("training/segmenter/README.md", "legs", "a flamingo's and a horse's"),
    ("training/tracker/report.py", "look", "a name in the log"),
    ("training/tracker/report.py", "place", "a name in the log"),
    ("training/tracker/train.py", "look", "a name in the log"),
    ("training/tracker/train.py", "place", "a name in the log"),
    ("src/sampt/trackers/nano/network.py", "look_fine", "a name in the weights"),
    ("src/sampt/trackers/nano/network.py", "look_coarse", "a name in the weights"),
)
"""Pattern of a file, the word that is allowed there, and whose name it is."""


class Found(NamedTuple):
    """A forbidden word in a line."""

    path: str
    line: int
    word: str
    write: str
    text: str


# ---- what is prose in a file, and what are names ----------------------------------------------------------------------------


class Piece(NamedTuple):
    """Part of a file: prose or code."""

    text: str
    start: int
    is_prose: bool


def split_prose(text: str, suffix: str) -> Iterator[Piece]:
    """The parts of a file in order, which make up all of it. Code in backticks and in braces of strings is no prose."""
    spans = sorted(_SPANS.get(suffix, _spans_of_code)(text))
    at = 0
    for start, stop in spans:
        if start < at:
            continue
        yield Piece(text[at:start], at, False)
        inner = start
        for code in re.finditer(r"``[^`]*``|`[^`\n]*`|\$?\{[^{}\n]*\}|\]\([^)\s]*\)|:\w+:`[^`]*`", text[start:stop]):
            yield Piece(text[inner : start + code.start()], inner, True)
            yield Piece(code.group(), start + code.start(), False)
            inner = start + code.end()
        yield Piece(text[inner:stop], inner, True)
        at = stop
    yield Piece(text[at:], at, False)


def _python_spans(text: str) -> Iterator[tuple[int, int]]:
    """Comments, and strings with a space in them."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for item in tokenize.generate_tokens(io.StringIO(text).readline):
        is_string = item.type == token.STRING and (" " in item.string.strip("'\"") or item.string.startswith(('"""', 'r"""')))
        if item.type == token.COMMENT or is_string:
            yield starts[item.start[0] - 1] + item.start[1], starts[item.end[0] - 1] + item.end[1]


def _spans_of_code(text: str) -> Iterator[tuple[int, int]]:
    """Comments of JavaScript and CSS, and strings with a space in them."""
    pattern = r"/\*.*?\*/|(?<![:\"'`\w])//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`"
    for found in re.finditer(pattern, text, re.DOTALL):
        if found.group().startswith("/"):
            yield found.span()
        elif " " in found.group():
            yield found.start() + 1, found.end() - 1


def _document_spans(text: str) -> Iterator[tuple[int, int]]:
    """All but the fenced blocks of a language."""
    at = 0
    for fence in re.finditer(r"^```\w+\n.*?^```", text, re.DOTALL | re.MULTILINE):
        yield at, fence.start()
        at = fence.end()
    yield at, len(text)


def _page_spans(text: str) -> Iterator[tuple[int, int]]:
    """Text between tags, and attributes that are shown."""
    for found in re.finditer(r">[^<]+<|(?:title|aria-label|placeholder|alt|content)=\"[^\"]*\"|<!--.*?-->", text, re.DOTALL):
        start = found.start() + (1 if found.group().startswith(">") else found.group().find('"') + 1)
        yield start, found.end() - 1


_SPANS = {".py": _python_spans, ".md": _document_spans, ".html": _page_spans}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PHRASES = "|".join(phrase for rival in RIVALS for phrase in rival.phrases)
_ANY_PHRASE = re.compile(rf"(?<!\w)(?:{_PHRASES})(?!\w)", re.IGNORECASE)
"""Few pieces hold one: for those alone it is found out which."""


# ---- the search ----------------------------------------------------------------------------------------------------------


def find_rivals(path: str, text: str) -> list[Found]:
    """Every forbidden word of a file, in order."""
    found = []
    for piece in split_prose(text, Path(path).suffix):
        for start, word, write in _search(piece):
            line = text.count("\n", 0, piece.start + start) + 1
            found.append(Found(path, line, word, write, text.splitlines()[line - 1].strip()))
    return [item for item in found if not _is_allowed(item)]


def _search(piece: Piece) -> Iterator[tuple[int, str, str]]:
    for name in _NAME.finditer(piece.text):
        before, after = piece.text[: name.start()][-1:], piece.text[name.end() :][:1]
        is_method_of_str = name.group() == "strip" and before == "." and after == "("
        is_property_of_css = name.group() == "place" and after == "-"
        if not is_method_of_str and not is_property_of_css:
            yield from ((name.start(), name.group(), write) for write in _rivals_in_name(name.group(), piece.is_prose))
    if not piece.is_prose or not _ANY_PHRASE.search(piece.text):
        return
    for rival in RIVALS:
        for phrase in rival.phrases:
            for match in re.finditer(rf"(?<!\w)(?:{phrase})(?!\w)", piece.text, re.IGNORECASE):
                yield match.start(), match.group(), rival.write


@cache
def _rivals_in_name(name: str, is_prose: bool) -> tuple[str, ...]:
    """What to write instead of parts of a name, or of a word in prose. Kept, as a few thousand names make up all files."""
    return tuple(_find_in_name(name, is_prose))


def _find_in_name(name: str, is_prose: bool) -> Iterator[str]:
    parts = _PART.findall(name)
    lower, is_name = {part.lower() for part in parts}, not is_prose or len(parts) > 1
    for rival in RIVALS:
        in_words, in_names = lower & set(rival.words.split()), lower & set(rival.names.split())
        is_phrase = not is_prose and any(re.fullmatch(p, name) for p in rival.phrases if "_" in p or r"\w" in p)
        if in_words or (is_name and in_names) or is_phrase:
            yield rival.write
    if is_name:
        yield from (write for pattern, write in SPELLINGS if re.search(pattern, name))


def _is_allowed(found: Found) -> bool:
    return any(word == found.word and fnmatch(found.path, where) for where, word, _ in ALLOWED)


def find_files(where: Sequence[str]) -> list[str]:
    """The files below some paths that git knows and that hold words of ours."""
    listed = subprocess.run(["git", "ls-files", "--", *where], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.splitlines() if name.endswith(SUFFIXES) and (ROOT / name).is_file()]
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in NOT_YET)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", nargs="*", default=list(WHERE))
    found = []
    for name in find_files(parser.parse_args(arguments).where):
        found += find_rivals(name, (ROOT / name).read_text(encoding="utf-8"))
    for item in found:
        print(f"{item.path}:{item.line}: {item.word!r}, write: {item.write} | {item.text}")
    print(f"{len(found)} found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
