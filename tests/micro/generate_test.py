"""`python -m hsjax.micro`: what it writes, and what it refuses."""

import ctypes
import json
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from hsjax import runtime
from hsjax.export import FRONT_END, tflite
from hsjax.micro import MicroSession, __main__, front_end_file
from hsjax.micro.generate import generate
from hsjax.micro.model_source import threshold_steps
from hsjax.runtime import Input, Variant, sidecar
from hsjax.runtime.litert import Quantisation
from hsjax.types import UserError
from tests.micro import compiled


@pytest.fixture(scope="module")
def generated(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("c") / "new" / "folder"
    command = [sys.executable, "-m", "hsjax.micro", str(exported.model), "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, json.loads(done.stdout)


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of the exports that may be spoilt."""
    shutil.copytree(exported.folder, tmp_path / "exports")
    return tmp_path / "exports"


def refusal(capsys, model, output, *flags) -> str:
    assert __main__.main([str(model), "--output", str(output), *flags]) == 2
    assert not output.exists()
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


CONSTANTS = """
#include <stdio.h>
#include <string.h>
#include "hs_model.h"
#include "hs_front_end.h"
int main(void) {
  int i;
  printf("{\\"window\\": %d, \\"hop\\": %d, \\"rate\\": %d, ", HS_WINDOW, HS_HOP, HS_SAMPLE_RATE);
  printf("\\"arena\\": %d, ", HS_ARENA_BYTES);
  printf("\\"input\\": [%.9g, %d], ", HS_INPUT_SCALE, HS_INPUT_ZERO_POINT);
  printf("\\"output\\": [%.9g, %d], ", HS_OUTPUT_SCALE, HS_OUTPUT_ZERO_POINT);
  printf("\\"positive\\": %d, \\"threshold\\": %.9g, \\"steps\\": %d, ", HS_POSITIVE, HS_THRESHOLD, HS_THRESHOLD_STEPS);
  printf("\\"features\\": [%d, %d], \\"aligned\\": %d, ", HS_COEFFICIENTS, HS_FRAMES, (int)((uintptr_t)hs_model % 16));
  printf("\\"scratch\\": [%d, %d], ", (int)sizeof(hs_fixed_scratch), (int)sizeof(hs_float_scratch));
  printf("\\"labels\\": [");
  for (i = 0; i < HS_CLASSES; i++) {
    const char *c;
    printf("%s[", i ? ", " : "");
    for (c = hs_labels[i]; *c; c++) printf("%s%d", c == hs_labels[i] ? "" : ", ", (unsigned char)*c);
    printf("]");
  }
  printf("]}");
  return HS_FEATURES == HS_COEFFICIENTS * HS_FRAMES ? 0 : 1;
}
"""


def test_constants_and_model(exported, generated, tmp_path):
    folder, summary = generated
    (tmp_path / "main.c").write_text(CONSTANTS)
    compiled.compile_c(folder, str(tmp_path / "main.c"), "hs_model.c", "-o", str(tmp_path / "main"))
    got = json.loads(subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout)
    session, described = MicroSession(exported.model), sidecar.read(exported.model)
    assert (got["window"], got["hop"], got["rate"]) == (5000, 5000, 2000)
    assert got["input"] == pytest.approx([session.input_quantisation.scale, session.input_quantisation.zero_point])
    assert got["output"] == pytest.approx([session.output_quantisation.scale, session.output_quantisation.zero_point])
    assert [bytes(label).decode() for label in got["labels"]] == list(described.labels)
    assert (got["positive"], got["threshold"], got["aligned"]) == (1, pytest.approx(0.4), 0)
    assert got["steps"] == threshold_steps(0.4, session.output_quantisation)
    assert tuple(got["features"]) == session.input_shape == (13, 101)
    assert got["arena"] % 16 == 0
    assert 0 <= got["arena"] - summary["arena"]["total"] < 16
    assert got["scratch"][0] <= 8 * 1024
    library = compiled.load(folder)
    model = bytes((ctypes.c_uint8 * summary["model_bytes"]).in_dll(library, "hs_model"))
    assert model == exported.model.read_bytes()


def test_the_summary_names_every_file(generated):
    folder, summary = generated
    assert summary["files"] == sorted(path.name for path in folder.iterdir() if path.suffix in (".c", ".h"))
    assert (summary["arena"]["activations"] + summary["arena"]["persistent"]) == summary["arena"]["total"]


def test_the_code_is_the_exported_front_end(exported, generated):
    code = compiled.functions(generated[0], exported.front_end.shape)
    front_end = runtime.load(exported.folder / FRONT_END)
    expected = front_end.run(exported.windows / np.float32(32768))
    assert np.abs(code.single(exported.windows) - expected).max() < 2e-4 * np.abs(expected).max()
    quantisation = MicroSession(exported.model).input_quantisation
    steps = code.fixed(exported.windows).astype(int) - quantisation.quantise(expected)
    assert np.abs(steps).max() <= 1


@pytest.mark.parametrize(
    ("threshold", "scale", "steps"),
    [
        (0.5, 0.1, 0),
        (0.7310585, 0.1, 10),  # just below the logistic function of 1
        (0.72, 0.1, 10),  # log(.72 / .28) is .944
        (0.2689414, 0.1, -10),
        (0.0, 0.1, -256),
        (1.0, 0.1, 256),
        (0.999999, 0.001, 256),
    ],
)
def test_threshold_steps(threshold, scale, steps):
    assert threshold_steps(threshold, Quantisation(scale, 3)) == steps


def test_without_the_front_end(folder, tmp_path, capsys):
    (folder / front_end_file.FILE).unlink()
    output = tmp_path / "c"
    model = folder / "tflite-int8-features.tflite"
    assert "says what the front end computes: export the model again" in refusal(capsys, model, output)
    assert __main__.main([str(model), "--output", str(output), "--model-only"]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["hs_config.h", "hs_model.c", "hs_model.h"]
    compiled.load(output)


def test_a_missing_sidecar(folder, tmp_path, capsys):
    model = folder / "tflite-int8-features.tflite"
    model.with_suffix(".json").unlink()
    assert "a model and its sidecar stay together" in refusal(capsys, model, tmp_path / "c")


def describe(folder, name, variant, kind):
    """A sidecar like the student's, for another file."""
    like = sidecar.read(folder / "tflite-int8-features.tflite")
    front_end = folder / FRONT_END if kind is Input.FEATURES else None
    sidecar.write(folder, sidecar.describe(like, folder / name, variant, kind, front_end))
    return folder / name


def test_float_models_and_models_from_samples(folder, tmp_path, capsys):
    weights = np.ones((13 * 101, 2), np.float32)
    made = tflite.float32(lambda x: x.reshape(1, -1) @ weights, (1, 13, 101))
    (folder / "float.tflite").write_bytes(made)
    model = describe(folder, "float.tflite", Variant.TFLITE_FLOAT32, Input.FEATURES)
    assert "C code is made for full int8 models" in refusal(capsys, model, tmp_path / "c")
    model = describe(folder, "float.tflite", Variant.TFLITE_FLOAT32, Input.SAMPLES)
    assert "takes samples; C code is made for models with input features" in refusal(capsys, model, tmp_path / "c")


def test_operators_that_a_microcontroller_lacks_are_all_named(folder, tmp_path, capsys):
    def network(x):
        return jnp.fft.rfft(jnp.arctan2(x, x + 1)).real

    (folder / "foreign.tflite").write_bytes(tflite.float32(network, (1, 64)))
    model = describe(folder, "foreign.tflite", Variant.TFLITE_FLOAT32, Input.FEATURES)
    error = refusal(capsys, model, tmp_path / "c")
    assert "which lacks ATAN2, " in error
    assert "RFFT2D" in error
    assert error.count("\n") == 1


def test_a_file_of_another_runtime(folder, tmp_path, capsys):
    """A sound ONNX file, x to |x|, with a sidecar of its own."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Abs", ["x"], ["y"])], "g", ends[:1], ends[1:])
    sets = [onnx.helper.make_opsetid("", 17)]
    content = onnx.helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString()
    (folder / "other.onnx").write_bytes(content)
    model = describe(folder, "other.onnx", Variant.ONNX_FLOAT32, Input.FEATURES)
    assert "other.onnx: TFLite Micro runs .tflite files only" in refusal(capsys, model, tmp_path / "c")


def edited(folder, **changes):
    path = folder / front_end_file.FILE
    content = json.loads(path.read_text())
    for place, value in changes.items():
        *above, key = place.split("__")
        inner = content
        for name in above:
            inner = inner[name]
        inner[key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features__fmax": 450.0}, "does not describe what the front end computes"),
        ({"features__band__low": 25.0}, "does not describe what the front end computes"),
        ({"features__name": "gammatone"}, "use --model-only"),
        ({"features__n_mels": 12}, "between 1 and 12 coefficients of 12 values, got 13"),
        ({"state__mean": [0.0] * 13}, "does not describe what the front end computes"),
        ({"state__std": [0.0] * 13}, "is damaged"),
        ({"state__mean": ["x"] * 13}, "is damaged"),
        ({"state__mean": [0.0] * 12, "state__std": [1.0] * 12}, "normalisation of 12 coefficients, not 13"),
        ({"features__hop_length": "x"}, "is damaged: features are not those of a config"),
        ({"features__band__order": 0}, "the order of a Butterworth filter is at least 1"),
        ({"features__mel_scale": "bark"}, "'bark' is not a valid MelScale"),
        ({"features__what": 1}, "is damaged: features are not those of a config"),
        ({"front_end__sha256": "0" * 64}, "describes another front end than front-end-float32-samples.tflite"),
        ({"window": 4000}, "sample rate and window are not those of the model's sidecar"),
        ({"format": 0}, "has format 0, this version reads format 1"),
        ({"more": 1}, "has other fields"),
    ],
)
def test_a_stale_or_damaged_description(folder, tmp_path, capsys, changes, message):
    edited(folder, **changes)
    error = refusal(capsys, folder / "tflite-int8-features.tflite", tmp_path / "c")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1', "\x00\xff"])
def test_a_broken_description(folder, tmp_path, capsys, content):
    (folder / front_end_file.FILE).write_text(content)
    assert "front-end.json" in refusal(capsys, folder / "tflite-int8-features.tflite", tmp_path / "c")


def test_the_description_is_read_as_it_was_written(exported):
    content = front_end_file.read(exported.model, sidecar.read(exported.model))
    assert (content.sample_rate, content.window) == (2000, 5000)
    for ours, theirs in zip(content.state, exported.state, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_an_output_that_cannot_be_written(exported, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert __main__.main([str(exported.model), "--output", str(tmp_path / "file" / "c")]) == 2
    assert "file" in capsys.readouterr().err


def test_a_model_of_another_shape(folder):
    weights = np.ones((12 * 101, 2), np.float32)
    made = tflite.int8(lambda x: x.reshape(1, -1) @ weights, (1, 12, 101), np.ones((2, 12, 101), np.float32))
    (folder / "other.tflite").write_bytes(made)
    model = describe(folder, "other.tflite", Variant.TFLITE_INT8, Input.FEATURES)
    with pytest.raises(UserError, match=r"makes features of \(13, 101\), other.tflite takes \(12, 101\)"):
        generate(model, folder / "c")
