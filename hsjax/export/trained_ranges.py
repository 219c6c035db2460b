"""Files with the ranges of quantisation-aware training.

The network is traced in float, with every activation that its quantiser rounds as one more output: each is a tensor of
the float file, which is then written anew in integers on exactly the trained grids (`integer_graph`). Of the other ways
(jax 0.10.2, TensorFlow 2.21, ai-edge-quantizer 0.10):

* `quant.fake_quant` composites, which TensorFlow's converter takes over as they are: jax writes them as StableHLO 1.15,
  this TensorFlow reads up to 1.13.7. Its own FakeQuant operators within the trace (`jax2tf.call_tf`): not converted.
* ai-edge-quantizer, given each tensor's smallest and largest value: the same scales for activations, but it takes those
  of weights from the weights (learnt ones are lost), has no 4-bit depthwise convolution and no leaky ReLU, keeps a mean
  as SUM, which LiteRT's reference kernels compute wrongly in int8, and brings four more packages.
* TensorFlow's converter with calibration, and the scales rewritten in its file: neither 4 bits nor layers of their own.

Emulation and file are not equal to the last bit: LiteRT's reference kernels round products twice (0.2 to 0.7 % of a
convolution's outputs are one level off what exact integers give), and a bias is rounded to whole products, which the
emulation leaves out (0.1 to 0.3 %). On 791 windows of PhysioNet 2016, Song's student calibrated so: 95 % of all logits
are equal, the others one level apart; 789 classes agree with the reference kernels, all 791 with XNNPACK's.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from hsjax.export import onnx, tflite
from hsjax.export.integer_graph import integers
from hsjax.export.integer_tensors import Grid, Kernel
from hsjax.models import Form, Network, Variables, quantised
from hsjax.models.layers.fake_quant import Activated, FakeQuant, Of, Weighed
from hsjax.runtime import Variant
from hsjax.types import UserError


def forms(network: Network, variables: Variables, input_shape: tuple[int, ...]) -> dict[Variant, Callable[[], bytes]]:
    """Makers of all files that can hold a network's trained ranges.

    Args:
      network: as for `to_tflite`.
      variables: of it.
      input_shape: with a batch of 1 in front.
    """
    quantiser = quantised.quantiser_of(network)
    wide = quantiser.activations == 16
    made: dict[Variant, Callable[[], bytes]] = {
        Variant.TFLITE_INT16 if wide else Variant.TFLITE_INT8: lambda: to_tflite(network, variables, input_shape)
    }
    if _bits(quantiser) == {8}:
        made[Variant.ONNX_INT8_STATIC] = lambda: to_onnx(network, variables, input_shape)
    return made


def to_tflite(network: Network, variables: Variables, input_shape: tuple[int, ...], float_ends: bool = False) -> bytes:
    """A TFLite file of integers with the ranges that a network was trained with.

    Args:
      network: in its plain form, with a `FakeQuant`; `apply` without `train` emulates the file. LiteRT's kernels round
        products in two steps or in float32, so that levels differ by one here and there.
      variables: of it.
      input_shape: with a batch of 1 in front.
      float_ends: see `integers`.

    Returns:
      Content of the file.

    Raises:
      UserError: TensorFlow is not installed, or the network computes something whose range was not trained: recurrent
        layers, and DenseNet's norms without a convolution before them.
      ValueError: the network is not in its plain form.
    """
    if network.module.execution.form is not Form.PLAIN:
        raise ValueError("want a network in its plain form")
    held = jax.tree.map(jnp.asarray, variables)
    quantiser = quantised.quantiser_of(network)
    described = _described(network, held, input_shape)
    names: list[tuple[str, ...]] = []
    order: list[tuple[str, ...]] = []  # of the kernels as they are computed with: described, they are sorted by path

    def function(inputs: Array) -> Any:
        _, seen = quantised.seen(network, held, inputs)
        names[:] = [("output",), *(path for path in _activations(seen) if path not in (("input",), ("output",)))]
        order[:] = [path for path, what in seen.items() if isinstance(what, Weighed)]
        return tuple(seen[path].value for path in names)

    model = tflite.float32(function, input_shape)
    grids = {
        path: Grid(float(seen.scale), int(seen.zero_point), quantiser.bits(Of.ACTIVATIONS, path))
        for path, seen in _activations(described).items()
    }
    weighed = ((path, described[path]) for path in order)
    kernels = [
        Kernel(np.asarray(seen.value), np.asarray(seen.levels), np.asarray(seen.step), quantiser.bits(Of.WEIGHTS, path))
        for path, seen in weighed
        if isinstance(seen, Weighed)
    ]
    return integers(model, grids["input",], [grids[path] for path in names], kernels, float_ends)


def to_onnx(network: Network, variables: Variables, input_shape: tuple[int, ...]) -> bytes:
    """An ONNX file with the same integers between QuantizeLinear and DequantizeLinear (static QDQ) and float ends.

    Args:
      network: as for `to_tflite`, with 8 bits throughout.
      variables: of it.
      input_shape: with a batch of 1 in front; that of the file is free.

    Raises:
      UserError: as `to_tflite`; tf2onnx or onnx is not installed; or some layer has other than 8 bits.
    """
    if _bits(quantised.quantiser_of(network)) != {8}:
        raise UserError("an ONNX file of this version holds 8 bits: export networks with other bits as TFLite")
    return onnx.from_tflite(to_tflite(network, variables, input_shape, float_ends=True))


def _bits(quantiser: FakeQuant) -> set[int]:
    return {quantiser.weights, quantiser.activations, *(bits for _, _, bits in quantiser.overrides)}


def _described(network: Network, variables: Variables, input_shape: tuple[int, ...]) -> quantised.Seen:
    """Grids and kernels; values of activations are left out, so that nothing that makes them is computed."""

    @jax.jit
    def describe(variables: Variables) -> quantised.Seen:
        _, seen = quantised.seen(network, variables, jnp.zeros(input_shape, jnp.float32))
        return {
            path: what._replace(value=jnp.zeros(())) if isinstance(what, Activated) else what
            for path, what in seen.items()
        }

    return jax.tree.map(np.asarray, describe(variables))


def _activations(seen: quantised.Seen) -> dict[tuple[str, ...], Activated]:
    return {path: what for path, what in seen.items() if isinstance(what, Activated)}
