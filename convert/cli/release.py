"""`ostiary-convert release`."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

from convert.cli.common import Subcommands
from edge.errors import EXIT_OK, MissingDependencyError, UsageError

_TARGETS = ("arm64", "armhf", "amd64")
_DEBIANS = ("bookworm", "trixie")
_FORMATS = ("tar", "deb")


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = (
        "Makes a release in a checkout: the wheels of another machine, bundle, units, configuration, bill of materials and licences "
        "as a folder, as a tar archive and as a Debian package. The same bytes every time from the same inputs; docs/release.md says how."
    )
    command = commands.add_parser("release", help="make a release for an ARM or x86 box", description=about)
    command.add_argument(
        "--target", choices=_TARGETS, required=True, help="architecture of the box, as Debian calls it"
    )
    command.add_argument("--debian", choices=_DEBIANS, default=_DEBIANS[0], help="its Debian (default: %(default)s)")
    command.add_argument(
        "--bundle", type=Path, metavar="DIR", help="the bundle that boxes begin with (default: the package's)"
    )
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="their configuration (default: a short one to fill in)"
    )
    command.add_argument(
        "--wheels", type=Path, metavar="DIR", help="where wheels are kept between builds (default: the cache)"
    )
    command.add_argument(
        "--format",
        default=",".join(_FORMATS),
        metavar="tar,deb",
        help="what to make beside the folder (default: %(default)s)",
    )
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="folder that the release is put into"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make it; returns the exit code."""
    formats = _formats(args.format)
    try:
        import packaging.licenses  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("packaging 24.2", extra="release", purpose="choosing wheels") from error
    from deploy.release.configuration import DEFAULT, configuration_text
    from deploy.release.folder import Ingredients
    from deploy.release.make import make_release
    from deploy.release.origin import find_origin
    from deploy.release.target import target_named
    from edge.bundle import load_bundle

    begin = time.monotonic()
    origin = find_origin(Path(__file__).parents[2])
    target = target_named(args.target, args.debian)
    bundle = load_bundle(args.bundle or origin.checkout / "edge" / "data" / "default-bundle")
    configuration = configuration_text(args.config or origin.checkout / DEFAULT)
    made = make_release(Ingredients(origin, target, bundle, configuration, args.wheels), args.output, formats)
    if origin.commit is None:
        print("note: the checkout differs from its commit, or has none: release.json names no commit", file=sys.stderr)
    for path in made.files:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        print(f"{digest}  {path}")
    print(f"{made.folder}: {target.label}, Python {target.python}, {time.monotonic() - begin:.1f} s")
    return EXIT_OK


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    wrong = [word for word in chosen if word not in _FORMATS]
    if wrong:
        raise UsageError(f"--format {wrong[0][:40]!r}", expected="tar, deb, or both with a comma between")
    return chosen
