import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Execution, Form, Quantiser
from hsjax.models.layers.recurrent import LSTM, SimpleRNN
from tests.models import family

LAYERS = {"LSTM": LSTM, "SimpleRNN": SimpleRNN}
FRAMES, DIMS, UNITS = 7, 3, 5


# Of each output in the loss.
WEIGHT = np.linspace(-1, 2, FRAMES * UNITS).reshape(FRAMES, UNITS).astype(np.float32)


@pytest.fixture(scope="module", params=LAYERS)
def keras_layer(request):
    """Keras's layer with weights drawn here, inputs, outputs and gradients, for both directions."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, FRAMES, DIMS)).astype(np.float32)
    width = UNITS * (4 if request.param == "LSTM" else 1)
    weights = [0.5 * rng.normal(size=(rows, width)).astype(np.float32) for rows in (DIMS, UNITS)]
    weights.append(rng.normal(size=width).astype(np.float32))
    found = {}
    for backwards in (False, True):
        layer = getattr(keras.layers, request.param)(UNITS, return_sequences=True, go_backwards=backwards)
        layer.build(x.shape)
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            seen = tf.constant(x)
            tape.watch(seen)
            y = layer(seen)
            y = y[:, ::-1] if backwards else y  # Keras leaves them in the order of its walk
            scalar = tf.reduce_sum(y * y * WEIGHT)
        gradients = tape.gradient(scalar, [seen, *layer.trainable_variables])
        found[backwards] = y.numpy(), [g.numpy() for g in gradients]
    return request.param, x, weights, found


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("form", list(Form))
def test_values_and_gradients_are_keras_s(keras_layer, form, backwards):
    name, x, weights, found = keras_layer
    layer = LAYERS[name](UNITS, backwards, execution=Execution(form))

    def run(x, kernel, recurrent, bias):
        params = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
        y = layer.apply({"params": params}, x)
        return jnp.sum(y * y * WEIGHT), y

    gradients, y = family.hurried(jax.grad(run, argnums=(0, 1, 2, 3), has_aux=True), x, *weights)
    want, want_gradients = found[backwards]
    np.testing.assert_allclose(y, want, atol=1e-6)
    for got, expected in zip(gradients, want_gradients, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_initial_values_are_keras_s(name):
    """Glorot's uniform, an orthogonal recurrent kernel, 1 for the bias of the forget gate."""
    params = family.hurried(LAYERS[name](8).init, jax.random.key(0), jnp.zeros((1, 2, DIMS)))["params"]
    gates = 4 if name == "LSTM" else 1
    assert float(jnp.abs(params["kernel"]).max()) <= np.sqrt(6 / (DIMS + 8 * gates))
    np.testing.assert_allclose(params["recurrent_kernel"] @ params["recurrent_kernel"].T, np.eye(8), atol=1e-5)
    np.testing.assert_array_equal(params["bias"], [0] * 8 + [1] * 8 + [0] * 16 if name == "LSTM" else [0] * 8)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("form", list(Form))
def test_only_the_fast_form_loops_and_both_project_all_frames_at_once(name, form):
    layer = LAYERS[name](UNITS, execution=Execution(form))
    x = jnp.zeros((2, FRAMES, DIMS))
    text = str(jax.make_jaxpr(layer.init_with_output)(jax.random.key(0), x))
    assert ("scan[" in text) == (form is Form.FAST)
    variables = jax.eval_shape(layer.init, jax.random.key(0), x)
    products = str(jax.make_jaxpr(layer.apply)(variables, x)).count("dot_general[")
    assert products == (1 + 1 if form is Form.FAST else 1 + FRAMES)


@dataclasses.dataclass(frozen=True)
class Halving(Quantiser):
    """Shows what a quantiser is shown, by halving it."""

    halved: str = ""

    def weight(self, layer, name, value, axis=-1):
        return value / 2 if name == self.halved else value

    def activation(self, layer, name, value, phase):
        return value / 2 if name == self.halved else value


@pytest.mark.parametrize("name", LAYERS)
def test_the_quantiser_sees_weights_projection_and_outputs(name):
    x = jax.random.normal(jax.random.key(1), (2, 2, DIMS))
    as_is = LAYERS[name](UNITS)
    shapes = jax.eval_shape(as_is.init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), shapes)

    def halved(*names):
        return {"params": {key: value / (2 if key in names else 1) for key, value in params.items()}}

    expected = {
        "kernel": as_is.apply(halved("kernel"), x),
        "recurrent_kernel": as_is.apply(halved("recurrent_kernel"), x),
        "projected": as_is.apply(halved("kernel", "bias"), x),
        "after": as_is.apply(halved(), x) / 2,
    }
    for seen, want in expected.items():
        layer = LAYERS[name](UNITS, execution=Execution(quantiser=Halving(seen)))
        np.testing.assert_allclose(layer.apply(halved(), x), want, atol=1e-6, err_msg=seen)


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_long_loud_sequences_stay_finite(self):
        x = 100 * jax.random.normal(jax.random.key(0), (2, 30, DIMS))
        for make, gates in ((LSTM, 4), (SimpleRNN, 1)):
            layer = make(UNITS)
            shapes = {
                "kernel": (DIMS, gates * UNITS),
                "recurrent_kernel": (UNITS, gates * UNITS),
                "bias": gates * UNITS,
            }
            params = {name: jnp.ones(shape) for name, shape in shapes.items()}
            gradient = self.variant(jax.grad(lambda p, a, m=layer: jnp.sum(m.apply({"params": p}, a))))(params, x)
            chex.assert_tree_all_finite(gradient)
