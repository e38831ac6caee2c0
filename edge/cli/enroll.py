"""`ostiary enroll`: enrol somebody from pictures or a camera."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.capture import open_source
from edge.cli.common import complain, pictures_of, plural, print_json, progress, settings_of, shown
from edge.cli.gallery import check_limits, set_limits
from edge.config.settings import Settings
from edge.datatypes import Frame, Quality
from edge.enrol import EnrolmentResult, Picture, enrol_pictures
from edge.errors import EXIT_OK, EXIT_OTHER, UsageError
from edge.gallery import gallery_of
from edge.interfaces import FrameSource
from edge.pictures import read_picture
from edge.pipeline import thresholds_of
from edge.reader import PictureReader, load_models

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
    paths = pictures_of(args.paths) if args.paths else []
    settings = settings_of(args)
    models = load_models(settings)
    threshold = thresholds_of(models.bundle, settings.decide.operating_point).recognized
    with gallery_of(settings, models.bundle.manifest) as gallery:
        known = gallery.get(who) if args.id else gallery.find(who)
        check_limits(known, args)
        pictures = _camera_pictures(settings, args) if args.camera else _file_pictures(paths)
        result = enrol_pictures(
            gallery, who, pictures, PictureReader(models), settings.enrol, threshold=threshold, note=args.note or None,
            consent=args.consent, and_then=lambda record: set_limits(gallery, record, args),
        )  # fmt: skip
        revision = gallery.revision
    if args.json:
        _tell_json(result)
    else:
        _tell(result, gallery.path, revision=revision)
    return EXIT_OK if result.identity is not None else EXIT_OTHER


def _file_pictures(paths: list[Path]) -> Iterator[Picture]:
    for path in progress(paths, "enrol"):
        yield Picture(str(path), lambda path=path: read_picture(path))  # type: ignore[misc]


def _camera_pictures(settings: Settings, args: argparse.Namespace) -> Iterator[Picture]:
    """`--count` frames, CAMERA_PAUSE_S apart; the person is told what happens."""
    camera = dataclasses.replace(settings.camera, uri=args.camera)
    source = open_source(camera, first_frame_s=CAMERA_TIMEOUT_S)
    due_ns = 0
    try:
        complain(f"taking {plural(args.count, 'picture')}: look at the camera, and move your head a little")
        for number in range(1, args.count + 1):
            frame = _next_frame(source, due_ns)
            if frame is None:
                return
            due_ns = frame.moment_ns + int(CAMERA_PAUSE_S * 1e9)
            complain(f"  {number} of {args.count}")
            yield Picture(f"{camera.name} {number}", lambda image=frame.image: image)  # type: ignore[misc]
    finally:
        source.close()


def _next_frame(source: FrameSource, due_ns: int) -> Frame | None:
    """The first frame that is not before its time; every picture of a folder is its own, and none is passed over."""
    while (frame := source.read()) is not None and frame.moment_ns < due_ns and not frame.name:
        if source.is_live:
            time.sleep(max(0.0, (due_ns - frame.moment_ns) / 1e9))
    return frame


def _tell(result: EnrolmentResult, path: Path, *, revision: int) -> None:
    for accepted in result.accepted:
        quality = accepted.quality
        print(
            f"took     {shown(accepted.path)}: {quality.size_px:.0f} px, sharpness {quality.sharpness:.2f}, quality {quality.score:.2f}"
        )
    for warned in result.warnings:
        print(f"warning  {shown(warned.path)}: {warned.likeness.message}")
    for refused in result.refused:
        print(f"refused  [{refused.reason}] " + refused.message.replace("\n  ", "\n         "))
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
