"""The attacks of The Update Framework's specification, section 1.5.2, one by one: each is refused, in words of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile, Snapshot

from edge.bundle.trust import Trust
from edge.bundle.trust.places import Limits
from edge.errors import BundleError, RepositoryError
from tests.edge.bundle.trust.conftest import Door
from tests.support.repositories import ROLES, Owner, copied
from tests.support.web import slow_server, web_server


def published(door: Door, version: int) -> Path:
    """Another bundle, and a copy of the repository as it was before."""
    before = copied(door.repository, door.folder / f"before-{version}")
    door.owner.add(door.bundle(f"door-{version}"), version=version)
    door.owner.publish(door.repository)
    return before


def target_file(repository: Path, name: str) -> Path:
    bundle_id, _, file = name.partition("/")
    return next((repository / "targets" / bundle_id).glob(f"*.{file}"))


# Arbitrary installation attacks: "an attacker installs anything they want on the client system".


def test_arbitrary_installation_of_another_file(door: Door) -> None:
    file = target_file(door.repository, "door-1/detector-model.onnx")
    file.write_bytes(file.read_bytes()[::-1])
    assert door.refused() == "not the file that was signed"


def test_arbitrary_installation_of_a_file_cut_short(door: Door) -> None:
    file = target_file(door.repository, "door-1/embedder.tflite")
    file.write_bytes(file.read_bytes()[:-1])
    assert door.refused() == "not the file that was signed"


def test_arbitrary_installation_of_a_bundle_that_nobody_signed(door: Door) -> None:
    assert door.refused(door.bundle("door-2")) == "not signed: a plain bundle"


def test_arbitrary_installation_by_a_stranger(door: Door) -> None:
    stranger = Owner(versions={**dict.fromkeys(ROLES, 6), "root": 0})
    stranger.add(door.bundle("door-9"), version=9)
    assert door.refused(stranger.publish(door.folder / "stranger")).startswith("signed by a stranger: ")


def test_arbitrary_installation_by_a_stranger_who_brings_a_root(door: Door) -> None:
    stranger = Owner(versions={**dict.fromkeys(ROLES, 6), "root": 0})
    stranger.add(door.bundle("door-9"), version=9)
    stranger.new_root()
    stranger.new_root()
    repository = stranger.publish(door.folder / "stranger")
    assert door.refused(repository).startswith("signed by a stranger: ")
    assert door.fetch().bundle_id == "door-1"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_arbitrary_installation_by_altered_metadata(door: Door, role: str) -> None:
    published(door, 2)
    names = {"timestamp": "timestamp.json", "snapshot": "2.snapshot.json", "targets": "2.targets.json"}
    path = door.repository / "metadata" / names[role]
    text = path.read_text()
    expires = json.loads(text)["signed"]["expires"]
    path.write_text(text.replace(expires, f"2199{expires[4:]}"))
    assert door.refused() == "altered after it was signed"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_arbitrary_installation_by_metadata_without_signatures(door: Door, role: str) -> None:
    door.owner.signers[role] = []
    door.owner.hashes = False
    published(door, 2)
    assert door.refused() == "not signed"


# Endless data attacks: "an attacker responds to a file download request with an endless stream of data".


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"])
def test_endless_data_as_metadata(door: Door, name: str) -> None:
    published(door, 2)
    with (door.repository / "metadata" / name).open("ab") as handle:
        handle.truncate(6_000_000)
    assert door.refused().startswith("longer than what was signed: more than ")


def test_endless_data_as_a_file(door: Door) -> None:
    with target_file(door.repository, "door-1/detector-model.onnx").open("ab") as handle:
        handle.write(b"and more")
    assert door.refused() == "longer than what was signed: more than 8 bytes"


# Extraneous dependencies attacks: "to install the software they wanted, they also need to install unrelated software".


def test_extraneous_dependencies(door: Door) -> None:
    door.owner.list_file("door-1/helper.so", b"unrelated")
    door.owner.publish(door.repository)
    assert door.refused() == "brings files that its manifest does not name: helper.so"


@pytest.mark.parametrize(
    "name", ["../door-1/x", "door-1/../../x", "/etc/passwd", "door-1/a/b", "x", ".trusted/current"]
)
def test_extraneous_files_elsewhere(door: Door, name: str) -> None:
    door.owner.list_file(name, b"unrelated")
    del door.owner.content[name]
    door.owner.publish(door.repository)
    assert door.refused() == f"lists {name!r}"


# Fast-forward attacks: "an attacker arbitrarily increases the version numbers of metadata, so that it is always older".


def test_fast_forward_and_recovery_by_new_keys(door: Door) -> None:
    honest = dict(door.owner.versions)
    door.owner.versions |= {"snapshot": 1_000_000, "timestamp": 1_000_000}
    door.owner.publish(door.folder / "thief")
    door.owner.versions |= {**honest, "targets": door.owner.versions["targets"]}
    assert door.fetch(door.folder / "thief").version == 1
    published(door, 2)
    assert door.refused() == "timestamp version 2 is older than what this box has seen"
    door.owner.rotate("snapshot", "timestamp")
    door.owner.publish(door.repository)
    assert door.fetch().bundle_id == "door-2"


# Indefinite freeze attacks: "an attacker continues to present files that the client has already seen".


@pytest.mark.parametrize("role", ROLES)
def test_indefinite_freeze(door: Door, role: str) -> None:
    door.owner.days[role] = 1 / 24
    owner = Owner(keys=door.owner.keys, days=door.owner.days, now=datetime.now(UTC) - timedelta(hours=2))
    owner.add(door.bundle("door-2"), version=2)
    trust = Trust(door.folder / "trust", device="front", state=door.folder / "fresh")
    source = owner.publish(door.folder / "frozen")
    if role == "root":
        trust = Trust(owner.trust(door.folder / "trust-of-old"), device="front", state=door.folder / "fresh")
    with pytest.raises(BundleError, match=r"expired on \d{4}-") as caught:
        door.fetch(source, trust=trust)
    assert f"{role}.json" in caught.value.where


def test_indefinite_freeze_of_a_box_that_is_up_to_date(door: Door) -> None:
    """The same timestamp again and again, until it expires."""
    past = datetime.now(UTC) - timedelta(days=40)
    owner = Owner(now=past)
    owner.add(door.bundle("door-2"), version=2)
    source = owner.publish(door.folder / "frozen")
    trust = Trust(owner.trust(door.folder / "old"), device="front")
    with pytest.raises(BundleError, match="expired on"):
        door.fetch(source, trust=trust)
    with pytest.raises(BundleError, match="no signed list"):
        trust.offers()


# Malicious mirrors preventing updates: "from other mirrors, too, by being slow, silent, or wrong".


def test_malicious_mirror_does_not_prevent_updates_from_another(door: Door) -> None:
    bare = door.folder / "bare" / "metadata"
    bare.mkdir(parents=True)
    for source in (door.folder / "nowhere", bare.parent):
        with pytest.raises(RepositoryError):
            door.fetch(source)
    before = published(door, 2)
    (before / "metadata" / "timestamp.json").write_bytes(b"<html>")
    assert door.refused(before) == "damaged, or no signed metadata"
    assert door.trust.check(door.installed).bundle_id == "door-1"
    assert door.fetch().bundle_id == "door-2"


# Mix-and-match attacks: "files from different times, which never existed together".


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize(("role", "stated"), [("snapshot", "timestamp"), ("targets", "snapshot")])
def test_mix_and_match(door: Door, role: str, stated: str, *, hashes: bool) -> None:
    door.owner.hashes = hashes
    published(door, 2)
    published(door, 3)
    metadata = door.repository / "metadata"
    (metadata / f"3.{role}.json").write_bytes((metadata / f"2.{role}.json").read_bytes())
    with pytest.raises(BundleError) as caught:
        door.fetch()
    assert caught.value.problem == f"put together from different times: {role} version 2"
    assert caught.value.expected == f"version 3, as {stated}.json says"


# Rollback attacks: "an attacker presents files older than those the client has already seen".


def test_rollback_of_the_timestamp(door: Door) -> None:
    before = published(door, 2)
    door.fetch()
    assert door.refused(before) == "timestamp version 1 is older than what this box has seen"


def test_rollback_of_the_snapshot_with_the_key_of_the_timestamp(door: Door) -> None:
    published(door, 2)
    door.fetch()
    door.owner.versions["snapshot"] = 1
    door.owner.publish(door.repository, only=("timestamp",))
    assert door.refused() == "snapshot version 1 is older than what this box has seen"


def test_rollback_of_the_targets_with_the_keys_of_snapshot_and_timestamp(door: Door) -> None:
    published(door, 2)
    door.fetch()
    door.owner.versions["targets"] = 1
    door.owner.publish(door.repository, only=("snapshot", "timestamp"))
    assert door.refused() == "targets version 1 is older than what this box has seen"


def test_rollback_by_leaving_the_targets_out(door: Door) -> None:
    published(door, 2)
    door.fetch()
    path = door.repository / "metadata"
    owner = door.owner
    owner.versions["snapshot"] += 1
    empty = Snapshot(owner.versions["snapshot"], expires=datetime.now(UTC) + timedelta(1), meta={"x.json": MetaFile(1)})
    (path / "3.snapshot.json").write_bytes(owner.signed(empty, owner.keys["snapshot"]))
    owner.publish(door.repository, only=("timestamp",))
    assert door.refused() == "targets version 0 is older than what this box has seen"


def test_rollback_is_remembered_of_an_update_that_broke_off(door: Door) -> None:
    """What a box has seen counts, also where the rest of it never came."""
    before = published(door, 2)
    (door.repository / "metadata" / "2.targets.json").unlink()
    with pytest.raises(RepositoryError, match="missing"):
        door.fetch()
    assert door.refused(before) == "timestamp version 1 is older than what this box has seen"
    assert door.trust.check(door.installed).bundle_id == "door-1"


# Slow retrieval attacks: "a slow stream of data that essentially results in the client never continuing".


def test_slow_retrieval_by_a_byte_now_and_then(door: Door) -> None:
    limits = Limits(timeout_s=20, grace_s=0.05, least_bytes_s=1e6)
    trust = Trust(door.folder / "trust", device="front", limits=limits)
    with slow_server(b"{" * 64, pause_s=0.02) as address, pytest.raises(RepositoryError, match="too slow: "):
        door.fetch(address, trust=trust)


def test_slow_retrieval_by_silence(door: Door) -> None:
    trust = Trust(door.folder / "trust", device="front", limits=Limits(timeout_s=0.1))
    with slow_server(b"{", pause_s=3600) as address, pytest.raises(RepositoryError, match="too slow: "):
        door.fetch(address, trust=trust)


# Vulnerability to key compromises: "an attacker who compromises a single key".


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_key_compromise_of_one_key_of_two(door: Door, role: str) -> None:
    owner = Owner(thresholds=dict.fromkeys(ROLES, 2))
    owner.keys = {name: [CryptoSigner.generate_ed25519() for _ in range(2)] for name in ROLES}
    owner.add(door.bundle("door-2"), version=2)
    owner.signers[role] = owner.keys[role][:1]
    source = owner.publish(door.folder / "half")
    trust = Trust(owner.trust(door.folder / "two"), device="front")
    with pytest.raises(BundleError, match="signed by 1 of 2 keys that are needed") as caught:
        door.fetch(source, trust=trust)
    assert f"{role}.json" in caught.value.where


def test_key_compromise_ends_when_the_key_is_revoked(door: Door) -> None:
    stolen = door.owner.rotate("targets")
    door.owner.publish(door.repository)
    assert door.fetch().version == 1
    thief = copied(door.repository, door.folder / "thief")
    door.owner.signers |= stolen
    door.owner.add(door.bundle("door-9"), version=9)
    door.owner.publish(thief)
    assert door.refused(thief).startswith("signed with a revoked key: ")


def test_key_compromise_ends_for_what_is_installed_too(door: Door) -> None:
    """A thief of all keys but the root's has brought a bundle; after the rotation the box runs it no longer."""
    honest = door.owner.copy()
    door.owner.add(door.bundle("door-9"), version=9)
    door.owner.publish(door.folder / "thief")
    assert door.fetch(door.folder / "thief").bundle_id == "door-9"
    assert door.trust.check(door.folder / "bundles" / "door-9").version == 9
    honest.rotate("targets", "snapshot", "timestamp")
    honest.publish(door.repository)
    assert door.fetch().bundle_id == "door-1"
    with pytest.raises(BundleError, match="not signed, or not listed any more"):
        door.trust.check(door.folder / "bundles" / "door-9")


def test_key_compromise_of_the_root_without_the_key_before(door: Door) -> None:
    door.owner.keys["root"] = [CryptoSigner.generate_ed25519()]
    door.owner.new_root()
    door.owner.publish(door.repository)
    assert door.refused().startswith("signed by a stranger: ")


def test_key_compromise_of_an_old_root(door: Door) -> None:
    """After a rotation the old key alone makes no new root."""
    old = door.owner.rotate("root")
    door.owner.publish(door.repository)
    door.fetch()
    door.owner.new_root(old["root"])
    door.owner.publish(door.repository)
    assert door.refused().startswith("signed with a revoked key: ")


def test_root_chain_with_a_step_missing(door: Door) -> None:
    for _ in range(2):
        door.owner.rotate("root", "timestamp")
    door.owner.publish(door.repository)
    (door.repository / "metadata" / "2.root.json").unlink()
    assert door.refused() == "root version 2 is missing, and there is a version 3"


def test_root_chain_with_a_step_repeated(door: Door) -> None:
    (door.repository / "metadata" / "2.root.json").write_bytes(door.owner.roots[0])
    assert door.refused() == "is root version 1"


# Wrong software installation: "a client installs a trusted file that is not the one the client wanted".


def test_wrong_software_for_another_device(door: Door) -> None:
    door.owner.add(door.bundle("back-2"), version=2, devices=["back-*", "garage"])
    door.owner.publish(door.repository)
    assert door.refused(name="back-2") == "signed for other devices: back-*, garage"
    assert door.fetch().bundle_id == "door-1"


def test_wrong_software_for_another_machine(door: Door) -> None:
    door.owner.add(door.bundle("pc-2"), version=2, machines=["x86_64"])
    door.owner.publish(door.repository)
    assert door.refused(name="pc-2") == "signed for other machines: x86_64"
    assert door.fetch().bundle_id == "door-1"


def test_wrong_software_under_a_known_name(door: Door) -> None:
    """What calls itself door-1 in its manifest, and is listed as door-2."""
    other = door.bundle("door-2")
    for path in other.iterdir():
        door.owner.list_file(f"door-3/{path.name}", path.read_bytes())
    door.owner.targets["door-3/manifest.json"].unrecognized_fields["custom"] = {"version": 3}
    door.owner.publish(door.repository)
    assert door.refused(name="door-3") == "its manifest calls itself door-2"


def test_wrong_software_put_where_a_signed_one_is_installed(door: Door) -> None:
    forged = door.bundle("door-1", b"another network")
    with pytest.raises(BundleError, match="not the bundle that was signed as door-1"):
        door.trust.check(forged)


def test_an_older_version_says_so(door: Door) -> None:
    """Which version runs is the caller's to know; the offer has the number to compare."""
    published(door, 2)
    assert [(one.bundle_id, one.version) for one in door.trust.offers(str(door.repository))] == [
        ("door-2", 2), ("door-1", 1),
    ]  # fmt: skip
    assert door.fetch().version > door.fetch(name="door-1").version


def test_over_the_network_as_from_a_folder(door: Door) -> None:
    published(door, 2)
    with web_server(door.repository) as address:
        assert door.fetch(address).bundle_id == "door-2"
        file = target_file(door.repository, "door-2/detector-model.onnx")
        file.write_bytes(b"DETECTOR")
        assert door.refused(address) == "not the file that was signed"
