"""Installing: plain and signed bundles into slots, and whatever must not get there."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import stat
from pathlib import Path

import pytest

from edge.bundle import MANIFEST_NAME, load_bundle
from edge.bundle.install import SPARE_BYTES, Installed, install, need_room
from edge.config.settings import Device, Settings, Updates
from edge.errors import BundleError, UsageError
from tests.support.bundles import make_bundle
from tests.support.repositories import Owner, tiny_bundle


def plain(folder: Path, name: str = "door-1", description: str = "") -> Path:
    return make_bundle(folder, detector_file=Path(__file__), overrides={"bundle_id": name, "description": description})


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    return Settings(bundles=tmp_path / "bundles")


def slots(settings: Settings) -> set[str]:
    assert settings.bundles is not None
    return {entry.name for entry in settings.bundles.iterdir()} if settings.bundles.exists() else set()


def test_a_plain_bundle(box: Settings, tmp_path: Path) -> None:
    source = plain(tmp_path / "stick")
    (source / "other.txt").write_text("not of the bundle", encoding="utf-8")
    assert install(box, str(source)) == Installed("door-1", "door-1", None, is_new=True)
    assert slots(box) == {"door-1"}
    slot = tmp_path / "bundles" / "door-1"
    assert load_bundle(slot).manifest == load_bundle(source).manifest
    assert {entry.name for entry in slot.iterdir()} == {MANIFEST_NAME, "detector-model.onnx", "embedder.tflite"}
    assert install(box, str(source)) == Installed("door-1", "door-1", None, is_new=False)


def test_the_service_can_read_what_anybody_installed(box: Settings, tmp_path: Path) -> None:
    source = plain(tmp_path / "stick")
    for path in (source, *source.iterdir()):
        path.chmod(0o700)
    before = os.umask(0o077)
    try:
        install(box, str(source))
    finally:
        os.umask(before)
    slot = tmp_path / "bundles" / "door-1"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in slot.iterdir()}
    assert (stat.S_IMODE(slot.stat().st_mode), modes) == (0o755, {0o644})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_installs_belongs_to_the_service(box: Settings, tmp_path: Path) -> None:
    assert box.bundles is not None
    box.bundles.mkdir()
    os.chown(box.bundles, 4711, 4712)
    install(box, str(plain(tmp_path / "stick")))
    slot = box.bundles / "door-1"
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (slot, *slot.iterdir())} == {(4711, 4712)}


def test_a_slot_is_never_given_another_content(box: Settings, tmp_path: Path) -> None:
    install(box, str(plain(tmp_path / "stick")))
    with pytest.raises(BundleError, match="is there already, and differs"):
        install(box, str(plain(tmp_path / "other", description="another")))
    assert slots(box) == {"door-1"}


def test_a_damaged_slot_is_mended(box: Settings, tmp_path: Path) -> None:
    install(box, str(plain(tmp_path / "stick")))
    slot = tmp_path / "bundles" / "door-1"
    (slot / "detector-model.onnx").write_bytes(b"lost")
    assert install(box, str(tmp_path / "stick")).is_new
    load_bundle(slot)
    assert slots(box) == {"door-1"}


@pytest.mark.parametrize("name", ["active", "previous", "trial.json", "-x", ".x", "_x"])
def test_names_of_our_own_are_no_slots(box: Settings, tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="is a name of our own"):
        install(box, str(plain(tmp_path / "stick", name)))
    assert slots(box) == set()


def test_a_damaged_source_leaves_nothing(box: Settings, tmp_path: Path) -> None:
    source = plain(tmp_path / "stick")
    (source / "detector-model.onnx").write_bytes(b"lost")
    with pytest.raises(BundleError, match="4 bytes"):
        install(box, str(source))
    with pytest.raises(BundleError, match="cannot be read"):
        install(box, str(tmp_path / "nowhere"))
    assert slots(box) == set()


def test_what_a_cut_installation_left_is_taken_away(box: Settings, tmp_path: Path) -> None:
    left = tmp_path / "bundles" / ".install" / "bundle"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    (tmp_path / "bundles" / ".removed-x").mkdir()
    install(box, str(plain(tmp_path / "stick")))
    assert slots(box) == {"door-1"}


def test_one_at_a_time(box: Settings, tmp_path: Path) -> None:
    scratch = tmp_path / "bundles" / ".install"
    (scratch / "bundle").mkdir(parents=True)
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another installation is under way"):
            install(box, str(plain(tmp_path / "stick")))
        assert (scratch / "bundle").is_dir()
    finally:
        os.close(descriptor)


def test_a_full_disk_is_told_before(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(BundleError, match=r"the disk is full: .* MB free; expected"):
        need_room(tmp_path, free - SPARE_BYTES // 2)
    need_room(tmp_path, 1)


@pytest.mark.parametrize(
    ("settings", "source", "problem"),
    [
        (Settings(), "x", "not set up to switch: in its configuration `bundles` names no folder"),
        (
            Settings(bundle=Path("x"), bundles=Path("y")),
            "x",
            "not set up to switch: in its configuration `bundle` names one",
        ),
    ],
)
def test_a_box_that_is_not_set_up(settings: Settings, source: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        install(settings, source)


def test_nowhere_to_install_from(box: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere to install from"):
        install(box)
    for place in ("https://updates.example/ostiary", str(tmp_path)):
        (tmp_path / "metadata").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=r"updates\.trust names no keys"):
            install(box, place)
    source = plain(tmp_path / "stick")
    assert install(dataclasses.replace(box, updates=Updates(source=str(source)))).name == "door-1"
    with pytest.raises(UsageError, match="no bundle 'door-9'"):
        install(box, str(source), name="door-9")


def signed(box: Settings, owner: Owner, tmp_path: Path) -> Settings:
    trust = owner.trust(tmp_path / "trust")
    return dataclasses.replace(
        box, device=Device(name="front"), updates=Updates(trust=trust, source=str(tmp_path / "repository"))
    )


def test_a_signed_bundle(box: Settings, tmp_path: Path) -> None:
    owner = Owner()
    for version in (1, 2):
        owner.add(tiny_bundle(tmp_path / "made" / f"door-{version}", f"door-{version}"), version=version)
    owner.publish(tmp_path / "repository")
    box = signed(box, owner, tmp_path)
    assert install(box) == Installed("door-2", "door-2", 2, is_new=True)
    assert install(box, name="door-1") == Installed("door-1", "door-1", 1, is_new=True)
    assert slots(box) == {"door-1", "door-2", ".trusted"}
    with pytest.raises(BundleError, match="not signed: a plain bundle"):
        install(box, str(tmp_path / "made" / "door-1"))


def test_a_bundle_for_other_devices_is_not_installed(box: Settings, tmp_path: Path) -> None:
    owner = Owner()
    owner.add(tiny_bundle(tmp_path / "made" / "door-1"), version=1, devices=["back"])
    owner.publish(tmp_path / "repository")
    with pytest.raises(BundleError, match="signed for other devices: back"):
        install(signed(box, owner, tmp_path), name="door-1")
    assert slots(box) == {".trusted"}
