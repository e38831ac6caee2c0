"""Names of the MQTT topics: the contract of docs/mqtt.md in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one device. `base` is mqtt.base_topic, `device` device.name; `+` for both gives subscriptions."""

    base: str
    device: str

    @property
    def root(self) -> str:
        """What all topics of the device begin with."""
        return f"{self.base}/{self.device}"

    @property
    def status(self) -> str:
        """Whether the device is online; retained, and the last will."""
        return f"{self.root}/status"

    def camera_status(self, camera: str) -> str:
        """Whether one camera is online; retained."""
        return f"{self.root}/camera/{camera}/status"

    @property
    def event(self) -> str:
        """Live events; never retained."""
        return f"{self.root}/event"

    @property
    def history(self) -> str:
        """Events that were not sent in time; never retained."""
        return f"{self.root}/history"

    @property
    def question(self) -> str:
        """Nobody publishes or subscribes here: it is named in what asks the broker whether it is still there."""
        return f"{self.root}/question"

    @property
    def presence(self) -> str:
        """ON / OFF, retained."""
        return f"{self.root}/presence"

    @property
    def health(self) -> str:
        """Counters and timings, retained."""
        return f"{self.root}/health"

    @property
    def snapshot(self) -> str:
        """JPEG of the decided face; never retained."""
        return f"{self.root}/snapshot"

    @property
    def enabled(self) -> str:
        """ON / OFF, retained: the state."""
        return f"{self.root}/enabled"

    @property
    def enabled_set(self) -> str:
        """ON / OFF: the wish."""
        return f"{self.root}/enabled/set"

    def command(self, verb: str) -> str:
        """A request to the device; never retained."""
        return f"{self.root}/cmd/{verb}"

    def command_reply(self, verb: str) -> str:
        """Its answer; never retained."""
        return f"{self.root}/cmd/{verb}/reply"
