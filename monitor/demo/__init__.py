"""The story that ``anchorwatch demo`` tells: the real daemon, and around it a small world that can be moved.

``language`` and ``voices`` are what the practice model says; ``practice_model`` serves it as an
OpenAI-compatible endpoint. ``fake_slack`` and ``fake_deploy`` play the two systems that Anchorwatch talks to,
``shop`` is the production service whose spans it reads, ``deployment`` holds the configuration, ``story``
joins them up.
"""
