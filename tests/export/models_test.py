import dataclasses
import pathlib

import numpy as np
import pytest
import scipy.special

from hsjax import runtime
from hsjax.export import FRONT_END, models, tflite
from hsjax.predict import Predictor
from hsjax.runtime import Input, Variant, litert, sidecar

NAMES = {models.file_name(variant, input) for variant in Variant for input in Input}
# Of probabilities, after int8 and int16 (whose weights are int8) and for what is rounding alone.
TOLERANCE = {Variant.TFLITE_FLOAT16: 5e-3, Variant.ONNX_FLOAT16: 5e-3} | {
    variant: 0.05 for variant in Variant if not variant.exact and "float16" not in variant
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


@pytest.mark.parametrize("name", [f"tflite-{form}-features.tflite" for form in ("float32", "dynamic", "int8", "int16")])
def test_the_network_needs_no_operator_but_its_own(exported, name):
    assert litert.operators(exported.paths[name].read_bytes()) == NETWORK_OPERATORS


@pytest.mark.parametrize(
    ("form", "dtype", "most"),
    [
        # 43,250 weights of one byte, of two, and what surrounds them; int16 has biases of eight bytes.
        ("tflite-int8", np.int8, 50_000),
        ("tflite-int16", np.int16, 52_000),
        ("tflite-dynamic", np.float32, 50_000),
        ("tflite-float16", np.float32, 95_000),
        ("onnx-int8-static", np.float32, 54_000),
        ("onnx-float16", np.float32, 92_000),
        # The second convolution, 4,608 weights, stays float32.
        ("onnx-int8-dynamic", np.float32, 64_000),
        ("onnx-int8-dynamic-all", np.float32, 54_000),
        ("onnx-int8-weights", np.float32, 48_000),
    ],
)
def test_files_from_features_are_as_small_as_their_numbers(exported, form, dtype, most):
    path = exported.paths[models.file_name(Variant(form), Input.FEATURES)]
    assert runtime.load(path).input_dtype == dtype
    assert path.stat().st_size <= most


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.endswith(".onnx")))
def test_onnx_files_take_any_batch(exported, name):
    assert runtime.load(exported.paths[name]).batch is None


def test_chosen_variants_alone_are_written(exported, tmp_path):
    chosen = (Variant.TFLITE_FLOAT32, Variant.TFLITE_INT8)
    paths = models.export(
        tmp_path,
        network=lambda features: features[:, 0, :2],
        front_end=lambda samples: samples.reshape(1, 4, 2),
        feature_shape=(4, 2),
        calibration=np.ones((3, 4, 2), np.float32),
        description=dataclasses.replace(exported.description, window=8),
        variants=chosen,
        trained={Variant.TFLITE_INT8: exported.paths["tflite-int8-features.tflite"].read_bytes},
    )
    assert [path.name for path in paths] == [
        models.file_name(v, i) for v in chosen for i in (Input.FEATURES, Input.SAMPLES)
    ]
    # Trained ranges, where there are some, are those of the int8 file.
    assert paths[2].read_bytes() == exported.paths["tflite-int8-features.tflite"].read_bytes()


def test_what_a_form_is_made_from():
    assert models.made_from(Variant.TFLITE_FLOAT32) == ()
    assert models.made_from(Variant.TFLITE_INT8) == (Variant.TFLITE_FLOAT32,)
    assert models.made_from(Variant.ONNX_FLOAT32) == (Variant.TFLITE_FLOAT32,)
    assert models.made_from(Variant.ONNX_INT8_STATIC) == (Variant.ONNX_FLOAT32,)
    found = models.reference(pathlib.Path("x"), Variant.ONNX_INT8_DYNAMIC, Input.SAMPLES)
    assert found == pathlib.Path("x", "onnx-float32-samples.onnx")
    assert models.reference(pathlib.Path("x"), Variant.TFLITE_FLOAT32, Input.SAMPLES) is None


@pytest.mark.parametrize("name", sorted(NAMES))
def test_predict_gives_softmax_of_the_networks_logits(exported, name):
    predictor = Predictor(exported.paths[name])
    tolerance = TOLERANCE.get(predictor.sidecar.variant, 1e-4)
    probabilities = predictor.window_probabilities(exported.samples)
    np.testing.assert_allclose(probabilities, scipy.special.softmax(exported.logits, axis=1), atol=tolerance)


def test_exporting_again_gives_the_same_bytes(exported):
    again = tflite.float32(lambda features: exported.network(features), exported.features[:1].shape)
    assert again == exported.paths["tflite-float32-features.tflite"].read_bytes()


def test_file_names():
    assert models.file_name(Variant.ONNX_FLOAT32, Input.SAMPLES) == "onnx-float32-samples.onnx"
