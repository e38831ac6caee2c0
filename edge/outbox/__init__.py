"""Events on their way to the broker: on disk until it has them, bounded, and of nobody who has been erased."""

from edge.outbox.bounds import Bounds
from edge.outbox.record import Pending, Sealer, decode_event, encode_event
from edge.outbox.store import Outbox

__all__ = ["Bounds", "Outbox", "Pending", "Sealer", "decode_event", "encode_event"]
