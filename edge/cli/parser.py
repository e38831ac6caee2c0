"""All commands and their options. Each command's module is imported only when it runs: `--help` is instant."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge import __version__
from edge.cli.bundle_options import add_bundles
from edge.cli.options import Commands, Help, add_bundle, add_files, add_json, count, port, run_of
from edge.cli.people_options import add_people
from edge.cli.remote_options import add_remote

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

_LOOKED_AT = (
    "configuration", "runtimes", "bundle", "gallery", "camera", "broker", "commands", "secrets", "files", "clock",
)  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="ostiary", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"ostiary {__version__}")
    add_bundle(parser, "bundle that the command uses (may stand behind the command as well)", default=None)
    parser.set_defaults(run=None, parser=parser)
    commands = Commands(parser)
    _add_daemon(commands)
    add_people(commands)
    add_bundles(commands)
    _add_pictures(commands)
    add_remote(commands)
    _add_retire(commands)
    _add_tools(commands)
    return parser


def _add_daemon(commands: Commands) -> None:
    run = commands.add(
        "run", run_of("run"), "the daemon: camera in, events out",
        epilog="examples:\n  ostiary run\n  ostiary run --camera rtsp://camera.local/stream1\n"
        "  ostiary run --camera clip.mp4 --no-mqtt --annotate seen.mp4",
    )  # fmt: skip
    add_files(run)
    run.add_argument("--camera", metavar="URI", help="instead of the configuration's camera.uri")
    run.add_argument("--no-mqtt", action="store_true", help="print events as JSON lines instead of publishing them")
    run.add_argument("--annotate", type=Path, metavar="FILE", help="also write what was seen to a .mp4 or .avi file")
    demo = commands.add(
        "demo", run_of("demo"), "see it work: two visitors come to a door, one is enrolled",
        description="Enrols one person, makes a clip of two visitors, runs the real daemon on it against a broker of its own,\n"
        "prints the events as a subscriber receives them, and leaves a contact sheet and a video.",
    )  # fmt: skip
    demo.add_argument(
        "--camera", metavar="URI", help="live instead of a clip: 0, v4l2:/dev/video0, rtsp://..., picamera2:"
    )
    demo.add_argument("--picture", type=Path, metavar="FILE", help="with --camera: enrol this portrait of yours first")
    add_bundle(demo, "bundle to use (default: the package's own)")
    demo.add_argument(
        "-o", "--output", type=Path, default=Path("demo-output"), metavar="DIR", help="default: demo-output"
    )
    watch = commands.add(
        "watch", run_of("watch"), "a readable live view of a broker's events",
        epilog="examples:\n  ostiary watch --host homeassistant.local\n  ostiary watch --json | jq .identity.name",
    )  # fmt: skip
    add_files(watch, bundle=False, gallery=False)
    watch.add_argument("--host", metavar="NAME", help="instead of the configuration's mqtt.host")
    watch.add_argument("--port", type=port, metavar="N", help="instead of the configuration's mqtt.port")
    watch.add_argument("--count", type=count, metavar="N", help="stop after so many events")
    add_json(watch)


def _add_pictures(commands: Commands) -> None:
    identify = commands.add(
        "identify", run_of("identify"), "who is in these pictures?",
        epilog="examples:\n  ostiary identify visitor.jpg\n  ostiary identify --json pictures/ | jq .faces[].identity.name\n"
        "exit 1 when any picture could not be read.",
    )  # fmt: skip
    add_files(identify)
    add_json(identify)
    identify.add_argument(
        "--annotate", type=Path, metavar="DIR", help="write the pictures with boxes and names into this folder"
    )
    identify.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="pictures, or folders of pictures")
    verify = commands.add(
        "verify", run_of("verify"), "are these two pictures of one person?",
        epilog="exit 0 whatever the answer is, 1 when a picture cannot be read or has no face.\n"
        "--gallery is taken as everywhere, so that scripts may give it always; two pictures need none.",
    )  # fmt: skip
    add_files(verify)
    add_json(verify)
    verify.add_argument("a", type=Path, metavar="A", help="a picture; of several faces the largest counts")
    verify.add_argument("b", type=Path, metavar="B", help="another one")


def _add_retire(commands: Commands) -> None:
    retire = commands.add(
        "retire", run_of("retire"), "take back what a box that is gone has left at the broker",
        description="Clears everything that a box has left retained at the broker: its states, and the message by which Home Assistant\n"
        "knows it. For a box that is stopped for good, also one whose disk is lost.",
        epilog="examples:\n  ostiary retire --config /etc/ostiary/ostiary.yaml\n  ostiary retire --device front-door --host broker.local --yes\n"
        "exit 0 cleared, 2 still online or nobody to ask, 3 when the broker is away or refuses.",
    )  # fmt: skip
    add_files(retire, bundle=False, gallery=False)
    retire.add_argument("--host", metavar="NAME", help="instead of the configuration's mqtt.host")
    retire.add_argument("--port", type=port, metavar="N", help="instead of the configuration's mqtt.port")
    retire.add_argument("--device", metavar="NAME", help="box to forget (default: the configuration's device.name)")
    retire.add_argument(
        "--camera", metavar="NAME", help="its camera, where the broker does not let us look for ourselves"
    )
    retire.add_argument("--force", action="store_true", help="even when it says that it is online")
    retire.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _add_tools(commands: Commands) -> None:
    check = commands.add(
        "check", run_of("check"), "what is wrong here, and how to mend it",
        description="Looks at the configuration, bundle, TFLite runtime, gallery, camera and broker, and says of each what is\n"
        "wrong and how to mend it. The exit code is that of the first fault.",
    )  # fmt: skip
    add_files(check)
    add_json(check)
    check.add_argument("--camera", metavar="URI", help="instead of the configuration's camera.uri")
    check.add_argument(
        "--only", nargs="+", choices=_LOOKED_AT, metavar="WHAT",
        help=f"look at these alone: {', '.join(_LOOKED_AT)}. A daemon that runs has the camera to itself.",
    )  # fmt: skip
    bench = commands.add(
        "bench", run_of("bench"), "how fast is this box?",
        description="Measures on this box: stages on one frame, the pipeline on a clip beside a plain loop (detection on the\n"
        "full frame, every face of every frame embedded), gallery search, start-up and memory.",
    )  # fmt: skip
    add_files(bench, gallery=False)
    add_json(bench)
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
        "completion", run_of("completion"), "shell completion for bash, zsh or tcsh",
        epilog='bash:  ostiary completion bash >> ~/.bash_completion\nzsh:   ostiary completion zsh > "${fpath[1]}/_ostiary"',
    )  # fmt: skip
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
