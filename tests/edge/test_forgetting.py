"""Who was erased is taken out of the events that still wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.errors import OutboxError
from edge.forgetting import RETRY_S, Forgetting
from edge.gallery.live import LiveIndex
from tests.edge.gallery.support import faces, opened


@dataclass
class Waiting:
    """An outbox whose events name these."""

    named: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    is_full: bool = False

    def waiting_identities(self) -> set[str]:
        return set(self.named)

    def forget(self, identity_id: str) -> int:
        if self.is_full:
            raise OutboxError("disk full")
        self.asked.append(identity_id)
        was = identity_id in self.named
        self.named.discard(identity_id)
        return int(was)


def test_whoever_vanishes_from_the_gallery_is_forgotten_and_the_disabled_are_not(tmp_path: Path) -> None:
    gallery = opened(tmp_path / "gallery.sqlite")
    ada, bob, eve = (gallery.enrol(name, faces(1, number)).id for number, name in enumerate(["Ada", "Bob", "Eve"]))
    gallery.add_identity("Without a face")
    live = LiveIndex(lambda: opened(gallery.path), interval_s=0.0)
    # Of a run before, in which somebody was erased while the daemon was off.
    outbox = Waiting({ada, bob, "somebody of before", "erased"})
    forgetting = Forgetting(live, outbox)
    forgetting.tick()
    assert outbox.asked == ["somebody of before"]
    gallery.set_enabled("Ada", enabled=False)
    gallery.rename("Eve", "Eva")
    live.refresh()
    forgetting.tick()
    assert outbox.asked == ["somebody of before"]
    gallery.remove("Bob")
    # Nobody waits for the broker under her name, but something of hers may lie in the outbox's log.
    gallery.remove("Eva")
    live.refresh()
    forgetting.tick()
    forgetting.tick()
    assert outbox.asked == ["somebody of before", *sorted([bob, eve])]
    live.close()


def test_a_gallery_that_is_gone_for_a_while_makes_nobody_forgotten(tmp_path: Path) -> None:
    gallery = opened(tmp_path / "gallery.sqlite")
    ada = gallery.enrol("Ada", faces(1)).id
    live = LiveIndex(lambda: opened(gallery.path, create=False), interval_s=0.0)
    outbox = Waiting({ada})
    forgetting = Forgetting(live, outbox)
    forgetting.tick()
    gallery.path.rename(tmp_path / "elsewhere")
    live.refresh()
    forgetting.tick()
    assert (len(live.index), outbox.asked) == (0, [])
    live.close()


def test_a_disk_that_does_not_take_it_is_asked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    @dataclass
    class Enrolled:
        revision: int = 1
        known: frozenset[str] = frozenset({"ada"})

    gallery, outbox, now = Enrolled(), Waiting({"ada"}), 0.0
    forgetting = Forgetting(gallery, outbox, now_ns=lambda: int(now * 1e9))
    forgetting.tick()
    gallery.revision, gallery.known, outbox.is_full = 2, frozenset(), True
    forgetting.tick()
    assert "still named in waiting events: disk full" in caplog.text
    outbox.is_full = False
    forgetting.tick()
    assert outbox.asked == []
    now = RETRY_S
    forgetting.tick()
    assert outbox.asked == ["ada"]
