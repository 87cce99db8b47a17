"""One optimizer step on d, with a record of what it did to the parameters and to d."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ebmdiag_trainers.optimizers import learning_rate
from ebmdiag_trainers.record import Update
from ebmdiag_trainers.untouched import untouched


def mean_energies(
    output: Callable[[Tensor], Tensor], positives: Tensor, negatives: Tensor, temperature: float
) -> tuple[float, float]:
    """Mean U(x⁺) and mean U(x⁻) of a net, or of another way to compute its F, without a graph."""
    with torch.no_grad():
        return (
            float(output(positives).double().mean()) / temperature,
            float(output(negatives).double().mean()) / temperature,
        )


def _again(
    net: nn.Module, positives: Tensor, negatives: Tensor, temperature: float, drawn: Tensor | None
) -> tuple[float, float]:
    """The same passes as before the step, with the same random numbers: only the parameters differ."""
    with untouched(net):
        if drawn is not None:
            torch.set_rng_state(drawn)
        return mean_energies(net, positives, negatives, temperature)


def step_on(
    loss: Tensor,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    output: Callable[[Tensor], Tensor] | None = None,
    drawn: Tensor | None = None,
) -> Update:
    """Take the step that lowers ``loss`` (this is d, with its graph), and say what it did.

    ``output`` computes the net's F, if there is a faster way than calling it. ``drawn`` is the state of PyTorch's
    default generator before the energies of ``loss`` were computed: a net with dropout then drops the same again.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    last = _last_weight(parameters)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    gradient = _joined([_gradient(parameter) for parameter in parameters])
    before = _joined(parameters)
    rate = learning_rate(optimizer)
    optimizer.step()
    if output is None or output is net:
        positives_after, negatives_after = _again(net, positives, negatives, temperature, drawn)
    else:
        positives_after, negatives_after = mean_energies(output, positives, negatives, temperature)
    after = _joined(parameters)
    return Update(
        predicted_drop=-_inner(gradient, after - before),
        positives_after=positives_after,
        negatives_after=negatives_after,
        parameter_norm=math.sqrt(_inner(before, before)),
        gradient_norm=math.sqrt(_inner(gradient, gradient)),
        rate=rate,
        last_layer_before=_inner(before[last], before[last]),
        last_layer_after=_inner(after[last], after[last]),
        last_layer_gradient=_inner(gradient[last], gradient[last]),
    )


def _last_weight(parameters: list[nn.Parameter]) -> slice:
    """Where the last weight lies among all: the last parameter with two axes or more, else the last of all."""
    weights = [index for index, parameter in enumerate(parameters) if parameter.ndim >= 2]
    last = weights[-1] if weights else len(parameters) - 1
    begin = sum(parameter.numel() for parameter in parameters[:last])
    return slice(begin, begin + parameters[last].numel())


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient of d, zero for a parameter that d does not depend on."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers in one float64 vector: one operation for all, and the balance is a small difference of large ones."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).double()


def _inner(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b))
