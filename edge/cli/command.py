"""`ostiary command`: sends a command to a box, signed where a key is given, and shows its answer."""

from __future__ import annotations

import argparse
import base64
import json
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from edge.cli.common import complain, pictures_of, plural, print_json, settings_of, shown
from edge.cli.watch import with_address
from edge.commands.arguments import MAX_PICTURE_COMMAND_BYTES, VERBS, Form
from edge.commands.asking import ask, make_command
from edge.commands.signature import read_private_key
from edge.errors import EXIT_OK, EXIT_OTHER, UsageError
from edge.publish.topics import Topics
from edge.validation import build, hints_of

ANSWER_S = 10.0
"""How long the answer may take beyond what the command itself may."""
PICTURE_ROOM = 0.7
"""Share of the largest command that pictures may take; base64 and the envelope need the rest."""
_SIZES = ((1280, 90), (1024, 88), (800, 85), (640, 85), (480, 80), (320, 75))
"""Longer side in pixels and quality of JPEG, tried in this order until the pictures fit."""
_JSON = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


def run(args: argparse.Namespace) -> int:
    """Exit 1 when the box refuses, 3 when there is no broker or no answer."""
    form = _form(args.verb)
    arguments = _arguments(form, args.arguments)
    if args.picture:
        arguments["pictures"] = [base64.b64encode(data).decode() for data in packed(pictures_of(args.picture))]
    asked = _checked(form, arguments, args.verb)
    settings = settings_of(args)
    key = read_private_key(args.key) if args.key is not None else None
    if key is None and form.wants_key:
        raise UsageError(
            f"{args.verb} needs a signature", expected="--key FILE", hint="`ostiary keys new` makes a key."
        )
    mqtt, device = with_address(settings.mqtt, args.host, args.port), args.device or settings.device.name
    command = make_command(Topics(mqtt.base_topic, device), args.verb, arguments, key)
    if len(command.payload) > form.max_bytes:
        raise UsageError(f"a command of {len(command.payload):,} bytes", expected=f"at most {form.max_bytes:,}")
    wait_s = args.timeout if args.timeout is not None else ANSWER_S + getattr(asked, "timeout_s", 0.0)
    reply = ask(mqtt, device, command, timeout_s=wait_s)
    if args.json:
        print_json(reply)
    else:
        _tell(args.verb, reply)
    return EXIT_OK if reply["ok"] else EXIT_OTHER


def _form(verb: str) -> Form:
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f"Did you mean {near[0]}?" if near else ""
        raise UsageError(f"no verb {verb[:40]!r}", expected="one of " + ", ".join(VERBS), hint=hint)
    return VERBS[verb]


def _arguments(form: Form, words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hints = hints_of(form.arguments)
    for word in words:
        name, is_pair, text = word.partition("=")
        if not is_pair or name in found:
            expected = f"NAME=VALUE with {', '.join(hints)}" if hints else "no arguments"
            raise UsageError(f"argument {word[:60]!r}", expected=expected if not is_pair else "each name once")
        found[name] = _value(hints.get(name, str), text)
    return found


def _value(hint: Any, text: str) -> Any:
    """As the type of the argument has it; what does not fit stays text, and is refused with the other faults."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if hint is bool:
        return _JSON.get(text.lower(), text)
    if hint in (int, float):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _checked(form: Form, arguments: dict[str, Any], verb: str) -> Any:
    made: Any
    made, faults = build(form.arguments, arguments)
    if faults:
        problem = "\n".join(f"  {fault}" for fault in faults)
        raise UsageError(f"{plural(len(faults), 'fault')} in the arguments of {verb}\n{problem}")
    return made


def packed(paths: Sequence[Path]) -> list[bytes]:
    """As JPEGs that fit into one command together; without what else a camera writes into a file, such as a place."""
    import cv2

    from edge.pictures import read_picture

    images = [read_picture(path) for path in paths]
    room = MAX_PICTURE_COMMAND_BYTES * PICTURE_ROOM / max(1, len(images))
    made = []
    for image, path in zip(images, paths, strict=True):
        for side, quality in _SIZES:
            scale = min(1.0, side / max(image.shape[:2]))
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
            _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if len(data) <= room:
                made.append(data.tobytes())
                break
        else:
            raise UsageError("too many pictures for one command", where=str(path), expected="at most ten")
    return made


def _tell(verb: str, reply: dict[str, Any]) -> None:
    result = reply.get("result")
    result = result if isinstance(result, dict) else {}
    _tell_pictures(result)
    if not reply["ok"]:
        error = reply.get("error")
        error = error if isinstance(error, dict) else {}
        complain(f"{verb} refused [{_text(error.get('code'))}]: {_text(error.get('message'))}")
        return
    for row in _rows(result, "identities"):
        print(_person(row))
    told = {name: value for name, value in result.items() if not isinstance(value, list | dict)}
    print(f"{verb}: done" + "".join(f", {shown(name)} {_text(value)}" for name, value in told.items()))
    if isinstance(result.get("identity"), dict):
        print(_person(result["identity"]))


def _tell_pictures(result: dict[str, Any]) -> None:
    for row in _rows(result, "accepted"):
        print(f"took     picture {_text(row.get('picture'))}: quality {_text(row.get('score'))}")
    for row in _rows(result, "warnings"):
        print(f"warning  picture {_text(row.get('picture'))}: {_text(row.get('message'))}")
    for row in _rows(result, "refused"):
        print(f"refused  picture {_text(row.get('picture'))} [{_text(row.get('reason'))}]: {_text(row.get('message'))}")


def _rows(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = result.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _person(row: dict[str, Any]) -> str:
    limits = [
        f"{name} {_text(', '.join(map(str, value)) if isinstance(value, list) else value)}"
        for name in ("groups", "zones", "schedule", "valid_from", "valid_until")
        if (value := row.get(name))
    ]
    state = "" if row.get("enabled") is not False else ", disabled"
    tail = f", {'; '.join(limits)}" if limits else ""
    count = row.get("embeddings")
    unit = "embedding" if count == 1 else "embeddings"
    return f"{_text(row.get('id'))}  {_text(row.get('name'))}  {_text(count)} {unit}{state}{tail}"


def _text(value: object) -> str:
    """Whoever may publish on the reply topic may say anything: nothing of it reaches the terminal as it is."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return shown(text[:500])
