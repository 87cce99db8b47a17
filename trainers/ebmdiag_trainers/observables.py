"""From the path sums of one iteration to the candidate statistics of its row (ebmdiag.statistics has the table).

Path sums are in units of the network's output F; with T = ε²/2 the energy is U = F / T and g = ∇U = G / T.
In these units the noise term of one step is ε z, and ε²/4 ‖g‖² = ‖G‖² / (2 T).
"""

from __future__ import annotations

from ebmdiag.rows import finite_or_none, temperature
from ebmdiag_trainers.engines.contract import PathSums


def mean_gradient_norm(sums: PathSums) -> float:
    """r_t: mean of ‖G_l‖ over the steps l = 0 … L-1 and the chains."""
    return float(sums.gradient_norm.mean()) / sums.steps


def candidate_statistics(sums: PathSums, coordinates: int, epsilon: float) -> dict[str, float | None]:
    """The statistics that the path sums give for nothing.

    Args:
        sums: of one iteration's chains.
        coordinates: N, numbers in one state.
        epsilon: ε of the Langevin noise.

    Returns:
        Column name → value; None where it is undefined (ε = 0, or too few steps for a tail).
    """
    statistics: dict[str, float | None] = dict.fromkeys(
        ("virial", "configurational_temperature", "mh_log_ratio", "mh_acceptance", "displacement")
    )
    if epsilon == 0:
        return statistics
    statistics["virial"] = _virial(sums, coordinates, epsilon)
    statistics["displacement"] = float(sums.displacement_squared.mean()) / (epsilon**2 * sums.steps * coordinates)
    if sums.tail_transitions > 0:
        statistics["configurational_temperature"] = _configurational_temperature(sums, epsilon)
        statistics["mh_log_ratio"] = float(sums.tail_log_ratio.mean()) / sums.tail_transitions
        statistics["mh_acceptance"] = float(sums.tail_acceptance.mean()) / sums.tail_transitions
    return finite_or_none(statistics)


def _virial(sums: PathSums, coordinates: int, epsilon: float) -> float:
    """(E x·g - (ε²/4) E‖g‖²) / N: exactly 1 for a stationary unadjusted chain, of any energy."""
    pull = sums.tail_position_gradient - sums.tail_gradient_squared / 2
    return float(pull.mean()) / (sums.tail_steps * temperature(epsilon) * coordinates)


def _configurational_temperature(sums: PathSums, epsilon: float) -> float | None:
    """E‖g'‖² / E ΔU with ΔU from z·(g' - g) / ε, which also counts the kinks of piecewise linear nets."""
    laplacian = float(sums.tail_noise_gradient.mean()) / (epsilon * temperature(epsilon))
    gradient_squared = float(sums.tail_next_gradient_squared.mean()) / temperature(epsilon) ** 2
    return gradient_squared / laplacian if laplacian != 0 else None
