import json
import subprocess
import sys

import flatbuffers
import numpy as np
import pytest
import scipy.special
import scipy.stats
import soundfile
from ai_edge_litert import schema_py_generated as schema

from hsjax import predict, runtime
from hsjax.export import tflite
from hsjax.runtime import Input, Variant, sidecar
from hsjax.types import Aggregation, Fit, Level, UserError
from tests import endless
from tests.predict.toy import DESCRIPTION, GAIN, HOP, MODELS, RATE, WINDOW, describe, level, tone


def by_hand(windows):
    """Probabilities of windows, as NumPy and SciPy have them."""
    return scipy.special.softmax((np.square(windows).mean(axis=1, keepdims=True) - 0.1) * 10 @ GAIN, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_windows_softmax_mean(folder, name):
    samples = np.concatenate([tone(0.1, RATE, 0.1), tone(0.2, RATE, 0.9)]).astype(np.float32)
    prediction = predict.Predictor(folder / name).samples(samples, RATE)
    windows = np.stack([samples[start : start + WINDOW] for start in (0, 50, 100, 150, 200)])
    expected = by_hand(windows).mean(axis=0)
    assert prediction.windows == 5
    assert list(prediction.probabilities) == ["quiet", "loud"]
    tolerance = 1e-6 if "float32" in name else 0.03
    np.testing.assert_allclose(list(prediction.probabilities.values()), expected, atol=tolerance)
    assert prediction.label == "loud"
    assert prediction.milliseconds > 0
    assert prediction.decode_milliseconds == 0


def test_windows_count_by_their_confidence_where_the_sidecar_says_so(folder):
    describe(folder, aggregation=Aggregation.CONFIDENCE)
    samples = np.concatenate([tone(0.1, RATE, 0.1), tone(0.2, RATE, 0.9)]).astype(np.float32)
    found = predict.Predictor(folder / MODELS[0]).samples(samples, RATE)
    windows = by_hand(np.stack([samples[start : start + WINDOW] for start in (0, 50, 100, 150, 200)]))
    weight = 1 - scipy.stats.entropy(windows, base=2, axis=1)
    expected = weight @ windows / weight.sum()
    np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=1e-5)
    assert np.abs(expected - windows.mean(axis=0)).max() > 0.01


def test_the_threshold_is_of_the_recordings_positive_class(folder):
    model = folder / MODELS[0]
    samples = tone(0.3, RATE, 0.5).astype(np.float32)
    probability = predict.Predictor(model).samples(samples, RATE).probabilities["loud"]
    for threshold, label in (
        (probability, "loud"),
        (np.nextafter(probability, 1), "quiet"),
        (1.0, "quiet"),
        (0.0, "loud"),
    ):
        describe(folder, threshold=float(threshold))
        assert predict.Predictor(model).samples(samples, RATE).label == label


def test_without_a_threshold_the_likeliest_class_wins(folder):
    describe(folder, threshold=None, positive=None)
    predictor = predict.Predictor(folder / MODELS[0])
    for amplitude, label in ((0.1, "quiet"), (0.9, "loud")):
        assert predictor.samples(tone(0.3, RATE, amplitude).astype(np.float32), RATE).label == label


@pytest.mark.parametrize("rate", [1000, 4000, 8000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (".wav", "PCM_16"),
        (".wav", "PCM_24"),
        (".wav", "PCM_32"),
        (".wav", "FLOAT"),
        (".flac", "PCM_16"),
        (".flac", "PCM_24"),
    ],
)
def test_any_recording_of_one_sound_gives_one_answer(folder, rate, channels, suffix, subtype):
    path = folder / f"sound{suffix}"
    samples = tone(1.0, rate, 0.6)
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype=subtype)
    prediction = predict.Predictor(folder / "tflite-int8-features.tflite").file(path)
    # The mean square of a sine is half its squared amplitude: .18, so logits ∓1.6.
    assert prediction.probabilities["loud"] == pytest.approx(scipy.special.expit(3.2), abs=0.03)
    assert prediction.label == "loud"
    assert prediction.windows == 19
    assert 0 < prediction.decode_milliseconds < prediction.milliseconds


def test_a_short_recording_is_one_window(folder):
    samples = tone(0.05, RATE, 0.9).astype(np.float32)
    prediction = predict.Predictor(folder / MODELS[0]).samples(samples, RATE)
    assert prediction.windows == 1
    expected = by_hand(np.pad(samples, (0, 50))[None])[0, 1]
    assert prediction.probabilities["loud"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.array([0, np.nan], np.float32)])
def test_no_samples_or_impossible_ones_are_refused(folder, samples):
    with pytest.raises(UserError, match="at least one sample, and finite ones only"):
        predict.Predictor(folder / MODELS[0]).samples(samples, RATE)


def test_outputs_that_are_not_finite_are_refused(folder):
    with pytest.raises(UserError, match="not finite"):
        predict.Predictor(folder / MODELS[0]).samples(np.full(200, 1e30, np.float32), RATE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": ("quiet", "loud", "louder"), "threshold": None},
            r"outputs of shape \(2,\), its sidecar means \(3,\)",
        ),
        ({"window": 101}, r"inputs of shape \(100,\), its sidecar means \(101,\)"),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_a_sidecar_that_does_not_fit_is_refused(folder, name, changes, message):
    describe(folder, **changes)
    with pytest.raises(UserError, match=message):
        predict.Predictor(folder / name)


def test_a_front_end_that_does_not_fit_is_refused(folder):
    (folder / "front-end.tflite").write_bytes(tflite.float32(lambda samples: samples[:, :2], (1, WINDOW)))
    describe(folder)
    with pytest.raises(UserError, match=r"front-end.tflite has outputs of shape \(2,\), its sidecar means \(1,\)"):
        predict.Predictor(folder / "tflite-int8-features.tflite")


def test_a_stale_front_end_is_refused(folder):
    (folder / "front-end.tflite").write_bytes(tflite.float32(lambda samples: 2 * level(samples), (1, WINDOW)))
    with pytest.raises(UserError, match="stale or swapped"):
        predict.Predictor(folder / "tflite-int8-features.tflite")


def command(*arguments):
    child = [sys.executable, "-m", "hsjax.predict", *map(str, arguments)]
    done = subprocess.run(child, capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_one_line_a_file_and_the_good_go_on(folder):
    good, bad = folder / "good.wav", folder / "bad.wav"
    soundfile.write(good, tone(1, RATE, 0.6), RATE)
    bad.write_bytes(good.read_bytes()[:500])
    files = [good, bad, folder / "missing.wav", good]
    code, lines, errors = command(folder / MODELS[1], *files)
    assert (code, errors) == (1, "")
    assert [line["file"] for line in lines] == [str(file) for file in files]
    fields = {"file", "label", "probabilities", "windows", "milliseconds", "decode_milliseconds"}
    assert [line.keys() for line in lines] == [fields, {"file", "error"}, {"file", "error"}, fields]
    assert "does not exist" in lines[2]["error"]
    assert lines[0]["probabilities"] == lines[3]["probabilities"]
    assert command(folder / MODELS[1], good)[0] == 0


def harmful(model):
    """A TFLite file in which the first result is to be written over a constant, in memory that cannot be written to."""
    graph = schema.ModelT.InitFromPackedBuf(model, 0)
    (subgraph,) = graph.subgraphs
    constants = (t.buffer for t in subgraph.tensors if graph.buffers[t.buffer].data is not None)
    largest = max(constants, key=lambda buffer: len(graph.buffers[buffer].data))
    subgraph.tensors[subgraph.operators[0].outputs[0]].buffer = largest
    builder = flatbuffers.Builder()
    builder.Finish(graph.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_model_that_crashes_its_runtime_is_an_error_for_every_file(folder):
    model, sound = folder / MODELS[0], folder / "sound.wav"
    soundfile.write(sound, tone(1, RATE, 0.6), RATE)
    weights = np.ones((WINDOW, 2), np.float32)
    model.write_bytes(harmful(tflite.float32(lambda samples: (samples * samples) @ weights, (1, WINDOW))))
    describe(folder)
    code, lines, errors = command(model, sound, sound)
    assert (code, errors) == (1, "")
    for line in lines:
        assert line["error"].startswith(f"the process that ran {model} on {sound} was killed by SIGSEGV: a file of")


def test_a_recording_that_crashes_the_process_does_not_take_the_others_along(folder):
    files = [folder / name for name in ("good.wav", "bad.wav", "last.wav")]
    for file in files:
        soundfile.write(file, tone(1, RATE, 0.6), RATE)
    program = f"""
import os, signal, sys
from hsjax import predict
whole = predict.Predictor.file
def file(self, path):
    return os.kill(os.getpid(), signal.SIGABRT) if path.name == "bad.wav" else whole(self, path)
predict.Predictor.file = file
sys.exit(predict.main({list(map(str, (folder / MODELS[1], *files)))}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert f"ran {folder / MODELS[1]} on {files[1]} was killed by SIGABRT" in lines[1]["error"]
    assert [line.get("label") for line in lines] == ["loud", None, "loud"]


def test_what_nobody_foresaw_does_not_take_the_others_along(folder):
    files = [folder / name for name in ("good.wav", "bad.wav", "last.wav")]
    for file in files:
        soundfile.write(file, tone(1, RATE, 0.6), RATE)
    program = f"""
import sys
from hsjax import predict
whole = predict.Predictor.file
def file(self, path):
    return {{}}["absent"] if path.name == "bad.wav" else whole(self, path)
predict.Predictor.file = file
sys.exit(predict.main({list(map(str, (folder / MODELS[1], *files)))}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    assert f"on {files[1]} met with KeyError ('absent')" in lines[1]["error"]
    assert [line.get("label") for line in lines] == ["loud", None, "loud"]


def test_a_model_without_end_does_not_hold_up_what_it_can_answer(folder):
    path = folder / "onnx-float32-samples.onnx"
    path.write_bytes(endless.model(WINDOW))
    sidecar.write(folder, sidecar.describe(DESCRIPTION, path, Variant.ONNX_FLOAT32, Input.SAMPLES, None))
    loud, quiet = folder / "loud.wav", folder / "quiet.wav"
    soundfile.write(loud, tone(1, RATE, 0.9), RATE)
    soundfile.write(quiet, tone(1, RATE, 0.1), RATE)
    code, lines, errors = command(path, loud, quiet, "--timeout=10")
    assert (code, errors) == (1, "")
    assert f"ran {path} on {loud} gave no answer within 10 s: allow more with --timeout" in lines[0]["error"]
    assert lines[1]["label"] == "loud"  # of equal logits, at a threshold of one half


def test_flags_of_ecgs_are_not_for_sounds(folder, capsys):
    for flags, message in (
        (["--lead", "V1"], "which has no leads: leave out --lead"),
        (["--sample-rate", "100"], "leave out --sample-rate"),
    ):
        assert predict.main([str(folder / MODELS[0]), "a.wav", *flags]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["m" * 300 + ".tflite", "m" * 300, "."])
def test_a_path_that_is_none(name, capsys):
    assert predict.main([name, "a.wav"]) == 2
    assert capsys.readouterr().err == f"{name} is missing: a model and its sidecar stay together, copy both\n"


def test_a_model_that_cannot_be_used_is_exit_code_2(folder, capsys):
    model = folder / MODELS[1]
    model.write_bytes(model.read_bytes()[:1000])
    assert predict.main([str(model), "any.wav"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "stale or swapped" in captured.err
    with pytest.raises(SystemExit) as error:
        predict.main([str(model), "any.wav", "--threads=0"])
    assert error.value.code == 2


def test_predict_imports_no_training_library(folder):
    sound = folder / "sound.wav"
    soundfile.write(sound, tone(1, 4000, 0.6), 4000)
    code = f"""
import pathlib, sys
from hsjax import predict
assert predict.main([{str(folder / MODELS[1])!r}, {str(sound)!r}]) == 0
predict.Predictor(pathlib.Path({str(folder / MODELS[1])!r})).file(pathlib.Path({str(sound)!r}))
heavy = {{"jax", "jaxlib", "flax", "tensorflow", "scipy", "onnx", "matplotlib", "orbax"}} & set(sys.modules)
assert not heavy, heavy
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.realdata
def test_real_recordings(folder, real_root):
    files = [next(iter(sorted((real_root / part).rglob("*.wav")))) for part in ("physionet2016", "pascal")]
    predictor = predict.Predictor(folder / MODELS[1])
    for file in files:
        prediction = predictor.file(file)
        assert prediction.windows == pytest.approx(soundfile.info(file).duration * RATE / HOP, abs=2)
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_kernels_are_passed_on(folder):
    samples = tone(1, RATE, 0.6).astype(np.float32)
    for kernels in runtime.Kernels:
        assert predict.Predictor(folder / MODELS[1], kernels=kernels).samples(samples, RATE).label == "loud"


def test_import_and_start_take_half_a_second(folder):
    """Of a core, not of the clock, which tells more of what else the machine does; the best of three."""
    code = f"""
import pathlib, resource
from hsjax import predict
from hsjax.runtime import isolated
with isolated.Isolated() as apart:
    apart.call(predict.load, pathlib.Path({str(folder / MODELS[1])!r}), 1)
both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(sum(usage.ru_utime + usage.ru_stime for usage in both))
"""
    command = [sys.executable, "-c", code]
    seconds = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(3)]
    assert min(seconds) <= 0.5


def test_what_is_done_to_whole_recordings(folder):
    """Brought to a level, the first window alone, in the middle of zeros: as the sidecar says."""
    samples = np.concatenate([tone(0.1, RATE, 0.1), tone(0.2, RATE, 0.9)]).astype(np.float32)
    describe(folder, first=True)
    prediction = predict.Predictor(folder / MODELS[0]).samples(samples, RATE)
    assert prediction.windows == 1
    assert prediction.probabilities["loud"] == pytest.approx(by_hand(samples[None, :WINDOW])[0, 1], abs=1e-6)
    describe(folder, level=Level.PEAK, fit=Fit.BOTH)
    short = samples[:60]
    expected = by_hand(np.pad(short / np.abs(short).max(), 20)[None])[0, 1]
    assert predict.Predictor(folder / MODELS[0]).samples(short, RATE).probabilities["loud"] == pytest.approx(
        expected, abs=1e-6
    )


def test_a_stream_has_no_whole_recording(folder):
    describe(folder, level=Level.PEAK)
    code, lines, message = command(folder / MODELS[0], "--stream", "-", "--raw", "s16le", "--sample-rate", "1000")
    assert (code, lines) == (1, []) or code == 2
    assert "takes whole recordings" in message
