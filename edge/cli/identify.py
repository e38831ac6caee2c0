"""`ostiary identify`: who is in these pictures?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2

from edge.annotate import KNOWN, UNKNOWN, Mark, annotated
from edge.cli.common import complain, pictures_in, plural, print_json, progress, settings_of
from edge.config.settings import Settings
from edge.datatypes import Image, Match
from edge.enrol import ReadFace
from edge.errors import EXIT_OK, EXIT_OTHER, PictureError
from edge.gallery import Index, open_gallery
from edge.paths import gallery_file
from edge.pictures import read_picture
from edge.pipeline import thresholds_of
from edge.reader import FaceReader, Models, load_models


def run(args: argparse.Namespace) -> int:
    """One object or one short paragraph a picture; exit 1 when any could not be read."""
    settings = settings_of(args)
    models = load_models(settings)
    identifier = Identifier(settings, models)
    paths = pictures_in(args.paths)
    if not paths:
        raise PictureError(
            "no pictures in there", where=", ".join(map(str, args.paths)), expected="JPEG, PNG, WebP, ..."
        )
    if args.annotate is not None:
        args.annotate.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path in progress(paths, "identify"):
        try:
            image = read_picture(path)
        except PictureError as error:
            failed += 1
            _tell_failure(path, error, as_json=args.json)
            continue
        answers = identifier.answers(image)
        _tell(path, image, answers, as_json=args.json)
        if args.annotate is not None:
            _draw(args.annotate / f"{path.stem}.jpg", image, answers)
    return EXIT_OTHER if failed else EXIT_OK


class Identifier:
    """One picture's faces against the gallery. A single picture is weaker evidence than the daemon's several frames."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._reader = FaceReader(models)
        self._threshold = thresholds_of(models.bundle, settings.decide.operating_point).recognized
        self._margin = settings.decide.margin
        spec = models.bundle.manifest.embedder
        path = gallery_file(settings)
        with open_gallery(path, embedder_id=spec.embedder_id, embedding_length=spec.embedding_length) as gallery:
            self._index: Index = gallery.load_index()

    def answers(self, image: Image) -> list[tuple[ReadFace, Match, bool]]:
        """Faces, largest first, each with its nearest identity and whether that may be called a match."""
        rows = []
        for reading in self._reader.faces(image):
            match = self._index.search(reading.embedding.vector)
            passes = match.identity is not None and match.similarity >= self._threshold and match.margin >= self._margin
            rows.append((reading, match, passes))
        return rows


def face_json(reading: ReadFace, match: Match, *, is_match: bool) -> dict[str, Any]:
    """One face as `identify --json` prints it."""
    detection, identity = reading.detection, match.identity if is_match else None
    points = detection.landmarks
    return {
        "box": [round(float(value), 1) for value in detection.box],
        "confidence": round(detection.confidence, 4),
        "landmarks": None if points is None else [[round(float(x), 1), round(float(y), 1)] for x, y in points],
        "identity": None if identity is None else {"id": identity.id, "name": identity.name},
        "similarity": None if match.identity is None else round(match.similarity, 4),
        "margin": None if match.identity is None else round(match.margin, 4),
        "quality": round(reading.quality.score, 3),
    }


def _tell(path: Path, image: Image, answers: list[tuple[ReadFace, Match, bool]], *, as_json: bool) -> None:
    if as_json:
        faces = [face_json(reading, match, is_match=passes) for reading, match, passes in answers]
        print_json({"path": str(path), "width": image.shape[1], "height": image.shape[0], "faces": faces})
        return
    print(f"{path}: {plural(len(answers), 'face')}")
    for reading, match, passes in answers:
        print(f"  {_sentence(reading, match, passes=passes)}")


def _sentence(reading: ReadFace, match: Match, *, passes: bool) -> str:
    box = reading.detection.box
    where = f"{box.width:.0f}x{box.height:.0f} px at ({box.x1:.0f}, {box.y1:.0f}), quality {reading.quality.score:.2f}"
    if match.identity is None:
        return f"unknown: nobody is enrolled ({where})"
    how = f"similarity {match.similarity:.3f}, margin {match.margin:.3f}"
    if passes:
        return f"{match.identity.name}: {how} ({where})"
    return f"unknown: nearest is {match.identity.name}, {how} ({where})"


def _tell_failure(path: Path, error: PictureError, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "error": str(error)})
    else:
        complain(f"ostiary: {error}")


def _draw(path: Path, image: Image, answers: list[tuple[ReadFace, Match, bool]]) -> None:
    marks = []
    for reading, match, passes in answers:
        name = match.identity.name if passes and match.identity is not None else "unknown"
        text = f"{name} {match.similarity:.2f}" if match.identity is not None else name
        marks.append(Mark(reading.detection.box, text, KNOWN if passes else UNKNOWN))
    if not cv2.imwrite(str(path), annotated(image, marks)):
        complain(f"ostiary: {path}: cannot be written")
