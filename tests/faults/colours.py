"""How often the skin of found faces calls right colours swapped, and how soon it finds swapped ones, over LFW.

    python -m tests.faults.colours

Every picture of LFW (under OSTIARY_TEST_DATA) counts as one visit, in the archive's order, in which one person's
pictures follow each other as they do at a door. Takes some minutes.
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from edge.colours import FACES, SWAPPED, Colours, skin_balance
from edge.config.settings import Settings
from edge.datatypes import Floats, Image
from edge.interfaces import Detector
from edge.reader import load_models
from tests.support.data import TEST_DATA


def pictures() -> Iterator[Image]:
    """Each picture, BGR."""
    with tarfile.open(TEST_DATA / "data" / "lfw" / "lfw-deepfunneled.tar") as archive:
        for member in archive:
            handle = archive.extractfile(member) if member.name.endswith(".jpg") else None
            if handle is not None:
                yield np.asarray(cv2.imdecode(np.frombuffer(handle.read(), np.uint8), cv2.IMREAD_COLOR))


def largest(detector: Detector, image: Image) -> Floats | None:
    """Landmarks of the largest face."""
    found = [one for one in detector.detect(image) if one.landmarks is not None]
    return max(found, key=lambda one: one.box.area).landmarks if found else None


def alarms(balances: Iterable[float]) -> list[bool]:
    """After each visit from the first full window on, whether the colours count as swapped."""
    colours, states = Colours("LFW"), []
    for number, balance in enumerate(balances):
        colours.add(balance)
        if number >= FACES - 1:
            states.append(colours.are_swapped)
    return states


def tell(kind: str, balances: Sequence[float | None], pictures_seen: int) -> None:
    """One line of the table."""
    values = [value for value in balances if value is not None]
    states = alarms(values)
    middle = f"{np.median(values):+.2f}" if values else "none"
    wrong = sum(value < SWAPPED for value in values)
    sys.stdout.write(
        f"{kind:8} pictures {pictures_seen:6}  judged {len(values):6}  median log(red/blue) {middle:>6}  "
        f"single faces below {SWAPPED}: {wrong:5}  windows of {FACES} called swapped: {sum(states):6} of {len(states)}\n"
    )


def main() -> int:
    """The table."""
    detector = load_models(Settings()).detector
    rows: dict[str, list[float | None]] = {"right": [], "swapped": [], "grey": []}
    count = 0
    for image in pictures():
        count += 1
        grey = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))
        for kind, shown in (("right", image), ("swapped", np.ascontiguousarray(image[:, :, ::-1])), ("grey", grey)):
            landmarks = largest(detector, shown)
            rows[kind].append(None if landmarks is None else skin_balance(shown, landmarks))
    for kind, balances in rows.items():
        tell(kind, balances, count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
