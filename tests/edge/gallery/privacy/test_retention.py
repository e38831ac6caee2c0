"""Nobody is kept longer than was said, and nobody is erased by a wrong clock."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.config.guard import Privacy
from edge.errors import GalleryError
from edge.gallery.privacy.retention import DAEMON, DAY_S, RETRY_S, Retained, Retention, retain
from edge.gallery.store import Gallery
from edge.timebase import Clock
from tests.edge.gallery.support import everything, faces, opened

NOW = 2e9
PRIVACY = Privacy(erase_expired_after_d=30.0, audit_d=36_500.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "gallery.sqlite"
    with opened(made) as gallery:
        for number, (name, until) in enumerate(
            [
                ("for ever", None),
                ("not yet", NOW + 1),
                ("lately", NOW - 30 * DAY_S + 1),
                ("at once", NOW - 30 * DAY_S),
                ("long ago", 1.0),
            ]
        ):
            gallery.enrol(name, faces(2, number, source=f"{name}.jpg"))
            gallery.set_validity(name, valid_from=None, valid_until=until)
    return made


def names(path: Path) -> list[str]:
    with opened(path) as gallery:
        return [record.name for record in gallery.list_identities()]


def test_who_expired_long_enough_ago_is_erased(path: Path) -> None:
    with opened(path) as gallery:
        gone = tuple(sorted(gallery.get(name).id for name in ("at once", "long ago")))
        planned = retain(gallery, PRIVACY, NOW, dry_run=True)
        assert (sorted(planned.expired), planned.embeddings, len(gallery.list_identities())) == (list(gone), 4, 5)
        with gallery.acting(DAEMON):
            done = retain(gallery, PRIVACY, NOW)
        assert (tuple(sorted(done.expired)), done.embeddings, done.is_scrubbed) == (gone, 4, True)
        rows = [row for row in gallery.audit() if row.action == "erased_by_retention"]
        assert sorted((row.identity_id, row.embeddings, row.actor.kind) for row in rows) == [
            (one, 2, "daemon") for one in gone
        ]
        assert b"long ago" not in everything(path)
        assert faces(2, 4)[0].embedding.vector.tobytes() not in everything(path)
        assert retain(gallery, PRIVACY, NOW) == Retained((), 0, 0)
    assert names(path) == ["for ever", "lately", "not yet"]


def test_nobody_is_erased_unless_that_is_asked_for(path: Path) -> None:
    with opened(path) as gallery:
        assert retain(gallery, Privacy(), 1e10) == Retained((), 0, 10)
    assert len(names(path)) == 5


def test_what_a_removal_could_not_finish_is_finished_in_the_next_round(path: Path) -> None:
    with opened(path, busy_s=0.05) as gallery, opened(path) as reader:
        gallery.enrol("Big", faces(300, 77))

        def while_reading(connection: object) -> bool:
            reader._connection.execute("SELECT count(*) FROM identities").fetchone()
            return gallery.remove("Big").is_scrubbed

        assert reader.read(while_reading) is False
        retain(gallery, Privacy(), NOW)
        assert not gallery._connection.execute("PRAGMA freelist_count").fetchone()[0]
        assert faces(300, 77)[5].embedding.vector.tobytes() not in everything(path)


@dataclass
class Times:
    """Both clocks, set by hand."""

    seconds: float = 0.0
    unix: float = NOW
    synced: bool = True

    def clock(self) -> Clock:
        return Clock(lambda: int(self.seconds * 1e9), lambda: self.unix, lambda: self.synced)


def test_the_daemon_does_it_at_the_start_and_once_a_day(path: Path) -> None:
    times, rounds = Times(), 0

    def open_it() -> Gallery:
        nonlocal rounds
        rounds += 1
        return opened(path)

    retention = Retention(open_it, PRIVACY, times.clock())
    for _ in range(3):
        retention.tick()
    assert (rounds, len(names(path))) == (1, 3)
    times.unix += 60 * DAY_S
    times.seconds = DAY_S - 1
    retention.tick()
    assert rounds == 1
    times.seconds = DAY_S
    retention.tick()
    assert (rounds, names(path)) == (2, ["for ever"])


def test_a_clock_that_nobody_keeps_right_erases_nobody(path: Path) -> None:
    times = Times(unix=1e11, synced=False)
    retention = Retention(lambda: opened(path), PRIVACY, times.clock())
    retention.tick()
    assert len(names(path)) == 5
    # Set right an hour later: nobody has to wait for the next day.
    times.unix, times.synced, times.seconds = NOW, True, RETRY_S
    retention.tick()
    assert len(names(path)) == 3


def test_a_gallery_that_cannot_be_opened_is_tried_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times, is_there = Times(), False

    def open_it() -> Gallery:
        if not is_there:
            raise GalleryError("locked by another program")
        return opened(path)

    retention = Retention(open_it, PRIVACY, times.clock())
    retention.tick()
    assert "who has expired was not erased: locked" in caplog.text
    is_there, times.seconds = True, RETRY_S
    with caplog.at_level(logging.INFO):
        retention.tick()
    assert "identities erased: 2" in caplog.text
    assert len(names(path)) == 3


def test_old_rows_of_the_log_go_with_them(path: Path) -> None:
    with opened(path) as gallery:
        done = retain(gallery, Privacy(audit_d=1.0), gallery.audit(limit=1)[0].at + 2 * DAY_S)
        assert done.audit_rows == 10
        assert [row.action for row in gallery.audit()] == ["pruned"]
        assert not gallery.verify_audit().fault
