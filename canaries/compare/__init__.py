"""One look: whether two files of completions come from the same model, prompts and settings.

``pairing`` puts the answers side by side, ``features`` and ``texts`` read them, ``shuffles`` are the permutations,
``statistics`` what is summed under each, ``evidence`` puts statistics on one scale and together, ``effects`` measures,
``reach`` tells what the data could have shown, and ``comparison`` joins them to a verdict (``results``).
"""

from .comparison import compare
from .results import CanaryResult, Comparison, ScoreResult, Settings, Verdict

__all__ = ["CanaryResult", "Comparison", "ScoreResult", "Settings", "Verdict", "compare"]
