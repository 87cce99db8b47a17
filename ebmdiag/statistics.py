"""The table of the statistics in a trace: the one place that says what each column means.

Parquet field metadata, the docs page and the report's glossary are generated from :data:`STATISTICS`.

Conventions. The model is p(x) ∝ exp(-U(x)); the network's output F is an energy, and U = F / T with the temperature
T = ε²/2 (T = 1 when ε = 0), so that one Langevin step is Y' = Y - ∇F(Y) + ε Z. x⁺ are positive samples (data),
x⁻ negative ones (where the chains end); n and m are their numbers, N the number of coordinates of one state, L the
number of Langevin steps. g = ∇U. "Tail" means the second half of the path, steps l ≥ L // 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PAPER = "Nijkamp et al. 2020, arXiv:1903.12370"


@dataclass(frozen=True)
class Statistic:
    """One column of a trace.

    ``equilibrium`` is the expected value when the model equals the data and the chains are stationary;
    None where no value is known. ``required`` columns hold a finite number in every row.
    """

    column: str
    symbol: str
    title: str
    unit: str
    sign: str
    equilibrium: str | None
    meaning: str
    cost: str
    reference: str
    kind: Literal["int64", "float64"] = "float64"
    required: bool = False

    def metadata(self) -> dict[str, str]:
        """The description as flat strings, in the form that a Parquet field carries."""
        return {
            "symbol": self.symbol,
            "title": self.title,
            "unit": self.unit,
            "sign": self.sign,
            "equilibrium": self.equilibrium or "",
            "meaning": self.meaning,
            "cost": self.cost,
            "reference": self.reference,
        }


STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        "step",
        "t",
        "learning iteration",
        "1",
        "counts from 1, strictly increasing",
        None,
        "One row is one update of the parameters.",
        "none",
        f"{PAPER}, algorithm 1",
        kind="int64",
        required=True,
    ),
    Statistic(
        "d_s_t",
        "d_{s_t}",
        "energy difference",
        "U",
        "mean U(x⁺) - mean U(x⁻) before the update; negative: expansion, positive: contraction",
        "0",
        "Learning follows its gradient. A mean away from 0 says that data and short-run samples are still told "
        "apart; a mean of 0 proves nothing about long chains.",
        "none",
        f"{PAPER}, section 3",
        required=True,
    ),
    Statistic(
        "v_t",
        "v_t",
        "gradient strength",
        "U per unit of x",
        "mean of ‖∇U‖ over the steps 0 … L-1 and the chains; never negative",
        None,
        "How hard the energy pulls. It grows in expansion and shrinks in contraction.",
        "none",
        f"{PAPER}, section 3; the steps counted follow the authors' code",
    ),
    Statistic(
        "r_t",
        "r_t",
        "Langevin gradient magnitude",
        "unit of x",
        "(ε²/2) v_t = mean of ‖∇F‖: the drift of one Langevin step; never negative",
        "at most (ε²/2) √N / data noise",
        "The drift against the noise ε√N of one step. A settled r means that gradient and noise balance.",
        "none",
        f"{PAPER}, section 3",
    ),
    Statistic(
        "energy_pos_mean",
        "Ū⁺",
        "mean energy of the positives",
        "U",
        "defined up to the energy's free constant",
        None,
        "Only its difference to the negatives' mean has a meaning.",
        "none",
        PAPER,
    ),
    Statistic(
        "energy_pos_sd",
        "sd U⁺",
        "spread of the positives' energy",
        "U",
        "never negative; divisor n - 1",
        "equal to the negatives' spread",
        "Sets the sampling error of d.",
        "none",
        PAPER,
    ),
    Statistic(
        "energy_neg_mean",
        "Ū⁻",
        "mean energy of the negatives",
        "U",
        "defined up to the energy's free constant",
        None,
        "Only its difference to the positives' mean has a meaning.",
        "none",
        PAPER,
    ),
    Statistic(
        "energy_neg_sd",
        "sd U⁻",
        "spread of the negatives' energy",
        "U",
        "never negative; divisor m - 1",
        "equal to the positives' spread",
        "Sets the sampling error of d.",
        "none",
        PAPER,
    ),
    Statistic(
        "learning_rate",
        "γ",
        "learning rate",
        "1",
        "as the optimizer applies it to the loss d, after any ε²/2 scaling",
        None,
        "With the curvature of the loss it sets the gain of the learning loop.",
        "none",
        PAPER,
    ),
    Statistic(
        "elapsed_s",
        "",
        "elapsed time",
        "s",
        "wall-clock seconds of training, pauses between sessions left out",
        None,
        "The only column that an exact resume does not reproduce.",
        "none",
        "",
    ),
    Statistic(
        "z_t",
        "z_t",
        "standardized energy difference",
        "1",
        "d / √(Var U⁺ / n + Var U⁻ / m)",
        "mean 0; variance 1 at learning rate 0, 1 / (1 - g/2) at loop gain g",
        "d in units of its own sampling error: |z| far above 3 is a real difference, not chance.",
        "none",
        "derived for this project (linear response of the learning loop)",
    ),
    Statistic(
        "virial",
        "κ",
        "virial of the unadjusted chain",
        "1",
        "(mean x·g - (ε²/4) mean ‖g‖²) / N over the tail; 1 means that ‖x‖² has no drift",
        "1 exactly for a stationary unadjusted Langevin chain",
        "Above 1 the chains are being pulled inwards, below 1 they still spread: they are not stationary.",
        "none",
        "virial theorem, with the exact term of the discrete step",
    ),
    Statistic(
        "configurational_temperature",
        "T_c",
        "configurational temperature",
        "T",
        "mean ‖g'‖² / mean (z·(g' - g) / ε) over the tail, g' after the step of noise z",
        "1 as ε → 0; Σλ/(1-ε²λ/4) / Σλ for a Gaussian of precisions λ",
        "Away from 1: step too large, wrong noise, or chains hotter or colder than the model.",
        "none",
        "Butler et al. 1998, J. Chem. Phys. 109:6519; Laplacian by Stein's lemma on the Langevin noise",
    ),
    Statistic(
        "mh_log_ratio",
        "E log r",
        "Metropolis log-ratio",
        "1",
        "mean over the tail of the log acceptance ratio that each unadjusted step would have had",
        "near 0 from below: about -Var(log r) / 2",
        "Far below 0 the step is too large for the energy: the unadjusted chain does not sample exp(-U).",
        "none",
        "Roberts and Tweedie 1996, Bernoulli 2:341",
    ),
    Statistic(
        "mh_acceptance",
        "α",
        "would-be acceptance",
        "1",
        "mean of min(1, r) over the tail, between 0 and 1",
        "1 as ε → 0",
        "The share of steps that a Metropolis correction would have kept.",
        "none",
        "Roberts and Tweedie 1996, Bernoulli 2:341",
    ),
    Statistic(
        "displacement",
        "D",
        "displacement of the chains",
        "1",
        "mean ‖x_L - x_0‖² / (ε² L N); never negative",
        "1 for pure diffusion; 2 tr(Σ) / (ε² L N) once L is far above the mixing time",
        "Far above 1: ballistic transport from a start that the model does not know; near 0: frozen chains.",
        "none",
        "derived for this project",
    ),
)

BY_COLUMN: dict[str, Statistic] = {statistic.column: statistic for statistic in STATISTICS}
