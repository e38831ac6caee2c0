"""The verb that switches to another installed bundle."""

from __future__ import annotations

import dataclasses

from edge.bundle.store import BundleStore
from edge.commands import arguments
from edge.commands.refusal import RefusedError
from edge.commands.request import Request
from edge.commands.work import Result, Work
from edge.errors import GalleryError
from edge.pipeline import thresholds_of
from edge.reader import Models, load_models


def switch(work: Work, request: Request) -> Result:
    """Proved to work on this box before the link is changed; then the daemon begins again with it."""
    asked: arguments.SwitchBundle = request.arguments
    settings = work.settings
    if settings.bundle is not None or settings.bundles is None:
        reason = "`bundle` names one" if settings.bundle is not None else "`bundles` names no folder"
        raise RefusedError("unavailable", f"this box is not set up to switch: in its configuration {reason}")
    store = BundleStore(settings.bundles)
    folder = store.folder(asked.bundle)
    models = load_models(dataclasses.replace(settings, bundle=folder))
    thresholds_of(models.bundle, settings.decide.operating_point)
    _check_gallery(work, models)
    previous = work.models.bundle.manifest.bundle_id
    store.activate(asked.bundle)
    work.restart()
    return {"bundle_id": models.bundle.manifest.bundle_id, "previous": previous, "restarting": True}


def _check_gallery(work: Work, models: Models) -> None:
    spec = models.bundle.manifest.embedder
    with work.gallery() as gallery:
        if (gallery.embedder_id, gallery.embedding_length) != (spec.embedder_id, spec.embedding_length):
            raise GalleryError(
                f"the gallery is of embedder {gallery.embedder_id!r}, that bundle of {spec.embedder_id!r}",
                where=str(gallery.path),
                expected="a bundle of the same embedder",
                hint="Enrol everyone again into a new gallery.",
            )
