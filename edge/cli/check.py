"""`ostiary check`: what is wrong here, and how to mend it."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from edge.bundle import load_bundle
from edge.bundle.manifest import OperatingPoint
from edge.bundle.slots import Slots
from edge.bundle.store import BundleStore
from edge.capture import open_source
from edge.cli.bundle import standing_text
from edge.cli.check_files import files_of, secrets_of
from edge.cli.common import plural, print_json, settings_of
from edge.commands.opening import keys_of
from edge.config import Settings, find_config
from edge.errors import EXIT_OK, EXIT_UNAVAILABLE, OstiaryError
from edge.gallery import gallery_of
from edge.interpreter import installed_runtimes
from edge.paths import gallery_file
from edge.publish import probe_broker
from edge.reader import bundle_folder, load_models
from edge.sync.opening import membership_of
from edge.timebase import clock_synced

FIRST_FRAME_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `exit_code` is 0 when it is well."""

    what: str
    says: str
    exit_code: int = EXIT_OK
    is_warning: bool = False


def run(args: argparse.Namespace) -> int:
    """Everything is looked at, whatever else is wrong; the exit code is that of the first fault."""
    # What a camera logs on its way to a fault, the finding says better.
    logging.getLogger("edge").addHandler(logging.NullHandler())
    first = EXIT_OK
    for finding in findings(args):
        first = first or finding.exit_code
        _tell(finding, as_json=args.json)
    if not args.json:
        print("all well" if first == EXIT_OK else "not all is well: see above")
    return first


def findings(args: argparse.Namespace) -> Iterator[Finding]:
    """One after another, as each is found out."""
    try:
        settings = settings_of(args)
    except OstiaryError as error:
        yield Finding("configuration", str(error), error.exit_code)
        return
    if args.camera is not None:
        settings = dataclasses.replace(settings, camera=dataclasses.replace(settings.camera, uri=args.camera))
    config = args.config or find_config()
    yield Finding("configuration", str(config or "none: the defaults are used"))
    looks: dict[str, Callable[[], Finding]] = {
        "runtimes": lambda: Finding("runtimes", _runtimes(), is_warning=not installed_runtimes()),
        **{what: partial(_looked, what, look, settings) for what, look in _LOOKS},
        "secrets": lambda: _of_files("secrets", secrets_of(settings)),
        "files": lambda: _of_files("files", files_of(settings, config)),
        "clock": _clock,
    }
    for what, found in looks.items():
        if args.only is None or what in args.only:
            yield found()


def _looked(what: str, look: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(what, look(settings))
    except OstiaryError as error:
        return Finding(what, str(error), error.exit_code)


def _runtimes() -> str:
    import cv2

    names = ", ".join(installed_runtimes()) or "no TFLite runtime: pip install 'ostiary[litert]'"
    return f"Python {sys.version.split()[0]}, OpenCV {cv2.__version__}, {names}"


def _bundle(settings: Settings) -> str:
    models = load_models(settings)
    manifest = models.bundle.manifest
    name = settings.decide.operating_point
    point = models.bundle.operating_point(name)
    return f"{manifest.bundle_id} in {models.bundle.folder}, {name} {described(point)}{_slots(settings)}"


def _slots(settings: Settings) -> str:
    """How the folder of installed bundles stands; nothing where there is none."""
    if settings.bundle is not None or settings.bundles is None or not settings.bundles.is_dir():
        return ""
    told = standing_text(Slots(BundleStore(settings.bundles)).standing())
    signed = (
        "only signed ones are taken"
        if settings.updates.trust is not None
        else "no signature is asked for (updates.trust)"
    )
    return f"\n{told}\n{signed}"


def described(point: OperatingPoint) -> str:
    """An operating point in words, with how sure it is where the manifest says so."""
    sure = point.confidence_95
    if sure is None:
        return f"at similarity {point.threshold:.3f}, where {point.fnmr:.1%} of genuine comparisons fail"
    (low, high), (least, most) = sure.threshold, sure.fnmr
    at = f"at similarity {point.threshold:.3f} (95 % within {low:.3f} to {high:.3f})"
    return f"{at}, where {point.fnmr:.1%} of genuine comparisons fail ({least:.1%} to {most:.1%})"


def _gallery(settings: Settings) -> str:
    manifest = load_bundle(bundle_folder(settings)).manifest
    path = gallery_file(settings)
    if not path.exists():
        return f"{path}: none yet; nobody is enrolled (ostiary enroll --name NAME PICTURE...)"
    with gallery_of(settings, manifest, create=False) as gallery:
        records = gallery.list_identities()
        index = gallery.load_index()
    sealer = gallery.columns.sealer
    sealed = "not encrypted" if sealer is None else f"encrypted with key {sealer.key_ids[0]}"
    lacking = (
        f", {plural(index.lacking, 'person', 'people')} NOT RECOGNIZED for want of an embedding"
        if index.lacking
        else ""
    )
    damaged = f", {plural(index.refused_rows, 'damaged embedding')} left out" if index.refused_rows else ""
    return f"{path}: {plural(len(records), 'identity', 'identities')}, {plural(len(index), 'embedding')}{damaged}{lacking}; {sealed}"


def _camera(settings: Settings) -> str:
    source = open_source(settings.camera, first_frame_s=FIRST_FRAME_S)
    try:
        frame = source.read()
    finally:
        source.close()
    if frame is None:
        return "ends before its first frame"
    mean = float(frame.image.mean())
    dark = "; it is nearly black: is the lens covered?" if mean < 8 else ""
    return f"{frame.width}x{frame.height}, brightness {mean:.0f} of 255{dark}"


def _broker(settings: Settings) -> str:
    if not settings.mqtt.enabled:
        return "mqtt.enabled is false: events go to the log only"
    probe_broker(settings.mqtt, device=settings.device.name)
    return f"{settings.mqtt.host}: connected with MQTT {settings.mqtt.protocol}"


def _commands(settings: Settings) -> str:
    if not (settings.mqtt.enabled and settings.commands.enabled):
        return "none are taken"
    keys = keys_of(settings)
    unsigned = ", ".join(settings.commands.unsigned) or "nothing"
    return f"{plural(len(keys), 'key')} may sign; without a signature: {unsigned}"


def _groups(settings: Settings) -> str:
    membership = membership_of(settings)
    if membership is None or not settings.mqtt.enabled:
        return "none: nobody is enrolled here from elsewhere"
    told = []
    for group in settings.sync.groups:
        sealed = "can be opened where sealed" if group in membership.sealers else "no secret: nobody who is sealed"
        told.append(f"{group} (published by {', '.join(membership.ring.names(group))}; {sealed})")
    return "; ".join(told)


def _of_files(what: str, found: tuple[str, list[str]]) -> Finding:
    says, wrong = found
    return Finding(what, "\n".join(wrong) or says, is_warning=bool(wrong))


def _clock() -> Finding:
    if clock_synced():
        return Finding("clock", "kept right by a time service")
    says = "nothing keeps it right; events say clock_synced: false (systemctl enable --now systemd-timesyncd)"
    return Finding("clock", says, is_warning=True)


_LOOKS: tuple[tuple[str, Callable[[Settings], str]], ...] = (
    ("bundle", _bundle),
    ("gallery", _gallery),
    ("camera", _camera),
    ("broker", _broker),
    ("commands", _commands),
    ("groups", _groups),
)

_SHOWN = {EXIT_OK: "ok", EXIT_UNAVAILABLE: "away"}


def _tell(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        row = {"what": finding.what, "ok": finding.exit_code == EXIT_OK, "exit_code": finding.exit_code}
        print_json({**row, "warning": finding.is_warning, "says": finding.says})
        return
    word = "note" if finding.is_warning else _SHOWN.get(finding.exit_code, "FAULT")
    text = finding.says.replace("\n", "\n" + " " * 23)
    print(f"{word:<6} {finding.what:<15} {text}")
