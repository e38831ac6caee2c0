"""Switching to another installed bundle, and back: signed, proved on this box, of the gallery's embedder, and only then the link.

The switch itself is one rename; what runs changes when the daemon begins again, and is then on trial (edge/bundle/slots.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.bundle.folder import Bundle, load_bundle
from edge.bundle.gallery_switch import GallerySwitch, check_gallery
from edge.bundle.selftest import Report, SelfTest
from edge.bundle.slots import Slots, Standing
from edge.bundle.store import OWN, BundleStore
from edge.bundle.trust import trust_of
from edge.config.settings import Settings
from edge.errors import BundleError, UsageError

ASKED = "somebody asked for it"


@dataclass(frozen=True, slots=True)
class Switched:
    """A switch that was made; it counts from the next start of the daemon on."""

    name: str
    """Slot."""
    bundle_id: str
    previous: str | None
    """Slot that it goes back to; None for the package's own bundle."""
    report: Report | None
    """None where it was in use already."""


def store_of(settings: Settings) -> BundleStore:
    """The folder of installed bundles; UsageError where this box is not set up to switch."""
    if settings.bundle is not None or settings.bundles is None:
        reason = "`bundle` names one" if settings.bundle is not None else "`bundles` names no folder"
        hint = "Set `bundles` to a folder that the daemon's user may write, and leave `bundle` out."
        raise UsageError(f"this box is not set up to switch: in its configuration {reason}", hint=hint)
    return BundleStore(settings.bundles)


class Test(Protocol):
    """A self-test that runs; see SelfTest."""

    def poll(self) -> Report | None:
        """None while it runs; BundleError when it was not passed."""

    def wait(self) -> Report:
        """Until there is a result."""

    def close(self) -> None:
        """End it, when it still runs."""


StartTest = Callable[[Settings, Bundle], Test]


class Activation:
    """One that is under way, because its parts take seconds: `poll` it, or `wait`."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        allow_older: bool = False,
        leave_out: bool = False,
        start_test: StartTest = SelfTest,
    ) -> None:
        """Checks what can be checked at once, and starts the self-test. BundleError, UsageError.

        `leave_out` is for a bundle with another embedder: also without those who cannot be embedded again.
        """
        self._settings = settings
        self._slots = Slots(store_of(settings))
        self._name = name
        self._leave_out = leave_out
        self._bundle = load_bundle(self._slots.store.folder(name))
        self._version = version_of(settings, self._bundle)
        now = self._slots.standing()
        is_active = now.active == name
        if not allow_older and not is_active:
            check_newer(now, self._version, self._bundle)
        self._report: Report | None = None
        self._people: GallerySwitch | None = None
        self._test = None if is_active else start_test(settings, self._bundle)

    def poll(self) -> Switched | None:
        """None while it goes on; BundleError or GalleryError when the bundle does not pass. Then nothing has changed."""
        if self._test is not None:
            if self._report is None and (report := self._test.poll()) is None:
                return None
            self._report = self._report or report
            if not self._start_people().poll():
                return None
        return self._switched()

    def wait(self) -> Switched:
        """Until it is done."""
        try:
            if self._test is not None:
                self._report = self._test.wait()
                self._start_people().wait()
            return self._switched()
        finally:
            self.close()

    def close(self) -> None:
        """Leave it, when it still goes on: what runs is as it was."""
        if self._test is not None:
            self._test.close()

    def _start_people(self) -> GallerySwitch:
        if self._people is None:
            self._people = GallerySwitch(self._settings, self._bundle, leave_out=self._leave_out)
        return self._people

    def _switched(self) -> Switched:
        previous = self._slots.switch(self._name, version=self._version)
        return Switched(self._name, self._bundle.manifest.bundle_id, previous, self._report)


def activate(settings: Settings, name: str, *, allow_older: bool = False, leave_out: bool = False) -> Switched:
    """Check, prove, and switch. BundleError, GalleryError or UsageError, and nothing has changed."""
    return Activation(settings, name, allow_older=allow_older, leave_out=leave_out).wait()


def roll_back(settings: Settings, reason: str = ASKED) -> Standing:
    """Back to what ran before, which is looked at first: it may have been damaged or taken back meanwhile."""
    slots = Slots(store_of(settings))
    target = slots.target()
    bundle = load_bundle(None if target is None else slots.store.path / target)
    if target is not None:
        version_of(settings, bundle)
    check_gallery(settings, bundle)
    return slots.roll_back(reason)


def version_of(settings: Settings, bundle: Bundle) -> int | None:
    """What its signature states; None where this box asks for none. BundleError where it is not signed for this box."""
    trust = trust_of(settings)
    return None if trust is None else trust.check(bundle.folder).version


def check_newer(now: Standing, version: int | None, bundle: Bundle) -> None:
    """BundleError for a version below the one in use."""
    if version is None or now.version is None or version >= now.version:
        return
    hint = "To go back on purpose: `ostiary bundle rollback`, or --allow-older."
    raise BundleError(
        f"older than what is in use: version {version}", where=str(bundle.folder),
        expected=f"at least {now.version}, that of {now.active or OWN}", hint=hint,
    )  # fmt: skip
