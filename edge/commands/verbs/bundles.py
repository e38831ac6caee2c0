"""The verb that switches to another installed bundle."""

from __future__ import annotations

from edge.bundle.activation import Activation
from edge.commands import arguments
from edge.commands.refusal import RefusedError
from edge.commands.request import Request
from edge.commands.work import Result, Work
from edge.pipeline import FrameResult


def switch(work: Work, request: Request) -> Switching:
    """Proved to work on this box before the link is changed; then the daemon begins again with it, on trial."""
    settings = work.settings
    if settings.bundle is not None or settings.bundles is None:
        reason = "`bundle` names one" if settings.bundle is not None else "`bundles` names no folder"
        raise RefusedError("unavailable", f"this box is not set up to switch: in its configuration {reason}")
    return Switching(work, request.arguments)


class Switching:
    """A Job: frames go on while the self-test runs in a process of its own."""

    def __init__(self, work: Work, asked: arguments.SwitchBundle) -> None:
        """Starts it; UsageError, BundleError or GalleryError when there is nothing to test."""
        self._work = work
        self._until_ns = work.clock.monotonic_ns() + int(asked.timeout_s * 1e9)
        self._activation = Activation(work.settings, asked.bundle)

    def seen(self, result: FrameResult) -> Result | None:  # noqa: ARG002 - the signature is Job's
        """See Job."""
        return None

    def tick(self) -> Result | None:
        """See Job."""
        try:
            switched = self._activation.poll()
        except BaseException:
            self._activation.close()
            raise
        if switched is not None:
            self._activation.close()
            previous = self._work.models.bundle.manifest.bundle_id
            self._work.restart()
            return {"bundle_id": switched.bundle_id, "previous": previous, "restarting": True}
        if self._work.clock.monotonic_ns() >= self._until_ns:
            self._activation.close()
            raise RefusedError("timeout", "its self-test takes too long; nothing was switched")
        return None
