"""What a training was, for a manifest: written beside its result, and repeated where the result goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.provenance import tool_versions
from convert.train.run import read_checkpoint, read_log
from edge.bundle import sha256_of

RECORD_FILE = "training.json"


def write_record(folder: Path, about: Mapping[str, Any], phases: Sequence[str]) -> Path:
    """`about` says what was taught, by whom and on what; `phases` are the folders of runs inside `folder`, in order; "." is itself."""
    told = {**about, "phases": [_phase(folder / name) for name in phases], "tools": tool_versions()}
    path = folder / RECORD_FILE
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return path


def named_file(path: Path) -> str:
    """A teacher for the record: its file and digest."""
    return f"{path.name}, SHA-256 {sha256_of(path)}"


def _phase(folder: Path) -> dict[str, Any]:
    """Settings, steps taken, time, and the last of each figure."""
    settings, done, _ = read_checkpoint(folder) or ({}, 0, {})
    lines = read_log(folder)
    last = {name: value for line in lines for name, value in line.items()}
    seconds = sum(line.get("seconds", 0.0) for line in lines)
    for name in ("step", "seconds", "pictures_per_s"):
        last.pop(name, None)
    return {**settings, "steps_taken": done, "minutes": round(seconds / 60, 1), "last": last}
