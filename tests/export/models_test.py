import dataclasses

import numpy as np
import pytest
import scipy.special

from hsjax import runtime
from hsjax.export import FRONT_END, models, tflite
from hsjax.predict import Predictor
from hsjax.runtime import Input, Variant, litert, sidecar

NAMES = {
    "tflite-float32-features.tflite",
    "tflite-int8-features.tflite",
    "tflite-float32-samples.tflite",
    "onnx-float32-features.onnx",
    "onnx-float32-samples.onnx",
}
# SAME convolutions and a dense network: neither layout changes nor copies.
NETWORK_OPERATORS = (
    "RESHAPE",
    "DEPTHWISE_CONV_2D",  # the converter's choice for one input channel
    "MAX_POOL_2D",
    "CONV_2D",
    "MAX_POOL_2D",
    "RESHAPE",
    "FULLY_CONNECTED",
    "FULLY_CONNECTED",
)


def test_the_folder_holds_each_model_its_sidecar_and_the_front_end(exported):
    assert set(exported.paths) == NAMES
    sidecars = {path.with_suffix(".json").name for path in exported.paths.values()}
    assert {path.name for path in exported.folder.iterdir()} == NAMES | sidecars | {FRONT_END}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_sidecars_say_what_was_exported(exported, name):
    described = sidecar.read(exported.paths[name])
    assert (f"{described.variant}-{described.input}", described.model) == (name.partition(".")[0], name)
    assert (described.front_end is not None) == (described.input is Input.FEATURES)
    common = {field.name: getattr(described, field.name) for field in dataclasses.fields(runtime.Description)}
    assert runtime.Description(**common) == exported.description


@pytest.mark.parametrize("name", ["tflite-float32-features.tflite", "tflite-int8-features.tflite"])
def test_the_network_needs_no_operator_but_its_own(exported, name):
    assert litert.operators(exported.paths[name].read_bytes()) == NETWORK_OPERATORS


def test_int8_fits_and_is_int8_throughout(exported):
    path = exported.paths["tflite-int8-features.tflite"]
    assert runtime.load(path).input_dtype == np.int8
    assert path.stat().st_size <= 50_000  # 43,250 weights of one byte and what surrounds them


@pytest.mark.parametrize("name", sorted(NAMES))
def test_predict_gives_softmax_of_the_networks_logits(exported, name):
    tolerance = 0.05 if "int8" in name else 1e-4
    probabilities = Predictor(exported.paths[name]).window_probabilities(exported.samples)
    np.testing.assert_allclose(probabilities, scipy.special.softmax(exported.logits, axis=1), atol=tolerance)


def test_exporting_again_gives_the_same_bytes(exported):
    again = tflite.float32(lambda features: exported.network(features), exported.features[:1].shape)
    assert again == exported.paths["tflite-float32-features.tflite"].read_bytes()


def test_file_names():
    assert models.file_name(Variant.ONNX_FLOAT32, Input.SAMPLES) == "onnx-float32-samples.onnx"
