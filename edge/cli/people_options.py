"""Commands about people, and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from edge.cli.options import Commands, add_files, add_json, count, port, run_of

_LIST, _PRIVACY, _EMBEDDERS = "gallery", "privacy", "embedders"
"""Modules of edge.cli."""
_GALLERY = (
    ("list", _LIST, "everybody who is enrolled"),
    ("show", _LIST, "one identity, with what it was enrolled from"),
    ("set", _LIST, "rename, note, consent, enable, disable, or limit where and when"),
    ("remove", _PRIVACY, "erase an identity: embeddings, kept faces, everything; then look for what is left"),
    ("person", _PRIVACY, "everything that is stored about one person, as a zip for that person"),
    ("audit", _PRIVACY, "who changed the gallery, when and how"),
    ("retain", _PRIVACY, "erase whoever is kept for longer than privacy.erase_expired_after_d allows"),
    ("rekey", _PRIVACY, "encrypt the gallery with the first key of privacy.key_file"),
    ("export", _LIST, "all identities into one file"),
    ("import", _LIST, "identities from such a file"),
    ("publish", "publish", "people of this gallery, signed, for every box of a group"),
    ("re-embed", _EMBEDDERS, "embeddings for a bundle with another embedder, from kept aligned faces"),
    ("prune", _EMBEDDERS, "take embeddings away that neither the bundle in use nor the one before needs"),
    ("readmit", _EMBEDDERS, "take somebody who was erased here from the group again"),
)


def add_people(commands: Commands) -> None:
    """`enroll` and `gallery`."""
    enroll = commands.add(
        "enroll", run_of("enroll"), "enrol somebody from pictures or a camera",
        description="Enrols one person. Three to five sharp pictures from the front, in different light, are plenty.\n"
        "Bad pictures are refused, each with its reason; look-alikes already enrolled are warned of.",
        epilog='examples:\n  ostiary enroll --name "Ada Lovelace" ada1.jpg ada2.jpg\n'
        '  ostiary enroll --name "Ada Lovelace" --camera 0 --count 5',
    )  # fmt: skip
    add_files(enroll)
    who = enroll.add_argument_group("who")
    who.add_argument("--name", metavar="NAME", help="name of a new identity, or of the one to add to")
    who.add_argument("--id", metavar="ID", help="add pictures to the identity with this id")
    who.add_argument("--note", default="", metavar="TEXT", help="kept with the identity; published nowhere")
    who.add_argument("--consent", metavar="TEXT", help="how and when the person agreed; published nowhere")
    _add_limits(who)
    enroll.add_argument("--camera", metavar="URI", help="take pictures from a live source instead")
    enroll.add_argument(
        "--count", type=count, default=5, metavar="N", help="with --camera: pictures to take (default 5)"
    )
    enroll.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="pictures, or folders of pictures")
    add_json(enroll)
    _add_gallery(commands)


def _add_limits(parser: argparse._ActionsContainer, also: str = "") -> None:
    """`also` says what an empty text does."""
    parser.add_argument(
        "--valid-from", metavar="WHEN", help=f"not let in before: 2026-01-31 or 2026-01-31T08:00:00Z{also}"
    )
    parser.add_argument("--valid-until", metavar="WHEN", help=f"not let in from then on{also}")
    parser.add_argument("--groups", metavar="NAME,...", help=f"groups of policy.groups{also}")
    parser.add_argument("--zones", metavar="NAME,...", help=f"only into these zones{also}")
    parser.add_argument("--schedule", metavar="TEXT", help=f'only then, each week: "mon-fri 08:00-18:00"{also}')


def _add_gallery(commands: Commands) -> None:
    gallery = commands.add("gallery", run_of("gallery"), "who is enrolled: list, change, erase, audit, encrypt")
    gallery.set_defaults(run=None)
    inner = Commands(gallery)
    for name, module, help_ in _GALLERY:
        parser = inner.add(name, run_of(module, f"run_{name.replace('-', '_')}"), help_)
        add_files(parser)
        add_json(parser)
        if name in {"show", "set", "remove", "person"}:
            parser.add_argument("who", metavar="WHO", help="id or name")
        if name in {"export", "import"}:
            parser.add_argument("file", type=Path, metavar="FILE", help="the export")
        if name in _OPTIONS:
            _OPTIONS[name](parser)


def _set_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="new name")
    parser.add_argument("--note", metavar="TEXT", help="new note")
    parser.add_argument("--consent", metavar="TEXT", help="how and when the person agreed")
    switch = parser.add_mutually_exclusive_group()
    switch.add_argument("--enable", action="store_const", const=True, dest="enabled", help="recognize again")
    switch.add_argument(
        "--disable", action="store_const", const=False, dest="enabled", help="recognize no more, but keep"
    )
    _add_limits(parser, also='; "" takes the limit away')


def _remove_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _person_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip", help="where to write it")


def _audit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="WHO", help="only of this id or name")
    parser.add_argument("--limit", type=count, metavar="N", help="only the newest")
    parser.add_argument(
        "--verify", action="store_true", help="check that no row was changed, taken out or put in; exit 4"
    )
    parser.add_argument(
        "--anchor", default="", metavar="SHA256", help="with --verify: the digest that an earlier --verify printed"
    )


def _retain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say who would be erased")
    parser.add_argument("--trust-clock", action="store_true", help="although nothing keeps the clock of this box right")


def _rekey_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plain", action="store_true", help="encrypt no more, and take the encryption away")


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--refused", action="store_true", help="whom this box takes from no group: erased here")


def _re_embed_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say who would be embedded, and who cannot be")
    parser.add_argument("--leave-out", action="store_true", help="go on without those who cannot be")


def _prune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")


def _readmit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="as `ostiary gallery list --refused` shows it")


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faces", action="store_true", help="with the aligned faces, where they were kept")


def _publish_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "who", nargs="*", metavar="WHO", help="ids or names; nobody: only say anew that the group is as it is"
    )
    parser.add_argument("--all", action="store_true", help="everybody who was enrolled in this gallery")
    parser.add_argument("--group", required=True, metavar="NAME", help="group whose boxes enrol them")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key of `ostiary keys new`")
    parser.add_argument(
        "--secret",
        type=Path,
        metavar="FILE",
        help="seal with the group's secret of this file (ostiary keys group-secret)",
    )
    parser.add_argument(
        "--remove",
        nargs="+",
        default=[],
        metavar="WHO",
        help="erase these ids or names on every box; they stay in this gallery",
    )
    parser.add_argument("--new", action="store_true", help="begin the group, or begin it anew with these people alone")
    parser.add_argument("--force", action="store_true", help="also who has not changed, such as after a change of keys")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be published")
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="public keys of other publishers (default: sync.keys_file)"
    )
    parser.add_argument("--host", metavar="NAME", help="instead of the configuration's mqtt.host")
    parser.add_argument("--port", type=port, metavar="N", help="instead of the configuration's mqtt.port")


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "set": _set_options,
    "remove": _remove_options,
    "person": _person_options,
    "audit": _audit_options,
    "retain": _retain_options,
    "rekey": _rekey_options,
    "export": _export_options,
    "publish": _publish_options,
    "list": _list_options,
    "re-embed": _re_embed_options,
    "prune": _prune_options,
    "readmit": _readmit_options,
}
