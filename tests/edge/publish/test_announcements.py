"""When announcements are told, and when somebody hears that they have been."""

from __future__ import annotations

import pytest

from edge.publish.announcements import MAX_WAIT_S, MIN_WAIT_S, Announcements
from edge.publish.client import Message
from edge.timebase import Clock

SHOWN = Message("found/config", b"{}", retain=True)
GONE = Message("old/config", b"", retain=True)


class Told:
    """Announcements whose time a test sets, and what came of them."""

    def __init__(self, *messages: Message) -> None:
        self.now_s = 100.0
        self.count = 0
        clock = Clock(monotonic_ns=lambda: int(self.now_s * 1e9))
        self.made = Announcements(
            messages, ask_topic="ask", is_ask=lambda payload: payload == b"yes", on_told=self._on_told, clock=clock
        )

    def _on_told(self) -> None:
        self.count += 1


def test_all_is_told_at_every_connect_and_what_is_taken_back_until_it_is_acknowledged() -> None:
    told = Told(GONE, SHOWN)
    assert told.made.connected() == (GONE, SHOWN)
    told.made.sent(1, GONE)
    assert told.made.connected() == (GONE, SHOWN)
    told.made.acknowledged(1)
    told.made.sent(1, GONE)
    told.made.acknowledged(1)
    assert told.made.connected() == (SHOWN,)
    assert told.count == 0
    told.made.sent(2, SHOWN)
    told.made.acknowledged(7)
    told.made.acknowledged(2)
    told.made.sent(3, SHOWN)
    told.made.acknowledged(3)
    assert told.count == 1


def test_whoever_asks_is_answered_once_and_a_little_later() -> None:
    told = Told(GONE, SHOWN)
    assert told.made.due() == ()
    for payload in (b"yes", b"no", b"yes"):
        told.made.heard(payload)
    told.now_s += MIN_WAIT_S - 0.01
    assert told.made.due() == ()
    told.now_s += MAX_WAIT_S
    assert told.made.due() == (SHOWN,)
    assert told.made.due() == ()
    told.made.heard(b"no")
    told.now_s += 2 * MAX_WAIT_S
    assert told.made.due() == ()


def test_boxes_do_not_all_answer_at_once() -> None:
    crowd = [Told(SHOWN) for _ in range(40)]
    for told in crowd:
        told.made.heard(b"yes")
        told.now_s += (MIN_WAIT_S + MAX_WAIT_S) / 2
    early = sum(bool(told.made.due()) for told in crowd)
    # Each is early with a probability of one half: all alike once in 10**11 runs.
    assert 0 < early < 40


def test_a_new_connection_answers_who_asked_on_the_old_one() -> None:
    told = Told(SHOWN)
    told.made.heard(b"yes")
    assert told.made.connected() == (SHOWN,)
    told.now_s += 2 * MAX_WAIT_S
    assert told.made.due() == ()


@pytest.mark.parametrize("made", [Announcements(), Told().made])
def test_without_messages_nothing_is_told(made: Announcements) -> None:
    assert made.connected() == ()
    made.heard(b"yes")
    assert made.due() == ()
    made.acknowledged(1)
