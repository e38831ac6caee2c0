"""Events that the broker would not have: when each is asked about again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass

PAUSE_NS = 5_000_000_000
"""No other history either for so long: most refusals (access rules, quotas) are of all events alike."""
LIVE_PAUSE_NS = 1_000_000_000
"""A live event may still have time for another attempt."""
MAX_STRIKES = 5
"""So often an event is refused, others being accepted in between each time, before it is given up."""
MAX_TIMES_HEAD = 3
"""So many connections in a row have to end at the same event."""
MAX_REFUSED = 16
"""With more at once it is not the events: all are asked about again, in order."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is known of one event. `accepted` is how many others the broker had taken when it was refused last."""

    strikes: int
    accepted: int
    due_ns: int


class Refusals:
    """By `seq`. One event that is refused for ever must not hold up the rest; nor may a broker's bad day cost any."""

    def __init__(self) -> None:
        self._by_seq: dict[int, Refusal] = {}
        self._accepted = 0
        self._paused_until_ns = 0
        self._head, self._times_head = 0, 0

    def __len__(self) -> int:
        return len(self._by_seq)

    def __contains__(self, seq: int) -> bool:
        return seq in self._by_seq

    def accepted(self, seq: int, *, is_replay: bool) -> None:
        """The broker took this one. Only history tells anything about history: they are two topics."""
        self._by_seq.pop(seq, None)
        self._accepted += is_replay
        if seq == self._head:
            self._times_head = 0

    def live(self, seq: int, now_ns: int) -> None:
        """A live event was refused."""
        self._by_seq[seq] = Refusal(0, self._accepted, now_ns + LIVE_PAUSE_NS)

    def history(self, seq: int, now_ns: int) -> bool:
        """An event of history was refused. Whether to give it up."""
        before = self._by_seq.get(seq, Refusal(0, -1, 0))
        strikes = before.strikes + (self._accepted > before.accepted)
        if strikes >= MAX_STRIKES:
            self._by_seq.pop(seq)
            return True
        # Later than the pause ends, so that others get their turn in between.
        self._by_seq[seq] = Refusal(strikes, self._accepted, now_ns + (PAUSE_NS << strikes))
        self._paused_until_ns = now_ns + PAUSE_NS
        return False

    def is_everything_refused(self) -> bool:
        """Whether so much is refused that all begins anew; then nothing is remembered."""
        if len(self._by_seq) <= MAX_REFUSED:
            return False
        self._by_seq.clear()
        return True

    def is_paused(self, now_ns: int) -> bool:
        """Whether history rests."""
        return now_ns < self._paused_until_ns

    def due(self, now_ns: int) -> int | None:
        """The `seq` of an event to ask about again."""
        return next((seq for seq, one in self._by_seq.items() if one.due_ns <= now_ns), None)

    def forget(self, seq: int) -> None:
        """It is no longer there, or no longer to be sent as it was."""
        self._by_seq.pop(seq, None)

    def connection_lost(self, head: int | None, now_ns: int) -> bool:
        """`head` is the oldest event that was not acknowledged. Whether to give it up.

        Some brokers close the connection on what they will not have (mosquitto: on what is too large), and look at nothing
        behind it. So whoever is the head time after time counts as refused, and lets others by.
        """
        self._paused_until_ns = 0
        if head is None:
            return False
        self._times_head = self._times_head + 1 if head == self._head else 1
        self._head = head
        if self._times_head < MAX_TIMES_HEAD:
            return False
        self._times_head = 0
        is_given_up = self.history(head, now_ns)
        self._paused_until_ns = 0
        return is_given_up
