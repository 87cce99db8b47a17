"""A number with its error, held against 0 and against a margin: Student's t, equivalence, and what would settle it.

Not to be shown unequal is not to be shown equal: that |value| is below a margin is claimed by two one-sided tests
(Schuirmann 1987, J. Pharmacokin. Biopharm. 15:657), never by a p-value that happens to be large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_NEVER = 10**15


@dataclass(frozen=True)
class Contrast:
    """How far a number is from 0, in its units: value, standard error, degrees of freedom and p (two-sided).

    ``freedom`` may be a fraction (Welch), and infinite for an error that is known.
    """

    value: float
    error: float
    freedom: float
    p_value: float

    @classmethod
    def of(cls, value: float, error: float, freedom: float) -> Contrast:
        """With the p that belongs to them."""
        return cls(value, error, freedom, two_sided(value, error, freedom))

    def bounds(self, level: float) -> tuple[float, float]:
        """The two-sided interval of this level."""
        half = student_quantile(self.freedom, (1 + level) / 2) * self.error
        return self.value - half, self.value + half

    def equivalence_p(self, margin: float) -> float:
        """p of two one-sided tests of |value| >= ``margin``."""
        from scipy.special import stdtr

        if self.error == 0:
            return float(abs(self.value) >= margin)
        return float(stdtr(self.freedom, (abs(self.value) - margin) / self.error))

    def rows_for(self, margin: float, level: float, rows: int) -> int:
        """About how many rows would settle which side of the ``margin`` the value lies on, if it stayed what it is."""
        distance = abs(margin - abs(self.value))
        if distance == 0:
            return _NEVER
        wanted = student_quantile(self.freedom, level) * self.error / distance
        return math.ceil(min(rows * wanted**2, _NEVER))


def two_sided(value: float, error: float, freedom: float) -> float:
    """p of Student's t; 0 where there is no noise at all, and 1 where there is nothing."""
    from scipy.special import stdtr

    if error == 0:
        return float(value == 0)
    return 2 * float(stdtr(freedom, -abs(value) / error))


def student_quantile(freedom: float, probability: float) -> float:
    """The quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))
