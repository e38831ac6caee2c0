"""What the code knows of commands as JSON Schemas and as a table.

    python -m edge.commands.reference docs

writes docs/schemas/command.schema.json and docs/schemas/command-reply.schema.json. A test says when they are older
than the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from edge.commands.arguments import VERBS, Form
from edge.commands.refusal import REFUSED_AT_THE_DOOR, REFUSED_AT_WORK
from edge.commands.request import REQUEST_ID
from edge.config.reference import json_schema
from edge.signing import KEY_NAME

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_MOMENT = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$"


def command_schema() -> dict[str, Any]:
    """A payload of `cmd/<verb>`; `$defs/<verb>` is what that verb takes without a signature, or inside one."""
    signed = {
        "type": "object",
        "description": "A request with the signature of a key over its topic and its text.",
        "additionalProperties": False,
        "required": ["signed", "key", "signature"],
        "properties": {
            "signed": {"type": "string", "description": "The request as JSON, byte for byte as it was signed."},
            "key": {"type": "string", "pattern": f"^{KEY_NAME}$", "description": "Name of the key."},
            "signature": {
                "type": "string",
                "pattern": "^[A-Za-z0-9+/]{86}==$",
                "description": "Ed25519 over `ostiary-command-v1`, NUL, topic, NUL, text; in base64.",
            },
        },
    }
    return {
        "$schema": _DRAFT,
        "$id": "urn:ostiary:schema:command:1",
        "title": "Command",
        "description": "Payload of <base>/<device>/cmd/<verb>. Never retained, QoS 1.",
        "anyOf": [{"$ref": "#/$defs/signed"}, *({"$ref": f"#/$defs/{verb}"} for verb in VERBS)],
        "$defs": {"signed": signed, **{verb: request_schema(form) for verb, form in VERBS.items()}},
    }


def request_schema(form: Form) -> dict[str, Any]:
    """The JSON object that a verb takes."""
    made = json_schema(form.arguments, form.doc)
    del made["$schema"]
    common = {
        "request_id": {
            "type": "string", "pattern": f"^{REQUEST_ID}$", "description": "Yours, and new each time; each is obeyed once.",
        },
        "issued_at": {"type": "string", "pattern": _MOMENT, "description": "Now, by your clock; RFC 3339."},
    }  # fmt: skip
    return {
        **made,
        "description": form.doc,
        "properties": {**common, **made["properties"]},
        "required": [*common, *made.get("required", [])],
    }


def reply_schema() -> dict[str, Any]:
    """A payload of `cmd/<verb>/reply`."""
    codes = list(dict.fromkeys([*REFUSED_AT_THE_DOOR, *REFUSED_AT_WORK]))
    error = {
        "type": "object",
        "additionalProperties": False,
        "required": ["code", "message"],
        "properties": {"code": {"enum": codes}, "message": {"type": "string"}},
    }
    return {
        "$schema": _DRAFT,
        "$id": "urn:ostiary:schema:command-reply:1",
        "title": "Reply to a command",
        "description": "Payload of <base>/<device>/cmd/<verb>/reply. Never retained, QoS 1.",
        "type": "object",
        "additionalProperties": False,
        "required": ["request_id", "ok"],
        "properties": {
            "request_id": {
                "type": ["string", "null"],
                "pattern": f"^{REQUEST_ID}$",
                "description": "Of the command; null where it had none that could be read.",
            },
            "ok": {"type": "boolean"},
            "error": error,
            "result": {"type": "object", "description": "What the verb tells; docs/commands.md has it for each."},
        },
        "if": {"properties": {"ok": {"const": True}}},
        "then": {"not": {"required": ["error"]}, "required": ["result"]},
        "else": {"required": ["error"]},
    }


def documents() -> dict[str, str]:
    """Path under docs/ -> text."""
    made = {"command": command_schema(), "command-reply": reply_schema()}
    return {
        f"schemas/{name}.schema.json": json.dumps(schema, indent=2, default=list) + "\n"
        for name, schema in made.items()
    }


def main(folder: Path) -> None:
    """Write all documents."""
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
