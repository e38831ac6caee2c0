"""What is parsed: whatever comes, it is understood, or refused with a reason."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.commands.refusal import RefusedError
from edge.errors import ConfigError
from edge.gallery.encryption.sealing import Sealer
from edge.sync.content import enrolled_of
from edge.sync.digest import Late, count_of, counted, shard_digest
from edge.sync.keys import publisher_key, read_publishers, signed_payload
from edge.sync.message import SCHEMA, Content, Head, Said, parse_content, parse_head, parse_said, text_of
from edge.sync.names import IDENTITY_ID, GroupTopics, shard_of
from edge.sync.secrets import read_secrets, seal, secret_line, unseal
from tests.edge.sync.support import GROUP, KEY, OTHER, SECRET, TOPICS, ring

ID = "01M7WGM9RGC2J1J93DX7P2EV0C"
ids = st.from_regex(IDENTITY_ID, fullmatch=True)
revisions = st.integers(1, 2**53 - 1)
SAID: dict[str, Any] = {"schema": 1, "id": ID, "revision": 7, "content": {"name": "Ada"}}
HEAD: dict[str, Any] = {
    "schema": 1,
    "revision": 7,
    "since": 1,
    "issued_at": "2026-01-31T00:00:00Z",
    "shards": {"0a": "3." + "A" * 16},
}


def dumped(data: Any) -> bytes:
    return json.dumps(data).encode()


def test_what_is_written_is_read() -> None:
    assert parse_said(dumped(SAID)) == Said(SCHEMA, ID, 7, content=Content("Ada"))
    assert parse_head(dumped(HEAD)).count == 3
    for said in (
        Said(SCHEMA, ID, 9, removed=True, before=8),
        Said(SCHEMA, ID, 9, sealed="AAAA"),
        Said(SCHEMA, ID, 9, content=Content("É\u200d😀", zones=("a",), valid_from=1.5)),
    ):
        assert parse_said(text_of(said).encode()) == said
    head = Head(SCHEMA, 5, 6, "2026-01-31T00:00:00.000Z", {})
    assert parse_head(text_of(head).encode()) == head


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 2}, "newer"), ({"schema": 10**19}, "newer"), ({"schema": 0}, "malformed"), ({"schema": True}, "malformed"),
        ({"schema": "1"}, "malformed"), ({"id": "ada"}, "malformed"), ({"id": ID.lower()}, "malformed"),
        ({"id": ID + "\n"}, "malformed"), ({"revision": 0}, "malformed"), ({"revision": 2**53}, "malformed"),
        ({"revision": 7.5}, "malformed"), ({"revision": -1}, "malformed"), ({"before": 7}, "malformed"),
        ({"removed": True}, "malformed"), ({"content": None}, "malformed"), ({"sealed": "x"}, "malformed"),
        ({"extra": 1}, "malformed"), ({"content": {"name": "Ada", "picture": "x"}}, "malformed"),
        ({"content": {"name": "Ada", "pictures": [{"quality": 2, "embeddings": {"a": "AAAA"}}]}}, "malformed"),
        ({"content": {"name": "Ada", "pictures": [{"quality": 1, "embeddings": {}}]}}, "malformed"),
        ({"content": {"name": "Ada", "pictures": [{"quality": 1, "embeddings": {"a b": "AAAA"}}]}}, "malformed"),
        ({"content": {"name": "Ada", "pictures": [{"quality": 1, "embeddings": {"a": "AAAA"}}] * 65}}, "malformed"),
    ],
)  # fmt: skip
def test_an_identity_with_a_fault(change: dict[str, Any], told: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_said(dumped({**SAID, **change}))
    assert caught.value.code == told


@pytest.mark.parametrize(
    "change",
    [
        {"schema": None}, {"revision": 0}, {"since": 9}, {"since": 0}, {"issued_at": "yesterday"}, {"count": 3},
        {"shards": {"0A": "1." + "A" * 16}}, {"shards": {"0g": "1." + "A" * 16}}, {"shards": {"": "1." + "A" * 16}},
        {"shards": {"00": "0." + "A" * 16}}, {"shards": {"00": "A" * 16}}, {"shards": {"00": "9999999." + "A" * 16}},
        {"shards": ["00"]}, {"shards": None},
    ],
)  # fmt: skip
def test_a_head_with_a_fault(change: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match=r".") as caught:
        parse_head(dumped({**HEAD, **change}))
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "a\nb"}, {"name": "x" * 201}, {"note": "x" * 2001}, {"groups": ["a b"]}, {"zones": ["#"]},
        {"schedule": "never ever"}, {"valid_from": 5, "valid_until": 4},
        {"pictures": [{"quality": 1, "embeddings": {"a": "AAAA"}}]}, {"pictures": [{"quality": 1, "embeddings": {"a": "AAAAAA=="}}]},
        {"pictures": [{"quality": 1, "embeddings": {"a": "é"}}]}, {"pictures": [{"quality": 1, "embeddings": {"a": ""}}]},
        {"pictures": [{"quality": 1, "embeddings": {"a": "AAAAAAAAAAA="}}]}, {"pictures": [{"quality": 1, "embeddings": {"a": "AADAfwAAwH8="}}]},
        {"pictures": [{"quality": 1, "embeddings": {"a": "A" * 40_000}}]},
    ],
)  # fmt: skip
def test_content_that_no_gallery_takes(change: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        enrolled_of(parse_content(dumped({"name": "Ada", **change})), "a")
    assert caught.value.code == "malformed"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
near_said = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.sampled_from([1, 1, 1, 2]) | json_values, "id": ids | json_values, "revision": revisions | json_values,
        "content": st.fixed_dictionaries({"name": st.text()}) | json_values, "sealed": json_values, "removed": json_values,
        "shards": json_values, "since": revisions | json_values, "before": json_values, "issued_at": json_values,
    },
)  # fmt: skip


@given(near_said | json_values)
def test_whatever_somebody_signs(data: Any) -> None:
    """Understood or refused, and what is understood is what was said."""
    text = json.dumps(data).encode()
    for parse in (parse_said, parse_head, parse_content):
        with contextlib.suppress(RefusedError):
            made: Any = parse(text)
            assert parse(text_of(made).encode()) == made


@given(st.binary(max_size=200), st.sampled_from([TOPICS.head, TOPICS.identity(ID), "x"]))
def test_whatever_somebody_publishes(payload: bytes, topic: str) -> None:
    with pytest.raises(RefusedError):
        RING.verify(GROUP, topic, payload)


RING = ring()


@given(st.text(), st.text(min_size=1))
def test_a_signature_holds_for_its_topic_and_text_alone(text: str, other: str) -> None:
    try:
        text.encode()
        other.encode()
    except UnicodeEncodeError:
        return
    payload = signed_payload(KEY, TOPICS.head, text)
    assert RING.verify(GROUP, TOPICS.head, payload) == (KEY.name, text.encode())
    for topic in (TOPICS.head + other, other):
        with pytest.raises(RefusedError, match="does not hold"):
            RING.verify(GROUP, topic, payload)


@given(ids)
def test_topics_name_their_identity(identity_id: str) -> None:
    topic = TOPICS.identity(identity_id)
    assert TOPICS.id_of(topic) == identity_id
    for other in (GroupTopics("ostiary", "other"), GroupTopics("o", GROUP)):
        assert other.id_of(topic) is None
    assert TOPICS.id_of(topic + "/x") is None
    assert TOPICS.id_of(topic.replace(f"/{shard_of(identity_id)}/", "/zz/")) is None


@settings(max_examples=30)
@given(st.dictionaries(ids, revisions, max_size=8), st.randoms())
def test_a_digest_is_of_the_set(found: dict[str, int], rng: Any) -> None:
    shuffled = list(found.items())
    rng.shuffle(shuffled)
    digest = shard_digest(found.items())
    assert shard_digest(shuffled) == digest
    assert count_of(digest) == len(found)
    for one, revision in found.items():
        assert shard_digest((found | {one: revision + 1}).items()) != digest
        assert shard_digest((key, value) for key, value in found.items() if key != one) != digest


@settings(max_examples=40)
@given(st.dictionaries(ids, revisions, max_size=6), st.data())
def test_what_a_head_counts_is_found_behind_later_words(old: dict[str, int], data: st.DataObject) -> None:
    """A publisher was cut off after any number of changes, removals and new people; none, one or several of each."""
    newest = max(old.values(), default=0)
    living, late = dict(old), []
    for identity_id in data.draw(st.lists(ids | st.sampled_from(sorted(old) or [ID]), unique=True, max_size=5)):
        newest += 1
        late.append(Late(newest, identity_id, old.get(identity_id, 0)))
        living.pop(identity_id, None)
        if data.draw(st.booleans()):
            living[identity_id] = newest
    assert counted(living, late, since=1, wanted=shard_digest(old.items())) == old
    assert counted(living, late, since=1, wanted=shard_digest(living.items())) == living
    assert counted(living, late, since=1, wanted="1." + "A" * 16) is None


def test_what_is_sealed_opens_at_its_place_alone() -> None:
    sealer, topic = Sealer([SECRET]), TOPICS.identity(ID)
    sealed = seal(sealer, topic, 7, "text")
    assert unseal(sealer, topic, 7, sealed) == b"text"
    for elsewhere in (("x", 7), (topic, 8)):
        with pytest.raises(RefusedError) as caught:
            unseal(sealer, *elsewhere, sealed)
        assert caught.value.code == "malformed"
    for bad in ("", "AAAA", sealed[:-4], "é", sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]):
        with pytest.raises(RefusedError):
            unseal(sealer, topic, 7, bad)
    for other in (None, Sealer([SECRET[::-1]])):
        with pytest.raises(RefusedError) as caught:
            unseal(other, topic, 7, sealed)
        assert caught.value.code == "no_secret"
    # A secret is changed without a gap: the new one seals, both open.
    assert unseal(Sealer([SECRET[::-1], SECRET]), topic, 7, sealed) == b"text"


LINE = publisher_key(KEY, ["staff", "guests"]).line()


def test_files_of_keys_and_secrets(tmp_path: Path) -> None:
    keys, secrets = tmp_path / "keys", tmp_path / "secrets"
    keys.write_text(f"# ours\n{LINE}\n{publisher_key(OTHER, ['guests']).line()} # theirs\n", encoding="utf-8")
    found = read_publishers(keys)
    assert (found.names("staff"), found.names("guests"), found.names("nobody")) == (
        ("office",),
        ("office", "annexe"),
        (),
    )
    secrets.write_text(f"{secret_line('staff', SECRET)}\n{secret_line('staff', SECRET[::-1])}\n", encoding="utf-8")
    assert len(read_secrets(secrets)["staff"].key_ids) == 2


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (read_publishers, f"{LINE}\n{LINE}", "line 2: a second key"), (read_publishers, LINE.rsplit(" ", 1)[0], "no groups"),
        (read_publishers, LINE + ",a/b", "group 'a/b'"), (read_publishers, "office AAAA staff", "no public key"),
        (read_publishers, KEY.line(), "no public key"), (read_publishers, "a b c d", "4 words"),
        (read_secrets, "staff", "no secret"), (read_secrets, "staff AAAA", "no secret"),
        (read_secrets, secret_line("st aff", SECRET), "no secret"), (read_secrets, secret_line("staff", bytes(32)), "no secret"),
        (read_secrets, f"{secret_line('staff', SECRET)}\n{secret_line('staff', SECRET)}", "line 2: a secret too many"),
    ],
)  # fmt: skip
def test_a_file_with_a_fault_names_its_line(
    tmp_path: Path, read: Callable[[Path], object], text: str, told: str
) -> None:
    path = tmp_path / "file"
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=told) as caught:
        read(path)
    assert secret_line("", SECRET).strip() not in str(caught.value)


def test_a_second_key_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a second key 'office'"):
        ring().with_key(publisher_key(type(KEY)("office", bytes(32)), [GROUP]))
