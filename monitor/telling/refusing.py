"""What the alert arm refuses, in the terms of the pages and the API."""

from alerts import AlertError
from alerts.actions import MalformedError, UnknownError
from dashboards.desk import DeskError


def refused(error: AlertError) -> DeskError:
    """The same refusal, with what HTTP has to know of it."""
    return DeskError(
        str(error),
        is_unknown=isinstance(error, UnknownError),
        is_malformed=isinstance(error, MalformedError),
    )
