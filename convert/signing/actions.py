"""What an owner does with a repository: make it, list a bundle, take one back, keep it fresh, change keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.signing.commit import METADATA, TARGETS, commit, writing
from convert.signing.edit import Change
from convert.signing.repository import ROLES, Repository, dated, open_repository, signed_with
from edge.bundle import MANIFEST_NAME, load_bundle, sha256_of
from edge.bundle.store import is_name
from edge.bundle.trust.offer import WITHDRAWN, Terms
from edge.errors import BundleError, UsageError
from edge.validation import build

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Root, Targets

KeyRing = Mapping[str, "CryptoSigner"]


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs, when, and for how long."""

    signers: KeyRing
    days: Mapping[str, int]
    now: datetime

    @classmethod
    def today(cls, signers: KeyRing, days: Mapping[str, int] | None = None) -> Signing:
        """At this moment."""
        return cls(signers, days or {}, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    signed: list[str]
    waits_for: list[str]
    """Roles whose metadata other keys have to sign too."""
    is_published: bool
    """Devices are told."""


def create(
    folder: Path, keys: Mapping[str, list[CryptoSigner]], thresholds: Mapping[str, int], signing: Signing
) -> Outcome:
    """An empty repository. UsageError where something is there already, or a role has too few keys."""
    from tuf.api.metadata import MetaFile, Root, Snapshot, Targets, Timestamp

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("something is there already", where=str(folder), expected="a new folder")
    root = Root(consistent_snapshot=True)
    for role in ROLES:
        _check_enough(role, len(keys.get(role, [])), thresholds.get(role, 1))
        for signer in keys[role]:
            root.add_key(signer.public_key, role)
        root.roles[role].threshold = thresholds.get(role, 1)
    files: dict[str, bytes | Path] = {}
    payloads: list[Any] = [root, Targets(), Snapshot(), Timestamp()]
    for payload in payloads:
        dated(payload, signing.days, signing.now)
        signers = {signer.public_key.keyid: signer for signer in keys[payload.type]}
        data = signed_with(payload, signers, signers).to_bytes()
        if payload.type == "targets":
            payloads[2].meta["targets.json"] = MetaFile.from_data(1, data, ["sha256"])
        elif payload.type == "snapshot":
            payloads[3].snapshot_meta = MetaFile.from_data(1, data, ["sha256"])
        files[f"{METADATA}/" + ("timestamp.json" if payload.type == "timestamp" else f"1.{payload.type}.json")] = data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TARGETS).mkdir()
    except OSError as error:
        raise UsageError(f"cannot be made ({error.strerror})", where=str(folder)) from error
    with writing(folder):
        commit(folder, files)
    return Outcome([f"{role} 1" for role in ROLES], [], is_published=True)


def add(folder: Path, bundle: Path, terms: Mapping[str, Any], signing: Signing) -> Outcome:
    """List a bundle. UsageError where its name or version is taken, BundleError where it is unsound."""
    from tuf.api.metadata import TargetFile

    manifest = load_bundle(bundle).manifest
    stated, faults = build(Terms, dict(terms))
    if stated is None:
        raise UsageError("; ".join(str(fault) for fault in faults), expected="other terms")
    _check_name(manifest.bundle_id, bundle)
    with writing(folder):
        change = _change(folder, signing)
        _check_new(change.repository, manifest.bundle_id, bundle, stated)
        made = {}
        for name in (MANIFEST_NAME, *(file.path for file in manifest.files)):
            target = TargetFile.from_file(f"{manifest.bundle_id}/{name}", str(bundle / name))
            made[target.path] = target
            change.files[f"{TARGETS}/{target.get_prefixed_paths()[0]}"] = bundle / name
        made[f"{manifest.bundle_id}/{MANIFEST_NAME}"].unrecognized_fields["custom"] = dict(terms)

        def edit(targets: Targets) -> None:
            targets.targets |= made
            targets.unrecognized_fields.get(WITHDRAWN, {}).pop(sha256_of(bundle / MANIFEST_NAME), None)

        change.targets(edit)
        return _saved(change)


def withdraw(folder: Path, bundle_id: str, reason: str, signing: Signing) -> Outcome:
    """Take a bundle back: devices install and activate it no longer, and at their next update do not start it."""
    with writing(folder):
        change = _change(folder, signing)
        offer = change.repository.listed.offer(bundle_id)
        row = {"bundle_id": bundle_id, "version": offer.version, "reason": reason}

        def edit(targets: Targets) -> None:
            targets.targets = {
                name: one for name, one in targets.targets.items() if not name.startswith(f"{bundle_id}/")
            }
            targets.unrecognized_fields.setdefault(WITHDRAWN, {})[offer.manifest_sha256] = row

        change.targets(edit)
        return _saved(change)


def refresh(folder: Path, signing: Signing) -> Outcome:
    """A new timestamp, and whatever else is due, not published yet, or asked for, as far as the keys are at hand."""
    with writing(folder):
        change = _change(folder, signing)
        if "root" in signing.days:
            change.root(lambda _: None)
        change.publish(renew=True)
        change.save()
        return _outcome(change)


def approve(folder: Path, signing: Signing) -> Outcome:
    """Sign what somebody else has begun."""
    with writing(folder):
        change = _change(folder, signing)
        change.approve()
        return _saved(change)


def rotate(
    folder: Path, role: str, new: CryptoSigner, signing: Signing, *, old: str | None, threshold: int | None
) -> Outcome:
    """A key of a role gives way to a new one; `old` is its id, "" keeps all, None the only one there is."""
    with writing(folder):
        change = _change(folder, signing)
        key = new.public_key

        def edit(root: Root) -> None:
            leaving = _leaving(root, role, old)
            if key.keyid in root.get_delegated_role(role).keyids:
                raise UsageError("has this key already", where=f"role {role}", expected="a new one")
            root.add_key(key, role)
            if leaving:
                root.revoke_key(leaving, role)
            _set_threshold(root, role, threshold)

        change.root(edit)
        return _saved(change)


def revoke(folder: Path, role: str, key: str, signing: Signing, *, threshold: int | None) -> Outcome:
    """A key of a role counts no longer, from each device's next update on."""
    with writing(folder):
        change = _change(folder, signing)

        def edit(root: Root) -> None:
            root.revoke_key(_leaving(root, role, key) or "", role)
            _set_threshold(root, role, threshold)

        change.root(edit)
        return _saved(change)


def _change(folder: Path, signing: Signing) -> Change:
    return Change(open_repository(folder), signing.signers, signing.days, signing.now)


def _saved(change: Change) -> Outcome:
    change.publish()
    change.save()
    return _outcome(change)


def _outcome(change: Change) -> Outcome:
    return Outcome(change.signed, sorted(change.repository.staged), change.repository.is_published)


def _check_new(repository: Repository, bundle_id: str, bundle: Path, terms: Terms) -> None:
    listed, where = repository.listed, str(repository.folder)
    if bundle_id in listed.files:
        same = listed.offer(bundle_id).manifest_sha256 == sha256_of(bundle / MANIFEST_NAME)
        problem = f"bundle {bundle_id} is listed already" + ("" if same else ", with other content")
        hint = "A bundle that changes gets another bundle_id; withdraw the old one if need be."
        raise UsageError(problem, where=where, expected="a new bundle_id", hint=hint)
    offers = [listed.offer(one) for one in listed.files]
    for one in offers:
        if (one.version, set(one.devices), set(one.machines)) == (
            terms.version,
            set(terms.devices),
            set(terms.machines),
        ):
            highest = max(offer.version for offer in offers)
            problem = f"version {terms.version} is {one.bundle_id} already, for the same devices"
            raise UsageError(problem, where=where, expected=f"--version {highest + 1}")


def _check_name(bundle_id: str, bundle: Path) -> None:
    if not is_name(bundle_id):
        raise BundleError(
            f"bundle_id {bundle_id!r} is no name for a folder", where=str(bundle), expected="letters or digits first"
        )


def _check_enough(role: str, keys: int, threshold: int) -> None:
    if threshold < 1 or keys < threshold:
        hint = f"--key {role}=FILE, once for each."
        raise UsageError(f"{keys} key(s) for {role}", expected=f"at least {max(1, threshold)}", hint=hint)


def _leaving(root: Root, role: str, old: str | None) -> str | None:
    """The full id of the key that `old` begins; None where none is to leave."""
    ids = root.get_delegated_role(role).keyids
    if old == "":
        return None
    found = [key for key in ids if old is None or key.startswith(old)]
    if len(found) != 1:
        named = "several keys" if old is None else f"{len(found)} keys that begin with {old[:16]!r}"
        expected = f"one of {', '.join(key[:12] for key in ids)}"
        raise UsageError(f"{named} in role {role}", expected=expected)
    return found[0]


def _set_threshold(root: Root, role: str, threshold: int | None) -> None:
    needed = root.get_delegated_role(role)
    if threshold is not None:
        needed.threshold = threshold
    if needed.threshold < 1 or len(needed.keyids) < needed.threshold:
        hint = "Rotate it for a new one, or lower --threshold."
        problem = f"{len(needed.keyids)} key(s) would be left for {role}"
        raise UsageError(problem, expected=f"at least {max(1, needed.threshold)}", hint=hint)
