"""What long-run images look like: saturation, colourfulness, salt and pepper, values out of range.

Nijkamp et al. 2020 (arXiv:1903.12370) describe long chains of non-convergent nets as oversaturated; the measures put a
number on it (docs/convergence.md). Each is compared between data, the end of the short and the end of the long run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.result import Estimate, Table
from ebmdiag_analyses.convergence.energy import PAIRS
from ebmdiag_analyses.convergence.means import difference, over_starts
from ebmdiag_analyses.convergence.select import at_end

if TYPE_CHECKING:
    from ebmdiag.chains import Chains

IMAGE_MEASURES = ("saturation", "colourfulness", "salt_and_pepper", "outside")
_PHASES = ("data", "short", "long")


def images(chains: Chains, level: float) -> tuple[dict[str, Estimate], dict[str, Table]]:
    """Means of the phases and their differences; nothing where no image measure was recorded.

    Estimates: ``saturation:data``, …, ``saturation:long-data`` and so on. Table ``images``: measure, mean and error of
    each phase, and the differences in their errors.
    """
    phases = chains.phases
    known = [name for name in IMAGE_MEASURES if any(phase.has(name) for phase in phases.values())]
    means = {
        (name, kind): over_starts(at_end(phase, name), phase.starts)
        for name in known
        for kind, phase in phases.items()
        if phase.has(name)
    }
    gaps = {
        (name, f"{first}-{second}"): difference(means[name, first], means[name, second])
        for name in known
        for first, second in PAIRS
        if (name, first) in means and (name, second) in means
    }
    estimates = {f"{name}:{kind}": mean.estimate(level) for (name, kind), mean in (means | gaps).items()}
    if not known:
        return {}, {}
    columns: dict[str, list[float]] = {}
    for name in known:
        for kind in _PHASES:
            mean = means.get((name, kind))
            columns.setdefault(kind, []).append(mean.value if mean else np.nan)
            columns.setdefault(f"{kind}_error", []).append(mean.error if mean else np.nan)
        for first, second in PAIRS:
            gap = gaps.get((name, f"{first}-{second}"))
            columns.setdefault(f"{first}-{second}", []).append(gap.errors if gap else np.nan)
    arrays = {name: np.array(values) for name, values in columns.items()}
    return estimates, {"images": Table("image measures", {"measure": np.array(known, dtype=object), **arrays})}
