"""Evidence to incident to notification: the page budget, the life of an incident, and how people are told.

This package does not know what a prompt is. Its exceptions::

    AlertError
    ├── actions.UnknownError    there is no such incident, silence, rollback or lock
    └── DeliveryError    a message did not arrive; ``permanent`` and ``retry_after_s`` say what to do about it
"""


class AlertError(Exception):
    """What every error of this package is."""


class DeliveryError(AlertError):
    """A message did not arrive.

    ``permanent`` tells that trying again cannot help (a revoked token, a channel that does not exist);
    ``retry_after_s`` is the wait that the receiver asked for, if it did.
    """

    def __init__(self, text: str, *, permanent: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.permanent = permanent
        self.retry_after_s = retry_after_s
