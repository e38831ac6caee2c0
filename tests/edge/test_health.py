from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.health import STAGES, WINDOW, Health, ServiceManager, StageClock, Timings, rss_bytes, temperature_c
from tests.support.schemas import validator

EXTRA: dict[str, Any] = {
    "gallery_revision": 3, "bundle_id": "b", "embedder_id": "e", "outbox": {"depth": 0, "dropped": 0},
    "camera": {"online": True, "reopened": 0},
    "bundle": {"bundle_id": "b", "version": None, "state": "confirmed", "previous": None, "reason": "", "since": None},
}  # fmt: skip


def test_the_report_is_the_contract() -> None:
    health = Health()
    health.counters["frames"] += 2
    for stage in STAGES:
        health.timings.add(stage, 1.5)
    report = health.report(EXTRA, {"events_published": 4})
    problems = [error.message for error in validator("health").iter_errors(json.loads(json.dumps(report)))]
    assert not problems
    assert report["counters"] == {"events_published": 4, "frames": 2}
    assert report["stages_ms"]["detect"] == {"p50": 1.5, "p95": 1.5}


def test_the_report_before_the_first_frame_is_the_contract() -> None:
    assert validator("health").is_valid(Health().report(EXTRA, {}))


def test_percentiles_of_the_newest() -> None:
    timings = Timings()
    for value in [1e6] * 10 + list(range(WINDOW)):
        timings.add("detect", float(value))
    expected = np.percentile(np.arange(WINDOW), (50, 95))
    assert timings.summary() == {
        "detect": {"p50": pytest.approx(expected[0], abs=1e-3), "p95": pytest.approx(expected[1], abs=1e-3)}
    }


def test_a_stage_entered_twice_is_added_up() -> None:
    timings = Timings()
    clock = StageClock(timings)
    clock.add("embed", 2.0)
    clock.add("embed", 3.0)
    with pytest.raises(KeyError), clock.stage("align"):
        raise KeyError
    assert timings.summary() == {}
    clock.finish()
    assert timings.summary()["embed"]["p50"] == 5.0
    assert timings.summary()["align"]["p50"] >= 0.0


def test_memory_is_that_of_this_process() -> None:
    # Two files of the kernel's, which count in batches of pages.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    resident = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
    assert abs(rss_bytes() - resident) < 5_000_000
    assert resident > 20_000_000


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({}, None),
        ({"0": "41500"}, 41.5),
        ({"0": "41500", "1": "48234\n"}, 48.2),
        ({"0": "hot", "1": "30000"}, 30.0),
        ({"0": ""}, None),
    ],
)
def test_the_hottest_zone(tmp_path: Path, zones: dict[str, str], expected: float | None) -> None:
    for number, text in zones.items():
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(text, encoding="ascii")
    (tmp_path / "thermal_zone9").mkdir()
    assert temperature_c(tmp_path) == expected


@pytest.fixture(params=["path", "abstract"])
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A datagram socket as systemd gives, and its address as NOTIFY_SOCKET spells it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@ostiary-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("\0" + address[1:] if address.startswith("@") else address)
        made.settimeout(5)
        yield made, address


def test_systemd_is_told(channel: tuple[socket.socket, str]) -> None:
    service = ServiceManager(channel[1])
    service.ready("watching door")
    service.alive()
    service.stopping()
    assert [channel[0].recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=watching door", b"WATCHDOG=1", b"STOPPING=1"]
    service.restarting()
    # What sd_notify(3) wants of a service that will say READY=1 again; STOPPING=1 would have it killed.
    state, moment, _ = channel[0].recv(100).split(b"\n")
    assert state == b"RELOADING=1"
    assert 0 < int(moment.removeprefix(b"MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_the_address_comes_from_the_environment(
    channel: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", channel[1])
    ServiceManager().alive()
    assert channel[0].recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here"])
def test_without_systemd_nothing_happens(address: str) -> None:
    ServiceManager(address).ready("x")
