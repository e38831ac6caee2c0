"""The Debian package on an emulated box, from the first installation until nothing of it is left."""

from __future__ import annotations

from pathlib import Path

from tests.arm.box import PYTHON, STATE, Box, box
from tests.arm.conftest import Given
from tests.deploy import package_life

EDITED = "# edited by the administrator\n"
NOBODY = 2
"""How `getent` ends where it finds nothing."""


def test_it_is_a_box_of_the_other_kind(installed: Box, given: Given) -> None:
    assert installed.run("uname", "-m").strip() == given.kind.machine
    assert installed.run("dpkg", "--print-architecture").strip() == given.kind.name
    assert f"{given.kind.board.part:#x}" in installed.run("cat", "/proc/cpuinfo")


def test_the_installed_program_runs(installed: Box, given: Given) -> None:
    version = package_life._version_of(given.package)
    package_life._installed(installed, version)
    assert installed.run("ostiary", "--version") == f"ostiary {version.partition('-')[0]}\n"


def test_its_runtime_is_the_one_for_arm(installed: Box, given: Given) -> None:
    said = installed.run("ostiaryctl", "check", "--only", "runtimes")
    assert given.kind.runtime in said, said
    assert "Python 3.11" in said, said


def test_upgraded_from_an_earlier_version(given: Given, tmp_path: Path, busts: dict[str, Path]) -> None:
    """What the administrator wrote and who is enrolled stays."""
    earlier = package_life.older_package(given.package, tmp_path)
    with box(given.base, tmp_path / "box", given.kind.board) as aging:
        aging.install(earlier)
        package_life._installed(aging, package_life._version_of(earlier))
        aging.run("ostiaryctl", "enroll", "--name", "Grace Hopper", aging.put(busts["Grace Hopper"], "/srv/hopper.png"))
        config = aging.path(package_life.CONFFILE)
        config.write_text(config.read_text(encoding="utf-8") + EDITED, encoding="utf-8")
        aging.install(given.package, "-o", "Dpkg::Options::=--force-confold")
        package_life._installed(aging, package_life._version_of(given.package))
        assert config.read_text(encoding="utf-8").endswith(EDITED)
        assert "Grace Hopper" in aging.run("ostiaryctl", "gallery", "list")
        # The earlier version had a file that this one has no more.
        assert not aging.path("usr/lib/ostiary/gone.py").exists()


def test_removed_then_purged(copy: Box, busts: dict[str, Path]) -> None:
    """Removed, it keeps configuration and people; purged, it leaves no trace of either."""
    copy.run("ostiaryctl", "enroll", "--name", "Grace Hopper", copy.put(busts["Grace Hopper"], "/srv/hopper.png"))
    gallery = copy.root / f"{STATE}/gallery.sqlite".removeprefix("/")
    assert gallery.stat().st_size > 0
    copy.run("apt-get", "remove", "-y", "ostiary")
    assert not copy.path(PYTHON.removeprefix("/")).exists()
    assert not copy.path("usr/lib/ostiary").exists()
    assert gallery.exists()
    assert copy.path(package_life.CONFFILE).exists()
    copy.run("apt-get", "purge", "-y", "ostiary")
    assert not gallery.parent.exists()
    assert not copy.path("etc/ostiary").exists()
    assert copy.run("getent", "passwd", "ostiary", code=NOBODY) == ""
    assert "ostiary" not in copy.run("dpkg-query", "-W")
