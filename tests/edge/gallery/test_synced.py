"""People whom a group publishes: what may be done with them here, and who stays away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.settings import Privacy
from edge.errors import UsageError
from edge.gallery.archive import ImportReport, export_gallery, import_gallery
from edge.gallery.privacy.erasure import erase
from edge.gallery.privacy.retention import retain
from edge.gallery.rows import new_record
from edge.gallery.store import Gallery
from edge.gallery.synced import Synced, SyncedRows
from tests.edge.gallery.support import close_all, faces, opened, raw

ADA = "01HZXW3J9Q8V6T5R4S3D2F1G00"


def publish(gallery: Gallery, revision: int, identity_id: str = ADA, name: str = "Ada", **changes: Any) -> None:
    """As a replica does it."""
    with gallery.change() as connection:
        record = dataclasses.replace(new_record(name, "", None, None), id=identity_id, origin="staff", **changes)
        gallery.identities.insert(connection, record)
        gallery.embeddings.insert(connection, identity_id, faces(2, revision), 1.0)
        gallery.synced.put(connection, Synced("staff", identity_id, revision, "published"))


def word(gallery: Gallery, identity_id: str = ADA) -> Synced | None:
    return gallery.read(lambda connection: gallery.synced.read(connection, "staff", identity_id))


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = opened(tmp_path / "gallery.sqlite")
    publish(made, 7)
    made.enrol("Local", faces(1, 50))
    return made


CHANGES: list[Callable[[Gallery], object]] = [
    lambda gallery: gallery.rename("Ada", "Eve"),
    lambda gallery: gallery.set_enabled("Ada", enabled=False),
    lambda gallery: gallery.set_note("Ada", "x"),
    lambda gallery: gallery.set_consent("Ada", "x"),
    lambda gallery: gallery.set_validity("Ada", valid_from=None, valid_until=1.0),
    lambda gallery: gallery.set_access("Ada", groups=["x"]),
    lambda gallery: gallery.add_embeddings("Ada", faces(1, 2)),
    lambda gallery: gallery.enrol("Ada", faces(1, 2)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_is_made_here_and_the_error_says_where(gallery: Gallery, change: Callable[[Gallery], object]) -> None:
    before = gallery.get("Ada")
    assert (before.origin, before.embeddings) == ("staff", 2)
    with pytest.raises(UsageError, match=r"(?s)Ada is published by the group 'staff'.*gallery remove"):
        change(gallery)
    assert (gallery.get("Ada"), gallery.revision) == (before, 2)


def test_who_is_erased_here_is_remembered_and_only_readmitting_ends_that(gallery: Gallery) -> None:
    receipt = erase(gallery, "Ada")
    assert (receipt.is_verified, receipt.erased.origin) == (True, "staff")
    assert word(gallery) == Synced("staff", ADA, 7, "refused")
    for state in ("published", "removed"):
        with gallery.change() as connection:
            gallery.synced.put(connection, Synced("staff", ADA, 9, state))  # type: ignore[arg-type]
    assert word(gallery) == Synced("staff", ADA, 9, "refused")
    assert gallery.readmit(ADA) == [Synced("staff", ADA, 9, "refused")]
    known = word(gallery)
    assert known == Synced("staff", ADA, 8, "published")
    assert (known.takes(9), known.takes(8)) == (True, False)
    assert [row.action for row in gallery.audit(limit=3)] == ["readmitted", "removed", "enrolled"]
    for unknown in (ADA, "nobody", gallery.get("Local").id):
        with pytest.raises(UsageError, match="is not refused"):
            gallery.readmit(unknown)


def test_who_was_enrolled_here_leaves_no_word_behind(gallery: Gallery) -> None:
    gallery.remove("Local")
    assert [one.identity_id for one in gallery.read(gallery.synced.read_all)] == [ADA]


def test_who_is_erased_by_retention_comes_back_with_a_newer_word_alone(tmp_path: Path) -> None:
    gallery = opened(tmp_path / "gallery.sqlite")
    publish(gallery, 7, valid_until=1000.0)
    done = retain(gallery, Privacy(erase_expired_after_d=1), 1e6)
    assert (done.expired, done.embeddings) == ((ADA,), 2)
    known = word(gallery)
    assert known == Synced("staff", ADA, 7, "published")
    assert (known.takes(7), known.takes(8)) == (False, True)


@pytest.mark.parametrize("state", ["refused", "removed"])
def test_a_backup_brings_nobody_back(gallery: Gallery, tmp_path: Path, state: str) -> None:
    export_gallery(gallery, tmp_path / "file")
    gallery.remove("Ada")
    if state == "removed":
        raw(gallery.path).execute("UPDATE synced SET state = 'removed'")
    assert import_gallery(gallery, tmp_path / "file") == ImportReport(unchanged=2)
    assert [one.name for one in gallery.list_identities()] == ["Local"]


def test_an_export_has_whose_they_are_and_what_was_heard(gallery: Gallery, tmp_path: Path) -> None:
    publish(gallery, 3, ADA[:-1] + "1", "Grace")
    gallery.remove("Grace")
    export_gallery(gallery, tmp_path / "file")
    words = gallery.read(gallery.synced.read_all)
    assert [(one.revision, one.state) for one in words] == [(7, "published"), (3, "refused")]
    with opened(tmp_path / "other") as other:
        assert import_gallery(other, tmp_path / "file").added == 2
        assert {one.name: one.origin for one in other.list_identities()} == {"Ada": "staff", "Local": ""}
        assert other.read(other.synced.read_all) == words
    with opened(tmp_path / "third") as third:
        # Who is here already is better known here.
        publish(third, 9)
        publish(third, 9, ADA[:-1] + "1", "Grace")
        assert import_gallery(third, tmp_path / "file").added == 1
        assert [(one.revision, one.state) for one in third.read(third.synced.read_all)] == [(9, "published")] * 2


WORDS = st.tuples(st.integers(0, 5), st.sampled_from(["published", "removed"]))
STEPS = st.lists(st.one_of(WORDS, st.just("refuse"), st.just("readmit")), max_size=20)


@given(steps=STEPS)
def test_of_words_in_any_order_the_newest_stays_and_a_refusal_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    with opened(tmp_path_factory.getbasetemp() / "words.sqlite") as gallery, gallery.transaction() as connection:
        rows = SyncedRows()
        connection.execute("DELETE FROM synced")
        revision, state = None, None
        for step in steps:
            if step == "refuse":
                rows.refuse(connection, "staff", ADA)
                revision, state = revision or 0, "refused"
            elif step == "readmit":
                rows.readmit(connection, ADA)
                if state == "refused":
                    revision, state = max((revision or 0) - 1, 0), "published"
            else:
                rows.put(connection, Synced("staff", ADA, *step))
                if revision is None or (step[0] > revision and state != "refused"):
                    state = step[1]
                revision = max(revision or 0, step[0])
        found = rows.read(connection, "staff", ADA)
        assert (None if found is None else (found.revision, found.state)) == (
            None if revision is None else (revision, state)
        )
    close_all()
