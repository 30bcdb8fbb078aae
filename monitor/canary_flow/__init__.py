"""From a finished run to incidents: rounds, baselines, bets, verdicts."""
