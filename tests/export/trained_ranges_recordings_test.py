"""An integer file with trained ranges against its emulation, on real recordings that had no part in the training."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import config, features, models, runtime
from hsjax.export import trained_ranges
from hsjax.models import Form, quantised
from hsjax.models.layers import fake_quant
from hsjax.runtime import Kernels
from tests import real_windows
from tests.real_windows import RATE, WINDOW

pytestmark = pytest.mark.realdata

_TRAINED, _TESTED = 100, 200  # recordings
_STEPS, _QUANTISED_STEPS = 150, 40


class Trained(NamedTuple):
    """Song's student in float, what it was trained on, and what not.

    Attributes:
      variables: of it.
      inputs: features of the training windows.
      label: of these.
      unknown: features of windows of other recordings.
    """

    variables: models.Variables
    inputs: np.ndarray
    label: np.ndarray
    unknown: np.ndarray


class Pair(NamedTuple):
    """Logits that JAX emulates, and the file.

    Attributes:
      emulated: of the unknown windows.
      scale: a level of the logits.
      path: of the file.
    """

    emulated: np.ndarray
    scale: float
    path: pathlib.Path


@pytest.fixture(scope="module")
def trained(real_root) -> Trained:
    paths, abnormal = real_windows.recordings(real_root, _TRAINED + _TESTED)
    cuts = [real_windows.cut(path) for path in paths]
    label = np.repeat(abnormal, [len(windows) for windows in cuts]).astype(np.int32)
    windows = np.concatenate(cuts) / np.float32(32768)
    known = sum(map(len, cuts[:_TRAINED]))
    front_end = features.build(config.base().features, RATE, WINDOW)
    state = front_end.fit(windows[:known])
    found = features.extract(functools.partial(front_end.apply, state), windows)
    network = models.build("song-student", num_classes=2)
    begun = network.init(jax.random.key(0), found[:1])
    variables = real_windows.train(network, begun, found[:known], label[:known], _STEPS, 1e-3)
    return Trained(variables, found[:known], label[:known], found[known:])


@pytest.fixture(scope="module", params=["ema", "learned"])
def pair(request, trained, tmp_path_factory) -> Pair:
    """After training with ranges."""

    def build(form: Form) -> models.Network:
        return models.build("song-student", num_classes=2, form=form, quantiser=fake_quant(ranges=request.param))

    fast, plain = build(Form.FAST), build(Form.PLAIN)
    begun = quantised.begin(fast, trained.variables, [trained.inputs[:256], trained.inputs[-256:]])
    variables: Any = real_windows.train(fast, begun, trained.inputs, trained.label, _QUANTISED_STEPS, 3e-4)
    path = tmp_path_factory.mktemp("trained") / "student.tflite"
    path.write_bytes(trained_ranges.to_tflite(plain, variables, (1, *trained.inputs.shape[1:])))
    emulated = np.asarray(jax.jit(lambda v, x: plain.apply(v, x)[0].logits)(variables, trained.unknown))
    _, seen = quantised.seen(plain, variables, jnp.asarray(trained.unknown[:1]))
    return Pair(emulated, float(seen["output",].scale), path)


@pytest.mark.parametrize("kernels", [Kernels.REFERENCE, Kernels.VECTOR])
def test_classes_agree(pair, trained, kernels):
    logits = runtime.load(pair.path, kernels=kernels).run(trained.unknown)
    assert len(logits) > 1500
    assert 0.2 < pair.emulated.argmax(1).mean() < 0.8
    assert (logits.argmax(1) == pair.emulated.argmax(1)).mean() >= 0.995
    steps = np.round(np.abs(logits - pair.emulated) / pair.scale)
    assert (steps <= 1).mean() >= 0.99
    assert steps.max() <= 4


def test_the_file_fits(pair):
    assert pair.path.stat().st_size <= 49_000
