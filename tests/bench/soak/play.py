"""The whole soak: broker, daemon, conductor and watcher, from the first frame to the last."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.demo.broker import free_port
from tests.bench.doorway import make_box, running, start_daemon
from tests.bench.soak.conductor import Conductor
from tests.bench.soak.day import Day, Sample, Watcher
from tests.bench.soak.stage import Clock, minute_of, number_at
from tests.support.mosquitto import HOST, mosquitto, subscriber

MAX_EVENTS = 60
STUCK_S = 120.0
"""The daemon has stopped when it takes no frame for so long."""
SETTINGS: dict[str, Any] = {
    "device": {"name": "front"},
    "camera": {"name": "porch", "stall_s": 0.5, "frozen_s": 1.0, "black_s": 1.0},
    "detect": {"width_px": 128},
    "publish": {"snapshot": True, "presence_off_after_s": 0.3, "health_interval_s": 0.5},
    "outbox": {"max_events": MAX_EVENTS},
    "logging": {"level": "warning"},
}


@dataclass(frozen=True, slots=True)
class Play:
    """What came of it."""

    day: Day
    samples: list[Sample]
    done: Counter[str]
    log: str


def soak(folder: Path, hours: float, *, every_s: float = 1.0, tell: Callable[[str], None] = lambda _: None) -> Play:
    """Play so many simulated hours; `tell` hears of every tenth of them."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = ("allow_anonymous true", "persistence true", f"persistence_location {folder}/broker/")
    with mosquitto(folder / "broker", *kept) as broker, subscriber(broker.port, is_checking=False) as listening:
        port = free_port()
        settings = {
            **SETTINGS,
            "metrics": {"enabled": True, "port": port},
            "mqtt": {"host": HOST, "port": broker.port, "event_ttl_s": 1.0, "keepalive_s": 2},
        }
        box, clock, total = make_box(folder / "box", settings, people=1), Clock(folder / "clock"), number_at(hours * 60)
        day = Day(MAX_EVENTS)
        conductor = Conductor(box, broker, listening, day, hours)
        program = ("tests.bench.soak.daemon", "--hours", str(hours), "--clock", str(folder / "clock"))
        process = start_daemon(box, "-m", *program)
        watcher = Watcher(process.pid, day, port, every_s=every_s)
        told, moved_s, before = 1, time.monotonic(), -1
        with running(process):
            while process.poll() is None:
                limit = number_at(min(conductor.next_minute, hours * 60))
                clock.set_limit(limit)
                newest = clock.newest()
                minute = minute_of(newest)
                if limit <= newest < total:
                    conductor.act()
                if newest != before:
                    before, moved_s = newest, time.monotonic()
                elif time.monotonic() - moved_s > STUCK_S:
                    raise SystemExit(
                        f"no frame for {STUCK_S:g} s at minute {minute:.1f}:\n{box.log.read_text('utf-8')[-4000:]}"
                    )
                day.hear(listening)
                if newest < total:
                    watcher.look(minute)
                if minute >= told * hours * 6:
                    told += 1
                    tell(str(watcher.samples[-1]))
                time.sleep(0.02)
            day.exit_code = process.wait()
        time.sleep(0.5)
        day.hear(listening)
    return Play(day, watcher.samples, conductor.done, box.log.read_text(encoding="utf-8"))
