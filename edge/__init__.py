"""Ostiary's device side: frames in, decisions out. Importing it loads no model, camera or network library."""

__version__ = "0.1.0"
