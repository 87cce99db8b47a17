"""Energy and gradient of the two image nets of the paper, written out: no graph of automatic differentiation.

What that saves, beside the graph: activations are changed in place; a leaky ReLU comes after the pooling that follows
it (it is monotone, so both orders give the same), on a quarter of the numbers; 1x1 convolutions are products of
matrices; and the gradient that reaches the image is computed for 2x2 pixels at once (:func:`by_blocks`), since a
convolution with 3 outputs leaves most of a vector register empty.

All tensors are laid out channels last, (B, H, W, C) in memory; shapes are written as PyTorch gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ebmdiag_trainers.nets import NEGATIVE_SLOPE, NonLocalBlock, NonlocalNet, VanillaNet

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""States (B, *shape) to F, (B,), and its gradient, of the states' shape, in the states' dtype."""

SIDE = 32  # of an image, in pixels
_ATEN: Any = torch.ops.aten
_LAST = torch.channels_last


def written_out(net: nn.Module, start: Tensor, dtype: torch.dtype) -> Evaluate | None:
    """The net's energy and gradient without a graph; None unless it is one of the two nets, and as it was made.

    Weights are read once, here. Of several threads each may call the function.

    Args:
        net: any net.
        start: states, (B, *shape); of these, shape, dtype and device matter.
        dtype: of weights and activations. Energies are summed up in float32 in any case.
    """
    kind = _KINDS.get(type(net))
    if kind is None or start.shape[2:] != (SIDE, SIDE) or start.dtype != torch.float32 or not start.is_cpu:
        return None
    return kind(net, dtype) if _is_as_made(net) else None


def _is_as_made(net: nn.Module) -> bool:
    """Whether all parts are those that the class makes, in type and settings, and nothing was hung onto them."""
    parts = dict(net.named_modules())
    fresh = dict(_fresh(type(net)).named_modules())
    return parts.keys() == fresh.keys() and all(
        type(part) is type(fresh[name]) and _settings(part) == _settings(fresh[name]) and not _is_changed(part)
        for name, part in parts.items()
    )


_FRESH: dict[type[nn.Module], nn.Module] = {}


def _fresh(kind: type[nn.Module]) -> nn.Module:
    if kind not in _FRESH:
        with torch.device("meta"):  # takes no memory and draws no random numbers
            _FRESH[kind] = kind()
    return _FRESH[kind]


def _settings(part: nn.Module) -> tuple[Any, ...]:
    if isinstance(part, nn.Conv2d):
        plain = (part.kernel_size, part.stride, part.padding, part.dilation, part.groups, part.padding_mode)
        return (*plain, part.bias is not None)
    if isinstance(part, nn.MaxPool2d):
        return part.kernel_size, part.stride, part.padding, part.dilation, part.ceil_mode, part.return_indices
    if isinstance(part, nn.LeakyReLU):
        return (part.negative_slope,)
    return ()


def _is_changed(part: nn.Module) -> bool:
    """Whether something was hung onto a part or put in place of its method, or its numbers are of another kind."""
    hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks)
    own = part.parameters(recurse=False)
    return any(hooks) or "forward" in vars(part) or any(p.dtype != torch.float32 or not p.is_cpu for p in own)


@dataclass(frozen=True)
class _Convolution:
    """A convolution with its weight laid out channels last."""

    weight: Tensor
    bias: Tensor
    stride: int
    padding: int

    @classmethod
    def of(cls, part: nn.Module, dtype: torch.dtype) -> _Convolution:
        assert isinstance(part, nn.Conv2d)
        assert part.bias is not None
        weight = part.weight.detach().to(dtype).contiguous(memory_format=_LAST)
        assert isinstance(part.padding, tuple)
        return cls(weight, part.bias.detach().to(dtype), part.stride[0], part.padding[0])

    def __call__(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def back(self, slope: Tensor, x: Tensor) -> Tensor:
        """The gradient with respect to the input ``x``, from that with respect to the output."""
        where = [self.stride] * 2, [self.padding] * 2, [1, 1], False, [0, 0], 1
        found: Tensor = _ATEN.convolution_backward(slope, x, self.weight, None, *where, [True, False, False])[0]
        return found


def by_blocks(weight: Tensor) -> Tensor:
    """The backward pass of a 3x3 convolution (stride 1, padding 1), for 2x2 inputs at once.

    Each input pixel collects 3x3 slopes; 2x2 neighbours collect from 4x4. So the gradient is a convolution of size
    4, stride 2, padding 1, with four times the channels, and ``pixel_shuffle`` puts these where they belong.

    Args:
        weight: (outputs, inputs, 3, 3).

    Returns:
        (4 * inputs, outputs, 4, 4).
    """
    outputs, inputs = weight.shape[:2]
    turned = weight.flip(2, 3).transpose(0, 1)
    blocks = weight.new_zeros(inputs, 2, 2, outputs, 4, 4)
    for row in range(2):
        for column in range(2):
            blocks[:, row, column, :, row : row + 3, column : column + 3] = turned
    return blocks.reshape(4 * inputs, outputs, 4, 4).contiguous(memory_format=_LAST)


def _through_first(slope: Tensor, blocks: Tensor) -> Tensor:
    found = functional.pixel_shuffle(functional.conv2d(slope, blocks, None, 2, 1), 2)
    return found.float().contiguous()


def _activate(x: Tensor) -> Tensor:
    return functional.leaky_relu_(x, NEGATIVE_SLOPE)


def _back_through_activation(slope: Tensor, result: Tensor) -> Tensor:
    """From what the activation gave: its sign is that of what it took."""
    found: Tensor = _ATEN.leaky_relu_backward(slope, result, NEGATIVE_SLOPE, True)
    return found


def _pool(x: Tensor) -> tuple[Tensor, Tensor]:
    pooled, places = functional.max_pool2d(x, 2, return_indices=True)
    return pooled, places


def _back_through_pool(slope: Tensor, like: Tensor, places: Tensor) -> Tensor:
    window = [2, 2], [2, 2], [0, 0], [1, 1], False
    found: Tensor = _ATEN.max_pool2d_with_indices_backward(slope, like, *window, places)
    return found


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) as a matrix of pixels, (B·H·W, C); a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _pixels(rows: Tensor, like: Tensor) -> Tensor:
    """The reverse of :func:`_rows`: (B, C, H, W), channels last; a view."""
    batch, _, height, width = like.shape
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)


class WrittenVanilla:
    """:class:`~ebmdiag_trainers.nets.VanillaNet`."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        assert isinstance(net, VanillaNet)
        self.dtype = dtype
        parts = [part for part in net.f if isinstance(part, nn.Conv2d)]
        self.layers = [_Convolution.of(part, dtype) for part in parts[:-1]]
        self.first = by_blocks(self.layers[0].weight)
        last = _Convolution.of(parts[-1], torch.float32)
        self.last, self.bias = last.weight.permute(0, 2, 3, 1).flatten(), last.bias

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F and its gradient."""
        y = x.to(self.dtype).contiguous(memory_format=_LAST)
        seen = [y]
        for layer in self.layers:
            y = _activate(layer(y))
            seen.append(y)
        energy = torch.mv(_rows(y).reshape(len(x), -1).float(), self.last) + self.bias
        slope = _pixels(self.last.to(self.dtype).repeat(len(x), 1), y)
        for layer, below, above in zip(self.layers[:0:-1], seen[-2:0:-1], seen[:1:-1], strict=True):
            slope = layer.back(_back_through_activation(slope, above), below)
        return energy, _through_first(_back_through_activation(slope, seen[1]), self.first)


@dataclass(frozen=True)
class _Attended:
    """What the backward pass of a non-local block needs."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    attention: Tensor
    places: Tensor


class _Block:
    """A :class:`~ebmdiag_trainers.nets.NonLocalBlock` on pixels as rows; keys and values in one product."""

    def __init__(self, block: nn.Module, dtype: torch.dtype) -> None:
        assert isinstance(block, NonLocalBlock)
        self.inner = block.inner
        self.query, self.query_bias = _matrix(block.theta, dtype)
        pairs = [_matrix(part[0], dtype) for part in (block.phi, block.g)]
        self.both, self.both_bias = (torch.cat(list(tensors)) for tensors in zip(*pairs, strict=True))
        self.out, self.out_bias = _matrix(block.W, dtype)

    def __call__(self, x: Tensor) -> tuple[Tensor, _Attended]:
        rows, batch = _rows(x), len(x)
        queries = torch.addmm(self.query_bias, rows, self.query.t()).view(batch, -1, self.inner)
        both, places = _pool(_pixels(torch.addmm(self.both_bias, rows, self.both.t()), x))
        keys, values = _rows(both).view(batch, -1, 2 * self.inner).tensor_split(2, -1)
        attention = torch.softmax(torch.bmm(queries, keys.transpose(1, 2)), -1)
        mixed = torch.bmm(attention, values).view(-1, self.inner)
        output = torch.addmm(self.out_bias, mixed, self.out.t()).add_(rows)
        return _pixels(output, x), _Attended(queries, keys, values, attention, places)

    def back(self, slope: Tensor, seen: _Attended) -> Tensor:
        rows, batch = _rows(slope), len(slope)
        mixed = torch.mm(rows, self.out).view(batch, -1, self.inner)
        values = torch.bmm(seen.attention.transpose(1, 2), mixed)
        weights = torch.bmm(mixed, seen.values.transpose(1, 2))
        weights = _ATEN._softmax_backward_data(weights, seen.attention, -1, weights.dtype)
        queries = torch.bmm(weights, seen.keys).view(-1, self.inner)
        keys = torch.bmm(weights.transpose(1, 2), seen.queries)
        height, width = slope.shape[2:]
        both = torch.cat([keys, values], -1).view(batch, height // 2, width // 2, -1).permute(0, 3, 1, 2)
        like = both.new_empty(batch, height, width, 2 * self.inner).permute(0, 3, 1, 2)
        found = torch.addmm(rows, queries, self.query)
        found.addmm_(_rows(_back_through_pool(both, like, seen.places)), self.both)
        return _pixels(found, slope)


def _matrix(part: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    assert isinstance(part, nn.Conv2d)
    assert part.bias is not None
    return part.weight.detach().flatten(1).to(dtype), part.bias.detach().to(dtype)


class WrittenNonlocal:
    """:class:`~ebmdiag_trainers.nets.NonlocalNet`."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        assert isinstance(net, NonlocalNet)
        self.dtype = dtype
        parts, (hidden, _, last) = list(net.convs), list(net.fc)
        assert isinstance(hidden, nn.Linear)
        assert isinstance(last, nn.Linear)
        self.layers = [_Convolution.of(parts[place], dtype) for place in (0, 4, 8)]
        self.blocks = [_Block(parts[place], dtype) for place in (3, 7)]
        self.first = by_blocks(self.layers[0].weight)
        side = SIDE // 8
        weight = hidden.weight.detach().view(hidden.out_features, -1, side, side).permute(0, 2, 3, 1).flatten(1)
        self.hidden, self.hidden_bias = weight.to(dtype).contiguous(), hidden.bias.detach().to(dtype)
        self.last, self.last_bias = last.weight.detach().flatten(), last.bias.detach()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F and its gradient."""
        y = x.to(self.dtype).contiguous(memory_format=_LAST)
        seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        attended: list[_Attended] = []
        for place, layer in enumerate(self.layers):
            whole = layer(y)
            pooled, places = _pool(whole)
            seen.append((y, whole, places, _activate(pooled)))
            y = pooled
            if place < len(self.blocks):
                y, kept = self.blocks[place](pooled)
                attended.append(kept)
        energy, slope = self._head(y)
        for place in range(len(self.layers) - 1, -1, -1):
            below, whole, places, above = seen[place]
            if place < len(self.blocks):
                slope = self.blocks[place].back(slope, attended[place])
            slope = _back_through_pool(_back_through_activation(slope, above), whole, places)
            if place:
                slope = self.layers[place].back(slope, below)
        return energy, _through_first(slope, self.first)

    def _head(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """F from the last features, and its gradient with respect to them."""
        rows = _rows(y).view(len(y), -1)
        features = _activate(torch.addmm(self.hidden_bias, rows, self.hidden.t()))
        energy = torch.mv(features.float(), self.last) + self.last_bias
        slope = _back_through_activation(self.last.to(self.dtype).repeat(len(y), 1), features)
        return energy, _pixels(torch.mm(slope, self.hidden).view(-1, y.shape[1]), y)


_KINDS: dict[type[nn.Module], Callable[[nn.Module, torch.dtype], Evaluate]] = {
    VanillaNet: WrittenVanilla,
    NonlocalNet: WrittenNonlocal,
}
