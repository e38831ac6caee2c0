"""Looks for byte strings in files. Run as a program of its own, which needs nothing but the standard library.

To open and close a file of a database in the process that has it open would drop that database's locks
(sqlite.org/howtocorrupt.html, section 2.2), so the process that erases somebody asks another one to look.

Standard input is one JSON object {"files": [path], "needles": [base64]}; standard output one list of [path, [count of
each needle]], null for a file that is gone.
"""

from __future__ import annotations

import base64
import json
import mmap
import sys
from pathlib import Path


def main() -> int:
    """Exit code 0 when every file that is there was read."""
    asked = json.load(sys.stdin)
    needles = [base64.b64decode(needle) for needle in asked["needles"]]
    json.dump([[name, counted(Path(name), needles)] for name in asked["files"]], sys.stdout)
    return 0


def counted(path: Path, needles: list[bytes]) -> list[int] | None:
    """How often each is in there, overlapping or not; None where there is no such file."""
    try:
        with path.open("rb") as handle:
            if not path.stat().st_size:
                return [0] * len(needles)
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return [_count(data, needle) for needle in needles]
    except FileNotFoundError:
        return None


def _count(data: mmap.mmap, needle: bytes) -> int:
    count, place = 0, data.find(needle)
    while place >= 0:
        count, place = count + 1, data.find(needle, place + 1)
    return count


if __name__ == "__main__":
    sys.exit(main())
