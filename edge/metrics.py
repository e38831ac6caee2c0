"""Numbers for Prometheus, over HTTP, by its official client: off unless metrics.enabled.

Names follow the conventions of Prometheus: base units, and `_total` for what only grows. Labels hold kinds, reasons and
stages, never the name or id of a person. What lasts is kept as histograms, because percentiles of several boxes, or of
several hours, cannot be put together again.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

from edge import __version__
from edge.config.settings import Settings
from edge.errors import MissingDependencyError
from edge.health import STAGES, Health, temperature_c
from edge.pipeline import FrameResult
from edge.publish import Publisher
from edge.timebase import Clock

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

FRESH_NS = 1_000_000_000
"""A scrape sees numbers at most so old: the thread that runs the stages reads them, between two frames."""
STAGE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""From what deciding takes to where whoever stands at the door gets impatient."""
EVENT_BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 1.0, 2.0)
PICTURES = ("ok", "black", "frozen", "colours_swapped")
"""What docs/schemas/health.schema.json knows of a camera's picture."""

GAUGES = {
    "gallery_damaged_embeddings": "Embeddings that cannot be read, and are not used.",
    "gallery_not_matched": "People without an embedding of the embedder in use.",
    "gallery_unreadable": "1 while the gallery cannot be read.",
}
"""Those of the counters in /health that may fall."""
TOLD_BY_LABEL = {"events_recognized", "events_unknown", "events_spoof_suspected", "events_allowed"}
"""ostiary_events_total has them."""
USUAL = (("recognized", "true", "allowed"), ("unknown", "false", "not_recognized"))
"""Told from the start, because a rate needs the zero that comes before the first one."""
NO_REFUSALS = {"commands_ignored", "commands_obeyed", "commands_journal_damaged"}
HELP = {
    "camera_offline": "Times the camera went away.",
    "commands_ignored": "Messages on command topics that were not acted on.",
    "commands_obeyed": "Commands carried out.",
    "connection_failures": "Connections to the broker that failed.",
    "connections": "Connections to the broker.",
    "detections_dropped": "Detections without sense, or too many.",
    "embeddings": "Faces embedded.",
    "events_published": "Live events that the broker has acknowledged.",
    "events_refused": "Events that the broker refused.",
    "events_replayed": "Late events that the broker has acknowledged, on /history.",
    "faces": "Faces found, frame by frame.",
    "frames": "Frames that got through all stages.",
    "frames_failed": "Frames that broke a stage.",
}


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whose numbers these are."""

    health: Health
    publisher: Publisher
    describe: Callable[[], Mapping[str, Any]]
    """As in edge.loop.Outside."""
    clock: Clock = Clock()


@dataclass(frozen=True, slots=True)
class Reading:
    """All numbers of one moment."""

    counters: Mapping[str, int]
    described: Mapping[str, Any]
    is_connected: bool
    is_enabled: bool
    is_synced: bool


def open_metrics(settings: Settings, subjects: Subjects) -> Metrics | None:
    """None unless metrics.enabled. ConfigError where nobody can listen, MissingDependencyError without the client."""
    return Metrics(settings, subjects) if settings.metrics.enabled else None


class Metrics:
    """An attendant of the loop: it counts what goes by, and lets Prometheus read that from a thread of its own."""

    def __init__(self, settings: Settings, subjects: Subjects) -> None:
        """As `open_metrics`."""
        try:
            import prometheus_client as client
        except ImportError as error:
            raise MissingDependencyError("prometheus-client", extra="metrics", purpose="metrics.enabled") from error
        # Each series would get a second one, with the time of its first use.
        client.disable_created_metrics()  # type: ignore[no-untyped-call]
        from edge.metrics_server import MetricsServer

        self._subjects = subjects
        self._due_ns = 0
        self.reading = self._read()
        self.registry = client.CollectorRegistry()
        client.ProcessCollector(registry=self.registry)
        self._make_instruments()
        names = {"device": settings.device.name, "camera": settings.camera.name}
        self.registry.register(_Collector(names, lambda: self.reading))
        self._server = MetricsServer(settings.metrics, self.registry)
        subjects.health.timings.listen(self._on_stage)

    def _make_instruments(self) -> None:
        from prometheus_client import Counter, Histogram

        self._events = Counter(
            "ostiary_events", "Events told, by what they are and whether a door may open.",
            ("type", "allowed", "reason"), registry=self.registry,
        )  # fmt: skip
        for labels in USUAL:
            self._events.labels(*labels)
        self._latency = Histogram(
            "ostiary_event_latency_seconds", "From the picture until its event was stored and on its way.",
            buckets=EVENT_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        stages = Histogram(
            "ostiary_stage_seconds", "What a stage took of one frame; for capture, how old the frame was by then.",
            ("stage",), buckets=STAGE_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._stages = {stage: stages.labels(stage) for stage in STAGES}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._server.address

    def seen(self, result: FrameResult) -> None:
        """Count what was decided."""
        for event in result.events:
            allowed = "true" if event.verdict.allowed else "false"
            self._events.labels(event.decision.event_type, allowed, event.verdict.reason).inc()
            # Somebody who has left is decided by an older picture: that is no delay.
            if event.decision.captured_ns == result.frame.captured_ns:
                waited_ns = self._subjects.clock.monotonic_ns() - event.decision.captured_ns
                self._latency.observe(max(0, waited_ns) / 1e9)

    def tick(self) -> None:
        """Read all numbers anew, about once a second."""
        now_ns = self._subjects.clock.monotonic_ns()
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + FRESH_NS
            self.reading = self._read()

    def close(self) -> None:
        """Nobody can ask any more."""
        self._subjects.health.timings.listen(None)
        self._server.close()

    def _read(self) -> Reading:
        subjects = self._subjects
        # First: it brings some of the counters up to date.
        described = subjects.describe()
        return Reading(
            counters={**subjects.health.counters, **subjects.publisher.counters()},
            described=described,
            is_connected=subjects.publisher.is_connected,
            is_enabled=subjects.publisher.is_enabled,
            is_synced=subjects.clock.is_synced(),
        )

    def _on_stage(self, stage: str, milliseconds: float) -> None:
        instrument = self._stages.get(stage)
        if instrument is not None:
            instrument.observe(milliseconds / 1e3)


class _Collector:
    """Turns a reading into metrics whenever Prometheus asks."""

    def __init__(self, names: dict[str, str], reading: Callable[[], Reading]) -> None:
        self._names = names
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """Called by the registry, in the server's thread."""
        reading = self._reading()
        yield from self._infos(reading)
        yield from _of_the_box(reading)
        yield from _of_counters(reading.counters)
        yield from _of_the_camera(reading.described.get("camera", {}))
        yield from _of_the_outbox(reading.described.get("outbox", {}))

    def describe(self) -> list[Metric]:
        """Nothing is asked of us while we are registered."""
        return []

    def _infos(self, reading: Reading) -> Iterator[Metric]:
        from prometheus_client.core import InfoMetricFamily

        build = {"version": __version__, "python": platform.python_version(), "opencv": cv2.__version__}
        yield InfoMetricFamily("ostiary_build", "What runs here.", value=build)
        yield InfoMetricFamily("ostiary_device", "Which door this is.", value=self._names)
        bundle = {name: str(reading.described.get(name, "")) for name in ("bundle_id", "embedder_id")}
        yield InfoMetricFamily("ostiary_bundle", "The models in use.", value=bundle)


def _gauge(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"ostiary_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"ostiary_{name}", text, value=float(value))


def _by_label(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    made = CounterMetricFamily(f"ostiary_{name}", text, labels=(label,))
    for key, value in sorted(values.items()):
        made.add_metric((key,), float(value))
    return made


def _of_the_box(reading: Reading) -> Iterator[Metric]:
    yield _gauge("broker_connected", "1 while the broker has us.", reading.is_connected)
    yield _gauge("unlocking_enabled", "1 while this box may open doors.", reading.is_enabled)
    yield _gauge("clock_synced", "1 while a time service keeps the clock right.", reading.is_synced)
    yield _gauge("gallery_revision", "Grows with every change of the gallery.", reading.described["gallery_revision"])
    temperature = temperature_c()
    if temperature is not None:
        yield _gauge("temperature_celsius", "Hottest thermal zone of the box.", temperature)


def _of_counters(counters: Mapping[str, int]) -> Iterator[Metric]:
    refused = {}
    # As with USUAL.
    for name, value in sorted({**dict.fromkeys(HELP, 0), **counters}.items()):
        if name in GAUGES:
            yield _gauge(name, GAUGES[name], value)
        elif name.startswith("commands_") and name not in NO_REFUSALS:
            refused[name.removeprefix("commands_")] = value
        elif name not in TOLD_BY_LABEL:
            yield _counter(name, HELP.get(name, f"{name} of /health."), value)
    yield _by_label("commands_refused", "Commands refused, by reason.", "reason", refused)


def _of_the_camera(camera: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    yield _gauge("camera_online", "1 while the camera gives frames.", bool(camera.get("online")))
    states = GaugeMetricFamily("ostiary_camera_picture", "1 for what the picture looks like.", labels=("state",))
    for state in PICTURES:
        states.add_metric((state,), float(camera.get("picture", "ok") == state))
    yield states
    for name, value in sorted(camera.items()):
        if isinstance(value, int) and name != "online":
            yield _counter(f"camera_{name}", f"camera.{name} of /health.", value)


def _of_the_outbox(outbox: Mapping[str, int]) -> Iterator[Metric]:
    yield _gauge("outbox_events", "Events that wait for the broker.", outbox.get("depth", 0))
    yield _gauge("outbox_bytes", "What they take on disk.", outbox.get("bytes", 0))
    yield _gauge("outbox_memory_events", "Those that the disk would not take.", outbox.get("in_memory", 0))
    reasons = {name.removeprefix("dropped_"): value for name, value in outbox.items() if name.startswith("dropped_")}
    # One publisher knows the sum alone.
    dropped = reasons or {"any": outbox.get("dropped", 0)}
    yield _by_label("outbox_dropped", "Events dropped since the outbox was made.", "reason", dropped)
