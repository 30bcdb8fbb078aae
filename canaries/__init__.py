"""Canary prompts: suites, replay, validators, baselines and the scores of a run.

This package does not know what a page is. Its exceptions::

    CanaryError
    ├── DocumentError      a YAML file that cannot be used; holds every problem with its place
    ├── CompletionsError   a completions file that cannot be used; names the line
    ├── BaselineError      a baseline that cannot be frozen, found or compared; says why
    └── ReplayError        a run that could not start at all (never a failed request: that is an outcome)
"""


class CanaryError(Exception):
    """What every error of this package is."""


class BaselineError(CanaryError):
    """A baseline cannot be frozen, found or compared; the text says why and what would help."""


class CompletionsError(CanaryError):
    """A completions file is unusable; the text names file, line and what is wrong there."""


class ReplayError(CanaryError):
    """A run could not start at all. A failed request is an outcome of its completion instead."""
