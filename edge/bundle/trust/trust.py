"""Fetch a signed bundle, and say of an installed one whether it may run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edge.bundle.folder import MANIFEST_NAME, MAX_MANIFEST_BYTES, load_bundle, sha256_of
from edge.bundle.trust.chain import list_in_force
from edge.bundle.trust.offer import Box, Offer, SignedList, check_suits, this_machine
from edge.bundle.trust.places import Downloader, Limits, open_place
from edge.bundle.trust.state import TrustState
from edge.bundle.trust.update import Update
from edge.config.settings import Settings
from edge.errors import BundleError, MissingDependencyError
from edge.paths import data_folder

ROOT = "root.json"
FOLDER = ".trusted"
MARGIN_BYTES = 16_000_000
"""Stays free on the disk."""


def trust_of(settings: Settings, *, machine: str | None = None) -> Trust | None:
    """As the configuration has it; None where bundles need no signature (`updates.trust` is not set).

    What the box comes to trust lies beside the bundles, as what the daemon's user may write: `updates.trust` itself can
    belong to root, in /etc.
    """
    if settings.updates.trust is None:
        return None
    state = (settings.bundles or data_folder()) / FOLDER
    return Trust(settings.updates.trust, device=settings.device.name, machine=machine, state=state)


class Trust:
    """A root of trust, and what followed from it so far."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        machine: str | None = None,
        state: Path | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder` holds root.json and is only read; `state` is written (default: a folder in `folder`). `clock` as time.time."""
        self.folder = folder
        self.box = Box(device, machine or this_machine())
        self._state = TrustState(state or folder / FOLDER)
        self._limits = limits
        self._clock = clock

    def fetch(self, source: str, bundle_id: str | None, into: Path) -> Offer:
        """Every file of a bundle into the empty folder `into`, each as it was signed; the caller syncs them.

        `source` is a folder or an https address; without `bundle_id` the highest version for this box. BundleError says
        what is wrong with what comes from there, RepositoryError that nothing comes.
        """
        with self._update(source, scratch=into) as (updater, listed):
            offer = listed.newest(self.box) if bundle_id is None else self._named(listed, bundle_id)
            free = shutil.disk_usage(into).free
            if offer.bytes + MARGIN_BYTES > free:
                problem = f"{offer.bytes} bytes for bundle {offer.bundle_id}, and {free} are free"
                raise BundleError(problem, where=str(into), expected=f"{offer.bytes + MARGIN_BYTES} bytes free")
            for name in listed.files[offer.bundle_id]:
                updater.fetch_file(f"{offer.bundle_id}/{name}", into / name)
        _check_agrees(into, offer, sorted(listed.files[offer.bundle_id]), listed.where)
        return offer

    def offers(self, source: str | None = None) -> list[Offer]:
        """What is listed for this box, newest first; without a source, of the last complete update."""
        if source is None:
            return self._in_force().suited(self.box)
        with self._update(source, scratch=None) as (_, listed):
            return listed.suited(self.box)

    def check(self, folder: Path) -> Offer:
        """An installed bundle may run: its manifest is in the signed list, for this box. Without network, whatever the expiry.

        The signature covers the manifest, and the manifest the files: that those are right is load_bundle's to say.
        """
        listed = self._in_force()
        where = str(folder)
        try:
            path = folder / MANIFEST_NAME
            if path.stat().st_size > MAX_MANIFEST_BYTES:
                raise BundleError(f"more than {MAX_MANIFEST_BYTES} bytes", where=str(path))
            digest, bundle_id = sha256_of(path), _claimed_id(path)
        except OSError as error:
            raise BundleError(
                f"cannot be read ({error.strerror})", where=where, expected="an installed bundle"
            ) from error
        offer = listed.of_digest(digest)
        if offer is None:
            raise _not_listed(listed, digest, bundle_id, where)
        check_suits(offer, self.box, where)
        return offer

    def _named(self, listed: SignedList, bundle_id: str) -> Offer:
        offer = listed.offer(bundle_id)
        check_suits(offer, self.box, listed.where)
        return offer

    def _in_force(self) -> SignedList:
        _need_tuf()
        root, generation = self._root(), self._state.current()
        while True:
            try:
                return list_in_force(root, str(self.folder / ROOT), generation, str(self._state.path))
            except BundleError:
                # Updates may have come and gone while it was read.
                newer = self._state.current()
                if newer == generation:
                    raise
                generation = newer

    @contextmanager
    def _update(self, source: str, *, scratch: Path | None) -> Iterator[tuple[Update, SignedList]]:
        _need_tuf()
        root, place = self._root(), open_place(source, self._limits)
        now = datetime.fromtimestamp(self._clock(), UTC)
        with self._state.draft() as draft:
            downloader = Downloader(place, scratch or draft, limits=self._limits)
            update = Update(root, str(self.folder / ROOT), draft, downloader)
            yield update, update.run(now)

    def _root(self) -> bytes:
        path = self.folder / ROOT
        try:
            with path.open("rb") as handle:
                return handle.read(MAX_MANIFEST_BYTES)
        except OSError as error:
            hint = "Whoever signs bundles gives it to you: REPOSITORY/metadata/1.root.json."
            raise BundleError(
                f"no root of trust ({error.strerror})", where=str(path), expected="root.json", hint=hint
            ) from error


def _not_listed(listed: SignedList, digest: str, bundle_id: str, where: str) -> BundleError:
    if digest in listed.withdrawn:
        why = f" ({listed.withdrawn[digest]})" if listed.withdrawn[digest] else ""
        hint = "Install and activate a newer one: ostiary bundle install."
        return BundleError(
            f"withdrawn by its signer{why}", where=where, expected="a bundle that is in force", hint=hint
        )
    if bundle_id in listed.files:
        hint = "Its manifest was changed, or somebody made another bundle of that name: install it again."
        problem = f"not the bundle that was signed as {bundle_id}"
        return BundleError(problem, where=where, expected=f"the manifest that {listed.where} lists", hint=hint)
    hint = "Its owner signs it with `ostiary-convert sign add`; then `ostiary bundle install` fetches it."
    return BundleError(
        "not signed, or not listed any more", where=where, expected=f"a bundle that {listed.where} lists", hint=hint
    )


def _claimed_id(path: Path) -> str:
    """What a manifest calls itself; for a message alone."""
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return ""
    return str(data.get("bundle_id", "")) if isinstance(data, dict) else ""


def _check_agrees(folder: Path, offer: Offer, names: list[str], where: str) -> None:
    """The manifest is what was listed, under its own name, and names every file that came with it and no other."""
    manifest = load_bundle(folder).manifest
    where = f"{where}, bundle {offer.bundle_id}"
    if manifest.bundle_id != offer.bundle_id:
        raise BundleError(f"its manifest calls itself {manifest.bundle_id}", where=where, expected=offer.bundle_id)
    beyond = sorted(set(names) - {MANIFEST_NAME, *(file.path for file in manifest.files)})
    if beyond:
        problem = f"brings files that its manifest does not name: {', '.join(beyond)}"
        raise BundleError(problem, where=where, expected="the bundle, and nothing with it")


def _need_tuf() -> None:
    try:
        import securesystemslib  # noqa: F401 - only whether it is there
        import tuf.api.metadata  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("tuf", extra="updates", purpose="a signed bundle (updates.trust)") from error
