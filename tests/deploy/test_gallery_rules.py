"""deploy/mosquitto's rules for people of groups: a door reads its own, only the publisher writes, the home sees nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.signing import new_key
from edge.sync.keys import PublisherRing, publisher_key
from edge.sync.link import Link, PublishRefusedError
from edge.sync.message import Content
from edge.sync.names import GroupTopics
from edge.sync.publishing import Job, Publishing, Report
from tests.deploy.test_mosquitto import SOURCE, Client, Installed, script, settings
from tests.support.mosquitto import PATIENCE_S, wait_for

STAFF, GUESTS = GroupTopics("ostiary", "staff"), GroupTopics("ostiary", "guests")
WHO = "01M7WGM9RGC2J1J93DX7P2EV0C"
KEY = new_key("office")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(tmp_path_factory.mktemp("installed"))
    folder = made.ca.parents[1]
    for name, *groups in (("front", "staff"), ("back", "guests", "staff"), ("gallery",)):
        done = script("add-device.sh", name, folder, *groups)
        assert done.returncode == 0, done.stderr
        made.passwords[name] = done.stdout.strip()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def enter(broker: Installed) -> Iterator[Callable[[str], Client]]:
    made: list[Client] = []

    def build(user: str) -> Client:
        made.append(Client(broker, user))
        return made[-1]

    yield build
    for one in made:
        one.close()


def published(mqtt: Mqtt, topics: GroupTopics, *, patience_s: float = PATIENCE_S) -> Report:
    ring = PublisherRing([publisher_key(KEY, [topics.group])])
    with Link(mqtt, topics, ring, quiet_s=0.1, patience_s=patience_s) as link:
        return Publishing(link, Job(topics, KEY, None, {WHO: Content("Ada")}, is_new=True)).run(lambda items, _: items)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_publisher_publishes_and_nobody_else(broker: Installed, tmp_path: Path, protocol: str) -> None:
    own = GroupTopics("ostiary", f"v{protocol.replace('.', '')}")
    assert published(settings(broker, "gallery", tmp_path, protocol=protocol), own).count == 1
    for user in ("front", "home"):
        # A 3.1.1 broker acknowledges what it forbids: that the head does not come back tells.
        with pytest.raises(PublishRefusedError, match=r"refuses|did not come back"):
            published(settings(broker, user, tmp_path, protocol=protocol), GUESTS, patience_s=0.5)


@pytest.mark.parametrize(
    ("user", "hears"),
    [
        ("front", {STAFF.head}),
        ("back", {STAFF.head, GUESTS.head}),
        ("home", set()),
        ("gallery", {STAFF.head, GUESTS.head}),
    ],
)
def test_who_reads_which_group(
    broker: Installed, tmp_path: Path, enter: Callable[[str], Client], user: str, hears: set[str]
) -> None:
    gallery, client = enter("gallery"), enter(user)
    client.listen("#")
    for topics in (STAFF, GUESTS):
        client.listen(f"{topics.root}/#")
        assert gallery.may_say(topics.head, b"x")
        assert gallery.may_say(topics.identity(WHO), b"x")
    # What is heard comes in order: behind this nothing of before can follow.
    own = {"home": "homeassistant/status", "gallery": "ostiary/gallery/end"}.get(user, f"ostiary/{user}/enabled/set")
    assert (gallery if user == "gallery" else enter("home")).may_say(own, b"end")
    wait_for(lambda: (own, b"end") in client.heard, "the end")
    heard = {topic for topic, _ in client.heard if topic.startswith("ostiary/gallery/")}
    assert heard & {STAFF.head, GUESTS.head} == hears
    assert bool(hears) or not heard


@pytest.mark.parametrize("user", ["front", "back", "home"])
def test_nobody_else_writes_a_group(enter: Callable[[str], Client], user: str) -> None:
    client = enter(user)
    for topic in (
        STAFF.head,
        STAFF.identity(WHO),
        GUESTS.head,
        f"{STAFF.root}/identity/00/x",
        "ostiary/gallery/cmd/head",
    ):
        assert not client.may_say(topic, b"", retain=True)


def test_groups_are_for_doors(tmp_path: Path) -> None:
    (tmp_path / "ostiary.acl").write_bytes((SOURCE / "ostiary.acl").read_bytes())
    for words in (("home", "staff"), ("gallery", "staff"), ("front", "st/aff"), ("front", "#")):
        done = script("add-device.sh", words[0], tmp_path, *words[1:])
        assert done.returncode == 2, done.stderr
    assert "st/aff" not in (tmp_path / "ostiary.acl").read_text(encoding="utf-8")
