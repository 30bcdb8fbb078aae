"""Silence told apart from health: who is silent, against a rhythm of its own, and what does not get in."""
