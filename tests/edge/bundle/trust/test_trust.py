from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.bundle.trust import Offer, Trust, trust_of
from edge.bundle.trust.offer import this_machine
from edge.config.fleet import Updates
from edge.config.settings import Settings
from edge.errors import BundleError, MissingDependencyError, OstiaryError, RepositoryError
from tests.edge.bundle.trust.conftest import Door
from tests.support.repositories import Owner, copied, tiny_bundle


def test_what_is_fetched_is_what_was_signed(door: Door) -> None:
    bundle = door.folder / "bundles" / "door-1"
    assert {path.name: path.read_bytes() for path in door.installed.iterdir()} == {
        path.name: path.read_bytes() for path in bundle.iterdir()
    }


def test_the_highest_version_for_this_box_is_chosen(door: Door) -> None:
    for version, terms in (
        (2, {"devices": ["front", "back"]}),
        (3, {"devices": ["back"]}),
        (4, {"machines": ["armv7l"]}),
    ):
        door.owner.add(door.bundle(f"door-{version}"), version=version, description="new", **terms)
    door.owner.publish(door.repository)
    offer = door.fetch()
    assert (offer.bundle_id, offer.version, offer.devices, offer.machines, offer.description) == (
        "door-2", 2, ("front", "back"), (), "new",
    )  # fmt: skip
    assert [one.bundle_id for one in door.trust.offers()] == ["door-2", "door-1"]


def test_a_name_that_is_not_listed(door: Door) -> None:
    assert door.refused(name="door-7") == "no bundle 'door-7' in the signed list"


def test_nothing_for_this_box(door: Door) -> None:
    trust = Trust(door.owner.trust(door.folder / "other"), device="x")
    door.owner.targets.clear()
    door.owner.publish(door.repository)
    with pytest.raises(BundleError, match=r"no bundle for x .* it is empty"):
        door.fetch(trust=trust)


@pytest.mark.parametrize(
    "terms",
    [
        None,
        {},
        {"version": "1"},
        {"version": 0},
        {"version": 2, "region": "eu"},
        {"version": 2, "devices": "front"},
        [2],
    ],
)
def test_terms_that_this_version_does_not_know(door: Door, terms: object) -> None:
    door.owner.add(door.bundle("door-2"), version=2)
    door.owner.targets["door-2/manifest.json"].unrecognized_fields["custom"] = terms
    door.owner.publish(door.repository)
    assert door.refused(name="door-2").startswith("its terms are not understood: ")
    assert door.fetch().bundle_id == "door-1"


def test_a_listed_bundle_without_a_manifest(door: Door) -> None:
    door.owner.list_file("door-2/embedder.tflite", b"x")
    door.owner.publish(door.repository)
    assert door.refused(name="door-2") == "listed without a SHA-256 of its manifest.json"


def test_a_file_larger_than_any_bundle_has(door: Door) -> None:
    door.owner.list_file("door-2/manifest.json", b"x")
    door.owner.targets["door-2/manifest.json"].length = 1_000_001
    door.owner.publish(door.repository)
    assert door.refused() == "lists door-2/manifest.json with 1000001 bytes"


def test_more_than_the_disk_takes(door: Door) -> None:
    door.owner.add(door.bundle("door-2"), version=2)
    each = 500_000_000
    for number in range(shutil.disk_usage(door.folder).free // each + 1):
        door.owner.list_file(f"door-2/{number}", b"x")
        door.owner.targets[f"door-2/{number}"].length = each
    door.owner.publish(door.repository)
    assert door.refused().endswith(" are free")


# An installed bundle.


def test_a_bundle_of_before_any_update(door: Door) -> None:
    trust = Trust(door.owner.trust(door.folder / "new"), device="front")
    with pytest.raises(BundleError, match="no signed list of bundles yet"):
        trust.check(door.installed)
    with pytest.raises(BundleError, match="no signed list of bundles yet"):
        trust.offers()


def test_a_bundle_that_nobody_signed(door: Door) -> None:
    with pytest.raises(BundleError, match="not signed, or not listed any more"):
        door.trust.check(door.bundle("door-2"))


@pytest.mark.parametrize("spoil", ["byte", "huge", "none", "gone"])
def test_a_manifest_that_was_changed(door: Door, spoil: str) -> None:
    path = door.installed / "manifest.json"
    if spoil == "gone":
        path.unlink()
    else:
        content = {"byte": path.read_bytes() + b" ", "huge": b" " * 1_000_001, "none": b"\xff{"}[spoil]
        path.write_bytes(content)
    expected = {"byte": "not the bundle", "huge": "more than 1000000", "none": "not signed", "gone": "cannot be read"}
    with pytest.raises(BundleError, match=expected[spoil]):
        door.trust.check(door.installed)


@pytest.mark.parametrize("why", ["", "it sees cats"])
def test_a_withdrawn_bundle(door: Door, why: str) -> None:
    door.owner.withdraw("door-1", why)
    door.owner.add(door.bundle("door-2"), version=2)
    door.owner.publish(door.repository)
    door.fetch()
    with pytest.raises(BundleError) as caught:
        door.trust.check(door.installed)
    assert caught.value.problem == ("withdrawn by its signer (it sees cats)" if why else "withdrawn by its signer")


def test_a_bundle_that_is_for_others_now(door: Door) -> None:
    for device, machine, found in (("back", "aarch64", "devices"), ("front", "x86_64", "machines")):
        owner = Owner()
        owner.add(door.folder / "bundles" / "door-1", devices=["front"], machines=["aarch64"])
        source = owner.publish(door.folder / found)
        folder = owner.trust(door.folder / f"trust-{found}")
        Trust(folder, device="front", machine="aarch64").offers(str(source))
        with pytest.raises(BundleError, match=f"signed for other {found}"):
            Trust(folder, device=device, machine=machine).check(door.installed)


def test_a_bundle_runs_after_its_metadata_expired(door: Door) -> None:
    """A door must open although nobody refreshed the repository: expiry stops updates alone."""
    past = Owner(keys=door.owner.keys, now=datetime.now(UTC) - timedelta(days=300))
    past.add(door.folder / "bundles" / "door-1")
    expired = past.publish(door.folder / "past") / "metadata" / "1.targets.json"
    shutil.copy(expired, door.folder / "trust" / ".trusted" / "current" / "in-force" / "targets.json")
    assert door.trust.check(door.installed).bundle_id == "door-1"
    assert [one.bundle_id for one in door.trust.offers()] == ["door-1"]


# The root of trust, and what follows from it.


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, None])
def test_a_root_of_trust_that_is_none(door: Door, content: bytes | None) -> None:
    path = door.folder / "trust" / "root.json"
    path.unlink() if content is None else path.write_bytes(content)
    for ask in (lambda: door.trust.check(door.installed), door.trust.offers, door.fetch):
        with pytest.raises(BundleError, match="no root of trust"):
            ask()


def test_a_root_of_trust_that_was_altered(door: Door) -> None:
    path = door.folder / "trust" / "root.json"
    path.write_bytes(path.read_bytes().replace(b'"threshold":1', b'"threshold":0'))
    for ask in (lambda: door.trust.check(door.installed), door.fetch):
        with pytest.raises(BundleError, match=r"no root of trust|altered after"):
            ask()


def test_another_root_of_trust_ends_the_trust_in_what_was_there(door: Door) -> None:
    other = Owner()
    other.add(door.bundle("door-5"), version=5)
    source = other.publish(door.folder / "other")
    other.trust(door.folder / "trust")
    with pytest.raises(BundleError, match="is not signed by the keys of root version 1"):
        door.trust.check(door.installed)
    assert door.fetch(source).bundle_id == "door-5"
    assert [one.bundle_id for one in door.trust.offers()] == ["door-5"]


def test_a_later_root_put_there_by_hand(door: Door) -> None:
    for _ in range(3):
        door.owner.rotate("root", "snapshot")
    door.owner.publish(door.repository)
    door.owner.trust(door.folder / "trust", version=4)
    assert door.trust.check(door.installed).bundle_id == "door-1"
    door.fetch()
    assert door.trust.check(door.installed).bundle_id == "door-1"


def test_a_chain_of_roots_is_followed_and_kept(door: Door) -> None:
    for role in ("root", "targets", "root", "timestamp"):
        door.owner.rotate(role)
    door.owner.publish(door.repository)
    door.fetch()
    for root in (door.repository / "metadata").glob("*.root.json"):
        root.unlink()
    assert door.trust.check(door.installed).bundle_id == "door-1"
    assert door.fetch().bundle_id == "door-1"


def test_a_rotation_seen_in_an_update_that_broke_off_does_not_stop_the_door(door: Door) -> None:
    """The new root is known, the list signed anew is not: the door runs on, and the old keys sign nothing new."""
    door.owner.rotate("targets")
    old = copied(door.repository, door.folder / "old")
    door.owner.publish(door.repository)
    (door.repository / "metadata" / "2.targets.json").unlink()
    with pytest.raises(RepositoryError, match="missing"):
        door.fetch()
    assert door.trust.check(door.installed).bundle_id == "door-1"
    (old / "metadata" / "2.root.json").write_bytes(door.owner.roots[1])
    assert door.refused(old).startswith("timestamp version 1 is older")


def test_trusted_metadata_spoiled_on_disk_is_refused_and_mended(door: Door) -> None:
    current = door.folder / "trust" / ".trusted" / "current"
    for path in (current / "in-force" / "targets.json", current / "in-force" / "root-version"):
        kept = path.read_bytes()
        for content in (b"", b"{}", b"[" * 100_000, kept[:-20], b"9" * 5000):
            path.write_bytes(content)
            with pytest.raises(BundleError):
                door.trust.check(door.installed)
        path.unlink()
        with pytest.raises(BundleError):
            door.trust.check(door.installed)
    for name in ("timestamp.json", "snapshot.json", "targets.json", "root_history/1.root.json"):
        (current / "metadata" / name).write_bytes(b"\xff")
    (current / "moment.json").write_bytes(b"[")
    door.fetch()
    assert door.trust.check(door.installed).bundle_id == "door-1"


# The clock.


def test_a_clock_that_is_not_set(door: Door) -> None:
    trust = Trust(door.folder / "trust", device="front", clock=lambda: 86_400.0)
    with pytest.raises(BundleError, match="this box's clock is not set: 1970-01-02 00:00 UTC"):
        door.fetch(trust=trust)
    assert trust.check(door.installed).bundle_id == "door-1"


def test_a_clock_behind_the_newest_moment_that_was_trusted(door: Door) -> None:
    now = datetime.now(UTC)
    late, early = (
        Trust(door.folder / "trust", device="front", clock=(now + shift).timestamp)
        for shift in (timedelta(3), -timedelta(1))
    )
    door.fetch(trust=late)
    with pytest.raises(BundleError, match="this box's clock is behind: "):
        door.fetch(trust=early)
    with pytest.raises(BundleError, match="this box's clock is behind: "):
        door.fetch()
    assert door.trust.check(door.installed).bundle_id == "door-1"


def test_a_clock_behind_what_was_signed(door: Door) -> None:
    trust = Trust(
        door.owner.trust(door.folder / "fresh"), device="front", clock=(datetime.now(UTC) - timedelta(1)).timestamp
    )
    with pytest.raises(BundleError, match="this box's clock is behind: "):
        door.fetch(trust=trust)
    with pytest.raises(BundleError, match="no signed list"):
        trust.offers()


def test_a_few_minutes_do_not_matter(door: Door) -> None:
    trust = Trust(door.folder / "trust", device="front", clock=(datetime.now(UTC) - timedelta(minutes=5)).timestamp)
    assert door.fetch(trust=trust).bundle_id == "door-1"


def test_a_moment_far_ahead_is_forgotten_with_the_key_that_signed_it(door: Door) -> None:
    """Fast-forward of the clock by a stolen key of the timestamp."""
    honest = door.owner.now
    door.owner.now = honest + timedelta(days=300)
    door.owner.publish(door.repository)
    door.owner.now = honest
    assert "clock is behind" in door.refused()
    assert "clock is behind" in door.refused()
    door.owner.rotate("timestamp", "snapshot", "targets")
    door.owner.publish(door.repository)
    assert door.fetch().bundle_id == "door-1"


# The folder of it.


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trust_of(Settings()) is None
    folder, bundles = tmp_path / "etc", tmp_path / "bundles"
    owner = Owner()
    owner.add(tiny_bundle(tmp_path / "bundle"))
    source = str(owner.publish(tmp_path / "repository"))
    owner.trust(folder)
    trust = trust_of(Settings(updates=Updates(trust=folder), bundles=bundles))
    assert trust is not None
    trust.offers(source)
    assert (bundles / ".trusted" / "current").is_symlink()
    assert [path.name for path in folder.iterdir()] == ["root.json"]
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    trust = trust_of(Settings(updates=Updates(trust=folder)))
    assert trust is not None
    trust.offers(source)
    assert (tmp_path / "state" / ".trusted" / "current").is_symlink()


def test_this_machine_is_one_that_bundles_are_signed_for() -> None:
    assert this_machine() in {"x86_64", "aarch64", "armv7l"}


def test_nothing_new_writes_nothing(door: Door) -> None:
    state = door.folder / "trust" / ".trusted"
    before = str((state / "current").readlink())
    door.fetch()
    assert str((state / "current").readlink()) == before
    assert sorted(path.name for path in state.iterdir()) == sorted([before, "current", "lock"])


def test_what_an_update_left_behind_when_it_was_cut_off_goes(door: Door) -> None:
    state = door.folder / "trust" / ".trusted"
    (state / "0123456789abcdef" / "metadata").mkdir(parents=True)
    door.fetch()
    assert not (state / "0123456789abcdef").exists()


def test_one_update_at_a_time(door: Door) -> None:
    descriptor = os.open(door.folder / "trust" / ".trusted" / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert door.refused() == "in use by another process"
        assert door.trust.check(door.installed).bundle_id == "door-1"
    finally:
        os.close(descriptor)


def test_a_folder_that_cannot_be_written(door: Door) -> None:
    (door.folder / "file").write_bytes(b"")
    trust = Trust(door.folder / "trust", device="front", state=door.folder / "file" / "state")
    with pytest.raises(BundleError, match=f"cannot be changed .{os.strerror(errno.ENOTDIR)}"):
        door.fetch(trust=trust)


def test_an_installed_bundle_is_checked_while_updates_come_and_go(door: Door) -> None:
    """A daemon starts at any moment: what it reads is whole."""
    stop, faults = threading.Event(), list[OstiaryError]()

    def look() -> None:
        while not stop.is_set():
            try:
                assert isinstance(door.trust.check(door.installed), Offer)
            except OstiaryError as error:
                faults.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for version in range(2, 8):
        door.owner.add(door.bundle(f"door-{version}"), version=version)
        door.owner.publish(door.repository)
        door.trust.offers(str(door.repository))
    stop.set()
    thread.join()
    assert faults == []


def test_the_libraries_are_named_where_they_are_missing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tuf.api.metadata", None)
    for ask in (lambda: door.trust.check(door.installed), door.fetch):
        with pytest.raises(MissingDependencyError, match=r"pip install 'ostiary\[updates\]'"):
            ask()
