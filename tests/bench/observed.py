"""`ostiary run`, and a line of JSON for each moment that a subscriber cannot see.

    python -m tests.bench.observed --config ostiary.yaml --moments FILE

The daemon is the real one; three of its methods are called through a wrapper that reads the clock before and after.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.cli import main
from edge.decide import Decider
from edge.pipeline import Pipeline
from edge.publish.publisher import MqttPublisher

Note = Callable[..., None]


def observe(note: Note) -> None:
    """Call `note` with every frame, every embedding that a track learnt from, and every event that was accepted."""
    process, learn, accept = Pipeline.process, Decider.observe, MqttPublisher.publish

    @functools.wraps(process)
    def processed(self: Pipeline, frame: Any) -> Any:
        result = process(self, frame)
        note(what="frame", index=frame.index, captured_ns=frame.captured_ns, done_ns=time.monotonic_ns(),
             faces=len(result.tracks))  # fmt: skip
        return result

    @functools.wraps(learn)
    def observed(self: Decider, track: Any, embedding: Any, quality: float, now_ns: int) -> bool:
        is_other = learn(self, track, embedding, quality, now_ns)
        if quality >= self._settings.min_quality:
            match = self.evidence(track).match
            note(what="good", captured_ns=now_ns, track=track.id, quality=quality, similarity=match.similarity)
        return is_other

    @functools.wraps(accept)
    def accepted(self: MqttPublisher, event: Any) -> None:
        before_ns = time.monotonic_ns()
        accept(self, event)
        after_ns = time.monotonic_ns()
        note(what="event", id=event.event_id, track=event.decision.track_id, type=event.decision.event_type,
             captured_ns=event.decision.captured_ns, given_ns=before_ns, accepted_ns=after_ns)  # fmt: skip

    Pipeline.process = processed  # type: ignore[method-assign]
    Decider.observe = observed  # type: ignore[method-assign]
    MqttPublisher.publish = accepted  # type: ignore[method-assign]


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--moments", type=Path)
    args = parser.parse_args()
    path = args.moments or Path(args.config).with_name("moments.jsonl")
    with path.open("a", encoding="utf-8") as file:
        # Kept in memory until the end: writing must not cost what is measured.
        lines: list[str] = []
        observe(lambda **fields: lines.append(json.dumps(fields)))
        try:
            return main(["run", "--config", args.config])
        finally:
            file.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    raise SystemExit(_main())
