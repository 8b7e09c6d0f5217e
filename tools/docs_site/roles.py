"""Docstrings have roles, such as ``:class:`Points```, which the site's Markdown does not know: they become links and code."""

from __future__ import annotations

import re
from typing import Any

import griffe

import sampt
from sampt import _WHERE as MODULES

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")
_LITERAL = re.compile(r"``(.+?)``", re.DOTALL)


class Roles(griffe.Extension):
    """Writes them anew in every docstring that Griffe has read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value, obj.path)


def to_markdown(text: str, path: str) -> str:
    """A docstring in Markdown; ``path`` is that of the object that it describes."""
    return _LITERAL.sub(r"`\1`", _ROLE.sub(lambda found: _link(found[2], bool(found[1]), path), text))


def _link(target: str, is_short: bool, path: str) -> str:
    """A link to what the reference has, else the name as code."""
    shown = target.rpartition(".")[2] if is_short else target
    public = _public(target, path)
    return f"[`{shown}`][{public}]" if public else f"`{shown}`"


def _public(target: str, path: str) -> str | None:
    """The name under which the reference has ``target``, or None."""
    name = target.removeprefix("sampt.").rpartition(".")[2]
    first, _, rest = target.removeprefix("sampt.").partition(".")
    if first in MODULES and (not rest or hasattr(getattr(sampt, first), rest)):
        return f"sampt.{first}" + (f".{rest}" if rest else "")
    if name in MODULES and target == f"{MODULES[name]}.{name}":
        return f"sampt.{name}"
    for owner, module in MODULES.items():  # ":meth:`open`" in Session means Session.open
        if path.startswith(f"{module}.{owner}") and "." not in target and hasattr(getattr(sampt, owner), target):
            return f"sampt.{owner}.{target}"
    return None
