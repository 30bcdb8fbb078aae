"""Production traffic: spans in, minute windows and judgements of them out.

span > call > window > watch > finding. ``receiving`` takes requests, ``otlp`` reads their bytes, ``lookout`` finds the
calls in them as ``dialects`` say, ``checks`` look at answers. ``intake`` makes it durable: ``joining`` counts each
call once, ``pricing`` says what it cost, ``counting`` and ``entries`` write it down, ``windows`` add it up, and
``roll_ups`` keep it for long; ``repeats`` knows requests that come again. ``watches``, ``tails`` and ``silence`` judge.
``decoding`` does the first half for recorded spans.
The text of prompts and answers is never kept. The exceptions::

    TrafficError
    ├── OtlpError      a body is not an OTLP trace export; sending it again cannot help
    │   └── OversizeError  it holds too much; smaller batches are taken
    ├── RefusedError   a request is not taken; ``status`` says why, and sending it again cannot help
    ├── OverloadError  too much at once; ``retry_after_s`` says when to come back
    ├── StoreError     the calls could not be stored and were not accepted; ``retry_after_s`` as above
    └── UnknownSenderError  a token is needed, and was not shown (in ``receiving.senders``)
"""

from .. import MonitorError


class TrafficError(MonitorError):
    """What every error of this package is."""


class OtlpError(TrafficError):
    """A body is not an OTLP trace export request; the text says where it stops making sense."""


class OversizeError(OtlpError):
    """A request holds more than one request may; nothing of it was kept."""


class RefusedError(TrafficError):
    """The request is not taken; ``status`` is the HTTP status that says why. Sending it again cannot help."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class OverloadError(TrafficError):
    """More than the daemon takes at once; nothing of the request was kept."""

    def __init__(self, text: str, retry_after_s: int = 5) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class StoreError(TrafficError):
    """The calls could not be stored, so they were not accepted."""

    def __init__(self, text: str, retry_after_s: int = 15) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
