"""What is in the Debian package, built from a tiny release. Its life in a chroot: tests/deploy/package_life.py."""

from __future__ import annotations

import base64
import email
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from deploy.release.debian import build_package
from deploy.release.debian.depends import depends, needed_packages
from deploy.release.debian.environment import Environment, make_environment
from deploy.release.debian.package import HOME, debian_version
from deploy.release.target import Target, all_targets, target_named
from edge.config.loader import load_settings
from edge.errors import RejectedError, UsageError
from tests.deploy.tiny_release import EPOCH, elf_file, make_release, make_wheel
from tests.support.data import ROOT

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
pytestmark = [pytest.mark.once, needs_dpkg]
ARM64 = target_named("arm64", "bookworm")


def said_by(*command: object) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def built(folder: Path, target: Target, out: str = "out") -> Path:
    release = folder / "release"
    if not release.exists():
        make_release(release, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
        return build_package(release, target, folder / out)


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("debian"), ARM64)


@pytest.fixture(scope="module")
def unpacked(deb: Path) -> Path:
    said_by("dpkg-deb", "--raw-extract", deb, deb.parent / "unpacked")
    return deb.parent / "unpacked"


@pytest.fixture(scope="module")
def members(deb: Path) -> Iterator[dict[str, tarfile.TarInfo]]:
    path = deb.parent / "data.tar"
    with path.open("wb") as file:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, stdout=file)
    with tarfile.open(path) as archive:
        yield {member.name.removeprefix("./"): member for member in archive}


def test_its_name_and_fields(deb: Path) -> None:
    assert deb.name == "ostiary_1.2~rc3-1~deb12u1_arm64.deb"
    fields = email.message_from_string(said_by("dpkg-deb", "--field", deb))
    assert (fields["Version"], fields["Architecture"]) == ("1.2~rc3-1~deb12u1", "arm64")
    assert fields["Depends"] == (
        "libc6 (>= 2.36), libstdc++6, passwd, python3.11, python3 (>= 3.11~), python3 (<< 3.12~)"
    )
    assert "python3-picamera2" in fields["Recommends"]


@pytest.mark.parametrize(
    ("target", "includes", "lacks"),
    [
        (("armhf", "bookworm"), ["python3-numpy", "python3-opencv", "python3.11"], []),
        (("arm64", "trixie"), ["python3.13", "python3 (<< 3.14~)", "libc6 (>= 2.41)"], ["python3-numpy"]),
        (("amd64", "bookworm"), ["python3 (>= 3.11~)"], ["python3-opencv"]),
    ],
)
def test_what_it_depends_on(target: tuple[str, str], includes: list[str], lacks: list[str]) -> None:
    found = depends(target_named(*target), ["libc6"]).split(", ")
    assert set(includes) <= set(found)
    assert not set(lacks) & set(found)


def test_the_same_bytes_from_the_same_release(tmp_path: Path) -> None:
    first = built(tmp_path, ARM64)
    before = os.umask(0o077)
    try:
        again = built(tmp_path, ARM64, "elsewhere")
    finally:
        os.umask(before)
    assert first.read_bytes() == again.read_bytes()


def test_everything_belongs_to_root_and_bears_the_date_of_the_release(members: dict[str, tarfile.TarInfo]) -> None:
    assert {(one.uid, one.gid, one.uname, one.mtime) for one in members.values()} == {(0, 0, "root", EPOCH)}
    for name, one in members.items():
        assert one.issym() or not one.mode & 0o022, name
        assert not one.mode & 0o6000, name
        expected = 0o640 if name == "etc/ostiary/ostiary.yaml" else 0o644
        assert not one.isfile() or one.mode in {expected, 0o755}, name


@pytest.mark.parametrize(
    "place",
    [
        "etc/ostiary/ostiary.yaml", "usr/bin/ostiaryctl", "usr/lib/systemd/system/ostiary.service", "usr/lib/sysusers.d/ostiary.conf",
        "usr/lib/systemd/system/ostiary@.service", "usr/lib/tmpfiles.d/ostiary.conf", "usr/share/doc/ostiary/changelog.gz",
        "usr/share/doc/ostiary/copyright", "usr/share/doc/ostiary/examples/ostiary.yaml", "usr/share/doc/ostiary/sbom.cdx.json",
        "usr/share/doc/ostiary/sboms/native-1.0/auditwheel.cdx.json", "usr/share/man/man1/ostiary.1.gz",
        "usr/share/man/man1/ostiaryctl.1.gz", "usr/lib/ostiary/lib/python3.11/site-packages/native/core.so",
        "usr/lib/ostiary/lib/python3.11/site-packages/extra.py",
    ],
)  # fmt: skip
def test_it_has(members: dict[str, tarfile.TarInfo], place: str) -> None:
    assert members[place].isfile()
    assert members[place].size > 0 or place.endswith("extra.py")


@pytest.mark.parametrize(
    "part", ["/convert", "/tests", "ostiary-convert", "bin/more", "__pycache__", ".pyc", "purelib", "/scripts"]
)
def test_it_has_no(members: dict[str, tarfile.TarInfo], part: str) -> None:
    assert [name for name in members if part in name] == []


def test_the_environment_is_one_for_the_place_where_it_will_lie(
    unpacked: Path, members: dict[str, tarfile.TarInfo]
) -> None:
    """As `python -m venv` lays one out; that it runs is seen in a chroot."""
    settings = (unpacked / "usr/lib/ostiary/pyvenv.cfg").read_text().splitlines()
    assert {"home = /usr/bin", "include-system-site-packages = true"} <= set(settings)
    assert os.path.normpath(HOME / "bin" / members["usr/lib/ostiary/bin/python3"].linkname) == "/usr/bin/python3.11"
    assert os.path.normpath(Path("/usr/bin") / members["usr/bin/ostiary"].linkname) == "/usr/lib/ostiary/bin/ostiary"
    script = (unpacked / "usr/lib/ostiary/bin/ostiary").read_text().splitlines()
    assert script[0] == "#!/usr/lib/ostiary/bin/python3 -I"
    assert "from edge.cli import main" in script


def test_no_path_of_the_host_is_in_it(unpacked: Path, deb: Path) -> None:
    texts = [path.read_bytes() for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink()]
    texts += [gzip.decompress(text) for text in texts if text.startswith(b"\x1f\x8b")]
    assert len(texts) > 20
    assert not [text for text in texts if str(ROOT).encode() in text or str(deb.parents[1]).encode() in text]


@pytest.mark.parametrize("name", ["ostiary-1.2rc3", "native-1.0", "more-1.0"])
def test_each_record_names_what_is_there_and_no_more(unpacked: Path, name: str) -> None:
    """Read by Python's own importlib.metadata."""
    packages = unpacked / "usr/lib/ostiary/lib/python3.11/site-packages"
    files = Distribution.at(packages / f"{name}.dist-info").files
    assert files is not None
    for file in files:
        data = Path(file.locate()).read_bytes()
        if file.name != "RECORD":
            assert file.hash is not None
            assert (file.hash.mode, file.size) == ("sha256", len(data))
            assert file.hash.value.encode() == base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    assert any(file.name == "RECORD" for file in files)


def test_every_file_of_the_environment_is_in_one_record(unpacked: Path) -> None:
    packages = unpacked / "usr/lib/ostiary/lib/python3.11/site-packages"
    named = [
        os.path.normpath(str(file.locate()))
        for info in packages.glob("*.dist-info")
        for file in Distribution.at(info).files or []
    ]
    there = [str(path) for path in packages.rglob("*") if path.is_file()]
    assert sorted(named) == sorted([*there, str(unpacked / "usr/lib/ostiary/bin/ostiary")])


def test_checksums_and_conffiles(unpacked: Path) -> None:
    assert (unpacked / "DEBIAN/conffiles").read_text() == "/etc/ostiary/ostiary.yaml\n"
    done = subprocess.run(
        ["md5sum", "--check", "--strict", "--quiet", "DEBIAN/md5sums"], cwd=unpacked, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    lines = (unpacked / "DEBIAN/md5sums").read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line.split("  ")[1].split("/"))
    assert len(lines) == sum(path.is_file() and not path.is_symlink() for path in (unpacked / "usr").rglob("*"))


def test_what_the_configuration_suggests_is_valid(unpacked: Path, tmp_path: Path) -> None:
    """Every suggestion uncommented."""
    text = (unpacked / "etc/ostiary/ostiary.yaml").read_text()
    whole = re.sub(r"(?m)^( *)# (\w+: \S+)$", r"\1\2", text)
    (tmp_path / "ostiary.yaml").write_text(whole)
    settings = load_settings(tmp_path / "ostiary.yaml")
    assert (settings.device.name, settings.camera.uri, settings.mqtt.username) == (
        "front-door",
        "picamera2:",
        "front-door",
    )
    assert settings.bundles == Path("/var/lib/ostiary/bundles")


def test_every_licence_is_told(unpacked: Path) -> None:
    text = (unpacked / "usr/share/doc/ostiary/copyright").read_text()
    assert text.startswith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")
    for name in ("native", "more"):
        assert (
            f"License: {name}-MIT\n -- LICENSE\n Copyright 2026 Ada. Nothing forbidden.\n .\n .And so on for {name}.\n"
            in text
        )
    assert " usr/lib/ostiary/lib/python3.11/site-packages/native/*\n" in text


@pytest.mark.parametrize(
    ("less", "more"),
    [("1.0rc1", "1.0"), ("1.0.dev3", "1.0"), ("1.0a1", "1.0rc1"), ("0.9.1", "0.10.0"), ("1.0", "1.0.1")],
)
def test_versions_sort_as_in_python(less: str, more: str) -> None:
    subprocess.run(["dpkg", "--compare-versions", debian_version(less), "lt", debian_version(more)], check=True)


def test_the_next_debian_has_the_newer_package() -> None:
    subprocess.run(["dpkg", "--compare-versions", "1.0-1~deb12u1", "lt", "1.0-1~deb13u1"], check=True)


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.label)
def test_libraries_are_those_of_the_target(tmp_path: Path, target: Target) -> None:
    (tmp_path / "good.so").write_bytes(elf_file(target.machine, ["libc.so.6"]))
    assert needed_packages(tmp_path, target) == ("libc6",)
    other = "x86_64" if target.machine != "x86_64" else "aarch64"
    (tmp_path / "bad.so").write_bytes(elf_file(other))
    with pytest.raises(RejectedError, match=rf"^bad\.so: made for {other}; expected {target.machine}"):
        needed_packages(tmp_path, target)


def test_a_library_that_nobody_has(tmp_path: Path) -> None:
    (tmp_path / "core.so").write_bytes(elf_file("aarch64", ["libmystery.so.3"]))
    with pytest.raises(RejectedError, match=r"^core\.so: needs libmystery\.so\.3"):
        needed_packages(tmp_path, ARM64)


def _outside(folder: Path) -> None:
    make_wheel(folder, "evil", {"../../outside.py": b""})


def _over_another(folder: Path) -> None:
    make_wheel(folder, "one", {"same.py": b"1"})
    make_wheel(folder, "two", {"same.py": b"2"})


def _no_zip(folder: Path) -> None:
    (folder / "evil-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 and no more")


def _without_info(folder: Path) -> None:
    path = make_wheel(folder, "evil", {})
    path.write_bytes(b"PK\x05\x06" + bytes(18))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_outside, "would lie outside"), (_over_another, "same.py is in one-1.0"), (_no_zip, "not a wheel"),
        (_without_info, "0 folders .dist-info"),
    ],
)  # fmt: skip
def test_a_hostile_wheel(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    (tmp_path / "wheels").mkdir()
    spoil(tmp_path / "wheels")
    environment = Environment(tmp_path / "env", HOME, ARM64)
    with pytest.raises(RejectedError, match=message):
        make_environment(environment, (tmp_path / "wheels").glob("*.whl"))
    assert not (tmp_path / "outside.py").exists()


@pytest.mark.parametrize(
    ("epoch", "wheels", "message"), [("soon", "some", "SOURCE_DATE_EPOCH"), (str(EPOCH), "", "0 wheels of ostiary")]
)
def test_what_is_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str, wheels: str, message: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    release = make_release(tmp_path / "release", ARM64) if wheels else tmp_path
    with pytest.raises(UsageError, match=message):
        build_package(release, ARM64, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_has_nothing_to_say(deb: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", str(deb)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
