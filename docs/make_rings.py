"""Write docs/rings.md from the folder of a run of the recipe `rings`:  python docs/make_rings.py runs/sec4_1.parquet

The run's landscapes hold the true log density, U and short-run samples on one grid; densities are compared there.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from ebmdiag import read_trace
from ebmdiag.report.landscape import BANDWIDTH, compare, draw
from ebmdiag.report.pictures import Landscape, read_landscape
from ebmdiag.report.style import SERIES, house_style
from ebmdiag.runfolder import RunFolder
from ebmdiag.trace import Trace

HERE = Path(__file__).parent
PAGE = HERE / "rings.md"
SHOWN = (1_000, 5_000, 10_000, 31_000, 62_000, 93_000, 150_000, 200_000)
PICTURES = (31_000, 93_000, 200_000)
WINDOW = 1_000
COLUMNS = ("d_s_t", "r_t", "virial", "configurational_temperature", "mh_acceptance", "energy_auc")


def main() -> None:
    """Read, compare, draw and write."""
    trace = read_trace(sys.argv[1])
    folder = RunFolder.of(Path(sys.argv[1])).landscape
    found = [read_landscape(path, int(path.stem.removeprefix("step_"))) for path in sorted(folder.glob("step_*.npz"))]
    steps = np.array([landscape.step for landscape in found])
    learned = np.array([(c.divergence, c.total_variation) for c in map(compare, found)])
    short = np.array([short_run(landscape) for landscape in found])
    curves(steps, learned, short, HERE / "images" / "rings_distance.png")
    for landscape in found:
        if landscape.step in PICTURES:
            drawing, _ = draw(landscape)
            drawing.figure.savefig(HERE / "images" / f"rings_{landscape.step}.png", dpi=110)
    PAGE.write_text(page(trace, steps, learned, short), encoding="utf-8")
    print(f"wrote {PAGE.name}: {len(found)} landscapes up to step {steps[-1]}")


def short_run(landscape: Landscape) -> tuple[float, float]:
    """KL(truth, short-run law) and total variation, the law by a Gaussian kernel density of the samples."""
    grid = landscape.grid
    points = np.stack(np.meshgrid(grid, grid)).reshape(2, -1)
    kernel = gaussian_kde(landscape.samples.T, bw_method=lambda kde: BANDWIDTH * kde.scotts_factor())
    smooth = np.log(np.maximum(kernel(points), 1e-300)).reshape(len(grid), len(grid))
    found = compare(Landscape(landscape.step, grid, landscape.log_true, -smooth, landscape.samples))
    return found.divergence, found.total_variation


def curves(steps: np.ndarray, learned: np.ndarray, short: np.ndarray, path: Path) -> None:
    """Both distances over the iterations."""
    with house_style():
        figure = Figure(figsize=(7.5, 2.8), layout="constrained")
        for axes, column, title in zip(figure.subplots(1, 2), (0, 1), ("KL(truth, ·)", "total variation"), strict=True):
            axes.plot(steps, learned[:, column], color=SERIES[0], label="exp(−U)")
            axes.plot(steps, short[:, column], color=SERIES[1], label="short runs (kernel density)")
            axes.set(title=title, xlabel="iteration", ylim=(0, None))
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
        distances = [f"{row[at, 0]:.3f}, {row[at, 1]:.3f}" for row in (learned, short)]
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


NOTES = """
"""

if __name__ == "__main__":
    main()
