from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.event import Event
from edge.outbox import Outbox, Pending
from edge.outbox.record import ERASED
from edge.publish.queue import HISTORY_PER_S, WINDOW, EventQueue, Handover
from edge.publish.refusals import LIVE_PAUSE_NS, MAX_REFUSED, MAX_STRIKES, PAUSE_NS
from edge.timebase import Clock
from tests.edge.outbox.support import QUICK_FOLDER
from tests.support.events import ADA, make_event

TTL_S = 5.0


class FakeClock:
    """Time that passes only when told to; Unix time is 1,000,000 s ahead."""

    def __init__(self) -> None:
        self.ns = 10**12

    def clock(self) -> Clock:
        return Clock(lambda: self.ns, lambda: self.ns / 1e9 + 1e6)

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)

    def event(self, *, age_s: float = 0.0, boot_id: str = "boot") -> Event:
        captured_ns = self.ns - int(age_s * 1e9)
        return make_event(captured_ns=captured_ns, captured_at=captured_ns / 1e9 + 1e6, boot_id=boot_id)


@pytest.fixture
def time() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outbox(time: FakeClock) -> Iterator[Outbox]:
    with tempfile.TemporaryDirectory(dir=QUICK_FOLDER) as folder:
        made = Outbox(Path(folder) / "o.sqlite", clock=time.clock())
        yield made
        made.close()


def queue_on(outbox: Outbox, time: FakeClock, boot_id: str = "boot") -> EventQueue:
    return EventQueue(outbox, ttl_s=TTL_S, boot_id=boot_id, clock=time.clock())


def take_all(queue: EventQueue, first_mid: int = 1) -> list[Handover]:
    taken: list[Handover] = []
    while (handover := queue.next()) is not None:
        queue.sent(first_mid + len(taken), handover)
        taken.append(handover)
    return taken


def prove(queue: EventQueue, mid: int = 9_000_000) -> None:
    """The broker answers what it is asked after its acknowledgements."""
    if queue.needs_proof:
        queue.asked(mid)
        queue.answered(mid)


class BusyOutbox(Outbox):
    """Something happens just as it is read."""

    meanwhile: Callable[[], object] | None = None

    def pending(self, *, after: int = 0, limit: int = 100) -> list[Pending]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().pending(after=after, limit=limit)


def test_an_event_that_comes_while_the_outbox_is_read_is_live(tmp_path: Path, time: FakeClock) -> None:
    outbox = BusyOutbox(tmp_path / "o.sqlite", clock=time.clock())
    queue = queue_on(outbox, time)
    outbox.meanwhile = lambda: queue.put(time.event())
    assert queue.next() is None
    (handover,) = take_all(queue)
    assert not handover.is_replay
    outbox.close()


def test_young_events_go_live_in_order_and_leave_the_disk_when_acknowledged(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    for _ in range(3):
        queue.put(time.event())
    taken = take_all(queue)
    assert [(one.event.seq, one.is_replay) for one in taken] == [(1, False), (2, False), (3, False)]
    assert outbox.depth == 3
    assert [queue.acknowledged(mid) for mid in (1, 2, 3, 4)] == [True, True, True, False]
    assert outbox.depth == 3
    prove(queue)
    assert outbox.depth == 0
    assert queue.is_live_empty


def test_no_more_than_the_window_is_in_flight(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    for _ in range(WINDOW + 4):
        queue.put(time.event())
    assert len(take_all(queue)) == WINDOW
    queue.acknowledged(1)
    assert [one.event.seq for one in take_all(queue, 100)] == [WINDOW + 1]


@pytest.mark.parametrize(("age_s", "waited_s"), [(0.0, 5.1), (4.0, 1.2), (6.0, 0.0), (0.0, 3600.0)])
def test_double_take_281_a_late_match_never_reaches_the_live_topic(
    outbox: Outbox, time: FakeClock, age_s: float, waited_s: float
) -> None:
    queue = queue_on(outbox, time)
    queue.put(time.event(age_s=age_s))
    time.pass_s(waited_s)
    (handover,) = take_all(queue)
    assert handover.is_replay
    assert abs(handover.age_ms - (age_s + waited_s) * 1e3) < 1
    assert abs(handover.event.latency_ms["publish"] - waited_s * 1e3) < 1


def test_double_take_281_after_a_restart_everything_is_old(outbox: Outbox, time: FakeClock) -> None:
    queue_on(outbox, time).put(time.event())
    restarted = queue_on(outbox, time)
    (handover,) = take_all(restarted)
    assert handover.is_replay


def test_after_a_reboot_the_age_comes_from_the_wall_clock(outbox: Outbox, time: FakeClock) -> None:
    queue_on(outbox, time, "boot").put(time.event(age_s=2.0))
    time.pass_s(60)
    rebooted = FakeClock()
    rebooted.ns = 10**9
    clock = Clock(lambda: rebooted.ns, lambda: time.ns / 1e9 + 1e6)
    queue = EventQueue(outbox, ttl_s=TTL_S, boot_id="next boot", clock=clock)
    (handover,) = take_all(queue)
    assert abs(handover.age_ms - 62_000) < 1


def test_a_wall_clock_set_back_gives_no_negative_age(outbox: Outbox, time: FakeClock) -> None:
    queue_on(outbox, time, "boot").put(time.event())
    queue = EventQueue(outbox, ttl_s=TTL_S, boot_id="next boot", clock=Clock(lambda: time.ns, lambda: 0.0))
    (handover,) = take_all(queue)
    assert (handover.age_ms, handover.waited_ms) == (0.0, 0.0)


def test_history_is_gentle_and_behind_live_events(outbox: Outbox, time: FakeClock) -> None:
    before = queue_on(outbox, time)
    for _ in range(30):
        before.put(time.event())
    queue = queue_on(outbox, time)
    sent: list[Handover] = []
    for step in range(100):
        if step == 10:
            queue.put(time.event())
        for handover in take_all(queue, 1000 + step * 10):
            queue.acknowledged(1000 + step * 10)
            prove(queue)
            sent.append(handover)
        time.pass_s(0.01)
    history = [one.event.seq for one in sent if one.is_replay]
    assert [one.event.seq for one in sent if not one.is_replay] == [31]
    assert history == list(range(1, len(history) + 1))
    assert HISTORY_PER_S - 2 <= len(history) <= HISTORY_PER_S + 1


def test_on_the_way_out_no_history_is_begun(outbox: Outbox, time: FakeClock) -> None:
    queue_on(outbox, time).put(time.event())
    queue = queue_on(outbox, time)
    assert queue.next(is_live_only=True) is None
    assert queue.next() is not None


def test_what_was_in_flight_is_sent_again_with_the_same_id(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    stored = queue.put(time.event())
    first = take_all(queue)
    queue.connection_lost()
    second = take_all(queue, 50)
    assert [one.event.event_id for one in first + second] == [stored.event_id] * 2
    queue.connection_lost()
    time.pass_s(TTL_S + 1)
    (third,) = take_all(queue, 60)
    assert third.is_replay


def test_a_refused_event_is_kept_and_asked_again_later(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    queue.put(time.event())
    take_all(queue)
    assert queue.refused(1)
    assert queue.next() is None
    time.pass_s(LIVE_PAUSE_NS / 1e9)
    (again,) = take_all(queue, 9)
    assert not again.is_replay
    assert queue.refused(9)
    assert not queue.refused(9)
    time.pass_s(TTL_S)
    (late,) = take_all(queue, 10)
    assert late.is_replay


def test_one_event_refused_for_ever_is_given_up_when_others_were_accepted(outbox: Outbox, time: FakeClock) -> None:
    before = queue_on(outbox, time)
    stored = [before.put(time.event()).seq for _ in range(60)]
    queue = queue_on(outbox, time)
    accepted: list[int] = []
    refusals = 0
    for mid in range(5000):
        time.pass_s(0.05)
        if mid % 100 == 0 and len(stored) < 100:
            # Others go on happening.
            stored.append(outbox.append(time.event()).seq)
        handover = queue.next()
        if handover is None:
            continue
        queue.sent(mid, handover)
        if handover.pending.seq == 3:
            refusals += 1
            assert queue.refused(mid)
        else:
            accepted.append(handover.pending.seq)
            assert queue.acknowledged(mid)
            prove(queue)
    assert refusals == MAX_STRIKES
    assert accepted == [seq for seq in stored if seq != 3]
    assert (outbox.depth, outbox.dropped, outbox.state()["dropped_refused"]) == (0, 1, 1)


def test_a_broker_that_refuses_everything_costs_no_event(outbox: Outbox, time: FakeClock) -> None:
    before = queue_on(outbox, time)
    stored = [before.put(time.event()).seq for _ in range(MAX_REFUSED + 30)]
    queue = queue_on(outbox, time)
    asked = 0
    for mid in range(1000):
        time.pass_s(1.0)
        if (handover := queue.next()) is not None:
            asked += 1
            queue.sent(mid, handover)
            queue.refused(mid)
    assert (outbox.depth, outbox.dropped) == (len(stored), 0)
    # Gently: not more than one at a time, and a pause after each.
    assert 20 < asked <= 1000 / (PAUSE_NS / 1e9) + 1
    queue.connection_lost()
    accepted = []
    for mid in range(10_000, 14_000):
        time.pass_s(0.05)
        if (handover := queue.next()) is not None:
            queue.sent(mid, handover)
            queue.acknowledged(mid)
            prove(queue)
            accepted.append(handover.pending.seq)
    assert sorted(accepted) == stored
    assert outbox.depth == 0


def test_an_event_at_which_the_broker_hangs_up_is_passed_by(outbox: Outbox, time: FakeClock) -> None:
    """As mosquitto does with what is too large: it closes the connection, and has looked at nothing behind it."""
    before = queue_on(outbox, time)
    for _ in range(60):
        before.put(time.event())
    queue = queue_on(outbox, time)
    accepted: list[int] = []
    losses = 0
    for mid in range(5000):
        time.pass_s(0.06)
        if mid % 100 == 0:
            # Others go on happening.
            outbox.append(time.event())
        handover = queue.next()
        if handover is None:
            continue
        queue.sent(mid, handover)
        if handover.pending.seq == 2:
            losses += 1
            queue.connection_lost()
        else:
            assert queue.acknowledged(mid)
            prove(queue)
            accepted.append(handover.pending.seq)
    assert sorted(accepted) == [1, *range(3, 111)]
    assert MAX_STRIKES < losses <= 3 * MAX_STRIKES
    assert (outbox.depth, outbox.state()["dropped_refused"]) == (0, 1)


def test_what_was_acknowledged_but_not_proved_is_sent_again(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    queue.put(time.event())
    (first,) = take_all(queue)
    queue.acknowledged(1)
    queue.asked(50)
    assert queue.next() is None
    queue.connection_lost()
    queue.answered(50)
    assert outbox.depth == 1
    (second,) = take_all(queue, 2)
    assert second.event.event_id == first.event.event_id
    time.pass_s(3)
    queue.acknowledged(2)
    queue.asked(51)
    assert queue.oldest_wait_s() == 0.0
    time.pass_s(4)
    assert queue.oldest_wait_s() == 4.0
    queue.answered(51)
    assert outbox.depth == 0


def test_nothing_names_somebody_who_was_forgotten(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    for _ in range(3):
        queue.put(time.event())
    assert outbox.identities() == {ADA.id}
    assert queue.forget(ADA.id) == 3
    taken = take_all(queue)
    assert [(one.event.seq, one.event.decision.identity) for one in taken] == [(seq, ERASED) for seq in (1, 2, 3)]
    queue.connection_lost()
    time.pass_s(TTL_S + 1)
    history = queue.next()
    assert history is not None
    assert history.is_replay
    assert history.event.decision.identity == ERASED


def test_an_acknowledgement_owed_for_long_is_seen(outbox: Outbox, time: FakeClock) -> None:
    queue = queue_on(outbox, time)
    assert queue.oldest_wait_s() == 0.0
    queue.put(time.event())
    take_all(queue)
    time.pass_s(7)
    assert abs(queue.oldest_wait_s() - 7) < 0.01


class Delivery(RuleBasedStateMachine):
    """Whatever a broker does, in whatever order: nothing is lost, and nothing old is live."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=QUICK_FOLDER)
        self.time = FakeClock()
        self.outbox = Outbox(Path(self._folder.name) / "o.sqlite", clock=self.time.clock())
        self.queue = queue_on(self.outbox, self.time)
        self.mid = 0
        self.in_flight: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.question: tuple[int, set[int]] = 0, set()
        self.delivered: set[int] = set()
        self.given_up: set[int] = set()
        self.refused: set[int] = set()
        self.last_live_seq = 0

    @rule(age_s=st.sampled_from([0.0, 0.3, 4.0, 9.0]))
    def put(self, age_s: float) -> None:
        self.queue.put(self.time.event(age_s=age_s))

    @rule(seconds=st.sampled_from([0.01, 0.06, 1.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.time.pass_s(seconds)

    @rule()
    def send(self) -> None:
        handover = self.queue.next()
        if handover is None:
            return
        seq = handover.pending.seq
        assert seq not in self.in_flight.values()
        assert seq not in self.acknowledged | self.question[1]
        if not handover.is_replay:
            assert handover.age_ms <= TTL_S * 1e3
            assert seq > self.last_live_seq or seq in self.refused
            assert seq >= self.last_live_seq
            self.last_live_seq = seq
        self.mid += 1
        self.queue.sent(self.mid, handover)
        self.in_flight[self.mid] = seq

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        mid = data.draw(st.sampled_from(sorted(self.in_flight)))
        assert self.queue.acknowledged(mid)
        self.acknowledged.add(self.in_flight.pop(mid))

    @precondition(lambda self: self.queue.needs_proof)
    @rule()
    def ask(self) -> None:
        self.mid += 1
        self.queue.asked(self.mid)
        self.question = self.mid, self.acknowledged
        self.acknowledged = set()

    @precondition(lambda self: self.question[1])
    @rule()
    def answer(self) -> None:
        self.queue.answered(self.question[0])
        self.delivered |= self.question[1]
        self.question = 0, set()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        mid = data.draw(st.sampled_from(sorted(self.in_flight)))
        before = self.outbox.dropped
        assert self.queue.refused(mid)
        seq = self.in_flight.pop(mid)
        self.refused.add(seq)
        if self.outbox.dropped > before:
            self.given_up.add(seq)

    def forget_connection(self) -> None:
        self.in_flight.clear()
        self.acknowledged = set()
        self.question = 0, set()
        self.last_live_seq = 0

    @rule()
    def lose_connection(self) -> None:
        before = self.outbox.dropped
        self.queue.connection_lost()
        self.refused |= set(self.in_flight.values())
        if self.outbox.dropped > before:
            self.given_up.add(next(iter(self.in_flight.values())))
        self.forget_connection()

    @rule()
    def restart(self) -> None:
        self.queue = queue_on(self.outbox, self.time)
        self.forget_connection()

    @invariant()
    def nothing_is_deleted_before_it_is_acknowledged(self) -> None:
        assert len(self.in_flight) <= WINDOW
        waiting = {one.seq for one in self.outbox.pending(limit=10_000)}
        settled = self.delivered | self.given_up
        assert not waiting & settled
        assert waiting | settled == set(range(1, max(waiting | settled, default=0) + 1))

    def teardown(self) -> None:
        self.lose_connection()
        for _ in range(1000):
            if not self.outbox.depth:
                break
            self.time.pass_s(0.1)
            self.send()
            for mid in list(self.in_flight):
                self.queue.acknowledged(mid)
                del self.in_flight[mid]
            prove(self.queue)
        assert self.outbox.depth == 0
        self.outbox.close()
        self._folder.cleanup()


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
