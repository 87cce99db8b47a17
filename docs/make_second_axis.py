"""Write docs/second_axis.md from two runs with long runs:  python docs/make_second_axis.py FLOWERS RINGS TABLE

The page's "How it was made" says how both were run. TABLE names the long run of RINGS that the verdict is read from.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ebmdiag.chains import ChainFiles, read_samples
from ebmdiag.result import Finding
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses import convergence, landscape
from ebmdiag_trainers.pictures import image_grid

HERE = Path(__file__).parent
PAGE = HERE / "second_axis.md"
MARKS = {"info": "=", "warning": "!", "error": "!!"}
SHOWN = 24


def main() -> None:
    """Analyse, draw and write."""
    flowers, rings, table = sys.argv[1:]
    PAGE.write_text(page(RunFolder.of(flowers), RunFolder.of(rings), table), encoding="utf-8")
    print(f"wrote {PAGE.name}")


def page(flowers: RunFolder, rings: RunFolder, table: str) -> str:
    """The whole page."""
    found = convergence.analyse(flowers, convergence.Options())
    side_by_side(flowers, str(found.settings["table"]), HERE / "images" / "flowers_short_long.png")
    settled = convergence.analyse(rings, convergence.Options(table=table))
    save(convergence.draw(found)[0].figure, "flowers_energy.png")
    truth = landscape.analyse(rings, landscape.Options())
    drawings = {drawing.name: drawing for drawing in landscape.draw(truth)}
    save(next(iter(drawings.values())).figure, "rings_truth.png")
    return TEXT.format(
        flowers=said(convergence.judge(found)),
        rings=said(convergence.judge(settled)),
        table=table,
        truth=said(landscape.judge(truth)),
        over_training=over_training(truth),
    )


def said(findings: list[Finding]) -> str:
    """Findings as the command prints them."""
    return "\n".join(f"{MARKS[finding.severity]} {finding.statement}" for finding in findings)


def over_training(result: landscape.Result) -> str:
    """KL of both laws at some iterations, as a markdown table."""
    table = next(iter(result.tables.values()))
    names = ("step", "kl_learned", "tv_learned", "kl_short", "tv_short", "kl_floor")
    chosen = np.unique(np.linspace(0, len(table) - 1, 9).round().astype(int))
    rows = ["| iteration | KL, TV of exp(-U) | KL, TV of short runs | KL of exact samples |", "|---|---|---|---|"]
    for place in chosen:
        step, *numbers = (float(table.columns[name][place]) for name in names)
        learned, tv_learned, short, tv_short, floor = numbers
        rows.append(f"| {step:,.0f} | {learned:.3f}, {tv_learned:.3f} | {short:.3f}, {tv_short:.3f} | {floor:.3f} |")
    return "\n".join(rows)


def side_by_side(run: RunFolder, table: str, path: Path) -> None:
    """Short runs left, long runs right; no data, which are not ours to show."""
    samples = read_samples(ChainFiles.of(run.chains / f"{table}.parquet").samples)
    assert samples.short is not None
    assert samples.long is not None
    grids = [image_grid(torch.from_numpy(states[:SHOWN])) for states in (samples.short, samples.long[::2])]
    gap = np.full((max(len(grid) for grid in grids), 12, 3), 255, np.uint8)
    padded = [np.pad(grid, ((0, len(gap) - len(grid)), (0, 0), (0, 0)), constant_values=128) for grid in grids]
    picture = Image.fromarray(np.concatenate([padded[0], gap, padded[1]], axis=1))
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST).save(path)


def save(figure: object, name: str) -> None:
    """Into the folder of pictures."""
    figure.savefig(HERE / "images" / name, dpi=100)  # type: ignore[attr-defined]


TEXT = """# Two runs on the second axis

Are good short-run samples samples of the model? Nijkamp et al. 2020 answer by looking at long chains. Here both
answers are measured, on two short CPU runs. Made by `python docs/make_second_axis.py`.

## Flowers, non-convergent: short runs are pictures, long runs are colour blocks

A VanillaNet after 400 iterations of the recipe `flowers` with batch 16 and L = 60 on the real Oxford flowers, 500 of
them held out. Left where 60-step chains from noise end, right where 4,000-step chains from data end:

![short runs with faint flowers; long runs that are blocks of pure red and yellow](images/flowers_short_long.png)

`ebmdiag convergence` says:

```
{flowers}
```

![energy over the steps](images/flowers_energy.png)

This is what the paper shows for its section 4.2: d is near 0 and oscillates, 60 steps give flowers, and the density
that exp(-U) stands for is elsewhere.

## Rings, convergent: short runs sample the model

A ToyNet after 20,000 iterations of `rings`. Underdamped Langevin with Metropolis correction, since plain Langevin at
ε = 0.125 needs over 100,000 steps to mix (table `{table}`):

```
{rings}
```

Beside the truth, which is known here (`ebmdiag landscape`):

```
{truth}
```

{over_training}

![KL and total variation over the iterations](images/rings_truth.png)

A kernel density of exact samples already scores the KL in the last column: short runs are to be held against that, not
against 0.

## How it was made

```sh
ebmdiag train flowers --data 102flowers.tgz --steps 400 --set training.batch=16 --set langevin.steps=60 \\
    --set data.held_out=500 -o runs/flowers.parquet
ebmdiag sample runs/flowers.parquet --steps 4000 --chains 32 --thin 20 --data 102flowers.tgz
ebmdiag train rings --steps 20000 --set trace.samples_every=500 --set long_run.every=5000 \\
    --set long_run.steps=20000 --set long_run.probe_every=1000
ebmdiag sample runs/sec4_1 --sampler underdamped --steps 20000 --chains 200 --thin 20
```
"""

if __name__ == "__main__":
    main()
