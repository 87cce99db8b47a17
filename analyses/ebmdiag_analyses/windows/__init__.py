"""When does the training change its character? Correlations in windows that slide over the whole run.

Maps, lag by time, of the autocorrelations of d_s_t and r_t and of their cross-correlation corr(d[t+k], r[t]) (d leads
at k < 0), with the values that stand out at a false discovery rate (ebmdiag.numerics.sliding); two gains of a
memoryless loop over time, 1 - rho_1(r) and -2 rho_1(d) (theory: ebmdiag.numerics.loop); and the steps at which the
autocorrelation of d_s_t changes, by permutation of windows that do not overlap (ebmdiag.numerics.character). Measured
rates: docs/windows.md.
"""

from ebmdiag_analyses.windows.analysis import ANALYSIS

__all__ = ["ANALYSIS"]
