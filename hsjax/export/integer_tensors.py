"""Tensors of an integer TFLite graph: grids, the levels of weights and biases, and how a file holds them."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hsjax.runtime.graph import Graph

_MAX_RESIDUAL = 1e-4
"""Of weights from a multiple of a kernel, relative to their norm: what folding a norm in float32 leaves."""

_MOST = {8: 2**30, 16: 2**46}
"""Of a bias by the bits of the inputs, with room for what is added to it: of its 64 bits LiteRT multiplies 48
(`MultiplyByQuantizedMultiplier` in tensorflow/lite/kernels/internal/common.h)."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Real numbers `scale * (level - zero_point)`, as TFLite holds them: levels are int8, or int16 around 0.

    Attributes:
      scale: a float32 number.
      zero_point: a level.
      bits: 8 or 16.
    """

    scale: float
    zero_point: int
    bits: int = 8

    def wide(self) -> "Grid":
        """Of 16 bits, with all numbers of this grid on it."""
        return self if self.bits == 16 else Grid(self.scale, 0, 16)

    def spanned(self) -> "Grid":
        """Of 16 bits, with as wide a range."""
        if self.bits == 16:
            return self
        largest = self.scale * max(128 + self.zero_point, 127 - self.zero_point)
        return Grid(float(np.float32(largest / 32767)), 0, 16)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A layer's kernel as trained; output channels are the last axis.

    Attributes:
      value: float, as the quantiser saw it.
      levels: whole numbers.
      step: of each output channel: `step * levels` stands for `value`.
      bits: 4 or 8.
    """

    value: Float[np.ndarray, "... channels"]
    levels: Float[np.ndarray, "... channels"]
    step: Float[np.ndarray, " channels"]
    bits: int


class Weights(NamedTuple):
    """Weights of an operator.

    Attributes:
      real: as in the float graph, in its layout.
      levels: in the same layout.
      scale: of each output channel.
      axis: of the output channels.
      bits: of the levels.
      kernel: index of the kernel that they are.
    """

    real: Float[np.ndarray, "..."]
    levels: Int[np.ndarray, "..."]
    scale: Float[np.ndarray, " channels"]
    axis: int
    bits: int
    kernel: int = 0


def folded(
    weights: Float[np.ndarray, "..."], axis: int, kernels: Sequence[Kernel], used: Collection[int] = ()
) -> Weights:
    """Levels and scales of an operator's weights.

    They are a layer's kernel, each output channel times a factor of its own: of the norm that is folded into them. Of
    several that they may be (with one weight a channel each is a multiple of any other) it is the first that no
    operator has had before.

    Args:
      weights: in TFLite's layout.
      axis: of the output channels.
      kernels: among which theirs is, in the order in which the network computes with them.
      used: indices of those that operators before have had.

    Raises:
      ValueError: it is none of them.
    """
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
    norm = np.linalg.norm(rows)
    fitting: list[tuple[bool, int, np.ndarray]] = []
    for index, kernel in enumerate(kernels):
        if kernel.value.shape[-1] != rows.shape[0] or kernel.value.size != rows.size:
            continue
        own = _rows(kernel.value)
        squared = np.square(own).sum(1)
        factor = (rows * own).sum(1) / np.where(squared > 0, squared, 1)
        if np.linalg.norm(rows - factor[:, None] * own) <= _MAX_RESIDUAL * norm:
            fitting.append((index in used, index, factor))
    if not fitting:
        raise ValueError(f"weights of shape {weights.shape} are no multiple of any of {len(kernels)} kernels")
    _, index, factor = min(fitting, key=lambda one: one[:2])
    kernel = kernels[index]
    levels = (_rows(kernel.levels) * np.sign(factor)[:, None]).astype(np.int8)
    moved = np.moveaxis(weights, axis, 0).shape
    scale = (kernel.step * np.abs(factor)).astype(np.float32)
    return Weights(weights, np.moveaxis(levels.reshape(moved), 0, axis), scale, axis, kernel.bits, index)


def _rows(kernel: np.ndarray) -> np.ndarray:
    return np.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1).astype(np.float64)


def bias(
    weights: Weights, real: Float[np.ndarray, " channels"] | None, source: Grid
) -> tuple[Weights, Int[np.ndarray, " channels"] | None]:
    """A bias in units of the products of inputs and weights, int32, or int64 for inputs of 16 bits.

    Weights so small, or all 0, that their channel's bias would not fit get a larger scale.

    Args:
      weights: of the operator.
      real: the bias; None where there is none.
      source: grid of the input.
    """
    least = (
        np.float32(1e-12) if real is None else np.abs(real) / (source.scale * _MOST[source.bits]) + np.float32(1e-12)
    )
    small = weights.scale < least
    if small.any():
        scale = np.where(small, np.float32(least), weights.scale).astype(np.float32)
        shape = [1] * weights.real.ndim
        shape[weights.axis] = -1
        levels = np.rint(weights.real / scale.reshape(shape)).astype(np.int8)
        weights = weights._replace(levels=np.where(small.reshape(shape), levels, weights.levels), scale=scale)
    if real is None:
        return weights, None
    steps = real.astype(np.float64) / (np.float64(source.scale) * weights.scale)
    return weights, np.rint(steps).astype(np.int64 if source.bits == 16 else np.int32)


class Tensors:
    """Collects tensors, constants and operators of a new model with one subgraph."""

    def __init__(self, graph: Graph):
        self._old, self._schema = graph, graph.schema
        self._buffers, self._new, self._operators = [self._schema.BufferT()], [], []
        self._codes: dict[tuple[int, int], int] = {}
        self._names: set[bytes] = set()
        self.source, self.target = int(graph.subgraph.inputs[0]), int(graph.subgraph.outputs[0])

    def values(self, tensor: int) -> Float[np.ndarray, "..."]:
        """A float constant of the old graph."""
        values = self._old.constant(tensor)
        if values is None:
            raise ValueError(f"tensor {tensor} is no constant")
        return values

    def real(self, tensor: int) -> int:
        """A new float32 tensor like an old one; its number."""
        return self._append(tensor, "float32", None, None)

    def on_grid(self, tensor: int, grid: Grid) -> int:
        """A new tensor of levels like an old one; its number."""
        quantisation = self._quantisation(np.array([grid.scale]), np.array([grid.zero_point]), 0)
        return self._append(tensor, f"int{grid.bits}", quantisation, None)

    def levels(self, tensor: int, levels: Int[np.ndarray, "..."], scale: np.ndarray, axis: int, kind: str) -> int:
        """A new constant in place of an old one; its number."""
        data = nibbles(levels) if kind == "int4" else np.ascontiguousarray(levels).view(np.uint8).reshape(-1)
        return self._append(tensor, kind, self._quantisation(scale, np.zeros(len(scale), np.int64), axis), data)

    def constant(self, tensor: int, bits: int) -> int:
        """The new number of an old constant: as it is, or, of floats, with its largest value as the highest level."""
        if tensor < 0:
            return -1
        old = self._old.subgraph.tensors[tensor]
        if old.type != self._schema.TensorType.FLOAT32:
            return self._append(tensor, None, None, self._old.model.buffers[old.buffer].data)
        values = self.values(tensor)
        scale = np.float32(max(np.abs(values).max(), 1e-12) / (2 ** (bits - 1) - 1))
        levels = np.asarray(np.rint(values / scale), f"int{bits}")  # a lone number is no array once it is divided
        return self.levels(tensor, levels, np.array([scale]), 0, f"int{bits}")

    def operator(self, name: str, version: int, inputs: list[int], output: int, like: Any = None) -> None:
        """A new operator, with the options of an old one."""
        code = getattr(self._schema.BuiltinOperator, name)
        index = self._codes.setdefault((code, version), len(self._codes))
        kind, options = (like.builtinOptionsType, like.builtinOptions) if like else (0, None)
        self._operators.append(
            self._schema.OperatorT(
                opcodeIndex=index, inputs=inputs, outputs=[output], builtinOptionsType=kind, builtinOptions=options
            )
        )

    def finished(self, source: int, target: int) -> Graph:
        """The new model, with its input and output."""
        schema = self._schema
        codes = [
            schema.OperatorCodeT(min(code, 127), builtinCode=code, version=version) for code, version in self._codes
        ]
        subgraph = schema.SubGraphT(
            tensors=self._new, inputs=[source], outputs=[target], operators=self._operators, name=b"main"
        )
        model = schema.ModelT(
            version=3, operatorCodes=codes, subgraphs=[subgraph], description=b"hsjax", buffers=self._buffers
        )
        return Graph(schema, model, subgraph)

    def _append(self, tensor: int, kind: str | None, quantisation: Any, data: np.ndarray | None) -> int:
        old, buffer = self._old.subgraph.tensors[tensor], 0
        if data is not None:
            self._buffers.append(self._schema.BufferT(data=data))
            buffer = len(self._buffers) - 1
        number = old.type if kind is None else getattr(self._schema.TensorType, kind.upper())
        # tf2onnx knows tensors by their names: one that exists on two grids has two.
        name = old.name if old.name not in self._names else old.name + b"/%d" % len(self._new)
        self._names.add(name)
        self._new.append(
            self._schema.TensorT(
                shape=old.shape, type=number, buffer=buffer, name=name, quantization=quantisation, hasRank=True
            )
        )
        return len(self._new) - 1

    def _quantisation(self, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> Any:
        return self._schema.QuantizationParametersT(
            scale=scale.astype(np.float32), zeroPoint=zero_point.astype(np.int64), quantizedDimension=axis
        )


def nibbles(levels: Int[np.ndarray, "..."]) -> np.ndarray:
    """Two in a byte, the first in its lower half."""
    flat = np.append(levels.reshape(-1), np.zeros(levels.size % 2, np.int8)).astype(np.uint8) & 15
    return flat[::2] | flat[1::2] << 4
