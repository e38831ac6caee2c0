"""Anything that computes a network, behind one interface."""
