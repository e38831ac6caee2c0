from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.config.settings import Metrics as MetricsSettings
from edge.config.settings import Settings
from edge.errors import ConfigError
from edge.health import STAGES, Health
from edge.metrics import GAUGES, HELP, PICTURES, Metrics, Subjects, open_metrics
from edge.publish.sender import COUNTERS
from edge.timebase import Clock
from tests.edge.test_loop import DESCRIPTION, Run, seeing, visit
from tests.support.fakes import RED
from tests.support.mosquitto import HOST, free_port
from tests.support.publishers import MemoryPublisher

CAMERA = {"online": True, "picture": "black", "reopened": 3, "frames": 9, "share": 0.5}
OUTBOX = {"depth": 4, "bytes": 900, "in_memory": 1, "dropped": 5, "dropped_too_old": 2, "dropped_refused": 3}
FULL: dict[str, Any] = {
    "gallery_revision": 3, "bundle_id": "b", "embedder_id": "e", "outbox": OUTBOX, "camera": CAMERA,
}  # fmt: skip
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def settings_at(port: int, host: str = HOST) -> Settings:
    return Settings(metrics=MetricsSettings(enabled=True, host=host, port=port))


def subjects(
    described: dict[str, Any] | None = None, *, health: Health | None = None, clock: Clock | None = None
) -> Subjects:
    return Subjects(health or Health(), MemoryPublisher(), lambda: described or FULL, clock or Clock())


@pytest.fixture
def opened() -> Iterator[Callable[..., Metrics]]:
    made: list[Metrics] = []

    def open_one(whose: Subjects | None = None) -> Metrics:
        made.append(Metrics(settings_at(free_port()), whose or subjects()))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def scrape(metrics: Metrics) -> str:
    connection = http.client.HTTPConnection(*metrics.address, timeout=10)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return text


def series(text: str) -> Series:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_off_by_default() -> None:
    assert open_metrics(Settings(), subjects()) is None


def test_everything_that_health_tells(opened: Callable[..., Metrics]) -> None:
    health = Health()
    health.counters.update(frames=7, gallery_unreadable=1, something_new=2, events_recognized=5, commands_stale=4)
    told = series(scrape(opened(subjects(health=health))))
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
        ("ostiary_frames_total", ()): 7, ("ostiary_gallery_unreadable", ()): 1, ("ostiary_something_new_total", ()): 2,
        ("ostiary_commands_refused_total", (("reason", "stale"),)): 4, ("ostiary_gallery_revision", ()): 3,
        ("ostiary_camera_online", ()): 1, ("ostiary_camera_reopened_total", ()): 3,
        ("ostiary_outbox_events", ()): 4, ("ostiary_outbox_bytes", ()): 900, ("ostiary_outbox_memory_events", ()): 1,
        ("ostiary_outbox_dropped_total", (("reason", "too_old"),)): 2,
        ("ostiary_outbox_dropped_total", (("reason", "refused"),)): 3,
        ("ostiary_broker_connected", ()): 1, ("ostiary_unlocking_enabled", ()): 1,
        ("ostiary_bundle_info", (("bundle_id", "b"), ("embedder_id", "e"))): 1,
        ("ostiary_device_info", (("camera", "door"), ("device", "door"))): 1,
        **{("ostiary_camera_picture", (("state", state),)): float(state == "black") for state in PICTURES},
    }  # fmt: skip
    assert {key: told.get(key) for key in expected} == expected
    assert "ostiary_camera_share_total" not in {name for name, _ in told}
    assert told["process_resident_memory_bytes", ()] > 20_000_000


def test_what_never_happened_is_told_as_zero(opened: Callable[..., Metrics]) -> None:
    told = series(scrape(opened()))
    names = {f"ostiary_{name}_total" for name in HELP}
    assert {name for name, _ in told} >= names
    assert all(told[name, ()] == 0 for name in names - {"ostiary_events_published_total"})


def test_a_publisher_that_knows_the_sum_of_drops_alone(opened: Callable[..., Metrics]) -> None:
    told = series(scrape(opened(subjects({**FULL, "outbox": {"depth": 0, "dropped": 5}}))))
    assert told["ostiary_outbox_dropped_total", (("reason", "any"),)] == 5


def test_what_goes_by_is_counted(opened: Callable[..., Metrics]) -> None:
    run = Run([*visit(5), *visit(5, RED, first=40)], seeing(10))
    metrics = opened(Subjects(run.house.health, run.publisher, lambda: DESCRIPTION, run.outside.clock))
    run.outside = replace(run.outside, attendants=(metrics,))
    run.start()
    told = series(scrape(metrics))
    events = {labels: value for (name, labels), value in told.items() if name == "ostiary_events_total"}
    assert {labels: value for labels, value in events.items() if value} == {
        (("allowed", "true"), ("reason", "allowed"), ("type", "recognized")): 1.0
    }
    assert told["ostiary_event_latency_seconds_count", ()] == 1
    counts = {stage: told["ostiary_stage_seconds_count", (("stage", stage),)] for stage in STAGES}
    assert (counts["capture"], counts["detect"], counts["decide"], counts["publish"]) == (10, 10, 10, 1)
    # As many as there were frames until the last reading, which is at most a second of the run's clock old.
    assert 5 <= told["ostiary_frames_total", ()] <= 10


def test_the_histogram_is_fed_in_seconds(opened: Callable[..., Metrics]) -> None:
    health = Health()
    metrics = opened(subjects(health=health))
    for milliseconds in (0.4, 30.0, 30.0, 5000.0):
        health.timings.add("detect", milliseconds)
    health.timings.add("a stage of its own", 1.0)
    told = series(scrape(metrics))
    stage = ("stage", "detect")
    assert told["ostiary_stage_seconds_sum", (stage,)] == pytest.approx(5.0604)
    buckets = {
        le: told["ostiary_stage_seconds_bucket", (("le", le), stage)] for le in ("0.0005", "0.05", "1.0", "+Inf")
    }
    assert buckets == {"0.0005": 1, "0.05": 3, "1.0": 3, "+Inf": 4}


def test_numbers_are_read_once_a_second(opened: Callable[..., Metrics]) -> None:
    now_ns = [0]
    health = Health()
    metrics = opened(subjects(health=health, clock=Clock(lambda: now_ns[0])))
    seen = []
    for second in (0.0, 0.9, 1.0, 1.5, 2.1):
        now_ns[0] = int(second * 1e9)
        health.counters["frames"] += 1
        metrics.tick()
        seen.append(metrics.reading.counters["frames"])
    assert seen == [1, 1, 3, 3, 5]


def test_nobody_is_named(opened: Callable[..., Metrics]) -> None:
    run = Run(visit(5), seeing(5))
    metrics = opened(Subjects(run.house.health, run.publisher, lambda: DESCRIPTION, run.outside.clock))
    run.outside = replace(run.outside, attendants=(metrics,))
    run.start()
    [told] = run.house.told
    assert told == ("recognized", "Ada")
    text = scrape(metrics)
    assert "Ada" not in text
    labels = {name for _, labels in series(text) for name, _ in labels}
    assert labels <= {
        "type", "allowed", "reason", "stage", "state", "le", "version", "python", "opencv", "bundle_id", "embedder_id",
        "device", "camera",
    }  # fmt: skip


def test_names_follow_the_conventions(opened: Callable[..., Metrics]) -> None:
    health = Health()
    health.counters.update(dict.fromkeys((*COUNTERS, *HELP, *GAUGES), 1))
    for family in text_string_to_metric_families(scrape(opened(subjects(health=health)))):
        assert re.fullmatch(r"(ostiary|process)_[a-z0-9_]+", family.name)
        assert family.documentation
        assert family.documentation[-1] == "."
        if family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{family.name}_total"}
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


@pytest.mark.parametrize(
    ("host", "key"), [(HOST, "metrics.port"), ("203.0.113.9", "metrics.host"), ("no such host", "metrics.host")]
)
def test_where_nobody_can_listen(host: str, key: str) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(ConfigError, match="nobody can listen there") as caught:
            Metrics(settings_at(taken.getsockname()[1], host), subjects())
    assert caught.value.where.startswith(f"{key} ")


def test_ipv6(opened: Callable[..., Metrics]) -> None:
    try:
        metrics = Metrics(settings_at(free_port(), "::1"), subjects())
    except ConfigError:
        pytest.skip("no IPv6 here")
    assert "ostiary_frames" in scrape(metrics) or "ostiary_camera_online" in scrape(metrics)
    metrics.close()


def test_the_thread_ends_and_the_port_is_free_again() -> None:
    port = free_port()
    before = threading.active_count()
    for _ in range(2):
        metrics = Metrics(settings_at(port), subjects())
        scrape(metrics)
        metrics.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "said", [b"", b"\x00\xff\r\n\r\n", b"GET " + b"x" * 70_000 + b"\r\n", b"POST /metrics HTTP/1.1\r\n\r\n"]
)
def test_a_strange_client_disturbs_nobody(opened: Callable[..., Metrics], said: bytes) -> None:
    metrics = opened()
    with socket.create_connection(metrics.address) as strange:
        strange.sendall(said)
        strange.shutdown(socket.SHUT_WR)
        strange.settimeout(10)
        while strange.recv(65_536):
            pass
    assert "ostiary_camera_online" in scrape(metrics)


def test_a_silent_client_does_not_hold_up_the_end() -> None:
    metrics = Metrics(settings_at(free_port()), subjects())
    with socket.create_connection(metrics.address):
        metrics.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(metrics.address, timeout=5)
