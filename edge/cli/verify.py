"""`ostiary verify`: are these two pictures of one person?"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.cli.common import complain, print_json, settings_of, shown
from edge.datatypes import Embedding
from edge.errors import PictureError
from edge.pictures import read_picture
from edge.reader import PictureReader, load_models


def run(args: argparse.Namespace) -> int:
    """Compares the largest face of each picture at the configured operating point."""
    settings = settings_of(args)
    models = load_models(settings)
    point = settings.decide.operating_point
    threshold = models.bundle.operating_point(point).threshold
    reader = PictureReader(models)
    similarity = _largest_face(reader, args.a).similarity(_largest_face(reader, args.b))
    is_match = similarity >= threshold
    if args.json:
        answer = {
            "similarity": round(similarity, 4),
            "threshold": threshold,
            "operating_point": point,
            "match": is_match,
        }
        print_json(answer)
        return 0
    verdict = "one person" if is_match else "two people, or not enough alike to say"
    print(f"{verdict}: similarity {similarity:.3f}, threshold {threshold:.3f} ({point})")
    return 0


def _largest_face(reader: PictureReader, path: Path) -> Embedding:
    faces = reader.faces(read_picture(path))
    if len(faces) > 1:
        complain(f"{shown(str(path))}: {len(faces)} faces; the largest one counts")
    if not faces:
        raise PictureError(
            "no face found", where=str(path), expected="a picture with a face", hint="Try a larger or sharper one."
        )
    return faces[0].embedding
