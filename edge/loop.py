"""What the daemon does with every frame, and between frames: stages, presence, snapshot, health, annotated video."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2

from edge.annotate import KNOWN, REFUSED, UNDECIDED, UNKNOWN, Mark, VideoWriter, annotated
from edge.config.settings import Settings
from edge.datatypes import Box, Frame, Image
from edge.errors import ModelError, OstiaryError, SourceError
from edge.event import Event
from edge.health import Health, ServiceManager
from edge.interfaces import FrameSource
from edge.pipeline import FrameResult, Pipeline
from edge.publish import Publisher
from edge.timebase import Clock

FAULT_BUDGET = 10
"""So many frames may fail within FAULT_WINDOW_S before the daemon gives up and leaves the rest to the service manager."""
FAULT_WINDOW_S = 60.0
COLOURS = {"undecided": UNDECIDED, "unknown": UNKNOWN, "refused": REFUSED, "allowed": KNOWN}
SNAPSHOT_MARGIN = 0.4
"""Room around the face in a snapshot, as a share of its size."""

log = logging.getLogger(__name__)


class Attendant(Protocol):
    """Somebody who works beside the stages, in their thread: commands, retention, metrics. Must be quick."""

    def seen(self, result: FrameResult) -> None:
        """A frame went through all stages."""

    def tick(self) -> None:
        """Called after every frame, and several times a second without any."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything that a loop talks to."""

    source: FrameSource
    pipeline: Pipeline
    publisher: Publisher
    health: Health
    service: ServiceManager
    refresh: Callable[[], object]
    """Called often: picks up what other processes change in the gallery."""
    describe: Callable[[], dict[str, Any]]
    """What goes into /health besides counters and timings."""
    video: VideoWriter | None = None
    attendants: tuple[Attendant, ...] = ()
    clock: Clock = Clock()


class Loop:
    """Runs until the source has ended. One thread."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._settings = settings
        self._outside = outside
        self._is_present = False
        self._health_due_s = 0.0
        self._progress = 0
        self._faults: deque[float] = deque(maxlen=FAULT_BUDGET)

    def until_end(self, is_stopping: Callable[[], bool]) -> None:
        """Every frame, until the source ends or somebody stops us. SourceError when a file cannot be read on."""
        try:
            self._watch(is_stopping)
        except SourceError:
            # What was seen until then still counts.
            self._end()
            raise
        finally:
            if self._outside.video is not None:
                self._outside.video.close()
        self._end()

    def _watch(self, is_stopping: Callable[[], bool]) -> None:
        while not is_stopping():
            try:
                frame = self._outside.source.read()
            except SourceError as error:
                # A live source says so itself, once, and tries again; between two tries the world goes on.
                if not (self._outside.source.is_live and error.retryable):
                    raise
                self._note_progress()
                self._tick()
                continue
            if frame is None:
                break
            self._take(frame)
            # Not held while the next one is decoded: at 1080p a frame is 6 MB.
            del frame
            self._tick()

    def _take(self, frame: Frame) -> None:
        try:
            result = self._outside.pipeline.process(frame)
            self._show(result)
            for attendant in self._outside.attendants:
                attendant.seen(result)
        except ModelError as error:
            # One odd face must not be able to turn the daemon off.
            self._note_fault("frame %d failed: %s", frame.index, error)
        except (OstiaryError, BrokenPipeError):
            # Nobody reads our events any more: that is no fault of the frame.
            raise
        except Exception:  # noqa: BLE001 - logged, counted, and borne only so often
            # The one broad catch: a frame that breaks a stage must not end the daemon, but a broken stage must.
            self._note_fault("frame %d failed", frame.index, exc_info=True)
        else:
            self._outside.service.alive()

    def _note_progress(self) -> None:
        """A camera that is away must not get a daemon killed that tries again and again; one that hangs tries nothing."""
        progress = self._outside.source.progress
        if progress != self._progress:
            self._progress = progress
            self._outside.service.alive()

    def _note_fault(self, text: str, *values: object, exc_info: bool = False) -> None:
        self._outside.health.counters["frames_failed"] += 1
        log.error(text, *values, exc_info=exc_info)
        self._spend_fault_budget()

    def _spend_fault_budget(self) -> None:
        now = self._now_ns() / 1e9
        self._faults.append(now)
        if len(self._faults) == FAULT_BUDGET and now - self._faults[0] < FAULT_WINDOW_S:
            hint = "The log has each of them; please report it."
            raise OstiaryError(f"{FAULT_BUDGET} frames failed within {FAULT_WINDOW_S:g} s", hint=hint)

    def _show(self, result: FrameResult) -> None:
        for event in result.events:
            decision = event.decision
            log.info("%s", describe_event(event))
            # Of a visitor who has left, this frame shows nothing.
            if self._settings.publish.snapshot and decision.captured_ns == result.frame.captured_ns:
                self._outside.publisher.snapshot(
                    snapshot_jpeg(result.frame.image, decision.box, self._settings.publish.snapshot_px)
                )
        if self._outside.video is not None:
            self._outside.video.write(annotated(result.frame.image, self._marks(result)))

    def _marks(self, result: FrameResult) -> list[Mark]:
        pipeline = self._outside.pipeline
        return [Mark(track.box, pipeline.label(track), COLOURS[pipeline.standing(track)]) for track in result.tracks]

    def _tick(self) -> None:
        self._outside.refresh()
        for attendant in self._outside.attendants:
            attendant.tick()
        self._tell_presence()
        now = self._now_ns() / 1e9
        if now >= self._health_due_s:
            self._health_due_s = now + self._settings.publish.health_interval_s
            self._tell_health()

    def _tell_presence(self) -> None:
        seen = self._outside.pipeline.last_seen_ns
        is_present = seen is not None and self._now_ns() - seen < self._settings.publish.presence_off_after_s * 1e9
        if is_present != self._is_present:
            self._is_present = is_present
            self._outside.publisher.presence(is_present=is_present)

    def _now_ns(self) -> int:
        return self._outside.clock.monotonic_ns()

    def _tell_health(self) -> None:
        self._outside.publisher.health(
            self._outside.health.report(self._outside.describe(), self._outside.publisher.counters())
        )

    def _end(self) -> None:
        for event in self._outside.pipeline.finish():
            log.info("%s", describe_event(event))
        self._tell_health()


def describe_event(event: Event) -> str:
    """For the log: who, whether the door may open, how sure, and why."""
    decision, who = event.decision, "somebody"
    if decision.identity is not None:
        who = f"{decision.identity.name}, {'allowed' if event.verdict.allowed else 'refused: ' + event.verdict.reason}"
    return (
        f"{decision.event_type}: {who} (track {decision.track_id}, similarity {decision.similarity:.3f}, "
        f"margin {decision.margin:.3f}, {decision.frames} frames, quality {decision.quality:.2f})"
    )


def snapshot_jpeg(image: Image, box: Box, longest_px: int) -> bytes:
    """The face with some room around it as JPEG, its longer side at most `longest_px`."""
    room = SNAPSHOT_MARGIN * box.side
    wide = Box(box.x1 - room, box.y1 - room, box.x2 + room, box.y2 + room).clipped(image.shape[1], image.shape[0])
    x1, y1, x2, y2 = (round(value) for value in wide)
    # At least one pixel, however far outside the box lies.
    x1, y1 = min(x1, image.shape[1] - 1), min(y1, image.shape[0] - 1)
    part = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    scale = min(1.0, longest_px / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    _, data = cv2.imencode(".jpg", cv2.resize(part, size, interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()
