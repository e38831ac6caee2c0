"""Verbs about those who are enrolled."""

from __future__ import annotations

from typing import Any

from edge.commands import arguments
from edge.commands.request import Request
from edge.commands.work import Result, Work
from edge.config.settings import Policy
from edge.errors import UsageError
from edge.gallery import Gallery, IdentityRecord, parse_moment
from edge.timebase import rfc3339


def rename(work: Work, request: Request) -> Result:
    """The id stays."""
    asked: arguments.Rename = request.arguments
    with work.changing(request) as gallery:
        identity_id = gallery.get(asked.who).id
        gallery.rename(identity_id, asked.name)
        return _shown(gallery, identity_id)


def enable(work: Work, request: Request) -> Result:
    """Recognized again."""
    return _set_enabled(work, request, enabled=True)


def disable(work: Work, request: Request) -> Result:
    """Kept, but not recognized."""
    return _set_enabled(work, request, enabled=False)


def _set_enabled(work: Work, request: Request, *, enabled: bool) -> Result:
    asked: arguments.Somebody = request.arguments
    with work.changing(request) as gallery:
        identity_id = gallery.get(asked.who).id
        gallery.set_enabled(identity_id, enabled=enabled)
        return _shown(gallery, identity_id)


def access(work: Work, request: Request) -> Result:
    """What limits somebody; what the command leaves out stays."""
    asked: arguments.Access = request.arguments
    with work.changing(request) as gallery:
        known = gallery.get(asked.who)
        if not limit(gallery, known, asked, work.settings.policy):
            raise UsageError("nothing to change", expected="groups, zones, schedule, valid_from or valid_until")
        return _shown(gallery, known.id)


def limit(gallery: Gallery, known: IdentityRecord, asked: arguments.Limits, policy: Policy) -> bool:
    """Write the limits that are asked for; whether there were any. UsageError before anything is written."""
    check_groups(asked.groups, policy)
    begin = moment(asked.valid_from, known.valid_from)
    end = moment(asked.valid_until, known.valid_until)
    has_access = not (asked.groups is None and asked.zones is None and asked.schedule is None)
    has_validity = not (asked.valid_from is None and asked.valid_until is None)
    if has_access:
        gallery.set_access(known.id, groups=asked.groups, zones=asked.zones, schedule=asked.schedule)
    if has_validity:
        gallery.set_validity(known.id, valid_from=begin, valid_until=end)
    return has_access or has_validity


def check_groups(groups: tuple[str, ...] | None, policy: Policy) -> None:
    """A group that this door does not know lets nobody in, which is hardly what was meant."""
    for name in groups or ():
        if name not in policy.groups:
            known = ", ".join(policy.groups) or "none: policy.groups has none"
            raise UsageError(f"no group {name!r}", expected=f"one of {known}")


def moment(text: str | None, before: float | None) -> float | None:
    """Unix seconds; None for no limit. None leaves what was, an empty text takes it away."""
    if text is None:
        return before
    return parse_moment(text) if text else None


def remove(work: Work, request: Request) -> Result:
    """Erased, and told what was."""
    asked: arguments.Somebody = request.arguments
    with work.changing(request) as gallery:
        erased = gallery.remove(asked.who)
        return {
            "id": erased.identity.id,
            "name": erased.identity.name,
            "embeddings": erased.embeddings,
            "faces": erased.faces,
            "is_scrubbed": erased.is_scrubbed,
            "revision": gallery.revision,
        }


def list_people(work: Work, request: Request) -> Result:
    """By name; notes stay on the box."""
    asked: arguments.List = request.arguments
    with work.changing(request) as gallery:
        everybody = gallery.list_identities()
        page = everybody[asked.offset : asked.offset + asked.limit]
        return {
            "total": len(everybody),
            "offset": asked.offset,
            "identities": [described(record) for record in page],
            "revision": gallery.revision,
        }


def described(record: IdentityRecord) -> dict[str, Any]:
    """One identity as replies have it: without note and consent, which are nobody's business on a broker."""
    return {
        "id": record.id,
        "name": record.name,
        "enabled": record.enabled,
        "valid_from": None if record.valid_from is None else rfc3339(record.valid_from),
        "valid_until": None if record.valid_until is None else rfc3339(record.valid_until),
        "groups": list(record.groups),
        "zones": list(record.zones),
        "schedule": record.schedule,
        "embeddings": record.embeddings,
        "faces": record.faces,
    }


def _shown(gallery: Gallery, identity_id: str) -> Result:
    return {"id": identity_id, "identity": described(gallery.get(identity_id)), "revision": gallery.revision}
