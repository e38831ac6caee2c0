"""A detector beside a reference, over labelled pictures of people whom it never saw and over a clip, at several confidences.

    python -m tests.bench.detector YUNET.onnx DETECTOR.onnx --images lfw-deepfunneled.tar --people identities-train.txt --clip walkers.mp4

The reference's faces are those of confidence 0.7. Times are CPU time of `cv2.FaceDetectorYN` at 640x360, taking turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from convert.accuracy.pairs import read_people
from convert.pictures import open_pictures, person_of
from convert.train.detector.judge import agreement, face_detector_yn, frames_of
from edge.datatypes import Image

CONFIDENCES = (0.5, 0.55, 0.6, 0.65, 0.7)
REFERENCE_CONFIDENCE = 0.7
LEAST_CONFIDENCE = 0.3
SMALLEST_PX = 24
EVERY = 6
TURNS = 60


def main() -> None:
    """One line for each set of pictures and confidence, and the ratio of the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("detector", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--people", type=Path, required=True, help="who was taught: all others are judged on")
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=500, help="of the others, drawn once (default: %(default)s)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    store, taught = open_pictures(args.images), read_people(args.people)
    names = [name for name in store.names if person_of(name) not in taught]
    chosen = np.random.default_rng(0).permutation(len(names))[: args.pictures]
    compare(args, "portraits", (store.read(names[place]) for place in chosen), smallest_px=0)
    for width in (640, 1280):
        compare(args, f"clip, {width} px", frames_of(args.clip, width=width, every=EVERY), smallest_px=SMALLEST_PX)
    print(f"time / reference's: {time_ratio(args.reference, args.detector):.2f}")


def compare(args: argparse.Namespace, title: str, pictures: Iterable[Image], *, smallest_px: float) -> None:
    """Lines of one set."""
    reference = face_detector_yn(args.reference, REFERENCE_CONFIDENCE)
    find = face_detector_yn(args.detector, LEAST_CONFIDENCE)
    both = [(reference(picture), find(picture)) for picture in pictures]
    for confidence in CONFIDENCES:
        kept = [mine.take(mine.scores >= confidence) for _, mine in both]
        told = agreement([theirs for theirs, _ in both], kept, smallest_px=smallest_px)
        print(f"{title}, confidence {confidence:.2f}: {told}", flush=True)


def time_ratio(reference: Path, detector: Path) -> float:
    """Median CPU time of one over that of the other."""
    picture = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    finders = [face_detector_yn(path, REFERENCE_CONFIDENCE) for path in (reference, detector)]
    taken: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for find, times in zip(finders, taken, strict=True):
            before = time.process_time()
            find(picture)
            times.append(time.process_time() - before)
    return float(np.median(taken[1]) / np.median(taken[0]))


if __name__ == "__main__":
    main()
