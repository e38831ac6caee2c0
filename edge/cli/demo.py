"""`ostiary demo`: see it work."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from edge import watch as view
from edge.cli.common import ready_folder
from edge.config import Settings
from edge.demo.broker import demo_broker
from edge.demo.portraits import HOPPER
from edge.demo.show import Files, Subscriber, enrol, make_clip, make_sheet, run_daemon, write_config
from edge.errors import EXIT_OK, EXIT_OTHER


def run(args: argparse.Namespace) -> int:
    """Exit 1 when the clip's two visitors are not decided as they should be."""
    ready_folder(args.output)
    files = Files(args.output)
    files.clear()
    show, save = _console()
    with demo_broker() as address:
        settings = write_config(files, address, camera=args.camera, bundle=args.bundle)
        print(f"broker    on {address.host}:{address.port}, MQTT {address.protocol}")
        _enrol(args, settings)
        if args.camera is None:
            print(f"clip      {files.clip}: two visitors, one of them enrolled; it takes some seconds to make")
            make_clip(files)
        print("daemon    started; this is what a subscriber hears:" + (" (Ctrl-C ends it)" if args.camera else ""))
        subscriber = Subscriber(settings.mqtt)
        with subscriber.listening(show):
            code = run_daemon(files, annotate=args.camera is None)
    if code != EXIT_OK:
        print(f"the daemon ended with code {code}; its log:\n{files.log.read_text(encoding='utf-8')}")
        return code
    if args.camera is not None:
        return EXIT_OK
    make_sheet(files)
    save(files.folder / "events.svg")
    print(f"look at   {files.sheet}, {files.annotated}; the daemon's log is {files.log}")
    return _judge(subscriber.lines)


def _enrol(args: argparse.Namespace, settings: Settings) -> None:
    picture: Path | None = args.picture if args.camera is not None else HOPPER.path()
    if picture is None:
        print("enrolled  nobody: everybody will be unknown (--picture FILE enrols you)")
        return
    name = "You" if args.camera is not None else HOPPER.name
    result = enrol(settings, name, picture)
    quality = result.accepted[0].quality
    print(f"enrolled  {name} from {picture.name}: {quality.size_px:.0f} px, quality {quality.score:.2f}")


def _judge(lines: list[view.Line]) -> int:
    """What a clip of one enrolled and one unknown visitor must come to."""
    events = [line.data for line in lines if line.kind == "event"]
    names = [event["identity"]["name"] for event in events if event["allowed"]]
    strangers = sum(event["event_type"] == "unknown" for event in events)
    if names == [HOPPER.name] and strangers == 1:
        print(f"as it should be: {HOPPER.name} was recognized once and let in, and the other visitor was unknown")
        return EXIT_OK
    print(f"not as it should be: let in {names or 'nobody'}, unknown {strangers}; expected one of each")
    return EXIT_OTHER


def _console() -> tuple[Callable[[view.Line], None], Callable[[Path], None]]:
    """How to show a line, and how to save all that was shown as a picture."""
    try:
        from rich.console import Console
    except ImportError:
        return (lambda line: print("  " + view.render_plain(line), flush=True)), (lambda _: None)
    console = Console(highlight=False, soft_wrap=True, record=True, width=118)
    return (
        lambda line: console.print(view.render_rich(line)),
        lambda path: _save_svg(path, console.export_svg(title="ostiary watch")),
    )


def _save_svg(path: Path, text: str) -> None:
    """Without the fonts that rich lets a browser fetch from elsewhere."""
    path.write_text(re.sub(r"@font-face\s*\{[^}]*\}", "", text), encoding="utf-8")
