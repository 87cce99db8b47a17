"""Tables of chains made from exactly known processes: what a long run of a known density looks like.

States are planar or longer vectors x with U = ‖x‖²/2, so that exp(-U) is the standard normal law. Chains are AR(1) per
coordinate, x' = f x + √(1 - f²) z, which leaves it exactly invariant; f per recorded draw.
"""

import dataclasses

import numpy as np
from scipy.signal import lfilter

from ebmdiag.chains import ChainFiles, ChainsMetadata, ChainWriter, Samples, write_samples
from ebmdiag.chains.schema import PROJECTIONS
from ebmdiag.runfolder import RunFolder

THIN = 10
L = 100


@dataclasses.dataclass
class Course:
    """The states of M chains at D draws, shape (M, D, N), and what else was recorded, measure → (M, D)."""

    states: np.ndarray
    draws: np.ndarray
    init: str = "data"
    starts: np.ndarray | None = None
    more: dict = dataclasses.field(default_factory=dict)

    def values(self):
        x = self.states
        moved = np.linalg.norm(x - x[:, :1], axis=2)
        found = {"energy": (x**2).sum(2) / 2, "grad_norm": np.linalg.norm(x, axis=2), "displacement": moved}
        found |= {f"projection_{k}": x[:, :, k] for k in range(min(PROJECTIONS, x.shape[2]))}
        return found | self.more

    def numbers(self):
        return np.arange(len(self.states)) if self.starts is None else self.starts


def autoregressive(rng, start, draws, f):
    """AR(1) from ``start`` (M, N): shape (M, draws + 1, N), the start among them."""
    noise = np.sqrt(1 - f**2) * rng.standard_normal((len(start), draws, start.shape[1]))
    rest, _ = lfilter([1.0], [1.0, -f], noise, axis=1, zi=(f * start)[:, None, :])
    return np.concatenate((start[:, None, :], rest), axis=1)


def settled(rng, chains=64, draws=400, f=0.5, dimension=2, copies=1, shift=0.0):
    """Three phases of one law: data, short runs of L steps and long runs, all standard normal.

    Args:
        rng: generator.
        chains, draws, f: of the long run, 10 steps from draw to draw.
        dimension: N.
        copies: long chains of each start.
        shift: of the short runs' ends.
    """
    data = rng.standard_normal((chains, dimension))
    begin = np.repeat(rng.standard_normal((chains // copies, dimension)), copies, axis=0)
    ends = rng.standard_normal((chains, dimension))
    short = np.linspace(3, 0, 6)[None, :, None] + ends[:, None, :]
    short[:, -1] = ends + shift
    return {
        "data": Course(data[:, None, :], np.array([0])),
        "short": Course(short, np.linspace(0, L, 6).astype(int), "noise"),
        "long": Course(
            autoregressive(rng, begin, draws, f),
            THIN * np.arange(draws + 1),
            "data",
            np.repeat(np.arange(chains // copies), copies),
        ),
    }


def moved(course, shift, place=slice(None)):
    """The same chains, with coordinate 0 shifted at the draws ``place``."""
    states = course.states.copy()
    states[:, place, 0] += shift
    return dataclasses.replace(course, states=states)


def with_measure(courses, name, values):
    """The same with a further measure; ``values``: phase → (M, D)."""
    return {
        kind: dataclasses.replace(course, more={**course.more, **({name: values[kind]} if kind in values else {})})
        for kind, course in courses.items()
    }


def written(run, name, courses, *, samples=True, nearest=None, finished=True, end=None, **facts):
    """Write a table of chains, and whole states beside it, into a run's folder; the table's files.

    Args:
        run: path of the run's trace, which need not be there.
        name: of the table.
        courses: phase → :class:`Course`.
        samples: whether whole states are written.
        nearest: phase → distances to the nearest training item.
        finished: False leaves parts, as of chains that still run.
        end: last facts of the metadata, as of chains that diverged.
        facts: of the metadata.
    """
    files = ChainFiles.of(RunFolder.of(run).chains / f"{name}.parquet")
    files.table.parent.mkdir(parents=True, exist_ok=True)
    writer = ChainWriter(files, metadata(courses, **facts))
    with writer:
        for kind, course in courses.items():
            values = course.values()
            for place, draw in enumerate(course.draws):
                columns = {key: series[:, place] for key, series in values.items()}
                writer.append(kind, course.init, int(draw), course.numbers(), columns)
        writer.flush()
        if finished:
            writer.finish(**(end or {}))
    if samples:
        ends = {kind: course.states[:, -1].astype(np.float32) for kind, course in courses.items()}
        write_samples(
            files.samples, Samples(**ends, **{f"nearest_{kind}": far for kind, far in (nearest or {}).items()})
        )
    return files


def metadata(courses, **facts):
    long = courses.get("long")
    known = {
        "producer": "test",
        "sampler": {"name": "mala", "step_size": 0.1, "exact": True, "adjusted": True},
        "epsilon": 0.1,
        "short_steps": L,
        "short_start": "noise",
        "training_step": 1000,
        "shape": [2, 1, 1],
        "held_out": True,
        "thin": THIN,
    }
    if long is not None:
        starts = long.numbers()
        known |= {"init": long.init, "steps": int(long.draws[-1]), "chains": len(starts)}
        known["copies"] = len(starts) // len(np.unique(starts))
    return ChainsMetadata(**(known | facts))
