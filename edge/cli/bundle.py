"""`ostiary bundle`: installing, switching, going back, and what is there."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from edge.bundle import load_bundle
from edge.bundle.activation import Switched, activate, roll_back, store_of, version_of
from edge.bundle.folder import default_bundle_folder
from edge.bundle.install import install
from edge.bundle.selftest import Report, self_test
from edge.bundle.slots import Slots, Standing
from edge.bundle.store import OWN
from edge.cli.common import complain, print_json, settings_of
from edge.config.settings import Settings
from edge.errors import EXIT_OK, BundleError, OstiaryError, UsageError
from edge.reader import bundle_folder
from edge.timebase import rfc3339

RESTART = "A daemon that runs keeps its bundle until it begins again: sudo systemctl restart ostiary"
_SAYS = {"trial": "on trial", "confirmed": "in use", "rolled_back": "in use"}


def run_install(args: argparse.Namespace) -> int:
    """Into a slot; with --activate into use, too."""
    settings = settings_of(args)
    done = install(settings, args.source, name=args.name)
    if not args.json:
        version = "" if done.version is None else f", version {done.version}"
        print(f"{done.bundle_id}{version}: {'installed' if done.is_new else 'was installed before'}")
    switched = (
        activate(settings, done.name, allow_older=args.allow_older, leave_out=args.leave_out) if args.activate else None
    )
    if args.json:
        row = {"bundle": done.name, "version": done.version, "installed": done.is_new}
        print_json({**row, "activated": None if switched is None else _switched_json(switched)})
    elif switched is not None:
        _tell_switched(switched)
    return EXIT_OK


def run_activate(args: argparse.Namespace) -> int:
    """From the next start of the daemon on."""
    switched = activate(settings_of(args), args.name, allow_older=args.allow_older, leave_out=args.leave_out)
    if args.json:
        print_json(_switched_json(switched))
    else:
        _tell_switched(switched)
    return EXIT_OK


def run_rollback(args: argparse.Namespace) -> int:
    """Likewise."""
    settings = settings_of(args)
    before = Slots(store_of(settings)).standing().active
    now = roll_back(settings)
    if args.json:
        print_json({"active": now.active, "rolled_back": before})
    else:
        print(f"{before} is rolled back: {now.active or OWN} runs from the next start on")
        complain(RESTART)
    return EXIT_OK


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the list."""

    name: str
    says: str
    embedder_id: str
    version: int | None
    size: int

    def line(self, width: int) -> str:
        version = "-" if self.version is None else str(self.version)
        return f"  {self.name:<{width}}  {version:>7}  {self.size / 1e6:>7.1f} MB  {self.embedder_id:<24}  {self.says}"


def run_list(args: argparse.Namespace) -> int:
    """A line a slot, and what is wrong with it."""
    settings = settings_of(args)
    store = store_of(settings)
    now = Slots(store).standing()
    rows = [_row(settings, name, now) for name in (store.names() if store.path.is_dir() else [])]
    if args.json:
        for row in rows:
            print_json({
                "bundle": row.name, "active": row.name == now.active, "previous": row.name == now.previous, "version": row.version,
                "embedder_id": row.embedder_id, "bytes": row.size, "says": row.says,
            })  # fmt: skip
        print_json(standing_json(now))
        return EXIT_OK
    width = max((len(row.name) for row in rows), default=0)
    print(f"{store.path}: {standing_text(now)}")
    for row in rows:
        print(row.line(width))
    return EXIT_OK


def _row(settings: Settings, name: str, now: Standing) -> _Row:
    says = _SAYS[now.state] if name == now.active else "to go back to" if name == now.previous else ""
    try:
        bundle = load_bundle(store_of(settings).folder(name))
    except BundleError as error:
        return _Row(name, f"{says + '; ' if says else ''}damaged: {error.problem}", "?", None, 0)
    try:
        version = version_of(settings, bundle)
    except OstiaryError as error:
        version, says = None, f"{says + '; ' if says else ''}refused: {error.problem}"
    if name == now.candidate and now.state == "rolled_back":
        says = f"rolled back: {now.reason}"
    size = sum(file.bytes for file in bundle.manifest.files)
    return _Row(name, says, bundle.manifest.embedder.embedder_id, version, size)


def run_verify(args: argparse.Namespace) -> int:
    """Digests, signature, self-test; exit 4 when any of them is not in order."""
    settings = settings_of(args)
    if args.name is not None:
        folder = store_of(settings).folder(args.name)
    else:
        folder = bundle_folder(settings) or default_bundle_folder()
    bundle = load_bundle(folder)
    is_own = folder == default_bundle_folder()
    version = None if is_own else version_of(settings, bundle)
    report = self_test(settings, bundle)
    if args.json:
        row = {"bundle_id": bundle.manifest.bundle_id, "folder": str(folder), "version": version}
        print_json({**row, "signed": version is not None, "self_test": _report_json(report)})
        return EXIT_OK
    print(f"{bundle.manifest.bundle_id} in {folder}")
    print(f"  digests    {len(bundle.manifest.files)} files as the manifest has them")
    print(f"  signature  {_signature(version, is_own=is_own)}")
    print(f"  self-test  {_report_text(report, settings)}")
    return EXIT_OK


def run_remove(args: argparse.Namespace) -> int:
    """Named ones, or all that are neither in use nor to go back to."""
    settings = settings_of(args)
    slots = Slots(store_of(settings))
    if bool(args.names) == args.old:
        raise UsageError(
            "no bundle is named" if not args.names else "both names and --old", expected="NAME... or --old"
        )
    names = args.names or [name for name in slots.store.names() if name not in slots.needed()]
    for name in names:
        slots.remove(name)
        print_json({"removed": name}) if args.json else print(f"{name}: removed")
    if not names and not args.json:
        print("nothing to remove")
    return EXIT_OK


def standing_text(now: Standing) -> str:
    """In a line."""
    text = f"{now.active or OWN} {'is on trial' if now.is_on_trial else 'is in use'}"
    if now.active is not None:
        text += f", a rollback goes to {now.previous or OWN}"
    if now.state == "rolled_back":
        text += f"; {now.candidate} was rolled back: {now.reason}"
    return f"{text}\n{now.problem}" if now.problem else text


def standing_json(now: Standing) -> dict[str, Any]:
    """For programs."""
    since = None if now.since is None else rfc3339(now.since)
    return {
        "active": now.active, "previous": now.previous, "state": now.state, "candidate": now.candidate, "reason": now.reason,
        "since": since,
    }  # fmt: skip


def _signature(version: int | None, *, is_own: bool) -> str:
    if version is not None:
        return f"in the signed list, version {version}"
    return "comes with the package" if is_own else "not asked for: updates.trust names no folder"


def _tell_switched(done: Switched) -> None:
    if done.report is None:
        print(f"{done.name} is in use already")
        return
    print(f"self-test: {done.report.frame_ms:.0f} ms a frame, similarity {done.report.similarity:.2f}")
    print(f"{done.name} runs from the next start on, on trial; without proof {done.previous or OWN} comes back")
    complain(RESTART)


def _switched_json(done: Switched) -> dict[str, Any]:
    report = None if done.report is None else _report_json(done.report)
    return {"bundle": done.name, "previous": done.previous, "self_test": report}


def _report_json(report: Report) -> dict[str, float]:
    return {
        "frame_ms": round(report.frame_ms, 1),
        "similarity": round(report.similarity, 3),
        "noise_similarity": round(report.noise_similarity, 3),
    }


def _report_text(report: Report, settings: Settings) -> str:
    return (
        f"{report.frame_ms:.0f} ms a frame (at most {settings.updates.budget_ms:g}), similarity {report.similarity:.2f} of a face "
        f"to itself, {report.noise_similarity:.2f} to noise"
    )
