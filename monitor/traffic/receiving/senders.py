"""Who may send traces: whoever shows the token, where one is set."""

import base64
import binascii
import hmac

from pydantic import SecretStr

from .. import TrafficError

HOW = "send the header Authorization: Bearer TOKEN"


class UnknownSenderError(TrafficError):
    """The sender has not shown the token; the text says what is missing, and never what was sent."""


class Senders:
    """Knows those who may send."""

    def __init__(self, token: SecretStr | None) -> None:
        """Everybody may send who shows ``token``; without one everybody may."""
        self._token = token.get_secret_value().encode() if token else None

    def check(self, authorization: str | None) -> None:
        """Raise UnknownSenderError unless this ``Authorization`` shows the token."""
        if self._token is None:
            return
        if not authorization:
            raise UnknownSenderError(f"a token is needed here: {HOW}")
        shown = _token_in(authorization)
        if shown is None:
            raise UnknownSenderError(f"the header Authorization holds no token: {HOW}")
        # In constant time: how long it takes must not tell how much of a guess is right.
        if not hmac.compare_digest(shown, self._token):
            raise UnknownSenderError("the token is not the right one")


def _token_in(authorization: str) -> bytes | None:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode()
    if scheme.lower() != "basic":
        return None
    # Langfuse's SDKs send a public and a secret key as user and password: the token is the secret key.
    try:
        _, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return password if colon else None
