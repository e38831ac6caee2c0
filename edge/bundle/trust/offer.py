"""What the signed list says of bundles: which there are, for whom, and which were taken back."""

from __future__ import annotations

import platform
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from edge.bundle.folder import MANIFEST_NAME, MAX_ARTIFACT_BYTES, MAX_MANIFEST_BYTES
from edge.bundle.manifest import DIGEST, FILE_NAME
from edge.bundle.store import NAME
from edge.errors import BundleError
from edge.validation import build, setting

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

WITHDRAWN = "x-ostiary-withdrawn"
"""Field of the signed list beside the targets: digest of a manifest -> {bundle_id, version, reason} of what was taken back."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A bundle that the signed list names for this box."""

    bundle_id: str
    version: int
    """Of the signer's counting: higher is newer, whatever the names say."""
    manifest_sha256: str
    devices: tuple[str, ...] = ()
    """Patterns of device names it is signed for; none means every device."""
    machines: tuple[str, ...] = ()
    """As `this_machine` has them; none means every one."""
    description: str = ""
    bytes: int = 0
    """Of all its files."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the signer states of a bundle, in `custom` of its manifest's target."""

    version: int = setting(doc="higher is newer", minimum=1)
    devices: tuple[str, ...] = setting(
        (), doc="glob patterns of device names; none means all", pattern=r"[A-Za-z0-9_*?!\[\]-]{1,64}"
    )
    machines: tuple[str, ...] = setting(
        (), doc="aarch64, armv7l, x86_64; none means all", pattern=r"[A-Za-z0-9_-]{1,32}"
    )
    description: str = setting("", doc="for a person")


@dataclass(frozen=True, slots=True)
class Box:
    """Who asks."""

    device: str
    machine: str


@dataclass(frozen=True, slots=True)
class SignedList:
    """The bundles of trusted targets metadata, and where it came from."""

    where: str
    files: Mapping[str, Mapping[str, TargetFile]]
    """Bundle -> name of a file -> what was signed of it."""
    withdrawn: Mapping[str, str]
    """Digest of a manifest -> why."""

    def offer(self, bundle_id: str) -> Offer:
        """What is offered under a name, for whatever box. BundleError where there is none, or one that cannot be meant."""
        files = self.files.get(bundle_id)
        if files is None:
            listed = ", ".join(sorted(self.files)) or "none"
            raise BundleError(f"no bundle {bundle_id[:64]!r} in the signed list", where=self.where, expected=listed)
        where = f"{self.where}, bundle {bundle_id}"
        manifest = files.get(MANIFEST_NAME)
        digest = "" if manifest is None else manifest.hashes.get("sha256", "")
        if manifest is None or not isinstance(digest, str) or not re.fullmatch(DIGEST, digest):
            problem = f"listed without a SHA-256 of its {MANIFEST_NAME}"
            raise BundleError(problem, where=where, expected="a bundle added by `ostiary-convert sign add`")
        terms = _terms(manifest.custom, where)
        total = sum(one.length for one in files.values())
        return Offer(bundle_id, terms.version, digest, terms.devices, terms.machines, terms.description, total)

    def of_digest(self, digest: str) -> Offer | None:
        """The bundle whose manifest has this SHA-256."""
        for bundle_id, files in self.files.items():
            manifest = files.get(MANIFEST_NAME)
            if manifest is not None and manifest.hashes.get("sha256") == digest:
                return self.offer(bundle_id)
        return None

    def suited(self, box: Box) -> list[Offer]:
        """All that this box may take, newest first; what is stated in terms of the future is passed over."""
        found = []
        for bundle_id in self.files:
            try:
                offer = self.offer(bundle_id)
                check_suits(offer, box, self.where)
            except BundleError:
                continue
            found.append(offer)
        return sorted(found, key=lambda one: (-one.version, one.bundle_id))

    def newest(self, box: Box) -> Offer:
        """The highest version for this box; BundleError where there is none."""
        suited = self.suited(box)
        if not suited:
            problem = f"no bundle for {box.device} ({box.machine}) in the signed list"
            named = f"; it lists {', '.join(sorted(self.files))} for others" if self.files else "; it is empty"
            raise BundleError(problem + named, where=self.where, expected="one signed for this box")
        return suited[0]


def check_suits(offer: Offer, box: Box, where: str) -> None:
    """BundleError where a bundle was signed for others."""
    where = f"{where}, bundle {offer.bundle_id}"
    if offer.devices and not any(fnmatchcase(box.device, pattern) for pattern in offer.devices):
        hint = "Its signer says which devices may run it: ostiary-convert sign add --device."
        raise BundleError(
            f"signed for other devices: {', '.join(offer.devices)}", where=where, expected=box.device, hint=hint
        )
    if offer.machines and box.machine not in offer.machines:
        hint = "Its signer says which processors may run it: ostiary-convert sign add --machine."
        raise BundleError(
            f"signed for other machines: {', '.join(offer.machines)}", where=where, expected=box.machine, hint=hint
        )


def signed_list(targets: Mapping[str, TargetFile], extra: Mapping[str, Any], where: str) -> SignedList:
    """Targets metadata whose signatures were checked -> what it lists. BundleError for a file that no bundle may have."""
    files: dict[str, dict[str, TargetFile]] = {}
    for path, target in targets.items():
        bundle_id, _, name = path.partition("/")
        if not re.fullmatch(NAME, bundle_id) or not re.fullmatch(FILE_NAME, name):
            hint = "Bundles are added by `ostiary-convert sign add`."
            raise BundleError(f"lists {path[:100]!r}", where=where, expected="BUNDLE/FILE", hint=hint)
        most = MAX_MANIFEST_BYTES if name == MANIFEST_NAME else MAX_ARTIFACT_BYTES
        if target.length > most:
            raise BundleError(f"lists {path} with {target.length} bytes", where=where, expected=f"at most {most}")
        files.setdefault(bundle_id, {})[name] = target
    withdrawn = extra.get(WITHDRAWN, {})
    reasons = {str(digest): _reason(why) for digest, why in withdrawn.items()} if isinstance(withdrawn, dict) else {}
    return SignedList(where, files, reasons)


def _reason(why: Any) -> str:
    """Of a bundle that was taken back; `bundle_id` and `version` stand beside it, for people who read the list."""
    return str(why.get("reason", "") if isinstance(why, dict) else why)


def this_machine() -> str:
    """Like `uname -m`, but of what runs here: Raspberry Pi OS of 32 bits has a kernel of 64, which says aarch64."""
    machine = platform.machine()
    return "armv7l" if machine == "aarch64" and struct.calcsize("P") == 4 else machine


def _terms(custom: Any, where: str) -> Terms:
    terms, faults = build(Terms, custom if isinstance(custom, dict) else {})
    if terms is None:
        hint = "Update ostiary on this box if a newer one signed it."
        rows = "; ".join(str(fault) for fault in faults)
        raise BundleError(f"its terms are not understood: {rows}", where=where, hint=hint)
    return terms
