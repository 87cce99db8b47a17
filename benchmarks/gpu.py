"""On a machine with a CUDA device: do the GPU engines agree with the reference engine, and how fast are they?

Run: python benchmarks/gpu.py [repetitions]. Takes some minutes. Exits with 1 if an engine does not agree, and with 0,
having said so, where there is no CUDA device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial

import numpy as np
import torch
from timing import interleaved, machine, spread, table
from torch import Tensor, nn

from ebmdiag_trainers.engines import choose_engine
from ebmdiag_trainers.engines.agreement import check_on_device
from ebmdiag_trainers.engines.contract import Chain, Engine
from ebmdiag_trainers.engines.gpu_selection import GPU_ENGINES, GRAPHED, TRITON
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.precision import PRECISIONS, tf32
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.nets import build_net

EPSILON, STEPS, CHAINS = 0.125, 100, 20_000
SHAPES = {"ToyNet": (2, 1, 1), "VanillaNet": (3, 32, 32), "NonlocalNet": (3, 32, 32)}
TIMED = {"ToyNet": (100, 1000, 10_000), "VanillaNet": (100,), "NonlocalNet": (100,)}
MOST_ERRORS = 4.5  # standard errors; some hundred comparisons are made


def net_of(name: str) -> nn.Module:
    """A net of the paper with weights from a fixed seed, on the device."""
    torch.manual_seed(0)
    return build_net(name, {}, SHAPES[name]).cuda()


def start_of(name: str, chains: int) -> Tensor:
    """Uniform starts on [-1, 1]."""
    generator = torch.Generator("cuda").manual_seed(1)
    return 2 * torch.rand(chains, *SHAPES[name], generator=generator, device="cuda") - 1


def engines(name: str) -> dict[str, Engine]:
    """The engines that this net may run on, in each precision."""
    kinds = GPU_ENGINES if name == "ToyNet" else (GRAPHED,)
    return {f"{kind}, {precision}": choose_engine(kind, precision) for kind in kinds for precision in PRECISIONS}


def worst_distance(found: Chain, expected: Chain) -> tuple[float, str]:
    """Largest difference of means over chains among all sums and moments of the ends, in standard errors."""
    pairs: dict[str, tuple[Tensor, Tensor]] = {
        "end": (found.end.flatten(1).double().mean(1), expected.end.flatten(1).double().mean(1)),
        "end squared": (
            found.end.flatten(1).double().square().sum(1),
            expected.end.flatten(1).double().square().sum(1),
        ),
    }
    for field in fields(expected.sums):
        a, b = getattr(found.sums, field.name), getattr(expected.sums, field.name)
        if isinstance(a, Tensor) and isinstance(b, Tensor) and field.name != "first_energy":  # this has no chance in it
            pairs[field.name] = (a, b)
    return max((_distance(a, b), name) for name, (a, b) in pairs.items())


def _distance(a: Tensor, b: Tensor) -> float:
    error = float((a.var() / len(a) + b.var() / len(b)).sqrt())
    difference = abs(float(a.mean() - b.mean()))
    return 0.0 if difference == 0 else difference / max(error, 1e-300)


def check(name: str, chains: int) -> bool:
    """Print how the engines agree in law; whether those in float32 do."""
    net, start, good = net_of(name), start_of(name, chains), True
    expected = run_reference(net, start, STEPS, EPSILON, torch.Generator("cuda").manual_seed(2), None, True)
    rows = []
    for label, engine in engines(name).items():
        found = engine(net, start, STEPS, EPSILON, torch.Generator("cuda").manual_seed(3), None, True)
        distance, where = worst_distance(found, expected)
        agrees = distance < MOST_ERRORS
        good &= agrees or "float32" not in label
        rows.append([f"{name}, {label}", f"{distance:.2f}", where, "yes" if agrees else "NO"])
    print(table([f"in law, {chains} chains", "standard errors", "of", "agrees"], rows), end="\n\n")
    return good


def check_paths() -> bool:
    """Print whether paths agree: the kernel with given noise, and the graphs with the reference's own generator."""
    rows, good = [], True
    try:
        check_on_device(choose_engine(TRITON), net_of("ToyNet"), SHAPES["ToyNet"], torch.device("cuda", 0))
        rows.append(["triton, given noise", "yes"])
    except UnfitError as error:
        rows.append(["triton, given noise", f"NO: {error}"])
        good = False
    net, start = net_of("ToyNet"), start_of("ToyNet", 100)
    ours, theirs = (torch.Generator("cuda").manual_seed(4) for _ in range(2))
    found = choose_engine(GRAPHED)(net, start, STEPS, EPSILON, ours)
    expected = run_reference(net, start, STEPS, EPSILON, theirs)
    same = torch.equal(ours.get_state(), theirs.get_state())
    difference = float((found.end - expected.end).abs().max())
    good &= same and difference < 1e-3
    rows.append(["graphed, one generator: its state afterwards", "the same" if same else "NOT the same"])
    rows.append(["graphed, one generator: largest difference of ends", f"{difference:.2g}"])
    print(table(["path by path", ""], rows), end="\n\n")
    return good


def measure(name: str, repetitions: int) -> None:
    """Print microseconds of a Langevin step."""
    columns, net = [], net_of(name)
    kinds: dict[str, Engine] = {"reference": run_reference, **engines(name)}
    for chains in TIMED[name]:
        start, generator = start_of(name, chains), torch.Generator("cuda").manual_seed(1)
        cases = {
            label: _synchronized(partial(engine, net, start, STEPS, EPSILON, generator))
            for label, engine in kinds.items()
        }
        seconds = interleaved(cases, repetitions)
        columns.append([spread(np.asarray(seconds[label]), 1e-6 * STEPS) for label in cases])
    head = [f"{name}: microseconds a step", *(f"{chains} chains" for chains in TIMED[name])]
    print(table(head, [[label, *(column[i] for column in columns)] for i, label in enumerate(kinds)]), end="\n\n")


def _synchronized(case: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        result = case()
        torch.cuda.synchronize()
        return result

    return run


def main() -> int:
    """Check, then measure."""
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py needs a CUDA device, and PyTorch finds none here: nothing was checked or measured.")
        return 0
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tf32(False):  # for the reference engine too: by default PyTorch lets convolutions use it
        return check_and_measure(repetitions)


def check_and_measure(repetitions: int) -> int:
    """0 if all engines in float32 agree."""
    print(f"{machine()}, {torch.cuda.get_device_name()}; medians and quartiles of interleaved repetitions\n")
    good = check_paths()
    good &= check("ToyNet", CHAINS)
    good &= check("VanillaNet", 200)
    for name in TIMED:
        measure(name, repetitions)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
