"""What a person sees: pages, the JSON API, and the Grafana files. Nothing here imports ``monitor``.

Exceptions::

    DashboardError
    └── StatusError     the status cannot be read now (a locked or broken database); the text says why
"""


class DashboardError(Exception):
    """What every error of this package is; the text is for the person at the screen."""


class StatusError(DashboardError):
    """The status cannot be read now. The page and the API answer 503 with this text."""
