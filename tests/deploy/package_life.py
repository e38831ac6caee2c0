"""The life of the Debian package in a chroot: installed, configured, upgraded, removed, installed again, purged.

    python -m tests.deploy.package_life ROOT NEW.deb [--old OLD.deb] [--picture FACE.jpg]

ROOT is a Debian of the package's own release and architecture in a folder (debootstrap, mmdebstrap), with apt's sources in it; one
of another architecture runs by qemu-user and binfmt_misc. It is left as it was found, but for what the package depends on. Without
--old an earlier version is made of NEW.deb itself: other version, other configuration file, one file more. With --picture somebody
is enrolled and must still be there after each step that promises so. Needs root. Ends with 0, or with what went wrong first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

CONFFILE = "etc/ostiary/ostiary.yaml"
STATE = "var/lib/ostiary"
EDIT = "# edited by the administrator\n"
_PASSING = re.compile(
    r"(proc|sys|dev|tmp|run)(/|$)|var/(log|cache|lib/(apt|dpkg|ucf|systemd))(/|$)|etc/(passwd|group|shadow|gshadow|subuid|subgid)-$"
    r"|etc/(ld\.so\.cache|\.pwd\.lock|mtab)$|root(/|$)|.*/__pycache__(/|$)"
)
"""What apt and dpkg keep for themselves, and copies that programs for users make of what they change."""

_INSIDE = (
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"',
)  # fmt: skip
"""With processes of its own: a user of the machine's with the same number would keep ours from being removed."""


@dataclass(slots=True)
class Box:
    """A Debian in a folder."""

    root: Path
    started_s: float = field(default_factory=time.monotonic)

    def run(self, *command: str, code: int | None = 0) -> str:
        """A program inside, as root; standard output and error. `code` is what it has to end with, None for anything."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        surroundings = {"PATH": path, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "HOME": "/root"}
        done = subprocess.run(
            [*_INSIDE, str(self.root), *command], env=surroundings, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"{' '.join(command)} ended with {done.returncode}, not {code}:\n{done.stdout[-3000:]}"
            )
        return done.stdout

    def install(self, deb: Path, *options: str) -> str:
        """By apt, as a user would."""
        inside = self.root / "tmp" / deb.name
        shutil.copy(deb, inside)
        try:
            flags = (
                "-y",
                "--no-install-recommends",
                "-o",
                "Dpkg::Use-Pty=0",
                "-o",
                "APT::Sandbox::User=root",
                *options,
            )
            return self.run("apt-get", "install", *flags, f"/tmp/{deb.name}")  # noqa: S108 - of a chroot
        finally:
            inside.unlink()

    def path(self, place: str) -> Path:
        """A file inside, without following links out of it."""
        return self.root / place

    def owner(self, place: str) -> str:
        """root:ostiary 640."""
        return self.run("stat", "-c", "%U:%G %a", f"/{place}").strip()

    def say(self, text: str) -> None:
        """With the time since the beginning."""
        print(f"{time.monotonic() - self.started_s:7.1f} s  {text}", flush=True)  # noqa: T201 - a script's output

    def tree(self) -> dict[str, str]:
        """Every file: kind, mode and contents; without what passes."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            base = os.path.relpath(folder, self.root)
            places = {name: f"{base}/{name}".removeprefix("./") for name in [*folders, *files]}
            folders[:] = [name for name in folders if not _PASSING.match(places[name])]
            for place in places.values():
                if not _PASSING.match(place):
                    found[place] = _print_of(self.root / place)
        return found


def _print_of(path: Path) -> str:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return f"link {path.readlink()}"
    if not stat.S_ISREG(about.st_mode):
        return f"{about.st_mode:o} {about.st_uid}:{about.st_gid}"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{about.st_mode:o} {about.st_uid}:{about.st_gid} {digest}"


def older_package(new: Path, folder: Path) -> Path:
    """An earlier version of a package: with a configuration of its own, and a file that the new one has no more."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root = Path(scratch) / "root"
        subprocess.run(["dpkg-deb", "--raw-extract", str(new), str(root)], check=True)
        control = root / "DEBIAN/control"
        text = re.sub(r"(?m)^Version: .*", "Version: 0.0.1-1", control.read_text(encoding="utf-8"))
        control.write_text(text, encoding="utf-8")
        conffile = root / CONFFILE
        conffile.write_text("# of an earlier version\n" + conffile.read_text(encoding="utf-8"), encoding="utf-8")
        (root / "usr/lib/ostiary/gone.py").write_text("gone = True\n", encoding="utf-8")
        old = folder / "ostiary_0.0.1-1_old.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(old)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return old


def _installed(box: Box, version: str) -> None:
    """What holds whenever it is installed."""
    shown = box.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "ostiary")
    assert shown == f"install ok installed {version}", shown
    assert re.match(r"ostiary \d", box.run("ostiary", "--version"))
    assert "ostiary" in box.run("id", "ostiary")
    assert "video" in box.run("id", "-Gn", "ostiary")
    owners = {place: box.owner(place) for place in ("etc/ostiary", CONFFILE, STATE)}
    expected = {"etc/ostiary": "root:ostiary 750", CONFFILE: "root:ostiary 640", STATE: "ostiary:ostiary 700"}
    assert owners == expected, owners
    # Each library loads on this machine: OpenCV, numpy, the TFLite runtime, cryptography; and the byte code is there.
    box.run(
        "/usr/lib/ostiary/bin/python3",
        "-I",
        "-c",
        "import cv2, numpy, yaml, cryptography.fernet; from edge.interpreter import installed_runtimes; assert installed_runtimes()",
    )
    assert list(box.path("usr/lib/ostiary/lib").rglob("edge/__pycache__/*.pyc"))


def _checks(box: Box) -> None:
    """Nothing is configured: `check` says what is missing, and what is there is right."""
    said = box.run("ostiaryctl", "check", code=None)
    assert "Traceback" not in said, said
    assert re.search(r"(?i)bundle", said), said
    box.say("ostiary check says:\n" + said)


def _enrol(box: Box, picture: Path | None) -> None:
    marker = box.path(f"{STATE}/kept")
    marker.write_text("of the administrator's\n", encoding="utf-8")
    if picture is not None:
        inside = box.path("tmp") / f"face{picture.suffix}"
        shutil.copy(picture, inside)
        inside.chmod(0o644)
        box.run("ostiaryctl", "enroll", "--name", "Grace Hopper", f"/tmp/{inside.name}")  # noqa: S108 - of a chroot
        inside.unlink()


def _sees(box: Box, picture: Path | None) -> None:
    """The daemon, as the service's user, sees somebody at the door; without a broker it prints events."""
    if picture is None:
        return
    visit = box.path("tmp/visit")
    visit.mkdir()
    for number in range(8):
        shutil.copy(picture, visit / f"{number}{picture.suffix}")
    said = box.run("ostiaryctl", "run", "--camera", "/tmp/visit", "--no-mqtt")  # noqa: S108 - of a chroot
    shutil.rmtree(visit)
    [event] = [json.loads(line) for line in said.splitlines() if line.startswith("{") and '"event_type"' in line]
    assert event["event_type"] == "recognized", event
    assert event["identity"]["name"] == "Grace Hopper", event
    box.say(f"seen at the door: similarity {event['similarity']:.3f}, {event['frames']} frames, {event['latency_ms']}")


def _still_enrolled(box: Box, picture: Path | None) -> None:
    assert box.path(f"{STATE}/kept").exists()
    if picture is not None:
        assert "Grace Hopper" in box.run("ostiaryctl", "gallery", "list")


def _difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(
        f"{place}: {before.get(place)} -> {after.get(place)}"
        for place in before.keys() | after.keys()
        if before.get(place) != after.get(place)
    )


def _version_of(deb: Path) -> str:
    return subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Version"], check=True, capture_output=True, text=True
    ).stdout.strip()


def live(box: Box, old: Path, new: Path, picture: Path | None) -> None:
    """All of it, in order."""
    wanted = subprocess.run(
        ["dpkg-deb", "-f", str(new), "Depends"], check=True, capture_output=True, text=True
    ).stdout.strip()
    box.run("apt-get", "satisfy", "-y", "--no-install-recommends", "-o", "APT::Sandbox::User=root", wanted)
    before = box.tree()
    box.say(f"{len(before)} files before")
    said = box.install(old)
    assert "systemctl enable --now ostiary" in said, said
    _installed(box, _version_of(old))
    box.say("earlier version installed")
    _checks(box)
    _enrol(box, picture)
    conffile = box.path(CONFFILE)
    shipped = conffile.read_text(encoding="utf-8")
    conffile.write_text(shipped + EDIT, encoding="utf-8")
    box.install(new, "-o", "Dpkg::Options::=--force-confold")
    _installed(box, _version_of(new))
    assert conffile.read_text(encoding="utf-8") == shipped + EDIT
    assert conffile.with_name("ostiary.yaml.dpkg-dist").exists()
    assert not box.path("usr/lib/ostiary/gone.py").exists()
    _still_enrolled(box, picture)
    _sees(box, picture)
    box.say("upgraded: the edited configuration and the gallery are kept")
    _removed(box, before)
    box.install(new, "-o", "Dpkg::Options::=--force-confold")
    _installed(box, _version_of(new))
    assert conffile.read_text(encoding="utf-8").endswith(EDIT)
    _still_enrolled(box, picture)
    box.say("installed again: configuration and gallery are used again")
    _purged(box, before)
    box.install(old)
    box.install(new)
    assert "of an earlier version" not in conffile.read_text(encoding="utf-8")
    _installed(box, _version_of(new))
    box.say("upgraded without an edit: the new configuration, and nothing asked")
    _purged(box, before)


def _removed(box: Box, before: dict[str, str]) -> None:
    box.run("apt-get", "remove", "-y", "ostiary")
    left = {line.split(":")[0] for line in _difference(before, box.tree())}
    own = {place for place in left if not place.startswith(("etc/ostiary", STATE))}
    assert own <= {"etc", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"}, own
    assert CONFFILE in left
    box.say(f"removed: left are {', '.join(sorted(place for place in left if place not in own))}")


def _purged(box: Box, before: dict[str, str]) -> None:
    box.run("apt-get", "purge", "-y", "ostiary")
    left = _difference(before, box.tree())
    assert left == [], left
    assert box.run("getent", "passwd", "ostiary", code=2) == ""
    box.say("purged: every file is as before, and the user is gone")


def main() -> int:
    """Exit code 0, or 1 with what went wrong."""
    parser = argparse.ArgumentParser(description="The life of the Debian package in a chroot.")
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("new", type=Path, metavar="NEW.deb")
    parser.add_argument("--old", type=Path, metavar="OLD.deb")
    parser.add_argument("--picture", type=Path, metavar="FACE")
    args = parser.parse_args()
    box = Box(args.root.resolve())
    with tempfile.TemporaryDirectory(dir=args.new.parent) as scratch:
        old = args.old or older_package(args.new, Path(scratch))
        try:
            live(box, old, args.new, args.picture)
        except AssertionError as error:
            box.say(f"FAILED: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
