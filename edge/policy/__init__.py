"""Who of those recognized may enter: where, when and in whose company.

Settings are checked with `edge.policy.schedule`, so that module imports none of ours, and this one nothing at all.
"""
