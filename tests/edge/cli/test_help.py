from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli.parser import make_parser
from tests.edge.cli.conftest import Command, finished
from tests.support.data import ROOT


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, inner in action.choices.items():
                yield from commands(inner, (*words, name))


EVERY = tuple(commands(make_parser()))
NAMES = {
    "run",
    "demo",
    "watch",
    "enroll",
    "gallery",
    "bundle",
    "identify",
    "verify",
    "check",
    "bench",
    "completion",
    "retire",
    "command",
    "keys",
}


def test_every_command_is_there() -> None:
    assert {words[0] for words in EVERY if words} == NAMES
    assert {words[1] for words in EVERY if words[:1] == ("gallery",) and words[1:]} == {
        "list", "show", "set", "remove", "person", "audit", "retain", "rekey", "export", "import", "publish", "re-embed",
        "prune", "readmit",
    }  # fmt: skip


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_teaches(ostiary: Command, words: tuple[str, ...]) -> None:
    result = ostiary(*words, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: {' '.join(('ostiary', *words))}")
    assert all(len(line) <= 120 for line in result.out.splitlines())


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    parser = make_parser()
    for word in words:
        parser = next(action.choices[word] for action in parser._actions if isinstance(action.choices, dict))
    unexplained = [action.dest for action in parser._actions if not action.help and action.nargs != argparse.PARSER]
    assert unexplained == [] or words == ("completion",)


@pytest.mark.parametrize("words", [(), ("gallery",), ("bundle",)], ids=["ostiary", "gallery", "bundle"])
def test_without_a_command_the_help_is_an_error(ostiary: Command, words: tuple[str, ...]) -> None:
    result = ostiary(*words)
    assert (result.code, result.out) == (2, "")
    assert "commands:" in result.err


def test_commands_are_aligned(ostiary: Command) -> None:
    lines = ostiary("--help").out.split("commands:\n")[1].split("\n\n")[0].splitlines()[1:]
    assert len(lines) == len(NAMES)
    assert len({line.index(line.split(maxsplit=1)[1]) for line in lines}) == 1


def test_help_needs_neither_opencv_nor_numpy() -> None:
    script = """
import json, sys
from edge.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main([*words, "--help"])
    except SystemExit as ended:
        assert not ended.code, words
print(json.dumps(sorted({"cv2", "numpy", "paho", "rich", "yaml", "sqlite3"} & set(sys.modules))))
"""
    command = [sys.executable, "-c", script, json.dumps(EVERY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_version() -> None:
    result = finished("--version")
    assert result.code == 0
    assert result.out.startswith("ostiary ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--bundle", "x", "check"], "x"),
        (["check", "--bundle", "x"], "x"),
        (["--bundle", "x", "check", "--bundle", "y"], "y"),
        (["--bundle", "x", "demo"], "x"),
        (["check"], None),
        (["demo"], None),
    ],
)
def test_a_bundle_may_be_named_before_the_command_or_behind_it(words: list[str], expected: str | None) -> None:
    assert make_parser().parse_args(words).bundle == (expected and Path(expected))
