"""The same chain in JAX, as a user would write it: a jitted scan over the steps with automatic differentiation.

Needs ``pip install jax``; ebmdiag itself does not. It sums the gradient norm and none of our other statistics.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def jax_case(net: nn.Module, start: torch.Tensor, steps: int, epsilon: float) -> Callable[[], object] | None:
    """A call that runs the chain of a ToyNet and waits for it; None without JAX."""
    try:
        import jax
    except ImportError:
        return None
    import jax.numpy as jnp

    layers = [
        (jnp.asarray(layer.weight.detach().flatten(1).numpy()), jnp.asarray(layer.bias.detach().numpy()))
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]

    def output(x: jax.Array) -> jax.Array:
        for number, (weight, bias) in enumerate(layers):
            x = x @ weight.T + bias
            if number < len(layers) - 1:
                x = jnp.where(x > 0, x, 0.05 * x)
        return x.sum()

    def step(carry: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        x, norm = carry
        gradient = jax.grad(output)(x)
        move = epsilon * jax.random.normal(key, x.shape) - gradient
        return (x + move, norm + jnp.linalg.norm(gradient, axis=1)), None

    @jax.jit
    def chain(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        (end, norm), _ = jax.lax.scan(step, (x, jnp.zeros(len(x))), jax.random.split(key, steps))
        return end, norm

    first, keys = jnp.asarray(start.flatten(1).numpy()), iter(jax.random.split(jax.random.key(0), 100_000))
    return lambda: jax.block_until_ready(chain(first, next(keys)))
