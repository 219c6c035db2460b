"""A float32 ONNX model in smaller numbers, by ONNX Runtime's own quantisers. Its names of values stay."""

import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from hsjax.export.required import required

_BATCH = 32
"""Calibration examples at once."""

_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")
"""Tells the quantisers that shapes are known and norms folded: TFLite's converter has seen to that."""

_LARGEST_HALF = float(np.finfo(np.float16).max)


def float16(model: bytes) -> bytes:
    """Weights in half precision, for half the size; ONNX Runtime computes in float32, as it does for a float32 file.

    Args:
      model: content of a float32 file.
    """
    onnx = required("onnx")
    whole = onnx.load_from_string(model)
    casts = []
    for constant in whole.graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype != np.float32 or np.abs(values).max(initial=0) > _LARGEST_HALF:
            continue
        name = constant.name
        constant.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [constant.name], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        whole.graph.node.insert(0, cast)
    onnx.checker.check_model(whole, full_check=True)
    return whole.SerializeToString()


def int8_static(
    model: bytes, calibration: Float[np.ndarray, "n ..."], overrides: dict[str, list[dict[str, Any]]] | None = None
) -> bytes:
    """Weights int8 with a scale per channel, activations int8, both between QuantizeLinear and DequantizeLinear (QDQ).

    Args:
      model: content of a float32 file for any batch.
      calibration: typical inputs, `(n, ...)`, from training data; the ranges of all activations come from them.
      overrides: ranges from elsewhere, ONNX Runtime's `TensorQuantOverrides`.

    Raises:
      ValueError: no calibration inputs, or not finite ones.
    """
    if not len(calibration) or not np.isfinite(calibration).all():
        raise ValueError(f"want finite calibration inputs, got {calibration.shape}")
    quantization = required("onnxruntime.quantization", "onnxruntime")

    class Reader(quantization.CalibrationDataReader):
        """Batches of the calibration inputs under the name of the model's input."""

        def __init__(self, name: str):
            starts = range(0, len(calibration), _BATCH)
            self._batches: Iterator[np.ndarray] = (calibration[start : start + _BATCH] for start in starts)
            self._name = name

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {self._name: batch.astype(np.float32, copy=False)}

    def quantise(source: pathlib.Path, target: pathlib.Path, name: str) -> None:
        quantization.quantize_static(
            source, target, Reader(name),
            quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
            extra_options={"TensorQuantOverrides": overrides} if overrides else None,
        )  # fmt: skip

    return _through_files(model, quantise)


def int8_dynamic(model: bytes) -> bytes:
    """Weights of products int8 with a scale per channel; activations float32, whose ranges the device finds as it goes.

    Convolutions stay float32: in integers ONNX Runtime has one scale for all of their channels here, which ruins
    depthwise ones, and is slower (Song's student: 68 µs, and 245 with signed weights, against 33; float32 30).

    Args:
      model: content of a float32 file for any batch.
    """
    quantization = required("onnxruntime.quantization", "onnxruntime")

    def quantise(source: pathlib.Path, target: pathlib.Path, name: str) -> None:
        del name
        quantization.quantize_dynamic(
            source, target, ["MatMul", "Gemm"], per_channel=True, weight_type=quantization.QuantType.QInt8
        )

    return _through_files(model, quantise)


def _through_files(model: bytes, quantise: Callable[[pathlib.Path, pathlib.Path, str], None]) -> bytes:
    """What a quantiser, which works on files, makes of a model whose input it is told the name of."""
    onnx = required("onnx")
    whole = onnx.load_from_string(model)
    whole.metadata_props.add(key=_PREPARED[0], value=_PREPARED[1])
    with tempfile.TemporaryDirectory() as folder:
        source, target = (pathlib.Path(folder, name) for name in ("float32.onnx", "int8.onnx"))
        source.write_bytes(whole.SerializeToString())
        quantise(source, target, whole.graph.input[0].name)
        quantised = onnx.load(target)
    del quantised.metadata_props[:]
    onnx.checker.check_model(quantised, full_check=True)
    return quantised.SerializeToString()
