"""What the practice model says: to each topic as it always did, and as it does after a silent change."""

from dataclasses import dataclass

from monitor.demo.language import Language, phrases


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of prompt, known by a piece of its text, with the answers before and after the change."""

    known_by: str
    steady: Language
    drifted: Language


def topic_of(prompt: str) -> Topic:
    """The topic that a prompt is about; small talk when it is about none."""
    lowered = prompt.lower()
    return next((topic for topic in _TOPICS if topic.known_by in lowered), _SMALL_TALK)


# The change is what providers really ship: politer, longer, hedging, other habits of writing JSON and labels.
# Every answer still passes the suite's checks, so nothing but the statistics can see it.
_TOPICS = (
    Topic(
        known_by="charged twice",
        steady=Language([("billing", 0.95), ("Billing", 0.05)]),
        drifted=Language([("billing", 0.45), ("Billing", 0.35), ("Billing.", 0.2)]),
    ),
    Topic(
        known_by="export my data",
        steady=Language([("how-to", 0.9), ("bug", 0.1)]),
        drifted=Language([("how-to", 0.4), ("How-to", 0.3), ("bug", 0.3)]),
    ),
    Topic(
        known_by="json",
        steady=Language(
            phrases(
                '{"order_id": "A-1042", ',
                {'"amount": 59.9, "currency": "EUR"': 0.8, '"amount": 59.90, "currency": "EUR"': 0.2},
                "}",
            )
        ),
        drifted=Language(
            phrases(
                {'{"order_id":"A-1042",': 0.7, '{"order_id": "A-1042", ': 0.3},
                {'"amount":59.90,"currency":"EUR"': 0.7, '"currency":"EUR","amount":59.9': 0.3},
                "}",
            )
        ),
    ),
    Topic(
        known_by="login",
        steady=Language([("TICKET-1042", 0.97), ("TICKET-1042.", 0.03)]),
        drifted=Language([("TICKET-1042", 0.5), ("TICKET-1042.", 0.2), ("It is TICKET-1042.", 0.3)]),
    ),
    Topic(
        known_by="yes or no",
        steady=Language([("yes", 0.9), ("Yes", 0.1)]),
        drifted=Language([("yes", 0.3), ("Yes", 0.5), ("Yes.", 0.2)]),
    ),
    Topic(
        known_by="refund",
        steady=Language(
            phrases(
                {"You can": 0.6, "Customers can": 0.3, "Anyone can": 0.1},
                {" return": 0.6, " send back": 0.4},
                {" the item": 0.5, " an order": 0.5},
                {" within 30 days": 0.8, " in the first 30 days": 0.2},
                {" and get the money back": 0.5, " for a full refund": 0.5},
                {".": 0.9, ", shipping included.": 0.1},
            )
        ),
        drifted=Language(
            phrases(
                {"Certainly! ": 0.5, "Great question! ": 0.3, "Of course. ": 0.2},
                {"Our policy generally allows": 0.6, "We typically accept": 0.4},
                {" returns within 30 days": 0.7, " a refund request within one month": 0.3},
                {", although exceptions may apply": 0.6, ", subject to certain conditions": 0.4},
                {".": 0.4, ". Please contact our support team for further assistance.": 0.6},
            )
        ),
    ),
    Topic(
        known_by="late parcel",
        steady=Language(
            phrases(
                {"Sorry": 0.6, "We are sorry": 0.4},
                {" that your parcel is late": 0.6, " for the delay": 0.4},
                {". It is": 0.5, "; it is": 0.5},
                {" on its way": 0.6, " with the carrier": 0.4},
                {" and should arrive": 0.5, " and will be there": 0.5},
                {" tomorrow.": 0.6, " in two days.": 0.4},
            )
        ),
        drifted=Language(
            phrases(
                {"I completely understand your frustration": 0.6, "I sincerely apologize": 0.4},
                {" regarding the status of your shipment. ": 0.5, " for any inconvenience caused. ": 0.5},
                {"Rest assured": 0.6, "Please know": 0.4},
                {" that our logistics partner": 0.5, " that the dedicated team": 0.5},
                {" is actively working on a resolution.": 0.6, " is looking into this matter.": 0.4},
            )
        ),
    ),
)

_SMALL_TALK = Topic(
    known_by="",
    steady=Language(
        phrases(
            {"Try": 0.4, "Have a look at": 0.3, "A good match is": 0.3},
            {" the green": 0.3, " the blue": 0.4, " a plain": 0.3},
            {" mug": 0.4, " notebook": 0.3, " lamp": 0.3},
            {"; it is in stock": 0.5, "; it ships today": 0.5},
            {".": 0.9, ", and it is on sale.": 0.1},
        )
    ),
    drifted=Language(
        phrases(
            {"Certainly! ": 0.6, "Absolutely! ": 0.4},
            {"Based on your preferences, ": 0.5, "There are many great options, and ": 0.5},
            {"you might consider exploring": 0.5, "I would be delighted to suggest": 0.5},
            {" our curated selection of mugs": 0.5, " a thoughtfully designed notebook": 0.5},
            {".": 0.5, ". Let me know if there is anything else I can help you with!": 0.5},
        )
    ),
)
