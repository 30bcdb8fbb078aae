"""Bodies of requests that come from outside, read up to a limit and no further."""

from fastapi import HTTPException, Request, status


async def limited_body(request: Request, bytes_max: int, refusal: str) -> bytes:
    """The body as it came. Raises HTTPException with ``refusal`` when it is larger."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > bytes_max:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, refusal)
    return bytes(body)
