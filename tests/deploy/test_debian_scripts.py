"""What dpkg runs: maintainer scripts, in a root of their own and with programs that write down how they were called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.release.debian.package import SCRIPTS, TEMPLATES

pytestmark = pytest.mark.once
PROGRAMS = (
    "systemctl", "deb-systemd-invoke", "systemd-sysusers", "useradd", "userdel", "groupdel", "chown", "chmod", "install", "dpkg-statoverride",
)  # fmt: skip
PYTHON = "usr/lib/ostiary/bin/python3"
_GETENT = """#!/bin/sh
echo "getent $*" >>"$LOG"
[ "$2" = ostiary ] && [ -e "$USERS/$1" ] && cat "$USERS/$1"
"""
_RECORDER = """#!/bin/sh
echo "${0##*/} $*" >>"$LOG"
case "${0##*/}" in
userdel) rm -f "$USERS/passwd" "$USERS/group" ;;
dpkg-statoverride) [ "$2" = "${OVERRIDDEN-}" ] || exit 1 ;;
systemctl) case "$*" in *--failed*) echo "ostiary@porch.service loaded failed failed Ostiary" ;; esac ;;
esac
"""
_OUTSIDE = re.compile(r"(?<![\w@.$\"}])/(?!bin/sh$|dev/null|usr/sbin/nologin)[a-z]+/[\w./@*-]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fake:
    """A root with nothing but what a test puts there."""

    root: Path

    def put(self, place: str, text: str = "") -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, script: str, *arguments: str, code: int = 0, **more: str) -> list[str]:
        """Calls that it made, in order."""
        text = (TEMPLATES / script).read_text(encoding="utf-8")
        moved = re.sub(r"(?<![\w.])/(etc|var|run|usr/lib)/", rf"{self.root}/\1/", text)
        # What is not moved would happen to the machine that the test runs on.
        assert [place for place in _OUTSIDE.findall(moved) if not place.startswith(str(self.root))] == []
        path = self.put(f"scripts/{script}", moved)
        log = self.put("log")
        surroundings = {
            "PATH": f"{self.root}/programs:{os.environ['PATH']}",
            "LOG": str(log),
            "USERS": str(self.root / "users"),
            **more,
        }
        done = subprocess.run(
            ["/bin/sh", "-eu", str(path), *arguments], env=surroundings, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return log.read_text().replace(str(self.root), "").splitlines() + [
            f"says {line}" for line in done.stderr.replace(str(self.root), "").splitlines()
        ]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    made = Fake(tmp_path)
    for name in PROGRAMS:
        made.put(f"programs/{name}", _RECORDER).chmod(0o755)
    made.put("programs/getent", _GETENT).chmod(0o755)
    made.put(PYTHON, _RECORDER).chmod(0o755)
    made.put("etc/ostiary/ostiary.yaml")
    made.put(
        "users/passwd", "ostiary:x:990:990::/var/lib/ostiary:/usr/sbin/nologin\n".replace("/var", f"{tmp_path}/var")
    )
    made.put("users/group", "ostiary:x:990:\n")
    return made


def with_systemd(fake: Fake) -> None:
    (fake.root / "run/systemd/system").mkdir(parents=True)


def test_a_first_installation(fake: Fake) -> None:
    with_systemd(fake)
    calls = fake.run("postinst", "configure", "")
    assert "systemd-sysusers ostiary.conf" in calls
    assert "chown root:ostiary /etc/ostiary/ostiary.yaml" in calls
    assert "chmod 0640 /etc/ostiary/ostiary.yaml" in calls
    assert "chmod 0750 /etc/ostiary" in calls
    assert "install -d -m 0700 -o ostiary -g ostiary /var/lib/ostiary" in calls
    assert any(call.startswith("python3 -I -m compileall") for call in calls)
    assert [call for call in calls if call.startswith(("systemctl", "deb-systemd"))] == [
        "systemctl --system daemon-reload"
    ]
    assert any("systemctl enable --now ostiary" in call for call in calls if call.startswith("says"))


def test_where_systemd_is_not_there(fake: Fake) -> None:
    (fake.root / "programs/systemd-sysusers").unlink()
    (fake.root / "users/passwd").unlink()
    for name in ("sh", "cat", "cut"):
        (fake.root / "programs" / name).symlink_to(shutil.which(name) or name)
    calls = fake.run("postinst", "configure", "", PATH=f"{fake.root}/programs")
    [made] = [call for call in calls if call.startswith("useradd")]
    assert "--system --user-group --groups video --no-create-home --home-dir /var/lib/ostiary" in made
    assert not [call for call in calls if call.startswith(("systemctl", "deb-systemd-invoke"))]


def test_an_upgrade(fake: Fake) -> None:
    with_systemd(fake)
    calls = fake.run("postinst", "configure", "0.9-1")
    order = [call for call in calls if call.startswith(("python3", "systemctl", "deb-systemd"))]
    assert order[0].startswith("python3 -I -m compileall")
    assert order[1:] == [
        "systemctl --system daemon-reload",
        "systemctl list-units --failed --plain --no-legend ostiary.service ostiary@*.service",
        "deb-systemd-invoke try-restart ostiary.service ostiary@*.service",
        "deb-systemd-invoke restart ostiary@porch.service",
    ]
    assert not [call for call in calls if call.startswith("says")]


def test_what_the_administrator_decided_about_rights_holds(fake: Fake) -> None:
    calls = fake.run("postinst", "configure", "0.9-1", OVERRIDDEN=f"{fake.root}/etc/ostiary/ostiary.yaml")
    assert not [call for call in calls if call.startswith(("chown", "chmod")) and call.endswith("ostiary.yaml")]
    assert "chmod 0750 /etc/ostiary" in calls


def test_a_configuration_that_was_removed_and_a_state_that_is_there(fake: Fake) -> None:
    (fake.root / "etc/ostiary/ostiary.yaml").unlink()
    (fake.root / "var/lib/ostiary").mkdir(parents=True)
    calls = fake.run("postinst", "configure", "0.9-1")
    assert not [call for call in calls if "ostiary.yaml" in call or call.startswith("install")]


def test_a_unit_made_by_hand_is_told_of(fake: Fake) -> None:
    fake.put("etc/systemd/system/ostiary.service")
    said = [call for call in fake.run("postinst", "configure", "0.9-1") if call.startswith("says")]
    assert said == [
        "says ostiary: /etc/systemd/system/ostiary.service is used instead of the package's own unit; remove it"
    ]


@pytest.mark.parametrize(
    ("arguments", "stopped", "cleaned"),
    [(("remove",), True, True), (("upgrade", "2.0"), False, True), (("deconfigure", "in-favour", "x"), False, False)],
    ids=["remove", "upgrade", "deconfigure"],
)
def test_before_files_go(fake: Fake, arguments: tuple[str, ...], stopped: bool, cleaned: bool) -> None:  # noqa: FBT001
    with_systemd(fake)
    code = fake.put("usr/lib/ostiary/lib/python3.11/site-packages/edge/__pycache__/cli.cpython-311.pyc")
    calls = fake.run("prerm", *arguments)
    assert calls == (["deb-systemd-invoke stop ostiary.service ostiary@*.service"] if stopped else [])
    assert code.exists() is not cleaned
    assert code.parents[1].exists()


def test_a_removal_leaves_what_is_the_administrators(fake: Fake) -> None:
    with_systemd(fake)
    gallery = fake.put("var/lib/ostiary/gallery.sqlite")
    calls = fake.run("postrm", "remove")
    assert calls == ["systemctl --system daemon-reload"]
    assert gallery.exists()
    assert (fake.root / "etc/ostiary/ostiary.yaml").exists()
    assert not (fake.root / "usr/lib/ostiary").exists()


def test_a_purge_leaves_nothing(fake: Fake) -> None:
    fake.put("etc/ostiary/template-key")
    fake.put("etc/ostiary/porch.yaml")
    fake.put("var/lib/ostiary/porch/gallery.sqlite-wal")
    fake.put("etc/systemd/system/multi-user.target.wants/ostiary@porch.service")
    others = fake.put("etc/systemd/system/multi-user.target.wants/other.service")
    calls = fake.run("postrm", "purge")
    assert "userdel ostiary" in calls
    assert not (fake.root / "etc/ostiary").exists()
    assert not (fake.root / "var/lib/ostiary").exists()
    assert list(others.parent.iterdir()) == [others]
    assert fake.run("postrm", "purge") == ["getent passwd ostiary", "getent group ostiary"]


def test_a_purge_erases_faces_on_another_disk(fake: Fake) -> None:
    """And leaves the disk."""
    disk = fake.put("srv/faces/gallery.sqlite").parent
    (fake.root / "var/lib").mkdir(parents=True)
    (fake.root / "var/lib/ostiary").symlink_to(disk)
    fake.run("postrm", "purge")
    assert list(disk.iterdir()) == []
    assert not (fake.root / "var/lib/ostiary").is_symlink()


def test_somebody_elses_user_of_that_name_stays(fake: Fake) -> None:
    fake.put("users/passwd", "ostiary:x:1000:1000::/home/ostiary:/bin/bash\n")
    assert not [call for call in fake.run("postrm", "purge") if call.startswith(("userdel", "groupdel"))]


def test_an_environment_made_by_hand_is_moved_aside(fake: Fake) -> None:
    fake.put("usr/lib/ostiary/pyvenv.cfg", "by hand")
    fake.run("preinst", "install")
    assert (fake.root / "usr/lib/ostiary.by-hand/pyvenv.cfg").read_text() == "by hand"
    fake.run("postrm", "abort-install")
    assert (fake.root / "usr/lib/ostiary/pyvenv.cfg").read_text() == "by hand"
    fake.run("preinst", "upgrade", "0.9-1")
    assert (fake.root / "usr/lib/ostiary/pyvenv.cfg").exists()


def test_an_environment_moved_aside_before_is_not_overwritten(fake: Fake) -> None:
    fake.put("usr/lib/ostiary/pyvenv.cfg")
    fake.put("usr/lib/ostiary.by-hand/pyvenv.cfg", "earlier")
    [said] = fake.run("preinst", "install", code=1)
    assert "is left from an earlier time" in said
    assert (fake.root / "usr/lib/ostiary.by-hand/pyvenv.cfg").read_text() == "earlier"


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_an_unknown_call(fake: Fake, script: str) -> None:
    assert fake.run(script, "surprise", code=1) == [f"says {script} called with unknown argument 'surprise'"]


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("postinst", ("abort-upgrade", "2.0")), ("postinst", ("abort-remove",)), ("prerm", ("failed-upgrade", "0.9")), ("postrm", ("upgrade", "2.0")),
        ("postrm", ("failed-upgrade", "0.9")), ("postrm", ("abort-upgrade", "0.9")), ("postrm", ("disappear", "other", "1")),
        ("postinst", ("abort-deconfigure", "in-favour", "x")), ("preinst", ("abort-upgrade", "2.0")),
    ],
)  # fmt: skip
def test_every_call_that_policy_names_ends_well(fake: Fake, script: str, arguments: tuple[str, ...]) -> None:
    gallery = fake.put("var/lib/ostiary/gallery.sqlite")
    fake.run(script, *arguments)
    assert gallery.exists()
    assert (fake.root / "etc/ostiary/ostiary.yaml").exists()
    assert (fake.root / PYTHON).exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_has_nothing_to_say(script: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", str(TEMPLATES / script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
