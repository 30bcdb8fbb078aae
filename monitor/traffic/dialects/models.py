"""The model that was asked for, and the one that answered."""

import re
from dataclasses import dataclass

from ..calls import Operation
from .answers import Answer
from .kinds import NAME_OF_SPAN
from .tables import Dialect
from .told import Told, of_answer
from .values import model_name, provider, text

_ALIASING = ("openai", "anthropic", "azure.ai.openai")
"""Providers that answer an alias with the dated name of the model behind it."""

_NAMING_NO_MODEL = ("aws.bedrock",)
"""Providers whose answers do not say which model gave them."""

_DATED = re.compile(r"\d{4}-?\d{2}-?\d{2}|-\d{4}$")
"""The name of a model as an alias is answered: with its date."""


@dataclass(frozen=True, slots=True)
class Models:
    """What is needed to tell the model that was asked for from the one that answered."""

    told: Told
    dialect: Dialect
    operation: Operation
    provider: str | None
    response_id: str | None

    def read(self, answer: Answer, is_refused: bool) -> tuple[str | None, str | None]:
        """The model that was asked for, and the one that answered."""
        told, facts = self.told, self.dialect.facts
        asked = told.find("request_model", facts.request_model, model_name) or self._in_name()
        answered = told.find("response_model", facts.response_model, model_name)
        answered = answered or of_answer(told, "response_model", answer.model)
        named = told.find("", facts.outcome_model, model_name)
        if asked is None and named is not None and (is_refused or self._is_asked(named, answered)):
            asked = told.find("request_model", facts.outcome_model, model_name)
        if answered is None and not is_refused and not self._is_only_asked(asked, named):
            answered = told.find("response_model", facts.outcome_model, model_name)
            answered = None if self._is_echo(asked, answered, self.provider in _ALIASING) else answered
        if self._is_echo(asked, answered, self.dialect.echoes_request_model or is_refused):
            answered = None
        asked = self._without_provider(asked, answered)
        if self.operation is Operation.EMBEDDINGS and not is_refused:
            # No aliases, no fallbacks: embeddings of two models do not go together.
            return asked or answered, answered or asked
        return asked, answered

    def _in_name(self) -> str | None:
        """The model behind the operation in the span's name, where the name alone says that the span is a call."""
        if self.told.sources.get("operation") != NAME_OF_SPAN:
            return None
        model = text(self.told.span.name.partition(" ")[2])
        if model is not None:
            self.told.sources["request_model"] = NAME_OF_SPAN
        return model

    def _is_asked(self, named: str, answered: str | None) -> bool:
        """The one model that is named, by whatever side, is surely the one that was asked for."""
        if self.provider in _ALIASING:
            return answered is None and self.response_id is None and not _DATED.search(named)
        return self.provider is not None

    def _is_only_asked(self, asked: str | None, named: str | None) -> bool:
        return asked == named and self.provider in _NAMING_NO_MODEL

    def _is_echo(self, asked: str | None, answered: str | None, may_be: bool) -> bool:
        """Without an answer's id, the same name again is not known to be the answer's."""
        return may_be and answered is not None and answered == asked and self.response_id is None

    def _without_provider(self, asked: str | None, answered: str | None) -> str | None:
        """The model without the provider that LiteLLM's users write in front of it."""
        prefix, _, model = (asked or "").partition("/")
        is_provider = provider(prefix) == self.provider if self.provider else model == answered
        return model if model and is_provider else asked
