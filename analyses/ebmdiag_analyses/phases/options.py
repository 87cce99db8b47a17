"""What can be asked of the phases, and when a phase is a finding."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebmdiag.errors import UsageError
from ebmdiag_analyses.conventions import check_at_least, check_level

D, R, Z = "d_s_t", "r_t", "z_t"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which rows, how wide the band, and the level of the intervals.

    Raises:
        UsageError: a value is out of range.
    """

    window: int | None = field(default=None, metadata={"help": "Use only the last so many rows. Default: all."})
    band: float = field(
        default=1.0, metadata={"help": "A phase ends where d leaves 0 by so many sampling errors on the other side."}
    )
    lags: int = field(default=5, metadata={"help": "Earlier d and increments of r beside which d must explain r."})
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})
    seed: int = field(default=0, metadata={"help": "Of the simulated processes: the same seed, the same numbers."})

    def __post_init__(self) -> None:
        check_at_least("window", self.window, 1)
        check_at_least("lags", self.lags, 1)
        check_at_least("seed", self.seed, 0)
        check_level(self.level)
        if not 0 <= self.band < 1e6:
            raise UsageError(f"band must be at least 0 sampling errors, but is {self.band}.")


@dataclass(frozen=True)
class Limits:
    """When a phase is judged; but for ``changes``, first proposals of this project."""

    p_value: float = 0.001  # of the tests of chance: a long trace makes any trifle significant
    wave: float = 0.75  # spread of the period over that of independent signs: below, phases come in a rhythm ...
    half_period: float = -0.1  # ... if d is so correlated with itself half a period later (as in 'ebmdiag acf')
    changes: float = 2 / 3  # share of sign changes of a memoryless loop of gain 1: arccos(-1/2) / π
    share: float = 0.1  # of rows with d < 0, from one half
    errors: float = 3.0  # standard errors; beyond chance
    regime_mean: float = 1.0  # sampling errors: a regime whose mean is farther from 0 is expansion or contraction
    regime_spread: float = 2.0  # factor between the last regime's spread and the median of the run


LIMITS = Limits()
