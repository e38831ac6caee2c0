"""`ostiary keys`: makes keys; a private one goes into a file that only its owner may read."""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
from pathlib import Path

from edge.cli.common import complain
from edge.commands.arguments import VERBS
from edge.commands.signature import new_key, public_key
from edge.config.shapes import SLUG
from edge.errors import UsageError

TEMPLATE_KEY_BYTES = 32
"""AES-256."""


def run_new(args: argparse.Namespace) -> int:
    """A key that signs commands: the private half into a new file, the public line to standard output."""
    if args.sync_groups is not None:
        return _new_publisher(args)
    verbs = _verbs(args.verbs)
    key = new_key(args.name)
    line = public_key(key, verbs).line()
    _write_new(args.output, f"# Whoever has this file may sign commands as {args.name}.\n{key.line()}\n")
    print(line)
    complain(
        f"{args.output}: the private key; keep it to yourself\nadd the line above to the file of commands.keys_file"
    )
    return 0


def _new_publisher(args: argparse.Namespace) -> int:
    """The same pair of halves; what a file of keys says of the public one makes the difference."""
    from edge.sync.keys import publisher_key

    if args.verbs is not None:
        raise UsageError("both --verbs and --sync-groups", expected="a key for commands or for people, not for both")
    groups = {part.strip() for part in args.sync_groups.split(",") if part.strip()}
    if not groups or not all(re.fullmatch(SLUG, group) for group in groups):
        raise UsageError(
            f"groups {args.sync_groups[:80]!r}", expected="names of letters, digits, - and _, such as staff"
        )
    key = new_key(args.name)
    line = publisher_key(key, groups).line()
    _write_new(
        args.output,
        f"# Whoever has this file may enrol people at every box of {', '.join(sorted(groups))}.\n{key.line()}\n",
    )
    print(line)
    complain(f"{args.output}: the private key; keep it to yourself\nadd the line above to the file of sync.keys_file")
    return 0


def run_group_secret(args: argparse.Namespace) -> int:
    """A line for sync.secrets_file, the same at the publisher and on every box of the group."""
    if not re.fullmatch(SLUG, args.group):
        raise UsageError(f"group {args.group[:40]!r}", expected="letters, digits, - and _, such as staff")
    line = f"{args.group} {base64.b64encode(secrets.token_bytes(TEMPLATE_KEY_BYTES)).decode()}"
    if args.output is None:
        print(line)
    else:
        _write_new(args.output, f"{line}\n")
        complain(
            f"{args.output}: for `ostiary gallery publish --secret` and for sync.secrets_file of each box of the group"
        )
    return 0


def run_template(args: argparse.Namespace) -> int:
    """A key that encrypts galleries: privacy.key_file takes one a line."""
    line = base64.b64encode(secrets.token_bytes(TEMPLATE_KEY_BYTES)).decode()
    if args.output is None:
        print(line)
    else:
        _write_new(args.output, f"{line}\n")
        complain(f"{args.output}: without this key nobody reads the gallery, so keep a copy elsewhere")
    return 0


def _verbs(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    verbs = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not verbs or verbs - set(VERBS):
        raise UsageError(f"verbs {text[:80]!r}", expected="some of " + ", ".join(VERBS))
    return verbs


def _write_new(path: Path, text: str) -> None:
    """Mode 0600 from the first moment, and never over a file that is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        hint = "Keys are never overwritten: name another file, or move that one away."
        raise UsageError("is there already", where=str(path), expected="a new file", hint=hint) from None
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", where=str(path), expected="a file in a folder that may be written"
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
