"""`ostiary-convert sign`: keys, and a repository of signed bundles."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from convert.cli.common import Subcommands
from edge.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from convert.signing.actions import Outcome, Signing

ROLES = ("root", "targets", "snapshot", "timestamp")

_ABOUT = "Signs bundles for boxes with `updates.trust`: keys, and a repository of The Update Framework in a folder."
_EPILOG = """\
examples:
  ostiary-convert sign keys keys/root.pem keys/targets.pem keys/online.pem
  ostiary-convert sign init repository --key root=keys/root.pem --key targets=keys/targets.pem \\
      --key snapshot=keys/online.pem --key timestamp=keys/online.pem
  ostiary-convert sign add repository my-bundle --version 1 --device 'front-*' --with keys
  ostiary-convert sign refresh repository --with keys/online.pem
  ostiary-convert sign show repository

docs/updates.md says who keeps which key, and what to do when one is lost."""


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand and its verbs."""
    style = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser(
        "sign", help="sign bundles for the boxes of a fleet", description=_ABOUT, epilog=_EPILOG, formatter_class=style
    )
    verbs = command.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_keys(verbs)
    _add_init(verbs)
    _add_bundles(verbs)
    _add_role_verbs(verbs)
    show = _verb(verbs, "show", "roles, keys, expiry and bundles of a repository", run_show)
    show.add_argument("--json", action="store_true", help="one JSON object, for programs")


def _add_keys(verbs: Subcommands) -> None:
    keys = verbs.add_parser("keys", help="make private keys", description="Makes private keys (Ed25519), mode 0600.")
    keys.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a new file for each, NAME.pem")
    keys.add_argument("--locked", action="store_true", help="lock them by a passphrase, which is asked for")
    _add_passphrase(keys)
    keys.set_defaults(run=run_keys)


def _add_init(verbs: Subcommands) -> None:
    init = _verb(verbs, "init", "make an empty repository in a new folder", run_init)
    init.add_argument(
        "--key", action="append", default=[], required=True, metavar="ROLE=FILE",
        help="private key of a role (root, targets, snapshot, timestamp); repeat it for several",
    )  # fmt: skip
    init.add_argument(
        "--threshold", action="append", default=[], metavar="ROLE=N", help="so many keys must sign (default: 1)"
    )
    _add_days(init)
    _add_passphrase(init)


def _add_bundles(verbs: Subcommands) -> None:
    add = _verb(verbs, "add", "sign a bundle and offer it to boxes", run_add)
    add.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a bundle")
    add.add_argument(
        "--version", type=int, required=True, metavar="N", help="higher is newer; boxes go down by hand only"
    )
    add.add_argument(
        "--device", action="append", default=[], metavar="PATTERN", help="for devices of such names (default: all)"
    )
    add.add_argument(
        "--machine", action="append", default=[], metavar="NAME", help="for aarch64, armv7l, x86_64 (default: all)"
    )
    add.add_argument("--description", default="", metavar="TEXT", help="a sentence for those who choose")
    withdraw = _verb(verbs, "withdraw", "take a bundle back", run_withdraw)
    withdraw.add_argument("bundle_id", metavar="BUNDLE_ID", help="`sign show` lists them")
    withdraw.add_argument("--reason", default="", metavar="TEXT", help="boxes tell it")
    refresh = _verb(verbs, "refresh", "sign anew what is due, and publish what waits; for a daily job", run_refresh)
    approve = _verb(verbs, "approve", "add a signature to what others have begun", run_approve)
    for one in (add, withdraw, refresh, approve):
        _add_with(one)


def _add_role_verbs(verbs: Subcommands) -> None:
    rotate = _verb(verbs, "rotate", "give a role a new key", run_rotate)
    rotate.add_argument("--key", type=Path, required=True, metavar="FILE", help="the new private key")
    group = rotate.add_mutually_exclusive_group()
    group.add_argument("--old", metavar="KEYID", help="the key that it replaces (default: the only one)")
    group.add_argument("--keep", action="store_true", help="replace none: one more key")
    revoke = _verb(verbs, "revoke", "take a key of a role out of use", run_revoke)
    revoke.add_argument("--key", required=True, metavar="KEYID", help="its id, or the beginning of it")
    for one in (rotate, revoke):
        one.add_argument("--role", required=True, choices=ROLES, help="of which role")
        one.add_argument("--threshold", type=int, metavar="N", help="so many keys must sign from now on")
        _add_with(one)


def _verb(
    verbs: Subcommands, name: str, what: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    verb.add_argument("repository", type=Path, metavar="REPOSITORY", help="its folder")
    verb.set_defaults(run=run)
    return verb


def _add_with(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--with", dest="signers", action="append", type=Path, default=[], required=True, metavar="FILE|DIR",
        help="private keys that sign: a file, or every .pem file of a folder; repeat it for several",
    )  # fmt: skip
    _add_days(verb)
    _add_passphrase(verb)


def _add_days(verb: argparse.ArgumentParser) -> None:
    text = "days until it expires, from now on (at first: root 730, targets 365, snapshot 30, timestamp 7)"
    verb.add_argument("--days", action="append", default=[], metavar="ROLE=N", help=text)


def _add_passphrase(verb: argparse.ArgumentParser) -> None:
    text = "its first line opens locked keys (default: it is asked for)"
    verb.add_argument("--passphrase-file", type=Path, metavar="FILE", help=text)


def run_keys(args: argparse.Namespace) -> int:
    """Make key files; the id of each to standard output."""
    from convert.signing.keys import Passphrase, need_tuf, new_key

    need_tuf()
    is_locked = args.locked or args.passphrase_file is not None
    passphrase = Passphrase(args.passphrase_file).ask(args.files[0], twice=True) if is_locked else None
    for path in args.files:
        print(f"{new_key(path, passphrase).public_key.keyid}  {path}")
    print(
        "private keys: copy those of root and targets to a place without a network, and keep them there",
        file=sys.stderr,
    )
    return EXIT_OK


def run_init(args: argparse.Namespace) -> int:
    """Make a repository."""
    from convert.signing.actions import Signing, create
    from convert.signing.keys import Passphrase, load_key, need_tuf

    need_tuf()
    passphrase = Passphrase(args.passphrase_file)
    keys = {
        role: [load_key(Path(file), passphrase) for file in files]
        for role, files in _by_role(args.key, "--key").items()
    }
    outcome = create(
        args.repository, keys, _numbers(args.threshold, "--threshold"), Signing.today({}, _numbers(args.days, "--days"))
    )
    print(
        f"{args.repository / 'metadata' / '1.root.json'} is the root of trust: boxes get it as root.json in the folder of updates.trust"
    )
    return _told(outcome)


def run_add(args: argparse.Namespace) -> int:
    """Sign a bundle."""
    from convert.signing.actions import add

    signing = _signing(args)
    terms = {"version": args.version, "devices": args.device, "machines": args.machine, "description": args.description}
    return _told(add(args.repository, args.bundle, {name: value for name, value in terms.items() if value}, signing))


def run_withdraw(args: argparse.Namespace) -> int:
    """Take a bundle back."""
    from convert.signing.actions import withdraw

    return _told(withdraw(args.repository, args.bundle_id, args.reason, _signing(args)))


def run_refresh(args: argparse.Namespace) -> int:
    """Sign anew what is due."""
    from convert.signing.actions import refresh

    return _told(refresh(args.repository, _signing(args)))


def run_approve(args: argparse.Namespace) -> int:
    """Add signatures."""
    from convert.signing.actions import approve

    return _told(approve(args.repository, _signing(args)))


def run_rotate(args: argparse.Namespace) -> int:
    """A new key for a role."""
    from convert.signing.actions import rotate

    signing = _signing(args, also=args.key)
    new = next(iter(_signing(args, only=args.key).signers.values()))
    old = "" if args.keep else args.old
    return _told(rotate(args.repository, args.role, new, signing, old=old, threshold=args.threshold))


def run_revoke(args: argparse.Namespace) -> int:
    """A key less."""
    from convert.signing.actions import revoke

    return _told(revoke(args.repository, args.role, args.key, _signing(args), threshold=args.threshold))


def run_show(args: argparse.Namespace) -> int:
    """Say what there is."""
    from datetime import UTC, datetime

    from convert.cli.sign_page import page
    from convert.signing.keys import need_tuf
    from convert.signing.repository import open_repository
    from convert.signing.show import described

    need_tuf()
    data = described(open_repository(args.repository), datetime.now(UTC))
    print(json.dumps(data) if args.json else page(data))
    return EXIT_OK


def _signing(args: argparse.Namespace, *, also: Path | None = None, only: Path | None = None) -> Signing:
    from convert.signing.actions import Signing
    from convert.signing.keys import Passphrase, load_keys, need_tuf

    need_tuf()
    places = [only] if only else [*args.signers, *([also] if also else [])]
    return Signing.today(load_keys(places, Passphrase(args.passphrase_file)), _numbers(args.days, "--days"))


def _by_role(given: list[str], option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in given:
        role, _, value = text.partition("=")
        if role not in ROLES or not value:
            raise UsageError(f"{option} {text[:80]!r}", expected=f"ROLE=..., ROLE one of {', '.join(ROLES)}")
        found.setdefault(role, []).append(value)
    return found


def _numbers(given: list[str], option: str) -> dict[str, int]:
    found = {}
    for role, values in _by_role(given, option).items():
        if not values[-1].isdecimal() or not 1 <= int(values[-1][:9]) <= 36_500:
            raise UsageError(f"{option} {role}={values[-1][:40]}", expected="a number from 1 to 36500")
        found[role] = int(values[-1])
    return found


def _told(outcome: Outcome) -> int:
    print(f"signed: {', '.join(outcome.signed) or 'nothing yet'}")
    for role in outcome.waits_for:
        print(
            f"{role} waits for signatures of others: ostiary-convert sign approve REPOSITORY --with KEY",
            file=sys.stderr,
        )
    if not outcome.is_published:
        hint = "with the keys of snapshot and timestamp: ostiary-convert sign refresh REPOSITORY --with KEY"
        print(f"boxes are not told of it yet; {hint}", file=sys.stderr)
    return EXIT_OK
