"""The daemon: opens everything that the settings name, runs the loop, and closes everything in reverse."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.annotate import VideoWriter
from edge.capture import LiveOptions, open_source
from edge.colours import Colours
from edge.commands.desk import Desk
from edge.commands.opening import Reception, open_reception
from edge.config.settings import Settings
from edge.decide import Thresholds
from edge.errors import OstiaryError, UsageError
from edge.forgetting import Forgetting
from edge.gallery import LiveIndex, gallery_of
from edge.gallery.privacy.retention import Retention
from edge.health import Health, ServiceManager
from edge.interfaces import FrameSource
from edge.loop import Attendant, Loop, Outside
from edge.metrics import Subjects, open_metrics
from edge.paths import outbox_file
from edge.pipeline import Parts, Pipeline, context_of, thresholds_of
from edge.policy.doorkeeper import Signals
from edge.probation import Probation
from edge.publish import Publisher, open_publisher
from edge.reader import Models, load_models
from edge.sync.attendant import Sync
from edge.sync.opening import Membership, leave_groups, membership_of

TICK_S = 0.25
"""A live source gives control back after so long without a frame, for presence and health."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the settings."""

    annotate: Path | None = None
    write_event: Callable[[str], None] | None = None
    """Takes each event as a line of JSON where mqtt.enabled is false."""
    keeps_trial: bool = True
    """Whether this run counts for a bundle on trial; one beside the daemon does not."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a run has opened."""

    models: Models
    thresholds: Thresholds
    index: LiveIndex
    source: FrameSource
    publisher: Publisher
    reception: Reception | None
    membership: Membership | None
    video: VideoWriter | None


class Daemon:
    """One camera's life."""

    def __init__(self, settings: Settings, options: Options | None = None) -> None:
        self._settings = settings
        self._options = options or Options()
        self._health = Health()
        self._service = ServiceManager()
        self._is_stopping = False
        self._is_ended_from_outside = False
        self._publisher: Publisher | None = None
        self._sync: Sync | None = None
        self._source: FrameSource | None = None
        self._is_camera_online = False
        self._colours = Colours(settings.camera.name)

    def stop(self) -> None:
        """End the run after the frame in hand, or within TICK_S; from any thread, and from a signal handler.

        A handler runs between two steps of the very thread that reads frames, which may hold any lock: so it takes none.
        """
        self._is_ended_from_outside = True
        self._is_stopping = True

    def restart(self) -> None:
        """End the run likewise, to be run again; a `stop`, whenever it comes, outranks it."""
        self._is_stopping = True

    @property
    def wants_restart(self) -> bool:
        """Whether the run that has ended was to be followed by another."""
        return self._is_stopping and not self._is_ended_from_outside

    def run(self) -> None:
        """Until the source ends or `stop`. OstiaryError when something that cannot be done without is missing."""
        probation = Probation(self._settings, is_kept=self._options.keeps_trial)
        try:
            self._run(probation)
        except OstiaryError as error:
            if not probation.is_over:
                raise
            log.error("%s", error)  # noqa: TRY400 - the user needs no traceback, and the run that follows has another bundle
            self.restart()
            self._service.restarting()

    def _run(self, probation: Probation) -> None:
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            opened = self._open(stack, probation)
            outside = self._outside(opened, stack, probation)
            self._tell_ready(opened, time.monotonic() - started)
            Loop(self._settings, outside).until_end(lambda: self._is_stopping)
            if self.wants_restart:
                self._service.restarting()
            else:
                self._service.stopping()

    def _open(self, stack: contextlib.ExitStack, probation: Probation) -> _Opened:
        """Everything that may be missing or wrong, in this order: what fails early is told before anybody hears of us."""
        settings = self._settings
        with probation.loading():
            models = load_models(settings)
            thresholds = thresholds_of(models.bundle, settings.decide.operating_point)
            leave_groups(settings, lambda: gallery_of(settings, models.bundle.manifest))
            index = LiveIndex(lambda: gallery_of(settings, models.bundle.manifest))
        stack.callback(index.close)
        membership = membership_of(settings)
        video = self._video()
        # Before the publisher: a clip that is not there is told at once, and no subscriber hears of it.
        source = self._open_source()
        stack.callback(source.close)
        reception = open_reception(settings)
        if reception is not None:
            stack.callback(reception.close)
        is_enabled = reception is None or reception.is_unlocking_on
        publisher = open_publisher(
            settings, outbox_file(settings), write=self._options.write_event, is_enabled=is_enabled
        )
        stack.callback(_close_publisher, publisher)
        self._publisher = publisher
        if not source.is_live:
            self._on_camera(True, "")  # noqa: FBT003
        return _Opened(models, thresholds, index, source, publisher, reception, membership, video)

    def _outside(self, opened: _Opened, stack: contextlib.ExitStack, probation: Probation) -> Outside:
        """What the loop runs, and who works beside it."""
        models, publisher = opened.models, opened.publisher
        signals = Signals(lambda: publisher.is_enabled)
        parts = Parts(models.detector, models.embedder, opened.index, publisher, signals)
        context = context_of(self._settings, models.bundle)
        pipeline = Pipeline(parts, self._settings, opened.thresholds, context, self._health)
        describe = functools.partial(self._described, opened, probation)
        attendants = (*self._attendants(opened, describe, stack), probation.watch(self._health, self.restart))
        return Outside(
            opened.source, pipeline, publisher, self._health, self._service, refresh=opened.index.refresh,
            describe=describe, video=opened.video, attendants=attendants,
        )  # fmt: skip

    def _attendants(
        self, opened: _Opened, describe: Callable[[], dict[str, Any]], stack: contextlib.ExitStack
    ) -> tuple[Attendant, ...]:
        """Who works beside the stages: those always there, and those that the settings ask for."""
        settings, manifest = self._settings, opened.models.bundle.manifest
        retention = Retention(lambda: gallery_of(settings, manifest, create=False), settings.privacy)
        asked = (
            self._desk(opened),
            self._member(opened),
            open_metrics(settings, Subjects(self._health, opened.publisher, describe)),
        )
        optional = [one for one in asked if one is not None]
        for one in optional:
            stack.callback(one.close)
        return self._colours, Forgetting(opened.index, opened.publisher), retention, *optional

    def _desk(self, opened: _Opened) -> Desk | None:
        if opened.reception is None:
            return None
        refresh = functools.partial(opened.index.refresh, at_once=True)
        return opened.reception.desk(opened.publisher, opened.models, restart=self.restart, refresh=refresh)

    def _member(self, opened: _Opened) -> Sync | None:
        """People of the groups of this box."""
        if opened.membership is not None:
            manifest, index = opened.models.bundle.manifest, opened.index
            open_it = functools.partial(gallery_of, self._settings, manifest)
            self._sync = opened.membership.sync(opened.publisher, open_it, lambda: index.revision)
        return self._sync

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

    def _tell_ready(self, opened: _Opened, took_s: float) -> None:
        index, manifest = opened.index, opened.models.bundle.manifest
        log.info(
            "ready in %.2f s: bundle %s, embeddings enrolled: %d, camera %s",
            took_s, manifest.bundle_id, len(index.index), self._settings.camera.name,
        )  # fmt: skip
        if len(index.index) == 0:
            log.warning("nobody is enrolled: everybody will be unknown (ostiary enroll --name NAME PICTURE...)")
        self._service.ready(f"watching {self._settings.camera.name}")

    def _described(self, opened: _Opened, probation: Probation) -> dict[str, Any]:
        """What /health tells besides counters and timings."""
        index, manifest = opened.index, opened.models.bundle.manifest
        counters = getattr(self._source, "counters", {})
        self._health.counters["gallery_damaged_embeddings"] = index.index.refused_rows
        self._health.counters["gallery_not_matched"] = index.index.lacking
        self._health.counters["gallery_unreadable"] = int(bool(index.problem))
        self._health.counters["detections_dropped"] = opened.models.detector.dropped
        if self._sync is not None:
            self._health.counters.update(self._sync.counters())
        return {
            **({} if self._sync is None else {"sync": self._sync.describe()}),
            "gallery_revision": index.revision,
            "bundle_id": manifest.bundle_id,
            "embedder_id": manifest.embedder.embedder_id,
            "bundle": {"bundle_id": manifest.bundle_id, **probation.described()},
            "outbox": opened.publisher.outbox_state(),
            "camera": {"online": self._is_camera_online, "picture": self._picture(), "reopened": 0, **counters},
        }

    def _picture(self) -> str:
        """What the pictures say about the camera."""
        picture: str = getattr(self._source, "picture", "ok")
        return "colours_swapped" if picture == "ok" and self._colours.are_swapped else picture


def _close_publisher(publisher: Publisher) -> None:
    publisher.close()
    if depth := publisher.outbox_state()["depth"]:
        log.warning("%d event(s) could not be sent; the next run sends them on /history", depth)
