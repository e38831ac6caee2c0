"""`ostiary gallery`: who is enrolled."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from edge.bundle import load_bundle
from edge.cli.common import complain, plural, print_json, settings_of, shown
from edge.errors import BundleError, GalleryError, UsageError
from edge.gallery import (
    EnrolledFace,
    Gallery,
    IdentityRecord,
    export_gallery,
    gallery_of,
    import_gallery,
    parse_moment,
)
from edge.gallery.privacy.person import moment, person_json
from edge.gallery.records import check_validity, clean_schedule, clean_slugs
from edge.paths import gallery_file
from edge.reader import bundle_folder

NONE_YET = "no gallery yet: nobody is enrolled"
FIRST = "ostiary enroll --name NAME PICTURE... makes one; --gallery FILE names another."
_SETTABLE = ("name", "note", "consent", "enabled", "valid_from", "valid_until", "groups", "zones", "schedule")


def opened(args: argparse.Namespace) -> Gallery:
    """The gallery of the settings, of whatever embedder it is. UsageError where there is none."""
    settings = settings_of(args)
    path = gallery_file(settings)
    if not path.exists():
        raise UsageError(NONE_YET, where=str(path), hint=FIRST)
    return gallery_of(settings)


def opened_in_use(args: argparse.Namespace) -> Gallery:
    """As `opened`, for the embedder of the configured bundle, so that it shows who is matched with it, where it has any."""
    settings = settings_of(args)
    if gallery_file(settings).exists():
        with contextlib.suppress(BundleError, GalleryError):
            return gallery_of(settings, load_bundle(bundle_folder(settings)).manifest, create=False)
    return opened(args)


def opened_or_made(args: argparse.Namespace) -> Gallery:
    """The same, but an empty one is made for the configured bundle where there is none."""
    settings = settings_of(args)
    if gallery_file(settings).exists():
        return gallery_of(settings)
    return gallery_of(settings, load_bundle(bundle_folder(settings)).manifest)


def run_list(args: argparse.Namespace) -> int:
    """A line each."""
    path = gallery_file(settings_of(args))
    if not path.exists():
        complain(f"{path}: {NONE_YET}\n  {FIRST}")
        return 0
    with opened_in_use(args) as gallery:
        if args.refused:
            return _list_refused(gallery, as_json=args.json)
        records = gallery.list_identities()
        if args.json:
            for record in records:
                print_json(person_json(record))
            return 0
        others = [one.embedder_id for one in gallery.embedders() if one.embedder_id != gallery.embedder_id]
        also = f" (and of {', '.join(others)})" if others else ""
        print(f"{gallery.path}: {plural(len(records), 'identity', 'identities')}, embedder {gallery.embedder_id}{also}")
    width = max((len(record.name) for record in records), default=0)
    for record in records:
        print(f"  {record.id}  {record.name:<{width}}  {plural(record.embeddings, 'embedding'):>13}{_limits(record)}")
    return 0


def _list_refused(gallery: Gallery, *, as_json: bool) -> int:
    for word in gallery.read(gallery.synced.read_all):
        if word.state == "refused" and as_json:
            print_json({"id": word.identity_id, "group": word.origin})
        elif word.state == "refused":
            print(f"  {word.identity_id}  group {word.origin}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """One identity and where its embeddings came from."""
    with opened_in_use(args) as gallery:
        record = gallery.get(args.who)
        faces = gallery.faces(record.id)
    if args.json:
        print_json({**person_json(record), "sources": [_source_json(face) for face in faces]})
        return 0
    span = [word for word in (_since(record.valid_from), _until(record.valid_until)) if word]
    print(f"{record.name}\n  id       {record.id}\n  enabled  {'yes' if record.enabled else 'no'}")
    print(f"  valid    {' '.join(span) or 'always'}")
    print(f"  enrolled {moment(record.created_at)}, changed {moment(record.updated_at)}")
    print(f"  groups   {', '.join(record.groups) or '-'}\n  zones    {', '.join(record.zones) or 'all'}")
    print(f"  schedule {record.schedule or 'always'}")
    print(f"  note     {shown(record.note) or '-'}\n  consent  {shown(record.consent) or '-'}")
    if record.origin:
        print(f"  group    {record.origin} publishes this person")
    for face in faces:
        kept = "" if face.face_png is None else ", face kept"
        by = "" if record.stored == record.embeddings else f", {' '.join(one.embedder_id for one in face.embeddings)}"
        print(f"  from     {shown(face.source) or '?'} (quality {face.quality:.2f}{kept}{by})")
    return 0


def _source_json(face: EnrolledFace) -> dict[str, Any]:
    embedders = [one.embedder_id for one in face.embeddings]
    row = {"source": face.source, "quality": round(face.quality, 3), "face_kept": face.face_png is not None}
    return {**row, "embedders": embedders}


def run_set(args: argparse.Namespace) -> int:
    """Change what was given, all of it or nothing."""
    given = {name for name in _SETTABLE if getattr(args, name) is not None}
    if not given:
        raise UsageError(
            "nothing to change",
            expected="--name, --note, --consent, --enable, --disable, --valid-from, --valid-until, --groups, --zones, --schedule",
        )
    with opened(args) as gallery:
        with gallery.change():
            record = gallery.get(args.who)
            if args.name is not None:
                gallery.rename(record.id, args.name)
            if args.note is not None:
                gallery.set_note(record.id, args.note)
            if args.consent is not None:
                gallery.set_consent(record.id, args.consent)
            set_limits(gallery, record, args)
            if args.enabled is not None:
                gallery.set_enabled(record.id, enabled=args.enabled)
        return _tell_record(gallery.get(record.id), as_json=args.json)


def set_limits(gallery: Gallery, record: IdentityRecord, args: argparse.Namespace) -> None:
    """Where and when somebody may enter, as far as options say."""
    valid_from, valid_until = check_limits(record, args)
    if (args.valid_from, args.valid_until) != (None, None):
        gallery.set_validity(record.id, valid_from=valid_from, valid_until=valid_until)
    groups, zones = _names(args.groups), _names(args.zones)
    if (groups, zones, args.schedule) != (None, None, None):
        gallery.set_access(record.id, groups=groups, zones=zones, schedule=args.schedule)


def check_limits(known: IdentityRecord | None, args: argparse.Namespace) -> tuple[float | None, float | None]:
    """valid_from and valid_until as they will be (Unix seconds); UsageError for any limit that cannot be meant."""
    valid_from = _changed(args.valid_from, None if known is None else known.valid_from)
    valid_until = _changed(args.valid_until, None if known is None else known.valid_until)
    check_validity(valid_from, valid_until)
    clean_slugs(_names(args.groups) or (), "group")
    clean_slugs(_names(args.zones) or (), "zone")
    clean_schedule(args.schedule or "")
    return valid_from, valid_until


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


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


def _tell_record(record: IdentityRecord, *, as_json: bool) -> int:
    if as_json:
        print_json(person_json(record))
    else:
        print(f"{record.name} ({record.id}): {plural(record.embeddings, 'embedding')}{_limits(record)}")
    return 0


def _limits(record: IdentityRecord) -> str:
    words = [
        f"of group {record.origin}" if record.origin else "",
        "NOT RECOGNIZED: no embedding of this embedder" if record.is_lacking else "",
    ]
    words += ["" if record.enabled else "disabled", _since(record.valid_from), _until(record.valid_until)]
    words += [
        f"{what} {' '.join(names)}" for what, names in (("groups", record.groups), ("zones", record.zones)) if names
    ]
    words.append(record.schedule)
    said = ", ".join(word for word in words if word)
    return f"  ({said})" if said else ""


def _since(unix_s: float | None) -> str:
    return "" if unix_s is None else f"from {moment(unix_s)}"


def _until(unix_s: float | None) -> str:
    return "" if unix_s is None else f"until {moment(unix_s)}"


def _changed(text: str | None, old: float | None) -> float | None:
    if text is None:
        return old
    return parse_moment(text) if text.strip() else None
