"""`ostiary gallery` remove, person, audit, retain, rekey: what people may ask of who keeps their faces."""

from __future__ import annotations

import argparse
import sys

from edge.cli.common import plural, print_json, settings_of, shown
from edge.cli.gallery import FIRST, NONE_YET, opened
from edge.errors import EXIT_OK, EXIT_OTHER, EXIT_REJECTED, UsageError
from edge.gallery import IdentityRecord
from edge.gallery.audit import AuditCheck, AuditRow
from edge.gallery.encryption.rekey import Rekeyed, rekey_gallery
from edge.gallery.encryption.sealing import sealer_of
from edge.gallery.privacy.erasure import NOT_COVERED, Receipt, erase
from edge.gallery.privacy.person import audit_json, export_person
from edge.gallery.privacy.retention import retain
from edge.paths import gallery_file
from edge.timebase import clock_synced, rfc3339, wall_clock


def run_remove(args: argparse.Namespace) -> int:
    """Erase, after a question where a person is asking, and look for what is left; exit 1 when something is."""
    with opened(args) as gallery:
        record = gallery.get(args.who)
        if not args.yes and not _confirmed(record):
            print("nothing was removed")
            return EXIT_OK
        receipt = erase(gallery, record.id)
    if args.json:
        print_json(receipt.as_json())
    else:
        _tell_receipt(receipt)
    return EXIT_OK if receipt.is_verified else EXIT_OTHER


def _confirmed(record: IdentityRecord) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", hint=f"Add --yes to erase {record.name} without a question.")
    question = f"Erase {record.name} and {plural(record.embeddings, 'embedding')}? [y/N] "
    return input(question).strip().lower() in {"y", "yes"}


def _tell_receipt(receipt: Receipt) -> None:
    who, kept = receipt.erased, plural(receipt.erased.faces, "kept face")
    print(f"erased {who.identity.name} ({who.identity.id}): {plural(who.embeddings, 'embedding')}, {kept}")
    if who.origin:
        print(f"  and taken from the group {who.origin} no more, until `ostiary gallery readmit {who.identity.id}`")
    if not who.is_scrubbed:
        print(
            "not finished: something was reading the file, or the disk is full; `ostiary gallery retain` does the rest"
        )
    if receipt.problem:
        print(f"not checked: {receipt.problem}")
    else:
        print(f"looked for {plural(receipt.searched, 'trace')} in {', '.join(receipt.checked)}:")
    for found in receipt.found:
        print(f"  FOUND {found.what} in {found.file}")
    if receipt.is_verified:
        print("  nothing is left")
    print("not covered: " + ";\n  ".join(NOT_COVERED))


def run_person(args: argparse.Namespace) -> int:
    """Everything about one person into a zip."""
    with opened(args) as gallery:
        done = export_person(gallery, args.who, args.output)
    if args.json:
        row = {"file": str(args.output), "id": done.id, "name": done.name}
        print_json({**row, "embeddings": done.embeddings, "faces": done.faces, "audit_rows": done.audit_rows})
    else:
        what = f"{plural(done.embeddings, 'embedding')}, {plural(done.faces, 'face')}, {plural(done.audit_rows, 'entry', 'entries')} of the log"
        print(f"{done.name} ({done.id}): {what} written to {args.output}; it is for that person alone")
    return EXIT_OK


def run_audit(args: argparse.Namespace) -> int:
    """The log, the newest first; with --verify whether it is whole, exit 4 when it is not."""
    with opened(args) as gallery:
        if args.verify:
            return _tell_check(gallery.verify_audit(anchor=args.anchor), as_json=args.json)
        names = {record.id: record.name for record in gallery.list_identities()}
        rows = gallery.audit(limit=args.limit, who=args.who)
    for row in rows:
        if args.json:
            print_json({**audit_json(row), "name": names.get(row.identity_id)})
        else:
            print(_line(row, names))
    return EXIT_OK


def _line(row: AuditRow, names: dict[str, str]) -> str:
    whom = f" {names.get(row.identity_id, 'somebody')} ({row.identity_id})" if row.identity_id else ""
    many = ""
    if row.embeddings:
        many = f", {plural(row.embeddings, 'entry', 'entries') if row.action == 'pruned' else plural(row.embeddings, 'embedding')}"
    by = " ".join(word for word in (row.actor.kind, shown(row.actor.name), shown(row.actor.request_id)) if word)
    return f"{row.seq:>6}  {rfc3339(row.at)}  {row.action.replace('_', ' ')}{whom}{many}  by {by}"


def _tell_check(check: AuditCheck, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {"ok": not check.fault, "rows": check.rows, "first": check.first, "head": check.head, "fault": check.fault}
        )
    elif check.fault:
        print(f"the audit log is not whole: {check.fault}")
    else:
        print(
            f"whole: {plural(check.rows, 'entry', 'entries')} from number {check.first}; SHA-256 of the last: {check.head}"
        )
    return EXIT_REJECTED if check.fault else EXIT_OK


def run_retain(args: argparse.Namespace) -> int:
    """Erase who has been expired for too long, as the daemon does once a day."""
    privacy = settings_of(args).privacy
    if not args.dry_run and not args.trust_clock and not clock_synced():
        hint = "systemctl enable --now systemd-timesyncd, or --trust-clock where you have looked at `date`."
        raise UsageError("nothing keeps the clock right, and a wrong one would erase the wrong people", hint=hint)
    with opened(args) as gallery:
        names = {record.id: record.name for record in gallery.list_identities()}
        done = retain(gallery, privacy, wall_clock(), dry_run=args.dry_run)
    if args.json:
        row = {"dry_run": args.dry_run, "erased": list(done.expired), "embeddings": done.embeddings}
        print_json({**row, "audit_rows": done.audit_rows, "scrubbed": done.is_scrubbed})
        return EXIT_OK
    would = "would be " if args.dry_run else ""
    for identity_id in done.expired:
        print(f"{would}erased: {names.get(identity_id, 'somebody')} ({identity_id})")
    many = plural(len(done.expired), "identity", "identities")
    print(f"{would}erased: {many}, {plural(done.audit_rows, 'entry', 'entries')} of the audit log")
    return EXIT_OK


def run_rekey(args: argparse.Namespace) -> int:
    """Encrypt with the first key, or no more."""
    settings = settings_of(args)
    path = gallery_file(settings)
    if not path.exists():
        raise UsageError(NONE_YET, where=str(path), hint=FIRST)
    done = rekey_gallery(path, sealer_of(settings), to_plain=args.plain)
    if args.json:
        row = {"before": list(done.before), "after": done.after or None, "identities": done.identities}
        print_json({**row, "embeddings": done.embeddings, "scrubbed": done.is_scrubbed})
    else:
        _tell_rekeyed(done)
    return EXIT_OK if done.is_scrubbed else EXIT_OTHER


def _tell_rekeyed(done: Rekeyed) -> None:
    many = f"{plural(done.identities, 'identity', 'identities')}, {plural(done.embeddings, 'embedding')}"
    said = f"encrypted with key {done.after}" if done.after else "not encrypted any more"
    print(f"{said} (before: {', '.join(done.before) or 'not encrypted'}): {many}")
    if not done.is_scrubbed:
        print(
            "not finished: something was reading the file, or the disk is full; old values may be left in it: do it again"
        )
    print("restart the daemon: it holds the keys that it was started with")
