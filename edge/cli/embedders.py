"""`ostiary gallery re-embed`, `prune` and `readmit`: the gallery and the bundles of this box."""

from __future__ import annotations

import argparse
import dataclasses

from edge.bundle import load_bundle
from edge.cli.common import plural, print_json, settings_of
from edge.cli.gallery import opened
from edge.errors import EXIT_OK, EXIT_OTHER
from edge.gallery.pruning import needed_embedders
from edge.gallery.pruning import prune as prune_embedders
from edge.gallery.reembedding import REASONS, Done, Plan, Somebody, apply, plan
from edge.reader import bundle_folder, load_models


def run_re_embed(args: argparse.Namespace) -> int:
    """Embeddings for another bundle, from the aligned faces that were kept; exit 4 when somebody would be lost."""
    settings = settings_of(args)
    if args.dry_run:
        return _tell_plan(plan(settings, load_bundle(bundle_folder(settings)).manifest), as_json=args.json)
    return _tell_done(apply(settings, load_models(settings), leave_out=args.leave_out), as_json=args.json)


def _tell_plan(found: Plan, *, as_json: bool) -> int:
    if as_json:
        row = {"embedder_id": found.embedder_id, "template": found.template, "required": found.is_required}
        counts = {"allowed": found.is_allowed, "identities": found.identities, "faces": found.faces}
        print_json({**row, **counts, "people": [dataclasses.asdict(one) for one in found.people]})
        return EXIT_OK
    for one in found.people:
        print(f"  {one.id}  {one.name}: {_said(one)}")
    many = plural(found.identities, "identity", "identities")
    print(
        f"{found.gallery}: {many}; {plural(found.faces, 'face')} of {len(found.again)} would be embedded for {found.embedder_id}"
    )
    if found.lost:
        print(f"{len(found.lost)} would not be recognized with it")
    if not found.is_allowed and found.faces:
        print("updates.re_embed does not allow it")
    return EXIT_OK


def _said(one: Somebody) -> str:
    words = [f"{one.possible} of {plural(one.enrolments, 'picture')} to embed"]
    if one.present:
        words.append(f"{one.present} done")
    if one.reason is not None:
        words.append(REASONS[one.reason])
    if one.is_lost:
        words.append("WOULD NOT BE RECOGNIZED")
    return ", ".join(words)


def _tell_done(done: Done, *, as_json: bool) -> int:
    if as_json:
        left_out = [dataclasses.asdict(one) for one in done.left_out]
        row = {"embedder_id": done.embedder_id, "embeddings": done.embeddings, "identities": done.identities}
        print_json({**row, "left_out": left_out})
        return EXIT_OK
    many = plural(done.identities, "identity", "identities")
    print(f"{plural(done.embeddings, 'embedding')} of {done.embedder_id} made, of {many}")
    for one in done.left_out:
        print(f"  left out: {one.id}  {one.name}: {REASONS[one.reason] if one.reason else 'not embedded'}")
    return EXIT_OK


def run_prune(args: argparse.Namespace) -> int:
    """Take away embeddings of embedders that neither the bundle in use nor the one before it has."""
    settings = settings_of(args)
    keep = needed_embedders(settings)
    done = prune_embedders(settings, keep, dry_run=args.dry_run)
    if args.json:
        row = {"dry_run": args.dry_run, "kept": sorted(keep), "removed": done.removed, "left": done.left}
        print_json({**row, "scrubbed": done.is_scrubbed})
        return EXIT_OK if done.is_scrubbed else EXIT_OTHER
    would = "would be " if args.dry_run else ""
    for name, count in done.removed.items():
        print(f"{would}erased: {plural(count, 'embedding')} of {name}")
    for name, count in done.left.items():
        print(f"left: {plural(count, 'embedding')} of {name}, all that is known of those pictures")
    if not done.removed:
        print(f"nothing to erase: {', '.join(sorted(keep))} needed")
    if not done.is_scrubbed:
        print(
            "not finished: something was reading the file, or the disk is full; `ostiary gallery retain` does the rest"
        )
    return EXIT_OK if done.is_scrubbed else EXIT_OTHER


def run_readmit(args: argparse.Namespace) -> int:
    """Take somebody who was erased here from the group again."""
    with opened(args) as gallery:
        ended = gallery.readmit(args.id)
    for one in ended:
        if args.json:
            print_json({"id": one.identity_id, "group": one.origin})
        else:
            print(
                f"{one.identity_id} is taken from the group {one.origin} again (restart the daemon: it asks the broker anew)"
            )
    return EXIT_OK
