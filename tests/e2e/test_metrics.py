"""Prometheus asks the real daemon."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path

from tests.e2e.support import DaemonProcess, MjpegDoor, daemon
from tests.support.mosquitto import HOST, free_port, wait_for


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def value(text: str, name: str) -> float:
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_the_daemon_tells_prometheus_and_lets_go_of_the_port(tmp_path: Path) -> None:
    port = free_port()
    sections = {"metrics": {"enabled": True, "port": port}, "mqtt": {"enabled": False}}
    with MjpegDoor() as door, daemon(tmp_path / "box", camera={"uri": door.uri}, **sections) as running:
        wait_for(lambda: value(scraped(port), "ostiary_frames_total") > 3, "frames in the metrics")
        text = scraped(port)
        assert value(text, "ostiary_camera_online") == 1
        assert value(text, 'ostiary_stage_seconds_count{stage="detect"}') > 3
        second = DaemonProcess(tmp_path / "second", camera={"uri": door.uri}, **sections)
        second.start()
        assert second.ended() == 2
        assert f"metrics.port {port}: nobody can listen there" in second.log
        assert running.stop(signal.SIGTERM) == 0
    with daemon(tmp_path / "third", camera={"uri": door.uri}, **sections):
        assert "ostiary_build_info" in scraped(port)
