"""The gate of a release: may this candidate take the place of what runs now?

``config`` holds what is asked of it, ``rules`` looks for broken expectations, ``statistics`` judges a comparison,
``limits`` measures times and dollars, and ``judging`` joins them to a verdict (``results``). ``words``, ``markdown``,
``junit`` and ``plain`` tell it to people and machines. Import from those: the suite reads ``config``, and is itself
read by the others.
"""
