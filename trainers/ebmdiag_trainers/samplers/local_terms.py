"""A net's energy as a sum of local terms, F = Σ_k φ_k + const, and what each term sees.

A net says so itself, by a method ``local_energies`` that maps (B, *shape) to (B, K); or it is a ``torch.nn.Sequential``
named ``f`` that ends with a convolution over the whole remaining map, as VanillaNet is: then φ_k = Σ_c w_ck h_ck, one
term for each place k of the map h.

What a term sees is structure, whatever the weights are: a pixel is made NaN, and the terms that become NaN see it
(0 · NaN = NaN). That runs on a copy of the net in float64 on the CPU, where a convolution multiplies only what is under
its kernel. Terms whose NaN gets lost (a comparison of x) are caught by changing some pixels for real.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from math import prod
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.samplers.blocks import Blocks, Fields

Terms = Callable[[Tensor], Tensor]

_STATES = 8
_CHUNK = 64
_TOLERANCE = 1e-9  # relative; rounding of float64 in sums of some thousand terms is below
_known: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Blocks]] = WeakKeyDictionary()


def local_terms(net: object) -> Terms:
    """The function from states (B, *shape) to the terms φ, (B, K), of a net, with the weights of when it is called.

    Raises:
        RecipeError: the net has no local terms.
    """
    own: Terms | None = getattr(net, "local_energies", None)
    if own is not None:
        return own
    layers = getattr(net, "f", None)
    if isinstance(layers, nn.Sequential) and len(layers) > 1 and _is_sum(layers[-1]):
        return partial(_weighted_map, layers)
    raise RecipeError(
        f"gibbs-blocked needs an energy that is a sum of local terms, and {_name(net)} is not known to be one: "
        "use gibbs, or give the net a method local_energies that maps (B, *shape) to (B, K), terms of its output."
    )


def blocks_of(net: nn.Module, shape: tuple[int, ...]) -> Blocks:
    """Blocks of coordinates that share no term of a net.

    Found once for a net and shape, and kept as long as the net is: weights may change, layers must not.

    Args:
        net: with local terms.
        shape: of one state; with two axes or more, the first is the channels.

    Raises:
        RecipeError: no local terms, terms that do not add up to the net's output, or a common term for any two pixels.
    """
    by_shape = _known.setdefault(net, {})
    if shape not in by_shape:
        by_shape[shape] = _find_blocks(net, shape)
    return by_shape[shape]


def receptive_fields(terms: Terms, shape: tuple[int, ...]) -> Fields:
    """Which terms see which pixel, (P, K), bool, by NaN.

    Args:
        terms: of a net in float64 on the CPU.
        shape: of one state.
    """
    channels, pixels = _layout(shape)
    rows = []
    state = torch.randn((channels, pixels), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for first in range(0, pixels, _CHUNK):
        chunk = torch.arange(first, min(first + _CHUNK, pixels))
        x = state.repeat(len(chunk), 1, 1)
        x[torch.arange(len(chunk)), :, chunk] = torch.nan
        rows.append(terms(x.reshape(-1, *shape)).isnan().numpy())
    return np.concatenate(rows)


@torch.no_grad()
def _find_blocks(net: nn.Module, shape: tuple[int, ...]) -> Blocks:
    local_terms(net)  # before the copy: its message is the plainer one
    twin = _twin(net)
    terms = local_terms(twin)
    generator = torch.Generator().manual_seed(0)
    _check_sum(net, twin, terms, shape, generator)
    fields = receptive_fields(terms, shape)
    _check_fields(net, terms, fields, shape, generator)
    blocks = Blocks.of_fields(fields, _layout(shape)[0])
    if blocks.largest < 2:
        raise RecipeError(
            f"gibbs-blocked gains nothing on {_name(net)}: any two pixels of a state of shape {shape} share a term of "
            "the energy, or there is only one pixel; use gibbs."
        )
    return blocks


def _twin(net: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU, to evaluate."""
    try:
        return copy.deepcopy(net).cpu().double().eval()
    except RuntimeError as error:  # tensors that are no leaves cannot be copied
        raise RecipeError(
            f"gibbs-blocked needs a copy of {_name(net)} to see its structure, and it cannot be copied: {error}"
        ) from error


def _check_sum(
    net: nn.Module, twin: nn.Module, terms: Terms, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    """Terms must add up to the output, but for a constant."""
    x = torch.randn((_STATES, *shape), dtype=torch.float64, generator=generator)
    output, parts = twin(x), terms(x)
    if parts.shape[:1] != output.shape or parts.ndim != 2:
        raise RecipeError(
            f"local_energies of {_name(net)} must map (B, *shape) to (B, K), but for B = {_STATES} it gave "
            f"{tuple(parts.shape)}."
        )
    rest = output - parts.sum(1)
    scale = float(output.abs().max() + parts.abs().sum(1).max())
    error = float((rest - rest.mean()).abs().max())
    if not error <= _TOLERANCE * scale:
        raise RecipeError(
            f"the local terms of {_name(net)} do not add up to its output: at random states the difference is no "
            f"constant, but varies by {error:.2g}, the output being up to {float(output.abs().max()):.2g}; "
            "use gibbs, or mend the terms."
        )


def _check_fields(
    net: nn.Module, terms: Terms, fields: Fields, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    """Terms that NaN says do not see a pixel must not change with it."""
    channels, pixels = _layout(shape)
    x = torch.randn((_STATES, channels, pixels), dtype=torch.float64, generator=generator)
    chosen = torch.randint(pixels, (_STATES,), generator=generator)
    changed = x.clone()
    changed[torch.arange(_STATES), :, chosen] += torch.randn(
        (_STATES, channels), dtype=torch.float64, generator=generator
    )
    before, after = terms(x.reshape(-1, *shape)), terms(changed.reshape(-1, *shape))
    moved = ((after - before).abs() > _TOLERANCE * (1 + before.abs().max())).numpy()
    if (moved & ~fields[chosen.numpy()]).any():
        raise RecipeError(
            f"the receptive fields of {_name(net)} cannot be found: a term changes with a pixel whose NaN does not "
            "reach it, as after a comparison of x; use gibbs."
        )


def _is_sum(layer: nn.Module) -> bool:
    """Whether a layer is a convolution to one number, as far as it shows."""
    return isinstance(layer, nn.Conv2d) and layer.out_channels == 1 and layer.groups == 1 and _plain(layer)


def _plain(layer: nn.Conv2d) -> bool:
    return layer.padding in ((0, 0), "valid") and layer.dilation == (1, 1)


def _weighted_map(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Σ_c w_ck h_ck of each place k, (B, K); the bias is the constant."""
    last = layers[-1]
    assert isinstance(last, nn.Conv2d)
    hidden = layers[:-1](x)
    if hidden.shape[2:] != last.kernel_size:
        raise RecipeError(
            f"gibbs-blocked needs a last convolution that covers the whole map, but its kernel is {last.kernel_size} "
            f"and the map {tuple(hidden.shape[2:])}: use gibbs, or give the net a method local_energies."
        )
    terms: Tensor = (hidden * last.weight).sum(1).flatten(1)
    return terms


def _layout(shape: tuple[int, ...]) -> tuple[int, int]:
    """Channels and pixels of a state."""
    return (shape[0], prod(shape[1:])) if len(shape) > 1 else (1, shape[0])


def _name(net: object) -> str:
    return type(net).__name__
