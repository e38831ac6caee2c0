"""What tests.bench.sync watches: the broker's process, the simulated boxes, and what one cause led to."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.data import ROOT
from tests.support.mosquitto import Mosquitto, Subscriber

GIVE_UP_S = 2400.0
Row = dict[str, Any]


def tell(row: Row) -> None:
    """A line of JSON, at once."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


@dataclass(slots=True)
class Phase:
    """What one cause led to."""

    name: str
    began: float
    rows: list[Row] = field(default_factory=list)
    """A row of each box that agreed."""
    cost: Row = field(default_factory=dict)

    def seconds(self) -> np.ndarray[Any, Any]:
        """When each box agreed, sorted."""
        return np.sort([row["at"] - self.began for row in self.rows])

    def summary(self) -> Row:
        """For the table."""
        took = self.seconds()
        p50, p99 = np.percentile(took, (50, 99))
        numbers = {"boxes": len(took), "p50_s": p50, "p99_s": p99, "last_s": took[-1], **self.cost}
        return {"phase": self.name} | {key: round(float(value), 3) for key, value in numbers.items()}


class Meter:
    """CPU time, memory and bytes of the broker, also over time."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.samples: list[tuple[float, float, float]] = []
        """Moment, CPU seconds so far, resident bytes."""
        self._sent = self._sent_before = 0
        self._lock = threading.Lock()
        self._system: Subscriber | None = None
        threading.Thread(target=self._sample, daemon=True).start()

    def listen(self) -> None:
        """To $SYS of a broker that has just started; what an earlier one has sent is kept."""
        if self._system is not None:
            with contextlib.suppress(Exception):
                self._system.leave()
        self._sent_before += self._sent
        self._sent = 0
        self._system = Subscriber(self._broker.port, "$SYS/broker/bytes/sent", is_checking=False)

    def cpu_s(self) -> float:
        """Of the process that runs now."""
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sent(self) -> int:
        """Bytes to all clients, as the broker told last."""
        assert self._system is not None
        if self._system.heard:
            self._sent = int(self._system.heard[-1].payload)
        return self._sent_before + self._sent

    def peak_bytes(self, since: float) -> float:
        """Largest resident memory."""
        return max((row[2] for row in self.samples if row[0] >= since), default=0.0)

    @property
    def _pid(self) -> int:
        process = self._broker._process
        assert process is not None
        return process.pid

    def _sample(self) -> None:
        while True:
            with contextlib.suppress(OSError, AssertionError, ValueError, IndexError):
                status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii")
                resident = int(status.partition("VmRSS:")[2].split()[0]) * 1024.0
                self.samples.append((time.monotonic(), self.cpu_s(), resident))
            time.sleep(0.5)


class Swarm:
    """The simulated boxes, in as many processes as there are cores."""

    def __init__(self, port: int, keys: Path, boxes: int, ramp_s: float) -> None:
        self.rows: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self.processes = []
        parts = min(boxes, os.cpu_count() or 1)
        for part in range(parts):
            count = boxes // parts + (part < boxes % parts)
            command = [sys.executable, "-m", "tests.bench.swarm", "--port", str(port), "--count", str(count)]
            command += ["--first", str(part * 100_000), "--keys", str(keys), "--ramp", str(ramp_s)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            self.processes.append(process)
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.rows.put(json.loads(line))

    def await_all(self, phase: Phase, boxes: int, revision: int, connection: int = 0) -> None:
        """Until every box agrees with that head (on that connection, or a later one)."""
        seen: set[str] = set()
        until = time.monotonic() + GIVE_UP_S
        while len(seen) < boxes:
            row = self.rows.get(timeout=max(0.1, until - time.monotonic()))
            is_it = row["revision"] == revision and row["connection"] >= connection
            if is_it and row["box"] not in seen:
                seen.add(row["box"])
                phase.rows.append(row)
                if len(seen) % 100 == 0 or len(seen) == boxes:
                    tell(
                        {
                            "phase": phase.name,
                            "boxes": len(seen),
                            "at_s": round(row["at"] - phase.began, 1),
                            "messages": row["messages"],
                        }
                    )

    def cpu_s(self) -> float:
        """Of all of them."""
        total = 0.0
        for process in self.processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
