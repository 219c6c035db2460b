"""Sensitivity of layers to few bits: losses by hand in float64, and what is kept of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hsjax import compress, models
from hsjax.compress import Sensitivity
from hsjax.types import UserError

SHAPE = (8, 12)


@pytest.fixture(scope="module")
def student():
    network = models.build("song-student", num_classes=3, widths=(2, 3), hidden=4)
    return network, network.init(jax.random.key(0), jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32))


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, *SHAPE)).astype(np.float32), rng.integers(3, size=300)


def mean_loss(network, variables, inputs, label):
    logits = np.asarray(network.apply(variables, jnp.asarray(inputs))[0].logits, np.float64)
    return -scipy.special.log_softmax(logits, axis=1)[np.arange(len(label)), label].mean()


def test_of_each_kernel_the_loss_with_it_alone_in_four_bits(student, examples):
    network, variables = student
    found = {one.path: one for one in compress.sensitivities(network, variables, *examples)}
    params = variables["params"]
    assert set(found) == {f"{name}/kernel" for name in params}
    before = mean_loss(network, variables, *examples)
    for name, layer in params.items():
        kernel = np.asarray(layer["kernel"], np.float64)
        step = np.abs(kernel).max(tuple(range(kernel.ndim - 1))) / 7
        rounded = jnp.asarray(np.rint(kernel / step) * step, jnp.float32)
        other = variables | {"params": params | {name: layer | {"kernel": rounded}}}
        one = found[f"{name}/kernel"]
        assert one.weights == kernel.size
        np.testing.assert_allclose(one.increase, mean_loss(network, other, *examples) - before, atol=1e-6)
    increases = [one.increase for one in compress.sensitivities(network, variables, *examples)]
    assert increases == sorted(increases, reverse=True)


def test_no_examples_are_refused(student):
    with pytest.raises(UserError, match="needs examples"):
        compress.sensitivities(*student, np.zeros((0, *SHAPE), np.float32), np.zeros(0, int))


FOUND = [Sensitivity("b", 50, 0.2), Sensitivity("a", 10, 0.9), Sensitivity("c", 30, 0.1), Sensitivity("d", 10, -0.1)]


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [(0.0, []), (0.1, ["a"]), (0.4, ["a", "c"]), (0.6, ["a", "b"]), (1.0, ["a", "b", "c"])],
)
def test_the_most_sensitive_that_fit_are_kept(fraction, kept):
    # b does not fit into 0.4 beside a, c does; d gains from fewer bits.
    assert list(compress.kept_wide(FOUND, fraction)) == kept


def test_a_fraction_beyond_one_is_refused():
    with pytest.raises(UserError, match=r"between 0 and 1, not at 1\.5"):
        compress.kept_wide(FOUND, 1.5)
