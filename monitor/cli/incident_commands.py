"""``alerts ack``, ``alerts mark``, ``alerts explain`` and ``alerts route``: what people do about incidents, and ask."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .options import (
    HERE,
    ConfigOption,
    DataOption,
    JsonOption,
    deployment_at,
    existing_database,
    plain_console,
)

if TYPE_CHECKING:
    from alerts.explain import Explanation
    from alerts.incident import Incident

IncidentArgument = Annotated[
    str, typer.Argument(help="Its id, or its key: then the latest incident of that key.")
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who you are. [default: your login name]")]


class Judgement(StrEnum):
    """What a person says of a page afterwards."""

    TRUE = "true"
    FALSE = "false"


class SeverityName(StrEnum):
    """How loud something is."""

    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


class SourceName(StrEnum):
    """Which arm found it."""

    LEDGER = "ledger"
    PROOF = "proof"
    WATCH = "watch"
    SELF_CHECK = "self_check"


def add_to(app: typer.Typer) -> None:
    """Put these commands below ``alerts``."""
    app.command("ack")(acknowledge)
    app.command()(mark)
    app.command()(explain)
    app.command()(route)


def whoami(by: str | None) -> str:
    """The name that was given, or the login name."""
    import getpass

    return by if by is not None else getpass.getuser()


def acknowledge(incident: IncidentArgument, by: ByOption = None, data: DataOption = HERE) -> None:
    """Say that you see to an incident: no repeats and no escalation, until it is over or gets worse.

    Example: anchorwatch alerts ack drift/support-bot --by ada
    """
    from alerts import actions
    from alerts.incident import Reason
    from canaries.clock import SystemClock

    now = SystemClock().now()
    with existing_database(data) as database:
        done = database.write(lambda session: actions.acknowledge(session, incident, whoami(by), now))
    found = done.incident
    name = f"{found.key} (incident {found.id})" if found else incident
    if done.reason is Reason.NOT_FIRING:
        state = found.state.value if found else "unknown"
        raise MonitorError(f"{name} is {state}: {done.reason.value}")
    typer.echo(f"{name}: acknowledged by {found.acknowledged_by if found else ''}; {done.reason.value}")


def mark(
    incident: IncidentArgument,
    judgement: Annotated[
        Judgement, typer.Argument(help="true: something was wrong. false: the alarm was false.")
    ],
    by: ByOption = None,
    data: DataOption = HERE,
) -> None:
    """Say whether a page was right: the precision of each rule is counted from this.

    Example: anchorwatch alerts mark 5f1b9c0e7a42d386 false
    """
    from alerts import actions
    from canaries.clock import SystemClock

    now, is_true = SystemClock().now(), judgement is Judgement.TRUE
    with existing_database(data) as database:
        marked = database.write(lambda session: actions.mark(session, incident, is_true, whoami(by), now))
    typer.echo(f"{marked.key} (incident {marked.id}): marked {judgement.value}")


def explain(incident: IncidentArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """Why was I told, or why not: every decision about an incident or a key, with its time.

    Example: anchorwatch alerts explain watch/chat-p95
    """
    import orjson

    from alerts.explain import explain as explained

    with existing_database(data) as database:
        found = database.read(lambda session: explained(session, incident))
    if found is None:
        raise MonitorError(
            f"nothing was decided about {incident!r}: name an incident by its id or its key, as `anchorwatch alerts "
            "list --all` shows them. What was decided long ago is forgotten (storage.keep)"
        )
    if as_json:
        typer.echo(orjson.dumps(_plain(found)))
        return
    console = plain_console()
    one = found.incident
    console.print(f"{found.key}: {_headline(one)}" if one else f"{found.key}: no incident")
    for line in found.lines:
        again = f" ({line.times} times, to {line.last_at:%H:%M:%S})" if line.times > 1 else ""
        console.print(f"  {line.at:%Y-%m-%d %H:%M:%S}  {line.what}: {line.why}{again}", soft_wrap=True)


def route(
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Further labels.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--labels", metavar="NAME=VALUE", help="A label of the incident.")
    ] = None,
    severity: Annotated[SeverityName, typer.Option(help="How loud it is.")] = SeverityName.PAGE,
    source: Annotated[SourceName, typer.Option(help="Which arm found it.")] = SourceName.WATCH,
    key: Annotated[str, typer.Option(help="Its key.")] = "some/incident",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who would be told of an incident with these labels, when and why.

    Example: anchorwatch alerts route --labels service=checkout --severity page
    """
    import orjson

    from alerts.finding import Severity, Source
    from alerts.routing_words import told_lines
    from canaries.clock import SystemClock
    from monitor.telling.asked_route import incident_as_asked, notified

    named = dict(_label(text) for text in (*(labels or ()), *(more or ())))
    deployment, now = deployment_at(config), SystemClock().now()
    routing = deployment.config.routing()
    asked = incident_as_asked(named, Severity[severity.value.upper()], Source(source.value), key, now)
    notify = notified(deployment.config, named)
    if as_json:
        told = routing.told(asked, notify)
        typer.echo(
            orjson.dumps(
                [
                    {
                        "route": one.route,
                        "path": one.path,
                        "receivers": one.policy.receivers,
                        "group_labels": dict(one.labels),
                        "policy": one.policy,
                    }
                    for one in told
                ]
            )
        )
        return
    for line in told_lines(routing, asked, notify, now):
        typer.echo(line)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise MonitorError(f"{text!r} is no label; write it like service=checkout")
    return name, value


def _headline(incident: "Incident") -> str:
    by = f" by {incident.acknowledged_by}" if incident.acknowledged_by else ""
    return f"incident {incident.id}, {incident.severity.name.lower()}, {incident.state.value}{by}"


def _plain(found: "Explanation") -> dict[str, object]:
    incident = found.incident
    return {
        "key": found.key,
        "incident": incident.id if incident else None,
        "state": incident.state.value if incident else None,
        "severity": incident.severity.name.lower() if incident else None,
        "decisions": list(found.lines),
    }
