"""When does learning expand, when contract? Phases of d_s_t, its regimes, and what they do to r_t.

d < 0 is expansion: the gradients of the next iterations grow; d > 0 is contraction (Nijkamp et al. 2020,
arXiv:1903.12370, who tell weak from strong oscillation by how the sign of d depends on earlier signs). Three
questions are asked: how long do phases of one sign last, against independent signs and against a linear process with
the memory of d (``signs``); where does d change its mean or spread for good (``regimes``); does r answer as it should
(``effect``). docs/phases.md says what each number means and how often chance alone would raise a finding.
"""

from ebmdiag_analyses.phases.figures import draw
from ebmdiag_analyses.phases.judge import judge
from ebmdiag_analyses.phases.options import LIMITS, Limits, Options
from ebmdiag_analyses.phases.question import ANALYSIS, analyse
from ebmdiag_analyses.phases.view import text

__all__ = ["ANALYSIS", "LIMITS", "Limits", "Options", "analyse", "draw", "judge", "text"]
