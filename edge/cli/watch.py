"""`ostiary watch`: a readable live view of a broker's events."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

from edge import watch as view
from edge.cli.common import settings_of
from edge.config.settings import Mqtt


def run(args: argparse.Namespace) -> int:
    """Until interrupted, or `--count` events have come."""
    mqtt = with_address(settings_of(args).mqtt, args.host, args.port)
    show = _printer(as_json=args.json)
    left = args.count
    for line in view.watch(mqtt):
        if args.json and line.kind not in {"event", "history"}:
            continue
        show(line)
        if line.kind in {"event", "history"} and left is not None:
            left -= 1
            if left <= 0:
                break
    return 0


def with_address(mqtt: Mqtt, host: str | None, port: int | None) -> Mqtt:
    """The settings with another broker's address."""
    return dataclasses.replace(mqtt, host=host or mqtt.host, port=port or mqtt.port)


def _printer(*, as_json: bool) -> Callable[[view.Line], None]:
    if as_json:
        return lambda line: print(view.render_json(line), flush=True)
    try:
        from rich.console import Console
    except ImportError:
        return lambda line: print(view.render_plain(line), flush=True)
    console = Console(highlight=False, soft_wrap=True)
    return lambda line: console.print(view.render_rich(line))
