"""Which incidents explain which findings away: what is known of all arms together."""

from alerts.finding import Source
from alerts.inhibition import ANY, InhibitRule, matching
from canaries.proofs import ProofKind

SILENCE = "silence"
"""The label that tells a finding of silence, and which kind it is."""

EXTENT = "extent"
"""The label that tells how much of the traffic is refused."""

NO_TRAFFIC, SERVICE, INGEST, SPANS = "no_traffic", "service", "ingest", "spans"
"""The kinds of silence: nothing comes at all, one service is silent, requests are refused, spans are lost."""

BROKEN, PARTLY = "broken", "partly"
"""How much is refused: most of it, or some."""

_INGEST_BROKEN = matching(**{SILENCE: INGEST, EXTENT: BROKEN})
_NO_TRAFFIC = matching(**{SILENCE: NO_TRAFFIC})
_A_SERVICE = matching(**{SILENCE: SERVICE})
_A_WATCH = matching(watch=ANY)
_A_WATCH_OF_ONE_SERVICE = matching(watch=ANY, service=ANY)
_ENDPOINT_DOWN = matching(proof=ProofKind.ENDPOINT_DOWN.value)

RULES = (
    InhibitRule(_INGEST_BROKEN, _A_WATCH),
    InhibitRule(_INGEST_BROKEN, matching(**{SILENCE: (NO_TRAFFIC, SERVICE, SPANS)})),
    InhibitRule(_NO_TRAFFIC, _A_SERVICE),
    InhibitRule(_NO_TRAFFIC, _A_WATCH_OF_ONE_SERVICE),
    InhibitRule(_A_SERVICE, _A_WATCH_OF_ONE_SERVICE, equal=("service",)),
    # An endpoint that does not answer is no model that has changed. What proves who answered stays.
    InhibitRule(_ENDPOINT_DOWN, matching(source=Source.LEDGER.value), equal=("target",)),
    InhibitRule(_ENDPOINT_DOWN, matching(proof=ProofKind.VALIDATOR.value), equal=("target",)),
)
"""The rules of every deployment."""
