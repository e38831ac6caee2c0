"""All commands and their options. Each command's module is imported only when it runs: `--help` is instant."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge import __version__

_DESCRIPTION = """\
Face recognition for doors, on the edge: finds faces in a camera's frames, decides over several frames who it is,
and tells an MQTT broker. Nothing leaves the box but those events."""

_EXAMPLES = """\
a first walk through:
  ostiary demo                                 see it work, with no camera and no broker
  ostiary enroll --name "Ada Lovelace" ada/    enrol somebody from pictures
  ostiary identify visitor.jpg                 who is in this picture?
  ostiary check                                is everything here that the daemon needs?
  ostiary run                                  the daemon
  ostiary watch                                the events of a broker, as they happen

exit codes: 0 clean, 2 configuration or usage, 3 camera or broker unavailable, 4 bundle, model or gallery rejected,
1 anything else. Documentation: docs/ in the source, and docs/troubleshooting.md by error message."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves texts as they are written, and gives the names of commands the room that they need."""

    def add_argument(self, action: argparse.Action) -> None:
        """Argparse does not count that commands are indented once more than options."""
        super().add_argument(action)
        if action.nargs == argparse.PARSER:
            self._action_max_length += self._indent_increment


def _port(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected a port from 1 to 65535")


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1_000_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of at least 1")


def _command(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    def call(args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(f"edge.cli.{module}"), function)(args))

    return call


class _Commands:
    """Adds subcommands that all look alike."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._group = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(
        self, name: str, run: Callable[[argparse.Namespace], int], help_: str, **texts: Any
    ) -> argparse.ArgumentParser:
        epilog = texts.pop("epilog", None)
        parser = self._group.add_parser(
            name, help=help_, description=texts.pop("description", help_), epilog=epilog,
            formatter_class=_Help,
        )  # fmt: skip
        parser.set_defaults(run=run, parser=parser)
        return parser


def _files(parser: argparse.ArgumentParser, *, bundle: bool = True, gallery: bool = True) -> None:
    group = parser.add_argument_group("files")
    group.add_argument("--config", type=Path, metavar="FILE", help="ostiary.yaml (default: see docs/configuration.md)")
    if bundle:
        _bundle(group, "bundle to use (default: the configuration's, else the package's own)")
    if gallery:
        group.add_argument(
            "--gallery",
            type=Path,
            metavar="FILE",
            help="gallery to use (default: the configuration's, else one per user)",
        )


def _bundle(group: argparse._ActionsContainer, help_: str, default: str | None = argparse.SUPPRESS) -> None:
    """Before the command or behind it; behind it nothing is set where nothing is said, so that what was said before stays."""
    group.add_argument("--bundle", type=Path, metavar="DIR", help=help_, default=default)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="ostiary", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=_Help)
    parser.add_argument("--version", action="version", version=f"ostiary {__version__}")
    _bundle(parser, "bundle that the command uses (may stand behind the command as well)", default=None)
    parser.set_defaults(run=None, parser=parser)
    commands = _Commands(parser)
    _add_daemon(commands)
    _add_people(commands)
    _add_pictures(commands)
    _add_tools(commands)
    return parser


def _add_daemon(commands: _Commands) -> None:
    run = commands.add(
        "run", _command("run"), "the daemon: camera in, events out",
        epilog="examples:\n  ostiary run\n  ostiary run --camera rtsp://camera.local/stream1\n"
        "  ostiary run --camera clip.mp4 --no-mqtt --annotate seen.mp4",
    )  # fmt: skip
    _files(run)
    run.add_argument("--camera", metavar="URI", help="instead of the configuration's camera.uri")
    run.add_argument("--no-mqtt", action="store_true", help="print events as JSON lines instead of publishing them")
    run.add_argument("--annotate", type=Path, metavar="FILE", help="also write what was seen to a .mp4 or .avi file")
    demo = commands.add(
        "demo", _command("demo"), "see it work: two visitors come to a door, one is enrolled",
        description="Enrols one person, makes a clip of two visitors, runs the real daemon on it against a broker of its own,\n"
        "prints the events as a subscriber receives them, and leaves a contact sheet and a video.",
    )  # fmt: skip
    demo.add_argument(
        "--camera", metavar="URI", help="live instead of a clip: 0, v4l2:/dev/video0, rtsp://..., picamera2:"
    )
    demo.add_argument("--picture", type=Path, metavar="FILE", help="with --camera: enrol this portrait of yours first")
    _bundle(demo, "bundle to use (default: the package's own)")
    demo.add_argument(
        "-o", "--output", type=Path, default=Path("demo-output"), metavar="DIR", help="default: demo-output"
    )
    watch = commands.add(
        "watch", _command("watch"), "a readable live view of a broker's events",
        epilog="examples:\n  ostiary watch --host homeassistant.local\n  ostiary watch --json | jq .identity.name",
    )  # fmt: skip
    _files(watch, bundle=False, gallery=False)
    watch.add_argument("--host", metavar="NAME", help="instead of the configuration's mqtt.host")
    watch.add_argument("--port", type=_port, metavar="N", help="instead of the configuration's mqtt.port")
    watch.add_argument("--count", type=_count, metavar="N", help="stop after so many events")
    _json(watch)


def _add_people(commands: _Commands) -> None:
    enroll = commands.add(
        "enroll", _command("enroll"), "enrol somebody from pictures or a camera",
        description="Enrols one person. Three to five sharp pictures from the front, in different light, are plenty.\n"
        "Bad pictures are refused, each with its reason; look-alikes already enrolled are warned of.",
        epilog='examples:\n  ostiary enroll --name "Ada Lovelace" ada1.jpg ada2.jpg\n'
        '  ostiary enroll --name "Ada Lovelace" --camera 0 --count 5',
    )  # fmt: skip
    _files(enroll)
    who = enroll.add_argument_group("who")
    who.add_argument("--name", metavar="NAME", help="name of a new identity, or of the one to add to")
    who.add_argument("--id", metavar="ID", help="add pictures to the identity with this id")
    who.add_argument("--note", default="", metavar="TEXT", help="kept with the identity; published nowhere")
    who.add_argument("--valid-from", metavar="WHEN", help="not recognized before: 2026-01-31 or 2026-01-31T08:00:00Z")
    who.add_argument("--valid-until", metavar="WHEN", help="not recognized from then on")
    enroll.add_argument("--camera", metavar="URI", help="take pictures from a live source instead")
    enroll.add_argument(
        "--count", type=_count, default=5, metavar="N", help="with --camera: pictures to take (default 5)"
    )
    enroll.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="pictures, or folders of pictures")
    _json(enroll)
    _add_gallery(commands)


def _add_gallery(commands: _Commands) -> None:
    gallery = commands.add(
        "gallery", _command("gallery"), "who is enrolled: list, show, change, remove, export, import"
    )
    gallery.set_defaults(run=None)
    inner = _Commands(gallery)
    for name, help_ in (
        ("list", "everybody who is enrolled"),
        ("show", "one identity, with what it was enrolled from"),
        ("set", "rename, note, enable, disable, or limit in time"),
        ("remove", "erase an identity: embeddings, kept faces, everything"),
        ("export", "all identities into one file"),
        ("import", "identities from such a file"),
    ):
        parser = inner.add(name, _command("gallery", f"run_{name}"), help_)
        _files(parser)
        _json(parser)
        if name in {"show", "set", "remove"}:
            parser.add_argument("who", metavar="WHO", help="id or name")
        if name in {"export", "import"}:
            parser.add_argument("file", type=Path, metavar="FILE", help="the export")
        if name in _GALLERY_OPTIONS:
            _GALLERY_OPTIONS[name](parser)


def _set_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="new name")
    parser.add_argument("--note", metavar="TEXT", help="new note")
    switch = parser.add_mutually_exclusive_group()
    switch.add_argument("--enable", action="store_const", const=True, dest="enabled", help="recognize again")
    switch.add_argument(
        "--disable", action="store_const", const=False, dest="enabled", help="recognize no more, but keep"
    )
    parser.add_argument("--valid-from", metavar="WHEN", help='not recognized before; "" takes the limit away')
    parser.add_argument("--valid-until", metavar="WHEN", help='not recognized from then on; "" takes the limit away')


def _remove_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faces", action="store_true", help="with the aligned faces, where they were kept")


_GALLERY_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "set": _set_options,
    "remove": _remove_options,
    "export": _export_options,
}


def _add_pictures(commands: _Commands) -> None:
    identify = commands.add(
        "identify", _command("identify"), "who is in these pictures?",
        epilog="examples:\n  ostiary identify visitor.jpg\n  ostiary identify --json pictures/ | jq .faces[].identity.name\n"
        "exit 1 when any picture could not be read.",
    )  # fmt: skip
    _files(identify)
    _json(identify)
    identify.add_argument(
        "--annotate", type=Path, metavar="DIR", help="write the pictures with boxes and names into this folder"
    )
    identify.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="pictures, or folders of pictures")
    verify = commands.add(
        "verify", _command("verify"), "are these two pictures of one person?",
        epilog="exit 0 whatever the answer is, 1 when a picture cannot be read or has no face.\n"
        "--gallery is taken as everywhere, so that scripts may give it always; two pictures need none.",
    )  # fmt: skip
    _files(verify)
    _json(verify)
    verify.add_argument("a", type=Path, metavar="A", help="a picture; of several faces the largest counts")
    verify.add_argument("b", type=Path, metavar="B", help="another one")


def _add_tools(commands: _Commands) -> None:
    check = commands.add(
        "check", _command("check"), "what is wrong here, and how to mend it",
        description="Looks at the configuration, bundle, TFLite runtime, gallery, camera and broker, and says of each what is\n"
        "wrong and how to mend it. The exit code is that of the first fault.",
    )  # fmt: skip
    _files(check)
    _json(check)
    check.add_argument("--camera", metavar="URI", help="instead of the configuration's camera.uri")
    bench = commands.add(
        "bench", _command("bench"), "how fast is this box?",
        description="Measures on this box: stages on one frame, the pipeline on a clip beside a plain loop (detection on the\n"
        "full frame, every face of every frame embedded), gallery search, start-up and memory.",
    )  # fmt: skip
    _files(bench, gallery=False)
    _json(bench)
    bench.add_argument(
        "what", nargs="*", metavar="WHAT", help="stages, clip, gallery, start (default: all that need no clip)"
    )
    bench.add_argument(
        "--clip", type=Path, metavar="FILE", help="video for `clip`, and for `start` instead of a grey one"
    )
    bench.add_argument(
        "--picture", type=Path, metavar="FILE", help="portrait for `stages` (default: one that the extra `demo` brings)"
    )
    bench.add_argument(
        "--plain-bundle", type=Path, metavar="DIR", help="bundle of the plain loop (default: the same bundle)"
    )
    bench.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (default 3)")
    completion = commands.add(
        "completion", _command("completion"), "shell completion for bash, zsh or tcsh",
        epilog='bash:  ostiary completion bash >> ~/.bash_completion\nzsh:   ostiary completion zsh > "${fpath[1]}/_ostiary"',
    )  # fmt: skip
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
