"""Truncated SVD against numpy's in float64, and networks of two layers for one."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import compress, models
from hsjax.compress import low_rank
from hsjax.models.dscnn import DSCNN
from hsjax.models.layers import EVALUATION, Conv, Execution, Form, Phase, Quantiser, as_maps
from hsjax.models.song import SongStudent
from hsjax.types import Outputs, UserError
from tests.models import family

MFCC = jax.ShapeDtypeStruct((2, 13, 40), jnp.float32)
STUDENT = SongStudent(2, widths=(3, 4), hidden=8, execution=Execution(Form.PLAIN))
SMALL_DSCNN = {"stem": 4, "widths": (6, 8), "depths": (1, 1), "strides": ((1, 1), (2, 2))}


@pytest.mark.parametrize("shape", [(20, 12), (1, 1, 12, 20)])
def test_factors_are_the_nearest(rng, shape):
    kernel = rng.normal(size=shape).astype(np.float32)
    left, values, right = np.linalg.svd(kernel.reshape(shape[-2:]).astype(np.float64), full_matrices=False)
    down, up = low_rank.factors(jnp.asarray(kernel), 5)
    assert (down.shape, up.shape) == ((*shape[:-1], 5), (*shape[:-2], 5, shape[-1]))
    product = np.asarray(down, np.float64).reshape(-1, 5) @ np.asarray(up, np.float64).reshape(5, -1)
    np.testing.assert_allclose(product, (left[:, :5] * values[:5]) @ right[:5], atol=1e-5)
    assert np.linalg.norm(down) == pytest.approx(np.linalg.norm(up), rel=1e-5)
    np.testing.assert_allclose(
        low_rank.energies(jnp.asarray(kernel)), np.cumsum(values**2) / np.sum(values**2), rtol=1e-5
    )


def test_the_rank_that_keeps_a_part_of_the_energy():
    """Squares of the singular values are 16, 4, 4, 1 of 25."""
    kernel = jnp.diag(jnp.array([2.0, 4.0, 1.0, 2.0]))
    for energy, rank in ((0.1, 1), (0.63, 1), (0.65, 2), (0.95, 3), (0.97, 4), (1.0, 4)):
        assert low_rank.rank_of(kernel, energy) == rank
    assert low_rank.rank_of(jnp.zeros((3, 3)), 0.9) == 1


def test_ranks_by_number_and_fraction_where_they_save_something():
    layers = {"hidden": (2400, 16), "block1/expand": (40, 40), "block2/expand": (10, 40), "logits": (16, 2)}
    assert low_rank.chosen(layers, {"hidden": 4}) == (("hidden", 4),)
    # Of 10 x 40, rank 10 is larger than the layer itself; of the longest pattern is the rank.
    assert low_rank.chosen(layers, {"block*": 0.45, "block2*": 10}) == (("block1/expand", 18),)
    with pytest.raises(UserError, match="no linear layer or 1x1 convolution is called 'conv1'; there are hidden"):
        low_rank.chosen(layers, {"conv1": 3})
    with pytest.raises(UserError, match="at ranks logits 2 no layer is smaller"):
        low_rank.chosen(layers, {"logits": 2})


def test_layers_that_can_be_two():
    network = models.build("dscnn", num_classes=3, **SMALL_DSCNN, squeeze_excite=1)
    found = models.factorisable(network, MFCC)
    assert found == {
        "stage1_block1/squeeze_excite/reduce": (4, 4),
        "stage1_block1/squeeze_excite/expand": (4, 4),
        "stage1_block1/pointwise/conv": (4, 6),
        "stage2_block1/squeeze_excite/reduce": (6, 6),
        "stage2_block1/squeeze_excite/expand": (6, 6),
        "stage2_block1/pointwise/conv": (6, 8),
        "logits": (8, 3),
    }
    two = dataclasses.replace(network, ranks=(("logits", 2), ("stage2_block1/pointwise/conv", 3)))
    assert set(found) - set(models.factorisable(two, MFCC)) == {"logits", "stage2_block1/pointwise/conv"}


def test_ranks_by_kept_energy(rng):
    """Kernels of rank 2 and 3 with a little noise keep .99 at these."""

    def kernel(rank, *shape):
        low = rng.normal(size=(shape[-2], rank)) @ rng.normal(size=(rank, shape[-1]))
        return jnp.asarray((low + 0.01 * rng.normal(size=low.shape)).reshape(shape), jnp.float32)

    params = {
        "hidden": {"kernel": kernel(2, 30, 20)},
        "block": {"expand": {"kernel": kernel(3, 1, 1, 16, 40)}},
        "logits": {"kernel": kernel(3, 8, 3)},
    }
    layers = {"hidden": (30, 20), "block/expand": (16, 40), "logits": (8, 3)}
    got = low_rank.by_energy({"params": params}, layers, {"*": 0.99})
    assert got == (("hidden", 2), ("block/expand", 3))
    assert set(compress.factorised({"params": params}, got)["params"]["block"]["expand"]) == {"down", "up"}


class Pointwise(nn.Module):
    """A 1x1 convolution with strides on maps of one channel, which stand for three; and one in groups, which stays."""

    execution: Execution = Execution(Form.PLAIN)

    @nn.compact
    def __call__(self, features, phase: Phase = EVALUATION):
        conv = Conv(4, (1, 1), (2, 2), channels=3, execution=self.execution, name="conv")
        maps = Conv(4, (1, 1), groups=2, name="grouped")(conv(as_maps(features)))
        return Outputs(jnp.mean(maps, (1, 2)), maps, {})


def networks(ranks, module):
    network = models.Network(module)
    return network, dataclasses.replace(network, ranks=ranks)


@pytest.mark.parametrize(
    ("module", "ranks"),
    [
        (STUDENT, (("hidden", 8),)),
        (DSCNN(3, **SMALL_DSCNN), (("stage1_block1/pointwise/conv", 4), ("logits", 3))),
        (Pointwise(), (("conv", 3),)),
    ],
    ids=["student", "dscnn", "pointwise"],
)
def test_at_full_rank_a_network_of_two_layers_for_one_computes_the_same(module, ranks):
    one, two = networks(ranks, module)
    before = family.draw(one, MFCC.shape)
    after = compress.factorised(before, ranks)
    shapes = jax.eval_shape(two.init, jax.random.key(0), MFCC)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, shapes)
    x = jax.random.normal(jax.random.key(2), MFCC.shape)
    got, want = family.hurried(lambda: (two.apply(after, x)[0].logits, one.apply(before, x)[0].logits))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_at_lower_rank_the_layer_is_numpy_s_product():
    one, two = networks((("hidden", 2),), STUDENT)
    before = family.draw(one, MFCC.shape)
    after = compress.factorised(before, two.ranks)
    kernel = np.asarray(before["params"]["hidden"]["kernel"], np.float64)
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    before["params"]["hidden"]["kernel"] = jnp.asarray((left[:, :2] * values[:2]) @ right[:2], jnp.float32)
    x = jax.random.normal(jax.random.key(2), MFCC.shape)
    got, want = family.hurried(lambda: (two.apply(after, x)[0].logits, one.apply(before, x)[0].logits))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    inputs, dims = jax.ShapeDtypeStruct((1, *MFCC.shape[1:]), jnp.float32), len(kernel)
    assert models.macs(one, inputs) - models.macs(two, inputs) == dims * 8 - dims * 2 - 2 * 8
    assert models.parameter_count(before) - models.parameter_count(after) == dims * 8 - dims * 2 - 2 * 8


def test_two_layers_for_one_are_of_their_own_network_alone():
    """Networks share a module, and nothing that is traced or compiled for one is taken for the other."""
    one, two = networks((("hidden", 2),), STUDENT)
    for network, has in ((one, False), (two, True), (one, False)):
        for made in (jax.eval_shape(network.init, jax.random.key(0), MFCC), network.init(jax.random.key(0), MFCC)):
            assert ("down" in made["params"]["hidden"]) is has


def test_what_is_between_is_observed_in_its_phase():
    """An int8 file rounds it: the quantiser has to see it, and when it trains."""
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Noting(Quantiser):
        def activation(self, layer, name, value, phase):
            seen.append(("/".join(layer.path), phase.train))
            return value

    module = STUDENT.clone(execution=Execution(Form.PLAIN, Noting()))
    two = models.Network(module, ranks=(("hidden", 2),))
    variables = family.draw(two, MFCC.shape)
    seen.clear()
    jax.eval_shape(lambda x: two.apply(variables, x, train=True)[0].logits, MFCC)
    assert ("hidden/between", True) in seen
