"""Calibrate the verdict: choose its limits on one half of a labelled collection, measure its errors on the other.

Run: python benchmarks/calibration.py (about twenty minutes on one core), or with --second for the second axis
alone (a quarter of an hour). Writes tests/calibration/*.npz (the test half and what docs/calibration.md shows),
docs/calibration.md and analyses/ebmdiag_analyses/verdict/rates.py; says so and writes nothing if the limits in force
are not the ones that the training half asks for.
"""

import sys
import tempfile
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from calibration_axis2 import COLUMNS, placed, read, write  # noqa: E402
from calibration_axis2_page import BEGIN, END, section  # noqa: E402
from calibration_cases import KEPT, SHOWN, Case, counts, judged, keep, place, planted, rates  # noqa: E402
from calibration_chains import made  # noqa: E402
from calibration_columns import columns_of  # noqa: E402
from calibration_families import FAMILIES  # noqa: E402
from calibration_page import page  # noqa: E402
from calibration_runs import diverging, learned, rings  # noqa: E402

from ebmdiag_analyses.verdict import LIMITS, rules  # noqa: E402
from ebmdiag_analyses.verdict.rates import RATES  # noqa: E402

GRIDS: tuple[Mapping[str, tuple[float, ...]], ...] = (
    {"strong": (0.16, 0.18, 0.2, 0.22, 0.24, 0.26), "weak": (0.06, 0.07, 0.08, 0.09, 0.1, 0.12)},
    {"explosion": (3.0, 5.0, 8.0, 12.0, 20.0), "still": (1.2, 1.5, 2.0)},
    {"collapse": (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)},
)
"""Limits that are chosen together; the groups one after the other."""
_UNDETERMINED = "undetermined"
Known = list[tuple[Case, Mapping[str, Any]]]


PAGE = ROOT / "docs" / "calibration.md"


def main() -> None:
    """Simulate, choose, measure, write."""
    if "--second" in sys.argv[1:]:
        second_axis()
        return
    train = [(case, judged(case)) for case in (*planted("train"), *learned("train"))]
    chosen, tables = choose(train)
    in_force = {name: value for name, value in LIMITS.to_json().items() if name in chosen}
    if chosen != in_force:
        sys.exit(f"The training half asks for {chosen}, in force are {in_force}: set them in limits.py, run again.")
    test = [*planted("test"), *learned("test")]
    found = [(case, place(case, verdict(judged(case)))) for case in test]
    shown = list(examples())
    KEPT.parent.mkdir(exist_ok=True)
    keep(test, KEPT)
    keep(shown, SHOWN)
    stable = rates("stability", counts((case.label, where) for case, where in found if case.axis == "stability"))
    shown_places = [(case, verdict(judged(case))) for case in shown]
    measure_second()
    second, measured = told_second()
    write_rates([*stable, *measured])
    PAGE.write_text(page(found, shown_places, stable, chosen, tables, len(train), second), encoding="utf-8")
    print(f"wrote {PAGE.name}")


def second_axis() -> None:
    """Simulate and measure the second axis alone; the rest of the page and its rates stay."""
    measure_second()
    write_second()


def write_second() -> None:
    """Rates and section of the second axis, from what is kept."""
    second, measured = told_second()
    write_rates([*(dict(row) for row in RATES if row["axis"] == "stability"), *measured])
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{second}\n{END}{after}", encoding="utf-8")
    print(f"wrote {PAGE.name}")


def measure_second() -> None:
    """Run and keep the chains and traces of the test half."""
    with tempfile.TemporaryDirectory() as folder:
        write(made(FAMILIES, 1, Path(folder)))
    keep(columns_of(1), COLUMNS)


def told_second() -> tuple[str, list[dict[str, Any]]]:
    """The section of the page and the rates."""
    chains = read()
    measured = rates("convergence", counts(placed(chains)))
    return section(chains, measured), measured


def verdict(known: Mapping[str, Any], limits: Mapping[str, float] | None = None) -> Any:
    """The rules on what was computed before."""
    return rules(known["results"], known["findings"], known["metadata"], limits)


def choose(train: Known) -> tuple[dict[str, float], list[dict[tuple[float, ...], float]]]:
    """Best score over each grid, the middle one of equals; and the scores."""
    chosen: dict[str, float] = {}
    tables = []
    mine = [(case, known) for case, known in train if case.axis == "stability"]
    for grid in GRIDS:
        scores = {}
        for values in product(*grid.values()):
            limits = {**chosen, **dict(zip(grid, values, strict=True))}
            scores[values] = score((case.label, place(case, verdict(known, limits))) for case, known in mine)
        tables.append(scores)
        best = [values for values, one in scores.items() if one > max(scores.values()) - 1e-9]
        chosen |= dict(zip(grid, _middle(best), strict=True))
    return chosen, tables


def _middle(best: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Of the best points the one nearest to their mean, in logarithms."""
    points = np.log(np.array(best))
    return best[int(np.argmin(((points - points.mean(0)) ** 2).sum(1)))]


def score(pairs: Iterable[tuple[str, str]]) -> float:
    """Mean over labels: 1 where the place is the label, 0 where it is undetermined, -1 where it is another."""
    rows: dict[str, list[int]] = {}
    for label, found in pairs:
        rows.setdefault(label, []).append(1 if found == label else 0 if found == _UNDETERMINED else -1)
    return float(np.mean([np.mean(row) for row in rows.values()]))


def examples() -> Iterable[Case]:
    """What the page shows beside the collection: recipes cut short, and a gain just above 2."""
    yield rings("rings", ("langevin.steps=50", "langevin.bank=1000"), 300)
    yield rings("rings-nonconvergent", (), 300)
    yield diverging(2.2, 1)


def write_rates(measured: list[dict[str, Any]]) -> None:
    """The module that the rules hand over."""
    lines = [
        '"""Measured error rates of the places: written by benchmarks/calibration.py, kept true by a test."""',
        "",
        "from collections.abc import Mapping",
        "from typing import Any",
        "",
        f"RATES: tuple[Mapping[str, Any], ...] = {pformat(tuple(measured), width=110, sort_dicts=False)}",
        "",
    ]
    path = ROOT / "analyses" / "ebmdiag_analyses" / "verdict" / "rates.py"
    path.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
