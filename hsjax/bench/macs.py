"""Multiply-accumulates of an exported file, operator by operator, from the shapes in its graph.

Counted are products that are summed up: convolutions, matrix products, recurrent cells and Fourier transforms, padding
included, as `hsjax.models.macs` counts a network's. Additions, activations, pools, rescaling of integers and copies
count nothing. A real Fourier transform of n points counts n log2(n): half of the n / 2 log2(n) butterflies of a complex
one of radix two (Cooley and Tukey 1965), each with a complex product of four real ones.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Sequence

from hsjax.runtime.operations import Operation, Shape, operations
from hsjax.types import UserError

# What may multiply and say nothing of how often.
_UNKNOWN = {
    "WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE", "SVDF", "RNN", "LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_LSTM", "Loop", "Scan", "If", "Einsum", "DFT", "STFT", "Attention", "QAttention",
    "DeformConv", "DynamicQuantizeLSTM",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Layer:
    """An operator that multiplies.

    Attributes:
      name: of it or of what it puts out, as the file has it.
      operator: `CONV_2D`, `Conv`.
      shape: of what it puts out, batch first.
      macs: multiply-accumulates for one example.
    """

    name: str
    operator: str
    shape: Shape
    macs: int


@dataclasses.dataclass(frozen=True)
class Count:
    """Multiply-accumulates of one example.

    Attributes:
      layers: the operators that have any, in order of execution.
      not_counted: kinds of operators in the file whose products cannot be told from shapes (loops, say);
        where there are any, the total is a lower bound.
    """

    layers: tuple[Layer, ...]
    not_counted: tuple[str, ...]

    @property
    def total(self) -> int:
        """Of all layers."""
        return sum(layer.macs for layer in self.layers)


def count(path: pathlib.Path) -> Count:
    """Counts the multiply-accumulates of a file for one example.

    Args:
      path: a `.tflite` or `.onnx` file.

    Raises:
      UserError: as `runtime.load`, or shapes of an operator make no sense.
    """
    layers, unknown = [], []
    for operation in operations(path):
        rule = _RULES.get(operation.kind)
        if rule is not None:
            try:
                macs = rule(operation)
            except (IndexError, ZeroDivisionError) as error:
                raise UserError(f"{path}: {operation.kind} has shapes that make no sense, export it again") from error
            layers.append(Layer(operation.name, operation.kind, operation.outputs[0], macs))
        elif operation.kind in _UNKNOWN:
            unknown.append(operation.kind)
    return Count(tuple(layers), tuple(dict.fromkeys(unknown)))


def _given(shapes: Sequence[Shape | None], index: int) -> Shape:
    """The shape of an input that has to be there."""
    shape = shapes[index]
    if shape is None:
        raise IndexError
    return shape


def _by_output(kernel: int, features: int) -> Callable[[Operation], int]:
    """Every value that comes out is one product of the kernel with what it covers.

    Args:
      kernel: which input it is.
      features: which of its axes are those of the outputs.
    """

    def rule(operation: Operation) -> int:
        weights = _given(operation.inputs, kernel)
        return math.prod(operation.outputs[0]) * (math.prod(weights) // weights[features])

    return rule


def _by_input(kernel: int, source: int, features: int) -> Callable[[Operation], int]:
    """Of a transposed convolution: every value that goes in is multiplied by the whole kernel of its channel."""

    def rule(operation: Operation) -> int:
        weights, values = _given(operation.inputs, kernel), _given(operation.inputs, source)
        return math.prod(values) * (math.prod(weights) // weights[features])

    return rule


def _contracted(operation: Operation) -> int:
    """Matrices by matrices: as many products for each value as the first one has values in a row of the result."""
    first, out = _given(operation.inputs, 0), operation.outputs[0]
    if len(first) == 1:
        return math.prod(out) * first[0]
    if len(out) < len(first):  # by a vector
        return math.prod(out) * first[-1]
    return math.prod(out) * (first[-2] * first[-1] // out[-2])  # which of both is transposed does not matter


def _gemm(operation: Operation) -> int:
    first, out = _given(operation.inputs, 0), operation.outputs[0]
    return out[1] * math.prod(first)


def _recurrent(operation: Operation) -> int:
    """ONNX's RNN, GRU and LSTM: all matrices once for each step and example."""
    steps, batch = _given(operation.inputs, 0)[:2]
    weights = _given(operation.inputs, 1), _given(operation.inputs, 2)
    return steps * batch * sum(map(math.prod, weights))


def _real_fourier(operation: Operation) -> int:
    """RFFT2D: of rows of n real points, then of columns of m complex ones."""
    *batch, rows, bins = operation.outputs[0]
    points = 2 * (bins - 1)
    along_rows = rows * points * _log2(points)
    along_columns = bins * 2 * rows * _log2(rows)
    return math.prod(batch) * (along_rows + along_columns)


def _log2(points: int) -> int:
    """Steps of a radix-two transform; TFLite and ONNX take only powers of two, or pad to one."""
    return max(points - 1, 0).bit_length()


_RULES: dict[str, Callable[[Operation], int]] = {
    # TFLite: kernels (out, height, width, in); depthwise (1, height, width, out); 3-D (depth, height, width, in, out).
    "CONV_2D": _by_output(1, 0),
    "DEPTHWISE_CONV_2D": _by_output(1, 3),
    "CONV_3D": _by_output(1, 4),
    "TRANSPOSE_CONV": _by_input(1, 2, 3),
    "FULLY_CONNECTED": _by_output(1, 0),
    "BATCH_MATMUL": _contracted,
    "RFFT2D": _real_fourier,
    # ONNX: kernels (out, in / group, ...), transposed (in, out / group, ...).
    "Conv": _by_output(1, 0),
    "ConvInteger": _by_output(1, 0),
    "QLinearConv": _by_output(3, 0),
    "ConvTranspose": _by_input(1, 0, 0),
    "Gemm": _gemm,
    "MatMul": _contracted,
    "MatMulInteger": _contracted,
    "QLinearMatMul": _contracted,
    "DynamicQuantizeMatMul": _contracted,
    "MatMulIntegerToFloat": _contracted,
    "FusedMatMul": _contracted,
    "FusedConv": _by_output(1, 0),
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
