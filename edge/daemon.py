"""The daemon: opens everything that the settings name, runs the loop, and closes everything in reverse."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.annotate import VideoWriter
from edge.capture import LiveOptions, open_source
from edge.config.settings import Settings
from edge.errors import UsageError
from edge.gallery import LiveIndex, open_gallery
from edge.health import Health, ServiceManager
from edge.interfaces import FrameSource
from edge.loop import Loop, Outside
from edge.paths import gallery_file, outbox_file
from edge.pipeline import Parts, Pipeline, context_of, thresholds_of
from edge.publish import Publisher, open_publisher
from edge.reader import Models, load_models

TICK_S = 0.25
"""A live source gives control back after so long without a frame, for presence and health."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the settings."""

    annotate: Path | None = None
    write_event: Callable[[str], None] | None = None
    """Takes each event as a line of JSON where mqtt.enabled is false."""


class Daemon:
    """One camera's life."""

    def __init__(self, settings: Settings, options: Options | None = None) -> None:
        self._settings = settings
        self._options = options or Options()
        self._health = Health()
        self._service = ServiceManager()
        self._is_stopping = False
        self._publisher: Publisher | None = None
        self._source: FrameSource | None = None
        self._is_camera_online = False

    def stop(self) -> None:
        """End the run after the frame in hand, or within TICK_S; from any thread, and from a signal handler.

        A handler runs between two steps of the very thread that reads frames, which may hold any lock: so it takes none.
        """
        self._is_stopping = True

    def run(self) -> None:
        """Until the source ends or `stop`. OstiaryError when something that cannot be done without is missing."""
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            models = load_models(self._settings)
            thresholds = thresholds_of(models.bundle, self._settings.decide.operating_point)
            index = self._open_index(models)
            stack.callback(index.close)
            video = self._video()
            # Before the publisher: a clip that is not there is told at once, and no subscriber hears of it.
            source = self._open_source()
            stack.callback(source.close)
            publisher = open_publisher(self._settings, outbox_file(self._settings), write=self._options.write_event)
            stack.callback(_close_publisher, publisher)
            self._publisher = publisher
            if not source.is_live:
                self._on_camera(True, "")  # noqa: FBT003
            parts = Parts(models.detector, models.embedder, index, publisher)
            pipeline = Pipeline(
                parts, self._settings, thresholds, context_of(self._settings, models.bundle), self._health
            )
            outside = Outside(
                source, pipeline, publisher, self._health, self._service,
                refresh=index.refresh, describe=lambda: self._described(models, index, publisher), video=video,
            )  # fmt: skip
            self._tell_ready(models, index, time.monotonic() - started)
            Loop(self._settings, outside).until_end(lambda: self._is_stopping)
            self._service.stopping()

    def _open_index(self, models: Models) -> LiveIndex:
        spec = models.bundle.manifest.embedder
        path, length = gallery_file(self._settings), spec.embedding_length
        return LiveIndex(lambda: open_gallery(path, embedder_id=spec.embedder_id, embedding_length=length))

    def _open_source(self) -> FrameSource:
        options, small_px = LiveOptions(wait_s=TICK_S), self._settings.detect.width_px
        self._source = open_source(self._settings.camera, on_state=self._on_camera, options=options, small_px=small_px)
        return self._source

    def _on_camera(self, online: bool, _reason: str) -> None:  # noqa: FBT001 - the signature is the source's
        """Called by `read` alone, so never before there is a publisher."""
        self._is_camera_online = online
        if self._publisher is not None:
            self._publisher.camera_status(is_online=online)
        if not online:
            # The source itself has logged why.
            self._health.counters["camera_offline"] += 1

    def _video(self) -> VideoWriter | None:
        """UsageError before anything runs, where the first frame would fail."""
        path = self._options.annotate
        if path is None:
            return None
        if path.suffix.lower() not in {".mp4", ".avi"} or not path.parent.is_dir() or path.is_dir():
            raise UsageError(
                "cannot become a video", where=str(path), expected="a .mp4 or .avi file in a folder that exists"
            )
        return VideoWriter(path, fps=self._settings.camera.rate_fps or 25.0)

    def _tell_ready(self, models: Models, index: LiveIndex, took_s: float) -> None:
        manifest = models.bundle.manifest
        log.info(
            "ready in %.2f s: bundle %s, embeddings enrolled: %d, camera %s",
            took_s, manifest.bundle_id, len(index.index), self._settings.camera.name,
        )  # fmt: skip
        if len(index.index) == 0:
            log.warning("nobody is enrolled: everybody will be unknown (ostiary enroll --name NAME PICTURE...)")
        self._service.ready(f"watching {self._settings.camera.name}")

    def _described(self, models: Models, index: LiveIndex, publisher: Publisher) -> dict[str, Any]:
        """What /health tells besides counters and timings."""
        manifest = models.bundle.manifest
        counters = getattr(self._source, "counters", {})
        self._health.counters["gallery_damaged_embeddings"] = index.index.refused_rows
        self._health.counters["gallery_unreadable"] = int(bool(index.problem))
        self._health.counters["detections_dropped"] = models.detector.dropped
        return {
            "gallery_revision": index.revision,
            "bundle_id": manifest.bundle_id,
            "embedder_id": manifest.embedder.embedder_id,
            "outbox": publisher.outbox_state(),
            "camera": {"online": self._is_camera_online, "reopened": 0, **counters},
        }


def _close_publisher(publisher: Publisher) -> None:
    publisher.close()
    if depth := publisher.outbox_state()["depth"]:
        log.warning("%d event(s) could not be sent; the next run sends them on /history", depth)
