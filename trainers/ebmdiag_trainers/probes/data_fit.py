"""Is the model right about the data, whatever its chains do? Stein's identity on x⁺: E_p[∇U·f - ∇·f] = 0."""

from __future__ import annotations

import math

import torch

from ebmdiag_trainers.probes.moment import Moment


def data_fit(moment: Moment) -> dict[str, float | None]:
    """Virial and configurational temperature of the data.

    The virial takes f = x - E x, so that it is tr Cov(x, g) / N; the temperature takes f = ∇U. The Laplacian is
    E[z·(g(x + εz) - g(x - εz))] / 2ε with z ~ Normal(0, I), which counts the kinks of piecewise linear nets, where
    automatic differentiation gives 0. It is that of U smoothed over ε, exact for a quadratic U. Where it is not known
    to a third of itself, the temperature is None: a ratio to a number that may be 0 has no mean.
    """
    x, gradient = moment.positives, moment.gradient(moment.positives)
    if len(x) < 2 or moment.epsilon == 0:
        return {"data_virial": None, "data_temperature": None}
    position = x.flatten(1).double()
    pull = ((position - position.mean(0)) * gradient).sum() / (len(x) - 1)
    noise = torch.randn(x.shape, generator=moment.generator, dtype=x.dtype, device=x.device)
    either_side = moment.gradient(x + moment.epsilon * noise) - moment.gradient(x - moment.epsilon * noise)
    laplacian = (noise.flatten(1) * either_side).sum(1) / (2 * moment.epsilon)
    square = float(gradient.square().sum(1).mean())
    known = float(laplacian.mean()) > 3 * float(laplacian.std()) / math.sqrt(len(x))
    return {
        "data_virial": float(pull) / moment.coordinates,
        "data_temperature": square / float(laplacian.mean()) if known else None,
    }
