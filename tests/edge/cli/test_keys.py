from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from edge.commands.arguments import VERBS
from edge.commands.signature import public_key, read_keys, read_private_key
from tests.edge.cli.conftest import Command


def test_a_new_key_and_the_line_that_belongs_into_the_configuration(ostiary: Command, home: Path) -> None:
    made = ostiary("keys", "new", "owner", "-o", "owner.key", "--verbs", "list,remove")
    assert made.code == 0
    path = home / "owner.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = read_private_key(path)
    assert made.out.strip() == public_key(private, frozenset({"list", "remove"})).line()
    assert base64.b64encode(private.seed).decode() not in made.out + made.err
    (home / "keys").write_text(made.out, encoding="utf-8")
    assert read_keys(home / "keys", VERBS).names == ("owner",)


def test_no_key_is_ever_overwritten(ostiary: Command, home: Path) -> None:
    for words in (("keys", "new", "owner", "-o", "key"), ("keys", "template", "-o", "key")):
        (home / "key").write_text("mine", encoding="utf-8")
        made = ostiary(*words)
        assert (made.code, made.out) == (2, "")
        assert "is there already" in made.err
        assert (home / "key").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("new", "a b", "-o", "key"), "name 'a b'"),
        (("new", "owner", "-o", "key", "--verbs", "coffee"), "verbs 'coffee'"),
        (("new", "owner", "-o", "key", "--verbs", ","), "verbs ','"),
        (("new", "owner", "-o", "no/such/key"), "cannot be written"),
        (("new", "owner"), "-o/--output"),
        ((), "COMMAND"),
    ],
)
def test_mistakes(ostiary: Command, home: Path, words: tuple[str, ...], expected: str) -> None:
    made = ostiary("keys", *words)
    assert made.code == 2
    assert expected in made.err
    assert not (home / "key").exists()


def test_keys_for_galleries_differ_and_have_32_bytes(ostiary: Command, home: Path) -> None:
    first, second = ostiary("keys", "template").out.strip(), ostiary("keys", "template").out.strip()
    assert first != second
    assert len(base64.b64decode(first, validate=True)) == 32
    assert ostiary("keys", "template", "-o", "key").out == ""
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert len(base64.b64decode((home / "key").read_text(encoding="ascii"))) == 32
