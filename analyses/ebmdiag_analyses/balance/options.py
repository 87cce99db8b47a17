"""What can be asked of the balance, and when it is a finding."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebmdiag.errors import UsageError
from ebmdiag_analyses.conventions import check_at_least, check_level

R, CEILING, DRIFT, WIDTH, TEMPERATURE = (
    "r_t",
    "r_over_ceiling",
    "drift_to_noise",
    "sigma_eff",
    "configurational_temperature",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which rows, what counts as late and as settled, and the scale where the trace does not tell it.

    Raises:
        UsageError: a value is out of range.
    """

    window: int | None = field(default=None, metadata={"help": "Use only the last so many rows. Default: all."})
    late: float = field(
        default=0.25, metadata={"help": "Share of the rows, at the end, that the late mean is taken of."}
    )
    tolerance: float = field(
        default=0.05, metadata={"help": "Settled: r stays so near its late mean, as a share of it."}
    )
    coordinates: int | None = field(
        default=None, metadata={"help": "N, coordinates of one state. Default: as the columns or the recipe tell."}
    )
    data_noise: float | None = field(
        default=None, metadata={"help": "Noise added to the data, for r's ceiling. Default: as the recipe tells."}
    )
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})

    def __post_init__(self) -> None:
        check_at_least("window", self.window, 1)
        check_at_least("coordinates", self.coordinates, 1)
        check_level(self.level)
        for name, value in (("late", self.late), ("tolerance", self.tolerance)):
            if not 0 < value <= 0.5:
                raise UsageError(f"{name} must be above 0 and at most 0.5, but is {value}.")
        if self.data_noise is not None and not 0 <= self.data_noise < 1e100:
            raise UsageError(f"data-noise must be at least 0, but is {self.data_noise}.")


@dataclass(frozen=True)
class Limits:
    """When the balance is judged; first proposals of this project."""

    errors: float = 3.0  # standard errors; beyond chance
    growth: float = 0.05  # change of r over the second half of the rows, as a share of the late mean
    near_ceiling: float = 0.9  # of r over its ceiling
    burst_factor: float = 1.5  # r over its level of just before ...
    burst_spreads: float = 10.0  # ... and in robust deviations of that ratio
    temperature: float = 1.5  # configurational temperature beside which a burst is likely the step size's


LIMITS = Limits()
