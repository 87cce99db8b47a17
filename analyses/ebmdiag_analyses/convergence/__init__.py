"""Are long chains from the trained model where short runs and data are?

A short run of L steps is what training sees; whether it samples the density exp(-U) shows only in chains that run on
(Nijkamp et al. 2020, arXiv:1903.12370: their second axis). Looked at are the tables that 'ebmdiag sample' and
``long_run.every`` write (ebmdiag.chains): energy drift and depth scan (``energy``), mixing (``mixing``), acceptance and
displacement (``moves``), image measures (``images``), whole states (``samples``), copies of training items
(``copies``), and what all tables show over training (``training``). Agreement is shown, and not just not refuted
(``agreement``).
"""

from ebmdiag_analyses.convergence.analysis import ANALYSIS, Options, analyse
from ebmdiag_analyses.convergence.figures import draw
from ebmdiag_analyses.convergence.judge import judge
from ebmdiag_analyses.convergence.view import text

__all__ = ["ANALYSIS", "Options", "analyse", "draw", "judge", "text"]
