"""LFW's text files: pairs of pictures for the ten-fold protocol, and lists of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import UsageError

_FORMAT = "NAME N M for one person, NAME N NAME M for two, tab-separated"
_HEADER = "the number of folds and of pairs of each kind in a fold, like '10\\t300'"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, whether they show one person, and the fold they belong to, from 0."""

    first: str
    second: str
    same: bool
    fold: int


def read_pairs(path: Path) -> list[Pair]:
    """Read a pairs file (http://vis-www.cs.umass.edu/lfw/README.txt, view 2). UsageError names the faulty line.

    After a header `folds<TAB>n` each fold has n pairs of one person, then n pairs of two.
    """
    lines = [line.split("\t") for line in _lines(path)]
    if not lines:
        raise UsageError("empty", where=str(path), expected=_HEADER)
    folds, count = _header(lines[0], path)
    expected = folds * 2 * count
    if len(lines) - 1 != expected:
        hint = "The file was cut off, or its header belongs to another one: copy it again."
        raise UsageError(f"{len(lines) - 1} pairs", where=str(path), expected=f"{expected} by its header", hint=hint)
    return [_pair(fields, index, count, path) for index, fields in enumerate(lines[1:])]


def read_all_pairs(paths: Sequence[Path]) -> list[Pair]:
    """The pairs of several files, the folds of the second numbered on from those of the first."""
    found: list[Pair] = []
    for path in paths:
        first = max((pair.fold for pair in found), default=-1) + 1
        found += [replace(pair, fold=pair.fold + first) for pair in read_pairs(path)]
    return found


def read_people(path: Path) -> frozenset[str]:
    """Names, one a line. UsageError when there are none."""
    names = frozenset(line.split("\t")[0].strip() for line in _lines(path))
    if not names:
        raise UsageError("empty", where=str(path), expected="names, one a line")
    return names


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), expected="a text file") from error
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8 text", where=str(path), expected="a text file") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _header(fields: list[str], path: Path) -> tuple[int, int]:
    numbers = [_number(field) for field in fields]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        raise UsageError(f"header {' '.join(fields)[:60]!r}", where=f"{path}, line 1", expected=_HEADER)
    return numbers[0], numbers[1]


def _number(text: str) -> int | None:
    """A whole number from 1 to 9999, as LFW counts pictures; else None."""
    is_number = text.isascii() and text.isdigit() and len(text) <= 4 and int(text) > 0
    return int(text) if is_number else None


def _pair(fields: list[str], index: int, count: int, path: Path) -> Pair:
    fold, place = divmod(index, 2 * count)
    should_be_same = place < count
    if len(fields) == 3:
        first, second = _picture(fields[0], fields[1]), _picture(fields[0], fields[2])
    elif len(fields) == 4:
        first, second = _picture(fields[0], fields[1]), _picture(fields[2], fields[3])
    else:
        first = second = None
    if first is None or second is None or (len(fields) == 3) != should_be_same:
        kind = "one person" if should_be_same else "two people"
        raise UsageError(
            f"{' '.join(fields)[:80]!r}", where=f"{path}, pair {index + 1}", expected=f"a pair of {kind}: {_FORMAT}"
        )
    return Pair(first, second, should_be_same, fold)


def _picture(name: str, number: str) -> str | None:
    value = _number(number)
    return None if value is None or not name or "/" in name else f"{name}/{name}_{value:04d}.jpg"
