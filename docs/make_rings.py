"""Write docs/rings.md from the folder of a run of the recipe `rings`:  python docs/make_rings.py runs/sec4_1.parquet

The run's landscapes hold the true log density, U and short-run samples on one grid; densities are compared there.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ebmdiag import read_trace
from ebmdiag.numerics.planar import Comparison
from ebmdiag.numerics.planar_kernel import BANDWIDTH
from ebmdiag.report.landscape import compare, compare_short_run, draw
from ebmdiag.report.pictures import by_step, read_landscape
from ebmdiag.report.style import SERIES, house_style
from ebmdiag.runfolder import RunFolder
from ebmdiag.trace import Trace

HERE = Path(__file__).parent
PAGE = HERE / "rings.md"
SHOWN = (1_000, 5_000, 10_000, 31_000, 62_000, 93_000, 100_000, 104_000, 106_000, 150_000, 200_000)
PICTURES = (31_000, 93_000, 110_000)
WINDOW = 1_000
COLUMNS = ("d_s_t", "r_t", "virial", "configurational_temperature", "mh_acceptance", "energy_auc")


def main() -> None:
    """Read, compare, draw and write."""
    trace = read_trace(sys.argv[1])
    folder = RunFolder.of(Path(sys.argv[1])).landscape
    found = [read_landscape(path, step) for step, path in by_step(folder, "npz")]
    steps = np.array([landscape.step for landscape in found])
    learned = np.array([distances(compare(landscape)) for landscape in found])
    short = np.array([distances(compare_short_run(landscape)) for landscape in found])
    curves(steps, learned, short, HERE / "images" / "rings_distance.png")
    for landscape in found:
        if landscape.step in PICTURES:
            drawing, _ = draw(landscape)
            drawing.figure.savefig(HERE / "images" / f"rings_{landscape.step}.png", dpi=110)
    PAGE.write_text(page(trace, steps, learned, short), encoding="utf-8")
    print(f"wrote {PAGE.name}: {len(found)} landscapes up to step {steps[-1]}")


def distances(found: Comparison | None) -> tuple[float, float]:
    """KL(truth, law) and total variation; NaN where short runs have no kernel density."""
    return (np.nan, np.nan) if found is None else (found.divergence, found.total_variation)


def curves(steps: np.ndarray, learned: np.ndarray, short: np.ndarray, path: Path) -> None:
    """Both distances over the iterations."""
    with house_style():
        figure = Figure(figsize=(7.5, 2.8), layout="constrained")
        for axes, column, title in zip(figure.subplots(1, 2), (0, 1), ("KL(truth, ·)", "total variation"), strict=True):
            axes.plot(steps, learned[:, column], color=SERIES[0], label="exp(−U)")
            axes.plot(steps, short[:, column], color=SERIES[1], label="short runs (kernel density)")
            axes.set(title=title, xlabel="iteration", ylim=(0, 0.8))
            axes.legend()
        figure.savefig(path, dpi=110)


def page(trace: Trace, steps: np.ndarray, learned: np.ndarray, short: np.ndarray) -> str:
    """The whole page."""
    facts = trace.metadata
    rows = ["| iteration | KL, TV of exp(−U) | KL, TV of short runs | " + " | ".join(f"`{c}`" for c in COLUMNS) + " |"]
    rows.append("|---" * (len(COLUMNS) + 3) + "|")
    for step in [step for step in (*SHOWN, int(steps[-1])) if step in steps]:
        at = int(np.flatnonzero(steps == step)[0])
        window = trace.between(max(1, step - WINDOW + 1), step)
        means = [f"{window.series(column).mean():.4g}" for column in COLUMNS]
        distances = [f"{_divergence(row[at, 0])}, {row[at, 1]:.3f}" for row in (learned, short)]
        row = f"| {step:,} | {' | '.join([*distances, *means])} |"
        if row not in rows:
            rows.append(row)
    hours = float(trace.series("elapsed_s")[-1]) / 3600
    pictures = [f"![iteration {step:,}](images/rings_{step}.png)" for step in PICTURES if step in steps]
    return "\n".join(
        [
            "# Section 4.1: the four rings",
            "",
            f"Made by `python docs/make_rings.py` from one run of the recipe `rings` as it stands "
            f"({int(trace.steps[-1]):,} iterations, seed {facts.seed}, engine "
            f"`{facts.recipe['langevin']['engine']}`, {facts.device}, {hours:.2f} hours beside other work). Learned "
            "density: exp(−U) normalized on the square that is shown. Short runs: Gaussian kernel density "
            f"({BANDWIDTH} × Scott's bandwidth) of at most as many chains of the bank as the landscape file keeps. "
            f"Statistics: means over the last {WINDOW:,} iterations.",
            "",
            *rows,
            "",
            "![distances](images/rings_distance.png)",
            "",
            *[line for picture in pictures for line in (picture, "")],
            NOTES.rstrip(),
            "",
        ]
    )


def _divergence(value: float) -> str:
    return f"{value:.3f}" if value < 1000 else "beyond 1000"


NOTES = """
## What came out, against the notes that asked for it

- By 31,000 iterations the kernel density of the short runs shows the four rings, as was reported. The energy shows
  them too, unevenly.
- At 93,000 the short runs are as good as they get (KL 0.21, of which the kernel's own blur is a part). exp(-U) has
  thin, uneven ridges where the rings are: it was closest to the truth around 40,000 to 55,000 (KL 0.1 to 0.2).
- It did not stay there. Learning became unstable after 100,000 and d exceeded its limit at iteration 110,543; an energy
  that stays near the truth up to 200,000, with small perturbations, was reported. Two more runs from the checkpoint at
  100,000, with other random numbers, diverged at 105,827 and 107,413, so this is no accident of one seed. At 100,000,
  106,981 and 110,000 the reference engine and the fused one agree on 1,000 chains within sampling errors, so it is not
  the engine either. What differs from the reported run is not known: its data were drawn slightly otherwise
  ([data.md](data.md)), and its seed is another.

## Why: the step is as long as the rings are wide

d, r and the virial look healthy up to 100,000: d is near 0, r settles, the virial is 1, so the chains are stationary.
`configurational_temperature` does not: 1.7 at 31,000, 1.9 at 62,000, 2.07 at 93,000. It needs no truth to compare with.

One Gaussian of precision λ shows what that means. The unadjusted chain on it has the variance 1 / (λ (1 - ε²λ/4)),
more than 1/λ, so learning makes λ larger than the data's precision until the *chain* has the data's variance:

    λ (1 - ε²λ/4) = 1/σ²,   temperature 1 / (1 - ε²λ/4).

The left side is at most 1/ε², at λ = 2/ε², where the temperature is 2. Data narrower than ε cannot be learned at all,
and beyond a temperature of 2 a steeper energy makes the chains wider: d < 0 then makes it steeper still, and learning
runs away. The rings have σ = 0.15 and the recipe ε = 0.125, close to that fold; a net is not a Gaussian, but in this
run the temperature rose without a pause, passed 2 near iteration 78,000, and the bursts began some 25,000 iterations
later, each of them an expansion (d < 0, r growing). For the Gaussian all of this is exact and tested
(`tests/trainers/test_gaussian.py`); that the same fold breaks the rings is a hypothesis. It says what to try: a smaller
ε at the end of learning, or a Metropolis correction.
"""

if __name__ == "__main__":
    main()
