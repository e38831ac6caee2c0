"""Rewrites of a network that leave what it computes as it is."""
