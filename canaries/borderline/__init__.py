"""Borderline canaries: short questions whose first token is a near tie for a target, so that little moves it.

``prompts`` are the candidates, ``ties`` says what some answers tell of them, ``search`` asks, and ``suite_text`` writes
what was found into a suite.
"""
