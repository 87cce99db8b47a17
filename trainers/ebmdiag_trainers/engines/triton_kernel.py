"""The Triton kernel: all L Langevin steps of a block of chains of a small perceptron, without leaving the chip.

A program owns ``BLOCK`` chains. It loads the weights once, then steps: noise, move, forward pass, backward pass by
hand, path sums. Only the chains' ends and their sums are written.

Shapes. A matrix product in Triton wants sides that are powers of two and at least 16, so every layer is padded with
zeros: coordinates to D, layers to W1 … W4. A padded feature has weight 0, bias 0 and hence gradient 0; a padded
coordinate gets no noise. Weights are read where the net keeps them, (outputs, inputs) row by row.

Noise. Philox-4x32-10 (Salmon et al. 2011, SC '11) with the call's seed as key and (coordinate, chain, step, 0) as
counter; Box and Muller's transform of two of its four words gives the number. So it depends on nothing else: not on
the block, the grid, or the number of chains.

Sums are kept in float64, each term computed in float32 as the reference engine computes it.
"""

from __future__ import annotations

import triton
import triton.language as tl

SUMS = (
    "first_energy",
    "tail_first_energy",
    "gradient_norm",
    "step_norm",
    "displacement_squared",
    "tail_gradient_squared",
    "tail_position_gradient",
    "tail_next_gradient_squared",
    "tail_noise_gradient",
    "tail_log_ratio",
    "tail_log_ratio_squared",
    "tail_ratio",
    "tail_acceptance",
    "log_ratio",
)
"""Rows of the table of sums, in the order in which the kernel writes them."""


@triton.jit
def _weights(place, outputs, inputs, IN: tl.constexpr, OUT: tl.constexpr):
    """A layer's weights transposed, (IN, OUT), zero beyond the layer."""
    row, column = tl.arange(0, IN)[:, None], tl.arange(0, OUT)[None, :]
    return tl.load(place + column * inputs + row, mask=(row < inputs) & (column < outputs), other=0.0)


@triton.jit
def _vector(place, count, SIZE: tl.constexpr):
    index = tl.arange(0, SIZE)
    return tl.load(place + index, mask=index < count, other=0.0)


@triton.jit
def _product(a, b, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """A matrix product summed in float32; Triton's interpreter cannot multiply bfloat16, so there it is only rounded."""
    if PRECISION == "bfloat16":
        if INTERPRETED:
            product = tl.dot(a.to(tl.bfloat16).to(tl.float32), b.to(tl.bfloat16).to(tl.float32))
        else:
            product = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    elif PRECISION == "tf32":
        product = tl.dot(a, b, input_precision="tf32")
    else:
        product = tl.dot(a, b, input_precision="ieee")
    return product


@triton.jit
def _leaky(a, slope):
    return tl.where(a > 0, a, a * slope)


@triton.jit
def _back(g, a, slope, w, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """The gradient before a layer, given that after its activation ``a``; at 0 the slope is that of the left side."""
    return _product(tl.where(a > 0, g, g * slope), tl.trans(w), PRECISION, INTERPRETED)


@triton.jit
def _evaluate(
    x,
    w1,
    b1,
    slope1,
    w2,
    b2,
    slope2,
    w3,
    b3,
    slope3,
    w4,
    b4,
    slope4,
    out,
    shift,
    HIDDEN: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """F, (BLOCK,), and its gradient, (BLOCK, D)."""
    a1 = _product(x, w1, PRECISION, INTERPRETED) + b1[None, :]
    top = _leaky(a1, slope1)
    if HIDDEN >= 2:
        a2 = _product(top, w2, PRECISION, INTERPRETED) + b2[None, :]
        top = _leaky(a2, slope2)
    if HIDDEN >= 3:
        a3 = _product(top, w3, PRECISION, INTERPRETED) + b3[None, :]
        top = _leaky(a3, slope3)
    if HIDDEN >= 4:
        a4 = _product(top, w4, PRECISION, INTERPRETED) + b4[None, :]
        top = _leaky(a4, slope4)
    energy = tl.sum(top * out[None, :], 1) + shift
    g = tl.zeros_like(top) + out[None, :]
    if HIDDEN >= 4:
        g = _back(g, a4, slope4, w4, PRECISION, INTERPRETED)
    if HIDDEN >= 3:
        g = _back(g, a3, slope3, w3, PRECISION, INTERPRETED)
    if HIDDEN >= 2:
        g = _back(g, a2, slope2, w2, PRECISION, INTERPRETED)
    return energy, _back(g, a1, slope1, w1, PRECISION, INTERPRETED)


@triton.jit
def _normal(seed, coordinate, chain, step):
    """Normal numbers for (coordinate, chain) tensors at one step; at most sqrt(2 ln 2^33) = 6.8."""
    zero = coordinate * 0
    first, second, _, _ = tl.philox(seed, coordinate, chain, zero + step, zero)
    u = (first.to(tl.float32) + 0.5) * 2.3283064365386963e-10  # 2^-32
    angle = second.to(tl.float32) * 1.4629180792671596e-09  # 2 pi 2^-32
    radius = tl.sqrt_rn(tl.maximum(-2.0 * tl.log(u), 0.0))  # a GPU's logarithm may round to above 0 next to 1
    return radius * tl.cos(angle)


@triton.jit
def _dot(a, b):
    return tl.sum(a * b, 1)


@triton.jit(do_not_specialize=["chains", "coordinates", "steps", "tail", "n1", "n2", "n3", "n4"])
def langevin(
    start,
    end,
    table,
    noise,
    seed,
    constants,
    w1,
    b1,
    w2,
    b2,
    w3,
    b3,
    w4,
    b4,
    wo,
    bo,
    slope1,
    slope2,
    slope3,
    slope4,
    chains,
    coordinates,
    n1,
    n2,
    n3,
    n4,
    steps,
    tail,
    epsilon,
    HIDDEN: tl.constexpr,
    D: tl.constexpr,
    W1: tl.constexpr,
    W2: tl.constexpr,
    W3: tl.constexpr,
    W4: tl.constexpr,
    TOP: tl.constexpr,
    BLOCK: tl.constexpr,
    GIVEN: tl.constexpr,
    NOISY: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Run all steps of one block of chains.

    Pointers: ``start``, ``end`` (chains, coordinates) float32; ``table`` (len(SUMS), chains) float64; ``noise``
    (steps, chains, coordinates) float32, read if GIVEN; ``seed`` one int64; ``constants`` one float64, 1 / T (read
    if NOISY: ε > 0). Layers beyond HIDDEN are not read.
    """
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.arange(0, D)
    chain = rows[:, None] + tl.zeros([BLOCK, D], tl.int32)
    coordinate = columns[None, :] + tl.zeros([BLOCK, D], tl.int32)
    real = (rows < chains)[:, None] & (columns < coordinates)[None, :]
    place = chain * coordinates + coordinate
    key = tl.load(seed)

    w1 = _weights(w1, n1, coordinates, D, W1)
    b1 = _vector(b1, n1, W1)
    last = n1
    if HIDDEN >= 2:
        w2 = _weights(w2, n2, n1, W1, W2)
        b2 = _vector(b2, n2, W2)
        last = n2
    if HIDDEN >= 3:
        w3 = _weights(w3, n3, n2, W2, W3)
        b3 = _vector(b3, n3, W3)
        last = n3
    if HIDDEN >= 4:
        w4 = _weights(w4, n4, n3, W3, W4)
        b4 = _vector(b4, n4, W4)
        last = n4
    out = _vector(wo, last, TOP)
    shift = tl.load(bo)

    first = tl.load(start + place, mask=real, other=0.0)
    x = first
    energy, g = _evaluate(
        x, w1, b1, slope1, w2, b2, slope2, w3, b3, slope3, w4, b4, slope4, out, shift, HIDDEN, PRECISION, INTERPRETED
    )
    squared = _dot(g, g)

    zero = tl.zeros([BLOCK], tl.float64)
    first_energy = energy.to(tl.float64)
    tail_first_energy = first_energy
    gradient_norm, step_norm, gradient_squared, position_gradient = zero, zero, zero, zero
    next_gradient_squared, noise_gradient = zero, zero
    log_ratio, log_ratio_squared, ratio_sum, acceptance, path_log_ratio = zero, zero, zero, zero, zero

    for step in range(steps):
        if GIVEN:
            offset = step.to(tl.int64) * chains * coordinates if not INTERPRETED else step * chains * coordinates
            z = tl.load(noise + offset + place, mask=real, other=0.0)
        else:
            z = tl.where(real, _normal(key, coordinate, chain, step), 0.0)
        move = epsilon * z - g
        in_tail = step >= tail
        gradient_norm += tl.sqrt_rn(squared).to(tl.float64)
        step_norm += tl.sqrt_rn(_dot(move, move)).to(tl.float64)
        tail_first_energy = tl.where(step == tail, energy.to(tl.float64), tail_first_energy)
        gradient_squared += tl.where(in_tail, squared, 0.0).to(tl.float64)
        position_gradient += tl.where(in_tail, _dot(x, g), 0.0).to(tl.float64)

        x += move
        new_energy, new_g = _evaluate(
            x,
            w1,
            b1,
            slope1,
            w2,
            b2,
            slope2,
            w3,
            b3,
            slope3,
            w4,
            b4,
            slope4,
            out,
            shift,
            HIDDEN,
            PRECISION,
            INTERPRETED,
        )
        new_squared = _dot(new_g, new_g)
        counted = in_tail & (step < steps - 1)
        next_gradient_squared += tl.where(counted, new_squared, 0.0).to(tl.float64)
        noise_gradient += tl.where(counted, _dot(z, new_g - g), 0.0).to(tl.float64)
        if NOISY:
            change = new_energy.to(tl.float64) - energy.to(tl.float64) - (_dot(move, g + new_g) / 2).to(tl.float64)
            slopes = (squared.to(tl.float64) - new_squared.to(tl.float64)) / 4
            ratio = (slopes - change) * tl.load(constants)
            path_log_ratio += ratio
            log_ratio += tl.where(counted, ratio, 0.0)
            log_ratio_squared += tl.where(counted, ratio * ratio, 0.0)
            ratio_sum += tl.where(counted, tl.exp(ratio), 0.0)
            acceptance += tl.where(counted, tl.exp(tl.where(ratio > 0.0, 0.0, ratio)), 0.0)
        energy, g, squared = new_energy, new_g, new_squared

    tl.store(end + place, x, mask=real)
    displacement = _dot(x - first, x - first).to(tl.float64)
    there = rows < chains
    tl.store(table + 0 * chains + rows, first_energy, mask=there)
    tl.store(table + 1 * chains + rows, tail_first_energy, mask=there)
    tl.store(table + 2 * chains + rows, gradient_norm, mask=there)
    tl.store(table + 3 * chains + rows, step_norm, mask=there)
    tl.store(table + 4 * chains + rows, displacement, mask=there)
    tl.store(table + 5 * chains + rows, gradient_squared, mask=there)
    tl.store(table + 6 * chains + rows, position_gradient, mask=there)
    tl.store(table + 7 * chains + rows, next_gradient_squared, mask=there)
    tl.store(table + 8 * chains + rows, noise_gradient, mask=there)
    tl.store(table + 9 * chains + rows, log_ratio, mask=there)
    tl.store(table + 10 * chains + rows, log_ratio_squared, mask=there)
    tl.store(table + 11 * chains + rows, ratio_sum, mask=there)
    tl.store(table + 12 * chains + rows, acceptance, mask=there)
    tl.store(table + 13 * chains + rows, path_log_ratio, mask=there)
