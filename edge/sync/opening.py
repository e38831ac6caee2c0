"""Puts together what takes people from the broker: keys, secrets and groups, as the settings have them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.config.settings import Settings
from edge.credentials import SYNC_KEYS, SYNC_SECRETS, secret_file
from edge.errors import ConfigError, GalleryError
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.replica import leave
from edge.gallery.store import Gallery
from edge.paths import gallery_file
from edge.publish import MqttPublisher, Publisher
from edge.sync.attendant import Sync
from edge.sync.cleaner import clean_now
from edge.sync.feed import SyncFeed
from edge.sync.keys import PublisherRing, read_publishers
from edge.sync.names import GroupTopics
from edge.sync.secrets import read_secrets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Membership:
    """The groups of this box, before there is a publisher."""

    settings: Settings
    ring: PublisherRing
    sealers: dict[str, Sealer]

    def sync(self, publisher: Publisher, open_it: Callable[[], Gallery], revision: Callable[[], int]) -> Sync | None:
        """Listens from now on; an attendant of the loop. None where there is no broker. GalleryError."""
        if not isinstance(publisher, MqttPublisher):
            return None
        base = self.settings.mqtt.base_topic
        topics = [GroupTopics(base, group) for group in dict.fromkeys(self.settings.sync.groups)]
        feed = SyncFeed(topics)
        groups = {one: self.sealers.get(one.group) for one in topics}
        made = Sync(feed, groups, self.ring, open_it, revision=revision)
        publisher.listen(feed)
        return made


def membership_of(settings: Settings) -> Membership | None:
    """None for a box that belongs to no group. ConfigError for keys and secrets, or for a group without a key."""
    if not settings.sync.groups:
        return None
    path = secret_file(SYNC_KEYS, settings.sync.keys_file)
    if path is None:
        hint = "It says whose word counts: lines of NAME KEY GROUP, which `ostiary keys new --sync-groups` prints."
        raise ConfigError("no keys of publishers", where="sync.groups", expected="sync.keys_file", hint=hint)
    ring = read_publishers(path)
    for group in settings.sync.groups:
        if not ring.names(group):
            raise ConfigError(f"no key may publish in group {group}", where=str(path), expected=f"NAME KEY {group}")
    secrets = secret_file(SYNC_SECRETS, settings.sync.secrets_file)
    return Membership(settings, ring, read_secrets(secrets) if secrets is not None else {})


def leave_groups(settings: Settings, open_it: Callable[[], Gallery]) -> None:
    """Erase the people of groups to which this box belongs no more; at every start, before anybody is recognized."""
    if not gallery_file(settings).exists():
        return
    try:
        with open_it() as gallery:
            left = leave(gallery, settings.sync.groups)
            if left.erased:
                clean_now(gallery, "that this box has left", left.erased, left.traces)
    except GalleryError as error:
        # What keeps the gallery from being read at all is told by who reads it next.
        log.error("people of groups that this box has left may still be enrolled: %s", error)  # noqa: TRY400
