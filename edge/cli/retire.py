"""`ostiary retire`: take back what a box that is gone has left at the broker."""

from __future__ import annotations

import argparse
import re
import sys

from edge.cli.common import plural, settings_of
from edge.cli.watch import with_address
from edge.config.settings import SLUG
from edge.discovery.memory import forget, memory_file
from edge.discovery.retire import Target, clear, retained_of, target_of
from edge.errors import EXIT_OK, UsageError
from edge.paths import outbox_file
from edge.publish.topics import Topics


def run(args: argparse.Namespace) -> int:
    """Look, ask, clear."""
    for name in ("device", "camera"):
        _check_name(name, getattr(args, name))
    settings = settings_of(args)
    mqtt = with_address(settings.mqtt, args.host, args.port)
    target = target_of(settings, device=args.device, camera=args.camera)
    found = retained_of(mqtt, target)
    is_online = found.get(Topics(target.base, target.device).status) == b"online"
    if is_online and not args.force:
        hint = "Stop it first: it would announce itself again. --force is for one that lost its power together with its broker."
        raise UsageError("is online", where=target.device, expected="a box that is stopped", hint=hint)
    if not (args.yes or _confirmed(target, found)):
        print("nothing was changed")
        return EXIT_OK
    # What the broker does not show us may be there all the same; clearing nothing does no harm.
    clear(mqtt, target, dict.fromkeys((*found, *target.known)))
    forget(memory_file(outbox_file(settings)), base=target.base, device=target.device)
    print(f"{target.device}: cleared {plural(len(found), 'retained message')} at {mqtt.host}")
    return EXIT_OK


def _check_name(option: str, name: str | None) -> None:
    """It becomes a part of topics, where a wildcard would mean everybody."""
    if name is not None and not re.fullmatch(SLUG, name):
        raise UsageError(f"{name!r} is no name", where=f"--{option}", expected="letters, digits, - and _")


def _confirmed(target: Target, found: dict[str, bytes]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", hint=f"Add --yes to forget {target.device} without a question.")
    for topic in sorted(found):
        print(f"  {topic}")
    question = f"Clear {plural(len(found), 'retained message')} of {target.device}? [y/N] "
    return input(question).strip().lower() in {"y", "yes"}
