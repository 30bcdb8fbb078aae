"""Every call counted once: which reports are of one call.

``groups`` joins those that are there at once, in the degrees of ``pairing``, by what is alike (``likeness``), to one
call (``uniting``). ``recent`` does so for those that come in several requests.
"""
