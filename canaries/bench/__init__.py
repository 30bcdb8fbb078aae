"""A bench: the same prompts to one or several targets under load, and which of them is faster, dearer, steadier.

``plan`` says what is asked when, ``load`` asks it within the ``purse``, ``lines`` are its file, ``measured`` is what is
kept of each answer, ``statistics`` are the intervals and tests, and ``report`` puts the rows together.
"""
