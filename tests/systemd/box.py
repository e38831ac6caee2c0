"""A box to install on: the real service manager as process 1 of namespaces of its own, with the real units.

What it needs is root, namespaces, overlayfs and a cgroup2 hierarchy; a test is skipped, with the reason, where one is
missing. Its network is the machine's, so that a broker of the test is a broker of the box. Memory and process limits
hold only where cgroup2 has those controllers.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.data import ROOT
from tests.support.mosquitto import wait_for

HERE = Path(__file__).parent
UNITS = ROOT / "systemd"
PROGRAMS = ("unshare", "nsenter", "setpriv", "systemctl", "journalctl", "systemd-sysusers", "systemd-tmpfiles")
PROPERTIES = "MainPID,ActiveState,SubState,Result,ExecMainStatus,NRestarts,InvocationID"
_STAGE = "[Unit]\nDescription={0}\nDefaultDependencies=no\n"
_EMPTY = ("sysinit.target", "basic.target", "network-online.target", "time-sync.target", "shutdown.target")
_PYTHON = """#!/bin/sh
export PYTHONPATH=/usr/lib/ostiary/app:/usr/lib/ostiary/site PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH={libraries}
exec /usr/lib/ostiary/python/bin/{python} "$@"
"""
_OSTIARY = """#!/bin/sh
exec /usr/lib/ostiary/bin/python -m edge "$@"
"""


class Box:
    """Runs from `start` until `stop`."""

    boot = HERE / "boot.sh"
    """Makes the box around its folder."""

    def __init__(self, folder: Path) -> None:
        _skip_unless_possible()
        self.folder = folder
        """Seen inside as /run/box."""
        self._cgroup = _cgroup_root() / f"ostiary-box-{os.getpid()}-{folder.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def start(self) -> None:
        """Skips the test where this machine does not let a service manager start."""
        self._furnish()
        self._cgroup.mkdir()
        environment = {
            **os.environ,
            "BOX_SITE": sysconfig.get_paths()["purelib"], "BOX_PYTHON": sys.base_prefix, "BOX_APP": str(self.folder / "app"),
        }  # fmt: skip
        flags = ["--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts", "--cgroup", "--kill-child=KILL"]
        command = f'echo $$ > "$1/cgroup.procs"; shift; exec unshare {" ".join(flags)} sh "$@"'
        with (self.folder / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", command, "sh", str(self._cgroup), str(self.boot), str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        wait_for(self._is_up_or_dead, "a service manager")
        if self._process.poll() is not None:
            reason = (self.folder / "boot.log").read_text(errors="replace").strip()[-300:]
            self.stop()
            pytest.skip(f"no service manager starts here: {reason}")

    def _furnish(self) -> None:
        units = self.folder / "units"
        units.mkdir(parents=True)
        for name in ("ostiary.service", "ostiary@.service"):
            shutil.copy(UNITS / name, units)
        for name in _EMPTY:
            (units / name).write_text(_STAGE.format(name))
        (units / "box.target").write_text(_STAGE.format("box") + "Wants=systemd-journald.service\n")
        for name in ("ostiary.sysusers", "ostiary.tmpfiles", "ostiaryctl"):
            shutil.copy(UNITS / name, self.folder)
        shutil.copy(HERE / "probe.py", self.folder)
        shutil.copytree(ROOT / "edge", self.folder / "app" / "edge", ignore=shutil.ignore_patterns("__pycache__"))
        python = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable))).name
        libraries = "/usr/lib/ostiary/python/lib" if sysconfig.get_config_var("Py_ENABLE_SHARED") else ""
        (self.folder / "python").write_text(_PYTHON.format(python=python, libraries=libraries))
        (self.folder / "ostiary").write_text(_OSTIARY)

    def _is_up_or_dead(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._pid = int(children[0]) if children else 0
        # `degraded` would be a unit of the test's own that failed.
        return bool(self._pid) and self.run("systemctl", "is-system-running").stdout.strip() == "running"

    def run(self, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """A program inside, as root; whatever it ends with."""
        inside = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--wd=/"]
        return subprocess.run([*inside, *map(str, command)], capture_output=True, text=True, check=False, **options)

    def ostiaryctl(self, *arguments: object) -> str:
        """What it says; it has to succeed."""
        done = self.run("sh", "/run/box/ostiaryctl", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, path: str, text: str, mode: int = 0o640, group: str = "ostiary") -> None:
        """A file inside, root's own."""
        script = 'mkdir -p "$(dirname "$0")"; umask 077; cat > "$0" && chgrp "$1" "$0" && chmod "$2" "$0"'
        done = self.run("sh", "-c", script, path, group, f"{mode:o}", input=text)
        assert done.returncode == 0, done.stderr

    def drop_in(self, unit: str, text: str) -> None:
        """Lines over those of the unit."""
        self.write(f"/run/systemd/system/{unit}.d/box.conf", text, 0o644, "root")
        self.run("systemctl", "daemon-reload")

    def start_unit(self, unit: str) -> subprocess.CompletedProcess[str]:
        """Until it is ready, or has failed."""
        self.run("systemctl", "reset-failed", unit)
        return self.run("systemctl", "start", unit)

    def show(self, unit: str) -> dict[str, str]:
        """What became of it."""
        said = self.run("systemctl", "show", unit, f"--property={PROPERTIES}").stdout
        return dict(line.split("=", 1) for line in said.splitlines())

    def wait_for_state(self, unit: str, *states: str) -> dict[str, str]:
        """Its properties once it is in one of them."""
        # One process inside instead of one from here every few milliseconds.
        script = 'for i in $(seq 600); do case " $2 " in *" $(systemctl is-active "$1") "*) exit;; esac; sleep 0.05; done; exit 1'
        done = self.run("sh", "-c", script, "sh", unit, " ".join(states))
        assert done.returncode == 0, [self.show(unit), self.run("journalctl", "-u", unit, "--no-pager").stdout]
        return self.show(unit)

    def journal(self, unit: str, *options: str) -> list[dict[str, Any]]:
        """Entries of the unit's own processes."""
        done = self.run("journalctl", "--sync")
        done = self.run("journalctl", "-u", unit, "-o", "json", "--no-pager", *options)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return [row for row in rows if row.get("_PID") != "1"]

    def stop(self) -> None:
        """And everything in it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid or self._process.pid, signal.SIGKILL)
            self._process.wait()
        for path in sorted(self._cgroup.glob("**/"), reverse=True):
            # A process that has just been killed may linger for a moment.
            wait_for(lambda path=path: _removed(path), f"an empty {path}")


def _removed(path: Path) -> bool:
    with suppress(FileNotFoundError):
        try:
            path.rmdir()
        except OSError:
            return False
    return True


def _cgroup_root() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(place)
    pytest.skip("no cgroup2 hierarchy that may be written")


def _skip_unless_possible() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a service manager")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        pytest.skip(f"not installed: {', '.join(missing) or 'systemd'}")


@contextmanager
def box(folder: Path) -> Iterator[Box]:
    """Running for as long as the context lasts."""
    made = Box(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
