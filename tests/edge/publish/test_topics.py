from __future__ import annotations

import pytest

from edge.publish.topics import Topics

TOPICS = Topics("home/ostiary", "front")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (TOPICS.status, "home/ostiary/front/status"),
        (TOPICS.camera_status("porch"), "home/ostiary/front/camera/porch/status"),
        (TOPICS.event, "home/ostiary/front/event"),
        (TOPICS.history, "home/ostiary/front/history"),
        (TOPICS.presence, "home/ostiary/front/presence"),
        (TOPICS.health, "home/ostiary/front/health"),
        (TOPICS.snapshot, "home/ostiary/front/snapshot"),
        (TOPICS.enabled, "home/ostiary/front/enabled"),
        (TOPICS.enabled_set, "home/ostiary/front/enabled/set"),
        (TOPICS.command("enroll"), "home/ostiary/front/cmd/enroll"),
        (TOPICS.command_reply("enroll"), "home/ostiary/front/cmd/enroll/reply"),
    ],
)
def test_topics_are_the_contract(topic: str, expected: str) -> None:
    assert topic == expected
