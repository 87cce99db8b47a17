"""The period of a wave from its frequency f: p = 1 / f rows, with the error sd(f) / f² (delta method)."""

from __future__ import annotations


class Periodic:
    """Whatever has a frequency.

    Attributes:
        frequency, frequency_error: cycles a row; the error is NaN where it is not known.
    """

    frequency: float
    frequency_error: float

    @property
    def period(self) -> float:
        """Rows."""
        return 1 / self.frequency

    @property
    def period_error(self) -> float:
        """Rows."""
        return self.frequency_error / self.frequency**2
