from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.cli.keys import _write_new
from edge.commands import RefusedError
from edge.commands.request import Envelope
from edge.commands.signature import (
    KeyRing,
    PrivateKey,
    new_key,
    public_key,
    read_keys,
    read_private_key,
    sign,
)
from edge.errors import ConfigError, UsageError
from tests.support.data import ROOT

VERBS = ("enrol", "list", "remove")
TOPIC = "ostiary/front/cmd/list"
KEY = PrivateKey("owner", bytes(range(32)))
LINE = public_key(KEY).line()


def envelope(made: dict[str, str]) -> Envelope:
    return Envelope(made["signed"].encode(), made["key"], made["signature"])


def test_a_signature_as_the_contract_describes_it_holds() -> None:
    # Made by hand, and by another road than the code's own.
    signer = Ed25519PrivateKey.from_private_bytes(KEY.seed)
    text = '{"request_id": "é"}'
    signature = signer.sign(b"ostiary-command-v1\x00ostiary/front/cmd/list\x00" + text.encode("utf-8"))
    found = Envelope(text.encode(), "owner", base64.b64encode(signature).decode())
    assert KeyRing([public_key(KEY)]).verify(TOPIC, found).name == "owner"
    assert sign(KEY, TOPIC, text)["signature"] == found.signature


def test_one_sentence_for_every_way_in_which_it_does_not_hold() -> None:
    ring = KeyRing([public_key(KEY), public_key(PrivateKey("other", bytes(32)))])
    good = sign(KEY, TOPIC, "{}")
    flipped = bytearray(base64.b64decode(good["signature"]))
    flipped[10] ^= 1
    wrong = [
        ("ostiary/back/cmd/list", good), ("ostiary/front/cmd/remove", good), ("ostiary/front/cmd/lis", good),
        (TOPIC, {**good, "signed": "{ }"}), (TOPIC, {**good, "key": "other"}), (TOPIC, {**good, "key": "nobody"}),
        (TOPIC, {**good, "signature": base64.b64encode(flipped).decode()}), (TOPIC, {**good, "signature": ""}),
        (TOPIC, {**good, "signature": good["signature"][:-4]}), (TOPIC, {**good, "signature": "é" * 86}),
        (TOPIC, {**good, "signature": base64.b64encode(bytes(64)).decode()}), (TOPIC, sign(new_key("owner"), TOPIC, "{}")),
    ]  # fmt: skip
    told = set()
    for topic, made in wrong:
        with pytest.raises(RefusedError) as caught:
            ring.verify(topic, envelope(made))
        told.add((caught.value.code, caught.value.message))
    assert len(told) == 1
    assert told.pop()[0] == "bad_signature"
    with pytest.raises(RefusedError, match="does not hold"):
        KeyRing().verify(TOPIC, envelope(good))


def test_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    second = public_key(new_key("guest@home"), frozenset({"list"})).line()
    path.write_text(f"# mine\n\n{LINE}\n  {second}   # a guest\n", encoding="utf-8")
    ring = read_keys(path, VERBS)
    assert ring.names == ("owner", "guest@home")
    assert ring.verify(TOPIC, envelope(sign(KEY, TOPIC, "{}"))).verbs is None
    path.write_text("# nobody\n", encoding="utf-8")
    assert len(read_keys(path, VERBS)) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{LINE}\n{LINE}\n", "line 2: a second key 'owner'"),
        ("owner", "line 1: 1 words"),
        ("owner a b c", "line 1: 4 words"),
        (f"\n\nown/er {LINE.split()[1]}", "line 3: name"),
        ("owner " + base64.b64encode(bytes(31)).decode(), "no public key"),
        ("owner " + base64.b64encode(bytes(33)).decode(), "no public key"),
        ("owner $$$", "no public key"),
        ("owner é", "no public key"),
        (f"{LINE} list,coffee", "no verb 'coffee'"),
        (f"{LINE} ,", "no verbs"),
        (KEY.line(), "no public key"),
        ("x" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_with_a_fault_names_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_keys(path, VERBS)
    assert expected in str(caught.value)
    # What looks like a key may be a private one in the wrong place.
    assert base64.b64encode(KEY.seed).decode() not in str(caught.value)


@pytest.mark.parametrize("data", [None, b"\xff\xfe"])
def test_a_file_that_is_not_there_or_no_text(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "keys"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match="keys_file"):
        read_keys(path, VERBS)
    with pytest.raises(UsageError):
        read_private_key(path)


@pytest.mark.parametrize(
    "text", ["", LINE, KEY.line() + "\n" + KEY.line(), "ostiary-private-key owner AAAA", "a b c d"]
)
def test_what_is_no_private_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="not a private key"):
        read_private_key(path)


def test_a_private_key_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    _write_new(path, f"# mine\n{KEY.line()}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_private_key(path) == KEY
    assert str(KEY.seed) not in repr(KEY)
    with pytest.raises(UsageError, match="is there already"):
        _write_new(path, "")
    assert read_private_key(path) == KEY


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(LINE + "\n", encoding="utf-8")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "class Blocked:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'cryptography': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from edge.commands.signature import read_keys\nfrom edge.errors import MissingDependencyError\n"
        f"try:\n    read_keys(Path({str(path)!r}), ())\nexcept MissingDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ostiary[secure]" in done.stdout


def test_the_payload_is_json_that_carries_the_text_unchanged() -> None:
    text = json.dumps({"name": 'Ada "the first" é \U0001f600'}, ensure_ascii=False)
    made = json.loads(json.dumps(sign(KEY, TOPIC, text)))
    assert made["signed"] == text
    assert KeyRing([public_key(KEY)]).verify(TOPIC, envelope(made)).name == "owner"
