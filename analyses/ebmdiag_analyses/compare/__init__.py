"""Many runs side by side: seeds of one recipe pooled, recipes held against each other."""

from ebmdiag_analyses.compare.analysis import ANALYSIS, analyse
from ebmdiag_analyses.compare.judge import judge
from ebmdiag_analyses.compare.options import LIMITS, Limits, Options

__all__ = ["ANALYSIS", "LIMITS", "Limits", "Options", "analyse", "judge"]
