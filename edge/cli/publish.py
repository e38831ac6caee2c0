"""`ostiary gallery publish`: people of this gallery for every box of a group."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping
from typing import Any

from edge.cli.common import complain, plural, print_json, progress, settings_of
from edge.cli.gallery import opened
from edge.cli.watch import with_address
from edge.config.settings import Mqtt, Settings
from edge.credentials import SYNC_KEYS, secret_file
from edge.errors import EXIT_OK, BrokerError, UsageError
from edge.gallery import Gallery
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.replica import Replica
from edge.signing import PrivateKey, read_private_key
from edge.sync.content import content_of
from edge.sync.keys import PublisherRing, publisher_key, read_publishers
from edge.sync.link import Link
from edge.sync.message import Content
from edge.sync.names import IDENTITY_ID, GroupTopics, is_group
from edge.sync.publishing import Job, Publishing, Report
from edge.sync.secrets import read_secrets

TRIES = 3
PAUSE_S = 2.0


def run_publish(args: argparse.Namespace) -> int:
    """Read what the broker has, say what is new, and wait until all of it was taken."""
    if not is_group(args.group):
        raise UsageError(f"group {args.group[:40]!r}", expected="letters, digits, - and _, such as staff")
    if args.all and args.who:
        raise UsageError("both --all and names", expected="one of them")
    settings = settings_of(args)
    key = read_private_key(args.key)
    mqtt = with_address(settings.mqtt, args.host, args.port)
    with opened(args) as gallery:
        job = _job(args, gallery, key, GroupTopics(mqtt.base_topic, args.group))
        ring = _ring(args, settings, key)
        replica = Replica(gallery, args.group)
        report = _patiently(args, mqtt, job, ring, replica.words().head)
        if not args.dry_run:
            replica.apply([], [], head=report.revision)
        names = {record.id: record.name for record in gallery.list_identities()}
    _tell(args, report, names, is_sealed=job.sealer is not None)
    return EXIT_OK


def _job(args: argparse.Namespace, gallery: Gallery, key: PrivateKey, topics: GroupTopics) -> Job:
    records = gallery.list_identities() if args.all else [gallery.get(who) for who in args.who]
    people: dict[str, Content] = {}
    for record in records:
        if record.origin:
            if args.all:
                continue
            problem = f"{record.name} was published by group {record.origin}"
            raise UsageError(
                problem, expected="somebody who was enrolled here", hint="Publish where the person was enrolled."
            )
        people[record.id] = content_of(record, gallery.faces(record.id))
    removals = list(dict.fromkeys(_id_of(gallery, who) for who in args.remove))
    if both := sorted(set(removals) & set(people)):
        raise UsageError(f"{both[0]} both published and removed", expected="one of them")
    return Job(topics, key, _sealer(args), people, removals, is_new=args.new, is_forced=args.force)


def _id_of(gallery: Gallery, who: str) -> str:
    """Of somebody who may be in this gallery no more."""
    if re.fullmatch(IDENTITY_ID, who):
        return who
    found = gallery.find(who)
    if found is None:
        hint = "Of somebody who was removed here already, give the id: `ostiary gallery audit` has it."
        raise UsageError(f"nobody called {who[:80]!r} is enrolled", where=str(gallery.path), hint=hint)
    return found.id


def _sealer(args: argparse.Namespace) -> Sealer | None:
    if args.secret is None:
        return None
    sealer = read_secrets(args.secret).get(args.group)
    if sealer is None:
        hint = f"`ostiary keys group-secret {args.group}` prints a line for it."
        raise UsageError(f"no secret of group {args.group}", where=str(args.secret), hint=hint)
    return sealer


def _ring(args: argparse.Namespace, settings: Settings, key: PrivateKey) -> PublisherRing:
    """Whose word is believed of what the broker has: our own, and that of other publishers where we know their keys."""
    path = args.keys or secret_file(SYNC_KEYS, settings.sync.keys_file)
    ring = read_publishers(path) if path is not None else PublisherRing()
    return ring.with_key(publisher_key(key, [args.group]))


def _patiently(args: argparse.Namespace, mqtt: Mqtt, job: Job, ring: PublisherRing, remembered: int) -> Report:
    """Doing it again changes nothing that was done, so that a connection that is lost costs a moment."""
    for tries_left in range(TRIES - 1, -1, -1):
        try:
            with Link(mqtt, job.topics, ring) as link:
                return Publishing(link, job, remembered=remembered).run(progress, dry_run=args.dry_run)
        except BrokerError as error:
            if not (error.retryable and tries_left):
                raise
            complain(f"{error}\ntrying again")
            time.sleep(PAUSE_S)
    raise AssertionError("the last try returns or raises")


def _tell(args: argparse.Namespace, report: Report, names: Mapping[str, str], *, is_sealed: bool) -> None:
    row: dict[str, Any] = {
        "group": args.group, "revision": report.revision, "identities": report.count, "sealed": is_sealed,
        "published": report.published, "unchanged": report.unchanged, "removed": report.removed,
        "not_there": report.not_there, "cleared": report.cleared, "dry_run": args.dry_run,
    }  # fmt: skip
    if args.json:
        print_json(row)
        return
    for what, ids in (("publish", report.published), ("remove", report.removed)):
        # A list of thousands says nothing.
        for identity_id in ids if args.dry_run or len(ids) <= 20 else ():
            print(f"  {what} {identity_id} {names.get(identity_id, '')}")
    for identity_id in report.not_there:
        print(f"  {identity_id} is not in the group; the removal was published all the same")
    verb = "would be published" if args.dry_run else "published"
    print(
        f"group {args.group}: {len(report.published)} {verb}{' sealed' if is_sealed else ''}, {len(report.unchanged)} unchanged, "
        f"{len(report.removed)} removed; {plural(report.count, 'identity', 'identities')}, revision {report.revision}"
    )
    if report.published and not is_sealed and not args.dry_run:
        complain("not sealed: the broker, and who may read this group, can read names and embeddings (--secret FILE)")
