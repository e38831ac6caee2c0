"""`ostiary gallery`: who is enrolled."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from typing import Any

from edge.bundle import load_bundle
from edge.cli.common import complain, plural, print_json, settings_of, shown
from edge.errors import UsageError
from edge.gallery import (
    EnrolledFace,
    Gallery,
    IdentityRecord,
    export_gallery,
    import_gallery,
    open_any_gallery,
    open_gallery,
    parse_moment,
)
from edge.gallery.records import check_validity
from edge.paths import gallery_file

_NONE_YET = "no gallery yet: nobody is enrolled"
_FIRST = "ostiary enroll --name NAME PICTURE... makes one; --gallery FILE names another."


def opened(args: argparse.Namespace) -> Gallery:
    """The gallery of the settings, of whatever embedder it is. UsageError where there is none."""
    path = gallery_file(settings_of(args))
    if not path.exists():
        raise UsageError(_NONE_YET, where=str(path), hint=_FIRST)
    return open_any_gallery(path)


def opened_or_made(args: argparse.Namespace) -> Gallery:
    """The same, but an empty one is made for the configured bundle where there is none."""
    settings = settings_of(args)
    path = gallery_file(settings)
    if path.exists():
        return open_any_gallery(path)
    spec = load_bundle(settings.bundle).manifest.embedder
    return open_gallery(path, embedder_id=spec.embedder_id, embedding_length=spec.embedding_length)


def run_list(args: argparse.Namespace) -> int:
    """A line each."""
    path = gallery_file(settings_of(args))
    if not path.exists():
        complain(f"{path}: {_NONE_YET}\n  {_FIRST}")
        return 0
    with opened(args) as gallery:
        records = gallery.list_identities()
        if args.json:
            for record in records:
                print_json(record_json(record))
            return 0
        print(f"{gallery.path}: {plural(len(records), 'identity', 'identities')}, embedder {gallery.embedder_id}")
    width = max((len(record.name) for record in records), default=0)
    for record in records:
        print(f"  {record.id}  {record.name:<{width}}  {plural(record.embeddings, 'embedding'):>13}{_limits(record)}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """One identity and where its embeddings came from."""
    with opened(args) as gallery:
        record = gallery.get(args.who)
        faces = gallery.faces(record.id)
    if args.json:
        print_json({**record_json(record), "sources": [_source_json(face) for face in faces]})
        return 0
    span = [word for word in (_since(record.valid_from), _until(record.valid_until)) if word]
    print(f"{record.name}\n  id       {record.id}\n  enabled  {'yes' if record.enabled else 'no'}")
    print(f"  valid    {' '.join(span) or 'always'}")
    print(f"  enrolled {_moment(record.created_at)}, changed {_moment(record.updated_at)}")
    print(f"  note     {shown(record.note) or '-'}")
    for face in faces:
        kept = "" if face.face_png is None else ", face kept"
        print(f"  from     {shown(face.source) or '?'} (quality {face.quality:.2f}{kept})")
    return 0


def _source_json(face: EnrolledFace) -> dict[str, Any]:
    return {"source": face.source, "quality": round(face.quality, 3), "face_kept": face.face_png is not None}


def run_set(args: argparse.Namespace) -> int:
    """Change what was given."""
    if {args.name, args.note, args.enabled, args.valid_from, args.valid_until} == {None}:
        raise UsageError(
            "nothing to change", expected="--name, --note, --enable, --disable, --valid-from, --valid-until"
        )
    with opened(args) as gallery:
        record = gallery.get(args.who)
        valid_from = _changed(args.valid_from, record.valid_from)
        valid_until = _changed(args.valid_until, record.valid_until)
        # All that may be refused comes first: half a change is worse than none.
        check_validity(valid_from, valid_until)
        if args.name is not None:
            gallery.rename(record.id, args.name)
        if (valid_from, valid_until) != (record.valid_from, record.valid_until):
            gallery.set_validity(record.id, valid_from=valid_from, valid_until=valid_until)
        if args.note is not None:
            gallery.set_note(record.id, args.note)
        if args.enabled is not None:
            gallery.set_enabled(record.id, enabled=args.enabled)
        return _tell_record(gallery.get(record.id), as_json=args.json)


def run_remove(args: argparse.Namespace) -> int:
    """Erase, after a question where a person is asking."""
    with opened(args) as gallery:
        record = gallery.get(args.who)
        if not args.yes and not _confirmed(record):
            print("nothing was removed")
            return 0
        erased = gallery.remove(record.id)
    if args.json:
        row = {"id": erased.identity.id, "name": erased.identity.name, "embeddings": erased.embeddings}
        print_json({**row, "faces": erased.faces, "scrubbed": erased.is_scrubbed})
        return 0
    kept = plural(erased.faces, "kept face")
    print(f"erased {erased.identity.name} ({erased.identity.id}): {plural(erased.embeddings, 'embedding')}, {kept}")
    if not erased.is_scrubbed:
        print("the daemon was reading meanwhile; freed pages are overwritten with zeros, and the file shrinks later")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Everybody into one file."""
    with opened(args) as gallery:
        count = export_gallery(gallery, args.file, include_faces=args.faces)
    if args.json:
        print_json({"file": str(args.file), "identities": count})
    else:
        print(f"{plural(count, 'identity', 'identities')} written to {args.file}; guard it like the gallery itself")
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Everybody from one file, or nobody."""
    with opened_or_made(args) as gallery:
        report = import_gallery(gallery, args.file)
    if args.json:
        row = {"added": report.added, "changed": report.changed, "unchanged": report.unchanged}
        print_json({**row, "embeddings": report.embeddings})
    else:
        print(
            f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged; {plural(report.embeddings, 'embedding')} added"
        )
    return 0


def record_json(record: IdentityRecord) -> dict[str, Any]:
    """One identity for programs; moments as RFC 3339 or null."""
    return {
        "id": record.id, "name": record.name, "note": record.note, "enabled": record.enabled,
        "valid_from": _moment(record.valid_from), "valid_until": _moment(record.valid_until),
        "created_at": _moment(record.created_at), "updated_at": _moment(record.updated_at),
        "embeddings": record.embeddings, "faces": record.faces,
    }  # fmt: skip


def _tell_record(record: IdentityRecord, *, as_json: bool) -> int:
    if as_json:
        print_json(record_json(record))
    else:
        print(f"{record.name} ({record.id}): {plural(record.embeddings, 'embedding')}{_limits(record)}")
    return 0


def _limits(record: IdentityRecord) -> str:
    words = ["" if record.enabled else "disabled", _since(record.valid_from), _until(record.valid_until)]
    said = ", ".join(word for word in words if word)
    return f"  ({said})" if said else ""


def _since(moment: float | None) -> str:
    return "" if moment is None else f"from {_moment(moment)}"


def _until(moment: float | None) -> str:
    return "" if moment is None else f"until {_moment(moment)}"


def _moment(unix_s: float | None) -> str | None:
    return None if unix_s is None else dt.datetime.fromtimestamp(unix_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _changed(text: str | None, old: float | None) -> float | None:
    if text is None:
        return old
    return parse_moment(text) if text.strip() else None


def _confirmed(record: IdentityRecord) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", hint=f"Add --yes to erase {record.name} without a question.")
    return input(f"Erase {record.name} and {plural(record.embeddings, 'embedding')}? [y/N] ").strip().lower() in {
        "y",
        "yes",
    }
