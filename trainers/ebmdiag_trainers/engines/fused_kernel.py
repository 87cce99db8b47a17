"""Machine code for the fused engine: many Langevin steps of a small perceptron, path sums included, in one call.

Why a compiler: 100 chains of 2 numbers through a net of 10,000 weights are some 4 million floating-point operations,
40 microseconds of one core's arithmetic; asked for one tensor operation at a time they take 1,000. Numba compiles the
loop over steps. Its vectorizer does not find the products of matrices in it, so these are written out as vector
instructions, in the manner of Goto and van de Geijn (2008, ACM TOMS 34:12): a tile of 4 features by up to 64 chains
stays in registers while all its terms are added.

Each chain is one lane of the vectors. Its terms are added in one fixed order, so its numbers do not depend on how
many other chains are in the block, on the width of the machine's vectors, or on the number of threads.

All compiled code is in this one file: Numba keeps what it compiled until the file of the function changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

LANES = 8
"""Chains are padded to a multiple of this: half the floats of a 512-bit vector."""
ROWS = 4
"""Features are padded to a multiple of this."""
SUMS = (
    "gradient_norm",
    "step_norm",
    "first_energy",
    "tail_first_energy",
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
"""Rows of the kernel's float64 sums; see :class:`~ebmdiag_trainers.engines.contract.PathSums`."""
(
    _GRADIENT_NORM,
    _STEP_NORM,
    _FIRST_ENERGY,
    _TAIL_FIRST_ENERGY,
    _GRADIENT_SQUARED,
    _POSITION_GRADIENT,
    _NEXT_GRADIENT_SQUARED,
    _NOISE_GRADIENT,
    _TAIL_LOG_RATIO,
    _TAIL_LOG_RATIO_SQUARED,
    _TAIL_RATIO,
    _TAIL_ACCEPTANCE,
    _LOG_RATIO,
) = range(len(SUMS))

_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_FUSED = ("contract",)  # a product and a sum may be one instruction, rounded once; nothing else may change


def _tile(lanes: int, forward: bool) -> Any:
    """A product of matrices for ROWS features of ``lanes`` chains, with what follows it.

    Forward:  work[out + r, c] = leaky(bias[r] + Σ_k weights[k, r] work[source + k, c])
    Backward: work[out + r, c] = (Σ_k weights[k, r] work[source + k, c]) · leaky'(work[out + r, c])

    Backward, the place of the result holds the layer's output, whose sign is the derivative's; it is overwritten.
    All places are offsets into flat float32 arrays.
    """

    @intrinsic
    def tile(
        typing: Any,
        work: Any,
        weights: Any,
        out: Any,
        source: Any,
        stride: Any,
        depth: Any,
        matrix: Any,
        columns: Any,
        bias: Any,
        slope: Any,
    ) -> Any:
        signature = types.void(work, weights, out, source, stride, depth, matrix, columns, bias, slope)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            work, weights = (
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[:2], values[:2], strict=True)
            )
            out, source, stride, depth, matrix, columns, bias, slope = values[2:]
            vectors = _Vectors(builder)
            pieces = [(lane, min(2 * LANES, lanes - lane)) for lane in range(0, lanes, 2 * LANES)]
            sums = [[vectors.place(width) for _, width in pieces] for _ in range(ROWS)]
            for row, places in enumerate(sums):
                first = vectors.number(weights, vectors.plus(bias, row)) if forward else ir.Constant(_FLOAT, 0.0)
                for (_, width), place in zip(pieces, places, strict=True):
                    builder.store(vectors.fill(first, width), place)
            with cgutils.for_range(builder, depth) as loop:
                line = builder.add(source, builder.mul(loop.index, stride))
                inputs = [vectors.load(work, vectors.plus(line, lane), width) for lane, width in pieces]
                entry = builder.add(matrix, builder.mul(loop.index, columns))
                for row, places in enumerate(sums):
                    weight = vectors.number(weights, vectors.plus(entry, row))
                    for (_, width), value, place in zip(pieces, inputs, places, strict=True):
                        product = builder.fmul(vectors.fill(weight, width), value, flags=_FUSED)
                        builder.store(builder.fadd(product, builder.load(place), flags=_FUSED), place)
            for row, places in enumerate(sums):
                line = builder.add(out, builder.mul(ir.Constant(_INT, row), stride))
                for (lane, width), place in zip(pieces, places, strict=True):
                    target = vectors.plus(line, lane)
                    value = builder.load(place)
                    sign = value if forward else vectors.load(work, target, width)
                    active = builder.fcmp_ordered(">", sign, vectors.fill(ir.Constant(_FLOAT, 0.0), width))
                    scaled = builder.fmul(value, vectors.fill(slope, width))
                    vectors.store(builder.select(active, value, scaled), work, target, width)
            return context.get_dummy_value()

        return signature, emit

    return tile


class _Vectors:
    """Vectors of floats, to and from a flat array."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def plus(self, offset: Any, number: int) -> Any:
        return self._builder.add(offset, ir.Constant(_INT, number))

    def place(self, width: int) -> Any:
        """Where a vector can be kept; the compiler finds a register for it."""
        allocate: Any = cgutils.alloca_once
        return allocate(self._builder, ir.VectorType(_FLOAT, width))

    def number(self, array: Any, offset: Any) -> Any:
        return self._builder.load(self._builder.gep(array, [offset]))

    def load(self, array: Any, offset: Any, width: int) -> Any:
        vector = self._builder.load(self._pointer(array, offset, width))
        vector.align = 4
        return vector

    def store(self, vector: Any, array: Any, offset: Any, width: int) -> None:
        self._builder.store(vector, self._pointer(array, offset, width)).align = 4

    def fill(self, number: Any, width: int) -> Any:
        index = ir.IntType(32)
        empty = ir.Constant(ir.VectorType(_FLOAT, width), ir.Undefined)
        one = self._builder.insert_element(empty, number, ir.Constant(index, 0))
        return self._builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(index, width), [0] * width))

    def _pointer(self, array: Any, offset: Any, width: int) -> Any:
        kind = ir.VectorType(_FLOAT, width).as_pointer()
        return self._builder.bitcast(self._builder.gep(array, [offset]), kind)


_forward_8, _forward_16, _forward_32, _forward_48, _forward_56, _forward_64 = (
    _tile(lanes, True) for lanes in (8, 16, 32, 48, 56, 64)
)
_backward_8, _backward_16, _backward_32, _backward_48, _backward_56, _backward_64 = (
    _tile(lanes, False) for lanes in (8, 16, 32, 48, 56, 64)
)
_LARGE = bool(binding.get_host_cpu_features().get("avx512f", False))  # 32 registers, each of 16 floats


def _compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Machine code, made at the first call and kept on disk, which other threads may run at the same time."""
    try:
        code: Callable[_Arguments, _Result] = njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # Numba finds no folder that it may write to: it compiles at every start
        code = njit(nogil=True, error_model="numpy")(function)
    return code


@_compiled
def _width(lanes: int) -> int:
    """Lanes of the next tile, when so many are left."""
    if _LARGE:
        for width in (64, 56, 48, 32):
            if lanes >= width:
                return width
    return 16 if lanes >= 16 else 8


@_compiled
def _layer(
    forward: bool,
    work: Floats,
    weights: Floats,
    out: int,
    rows: int,
    source: int,
    depth: int,
    lanes: int,
    matrix: int,
    columns: int,
    bias: int,
    slope: np.float32,
) -> None:
    """One layer of all chains of the block, either way."""
    lane = 0
    while lane < lanes:
        width = _width(lanes - lane)
        for row in range(0, rows, ROWS):
            to, start = out + row * lanes + lane, source + lane
            entry, shift = matrix + row, bias + row
            if forward:
                if width == 64:
                    _forward_64(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 56:
                    _forward_56(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 48:
                    _forward_48(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 32:
                    _forward_32(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 16:
                    _forward_16(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                else:
                    _forward_8(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
            else:
                if width == 64:
                    _backward_64(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 56:
                    _backward_56(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 48:
                    _backward_48(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 32:
                    _backward_32(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                elif width == 16:
                    _backward_16(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
                else:
                    _backward_8(work, weights, to, start, lanes, depth, entry, columns, shift, slope)
        lane += width


@_compiled
def _padded(count: int) -> int:
    return (count + ROWS - 1) // ROWS * ROWS


@_compiled
def _evaluate(
    work: Floats, weights: Floats, layout: NDArray[np.int64], slopes: Floats, lanes: int, ones: int, gradient: int
) -> None:
    """F into the last layer's place, and ∇F into ``gradient``; the hidden layers are overwritten on the way back.

    ``layout`` has a row for each layer: inputs, outputs, where its inputs and its outputs lie in ``work``, where
    its forward matrix (inputs, padded outputs), its backward matrix (outputs, padded inputs) and its bias lie in
    ``weights``.
    """
    depth = len(layout)
    for index in range(depth):
        inputs, outputs, source, out, ahead, _, bias = layout[index]
        rows = _padded(outputs)
        _layer(True, work, weights, out, rows, source, inputs, lanes, ahead, rows, bias, slopes[index])
    for index in range(depth - 1, -1, -1):
        inputs, outputs, place, source, _, back, bias = layout[index]
        slope = slopes[index - 1]
        if index == depth - 1:
            source = ones
        if index == 0:
            place, slope = gradient, np.float32(1.0)
        rows = _padded(inputs)
        _layer(False, work, weights, place, rows, source, outputs, lanes, back, rows, bias, slope)


@_compiled
def _move(
    work: Floats,
    coordinates: int,
    lanes: int,
    gradient: int,
    energy: int,
    scale: np.float32,
    noise: Floats,
    begin: int,
    starts_tail: bool,
    in_tail: bool,
    lean: bool,
    sums: NDArray[np.float64],
) -> None:
    """x_l → x_{l+1} for each chain, and the sums over single steps."""
    for c in range(sums.shape[1]):
        here, gradient_squared, step_squared, position_gradient = c, 0.0, 0.0, 0.0
        for n in range(coordinates):
            slope = work[gradient + here]
            move = scale * noise[n, begin + c] - slope
            gradient_squared += float(slope) * float(slope)
            step_squared += float(move) * float(move)
            position_gradient += float(work[here]) * float(slope)
            work[here] += move
            here += lanes
        sums[_GRADIENT_NORM, c] += math.sqrt(gradient_squared)
        if lean:
            continue
        sums[_STEP_NORM, c] += math.sqrt(step_squared)
        if starts_tail:
            sums[_TAIL_FIRST_ENERGY, c] = work[energy + c]
        if in_tail:
            sums[_GRADIENT_SQUARED, c] += gradient_squared
            sums[_POSITION_GRADIENT, c] += position_gradient


@_compiled
def _compare(
    work: Floats,
    coordinates: int,
    lanes: int,
    gradient: int,
    before: int,
    energy: int,
    scale: np.float32,
    heat: float,
    noise: Floats,
    begin: int,
    counted: bool,
    closed: bool,
    sums: NDArray[np.float64],
) -> None:
    """The sums over transitions, from the gradients and energies at both ends; T = ``heat``."""
    for c in range(sums.shape[1]):
        here, old_squared, new_squared, along, roughness = c, 0.0, 0.0, 0.0, 0.0
        for n in range(coordinates):
            old, new, z = work[before + here], work[gradient + here], noise[n, begin + c]
            move = scale * z - old
            old_squared += float(old) * float(old)
            new_squared += float(new) * float(new)
            along += float(move) * (float(old) + float(new))
            roughness += float(z) * (float(new) - float(old))
            here += lanes
        if counted:
            sums[_NEXT_GRADIENT_SQUARED, c] += new_squared
            sums[_NOISE_GRADIENT, c] += roughness
        if heat == 0.0:
            continue
        change = float(work[energy + c]) - float(work[before + coordinates * lanes + c])
        ratio = ((old_squared - new_squared) / 4 - (change - along / 2)) / heat
        if closed:
            sums[_LOG_RATIO, c] += ratio
        if counted:
            likelihood = math.exp(ratio)
            sums[_TAIL_LOG_RATIO, c] += ratio
            sums[_TAIL_LOG_RATIO_SQUARED, c] += ratio * ratio
            sums[_TAIL_RATIO, c] += likelihood
            sums[_TAIL_ACCEPTANCE, c] += 1.0 if likelihood > 1.0 else likelihood


@_compiled
def advance(
    work: Floats,
    weights: Floats,
    layout: NDArray[np.int64],
    slopes: Floats,
    lanes: int,
    ones: int,
    gradient: int,
    before: int,
    first: int,
    steps: int,
    epsilon: float,
    closed: bool,
    lean: bool,
    noise: Floats,
    begin: int,
    sums: NDArray[np.float64],
) -> None:
    """Run some of the steps of one block of chains; ``work`` carries the chains from one call to the next.

    Args:
        work: flat: states at 0 as (coordinates, lanes), the layers' outputs, and the three places below.
        weights, layout, slopes: the net; see :func:`_evaluate`.
        lanes: chains of the block, padded.
        ones, gradient, before: places in ``work`` of a line of ones, of ∇F here, and of ∇F and F one step earlier.
        first, steps: number of the first step, and L.
        epsilon, closed: as every engine takes them.
        lean: only the sum of gradient norms, to measure what the others cost.
        noise: (steps of this call, coordinates, chains of all blocks).
        begin: where this block's chains begin among all.
        sums: (len(SUMS), chains of the block).
    """
    coordinates, energy, tail = layout[0, 0], layout[len(layout) - 1, 3], steps // 2
    size = coordinates * lanes
    heat, scale = epsilon**2 / 2, np.float32(epsilon)
    if first == 0:
        _evaluate(work, weights, layout, slopes, lanes, ones, gradient)
        for c in range(sums.shape[1]):
            sums[_FIRST_ENERGY, c] = work[energy + c]
    for index in range(len(noise)):
        step, z = first + index, noise[index]
        in_tail, last = step >= tail, step == steps - 1
        counted = in_tail and not last
        _move(work, coordinates, lanes, gradient, energy, scale, z, begin, step == tail, in_tail, lean, sums)
        if last and not closed:
            return
        work[before : before + size] = work[gradient : gradient + size]
        work[before + size : before + size + lanes] = work[energy : energy + lanes]
        _evaluate(work, weights, layout, slopes, lanes, ones, gradient)
        if (counted or closed) and not lean:
            _compare(work, coordinates, lanes, gradient, before, energy, scale, heat, z, begin, counted, closed, sums)
