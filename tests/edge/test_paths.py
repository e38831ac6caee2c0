"""Where things lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config.settings import Outbox, Settings
from edge.paths import data_folder, gallery_file, journal_file, outbox_file

SHARED, OWN = Path("/shared/gallery.sqlite"), Path("/own/events.sqlite")


@pytest.mark.parametrize(
    ("state", "settings", "gallery", "outbox"),
    [
        ("", Settings(), "/home/data/ostiary/gallery.sqlite", "/home/data/ostiary/outbox.sqlite"),
        ("", Settings(gallery=SHARED), "/shared/gallery.sqlite", "/shared/outbox.sqlite"),
        ("/state", Settings(), "/state/gallery.sqlite", "/state/outbox.sqlite"),
        ("/state:/more", Settings(gallery=SHARED), "/shared/gallery.sqlite", "/state/outbox.sqlite"),
        ("/state", Settings(outbox=Outbox(file=OWN)), "/state/gallery.sqlite", "/own/events.sqlite"),
    ],
)
def test_daemons_may_share_a_gallery_and_never_an_outbox(
    state: str, settings: Settings, gallery: str, outbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", state)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/data")
    assert data_folder() == Path(state.partition(":")[0] or "/home/data/ostiary")
    assert gallery_file(settings) == Path(gallery)
    assert outbox_file(settings) == Path(outbox)
    assert journal_file(settings) == Path(outbox.removesuffix(".sqlite") + "-commands.sqlite")
