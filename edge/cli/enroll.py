"""`ostiary enroll`: enrol somebody from pictures or a camera."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.capture import open_source
from edge.cli.common import complain, pictures_in, plural, print_json, progress, settings_of
from edge.config.settings import Settings
from edge.datatypes import Quality
from edge.enrol import EnrolmentResult, Picture, enrol_pictures
from edge.errors import EXIT_OK, EXIT_OTHER, UsageError
from edge.gallery import Gallery, open_gallery, parse_moment
from edge.paths import gallery_file
from edge.pictures import read_picture
from edge.pipeline import thresholds_of
from edge.reader import FaceReader, load_models

CAMERA_TIMEOUT_S = 10.0
CAMERA_PAUSE_S = 0.7
"""Between two pictures of a camera, so that they differ."""


def run(args: argparse.Namespace) -> int:
    """Exit 1 when nothing could be taken."""
    who = args.id or args.name
    if who is None or (args.id and args.name):
        raise UsageError(
            "nobody is named" if who is None else "both --id and --name", expected="--name NAME or --id ID"
        )
    if bool(args.paths) == bool(args.camera):
        raise UsageError(
            "no pictures" if not args.paths else "pictures and a camera", expected="pictures, or --camera URI"
        )
    valid = (_moment(args.valid_from), _moment(args.valid_until))
    settings = settings_of(args)
    models = load_models(settings)
    threshold = thresholds_of(models.bundle, settings.decide.operating_point).recognized
    spec = models.bundle.manifest.embedder
    path = gallery_file(settings)
    with open_gallery(path, embedder_id=spec.embedder_id, embedding_length=spec.embedding_length) as gallery:
        if args.id:
            gallery.get(args.id)
        pictures = _camera_pictures(settings, args) if args.camera else _file_pictures(args.paths)
        result = enrol_pictures(
            gallery, who, pictures, FaceReader(models), settings.enrol, threshold=threshold, note=args.note or None
        )
        result = _limited(gallery, result, valid)
        revision = gallery.revision
    if args.json:
        _tell_json(result)
    else:
        _tell(result, path, revision=revision)
    return EXIT_OK if result.identity is not None else EXIT_OTHER


def _moment(text: str | None) -> float | None:
    return parse_moment(text) if text else None


def _limited(gallery: Gallery, result: EnrolmentResult, valid: tuple[float | None, float | None]) -> EnrolmentResult:
    if result.identity is None or valid == (None, None):
        return result
    gallery.set_validity(result.identity.id, valid_from=valid[0], valid_until=valid[1])
    return dataclasses.replace(result, identity=gallery.get(result.identity.id))


def _file_pictures(paths: list[Path]) -> Iterator[Picture]:
    found = pictures_in(paths)
    if not found:
        raise UsageError("no pictures in there", where=", ".join(map(str, paths)), expected="JPEG, PNG, WebP, ...")
    for path in progress(found, "enrol"):
        yield Picture(str(path), lambda path=path: read_picture(path))  # type: ignore[misc]


def _camera_pictures(settings: Settings, args: argparse.Namespace) -> Iterator[Picture]:
    """`--count` frames, some time apart; the person is told what happens."""
    camera = dataclasses.replace(settings.camera, uri=args.camera)
    source = open_source(camera, first_frame_s=CAMERA_TIMEOUT_S)
    try:
        complain(f"taking {plural(args.count, 'picture')}: look at the camera, and move your head a little")
        for number in range(1, args.count + 1):
            frame = source.read()
            if frame is None:
                return
            complain(f"  {number} of {args.count}")
            yield Picture(f"{camera.name} {number}", lambda image=frame.image: image)  # type: ignore[misc]
            if source.is_live:
                time.sleep(CAMERA_PAUSE_S)
    finally:
        source.close()


def _tell(result: EnrolmentResult, path: Path, *, revision: int) -> None:
    for accepted in result.accepted:
        quality = accepted.quality
        print(
            f"took     {accepted.path}: {quality.size_px:.0f} px, sharpness {quality.sharpness:.2f}, quality {quality.score:.2f}"
        )
    for warned in result.warnings:
        print(f"warning  {warned.path}: {warned.likeness.message}")
    for refused in result.refused:
        print(f"refused  {refused.message} [{refused.reason}]")
    if result.identity is None:
        print("nobody was enrolled")
        return
    who = result.identity
    print(f"enrolled {who.name} ({who.id}): {plural(who.embeddings, 'embedding')} in {path}, revision {revision}")


def _tell_json(result: EnrolmentResult) -> None:
    who = result.identity
    print_json(
        {
            "identity": None if who is None else {"id": who.id, "name": who.name, "embeddings": who.embeddings},
            "accepted": [_accepted_json(accepted.path, accepted.quality) for accepted in result.accepted],
            "refused": [{"path": row.path, "reason": row.reason, "message": row.message} for row in result.refused],
            "warnings": [
                {"path": row.path, "kind": row.likeness.kind, "message": row.likeness.message}
                for row in result.warnings
            ],
        }
    )


def _accepted_json(path: str, quality: Quality) -> dict[str, Any]:
    return {"path": path, **{name: round(value, 3) for name, value in dataclasses.asdict(quality).items()}}
