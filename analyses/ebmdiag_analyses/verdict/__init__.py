"""Where does a run stand? The rules that place it on the two axes of Nijkamp et al. 2020 (arXiv:1903.12370).

Axis 1, does learning balance: ``stability``, in the order run away (``runaway``), oscillating (``oscillation``),
settled or not (``settling``). Axis 2, is the law of the short runs the model's: ``convergence``, from long chains where
there are some, else from the trace's columns (``columns``). A healthy place has to be shown within a margin (two
one-sided tests), a sick one to be beyond chance and large enough to matter; the rest is undetermined, with the number
of rows that would decide it. Findings that owe their warning to the number of tests are taken back (``discoveries``).
How often the places are wrong was measured: docs/calibration.md, ``rates``.
"""

from ebmdiag_analyses.verdict.limits import LIMITS, Limits
from ebmdiag_analyses.verdict.rules import RULES, rules

__all__ = ["LIMITS", "RULES", "Limits", "rules"]
