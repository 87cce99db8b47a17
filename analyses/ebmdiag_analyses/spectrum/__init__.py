"""At which period does the training oscillate? The power spectrum of columns of a trace.

Three questions of the spectrum S(f), in cycles a row, over the variance (1 is the level of white noise):

- slow power, S at frequency 0. Learning integrates d_s_t (theory: ebmdiag.numerics.loop), so its S falls to 0 there:
  one mode of gain g has S = |z - 1|² / |z - (1 - g)|² on z = e^{2πif}, up to a factor;
- a broad peak: a damped wave of period 1/f that lasts about Q periods (momentum β: poles of modulus √β);
- a line: a wave without end, as a schedule or an order of the data would leave it.

Estimates and tests: ebmdiag.numerics.spectral, .spectral_peak, .lines; measured rates: docs/spectrum.md.
"""

from ebmdiag_analyses.spectrum.analysis import ANALYSIS

__all__ = ["ANALYSIS"]
