"""Pictures in Slack: a file in the thread of a message."""

from slack_sdk.web.async_client import AsyncWebClient

from ..config import SlackConfig
from ..message import Picture, Thread
from .slack import CALL_TIMEOUT_S, PERMANENT, answer_of

FILE_NAME = "what-moved.png"

_SCOPE = "give the app the scope files:write and install it again, or set picture: false for the receiver"
REFUSALS = {**PERMANENT, "missing_scope": _SCOPE, "no_permission": _SCOPE}
"""As for messages, but for the scope that is needed."""


class SlackPictures:
    """The way of pictures to one channel."""

    def __init__(self, config: SlackConfig) -> None:
        # No retries in here: a file that is posted again would be there twice, as nothing tells the two apart.
        self._client = AsyncWebClient(
            token=config.token.get_secret_value(),
            base_url=config.base_url,
            timeout=CALL_TIMEOUT_S,
            retry_handlers=[],
        )

    async def add(self, picture: Picture, thread: Thread) -> None:
        """Post the picture as a reply, which takes three calls. Raises DeliveryError when Slack does not take it."""
        upload = self._client.files_upload_v2(
            content=picture.png,
            filename=FILE_NAME,
            title=picture.title,
            alt_txt=picture.title,
            channel=thread.channel,
            thread_ts=thread.message,
        )
        await answer_of(upload, "picture", REFUSALS)
