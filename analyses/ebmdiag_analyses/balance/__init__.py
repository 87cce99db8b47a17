"""Is r_t in balance with the noise? Its settling, its ceiling, drift against diffusion, and sudden bursts.

r is the gradient's size along the chains. Where it settles, Langevin gradient and noise are in balance (Nijkamp et al.
2020, arXiv:1903.12370). Against what scale? If the model equals data with Gaussian noise of deviation σ, its Fisher
information is at most N / σ², so r cannot exceed (ε²/2) √N / σ, its ceiling. One Langevin step moves by the drift,
of mean square E‖∇F‖², and by the noise, of ε² N; their ratio ρ says which rules a step. A drift that kept its direction
would rule from 1/ρ steps on: for a Gaussian that is twice its relaxation time. The scale was derived for this project;
docs/balance.md says what each number means and how often chance alone would raise a finding.
"""

from ebmdiag_analyses.balance.figures import draw
from ebmdiag_analyses.balance.judge import judge
from ebmdiag_analyses.balance.options import LIMITS, Limits, Options
from ebmdiag_analyses.balance.question import ANALYSIS, analyse
from ebmdiag_analyses.balance.view import text

__all__ = ["ANALYSIS", "LIMITS", "Limits", "Options", "analyse", "draw", "judge", "text"]
