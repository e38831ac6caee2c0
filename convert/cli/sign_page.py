"""What `ostiary-convert sign show` prints for a person."""

from __future__ import annotations

from typing import Any

from convert.cli.table import facts, table

SHORT = 12
"""So much of an id tells keys apart."""


def page(data: dict[str, Any]) -> str:
    """For a terminal."""
    parts = [_roles(data), _bundles(data)]
    notes = [
        f"withdrawn: {row['bundle_id']}, version {row['version']}  {row['reason']}".rstrip()
        for row in data["withdrawn"]
    ]
    notes += [f"{role} waits for signatures: ostiary-convert sign approve" for role in data["waits_for_signatures"]]
    if not data["published"]:
        notes.append("newest bundles not published yet: ostiary-convert sign refresh")
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def _roles(data: dict[str, Any]) -> str:
    rows = [
        {
            "role": role, "version": str(one["version"]),
            "expires": f"{one['expires'][:10]}" + (" EXPIRED" if one["expired"] else f" ({one['days_left']} days)"),
            "needs": f"{one['threshold']} of {len(one['keys'])}",
            "keys": " ".join(key[:SHORT] for key in one["keys"]),
        }
        for role, one in data["roles"].items()
    ]  # fmt: skip
    return table(rows, left=("role", "expires", "keys"))


def _bundles(data: dict[str, Any]) -> str:
    if not data["bundles"]:
        return facts([("bundles", "none")], indent="  ")
    rows = [
        {
            "bundle": one["bundle_id"], "version": str(one["version"]), "MB": f"{one['bytes'] / 1e6:.1f}",
            "devices": " ".join(one["devices"]) or "all", "machines": " ".join(one["machines"]) or "all",
        }
        for one in data["bundles"]
    ]  # fmt: skip
    return table(rows, left=("bundle", "devices", "machines"))
