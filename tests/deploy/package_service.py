"""The Debian package under the real service manager of a Debian: what starts, what begins again at an upgrade, what stops.

    python -m tests.deploy.package_service ROOT NEW.deb

ROOT is a Debian of the package's own release, in a folder, with systemd, python3 and what the package depends on. It is not changed: all is written
to memory. Needs root, namespaces and cgroup2.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.deploy.package_life import older_package
from tests.e2e.support import MjpegDoor
from tests.systemd.box import Box

HERE = Path(__file__).parent
UNIT = "ostiary.service"
_STAGE = "[Unit]\nDescription={0}\nDefaultDependencies=no\n"
_EMPTY = ("sysinit.target", "basic.target", "network-online.target", "time-sync.target", "shutdown.target")


class BootedRoot(Box):
    """A Debian in a folder, running."""

    boot = HERE / "boot_root.sh"
    camera = ""

    def _furnish(self) -> None:
        units = self.folder / "units"
        units.mkdir(parents=True)
        for name in _EMPTY:
            (units / name).write_text(_STAGE.format(name), encoding="utf-8")
        wants = "Wants=systemd-journald.service\n"
        (units / "box.target").write_text(_STAGE.format("box") + wants, encoding="utf-8")

    def dpkg(self, *arguments: str) -> str:
        """It has to succeed."""
        done = self.run("env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "dpkg", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def is_active(self, unit: str = UNIT) -> str:
        return self.run("systemctl", "is-active", unit).stdout.strip()

    def pid(self, unit: str = UNIT) -> str:
        return self.show(unit)["MainPID"]


def serve(box: BootedRoot, camera: str) -> None:
    """All of it, in order; /run/box has old.deb and new.deb."""
    box.dpkg("--install", "/run/box/old.deb")
    assert box.is_active() == "inactive"
    assert box.run("systemctl", "is-enabled", UNIT).stdout.strip() == "disabled"
    say("installed: neither started nor enabled")
    configure(box, "ostiary", camera)
    configure(box, "porch", camera)
    done = box.run("systemctl", "enable", "--now", "ostiary", "ostiary@porch")
    assert done.returncode == 0, box.run("journalctl", "--no-pager", "-u", "ostiary*").stdout
    before = {unit: box.pid(unit) for unit in (UNIT, "ostiary@porch.service")}
    say(f"both cameras are served: {before}")
    box.dpkg("--install", "--force-confold", "/run/box/new.deb")
    for unit, pid in before.items():
        assert box.is_active(unit) == "active", unit
        assert box.pid(unit) not in {pid, "0"}, unit
    say("upgraded: both have begun again")
    upgrade_of_what_does_not_run(box)
    box.run("systemctl", "start", "ostiary", "ostiary@porch")
    box.dpkg("--remove", "ostiary")
    assert {box.is_active(), box.is_active("ostiary@porch")} == {"inactive"}
    running = box.run("find", "/proc", "-maxdepth", "1", "-user", "ostiary")
    assert (running.stdout, running.stderr) == ("", "")
    say("removed: both are stopped")
    box.dpkg("--install", "--force-confold", "/run/box/new.deb")
    assert box.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"
    box.run("systemctl", "start", "ostiary")
    assert box.is_active() == "active"
    say("installed again: enabled as before")
    box.dpkg("--purge", "ostiary")
    assert box.run("id", "ostiary").returncode != 0
    left = box.run(
        "sh", "-c", "ls -d /etc/ostiary /var/lib/ostiary /usr/lib/ostiary; find /etc/systemd -name 'ostiary*'"
    )
    assert left.stdout == "", left.stdout
    say("purged while it ran: stopped, and nothing is left")


def upgrade_of_what_does_not_run(box: BootedRoot) -> None:
    """One that was stopped stays so; one that had failed gets another try."""
    box.run("systemctl", "stop", "ostiary")
    box.write("/etc/ostiary/porch.yaml", "camera: [")
    box.run("systemctl", "restart", "ostiary@porch")
    box.wait_for_state("ostiary@porch", "failed")
    box.dpkg("--install", "--force-confold", "/run/box/old.deb")
    assert box.is_active() == "inactive"
    box.wait_for_state("ostiary@porch", "failed")
    configure(box, "porch", box.camera)
    box.dpkg("--install", "--force-confold", "/run/box/new.deb")
    assert box.is_active() == "inactive"
    assert box.is_active("ostiary@porch") == "active"
    say("upgraded: what was stopped stays so, what had failed was tried again")


def configure(box: BootedRoot, name: str, camera: str) -> None:
    box.camera = camera
    box.write(
        f"/etc/ostiary/{name}.yaml",
        f"device: {{name: {name}}}\ncamera: {{uri: '{camera}'}}\nmqtt: {{enabled: false}}\n",
    )


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a script's output


def main() -> int:
    """0, or an AssertionError that says what is wrong."""
    parser = argparse.ArgumentParser(description="The Debian package under a real service manager.")
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("new", type=Path, metavar="NEW.deb")
    args = parser.parse_args()
    os.environ["BOX_ROOT"] = str(args.root.resolve())
    with tempfile.TemporaryDirectory(dir=args.new.parent) as scratch, MjpegDoor() as door:
        box = BootedRoot(Path(scratch) / "box")
        box.folder.mkdir()
        shutil.copy(args.new, box.folder / "new.deb")
        older_package(args.new, box.folder).rename(box.folder / "old.deb")
        box.start()
        try:
            serve(box, door.uri)
        finally:
            box.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
