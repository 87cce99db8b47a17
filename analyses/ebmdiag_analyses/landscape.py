"""How far the learned density and the short-run law of a planar run are from the truth, over the iterations.

q is the density of the data, p either exp(-U), normalized by quadrature, or the kernel density of the short-run
samples (ebmdiag.numerics.planar, planar_kernel): KL(q || p) in nats, total variation, weights of modes. A kernel
density of even exact samples is away from q; what as many exact samples score is told beside it as the floor.
Nijkamp et al. 2020 (arXiv:1903.12370), section 4.1, look at the same as pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ebmdiag.analysis import Analysis
from ebmdiag.errors import DataError, NothingToAnalyse
from ebmdiag.numerics.planar_kernel import BANDWIDTH, FLOOR_DRAWS, MOST_SAMPLES
from ebmdiag.numerics.shares import share
from ebmdiag.report.pictures import by_step, evenly, read_landscape
from ebmdiag.result import Estimate, Result, Table
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.conventions import check_at_least, check_level
from ebmdiag_analyses.landscape_judge import judge
from ebmdiag_analyses.landscape_measure import Floors, Measured, Weights, measure
from ebmdiag_analyses.landscape_view import draw, text

_NO_MODES = "this landscape was written before modes were kept; a new run of the recipe has them"
_NO_KERNEL = "the short-run samples have no kernel density: fewer than three, all on a line, or all far outside"
_NO_SAMPLES = "there are no short-run samples"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How many landscapes, and the level of the intervals.

    Raises:
        UsageError: a value is out of range.
    """

    most: int = field(default=200, metadata={"help": "Read at most so many landscapes, evenly chosen."})
    level: float = field(default=0.95, metadata={"help": "Level of the intervals, between 0 and 1."})

    def __post_init__(self) -> None:
        check_at_least("most", self.most, 1)
        check_level(self.level)


def analyse(run: RunFolder, options: Options) -> Result:
    """Distances of exp(-U) and of the short-run law from the truth in each landscape of a run.

    Estimates, all of the last landscape: ``kl_learned``, ``tv_learned``, ``kl_short``, ``tv_short``, ``kl_floor``,
    ``tv_floor``, ``kl_floor_spread``, ``outside`` (share of the samples), ``mode_error_learned``,
    ``mode_error_short``, and for each mode m ``true:m``, ``learned:m`` and ``short:m``, the last with Wilson's
    interval. Tables: ``distances`` (a row a landscape) and ``modes`` (a row a mode, of the last one).

    Raises:
        NothingToAnalyse: the run has no landscapes.
        DataError: it has, but none can be read.
    """
    found = by_step(run.landscape, "npz")
    if not found:
        raise NothingToAnalyse(
            f"{run.landscape} holds no landscapes (step_*.npz): only runs on planar data of known density write them; "
            "train the recipe rings or gmm with trace.samples_every above 0."
        )
    floors, measured, notes = Floors(), list[Measured](), list[str]()
    for step, path in evenly(found, options.most):
        try:
            measured.append(measure(read_landscape(path, step), floors))
        except DataError as error:
            notes.append(str(error))
    if not measured:
        raise DataError(f"none of the landscapes in {run.landscape} can be read; the first: {notes[0]}")
    measured.sort(key=lambda one: one.step)
    tables = {"distances": _distances(measured), **_modes(measured[-1], options.level)}
    settings = _settings(measured, len(found), options)
    estimates = _estimates(measured[-1], options.level)
    return Result("landscape", run.trace.stem, len(measured), settings, estimates, tables, tuple(notes))


def _settings(measured: Sequence[Measured], files: int, options: Options) -> dict[str, Any]:
    return {
        "landscapes": files,
        "first_step": measured[0].step,
        "last_step": measured[-1].step,
        "grid": measured[-1].points,
        "samples": measured[-1].samples,
        "kernel_samples": min(measured[-1].samples, MOST_SAMPLES),
        "bandwidth": BANDWIDTH,
        "floor_draws": FLOOR_DRAWS,
        "level": options.level,
    }


def _distances(measured: Sequence[Measured]) -> Table:
    rows = [_row(one) for one in measured]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Table("KL(truth || ·) in nats and total variation over the iterations", columns)


def _row(one: Measured) -> dict[str, float]:
    short, floor, weights = one.short, one.floor, one.weights
    return {
        "step": one.step,
        "kl_learned": one.learned.divergence,
        "tv_learned": one.learned.total_variation,
        "kl_short": short.divergence if short else np.nan,
        "tv_short": short.total_variation if short else np.nan,
        "kl_floor": floor.divergence if floor else np.nan,
        "tv_floor": floor.total_variation if floor else np.nan,
        "mode_error_learned": weights.error(weights.learned) if weights else np.nan,
        "mode_error_short": weights.error(weights.short) if weights else np.nan,
        "outside": one.outside,
        "resolved": not one.learned.doubt,
    }


def _estimates(last: Measured, level: float) -> dict[str, Estimate]:
    doubt, row = last.learned.doubt, _row(last)
    short_doubt = last.short.doubt if last.short else ""
    known = {name: Estimate.doubted(row[name], doubt) for name in ("kl_learned", "tv_learned")}
    for name in ("kl_short", "tv_short"):
        known[name] = Estimate.doubted(row[name], short_doubt) if last.short else Estimate.undefined(_NO_KERNEL)
    for name in ("kl_floor", "tv_floor"):
        known[name] = Estimate(row[name]) if last.floor else Estimate.undefined(_NO_KERNEL)
    spread = Estimate(last.floor.spread) if last.floor else Estimate.undefined(_NO_KERNEL)
    gone = Estimate(last.outside / last.samples) if last.samples else Estimate.undefined(_NO_SAMPLES)
    return known | {"kl_floor_spread": spread, "outside": gone} | _mode_estimates(last.weights, doubt, level)


def _mode_estimates(weights: Weights | None, doubt: str, level: float) -> dict[str, Estimate]:
    if weights is None:
        return dict.fromkeys(("mode_error_learned", "mode_error_short"), Estimate.undefined(_NO_MODES))
    samples = int(weights.counts.sum())
    short = Estimate(weights.error(weights.short)) if samples else Estimate.undefined(_NO_SAMPLES)
    estimates = {
        "mode_error_learned": Estimate.doubted(weights.error(weights.learned), doubt),
        "mode_error_short": short,
    }
    for place, name in enumerate(weights.names):
        estimates[f"true:{name}"] = Estimate(float(weights.true[place]))
        estimates[f"learned:{name}"] = Estimate.doubted(float(weights.learned[place]), doubt)
        estimates[f"short:{name}"] = _share(int(weights.counts[place]), samples, level)
    return estimates


def _share(hits: int, draws: int, level: float) -> Estimate:
    if not draws:
        return Estimate.undefined(_NO_SAMPLES)
    found = share(hits, draws, level)
    return Estimate(found.value, found.low, found.high)


def _modes(last: Measured, level: float) -> dict[str, Table]:
    weights = last.weights
    if weights is None:
        return {}
    samples = int(weights.counts.sum())
    shares = [share(int(hits), samples, level) if samples else None for hits in weights.counts]
    columns = {
        "mode": np.array(weights.names),
        "true": weights.true,
        "learned": weights.learned,
        "short": weights.short,
        **{
            name: np.array([getattr(one, key) if one else np.nan for one in shares])
            for name, key in (("short_error", "error"), ("short_low", "low"), ("short_high", "high"))
        },
    }
    return {"modes": Table(f"Weights of the modes at step {last.step}", columns)}


ANALYSIS = Analysis(
    name="landscape",
    title="Distance from the truth",
    summary="How far the learned density and the short runs of a planar run are from the truth.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    subject="run",
)
