"""Trains a face detector with YuNet's outputs by teaching it every map that YuNet makes of the very view it sees."""
