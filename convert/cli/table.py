"""Columns on a terminal."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence

Row = Mapping[str, str]


def table(rows: Sequence[Row], *, left: Sequence[str] = (), indent: str = "  ") -> str:
    """Rows of cells by column title, numbers to the right, the columns of `left` to the left.

    A line a row where that fits the terminal, else a paragraph a row.
    """
    widths = {title: max(len(title), *(len(row[title]) for row in rows)) for title in rows[0]}
    if len(indent) + sum(widths.values()) + 2 * (len(widths) - 1) > shutil.get_terminal_size((120, 24)).columns:
        return "\n\n".join(facts(list(row.items()), indent=indent) for row in rows)
    lines = [{title: title for title in widths}, *rows]
    return "\n".join(
        indent
        + "  ".join(
            row[title].ljust(width) if title in left else row[title].rjust(width) for title, width in widths.items()
        ).rstrip()
        for row in lines
    )


def facts(rows: Sequence[tuple[str, str]], *, indent: str = "") -> str:
    """Title and text, a line each."""
    longest = max(len(title) for title, _ in rows)
    return "\n".join(f"{indent}{title:<{longest}}  {text}".rstrip() for title, text in rows)


def number(value: float, digits: int = 3) -> str:
    """A figure of any size, short: 0.0312, 1.2e-06, 0, none."""
    if not math.isfinite(value):
        return "infinite"
    if value == 0:
        return "0"
    return f"{value:.{digits}g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.1e}"


def decibels(value: float) -> str:
    """A signal-to-noise ratio."""
    if math.isinf(value):
        return "exact" if value > 0 else "none"
    return f"{value:.1f}"


def shortened(text: str, most: int) -> str:
    """With the middle left out where it is longer than `most`."""
    if len(text) <= most:
        return text
    kept = most - 1
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
