"""Options of what reaches another box: commands over the broker, and the keys that sign them."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from edge.cli.options import Commands, add_files, add_json, port, run_of


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) <= 3600:
            return value
    raise argparse.ArgumentTypeError(f"{text!r}; expected seconds, up to 3600")


def add_remote(commands: Commands) -> None:
    """`command` and `keys`."""
    sent = commands.add(
        "command", run_of("command"), "tell a box over the broker what to do",
        description="Sends a command to a box, signed with a private key where it changes who is enrolled, and shows the answer.\n"
        "verbs: enrol, enrol-picture, rename, disable, enable, access, remove, list, bundle, snapshot, restart, unlocking",
        epilog="examples:\n  ostiary command snapshot\n  ostiary command unlocking on=false --device front-door\n"
        '  ostiary command enrol-picture name="Ada Lovelace" --picture ada1.jpg ada2.jpg --key owner.key\n'
        '  ostiary command access who="Ada Lovelace" groups=staff valid_until=2027-01-01 --key owner.key\n'
        "docs/commands.md has the arguments of each verb. exit 1 when the box refuses, 3 when it does not answer.",
    )  # fmt: skip
    add_files(sent, bundle=False, gallery=False)
    sent.add_argument("--device", metavar="NAME", help="box to tell (default: the configuration's device.name)")
    sent.add_argument("--key", type=Path, metavar="FILE", help="private key of `ostiary keys new`")
    sent.add_argument("--picture", nargs="+", type=Path, default=[], metavar="PATH", help="for enrol-picture")
    sent.add_argument("--timeout", type=_seconds, metavar="S", help="wait so long for the answer")
    sent.add_argument("--host", metavar="NAME", help="instead of the configuration's mqtt.host")
    sent.add_argument("--port", type=port, metavar="N", help="instead of the configuration's mqtt.port")
    sent.add_argument("verb", metavar="VERB", help="what to do")
    sent.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="its arguments; lists with commas")
    add_json(sent)
    _add_keys(commands)


def _add_keys(commands: Commands) -> None:
    keys = commands.add("keys", run_of("keys"), "make keys: to sign commands, and to encrypt galleries")
    keys.set_defaults(run=None)
    inner = Commands(keys)
    new = inner.add(
        "new", run_of("keys", "run_new"), "a key that signs commands; prints the line for commands.keys_file",
        epilog="example:\n  ostiary keys new owner -o owner.key | sudo tee -a /etc/ostiary/command-keys",
    )  # fmt: skip
    new.add_argument("name", metavar="NAME", help="who will sign with it; stands in the audit log")
    new.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="new file for the private key")
    new.add_argument("--sync-groups", metavar="GROUP,...", help="for `ostiary gallery publish` in these groups instead")
    new.add_argument("--verbs", metavar="VERB,...", help="limit it to these (default: all)")
    secret = inner.add(
        "group-secret",
        run_of("keys", "run_group_secret"),
        "a secret that seals the people of a group (sync.secrets_file)",
    )
    secret.add_argument("group", metavar="GROUP", help="name of the group")
    secret.add_argument("-o", "--output", type=Path, metavar="FILE", help="new file (default: standard output)")
    template = inner.add("template", run_of("keys", "run_template"), "a key that encrypts galleries (privacy.key_file)")
    template.add_argument("-o", "--output", type=Path, metavar="FILE", help="new file (default: standard output)")
