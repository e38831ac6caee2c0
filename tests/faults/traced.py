"""System calls of a fork, as strace shows them: logged, cut at any of them, and judged by what a power cut would leave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "open",
    "openat",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "ftruncate",
    "truncate",
    "fchmod",
    "chmod",
    "fchmodat",
    "fchown",
    "chown",
    "fchownat",
    "sendfile",
    "copy_file_range",
)
WRITES = {"open", "openat", "creat", "write", "pwrite64", "writev", "ftruncate", "sendfile", "copy_file_range"}
NAMES = ("rename", "mkdir", "symlink", "unlink", "rmdir", "link", "open", "creat")
PATIENCE_S = 60.0
_LINE = re.compile(r"^\d+ +(\w+)\((.*)(?:\) += \S+.*| <unfinished \.\.\.>)$")
"""What another thread interrupts is shown in two lines: the first has all that is asked here."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call of a log."""

    name: str
    number: int
    """Of its kind, from 1."""
    text: str
    """Arguments as strace shows them, descriptors with their paths."""

    @property
    def paths(self) -> list[str]:
        """Of arguments and descriptors, but for the folder that relative names would begin in: there are none."""
        text = re.sub(r"AT_FDCWD<[^>]*>", "", self.text)
        return [quoted or held for quoted, held in re.findall(r'"(/[^"]*)"|<(/[^>]*)>', text)]

    def changes(self, folder: Path) -> bool:
        if self.name in {"open", "openat"} and not re.search("O_CREAT|O_WRONLY|O_RDWR|O_TRUNC", self.text):
            return False
        return any(Path(path).is_relative_to(folder) for path in self.paths)


def traced(log: Path, steps: Sequence[Callable[[], object]], *inject: str) -> tuple[int, list[Call], int]:
    """Fork, attach, and do the steps: wait status, system calls, and how many steps were done."""
    go_read, go_write = os.pipe()
    done_read, done_write = os.pipe()
    child = os.fork()
    if child == 0:
        _work(steps, go_read, done_write)
    os.close(done_write)
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-p", str(child)]
    command += ["-e", "trace=" + ",".join(f"?{name}" for name in CALLS)]
    command += [word for one in inject for word in ("-e", f"inject={one}")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
        _await_tracer(child, tracer)
        os.write(go_write, b"!")
        _, status = os.waitpid(child, 0)
        tracer.wait(PATIENCE_S)
    with os.fdopen(done_read, "rb") as told:
        done = len(told.read())
    for descriptor in (go_read, go_write):
        os.close(descriptor)
    return status, list(read_calls(log)), done


def _work(steps: Sequence[Callable[[], object]], go: int, done: int) -> None:
    code = 1
    try:
        os.read(go, 1)
        for step in steps:
            step()
            os.write(done, b".")
        code = 0
    finally:
        os._exit(code)


def _await_tracer(child: int, tracer: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and tracer.poll() is None:
        text = Path(f"/proc/{child}/status").read_text(encoding="ascii")
        if (found := re.search(r"TracerPid:\s+(\d+)", text)) and found[1] == str(tracer.pid):
            return
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    raise RuntimeError("strace does not attach")


def read_calls(log: Path) -> Iterator[Call]:
    """In the order in which they were begun."""
    counts: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if found := _LINE.match(line):
            counts[found[1]] += 1
            yield Call(found[1], counts[found[1]], found[2])


def order_faults(calls: Sequence[Call], folder: Path) -> list[str]:
    """What a power cut could leave half-made: names that reach the disk before what they name, or in another order than they were given."""
    disk = _Disk(folder)
    for call in calls:
        if call.changes(folder):
            disk.take(call)
    waiting = sorted(
        path for path in disk.files | disk.folders if Path(path).is_relative_to(folder) and "/." not in path
    )
    return disk.faults + ([f"never brought to disk: {', '.join(waiting)}"] if waiting else [])


class _Disk:
    """What the kernel has and the disk has not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.faults: list[str] = []

    def take(self, call: Call) -> None:
        first, last = call.paths[0], call.paths[-1]
        if call.name in WRITES:
            self.files.add(last)
        elif call.name in {"fsync", "fdatasync"}:
            self.files.discard(first)
            self.folders.discard(first)
        elif call.name.startswith("rename"):
            self._check(first, last)
        if call.name.startswith(NAMES):
            # What is hidden is nobody's until it is renamed.
            seen = [
                path for path in (first, last) if call.name.startswith("rename") or not Path(path).name.startswith(".")
            ]
            self.folders |= {str(Path(path).parent) for path in seen}

    def _check(self, first: str, last: str) -> None:
        held = sorted(path for path in self.files | self.folders if Path(path).is_relative_to(first))
        if held:
            self.faults.append(f"{last} is named before {', '.join(held)} is on disk")
        if str(self._folder) in self.folders and Path(last).parent == self._folder:
            self.faults.append(f"{last} is named before other names of the folder are on disk")
