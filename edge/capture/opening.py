"""From `camera.uri` to a frame source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from edge.capture.device import Opener
from edge.capture.folder import FolderSource
from edge.capture.ladder import LiveOptions
from edge.capture.live import LiveSource, OnState
from edge.capture.opencv import CaptureFactory, StreamOpener, V4l2Opener
from edge.capture.picamera import PicameraOpener
from edge.capture.uri import Address, parse_uri
from edge.capture.video import VideoSource
from edge.config.settings import Camera
from edge.errors import SourceError
from edge.picture_header import is_picture

SMALL_PX = 640
"""Longer side of the low-resolution stream: what the detector sees unless configured otherwise."""


@dataclass(frozen=True, slots=True)
class Libraries:
    """What talks to hardware; tests put fakes here."""

    capture: CaptureFactory = cv2.VideoCapture
    picamera2: Any = None
    """The module; imported when first needed if None."""


def open_source(
    camera: Camera,
    *,
    on_state: OnState | None = None,
    first_frame_s: float | None = None,
    options: LiveOptions | None = None,
    small_px: int | None = SMALL_PX,
    libraries: Libraries | None = None,
) -> LiveSource | VideoSource | FolderSource:
    """The source that `camera.uri` names.

    A live source that cannot be reached is retried for ever and reported to `on_state`, unless `first_frame_s` is
    given: then the first failure, or so many seconds without a frame, raise SourceError. A file or folder that cannot
    be read raises SourceError at once. UsageError for an unknown scheme, MissingDependencyError without picamera2.

    Args:
        camera: URI, size, rate and geometry.
        on_state: called with (online, reason) on each change of a live source, in the thread that reads.
        first_frame_s: impatience; None for a daemon, which must outlive a camera that is absent at boot.
        options: time limits and backoff of live sources.
        small_px: longer side of `Frame.small` where the camera gives it for free; None for none.
        libraries: fakes, for tests.
    """
    address = parse_uri(camera.uri)
    if address.kind == "path":
        return _from_path(Path(address.target), camera, libraries or Libraries())
    options = options or LiveOptions()
    opener = _opener(address, camera, small_px, libraries or Libraries())
    source = LiveSource(opener, camera, shown=address.shown, on_state=on_state, options=options)
    if first_frame_s is not None:
        source.require_first(first_frame_s)
    return source


def _opener(address: Address, camera: Camera, small_px: int | None, libraries: Libraries) -> Opener:
    if address.kind == "picamera2":
        return PicameraOpener(int(address.target), camera, small_px=small_px, library=libraries.picamera2)
    if address.kind == "v4l2":
        return V4l2Opener(address.target, camera, factory=libraries.capture)
    return StreamOpener(address.target, address.shown, stall_s=camera.stall_s, factory=libraries.capture)


def _from_path(path: Path, camera: Camera, libraries: Libraries) -> VideoSource | FolderSource:
    try:
        if path.is_dir() or (path.is_file() and is_picture(_head(path))):
            return FolderSource(path, camera)
        return VideoSource(path, camera, factory=libraries.capture)
    except OSError as error:
        raise SourceError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a video, a picture or a folder"
        ) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(12)
