"""A look at the bytes of a protocol buffer before they are parsed, so that a small file cannot fill the memory.

Two bytes can make an empty message, which takes hundreds once it is parsed. The fields are counted first, without
making anything of them (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from typing import Any

from edge.errors import ModelError

MOST_FIELDS = 4_000_000
"""A network of 10,000 nodes has about 300,000."""
MOST_LEVELS = 64

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


def check_wire(data: bytes, descriptor: Any, where: str, *, most_fields: int = MOST_FIELDS) -> None:
    """ModelError where `data` is no message of this kind, is cut off, or has more fields or levels than a model has."""
    kinds: dict[str, dict[int, Any]] = {}
    texts: dict[str, frozenset[int]] = {}
    count = 0
    # (from, to, kind of message, levels above)
    pending = [(0, len(data), descriptor, 0)]
    while pending:
        place, end, kind, level = pending.pop()
        if level > MOST_LEVELS:
            raise ModelError(f"messages nested deeper than {MOST_LEVELS} levels", where=where, hint=_HINT)
        messages, names = _messages_in(kind, kinds), _texts_in(kind, texts)
        while place < end:
            count += 1
            if count > most_fields:
                raise ModelError(f"more than {most_fields} fields", where=where, hint=_HINT)
            tag, place = _varint(data, place, end, where)
            start, place = _field(data, place, (tag & 7, end), where)
            inner = messages.get(tag >> 3) if tag & 7 == _LENGTH else None
            if tag >> 3 in names and tag & 7 == _LENGTH:
                _check_text(data[start:place], where)
            if inner is not None:
                pending.append((start, place, inner, level + 1))


_HINT = "Copy the file again, or export it again."


def _messages_in(descriptor: Any, kinds: dict[str, dict[int, Any]]) -> dict[int, Any]:
    if descriptor.full_name not in kinds:
        fields = descriptor.fields
        kinds[descriptor.full_name] = {each.number: each.message_type for each in fields if each.message_type}
    return kinds[descriptor.full_name]


def _texts_in(descriptor: Any, texts: dict[str, frozenset[int]]) -> frozenset[int]:
    """Fields that hold names. What the exporter remarks in doc_string may be in any encoding."""
    if descriptor.full_name not in texts:
        fields = (each for each in descriptor.fields if each.type == each.TYPE_STRING and each.name != "doc_string")
        texts[descriptor.full_name] = frozenset(each.number for each in fields)
    return texts[descriptor.full_name]


def _check_text(text: bytes, where: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise ModelError(
            f"not a sound ONNX file (a name {text[:40]!r} that is no UTF-8)", where=where, hint=_HINT
        ) from error


def _field(data: bytes, place: int, how: tuple[int, int], where: str) -> tuple[int, int]:
    """Where the content of a field begins, and where it ends."""
    wire_type, end = how
    if wire_type == _VARINT:
        return place, _varint(data, place, end, where)[1]
    if wire_type == _LENGTH:
        size, place = _varint(data, place, end, where)
    elif wire_type in _FIXED:
        size = _FIXED[wire_type]
    else:
        raise ModelError(f"not a sound ONNX file (wire type {wire_type})", where=where, hint=_HINT)
    if place + size > end:
        raise ModelError("not a sound ONNX file (it ends too early)", where=where, hint=_HINT)
    return place, place + size


def _varint(data: bytes, place: int, end: int, where: str) -> tuple[int, int]:
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ModelError("not a sound ONNX file (it ends too early)", where=where, hint=_HINT)
