"""Minutes of calls of one series, as counts and histograms that can be added up and taken back.

``window`` is one; a ``window_book`` counts into many, one by one or, as ``rows`` on a ``heap``, by the thousand.
"""
