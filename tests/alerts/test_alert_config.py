import pytest
from pydantic import ValidationError

from alerts.config import BudgetConfig, ReceiverConfig, RollbackConfig
from alerts.duration import parse_duration
from alerts.rollback import Mode, RollbackRule

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK = {"token": "xoxb-secret", "channel": "C0ONCALL"}
WEBHOOK = {"url": "https://deploys.example.com/hook", "secret": SECRET}


def test_a_rollback_is_a_dry_run_unless_it_says_live():
    assert RollbackConfig(**WEBHOOK).rule() == RollbackRule(Mode.DRY_RUN, 6 * 3600.0)
    live = RollbackConfig(**WEBHOOK, mode="live", cooldown="1h30m")
    assert live.rule() == RollbackRule(Mode.LIVE, 5400.0)


@pytest.mark.parametrize(
    "fields", [{}, {"slack": SLACK, "webhook": WEBHOOK}], ids=["no channel", "two channels"]
)
def test_a_receiver_is_exactly_one_channel(fields):
    with pytest.raises(ValidationError, match="exactly one of: slack, slack_webhook"):
        ReceiverConfig(**fields)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "not base64 at all, but long enough to be one", "whsec_c2hvcnQ=", "whsec_" + "A" * 100],
    ids=["empty", "only the prefix", "no base64", "too short", "too long"],
)
def test_an_unusable_secret_is_refused_without_being_shown(secret):
    with pytest.raises(ValidationError, match="24 to 64 bytes") as refusal:
        RollbackConfig(url=WEBHOOK["url"], secret=secret)
    hidden = secret.removeprefix("whsec_")
    assert not hidden or hidden not in str(refusal.value)


def test_a_secret_may_come_without_its_prefix():
    RollbackConfig(url=WEBHOOK["url"], secret=SECRET.removeprefix("whsec_"))


def test_secrets_do_not_show():
    shown = repr((ReceiverConfig(slack=SLACK), RollbackConfig(**WEBHOOK)))
    assert "xoxb" not in shown
    assert "whsec" not in shown


def test_a_misspelt_key_is_an_error():
    with pytest.raises(ValidationError, match="modus"):
        RollbackConfig(**WEBHOOK, modus="live")


def test_a_budget_is_a_quarter_of_a_page_unless_it_says_otherwise():
    assert BudgetConfig().pages_per_quarter == 0.25
    with pytest.raises(ValidationError):
        BudgetConfig(pages_per_quarter=0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("7d", 604800),
        ("2w", 1209600),
        ("0s", 0),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "m", "1x", "-5s", "5s later", -5, float("nan"), float("inf"), True, None, ["5s"]]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)
