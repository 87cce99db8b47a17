"""The families of the second axis: densities, starts, lengths and steps, by what makes them hard."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from calibration_axis2 import UNSEEN
from calibration_chains import Chained, Law
from calibration_densities import Banana, Density, Student, Toy, TwoModes, correlated, scales
from torch import Tensor

from ebmdiag_trainers.data.toy import EightGaussians, Rings

UNCROSSED = "modes that no chain crosses"


def leaning(share: float) -> Law:
    """Exact samples of two modes with another weight of the first."""

    def law(model: Density, count: int, generator: torch.Generator) -> Tensor:
        assert isinstance(model, TwoModes)
        sign = torch.where(torch.rand(count, generator=generator) < share, 1.0, -1.0).double()
        return model.placed(sign, generator).float().reshape(count, *model.shape)

    return law


def _between_modes(model: Density, count: int, generator: torch.Generator) -> Tensor:
    """Near one point, from which four of five chains or so go to the first mode."""
    assert isinstance(model, TwoModes)
    near = 0.18 * model.axis.double() + 0.01 * torch.randn(
        count, model.coordinates, generator=generator, dtype=torch.float64
    )
    return near.float().reshape(count, *model.shape)


def shifted(by: float) -> Law:
    """Exact samples, moved in every coordinate."""
    return lambda model, count, generator: model.draw(count, generator) + by


def _modes(apart: float, weight: float = 0.5, coordinates: int = 2, *, hidden: bool = False) -> Callable[[], Density]:
    return lambda: TwoModes(apart, weight, coordinates, hidden=hidden)


def _families() -> Iterator[Chained]:
    yield from _agreeing()
    yield from _residuals()
    yield from _uncrossed()
    yield from _large_steps()
    yield from _copies()
    yield from _little_evidence()
    yield from _forks()


def _agreeing() -> Iterator[Chained]:
    group = "exact densities, short runs long enough"
    yield Chained(name="correlated normal, rho = 0.8", density=correlated, group=group)
    yield Chained(name="... long runs from noise", density=correlated, group=group, init="noise", copies=1)
    yield Chained(name="... plain Langevin", density=correlated, group=group, epsilon=0.2, steps_short=500,
                  sampler="langevin", steps=8000, thin=20)  # fmt: skip
    yield Chained(name="Student t, 5 degrees of freedom", density=Student, group=group, steps_short=400)
    yield Chained(name="banana", density=Banana, group=group, epsilon=0.15, steps_short=2000, sampler="hmc",
                  step=0.25, options={"leapfrog": 10})  # fmt: skip
    yield Chained(name="two scales, 1 and 0.1", density=lambda: scales((1.0, 1.0, 0.1, 0.1)), group=group,
                  epsilon=0.06, steps_short=2500, sampler="hmc", step=0.1, options={"leapfrog": 10})  # fmt: skip
    yield Chained(name="two modes 3 sd apart", density=_modes(3.0), group=group, steps_short=1000)
    yield Chained(name="two modes 4 sd apart, weight 0.3", density=_modes(4.0, 0.3), group=group, steps_short=3000,
                  steps=20000, thin=50)  # fmt: skip
    yield Chained(name="eight Gaussians, width 0.25", density=lambda: Toy(EightGaussians(0.25)), group=group,
                  epsilon=0.08, steps_short=1500, step=0.2, steps=8000, thin=20)  # fmt: skip
    yield Chained(name="100 normals", density=lambda: scales((1.0,) * 100), group=group)
    yield Chained(name="persistent bank, correlated normal", density=correlated, group=group, start="persistent",
                  init="bank", bank=lambda model, count, generator: model.draw(count, generator),
                  steps_short=20)  # fmt: skip


def _residuals() -> Iterator[Chained]:
    group = "what is left of the start after L steps"
    for share, steps in ((0.01, 102), (0.05, 66), (0.1, 51), (0.2, 36), (0.4, 20)):
        yield Chained(name=f"normal from 10 sd, {share:.0%} left", density=lambda: scales((1.0,) * 4), group=group,
                      scale=10.0, steps_short=steps)  # fmt: skip
    yield Chained(name="correlated normal, L too short", density=correlated, group=group, scale=3.0, steps_short=12)
    yield Chained(name="... data from the model", density=correlated, group=group, scale=3.0, steps_short=12,
                  data="model")  # fmt: skip
    yield Chained(name="... long runs from noise, plain steps", density=correlated, group=group, scale=3.0,
                  steps_short=20, sampler="langevin", init="noise", copies=1)  # fmt: skip
    yield Chained(name="Student t, from far, L too short", density=Student, group=group, scale=5.0, steps_short=30)
    yield Chained(name="banana, L too short", density=Banana, group=group, epsilon=0.15, scale=0.3, steps_short=25,
                  sampler="hmc", step=0.25, options={"leapfrog": 10})  # fmt: skip
    yield Chained(name="two scales, the wide one too slow", density=lambda: scales((1.0, 1.0, 0.1, 0.1)), group=group,
                  epsilon=0.06, scale=0.3, steps_short=100, sampler="hmc", step=0.1,
                  options={"leapfrog": 10})  # fmt: skip
    yield Chained(name="eight Gaussians, from one side", density=lambda: Toy(EightGaussians(0.25)), group=group,
                  epsilon=0.08, start="persistent", init="data", steps_short=100, step=0.2, steps=8000, thin=20,
                  bank=lambda model, count, generator: model.draw(count, generator).abs())  # fmt: skip


def _uncrossed() -> Iterator[Chained]:
    group = UNCROSSED
    for init, copies, chains in (("data", 2, 128), ("data", 1, 128), ("noise", 1, 128), ("noise", 2, 128)):
        yield Chained(name=f"two modes 10 sd apart, weight 0.2; {init}, copies {copies}", density=_modes(10.0, 0.2),
                      group=group, init=init, copies=copies, chains=chains)  # fmt: skip
    for init, copies in (("data", 2), ("data", 1), ("noise", 1), ("noise", 2)):
        yield Chained(name=f"hidden modes 8 sd apart in 100 dimensions, weight 0.2; {init}, copies {copies}",
                      density=_modes(8.0, 0.2, 100, hidden=True), group=group, init=init, copies=copies)  # fmt: skip
    yield Chained(name="hidden modes 8 sd apart in 50 dimensions; a bank at one point between, copies 4", group=UNSEEN,
                  density=_modes(8.0, 0.5, 50, hidden=True), init="bank", start="persistent", bank=_between_modes,
                  copies=4, epsilon=0.2, steps_short=300)  # fmt: skip
    yield Chained(name="two modes 10 sd apart; a bank at one point between, copies 4", group=group,
                  density=_modes(10.0, 0.5), init="bank", start="persistent", bank=_between_modes, copies=4,
                  epsilon=0.2, steps_short=300)  # fmt: skip
    yield Chained(name="... from a bank", density=_modes(8.0, 0.2, 100, hidden=True), group=group, init="bank",
                  start="persistent", bank=leaning(0.6), steps_short=20)  # fmt: skip
    yield Chained(name="hidden modes 5.5 sd apart in 20 dimensions, weight 0.05; noise, copies 1", group=group,
                  density=_modes(5.5, 0.05, 20, hidden=True), init="noise", copies=1, steps=2000, thin=10)  # fmt: skip
    yield Chained(name="rings from noise, long from data", density=lambda: Toy(Rings()), group=group, epsilon=0.1,
                  scale=1.0, steps_short=100, step=0.15)  # fmt: skip
    yield Chained(name="rings from noise, long from noise", density=lambda: Toy(Rings()), group=group, epsilon=0.1,
                  scale=1.0, steps_short=100, sampler="langevin", init="noise", copies=1)  # fmt: skip
    group = UNSEEN
    yield Chained(name="rare mode never seen, weight 0.3; data, copies 2", density=_modes(10.0, 0.7), group=group,
                  start="persistent", bank=leaning(1.0), steps_short=50)  # fmt: skip
    yield Chained(name="... noise about one mode, copies 1", density=_modes(16.0, 0.7, 5), group=group,
                  start="persistent", init="bank", copies=1, bank=leaning(1.0), steps_short=50)  # fmt: skip


def _large_steps() -> Iterator[Chained]:
    group = "steps so large that the chain's law is another"
    for bias in (0.02, 0.1, 0.35, 0.5, 0.7):
        for sampler, step in (("langevin", 0.0), ("mala", 0.5)):
            yield Chained(name=f"normals, h²λ/4 = {bias:g}, long run {sampler}", density=lambda: scales((1.0,) * 4),
                          group=group, epsilon=2 * bias**0.5, steps_short=300, sampler=sampler, step=step,
                          steps=2000, thin=5)  # fmt: skip
    yield Chained(name="100 normals, h²λ/4 = 0.1, long run langevin", density=lambda: scales((1.0,) * 100),
                  group=group, epsilon=2 * 0.1**0.5, steps_short=300, sampler="langevin", steps=2000,
                  thin=5)  # fmt: skip
    yield Chained(name="two scales, stiff one unresolved, long run langevin", group=group, epsilon=0.17,
                  density=lambda: scales((1.0, 0.1, 0.1)), steps_short=600, sampler="langevin", steps=10000,
                  thin=25)  # fmt: skip


def _copies() -> Iterator[Chained]:
    group = "short runs that begin at data and hardly move"
    slow = {"epsilon": 0.02, "steps_short": 20, "start": "data"}
    for sampler, step, copies in (("langevin", 0.0, 2), ("langevin", 0.0, 1), ("mala", 0.3, 2), ("mala", 0.3, 1)):
        yield Chained(name=f"normal, data 1.5 sd off; long {sampler}, copies {copies}", density=correlated,
                      group=group, data=shifted(1.5), sampler=sampler, step=step, copies=copies, **slow)  # fmt: skip
    for copies in (2, 1):
        yield Chained(name=f"modes of other weights; long mala, copies {copies}", density=_modes(10.0, 0.2),
                      group=group, data=leaning(0.6), step=0.3, copies=copies, **slow)  # fmt: skip
        yield Chained(name=f"hidden modes of other weights; long mala, copies {copies}", group=group,
                      density=_modes(8.0, 0.2, 100, hidden=True), data=leaning(0.6), step=0.3, copies=copies,
                      **slow)  # fmt: skip
    yield Chained(name="data right, chains that hardly move", density=correlated, group=group, data="model",
                  sampler="langevin", labelled=False, **slow)  # fmt: skip


def _little_evidence() -> Iterator[Chained]:
    group = "little evidence"
    bad = {"density": correlated, "scale": 3.0, "steps_short": 10}
    for name, few in (
        ("5 chains", {"chains": 5, "copies": 1}),
        ("10 chains, 5 starts", {"chains": 10}),
        ("long run of 40 steps", {"steps": 40, "thin": 4}),
        ("5 draws", {"steps": 4000, "thin": 1000}),
    ):
        yield Chained(name=f"right: {name}", density=correlated, group=group, **few)
        yield Chained(name=f"wrong: {name}", group=group, **(bad | few))
    modes = {"density": _modes(10.0, 0.2), "group": group}
    yield Chained(name="wrong: modes, 5 chains", chains=5, copies=1, **modes)
    yield Chained(name="wrong: modes, 5 draws", thin=1000, **modes)
    yield Chained(name="wrong: modes, 12 chains, 40 steps", chains=12, steps=40, thin=4, init="noise", **modes)


def _forks() -> Iterator[Chained]:
    for coordinates in (200, 400):
        yield Chained(name=f"modes 8 sd apart on one axis of {coordinates} coordinates; one point between, copies 4",
                      group=UNCROSSED, density=_modes(8.0, 0.5, coordinates), init="bank", start="persistent",
                      bank=_between_modes, copies=4, epsilon=0.2, steps_short=300, steps=8000, thin=20)  # fmt: skip


FAMILIES: tuple[Chained, ...] = tuple(_families())
