"""A gallery that is not what it should be, and a world that fails while it is written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import GalleryError
from edge.gallery.store import Gallery
from tests.edge.gallery.support import EMBEDDER, LENGTH, faces, opened, raw
from tests.support.data import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A gallery of a few pages, closed."""
    made = tmp_path / "gallery.sqlite"
    with opened(made) as gallery:
        for number in range(12):
            gallery.enrol(f"Person {number}", faces(8, number, png=b"\x89PNG\r\n\x1a\n" + bytes(900)))
    return made


def refused(path: Path, **options: Any) -> str:
    """The message of the refusal; the file must stay as it was."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(GalleryError) as caught:
        opened(path, **options)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_another_embedder_is_refused_with_both_names(path: Path) -> None:
    said = refused(path, embedder_id="student-2")
    assert f"{EMBEDDER!r}" in said
    assert "'student-2'" in said
    assert "enrol everyone again" in said


def test_another_length_is_refused(path: Path) -> None:
    assert "16 values" in refused(path, embedding_length=128)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("PRAGMA user_version = 4", "version 4, from a newer ostiary; expected version 3"),
        ("PRAGMA user_version = -1", "damaged"),
        ("PRAGMA application_id = 7", "a database of another program"),
        ("DROP TABLE faces", "damaged"),
        ("DELETE FROM gallery", "damaged"),
        ("UPDATE gallery SET embedding_length = 15", "15 values"),
        ("UPDATE gallery SET embedding_length = 1000000000", "damaged"),
    ],
)
def test_a_database_that_is_no_gallery_of_ours_is_refused(path: Path, spoil: str, expected: str) -> None:
    connection = raw(path)
    connection.execute(spoil)
    connection.close()
    assert expected in refused_or_unusable(path)


def refused_or_unusable(path: Path) -> str:
    def use() -> None:
        with opened(path) as gallery:
            gallery.load_index()
            gallery.list_identities()

    with pytest.raises(GalleryError) as caught:
        use()
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "an empty file"), (b"hello", "not a database"), (os.urandom(8192), "not a database"),
     (b"SQLite format 3\x00" + bytes(5000), "not a database|damaged|another program")],
)  # fmt: skip
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    path.chmod(0o644)
    said = refused(path)
    assert any(part in said for part in expected.split("|"))
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_database_of_another_program_stays_in_its_journal_mode(tmp_path: Path) -> None:
    path = tmp_path / "browser.sqlite"
    connection = raw(path)
    connection.execute("CREATE TABLE places (url)")
    connection.close()
    assert "another program" in refused(path)


def test_a_name_too_long_for_the_file_system_is_told(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="cannot be opened"):
        opened(tmp_path / ("x" * 300))


def test_every_truncation_is_noticed(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    lengths = {
        1,
        99,
        100,
        511,
        512,
        len(whole) - 1,
        len(whole) - 4000,
        *range(4096, len(whole), 4096),
        *range(7, len(whole), 9973),
    }
    assert len(lengths) > 20
    for length in sorted(lengths):
        cut = tmp_path / f"cut{length}"
        cut.write_bytes(whole[:length])
        assert any(word in refused(cut) for word in ("damaged", "not a database"))


def test_an_id_that_changed_on_disk_is_noticed_wherever_it_stands(path: Path, tmp_path: Path) -> None:
    with opened(path) as gallery:
        wanted = gallery.get("Person 5").id.encode()
    whole = path.read_bytes()
    places = [found.start() for found in re.finditer(wanted, whole)]
    assert len(places) >= 2 + 2 * 8
    for number, place in enumerate(places):
        spoilt = tmp_path / f"spoilt{number}"
        spoilt.write_bytes(whole[: place + 25] + bytes([whole[place + 25] ^ 1]) + whole[place + 26 :])
        try:
            with opened(spoilt) as gallery:
                assert "was changed" in gallery.verify_audit().fault
        except GalleryError as error:
            assert "damaged" in str(error)  # noqa: PT017 -- the audit log is looked at only when asked


@given(where=st.integers(0, 10**9), bit=st.integers(0, 7), run=st.integers(1, 64))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_are_refused_or_told_or_harmless(path: Path, where: int, bit: int, run: int) -> None:
    data = bytearray(path.read_bytes())
    for position in range(where % len(data), min(len(data), where % len(data) + run)):
        data[position] ^= 1 << bit
    known = {face.embedding.vector.tobytes() for number in range(12) for face in faces(8, number)}
    spoilt = path.with_name("spoilt.sqlite")
    spoilt.write_bytes(data)
    try:
        with opened(spoilt) as gallery:
            index = gallery.load_index()
            records = gallery.list_identities()
    except GalleryError as error:
        assert str(spoilt) in str(error)  # noqa: PT017 -- it may also be harmless
    else:
        total = sum(record.embeddings for record in records)
        assert len(index) + index.refused_rows == total
        assert {row.tobytes() for row in index._scorer._columns.T} <= known
    finally:
        for leftover in path.parent.glob("spoilt.sqlite*"):
            leftover.unlink()


@pytest.mark.parametrize(
    "blob",
    [b"", bytes(4 * LENGTH - 1), bytes(4 * LENGTH + 4), bytes(4 * LENGTH), np.full(LENGTH, np.nan, "<f4").tobytes(),
     np.full(LENGTH, np.inf, "<f4").tobytes(), np.full(LENGTH, 3e38, "<f4").tobytes()],
)  # fmt: skip
@pytest.mark.parametrize("with_checksum", [True, False])
def test_rows_that_are_no_embeddings_are_left_out_and_counted(
    path: Path, blob: bytes, caplog: pytest.LogCaptureFixture, *, with_checksum: bool
) -> None:
    connection = raw(path)
    connection.execute(
        "UPDATE embeddings SET vector = ?, checksum = ? WHERE id IN (3, 50)",
        (blob, zlib.crc32(blob) if with_checksum else 1),
    )
    connection.close()
    with opened(path) as gallery:
        index = gallery.load_index()
        assert (index.refused_rows, len(index)) == (2, 94)
        assert "2 embedding(s) are damaged" in caplog.text
        with pytest.raises(GalleryError, match="damaged"):
            gallery.faces("Person 0")
        assert len(gallery.faces("Person 1")) == 8


def test_an_embedding_that_changed_on_disk_is_not_used(path: Path) -> None:
    blob = faces(1, 77)[0].embedding.vector.tobytes()
    connection = raw(path)
    connection.execute("UPDATE embeddings SET vector = ? WHERE id = 1", (blob,))
    connection.close()
    with opened(path) as gallery:
        assert gallery.load_index().refused_rows == 1


def test_a_gallery_of_nothing_but_damage_is_refused(path: Path) -> None:
    connection = raw(path)
    connection.execute("UPDATE embeddings SET checksum = 0")
    connection.close()
    with opened(path) as gallery, pytest.raises(GalleryError, match="all 96 embeddings are damaged"):
        gallery.load_index()


def under_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("x")
    return tmp_path / "file" / "gallery.sqlite"


def a_folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def a_dangling_link(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    return tmp_path / "link"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (under_a_file, "cannot be made"),
        (a_folder, "not a file"),
        (a_dangling_link, "no such file"),
        (lambda _: Path("/proc/ostiary/gallery.sqlite"), "cannot be made"),
    ],
)
def test_a_place_where_no_gallery_can_be(tmp_path: Path, make: Callable[[Path], Path], expected: str) -> None:
    assert expected in refused(make(tmp_path))


@pytest.mark.parametrize("options", [{"create": False}, {"read_only": True}])
def test_a_gallery_is_made_only_when_asked(tmp_path: Path, options: dict[str, bool]) -> None:
    assert "no such file" in refused(tmp_path / "none.sqlite", **options)
    assert list(tmp_path.iterdir()) == []


def test_another_program_that_writes_is_waited_for_and_then_told(path: Path) -> None:
    other = raw(path)
    with opened(path, busy_s=0.05) as gallery:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="locked by another program"):
            gallery.enrol("Ada", faces(1))
        assert len(gallery.list_identities()) == 12
        other.execute("COMMIT")
        other.close()
        gallery.enrol("Ada", faces(1))


def full_after(pages: int) -> Callable[..., sqlite3.Connection]:
    """A disk with room for so many pages."""

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        made = sqlite3.connect(*args, **options)
        made.execute(f"PRAGMA max_page_count = {pages}")
        return made

    return connect


def test_a_full_disk_loses_nothing_and_leaves_no_half_identity(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    opened(path).close()
    done = 0

    def fill() -> None:
        nonlocal done
        for number in range(500):
            gallery.enrol(f"Person {number}", faces(20, number))
            done += 1

    with opened(path, connect=full_after(20)) as gallery:
        with pytest.raises(GalleryError, match="disk full"):
            fill()
        assert 1 <= done < 500
        assert gallery.revision == done
        assert [record.embeddings for record in gallery.list_identities()] == [20] * done
        gallery.rename("Person 0", "Still writable")
    with opened(path) as gallery:
        gallery.enrol("After all", faces(20))
        assert len(gallery.list_identities()) == done + 1


def test_a_disk_too_full_for_a_new_gallery_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="disk full"):
        opened(tmp_path / "gallery.sqlite", connect=full_after(2))
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from tests.edge.gallery.support import faces, opened
name, count = sys.argv[2], int(sys.argv[3])
with opened(Path(sys.argv[1]), busy_s=30.0) as gallery:
    for number in range(count):
        gallery.enrol(f"{name} {number}", faces(5, number))
        print(number, flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_killed_in_the_middle_of_enrolments_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    promised = 0
    for turn in range(4):
        with start_writer(path, f"turn{turn}", 100_000) as child:
            assert child.stdout is not None
            for _ in range(3 + 5 * turn):
                assert child.stdout.readline()
                promised += 1
            time.sleep(0.003 * turn)
            child.send_signal(signal.SIGKILL)
            promised += len(child.stdout.read().split())
    with opened(path) as gallery:
        records = gallery.list_identities()
        assert gallery._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert {record.embeddings for record in records} == {5}
        assert promised <= len(records) <= promised + 4
        assert gallery.revision == len(records)
        assert len(gallery.load_index()) == 5 * len(records)


def test_two_processes_that_make_and_write_one_gallery_at_once(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    writers = [start_writer(path, name, 25) for name in ("a", "b")]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    with opened(path) as gallery:
        assert gallery.revision == 50
        assert [record.embeddings for record in gallery.list_identities()] == [5] * 50
    assert [one.name for one in tmp_path.iterdir()] == ["gallery.sqlite"]


def test_a_copy_with_a_write_ahead_log_left_behind_is_recovered(path: Path, tmp_path: Path) -> None:
    with opened(path) as gallery:
        gallery.enrol("In the log only", faces(2))
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", tmp_path / f"copy.sqlite{suffix}")
    with opened(tmp_path / "copy.sqlite") as copy:
        assert copy.get("In the log only").embeddings == 2


def test_threads_may_share_a_gallery(path: Path) -> None:
    def work(number: int) -> int:
        gallery.enrol(f"thread {number}", faces(2, number))
        return len(gallery.load_index())

    with opened(path) as gallery, ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(20))) == 96 + 40
        assert gallery.revision == 32


def test_closing_twice_is_fine_and_a_closed_gallery_says_so(path: Path) -> None:
    gallery: Gallery = opened(path)
    gallery.close()
    gallery.close()
    with pytest.raises(GalleryError, match="closed"):
        gallery.list_identities()
