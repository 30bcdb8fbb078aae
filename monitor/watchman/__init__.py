"""Findings about the watch itself: what keeps it from watching, or from telling, goes the way of every other finding.

What is looked at is gathered in ``looking`` and judged in ``judging``; ``events`` are over when they are noticed.
"""
