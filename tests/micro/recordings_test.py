"""C front ends and TFLite Micro on real recordings, with a student that was trained on others of them for a minute."""

import ctypes
import functools
import pathlib
from typing import NamedTuple

import jax
import numpy as np
import pytest
import scipy.special
import soundfile

from hsjax import features, models
from hsjax.micro import MicroSession, reference
from hsjax.micro.design import design
from hsjax.micro.front_end_file import FrontEndFile
from hsjax.micro.generate import generate
from hsjax.models import Form
from hsjax.predict import Predictor
from tests import real_windows
from tests.micro import compiled
from tests.micro.folders import RATE, WINDOW, Exported, write_exported

pytestmark = pytest.mark.realdata

_TRAINED, _TESTED = 80, 60  # recordings
_STEPS = 150


class Student(NamedTuple):
    """A trained student and recordings that it has not seen.

    Attributes:
      exported: its folder.
      code: its front ends in C.
      paths: of test recordings.
      windows: int16, of these.
      features: of these, by JAX.
      logits: of these, by JAX.
    """

    exported: Exported
    code: compiled.Code
    paths: list[pathlib.Path]
    windows: np.ndarray
    features: np.ndarray
    logits: np.ndarray


@pytest.fixture(scope="module")
def student(real_root, tmp_path_factory) -> Student:
    settings = compiled.settings()
    front_end = features.build(settings, RATE, WINDOW)
    paths, abnormal = real_windows.recordings(real_root, _TRAINED + _TESTED)
    known = [real_windows.cut(path) for path in paths[:_TRAINED]]
    label = np.repeat(abnormal[:_TRAINED], [len(windows) for windows in known]).astype(np.int32)
    known, unknown = np.concatenate(known), np.concatenate([real_windows.cut(path) for path in paths[_TRAINED:]])
    state = front_end.fit(known / np.float32(32768))

    def features_of(windows):
        return features.extract(functools.partial(front_end.apply, state), windows / np.float32(32768))

    fast, plain = (models.build("song-student", num_classes=2, form=form) for form in (Form.FAST, Form.PLAIN))
    inputs = features_of(known)
    variables = real_windows.train(fast, fast.init(jax.random.key(0), inputs[:1]), inputs, label, _STEPS, 1e-3)

    def network(x):
        return plain.apply(variables, x)[0].logits

    exported = write_exported(tmp_path_factory.mktemp("exports"), network, front_end, state, known[::8], settings)
    folder = tmp_path_factory.mktemp("c")
    generate(exported.model, folder)
    inputs = features_of(unknown)
    return Student(
        exported,
        compiled.functions(folder, front_end.shape),
        paths[_TRAINED:],
        unknown,
        inputs,
        np.asarray(jax.jit(network)(inputs)),
    )


def test_single_precision(student):
    content = FrontEndFile(compiled.settings(), RATE, WINDOW, student.exported.state)
    exact = reference.features(design(content), student.windows / 32768)
    single, largest = student.code.single(student.windows), np.abs(exact).max()
    assert np.abs(single - exact).max() < 5e-5 * largest
    assert np.abs(single - student.features).max() < 1e-4 * largest + np.abs(student.features - exact).max()
    ours, theirs, apart = (
        np.quantile(np.abs(one - other), 0.999)
        for one, other in ((single, exact), (student.features, exact), (single, student.features))
    )
    assert ours < 1.5 * theirs  # C is as exact as JAX, whose features are 1e-5 of the largest away from float64's
    assert apart < 2e-5 * largest


def test_integers(student):
    quantisation = MicroSession(student.exported.model).input_quantisation
    steps = student.code.fixed(student.windows).astype(int) - quantisation.quantise(student.features)
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.01


def test_classes_of_segments(student):
    session = MicroSession(student.exported.model)
    outputs = np.array([session.run_quantised(one) for one in student.code.fixed(student.windows)])
    ours = outputs.argmax(axis=1)
    of_jax_features = session.run(student.features).argmax(axis=1)
    assert 0.2 < of_jax_features.mean() < 0.8
    assert (ours == of_jax_features).mean() >= 0.995


def test_it_fits_a_microcontroller(student):
    assert student.exported.model.stat().st_size <= 49_000
    assert MicroSession(student.exported.model).arena().total <= 32 * 1024


def test_recordings_through_the_whole_chain(student):
    library = compiled.load(student.code.folder)
    session, predictor = MicroSession(student.exported.model), Predictor(student.exported.model)
    stream = ctypes.create_string_buffer(2 * WINDOW + 64)
    differences, labels = [], []
    for path in student.paths:
        samples, _ = soundfile.read(path, dtype="int16")
        samples = np.ascontiguousarray(
            samples[: len(samples) // WINDOW * WINDOW]
        )  # no window that is flush with the end
        ctypes.memset(stream, 0, len(stream))
        logits, position = [], 0
        while position < len(samples):
            rest = samples[position : position + 333]
            position += library.hs_stream_put(stream, rest.ctypes.data_as(ctypes.c_void_p), len(rest))
            if library.hs_stream_full(stream):
                window = np.frombuffer(stream.raw[: 2 * WINDOW], np.int16)[None]
                output = session.run_quantised(student.code.fixed(window)[0])
                logits.append(session.output_quantisation.dequantise(output))
                library.hs_stream_next(stream)
        probability = scipy.special.softmax(np.array(logits, np.float64), axis=1).mean(axis=0)[1]
        theirs = predictor.samples(samples / np.float32(32768), RATE)
        positive = predictor.sidecar.positive
        differences.append(abs(probability - theirs.probabilities[positive]))
        labels.append((probability >= predictor.sidecar.threshold) == (theirs.label == positive))
    assert max(differences) < 0.02
    assert np.mean(labels) >= 0.99
