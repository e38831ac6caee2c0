"""What others may order over MQTT: plain switches, and signed commands that change who is enrolled.

Only the router is imported here, because the publisher needs it; `edge.commands.opening` makes the rest.
"""

from edge.commands.refusal import RefusedError
from edge.commands.router import MAX_COMMAND_BYTES, Commands, parse_switch

__all__ = ["MAX_COMMAND_BYTES", "Commands", "RefusedError", "parse_switch"]
