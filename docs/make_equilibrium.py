"""Write docs/equilibrium.md: every statistic on Gaussians, measured beside exact, and under planted faults.

Takes some minutes. The cases are those of the tests (tests/equilibrium.py).
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from equilibrium import CHAINS, SPECTRA, STEP_SIZES, STEPS, Cell, cells, faults, setting  # noqa: E402

SEEDS = 40
PAGE = Path(__file__).with_name("equilibrium.md")
HEAD = f"""# Statistics at equilibrium

Made by `python docs/make_equilibrium.py`; the tests assert the same with fewer seeds. The model is a Gaussian of
precisions λ, its chains start at the stationary law of the unadjusted Langevin step (variance
1 / (λ (1 - ε²λ/4))) and run L = {STEPS} steps. Spectra: {{spectra}}. Each cell: the exact value, the mean of {SEEDS}
independent measurements, and their distance in standard errors. A dash: no closed form is known there, or so few
chains carry the mean that it cannot be estimated (`mh_ratio`, `jarzynski_ess`).

Which law is drawn: `z_t` and `energy_auc` compare two independent sets of the chain's stationary law; the data of
`data_*`, `depth_*` and `ksd_data`, the negatives of `ksd` and the starts of `jarzynski_*` follow exp(-U) itself, so
`depth_*` shows the step's bias, which `z_t` does not.

Exact values hold for the discrete chain at the ε of the table, so they differ from those of ε → 0 where the step is
not small: that difference is what `configurational_temperature` and the Metropolis ratios are there to show. `z_t`
has variance 1 at learning rate 0; with learning it is 1 / (1 - g/2), see [loop_gain.md](loop_gain.md).
`last_layer_balance` is 0, `budget_*` sum to the change of d, and `bank_*` follow their counts, all exactly: see the
tests.
"""


def main() -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    listed = "; ".join(f"{name}, {_spectrum(name)}, {CHAINS[name]} chains" for name in SPECTRA)
    parts = [HEAD.format(spectra=listed)]
    errors: list[float] = []
    for epsilon in STEP_SIZES:
        table = {name: {cell.column: cell for cell in cells(setting(name, epsilon), SEEDS)} for name in SPECTRA}
        errors += [cell.errors for column in table.values() for cell in column.values()]
        parts.append(f"## ε = {epsilon}\n\n{_equilibrium(table)}\n")
        print(f"ε = {epsilon}: done", file=sys.stderr)
    beyond = sum(abs(error) > 2 for error in errors)
    parts.append(
        f"Of {len(errors)} cells, {beyond} lie beyond 2 standard errors (chance: about {0.0525 * len(errors):.0f} if "
        "they were independent; those of one setting share their chains, so they come in groups), the farthest at "
        f"{max(errors, key=abs):+.1f}.\n"
    )
    parts.append(f"## Planted faults\n\n{_faults()}\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {PAGE.name}")


def _spectrum(name: str) -> str:
    precisions = SPECTRA[name]
    if len(set(precisions)) == 1:
        return f"λ = {precisions[0]:g}"
    joint = " and " if len(precisions) == 2 else " to "
    return f"λ = {precisions[0]:g}{joint}{precisions[-1]:g}"


def _equilibrium(table: dict[str, dict[str, Cell]]) -> str:
    columns = list(dict.fromkeys(column for cells in table.values() for column in cells))
    lines = [f"| statistic | {' | '.join(table)} |", "|---" * (len(table) + 1) + "|"]
    for column in columns:
        shown = [_shown(found[column]) if column in found else "–" for found in table.values()]
        lines.append(f"| `{column}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def _shown(cell: Cell) -> str:
    return f"{cell.exact:.4g}: {cell.mean:.4g} ({cell.errors:+.1f})"


def _faults() -> str:
    lines = ["| fault | statistic | without it | measured | standard errors |", "|---|---|---|---|---|"]
    for fault in faults():
        for number, cell in enumerate(fault.cells(SEEDS)):
            name = fault.name if number == 0 else ""
            measured = f"{cell.mean:.4g} ± {cell.error:.2g}"
            far = f"{cell.errors:+.0f}" if abs(cell.errors) < 1000 else "beyond 1000"
            lines.append(f"| {name} | `{cell.column}` | {cell.exact:.4g} | {measured} | {far} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
