"""What tests look at in ONNX files, and the maps that they are run on."""

import numpy as np
import onnx
import onnxruntime

RNG = np.random.default_rng(0)
# Channels of which the largest weights are 10,000 times as large as those of the smallest.
KERNEL = (RNG.normal(size=(3, 3, 2, 5)) * [0.01, 0.1, 1, 10, 100]).astype(np.float32)
WEIGHTS = RNG.normal(size=(5, 3)).astype(np.float32)
MAPS = RNG.normal(size=(24, 6, 8, 2)).astype(np.float32)


def run(model, x):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]


def constants(model):
    return {c.name: onnx.numpy_helper.to_array(c) for c in onnx.load_from_string(model).graph.initializer}


def signal_to_noise(model, network):
    """In dB, of what a model makes of `MAPS`, against the network in JAX."""
    want = np.asarray(network(MAPS), np.float64)
    return 10 * np.log10(np.square(want).sum() / np.square(run(model, MAPS) - want).sum())
