"""The Triton kernel: all L Langevin steps of a block of chains of a small perceptron, without leaving the chip.

A program owns ``BLOCK`` chains, which it steps: forward pass, backward pass by hand, path sums, noise, move. Only the
chains' ends and their sums are written. States, sums and weights live in registers and shared memory: the loads of
the weights stand inside the loop, and the compiler moves them before it (seen in what it makes of the kernel for
compute capability 9.0; in float32, for ``ToyNet``, 16 chains and 8 warps nothing is spilled). The loop has one
evaluation of the net in it, at the point where a step arrives and the next one leaves; with a second one for the
start, some 2 kB of each thread were spilled.

Shapes. A matrix product in Triton wants sides that are powers of two and at least 16, so every layer is padded with
zeros: coordinates to D, layers to W1 … W4. A padded feature has weight 0, bias 0 and hence gradient 0; a padded
coordinate gets no noise. Weights are read where the net keeps them, (outputs, inputs) row by row.

Noise. Philox-4x32-10 (Salmon et al. 2011, SC '11) with the call's seed as key and (coordinate, chain, step, 0) as
counter; Box and Muller's transform of two of its four words gives the number. So it depends on nothing else: not on
the block, the grid, or the number of chains.

Sums are kept in float64, each term computed in float32 as the reference engine computes it.
"""

# Arguments of a kernel are pointers, scalars and blocks of Triton's, which has no types for them.
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


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
    """A matrix product summed in float32. Triton's interpreter cannot multiply bfloat16: there it only rounds to it."""
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
    n0,
    n1,
    n2,
    n3,
    n4,
    HIDDEN: tl.constexpr,
    D: tl.constexpr,
    W1: tl.constexpr,
    W2: tl.constexpr,
    W3: tl.constexpr,
    W4: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """F, (BLOCK,), and its gradient, (BLOCK, D)."""
    a1 = _product(x, _weights(w1, n1, n0, D, W1), PRECISION, INTERPRETED) + _vector(b1, n1, W1)[None, :]
    top, last = _leaky(a1, slope1), _vector(wo, n1, W1)
    if HIDDEN >= 2:
        a2 = _product(top, _weights(w2, n2, n1, W1, W2), PRECISION, INTERPRETED) + _vector(b2, n2, W2)[None, :]
        top, last = _leaky(a2, slope2), _vector(wo, n2, W2)
    if HIDDEN >= 3:
        a3 = _product(top, _weights(w3, n3, n2, W2, W3), PRECISION, INTERPRETED) + _vector(b3, n3, W3)[None, :]
        top, last = _leaky(a3, slope3), _vector(wo, n3, W3)
    if HIDDEN >= 4:
        a4 = _product(top, _weights(w4, n4, n3, W3, W4), PRECISION, INTERPRETED) + _vector(b4, n4, W4)[None, :]
        top, last = _leaky(a4, slope4), _vector(wo, n4, W4)
    energy = tl.sum(top * last[None, :], 1) + tl.load(bo)
    g = tl.zeros_like(top) + last[None, :]
    if HIDDEN >= 4:
        g = _back(g, a4, slope4, _weights(w4, n4, n3, W3, W4), PRECISION, INTERPRETED)
    if HIDDEN >= 3:
        g = _back(g, a3, slope3, _weights(w3, n3, n2, W2, W3), PRECISION, INTERPRETED)
    if HIDDEN >= 2:
        g = _back(g, a2, slope2, _weights(w2, n2, n1, W1, W2), PRECISION, INTERPRETED)
    return energy, _back(g, a1, slope1, _weights(w1, n1, n0, D, W1), PRECISION, INTERPRETED)


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


@triton.jit(do_not_specialize=["chains", "steps", "tail", "n0", "n1", "n2", "n3", "n4"])
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
    n0,
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
    BLOCK: tl.constexpr,
    GIVEN: tl.constexpr,
    NOISY: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Run all steps of one block of chains.

    Pointers: ``start``, ``end`` (chains, n0) float32; ``table`` (len(SUMS), chains) float64; ``noise`` (steps, chains,
    n0) float32, read if GIVEN; ``seed`` one int64; ``constants`` one float64, 1 / T (read if NOISY: ε > 0). Layer i
    has the weights wi, (ni, n(i-1)), and the biases bi; layers beyond HIDDEN are not read.
    """
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.arange(0, D)
    chain = rows[:, None] + tl.zeros([BLOCK, D], tl.int32)
    coordinate = columns[None, :] + tl.zeros([BLOCK, D], tl.int32)
    real = (rows < chains)[:, None] & (columns < n0)[None, :]
    place = chain * n0 + coordinate
    key = tl.load(seed)
    stride = tl.zeros([1, 1], tl.int64) + chains * n0

    first = tl.load(start + place, mask=real, other=0.0)
    x = first
    # The step before this point: nothing yet.
    z, move, old_g = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
    old_energy, old_squared = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)

    zero = tl.zeros([BLOCK], tl.float64)
    first_energy, tail_first_energy = zero, zero
    gradient_norm, step_norm, gradient_squared, position_gradient = zero, zero, zero, zero
    next_gradient_squared, noise_gradient = zero, zero
    log_ratio, log_ratio_squared, ratio_sum, acceptance, path_log_ratio = zero, zero, zero, zero, zero

    for point in range(steps + 1):
        energy, g = _evaluate(
            x,
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
            n0,
            n1,
            n2,
            n3,
            n4,
            HIDDEN,
            D,
            W1,
            W2,
            W3,
            W4,
            PRECISION,
            INTERPRETED,
        )
        squared = _dot(g, g)
        first_energy = tl.where(point == 0, energy.to(tl.float64), first_energy)
        tail_first_energy = tl.where(point == tail, energy.to(tl.float64), tail_first_energy)

        # The transition into this point; the one into the last point is in no tail sum.
        counted = (point > tail) & (point < steps)
        next_gradient_squared += tl.where(counted, squared, 0.0).to(tl.float64)
        noise_gradient += tl.where(counted, _dot(z, g - old_g), 0.0).to(tl.float64)
        if NOISY:
            slope = (_dot(move, old_g + g) / 2).to(tl.float64)
            change = energy.to(tl.float64) - old_energy.to(tl.float64) - slope
            ratio = ((old_squared.to(tl.float64) - squared.to(tl.float64)) / 4 - change) * tl.load(constants)
            path_log_ratio += tl.where(point > 0, ratio, 0.0)
            log_ratio += tl.where(counted, ratio, 0.0)
            log_ratio_squared += tl.where(counted, ratio * ratio, 0.0)
            ratio_sum += tl.where(counted, tl.exp(ratio), 0.0)
            acceptance += tl.where(counted, tl.exp(tl.where(ratio > 0.0, 0.0, ratio)), 0.0)

        # The step from this point; from the last there is none.
        leaves = point < steps
        if GIVEN:
            z = tl.load(noise + point * stride + place, mask=real & leaves, other=0.0)
        else:
            z = tl.where(real, _normal(key, coordinate, chain, point), 0.0)
        move = epsilon * z - g
        in_tail = leaves & (point >= tail)
        gradient_norm += tl.where(leaves, tl.sqrt_rn(squared), 0.0).to(tl.float64)
        step_norm += tl.where(leaves, tl.sqrt_rn(_dot(move, move)), 0.0).to(tl.float64)
        gradient_squared += tl.where(in_tail, squared, 0.0).to(tl.float64)
        position_gradient += tl.where(in_tail, _dot(x, g), 0.0).to(tl.float64)
        x = tl.where(leaves, x + move, x)
        old_energy, old_g, old_squared = energy, g, squared

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
