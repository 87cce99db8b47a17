"""What the benchmarks share: interleaved repetitions, and medians with their spread."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import numpy as np
import torch


def interleaved(
    cases: Mapping[str, Callable[[], object]], repetitions: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Seconds of each repetition, by this clock. Cases take turns, so that a busy moment of the machine hits all."""
    for case in cases.values():  # what is compiled, allocated or looked up at first
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repetitions):
        for name, case in cases.items():
            begun = clock()
            case()
            seconds[name].append(clock() - begun)
    return {name: np.array(values) for name, values in seconds.items()}


def spread(values: np.ndarray, unit: float = 1.0) -> str:
    """Median, and the least and the greatest in brackets, in multiples of ``unit``."""
    low, middle, high = np.quantile(values / unit, [0, 0.5, 1])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Where this was measured, in words."""
    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}, Numba {version('numba')}"
    return f"{platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f} at the start, {versions}"
