from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.datatypes import Access
from edge.errors import GalleryError
from edge.gallery.live import LiveIndex
from edge.gallery.store import Gallery
from tests.edge.gallery.support import faces, opened
from tests.support.data import ROOT


class Ticks:
    """Monotonic nanoseconds that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> int:
        return int(self.seconds * 1e9)


class Watched:
    """A gallery with one person, and a live index on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opens = 0
        with opened(path) as gallery:
            gallery.enrol("Ada", faces(2, 1))
        self.ticks = Ticks()
        self.live = LiveIndex(self._open, now_ns=self.ticks)

    def _open(self) -> Gallery:
        self.opens += 1
        return opened(self.path, create=False, busy_s=0.05)

    def refresh(self, after_s: float = 1.0) -> bool:
        self.ticks.seconds += after_s
        return self.live.refresh()

    def name_of(self, seed: int) -> str | None:
        match = self.live.search(faces(2, seed)[0].embedding.vector)
        return match.identity.name if match.identity and match.similarity > 0.99 else None


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "gallery.sqlite")


def test_what_another_process_enrols_is_matched_within_a_second(watched: Watched) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.edge.gallery.support import faces, opened\n"
        "with opened(Path(sys.argv[1])) as gallery: gallery.enrol('Grace', faces(2, 2))"
    )
    assert watched.name_of(2) is None
    subprocess.run([sys.executable, "-c", code, str(watched.path)], cwd=ROOT, check=True)
    assert watched.refresh(1.0)
    assert (watched.name_of(2), watched.live.revision, watched.opens) == ("Grace", 2, 1)
    assert not watched.refresh(1.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda gallery: gallery.remove("Ada"), None),
        (lambda gallery: gallery.set_enabled("Ada", enabled=False), None),
        (lambda gallery: gallery.set_validity("Ada", valid_from=None, valid_until=5.0), "Ada"),
        (lambda gallery: gallery.rename("Ada", "Countess"), "Countess"),
    ],
)
def test_every_kind_of_change_is_noticed(
    watched: Watched, change: Callable[[Gallery], object], expected: str | None
) -> None:
    with opened(watched.path) as gallery:
        change(gallery)
    assert watched.name_of(1) == "Ada"
    assert watched.refresh()
    assert watched.name_of(1) == expected


def test_looking_for_changes_is_rationed(watched: Watched) -> None:
    with opened(watched.path) as gallery:
        gallery.remove("Ada")
        assert not watched.refresh(0.4)
        assert watched.name_of(1) == "Ada"
        assert watched.refresh(0.2)
        assert watched.name_of(1) is None


def test_what_limits_an_identity_is_known_while_the_gallery_cannot_be_read(watched: Watched) -> None:
    with opened(watched.path) as gallery:
        record = gallery.get("Ada")
        gallery.set_validity("Ada", valid_from=None, valid_until=2000.0)
    assert watched.live.access(record.id) == Access()
    watched.refresh()
    watched.live.close()
    watched.refresh()
    assert watched.name_of(1) == "Ada"
    assert watched.live.access(record.id) == Access(valid_until=2000.0)
    assert watched.live.access("nobody") is None


def test_while_the_gallery_cannot_be_read_the_last_index_serves_on(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.live.close()
    for _ in range(3):
        assert not watched.refresh()
    assert watched.name_of(1) == "Ada"
    assert "closed" in watched.live.problem
    assert caplog.text.count("cannot be read") == 1


def test_a_file_put_in_the_place_of_the_gallery_is_read(watched: Watched) -> None:
    other = watched.path.with_name("restored.sqlite")
    with opened(other) as gallery:
        gallery.enrol("Grace", faces(2, 2))
    other.rename(watched.path)
    for leftover in ("-wal", "-shm"):
        watched.path.with_name(watched.path.name + leftover).unlink(missing_ok=True)
    assert watched.refresh()
    assert (watched.name_of(1), watched.name_of(2)) == (None, "Grace")
    assert not watched.refresh()


def test_a_damaged_file_in_its_place_is_told_and_mended(watched: Watched) -> None:
    spare = watched.path.with_name("spare.sqlite")
    with opened(spare) as gallery:
        gallery.enrol("Grace", faces(2, 2))
    wrong = watched.path.with_name("wrong")
    wrong.write_bytes(b"not a gallery" * 100)
    for leftover in ("-wal", "-shm"):
        watched.path.with_name(watched.path.name + leftover).unlink(missing_ok=True)
    wrong.rename(watched.path)
    assert not watched.refresh()
    assert "not a database" in watched.live.problem
    assert watched.name_of(1) == "Ada"
    spare.rename(watched.path)
    assert watched.refresh()
    assert (watched.live.problem, watched.name_of(2)) == ("", "Grace")


def test_when_the_gallery_is_gone_nobody_is_matched(watched: Watched) -> None:
    watched.path.unlink()
    assert watched.refresh()
    assert watched.name_of(1) is None
    assert "no such file" in watched.live.problem
    assert not watched.refresh()
    with opened(watched.path) as gallery:
        gallery.enrol("Grace", faces(2, 2))
    assert watched.refresh()
    assert watched.name_of(2) == "Grace"


def test_a_gallery_that_cannot_be_opened_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such file"):
        LiveIndex(lambda: opened(tmp_path / "none", create=False))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edge.errors import GalleryError
from edge.gallery.live import FULL_DISK_S, LiveIndex
from tests.edge.gallery.support import faces, opened
path, now = Path(sys.argv[1]), 0
# No file may grow any more; to SQLite that is a full disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
live = LiveIndex(lambda: opened(path, busy_s=0.1), now_ns=lambda: now)
print(len(live.index), live.index.search(faces(1, 1)[0].embedding.vector).identity.name)
with opened(path) as other:
    try:
        other.enrol("Nobody", faces(1))
    except GalleryError as error:
        print(error.problem.partition(" (")[0].partition(";")[0])
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
with opened(path) as other:
    other.remove("Ada")
now += int((FULL_DISK_S - 1) * 1e9)
print(live.refresh())
now += int(1e9)
print(live.refresh(), len(live.index), live.problem)
with opened(path) as other:
    other.enrol("Bob", faces(2))
now += int(1e9)
print(live.refresh(), len(live.index))
"""


def test_on_a_full_disk_everybody_is_still_recognized_and_later_all_is_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with opened(path) as gallery:
        gallery.enrol("Ada", faces(1))
        gallery.enrol("Eve", faces(1, 1))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    first, refusal, *rest = done.stdout.splitlines()
    assert first == "2 Eve"
    assert refusal in {"disk full", "input/output error"}
    assert rest == ["False", "True 1 ", "True 3"]
