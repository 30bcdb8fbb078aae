"""Made-up requests of an application whose subjects are known, and made-up values to redact."""

import random
import string
from collections.abc import Callable, Iterator, Mapping
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


@dataclass(frozen=True, slots=True)
class Written:
    """A text with one value in it; ``kind`` is "" where it only looks like something to redact."""

    text: str
    value: str
    kind: str


NAMES = ("anna", "b.jones", "carla_2", "d-smith", "eve", "frank.o", "gita", "h.mueller", "ines", "jo")
HOSTS = ("example.org", "mail.example.com", "firm.example", "post.example.co.uk", "uni-x.example.edu")
TEXTS = (
    "Please note {}.",
    "{} is what I have",
    "it is {}, I think",
    "({})",
    "see: {}!",
    "my colleague said {} today",
)


def written(number: int, seed: int) -> Iterator[Written]:
    """Values of every kind, and as many that look like them and are none, each in a sentence."""
    chance = random.Random(seed)  # noqa: S311 - a benchmark's data
    for _ in range(number):
        for kind, make in (*VALUES.items(), *((f"-{name}", make) for name, make in DECOYS.items())):
            value = make(chance)
            yield Written(chance.choice(TEXTS).format(value), value, "" if kind.startswith("-") else kind)


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.digits, k=count))


def _letters(chance: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(chance.choices(alphabet, k=count))


def _luhn(body: str) -> str:
    """The number with its check digit."""
    total = sum(
        sum(map(int, str(int(d) * (2 if place % 2 == 0 else 1)))) for place, d in enumerate(reversed(body))
    )
    return body + str(-total % 10)


def _card(chance: random.Random) -> str:
    number = _luhn((chance.choice(("4", "51", "55", "2221")) + _digits(chance, 15))[:15])
    gap = chance.choice(("", " ", "-"))
    return gap.join(number[start : start + 4] for start in range(0, 16, 4))


def _iban(chance: random.Random) -> str:
    country, length = chance.choice((("DE", 18), ("AT", 16), ("ES", 20), ("FR", 23), ("PL", 24)))
    body = _digits(chance, length)
    check = 98 - int(body + "".join(str(ord(one) - 55) for one in country) + "00") % 97
    number = f"{country}{check:02d}{body}"
    return number if chance.random() < 0.5 else " ".join(number[n : n + 4] for n in range(0, len(number), 4))


def _phone(chance: random.Random) -> str:
    d = chance.randrange
    return chance.choice(
        (
            f"+49 {d(151, 180)} {d(10**6, 10**7)}", f"+1 {d(201, 990)} {d(200, 999)} {d(1000, 9999)}",
            f"({d(201, 990)}) {d(200, 999)}-{d(1000, 9999)}", f"0{d(151, 180)}/{d(10**6, 10**7)}",
            f"+44 20 {d(1000, 9999)} {d(1000, 9999)}", f"0{d(1, 6)} " + " ".join(f"{d(10, 99)}" for _ in range(4)),
            f"+33{d(1, 8)}{d(10**7, 10**8)}", f"{d(201, 990)}.{d(200, 999)}.{d(1000, 9999)}",
            f"0049 {d(30, 90)} {d(10**5, 10**7)}", f"+91-{d(70000, 99999)}-{d(10000, 99999)}",
        )
    )  # fmt: skip


def _national(chance: random.Random) -> str:
    """An American, a Spanish or a Swedish number."""
    d = chance.randrange
    number = d(10**7, 10**8)
    born = _luhn(f"{d(50, 99)}{d(1, 13):02d}{d(1, 29):02d}{d(100, 999)}")
    return chance.choice(
        (
            f"{d(1, 660):03d}-{d(1, 99):02d}-{d(1, 9999):04d}",
            f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}",
            f"{born[:6]}-{born[6:]}",
        )
    )


VALUES: Mapping[str, Callable[[random.Random], str]] = {
    "email": lambda c: f"{c.choice(NAMES)}@{c.choice(HOSTS)}",
    "phone": _phone,
    "ip": lambda c: ".".join(str(c.randrange(1, 255)) for _ in range(4)),
    "card": _card,
    "iban": _iban,
    "key": lambda c: (
        c.choice(("sk-proj-", "ghp_", "sk-ant-api03-", "glpat-", "hf_", "AIza")) + _letters(c, 36)
    ),
    "token": lambda c: f"eyJ{_letters(c, 20)}.eyJ{_letters(c, 40)}.{_letters(c, 43)}",
    "credentials": lambda c: f"https://{c.choice(NAMES)}:{_letters(c, 10)}@{c.choice(HOSTS)}/x",
    "secret": lambda c: f"{c.choice(('password: ', 'api_key=', 'token = ', 'Passwort: '))}{_letters(c, 9)}4z",
    "national-id": _national,
}
"""Values that are to be found, each in the ways in which people write it."""

DECOYS: Mapping[str, Callable[[random.Random], str]] = {
    "order": lambda c: f"order {_digits(c, c.randrange(5, 13))}",
    "date": lambda c: f"{c.randrange(1990, 2030)}-{c.randrange(1, 13):02d}-{c.randrange(1, 29):02d}",
    "dotted date": lambda c: f"{c.randrange(1, 29):02d}.{c.randrange(1, 13):02d}.{c.randrange(1990, 2030)}",
    "moment": lambda c: f"{c.randrange(1_600_000_000, 1_800_000_000)}",
    "price": lambda c: f"{c.randrange(1, 999)},{_digits(c, 3)}.{_digits(c, 2)} EUR",
    "version": lambda c: f"version {c.randrange(9)}.{c.randrange(20)}.{c.randrange(20)}.{c.randrange(20)}",
    "uuid": lambda c: "-".join(_letters(c, n, "0123456789abcdef") for n in (8, 4, 4, 4, 12)),
    "tracking": lambda c: (
        f"tracking {_letters(c, 2, string.ascii_uppercase)}{_digits(c, 9)}{_letters(c, 2, 'DEGB')}"
    ),
    "sixteen digits": lambda c: f"reference {_digits(c, 16)}",
    "number": lambda c: f"{c.random() * 1e6:.6f}",
    "range": lambda c: f"{c.randrange(100, 999)}-{c.randrange(1000, 9999)}",
    "identifier": lambda c: "_".join(c.choice(list(SUBJECTS)) for _ in range(6)),
    "handle": lambda c: f"@{c.choice(NAMES)} on slack",
    "commit": lambda c: f"commit {_letters(c, 7, '0123456789abcdef')}",
    "talk of secrets": lambda c: c.choice(
        ("the token is valid", "password reset", "the API key page is empty")
    ),
}
"""Values that look like one of them, and are none."""
