"""Puts together what takes commands: keys, journal, gate and desk, as the settings have it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.commands.arguments import VERBS
from edge.commands.desk import Desk, listen
from edge.commands.gate import Gate
from edge.commands.journal import UNLOCKING, Journal
from edge.commands.signature import KeyRing, read_keys
from edge.commands.work import Work
from edge.config.settings import Settings
from edge.credentials import COMMAND_KEYS, secret_file
from edge.gallery import gallery_of
from edge.paths import journal_file
from edge.publish import MqttPublisher, Publisher
from edge.reader import Models

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reception:
    """What is there before there is a publisher; `close` it after that."""

    settings: Settings
    keys: KeyRing
    journal: Journal

    @property
    def is_unlocking_on(self) -> bool:
        """As it was left by the last run, however that ended."""
        return self.journal.is_on(UNLOCKING)

    def desk(
        self, publisher: Publisher, models: Models, *, restart: Callable[[], None], refresh: Callable[[], object]
    ) -> Desk | None:
        """Listens from now on; an attendant of the loop. None where no commands are taken."""
        if not isinstance(publisher, MqttPublisher):
            return None
        router, topics, settings = publisher.commands, publisher.topics, self.settings
        if self.journal.was_damaged:
            router.count("journal_damaged")
        if not self.is_unlocking_on:
            log.warning("unlocking is off: this box tells who comes, and lets nobody in, until it is turned on again")
        if not settings.commands.enabled:
            router.off(topics.enabled_set)
            return None
        manifest = models.bundle.manifest
        work = Work(settings, publisher, models, self.journal, lambda: gallery_of(settings, manifest), restart, refresh)
        gate = Gate(settings.commands, self.keys, self.journal, topic_of=topics.command)
        desk = Desk(work, gate, router, reply_topic=topics.command_reply)
        listen(desk, router, topics.command, topics.enabled_set)
        return desk

    def close(self) -> None:
        """Release the journal."""
        self.journal.close()


def keys_of(settings: Settings) -> KeyRing:
    """Everybody who may sign; ConfigError with the line of the first fault."""
    path = secret_file(COMMAND_KEYS, settings.commands.keys_file)
    return KeyRing() if path is None else read_keys(path, VERBS)


def open_reception(settings: Settings) -> Reception | None:
    """None where there is no broker to hear commands from. ConfigError for keys, OutboxError for the journal."""
    if not settings.mqtt.enabled:
        return None
    return Reception(settings, keys_of(settings), Journal(journal_file(settings)))
