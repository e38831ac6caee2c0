"""The gallery's part of a switch to a bundle with another embedder: everybody is embedded again before the link is turned.

The new embeddings lie beside the old ones (edge/gallery/reembedding.py), so that the link alone decides which are used.
"""

from __future__ import annotations

import dataclasses
import threading

from edge.bundle.folder import Bundle, load_bundle
from edge.config.settings import Settings
from edge.errors import OstiaryError
from edge.gallery import gallery_of
from edge.gallery.reembedding import apply, plan
from edge.paths import gallery_file
from edge.reader import bundle_folder, load_models


class GallerySwitch:
    """One that goes on in a thread of its own: with many people it takes longer than a watchdog waits."""

    def __init__(self, settings: Settings, bundle: Bundle, *, leave_out: bool = False) -> None:
        """Starts it. `leave_out` goes on without those who cannot be embedded again."""
        self._settings = settings
        self._bundle = bundle
        self._leave_out = leave_out
        self._error: Exception | None = None
        # It may be left alone at any time: it writes in one transaction, and the old embeddings stay.
        self._thread = threading.Thread(target=self._run, name="gallery", daemon=True)
        self._thread.start()

    def poll(self) -> bool:
        """Whether it is done; GalleryError when people of this box could not be recognized any more."""
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def wait(self) -> None:
        """Until it is done."""
        self._thread.join()
        self.poll()

    def _run(self) -> None:
        try:
            switch_gallery(self._settings, self._bundle, leave_out=self._leave_out)
        except Exception as error:  # noqa: BLE001 - it is raised again by `poll`, in the thread that asked
            self._error = error


def switch_gallery(settings: Settings, bundle: Bundle, *, leave_out: bool = False) -> None:
    """Let the gallery serve the embedder of `bundle`, too. GalleryError, and nothing was written."""
    if not gallery_file(settings).exists():
        return
    if (
        plan(settings, bundle.manifest).is_required
        or _embedder_in_use(settings) != bundle.manifest.embedder.embedder_id
    ):
        apply(settings, load_models(dataclasses.replace(settings, bundle=bundle.folder)), leave_out=leave_out)
    check_gallery(settings, bundle)


def check_gallery(settings: Settings, bundle: Bundle) -> None:
    """GalleryError where the people of this box cannot be recognized with it."""
    if gallery_file(settings).exists():
        gallery_of(settings, bundle.manifest, create=False).close()


def _embedder_in_use(settings: Settings) -> str:
    """None that any bundle has where what is in use cannot be read."""
    try:
        return load_bundle(bundle_folder(settings)).manifest.embedder.embedder_id
    except OstiaryError:
        return ""
