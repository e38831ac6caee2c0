"""What others may order over MQTT: plain switches, and signed commands that change who is enrolled."""

from edge.commands.router import MAX_COMMAND_BYTES, Commands, parse_switch

__all__ = ["MAX_COMMAND_BYTES", "Commands", "parse_switch"]
