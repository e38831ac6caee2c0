from __future__ import annotations

from edge.publish.client import Message
from edge.publish.states import States


def retained(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, retain=True)


def test_only_the_newest_state_is_told_and_the_same_only_once() -> None:
    states = States()
    assert states.set(retained("a", b"1"))
    assert states.set(retained("a", b"2"))
    assert not states.set(retained("a", b"2"))
    assert states.take() == [retained("a", b"2")]
    assert states.take() == []


def test_a_new_connection_hears_every_state_again_but_no_old_snapshot() -> None:
    states = States()
    states.set(retained("a", b"1"))
    states.take()
    states.set(Message("snapshot", b"jpeg"))
    states.forget_sent()
    assert states.take() == [retained("a", b"1")]


def test_the_same_snapshot_twice_is_told_twice() -> None:
    states = States()
    assert states.set(Message("snapshot", b"jpeg"))
    assert states.take() == [Message("snapshot", b"jpeg")]
    assert states.set(Message("snapshot", b"jpeg"))
    assert states.take() == [Message("snapshot", b"jpeg")]
