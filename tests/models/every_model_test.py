"""What is asked of every network there is, in a small version with all its kinds of parts.

It trains, in both forms alike; its files give what it gives; a quantiser gets hold of all that an int8 file rounds.
"""

import collections
import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from hsjax import config, features, models, runtime, train
from hsjax.data import synthetic
from hsjax.export import gate, onnx, tflite
from hsjax.models import Form, Network, Quantiser, Variables, efficientnet, efficientnet_v2, mobilenet_v2, mobilenet_v3
from hsjax.models.layers import hard_swish, relu
from hsjax.train.objectives import Parts, Supervised
from hsjax.types import Batch
from tests import hurry
from tests.models import family, rounding, running_statistics

EXAMPLES, RATE, WINDOW = 32, 2000, 2000
MAPS, SEQUENCES, SAMPLES = "maps", "sequences", "samples"

_V1, _V2 = efficientnet.Stage, efficientnet_v2.Stage
_V3 = {
    "blocks": (mobilenet_v3.Block(3, 16, 16, False, relu, 1), mobilenet_v3.Block(5, 24, 8, True, hard_swish, 2)),
    "hidden": 16,
}

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "song-teacher": (MAPS, {}),
    "song-student": (MAPS, {}),
    "sriram-teacher": (MAPS, {"blocks": (1,), "width": 8, "projection": 8}),
    "sriram-student": (MAPS, {"widths": (8, 8, 8), "hidden": (16, 8), "dropout": 0.1}),
    "mobilenetv2": (
        MAPS, {"width": 0.25, "stages": (mobilenet_v2.Stage(1, 32, 1, 1), mobilenet_v2.Stage(2, 32, 1, 2))}
    ),
    "mobilenetv3-small": (MAPS, _V3),
    "mobilenetv3-large": (MAPS, _V3),
    "squeezenet": (MAPS, {"dropout": 0.0, "stem": 16, "stages": (((8, 16),), ((8, 16),), ((8, 32),))}),
    "efficientnetb0": (MAPS, {"width": 0.25, "stages": (_V1(1, 3, 32, 1, 1), _V1(2, 5, 32, 1, 2))}),
    "efficientnetv2-s": (
        MAPS,
        {
            "width": 0.25,
            "stages": (
                _V2(True, _V1(1, 3, 32, 1, 1)), _V2(True, _V1(2, 3, 32, 1, 2)), _V2(False, _V1(2, 3, 32, 1, 1))
            ),
        },
    ),
    "resnet18": (MAPS, {"blocks": (1, 1), "width": 8}),
    "resnet50": (MAPS, {"blocks": (1, 1), "width": 8}),
    "resnet101": (MAPS, {"blocks": (1, 1), "width": 8}),
    "densenet201": (MAPS, {"blocks": (1, 1), "growth": 8}),
    "sarkhel-conv1d": (MAPS, {"widths": (8, 8)}),
    "sarkhel-conv2d": (MAPS, {"widths": (8, 8)}),
    "sarkhel-student": (MAPS, {"widths": (8, 8)}),
    "sarkhel-lstm": (SEQUENCES, {"units": (8, 8)}),
    "sarkhel-rnn": (SEQUENCES, {"units": (8, 8)}),
    "li2021": (MAPS, {}),
    "cardioxnet": (
        SAMPLES,
        {"fine": (8, 8), "coarse": (8, 8), "maps": (8, 8, 8, 8), "units": 8, "hidden": 8, "dropout": 0.1},
    ),
    "dscnn": (
        MAPS, {"stem": 8, "widths": (8, 16), "depths": (1, 1), "strides": ((1, 1), (2, 2)), "squeeze_excite": 2}
    ),
}  # fmt: skip
"""What each reads, and its options: fewer and narrower blocks, but every kind of them.

Networks that are equal so are compiled once.
"""

# Of Sriram's teacher; they are for the contrastive loss.
UNTRAINED = ("projection1", "projection2")

STEPS, LEARNING_RATE = 20, 4e-3
KEY = jax.random.key(0)

# Compiled three times as fast as by default, and ten times as slow; nothing here runs for long.
jit = functools.partial(jax.jit, compiler_options=hurry.OPTIONS)


def test_no_network_is_left_out():
    assert SMALL.keys() == models.MODELS.keys()


@pytest.fixture(scope="module")
def examples() -> dict[str, np.ndarray]:
    """Windows of synthetic recordings, as every kind of network reads them, and their classes."""
    dataset = synthetic.dataset(subjects=EXAMPLES, recordings_per_subject=1, seconds=2, sample_rate=RATE)
    windows = np.stack([recording.read()[:WINDOW] for recording in dataset.recordings])
    windows /= windows.std(axis=1, keepdims=True)
    settings = config.base().features
    settings.name, settings.n_mels = "log-mel", 40
    front_end = features.build(settings, RATE, WINDOW)
    maps = np.asarray(front_end.compute(front_end.fit(windows), jnp.asarray(windows)))
    label = np.array([dataset.classes.index(recording.label) for recording in dataset.recordings], np.int32)
    return {MAPS: maps, SEQUENCES: maps[:, :, ::10], SAMPLES: windows[:, None], "label": label}


def network(name: str, form: Form, quantiser: Quantiser = models.IDENTITY) -> Network:
    return models.build(name, num_classes=2, form=form, quantiser=quantiser, **SMALL[name][1])


def learner(name: str, form: Form) -> train.Learner:
    optimizer = train.Optimizer(train.Rule.ADAM, train.Schedule.CONSTANT, STEPS)
    return train.Learner(network(name, form), Supervised(), optimizer)


@functools.partial(jit, static_argnames="learner")
def step(learner: train.Learner, state: train.TrainState, batch: Batch, learning_rate: float):
    return train.step(learner, state, batch, hparams(learning_rate), KEY)


@functools.partial(jit, static_argnames="learner")
def loss_and_gradient(learner: train.Learner, variables: Variables, batch: Batch):
    rest = {name: value for name, value in variables.items() if name != "params"}

    def loss(params):
        key = jax.random.fold_in(KEY, 0)  # of the first step
        loss, aside = learner.objective(
            learner.network, Parts({"params": params, **rest}, {}, {}, {}), batch, hparams(0.0), key
        )
        return loss, aside.collections

    return jax.value_and_grad(loss, has_aux=True)(variables["params"])


@functools.partial(jit, static_argnames="network")
def logits(network: Network, variables: Variables, inputs: jax.Array) -> jax.Array:
    return network.apply(variables, inputs)[0].logits


def hparams(learning_rate: float) -> dict[str, jax.Array]:
    return train.hparams() | {"learning_rate": jnp.asarray(learning_rate, jnp.float32)}


class Trained(NamedTuple):
    """A network after some steps.

    Attributes:
      name: of it.
      batch: all examples.
      start: before.
      losses: of the steps.
      idle: of as many steps with a learning rate of 0.
      variables: afterwards; the running statistics are those of the examples.
      logits: of the plain form.
    """

    name: str
    batch: Batch
    start: train.TrainState
    losses: list[float]
    idle: list[float]
    variables: Variables
    logits: np.ndarray

    def function(self, inputs: jax.Array) -> jax.Array:
        """What is exported."""
        return network(self.name, Form.PLAIN).apply(self.variables, inputs)[0].logits


@pytest.fixture(scope="module", params=SMALL)
def trained(request, examples) -> Trained:
    name, one = request.param, np.ones(EXAMPLES, np.float32)
    batch = jax.device_put(Batch(examples[SMALL[name][0]], examples["label"], one, one))
    fast = learner(name, Form.FAST)
    variables = family.draw(fast.network, (1, *batch.inputs.shape[1:]))
    optimizer = fast.optimizer.transformation(hparams(0), jnp.int32(0))
    start = train.TrainState(jnp.int32(0), variables, optimizer.init((variables["params"], {})))

    def run(learning_rate):
        state, losses = start, []
        for _ in range(STEPS):
            state, scalars = step(fast, state, batch, learning_rate)
            losses.append(float(scalars["loss"]))
        return state, losses

    (state, losses), (_, idle) = run(LEARNING_RATE), run(0.0)
    variables = running_statistics.settled(
        state.variables, lambda variables: step(fast, state._replace(variables=variables), batch, 0.0)[0].variables
    )
    outputs = logits(network(name, Form.PLAIN), variables, batch.inputs)
    return Trained(name, batch, start, losses, idle, variables, np.asarray(outputs))


def falls(losses: list[float]) -> bool:
    return np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """Root of the mean squared difference, over how much what is wanted varies from one input to another."""
    return float(np.sqrt(np.mean(np.square(got - want)) / np.mean(np.square(want - want.mean(0)))))


def test_loss_falls(trained):
    assert np.isfinite(trained.losses).all()
    assert falls(trained.losses)
    assert not falls(trained.idle)


def test_forms_are_one_network(trained):
    """Logits; and in training loss, gradient, of which Adam's first moment is a tenth, and running statistics."""
    outputs = logits(network(trained.name, Form.FAST), trained.variables, trained.batch.inputs)
    gate.enforce([gate.deviation(trained.name, trained.logits, np.asarray(outputs), limit=1e-5)])
    state, scalars = step(learner(trained.name, Form.FAST), trained.start, trained.batch, LEARNING_RATE)
    (loss, statistics), gradient = loss_and_gradient(
        learner(trained.name, Form.PLAIN), trained.start.variables, trained.batch
    )
    np.testing.assert_allclose(scalars["loss"], loss, rtol=1e-5)
    moments = traverse_util.flatten_dict(optax.tree.get(state.opt_state, "mu")[0])
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    for path, want in traverse_util.flatten_dict(gradient).items():
        assert np.isfinite(want).all(), path
        assert (path[0] in UNTRAINED) != np.any(want != 0), path
        # Relative to the leaf: where two values of a window nearly tie, rounding decides which has the gradient. A bias
        # before a batch norm has none but rounding.
        tolerance = 1e-3 * float(jnp.abs(want).max()) + 1e-6 * largest
        np.testing.assert_allclose(10 * moments[path], want, rtol=0, atol=tolerance, err_msg=str(path))
    for path, want in traverse_util.flatten_dict(statistics).items():
        got = functools.reduce(lambda tree, key: tree[key], path, state.variables)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=str(path))


def test_float_files_give_the_same(trained, tmp_path):
    inputs = np.asarray(trained.batch.inputs)
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.float32(trained.function, (1, *inputs.shape[1:])))
    gate.enforce(gate.inspect(path, inputs, trained.logits))
    onnx_path = tmp_path / "model.onnx"
    onnx_path.write_bytes(onnx.from_tflite(path.read_bytes()))
    gate.enforce(gate.inspect(onnx_path, inputs, trained.logits))


def test_int8_gives_nearly_the_same(trained, tmp_path):
    calibration, inputs = np.split(np.asarray(trained.batch.inputs), 2)
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite.int8(trained.function, (1, *inputs.shape[1:]), calibration))
    gate.enforce(gate.inspect(path, inputs, trained.logits[len(calibration) :]))
    session = runtime.load(path)
    assert session.input_dtype == np.int8
    e = relative_error(session.run(inputs), trained.logits[len(calibration) :])
    emulated = rounding.int8(lambda q: network(trained.name, Form.PLAIN, q), trained.variables, calibration, inputs)
    ee = relative_error(np.asarray(emulated), trained.logits[len(calibration) :])
    print("INT8", trained.name, round(e, 4), round(ee, 4), round(e / ee, 2))


@dataclasses.dataclass(frozen=True, eq=False)
class Recorder(Quantiser):
    """Notes what it is shown."""

    weights: list[tuple[tuple[str, ...], tuple[int, ...]]] = dataclasses.field(default_factory=list)
    activations: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def weight(self, layer, name, value, axis=-1):
        self.weights.append(((*layer.path, name), value.shape))
        return value

    def activation(self, layer, name, value, phase):
        self.activations.append(layer.path)
        return value


NONLINEAR = ("relu", "relu6", "leaky_relu", "hard_sigmoid", "hard_silu", "silu", "logistic", "tanh")


def called(equation: Any) -> str:
    """Name of the function or primitive."""
    if "call_jaxpr" in equation.params:  # of a function with a derivative of its own
        return called(equation.params["call_jaxpr"].eqns[0])
    return equation.params.get("name", equation.primitive.name)


def test_a_quantiser_sees_all(trained):
    """Every kernel once, with its output channels last; and what every nonlinearity makes."""
    recorder = Recorder()
    seen = network(trained.name, Form.PLAIN, recorder)
    jaxpr = jax.make_jaxpr(lambda v, x: seen.apply(v, x)[0].logits)(trained.variables, trained.batch.inputs)
    kernels = {
        path: leaf.shape
        for path, leaf in traverse_util.flatten_dict(trained.variables["params"]).items()
        if path[-1].endswith("kernel")
    }
    assert collections.Counter(path for path, _ in recorder.weights) == dict.fromkeys(kernels, 1)
    for path, shape in recorder.weights:
        assert (shape[0], shape[-1]) == (kernels[path][0], kernels[path][-1])
    nonlinear = {
        # The stack begins with the network's class, and has the names of methods with a dot.
        tuple(part for part in str(equation.source_info.name_stack).split("/")[1:] if "." not in part)
        for equation in jaxpr.eqns
        if called(equation) in NONLINEAR
    }
    assert nonlinear
    assert nonlinear <= set(recorder.activations)


def test_weights_of_eight_bits_change_little(trained):
    rounded = logits(network(trained.name, Form.PLAIN, rounding.Weights()), trained.variables, trained.batch.inputs)
    print(
        "ROUND",
        trained.name,
        trained.losses[0],
        np.mean(trained.losses[-3:]) / np.mean(trained.losses[:3]),
        relative_error(np.asarray(rounded), trained.logits),
    )
