"""What the search for a student's integers chose, kept for the runs that go on from there."""

from __future__ import annotations

import json
from pathlib import Path

from convert.quantise.outcome import Choice, Outcome
from edge.errors import ModelError

CHOICE_FILE = "integers.json"


def write_choice(folder: Path, digest: str, outcome: Outcome) -> None:
    """`digest` is of the float student that it was made for."""
    told = {"float_sha256": digest, **outcome.as_dict()}
    (folder / CHOICE_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def read_choice(folder: Path, digest: str) -> Choice | None:
    """None where nothing was chosen yet, or for another float student. ModelError where the file is damaged."""
    path = folder / CHOICE_FILE
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["float_sha256"] != digest:
            return None
        recipe = told["recipe"]
        return Choice(**{**recipe, "islands": tuple(recipe["islands"])})
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"damaged ({error})", where=str(path), hint="Remove it: the search is made again.") from error
