"""`ostiary identify`: who is in these pictures?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.annotate import KNOWN, UNKNOWN, Mark, annotated
from edge.cli.common import (
    complain,
    pictures_of,
    plural,
    print_json,
    progress,
    ready_folder,
    settings_of,
    shown,
)
from edge.config.settings import Settings
from edge.datatypes import Image, Match, ReadFace
from edge.errors import EXIT_OK, EXIT_OTHER, OstiaryError, PictureError, UsageError
from edge.gallery import Index, gallery_of
from edge.paths import gallery_file
from edge.pictures import read_picture
from edge.pipeline import thresholds_of
from edge.policy.verdict import validity_at
from edge.reader import Models, PictureReader, load_models
from edge.timebase import wall_clock


@dataclass(frozen=True, slots=True)
class Answer:
    """A face, its nearest identity, and whether that may be called a match."""

    reading: ReadFace
    match: Match
    is_match: bool
    validity: str | None
    """`valid`, `not_yet_valid` or `expired` at present, of a match; a door refuses the latter two."""


def run(args: argparse.Namespace) -> int:
    """One object or one short paragraph a picture; exit 1 when any could not be read."""
    settings = settings_of(args)
    paths = pictures_of(args.paths)
    album = None if args.annotate is None else Album(args.annotate, paths)
    identifier = Identifier(settings, load_models(settings))
    failed = 0
    for path in progress(paths, "identify", prints=True):
        try:
            image = read_picture(path)
        except PictureError as error:
            failed += 1
            _tell_failure(path, error, as_json=args.json)
            continue
        answers = identifier.answers(image)
        _tell(path, image, answers, as_json=args.json)
        if album is not None:
            album.add(path, image, answers)
    return EXIT_OTHER if failed else EXIT_OK


class Identifier:
    """One picture's faces against the gallery. A single picture is weaker evidence than the daemon's several frames."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._reader = PictureReader(models)
        self._threshold = thresholds_of(models.bundle, settings.decide.operating_point).recognized
        self._margin = settings.decide.margin
        spec = models.bundle.manifest.embedder
        path = gallery_file(settings)
        if not path.exists():
            # Looking at pictures makes no files.
            self._index = Index([], np.empty(0, np.int64), np.empty((0, spec.embedding_length), np.float32))
            return
        with gallery_of(settings, models.bundle.manifest, create=False) as gallery:
            self._index = gallery.load_index()

    def answers(self, image: Image) -> list[Answer]:
        """Of every face, largest first."""
        return [self._answer(reading) for reading in self._reader.faces(image)]

    def _answer(self, reading: ReadFace) -> Answer:
        match = self._index.search(reading.embedding.vector)
        is_match = match.identity is not None and match.similarity >= self._threshold and match.margin >= self._margin
        access = self._index.access(match.identity.id) if is_match and match.identity is not None else None
        return Answer(reading, match, is_match, None if access is None else validity_at(access, wall_clock()))


def face_json(answer: Answer) -> dict[str, Any]:
    """One face as `identify --json` prints it."""
    reading, match = answer.reading, answer.match
    detection, identity = reading.detection, match.identity if answer.is_match else None
    points = detection.landmarks
    return {
        "box": [round(float(value), 1) for value in detection.box],
        "confidence": round(detection.confidence, 4),
        "landmarks": None if points is None else [[round(float(x), 1), round(float(y), 1)] for x, y in points],
        "identity": None if identity is None else {"id": identity.id, "name": identity.name},
        "similarity": None if match.identity is None else round(match.similarity, 4),
        "margin": None if match.identity is None else round(match.margin, 4),
        "validity": answer.validity,
        "quality": round(reading.quality.score, 3),
    }


def _tell(path: Path, image: Image, answers: list[Answer], *, as_json: bool) -> None:
    if as_json:
        faces = [face_json(answer) for answer in answers]
        print_json({"path": str(path), "width": image.shape[1], "height": image.shape[0], "faces": faces})
        return
    print(f"{shown(str(path))}: {plural(len(answers), 'face')}")
    for answer in answers:
        print(f"  {_sentence(answer)}")


_REFUSALS = {"expired": "; expired: a door refuses", "not_yet_valid": "; not yet valid: a door refuses"}


def _sentence(answer: Answer) -> str:
    reading, match = answer.reading, answer.match
    box = reading.detection.box
    where = f"{box.width:.0f}x{box.height:.0f} px at ({box.x1:.0f}, {box.y1:.0f}), quality {reading.quality.score:.2f}"
    if match.identity is None:
        return f"unknown: there is nobody in the gallery to compare with ({where})"
    how = f"similarity {match.similarity:.3f}, margin {match.margin:.3f}"
    if answer.is_match:
        return f"{match.identity.name}: {how} ({where}){_REFUSALS.get(answer.validity or '', '')}"
    return f"unknown: nearest is {match.identity.name}, {how} ({where})"


def _tell_failure(path: Path, error: PictureError, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "error": str(error)})
    else:
        complain(f"ostiary: {error}")


class Album:
    """Writes the pictures with boxes and names into one folder, none over another."""

    def __init__(self, folder: Path, sources: Sequence[Path]) -> None:
        """UsageError when the folder cannot be used, or is one that pictures come from."""
        ready_folder(folder)
        if any(source.parent.resolve() == folder.resolve() for source in sources):
            raise UsageError(
                "pictures come from this folder", where=str(folder), expected="another folder for --annotate"
            )
        self._folder = folder
        self._names: set[str] = set()

    def add(self, source: Path, image: Image, answers: Sequence[Answer]) -> None:
        """One picture. OstiaryError when it cannot be written."""
        done, data = cv2.imencode(".jpg", annotated(image, [_mark(answer) for answer in answers]))
        path = self._folder / self._free_name(source.stem)
        try:
            # By Python: OpenCV takes no name that is not UTF-8.
            path.write_bytes(data.tobytes() if done else b"")
        except OSError as error:
            raise OstiaryError(f"cannot be written ({error.strerror})", where=str(path)) from error

    def _free_name(self, stem: str) -> str:
        tries = (f"{stem}.jpg", *(f"{stem}-{number}.jpg" for number in range(2, len(self._names) + 3)))
        name = next(name for name in tries if name not in self._names)
        self._names.add(name)
        return name


def _mark(answer: Answer) -> Mark:
    match, is_match = answer.match, answer.is_match
    name = match.identity.name if is_match and match.identity is not None else "unknown"
    text = f"{name} {match.similarity:.2f}" if match.identity is not None else name
    return Mark(answer.reading.detection.box, text, KNOWN if is_match else UNKNOWN)
