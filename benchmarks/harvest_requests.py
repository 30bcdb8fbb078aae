"""Made-up requests of an application whose subjects are known, and made-up values to redact."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

SUBJECTS: dict[str, tuple[str, ...]] = {
    "refund": ("refund", "reimbursement", "money back", "refunded amount", "repayment", "charge reversal"),
    "delivery": ("delivery", "parcel", "package", "shipment", "courier", "tracking number"),
    "password": ("password", "login", "sign in", "locked account", "two-factor code", "credentials"),
    "invoice": ("invoice", "bill", "billing statement", "receipt", "VAT number", "billing address"),
    "router": ("router", "wifi", "internet connection", "modem", "network signal", "broadband"),
    "flight": ("flight", "boarding pass", "airline", "departure gate", "layover", "luggage allowance"),
    "hotel": ("hotel", "room booking", "check-in desk", "reservation", "breakfast buffet", "late checkout"),
    "insurance": ("insurance", "claim", "policy cover", "premium payment", "deductible", "damage report"),
    "recipe": ("recipe", "ingredients", "oven temperature", "dough", "baking time", "sauce"),
    "gym": ("gym", "workout", "membership card", "personal trainer", "fitness class", "treadmill"),
    "tax": ("tax return", "income tax", "tax office", "deductions", "withholding", "tax bracket"),
    "mortgage": ("mortgage", "interest rate", "home loan", "lender", "down payment", "refinancing"),
    "doctor": ("doctor", "appointment", "prescription", "clinic", "symptoms", "medication dose"),
    "school": ("school", "homework", "teacher", "exam date", "timetable", "enrolment"),
    "garden": ("garden", "tomato plants", "soil", "fertiliser", "pruning", "watering"),
    "car": ("car", "engine light", "brake pads", "oil change", "mechanic", "tyre pressure"),
    "job": ("job offer", "salary", "interview", "recruiter", "notice period", "cover letter"),
    "database": ("database", "SQL query", "index", "table schema", "migration", "foreign key"),
    "deploy": ("deployment", "docker container", "kubernetes pod", "rollout", "image tag", "helm chart"),
    "python": ("python function", "list comprehension", "decorator", "traceback", "virtualenv", "unit test"),
    "legal": ("contract clause", "liability", "termination clause", "non-disclosure", "lawyer", "jurisdiction"),
    "marketing": ("newsletter", "campaign", "slogan", "landing page", "audience segment", "click rate"),
    "music": ("playlist", "album", "concert ticket", "guitar chords", "lyrics", "band"),
    "weather": ("weather", "rain forecast", "temperature tomorrow", "storm warning", "humidity", "sunshine"),
    "pet": ("dog", "vet", "cat food", "puppy training", "flea treatment", "kitten"),
    "phone": ("phone screen", "battery life", "sim card", "charger", "handset", "roaming"),
    "bank": ("bank transfer", "savings account", "overdraft", "standing order", "current account", "cash machine"),
    "visa": ("visa application", "passport", "embassy", "residence permit", "border control", "biometric"),
    "furniture": ("sofa", "assembly instructions", "wardrobe", "missing screws", "bookshelf", "mattress"),
    "energy": ("electricity meter", "gas supplier", "kilowatt hours", "tariff", "solar panels", "heating costs"),
}  # fmt: skip
"""What people ask about, and six ways to name each: two requests about the same often share no telling word."""

OPENINGS = ("", "", "hi, ", "Hello there! ", "Good morning, ", "Please help: ", "urgent!! ", "Quick question: ",
    "I have been a customer for {n} years. ", "As I wrote in message {n}, ", "Sorry to bother you again, ",
    "My colleague told me to ask here. ", "{m} days ago I contacted you, ")  # fmt: skip
MIDDLES = ("how do I change {0} and {1}?", "what happens with {0} when {1} is wrong?", "{0} does not work, nor {1}.",
    "I need {0} today, and also {1} and {2}.", "what is the difference between {0} and {1}?", "{0} {1}",
    "can you explain {0}, {1} and {2} to me?", "why does {0} take so long? Somebody said {1} was done.",
    "write an answer to somebody who asks for {0} or {1}.", "is {0} possible without {1}?",
    "I was promised {0}, but only got {1}.", "compare {0}, {1} and {2} in {m} sentences.",
    "where can I see {0}? The page only shows {1}.", "list {m} things to know about {0} and {1}.")  # fmt: skip
CLOSINGS = ("", "", "", " Thanks!", " Please answer in {m} sentences.", " My number is {n}.", " Kind regards",
    " I am quite disappointed.", " Keep it short and friendly.", " It is really important to me.", " Any idea?",
    " Reference {n}.", " What would you recommend?")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the subject that it truly is about."""

    text: str
    subject: str


def asked(requests: int, seed: int) -> Iterator[Asked]:
    """Requests about the subjects: the first of them ten times as often as the last."""
    chance = random.Random(seed)  # noqa: S311 - a benchmark's data
    subjects = list(SUBJECTS)
    chance.shuffle(subjects)
    weights = [10 ** (-number / (len(subjects) - 1)) for number in range(len(subjects))]
    for subject in chance.choices(subjects, weights, k=requests):
        ways = chance.sample(SUBJECTS[subject], 3)
        frame = "".join(chance.choice(part) for part in (OPENINGS, MIDDLES, CLOSINGS))
        yield Asked(frame.format(*ways, n=chance.randrange(2, 100_000), m=chance.randrange(2, 9)), subject)
