"""Mistakes in watches of every kind, told together and each with its place."""

from pathlib import Path

import pytest

from monitor.config import ConfigError, load

BROKEN = """\
watches:
  - {name: a, measure: latency_p42, above: 8s}
  - {name: b, share: {where: {finish_reason: lenght}}, above: 5%}
  - {name: c, budget: {usd: 5, every: week}}
  - {name: d, values: {attribute: app.x, tel: [new]}}
  - {name: e, slo: {objective: 100%}}
  - {name: f, served_model: {aliases: {a: 3}}}
  - {name: g, measure: error_share, against: next}
  - {name: h, measure: input_tokens_p95, above: 8s}
  - {name: i, share: {where: {attributes: {a: "1"}}}, above: 5 calls}
  - {name: j, measure: error_share, above: 2%, budget: {usd: 1, every: day}}
"""

EXPECTED = [
    '2:15  watches[0].measure: is no measure; did you mean "latency_p',
    "3:31  watches[1].share.where.finish_reason: is none of stop, length",
    "4:32  watches[2].budget.every: must be 'hour', 'day' or 'month'",
    '5:42  watches[3].values.tel: unknown key; did you mean "tell"?',
    "6:21  watches[4].slo.objective: is a share of good calls from 50% to below 100%",
    "7:40  watches[5].served_model.aliases.a: must be text or a list",
    '8:37  watches[6].against: is "previous"',
    "9:42  watches[7].above: input_tokens_p95 is measured in tokens",
    "10:55  watches[8].above: share is measured in share",
    "11:5  watches[9]: a watch looks at one thing: measure, share, budget, values, slo, served_model",
]


def test_every_problem_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "anchorwatch.yaml"
    path.write_text(BROKEN)
    with pytest.raises(ConfigError) as raised:
        load(path, {})
    found = [str(problem).removeprefix(f"{path}:") for problem in raised.value.problems]
    assert [line[: len(start)] for line, start in zip(found, EXPECTED, strict=True)] == EXPECTED
