"""From one iteration's record to the candidate statistics of its row; ebmdiag.statistics has the table.

Each statistic is a function of a :class:`~ebmdiag_trainers.record.Record` that returns a number, or None where it is
undefined. Path sums are in units of the network's output F; with T = ε²/2 the energy is U = F / T and g = ∇U = G / T,
so that ε²/4 ‖g‖² = ‖G‖² / (2 T).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch

from ebmdiag.errors import EbmdiagError, RecipeError
from ebmdiag.rows import finite_or_none
from ebmdiag.schema import check_column_name
from ebmdiag_trainers.engines.contract import PathSums
from ebmdiag_trainers.named import import_function, number_or_none
from ebmdiag_trainers.record import Record
from ebmdiag_trainers.weights import effective_share, log_mean_weight

_ROUNDING = 0.1

ObservableFunction = Callable[[Record], "float | None"]


def mean_gradient_norm(sums: PathSums) -> float:
    """r_t: mean of ‖G_l‖ over the steps l = 0 … L-1 and the chains."""
    return sums.means["gradient_norm"] / sums.steps


def virial(record: Record) -> float | None:
    """(E x·g - (ε²/4) E‖g‖²) / N over the tail: exactly 1 for a stationary unadjusted chain, of any energy.

    For a sampler that leaves exp(-U) invariant it is E x·g / N that is 1 (PathSums.virial_correction).
    """
    if record.epsilon == 0:
        return None
    sums = record.sums
    pull = sums.means["tail_position_gradient"] - sums.virial_correction * sums.means["tail_gradient_squared"]
    return pull / (sums.tail_steps * record.temperature * record.coordinates)


def gradient_power(record: Record) -> float | None:
    """E‖g'‖² / N over the tail's transitions."""
    total = _per_transition(record, "tail_next_gradient_squared")
    return None if total is None else total / (record.temperature**2 * record.coordinates)


def curvature(record: Record) -> float | None:
    """E ΔU / N over the tail's transitions, from z·(g' - g) / ε, which also counts the kinks of a net."""
    total = _per_transition(record, "tail_noise_gradient")
    return None if total is None else total / (record.epsilon * record.temperature * record.coordinates)


def configurational_temperature(record: Record) -> float | None:
    """E‖g'‖² / E ΔU; None where the Laplacian is not known to a third of itself: such a ratio has no mean."""
    power, laplacian, noise = gradient_power(record), curvature(record), record.sums.tail_noise_gradient
    if power is None or laplacian is None or len(noise) < 2:
        return None
    known = float(noise.mean()) > 3 * float(noise.std()) / math.sqrt(len(noise))
    return power / laplacian if known else None


def mh_log_ratio(record: Record) -> float | None:
    """Mean Metropolis log-ratio of the tail's transitions."""
    return _metropolis(record, "tail_log_ratio")


def mh_log_ratio_variance(record: Record) -> float | None:
    """Variance of the log-ratio over chains and the tail's transitions."""
    mean, square = mh_log_ratio(record), _metropolis(record, "tail_log_ratio_squared")
    return None if mean is None or square is None else max(square - mean**2, 0.0)


def mh_acceptance(record: Record) -> float | None:
    """Mean of min(1, r) over the tail's transitions."""
    return _metropolis(record, "tail_acceptance")


def mh_ratio(record: Record) -> float | None:
    """Mean of r itself: 1 where the chain follows exp(-U)."""
    return _metropolis(record, "tail_ratio")


def _metropolis(record: Record, total: str) -> float | None:
    """None where the rounding of F, which holds the energy's free constant, exceeds a tenth in units of U."""
    rounding = torch.finfo(record.negatives.dtype).eps * float(record.energy_neg.abs().max()) / record.temperature
    return None if rounding > _ROUNDING else _per_transition(record, total)


def _per_transition(record: Record, total: str) -> float | None:
    if record.epsilon == 0 or record.sums.tail_transitions == 0:
        return None
    return record.sums.means[total] / record.sums.tail_transitions


def energy_slope(record: Record) -> float:
    """Change of U per Langevin step over the tail, from where it begins to x_L."""
    change = (record.energy_neg - record.sums.tail_first_energy.to(record.energy_neg.device)).mean()
    return float(change) / (record.temperature * record.sums.tail_steps)


def displacement(record: Record) -> float | None:
    """Mean ‖x_L - x_0‖² in units of pure diffusion, ε² L N."""
    if record.epsilon == 0:
        return None
    return record.sums.means["displacement_squared"] / (record.epsilon**2 * record.sums.steps * record.coordinates)


def straightness(record: Record) -> float | None:
    """Mean of ‖x_L - x_0‖ / Σ ‖x_{l+1} - x_l‖: 1 for a straight path."""
    path = record.sums.step_norm
    if not bool((path > 0).all()):
        return None
    return float((record.sums.displacement_squared.sqrt() / path).mean())


def drift_to_noise(record: Record) -> float | None:
    """Mean ‖G‖² over the tail in units of the noise's ε² N: above 1 the drift rules, below 1 diffusion."""
    if record.epsilon == 0:
        return None
    power = record.sums.means["tail_gradient_squared"] / record.sums.tail_steps
    return power / (record.epsilon**2 * record.coordinates)


def r_over_ceiling(record: Record) -> float | None:
    """r in units of (ε²/2) √N / data noise, which it cannot exceed where the model equals the noisy data."""
    if record.data_noise == 0 or record.epsilon == 0:
        return None
    ceiling = record.temperature * math.sqrt(record.coordinates) / record.data_noise
    return mean_gradient_norm(record.sums) / ceiling


def sigma_eff(record: Record) -> float | None:
    """ε² √N / (2 r): the width of the isotropic Gaussian whose gradient has this size."""
    norm = mean_gradient_norm(record.sums)
    if norm == 0 or record.epsilon == 0:
        return None
    return record.temperature * math.sqrt(record.coordinates) / norm


def energy_auc(record: Record) -> float:
    """P(U(x⁺) > U(x⁻)) + P(=) / 2 over all pairs: 0.5 where the energies cannot be told apart."""
    low = torch.sort(record.energy_neg).values
    below = torch.searchsorted(low, record.energy_pos, right=False)
    up_to = torch.searchsorted(low, record.energy_pos, right=True)
    return float((below + up_to).double().mean()) / (2 * len(low))


def update_gain(record: Record) -> float | None:
    """First-order drop of d by this update, in units of d's sampling error."""
    error = record.sampling_error
    return record.update.predicted_drop / error if error else None


def update_drop(record: Record) -> float | None:
    """Drop of d on the same samples that the update really made, in units of d's sampling error."""
    error = record.sampling_error
    return (record.difference - record.update.difference_after) / error if error else None


def last_layer_balance(record: Record) -> float | None:
    """(‖w'‖² - ‖w‖² + 2γd - γ²‖∇_w d‖²) / (2γ|d| + γ²‖∇_w d‖²): exactly 0 for plain SGD on a linear last layer."""
    update, rate = record.update, record.update.rate
    square = rate**2 * update.last_layer_gradient
    scale = 2 * rate * abs(record.difference) + square
    if scale == 0:
        return None
    return (update.last_layer_after - update.last_layer_before + 2 * rate * record.difference - square) / scale


def budget_update(record: Record) -> float | None:
    """Change of d by the last update, on the samples of that iteration."""
    if record.before is None:
        return None
    return record.before.positives - record.before.negatives - record.before.difference


def budget_data(record: Record) -> float | None:
    """Change of d since then by other positives: mean U(x⁺) of now less that of the last positives, both of now's U."""
    if record.before is None:
        return None
    return float(record.energy_pos.mean()) / record.temperature - record.before.positives


def budget_sampler(record: Record) -> float | None:
    """Change of d since then by other negatives."""
    if record.before is None:
        return None
    return record.before.negatives - float(record.energy_neg.mean()) / record.temperature


def jarzynski_ess(record: Record) -> float | None:
    """ESS / n of this iteration's chains, weighted for the parameters of now."""
    return None if record.log_weights is None else effective_share(record.log_weights)


def jarzynski_log_z(record: Record) -> float | None:
    """Estimate of log(Z / Z_0): log of the mean weight."""
    return None if record.log_weights is None else log_mean_weight(record.log_weights)


OBSERVABLES: Mapping[str, ObservableFunction] = {
    "virial": virial,
    "gradient_power": gradient_power,
    "curvature": curvature,
    "configurational_temperature": configurational_temperature,
    "mh_log_ratio": mh_log_ratio,
    "mh_log_ratio_variance": mh_log_ratio_variance,
    "mh_acceptance": mh_acceptance,
    "mh_ratio": mh_ratio,
    "energy_slope": energy_slope,
    "displacement": displacement,
    "straightness": straightness,
    "drift_to_noise": drift_to_noise,
    "r_over_ceiling": r_over_ceiling,
    "sigma_eff": sigma_eff,
    "energy_auc": energy_auc,
    "update_gain": update_gain,
    "update_drop": update_drop,
    "last_layer_balance": last_layer_balance,
    "parameter_norm": lambda record: record.update.parameter_norm,
    "parameter_gradient_norm": lambda record: record.update.gradient_norm,
    "budget_update": budget_update,
    "budget_data": budget_data,
    "budget_sampler": budget_sampler,
    "jarzynski_ess": jarzynski_ess,
    "jarzynski_log_z": jarzynski_log_z,
    "bank_age": lambda record: record.bank.mean_age if record.bank else None,
    "bank_visits": lambda record: record.bank.mean_visits if record.bank else None,
    "bank_unvisited": lambda record: record.bank.unvisited if record.bank else None,
}
"""Column → function: what every run logs in each iteration."""


def observe(record: Record, own: Mapping[str, ObservableFunction]) -> dict[str, float | None]:
    """All statistics of one iteration, the user's own included; None where undefined."""
    found = {name: function(record) for name, function in OBSERVABLES.items()}
    for name, function in own.items():
        try:
            found[name] = number_or_none(function(record))
        except Exception as error:  # it is the user's code: say whose, and where
            raise EbmdiagError(f"your statistic '{name}' failed at iteration {record.step}: {error!r}.") from error
    return finite_or_none(found)


def own_observables(names: Iterable[str]) -> dict[str, ObservableFunction]:
    """A user's own statistics, given as ``module:function``; the column takes the function's name.

    Raises:
        RecipeError: not of that form, or a name that cannot be a column of the user's own.
        EbmdiagError: it cannot be imported.
    """
    found: dict[str, ObservableFunction] = {}
    for name in names:
        _, colon, attribute = name.partition(":")
        if not colon:
            raise RecipeError(f"[trace] statistics takes 'module:function', but got '{name}'.")
        column = check_column_name(attribute)
        if column in found:
            raise RecipeError(f"[trace] statistics: the name '{column}' is taken; rename the function.")
        found[column] = import_function(name, "[trace] statistic")
    return found
