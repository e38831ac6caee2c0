"""One change of a repository: what is edited, who signs it, and what has to be signed anew because of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.signing.commit import METADATA, STAGED, TARGETS, commit
from convert.signing.repository import ROLES, Repository, dated, is_signed, lifetime, read, signed_with
from edge.errors import UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, MetaFile, Root, Targets

WITH = "Give its file, or a folder of keys, with --with."


@dataclass(slots=True)
class Change:
    """Collects what one command changes; nothing is on disk before `save`."""

    repository: Repository
    signers: Mapping[str, CryptoSigner]
    days: Mapping[str, int]
    now: datetime
    files: dict[str, bytes | Path] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    """What was signed, such as `targets 4`; for a person."""

    def targets(self, edit: Callable[[Targets], None]) -> None:
        """New targets, on top of those that wait for signatures. UsageError without any key of the role."""
        base = self.repository.staged.get("targets", self.repository.targets)
        payload = copy.deepcopy(base.signed)
        payload.version = self.repository.targets.signed.version + 1
        edit(payload)
        dated(payload, self.days, self.now)
        self._settle("targets", self._sign(payload, self._keys("targets")))

    def root(self, edit: Callable[[Root], None]) -> None:
        """A new root, signed by the keys of the old one and of its own."""
        base = self.repository.staged.get("root", self.repository.root)
        payload = copy.deepcopy(base.signed)
        payload.version = self.repository.root.signed.version + 1
        edit(payload)
        dated(payload, self.days, self.now)
        keys = [*self._keys("root"), *payload.get_delegated_role("root").keyids]
        self._settle("root", self._sign(payload, list(dict.fromkeys(keys))))

    def approve(self) -> None:
        """Add signatures to what waits for them. UsageError where nothing does, or with no key for it."""
        if not self.repository.staged:
            raise UsageError("nothing waits for a signature", where=str(self.repository.folder))
        added = False
        for role, metadata in sorted(self.repository.staged.items(), key=lambda item: ROLES.index(item[0])):
            keys = self._keys(role)
            if role == "root":
                keys += metadata.signed.get_delegated_role("root").keyids
            for key in keys:
                if key in self.signers and key not in metadata.signatures:
                    metadata.sign(self.signers[key], append=True)
                    added = True
            self._settle(role, metadata)
        if not added:
            raise self._lacks(next(iter(self.repository.staged)))

    def publish(self, *, renew: bool = False) -> None:
        """Sign anew what a change asks for, and with `renew` what is due, so far as the keys are at hand.

        UsageError where devices could not follow: a root that counts must never stand beside metadata that it refuses.
        """
        repository = self.repository
        if not repository.holds("targets") or (renew and self._is_due("targets")):
            self._anew_targets()
        must = not repository.is_published or not repository.holds("snapshot")
        can_both = self._can_sign("snapshot") and self._can_sign("timestamp")
        if can_both and (must or (renew and self._is_due("snapshot"))):
            self._snapshot()
        elif must:
            self._check_followed("timestamp" if self._can_sign("snapshot") else "snapshot")
        is_new = repository.timestamp.signed.snapshot_meta.version != repository.snapshot.signed.version
        if renew or is_new or not repository.holds("timestamp"):
            if renew or self._can_sign("timestamp"):
                self._timestamp()
            else:
                self._check_followed("timestamp")

    def save(self) -> None:
        """All of it, or nothing."""
        self._prune()
        commit(self.repository.folder, self.files, tuple(self.gone))

    def _anew_targets(self) -> None:
        """The same again, later."""
        if self._can_sign("targets"):
            self.targets(lambda _: None)
        elif not self.repository.holds("targets"):
            raise self._lacks("targets")

    def _snapshot(self) -> None:
        payload = copy.deepcopy(self.repository.snapshot.signed)
        payload.version += 1
        payload.meta["targets.json"] = self._meta("targets")
        dated(payload, self.days, self.now)
        self._settle("snapshot", self._sign(payload, self._keys("snapshot")))

    def _timestamp(self) -> None:
        payload = copy.deepcopy(self.repository.timestamp.signed)
        payload.version += 1
        payload.snapshot_meta = self._meta("snapshot")
        dated(payload, self.days, self.now)
        self._settle("timestamp", self._sign(payload, self._keys("timestamp")))

    def _settle(self, role: str, metadata: Metadata[Any]) -> None:
        """Where metadata goes: into force when enough have signed it, else aside until they have."""
        name = f"{STAGED}/{role}.json"
        version = metadata.signed.version
        if self._is_complete(role, metadata):
            setattr(self.repository, role, metadata)
            self.repository.staged.pop(role, None)
            place = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
            self.files[f"{METADATA}/{place}"] = metadata.to_bytes()
            self.files.pop(name, None)
            self.gone.append(name)
            self.signed.append(f"{role} {version}")
        elif role in {"root", "targets"}:
            self.repository.staged[role] = metadata
            self.files[name] = metadata.to_bytes()
        else:
            raise self._lacks(role)

    def _is_complete(self, role: str, metadata: Metadata[Any]) -> bool:
        if role == "root" and not is_signed(metadata.signed, role, metadata):
            return False
        return is_signed(self.repository.root.signed, role, metadata)

    def _sign(self, payload: Any, keys: list[str]) -> Metadata[Any]:
        metadata = signed_with(payload, keys, self.signers)
        if not metadata.signatures:
            raise self._lacks(payload.type)
        return metadata

    def _keys(self, role: str) -> list[str]:
        return list(self.repository.root.signed.get_delegated_role(role).keyids)

    def _can_sign(self, role: str) -> bool:
        needed = self.repository.root.signed.get_delegated_role(role)
        return len(set(needed.keyids) & set(self.signers)) >= needed.threshold

    def _check_followed(self, role: str) -> None:
        """A role that cannot be signed now may stay as it is; UsageError where devices would refuse it under the new root."""
        if not self.repository.holds(role) or not self._is_told_of_what_holds():
            raise self._lacks(role)

    def _is_told_of_what_holds(self) -> bool:
        """The targets that devices are told of now have the signatures that the root, perhaps a new one, asks for."""
        version = self.repository.snapshot.signed.meta["targets.json"].version
        told = read(self.repository.folder / METADATA / f"{version}.targets.json", "targets")
        return is_signed(self.repository.root.signed, "targets", told)

    def _lacks(self, role: str) -> UsageError:
        needed = self.repository.root.signed.get_delegated_role(role)
        ids = ", ".join(key[:12] for key in needed.keyids)
        some = "a key" if needed.threshold == 1 else f"{needed.threshold} keys"
        where = str(self.repository.folder)
        return UsageError(f"no signature for {role}", where=where, expected=f"{some} of {ids}", hint=WITH)

    def _is_due(self, role: str) -> bool:
        """Less than half of its time is left, or another time is asked for."""
        signed = self.repository.of(role).signed
        return role in self.days or signed.expires - self.now < timedelta(days=lifetime(signed, {}) / 2)

    def _meta(self, role: str) -> MetaFile:
        """Version and digest of what counts for a role, of its very bytes."""
        from tuf.api.metadata import MetaFile

        version = self.repository.of(role).signed.version
        name = f"{METADATA}/{version}.{role}.json"
        new = self.files.get(name)
        data = new if isinstance(new, bytes) else (self.repository.folder / name).read_bytes()
        return MetaFile.from_data(version, data, ["sha256"])

    def _prune(self) -> None:
        """Files that no metadata speaks of, once devices are told of the newest."""
        if not self.repository.is_published:
            return
        named = {
            path
            for one in self._all_targets()
            for target in one.targets.values()
            for path in target.get_prefixed_paths()
        }
        folder = self.repository.folder / TARGETS
        for path in folder.glob("*/*"):
            name = path.relative_to(folder).as_posix()
            if re.fullmatch(r"[0-9a-f]{64}\..+", path.name) and name not in named:
                self.gone.append(f"{TARGETS}/{name}")

    def _all_targets(self) -> list[Targets]:
        waiting = self.repository.staged.get("targets")
        return [self.repository.targets.signed, *([waiting.signed] if waiting else [])]
