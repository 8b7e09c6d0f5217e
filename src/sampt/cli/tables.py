"""Tables on the terminal, of plain text: what stands in brackets is no markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["print_table"]


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the first heading's column stays on one line. Lines are as wide as the terminal."""
    from rich.console import Console  # Rich takes a while to import, for other commands too
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
