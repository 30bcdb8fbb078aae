"""The daemon: configuration, wiring, schedule, database, production traffic, and the two flows from facts to pages.

Exceptions::

    MonitorError
    ├── ConfigError      the configuration cannot be used; holds every problem with its place
    └── DatabaseError    the database cannot be used (held by another daemon, full, too new); says what to do
"""


class MonitorError(Exception):
    """What every error of this package is; the text is for the person at the terminal."""


class DatabaseError(MonitorError):
    """The database cannot be used; the text says why and what to do."""
