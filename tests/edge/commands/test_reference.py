"""docs/commands.md and the schemas say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge.commands.arguments import VERBS
from edge.commands.reference import command_schema, documents
from edge.commands.refusal import IGNORED, REFUSED_AT_THE_DOOR, REFUSED_AT_WORK
from edge.commands.request import parse_request, read_envelope
from edge.commands.signature import KeyRing, new_key, public_key
from edge.commands.verbs import RUN
from tests.edge.commands.support import OWNER, TOPICS
from tests.support.data import ROOT
from tests.support.schemas import validate

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, Any] = {
    verb: json.loads(text)
    for verb, text in re.findall(r"### ([\w-]+)\n(?:(?!###).)*?```json\n(.*?)```", PAGE, re.DOTALL)
}


def test_the_schemas_are_as_old_as_the_code() -> None:
    for name, text in documents().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, "run python -m edge.commands.reference docs"
        Draft202012Validator.check_schema(json.loads(text))


def test_every_verb_is_declared_done_and_documented() -> None:
    assert list(VERBS) == list(RUN)
    assert set(EXAMPLES) == set(VERBS)


def test_every_code_is_documented() -> None:
    for code in {*REFUSED_AT_THE_DOOR, *REFUSED_AT_WORK}:
        assert f"| `{code}` |" in PAGE
    assert not {*IGNORED} & {*REFUSED_AT_THE_DOOR, *REFUSED_AT_WORK}


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_a_verb_is_taken(verb: str) -> None:
    validate(TOPICS.command(verb), json.dumps(EXAMPLES[verb]).encode())
    schema = {**command_schema(), "anyOf": [{"$ref": f"#/$defs/{verb}"}]}
    Draft202012Validator(schema).validate(EXAMPLES[verb])
    made = parse_request(verb, EXAMPLES[verb], VERBS[verb].arguments)
    assert made.request_id == EXAMPLES[verb]["request_id"]
    assert not Draft202012Validator(schema).is_valid({**EXAMPLES[verb], "more": 1})
    assert not Draft202012Validator(schema).is_valid({**EXAMPLES[verb], "issued_at": "now"})


def test_the_signer_of_the_page_signs_what_the_box_takes(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    key = new_key("tablet")
    (tmp_path / "key").write_text(f"# mine\n{key.line()}\n", encoding="utf-8")
    topic = TOPICS.command("rename")
    words = [sys.executable, "-c", found[1], topic, str(tmp_path / "key"), '{"who": "Ada", "name": "Zoë"}']
    done = subprocess.run(words, capture_output=True, check=True)
    validate(topic, done.stdout)
    envelope = read_envelope(done.stdout.strip())
    assert KeyRing([public_key(OWNER), public_key(key)]).verify(topic, envelope).name == "tablet"
    request = parse_request("rename", json.loads(envelope.text), VERBS["rename"].arguments)
    assert request.arguments.name == "Zoë"
    assert len(found[1].strip().splitlines()) <= 11
