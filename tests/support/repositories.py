"""Repositories of signed bundles made with tuf's own metadata alone: an owner's, and whatever an attacker makes of them.

`convert.signing` is not used: what it writes is compared with the specification by way of this and of the client.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from tests.support.bundles import make_bundle

ROLES = ("root", "timestamp", "snapshot", "targets")
ISSUED = "x-ostiary-issued"


@dataclass
class Owner:
    """Keys by role, and the state of a repository; `publish` signs and writes it."""

    keys: dict[str, list[CryptoSigner]] = field(
        default_factory=lambda: {role: [CryptoSigner.generate_ed25519()] for role in ROLES}
    )
    thresholds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 1))
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    days: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ROLES, 30.0))
    targets: dict[str, TargetFile] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    """Of the targets that are written; one without is listed only."""
    withdrawn: dict[str, dict[str, Any]] = field(default_factory=dict)
    roots: list[bytes] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    signers: dict[str, list[CryptoSigner]] = field(default_factory=dict)
    """Who signs instead of `keys`; what a thief has, or a forgetful owner."""
    hashes: bool = True
    """timestamp and snapshot state the digests of what they speak of."""

    def add(self, bundle: Path, *, version: int = 1, **terms: Any) -> str:
        """List every file of a bundle, under the id of its manifest."""
        bundle_id = str(json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["bundle_id"])
        for path in bundle.iterdir():
            self.list_file(f"{bundle_id}/{path.name}", path.read_bytes())
        self.targets[f"{bundle_id}/manifest.json"].unrecognized_fields["custom"] = {"version": version, **terms}
        return bundle_id

    def copy(self) -> Owner:
        """The same keys and state, to be changed apart."""
        kept = {name: getattr(self, name) for name in ("keys", "signers")}
        rest = {one.name: copy.deepcopy(getattr(self, one.name)) for one in fields(self) if one.name not in kept}
        return Owner(**rest, **{name: {role: [*held] for role, held in one.items()} for name, one in kept.items()})

    def list_file(self, name: str, data: bytes) -> None:
        """One target."""
        self.targets[name] = TargetFile.from_data(name, data)
        self.content[name] = data

    def withdraw(self, bundle_id: str, why: str = "") -> None:
        """No longer listed, and said so."""
        digest = self.targets[f"{bundle_id}/manifest.json"].hashes["sha256"]
        self.targets = {name: one for name, one in self.targets.items() if not name.startswith(f"{bundle_id}/")}
        self.withdrawn[digest] = {"bundle_id": bundle_id, "version": 1, "reason": why}

    def new_root(self, signers: Iterable[CryptoSigner] | None = None) -> bytes:
        """The next root, of the keys there are now."""
        self.versions["root"] += 1
        root = Root(version=self.versions["root"], expires=self._expires("root"), consistent_snapshot=True)
        for role in ROLES:
            for key in self.keys[role]:
                root.add_key(key.public_key, role)
            root.roles[role].threshold = self.thresholds[role]
        self.roots.append(self.signed(root, self.keys["root"] if signers is None else signers))
        return self.roots[-1]

    def rotate(self, *roles: str) -> dict[str, list[CryptoSigner]]:
        """New keys for these roles, and a root that says so, signed by old and new; returns the old ones."""
        old = {role: self.keys[role] for role in roles}
        signers = [*self.keys["root"]]
        for role in roles:
            self.keys[role] = [CryptoSigner.generate_ed25519() for _ in self.keys[role]]
        self.new_root([*signers, *(self.keys["root"] if "root" in roles else [])])
        return old

    def signed(self, payload: Any, signers: Iterable[CryptoSigner]) -> bytes:
        """Metadata with these signatures."""
        payload.unrecognized_fields.setdefault(ISSUED, self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        metadata = Metadata(payload)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def publish(self, folder: Path, *, only: tuple[str, ...] = ("targets", "snapshot", "timestamp")) -> Path:
        """Write the next version of these roles, all roots, and the files."""
        metadata = folder / "metadata"
        metadata.mkdir(parents=True, exist_ok=True)
        if not self.roots:
            self.new_root()
        for number, root in enumerate(self.roots, start=1):
            (metadata / f"{number}.root.json").write_bytes(root)
        for role in only:
            self.versions[role] += 1
        if "targets" in only:
            self._write(metadata, "targets", self._targets())
        if "snapshot" in only:
            self._write(metadata, "snapshot", self._snapshot(metadata))
        if "timestamp" in only:
            meta = self._meta(metadata, "snapshot")
            self._write(
                metadata, "timestamp", Timestamp(self.versions["timestamp"], None, self._expires("timestamp"), meta)
            )
        self._write_files(folder / "targets")
        return folder

    def _targets(self) -> Targets:
        fields = {"x-ostiary-withdrawn": dict(self.withdrawn)} if self.withdrawn else {}
        return Targets(
            version=self.versions["targets"],
            expires=self._expires("targets"),
            targets=dict(self.targets),
            unrecognized_fields=fields,
        )

    def _snapshot(self, metadata: Path) -> Snapshot:
        meta = {"targets.json": self._meta(metadata, "targets")}
        return Snapshot(version=self.versions["snapshot"], expires=self._expires("snapshot"), meta=meta)

    def _meta(self, metadata: Path, role: str) -> MetaFile:
        version = self.versions[role]
        path = metadata / f"{version}.{role}.json"
        if not self.hashes or not path.exists():
            return MetaFile(version)
        return MetaFile.from_data(version, path.read_bytes(), ["sha256"])

    def _write(self, metadata: Path, role: str, payload: Any) -> None:
        name = "timestamp.json" if role == "timestamp" else f"{self.versions[role]}.{role}.json"
        (metadata / name).write_bytes(self.signed(payload, self.signers.get(role, self.keys[role])))

    def _write_files(self, folder: Path) -> None:
        for name, target in self.targets.items():
            bundle_id, _, file = name.rpartition("/")
            if name not in self.content:
                continue
            path = folder / bundle_id / f"{target.hashes['sha256']}.{file}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.content[name])

    def _expires(self, role: str) -> datetime:
        return self.now + timedelta(days=self.days[role])

    def trust(self, folder: Path, version: int = 1) -> Path:
        """A folder with root.json, as an installer puts it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "root.json").write_bytes(self.roots[version - 1])
        return folder


def tiny_bundle(folder: Path, bundle_id: str = "door-1", *, content: bytes = b"detector") -> Path:
    """A bundle whose digests are right, and whose networks are none."""
    source = folder.with_name(f".{folder.name}-detector")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(content)
    made = make_bundle(folder, detector_file=source, overrides={"bundle_id": bundle_id})
    source.unlink()
    return made


def copied(repository: Path, folder: Path) -> Path:
    """The same, elsewhere, to be spoiled."""
    return Path(shutil.copytree(repository, folder))
