"""One optimizer step on d, with a record of what it did to the parameters and to d."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ebmdiag_trainers.optimizers import learning_rate
from ebmdiag_trainers.record import Update


def difference(net: nn.Module, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """d = mean U(x⁺) - mean U(x⁻), without a graph, in one pass."""
    with torch.no_grad():
        energies = net(torch.cat([positives, negatives])).double()
    count = len(positives)
    result: Tensor = (energies[:count].mean() - energies[count:].mean()) / temperature
    return result


def step_on(
    loss: Tensor,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
) -> Update:
    """Take the step that lowers ``loss`` (this is d, with its graph), and say what it did."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    last = _last_weight(parameters)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    gradients = [_gradient(parameter) for parameter in parameters]
    before = [parameter.detach().clone() for parameter in parameters]
    rate = learning_rate(optimizer)
    optimizer.step()
    moves = torch._foreach_sub([parameter.detach() for parameter in parameters], before)
    return Update(
        predicted_drop=-sum(_inner(gradient, move) for gradient, move in zip(gradients, moves, strict=True)),
        difference_after=float(difference(net, positives, negatives, temperature)),
        parameter_norm=_norm(before),
        gradient_norm=_norm(gradients),
        rate=rate,
        last_layer_before=_inner(before[last], before[last]),
        last_layer_after=_inner(parameters[last].detach(), parameters[last].detach()),
        last_layer_gradient=_inner(gradients[last], gradients[last]),
    )


def _last_weight(parameters: list[nn.Parameter]) -> int:
    """Index of the last weight: the last parameter with two axes or more, else the last of all."""
    weights = [index for index, parameter in enumerate(parameters) if parameter.ndim >= 2]
    return weights[-1] if weights else len(parameters) - 1


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient of d, zero for a parameter that d does not depend on."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()


def _inner(a: Tensor, b: Tensor) -> float:
    """Inner product in float64: the balance is a small difference of large numbers."""
    return float(torch.dot(a.double().flatten(), b.double().flatten()))


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)).double()))
