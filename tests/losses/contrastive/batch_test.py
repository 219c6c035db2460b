"""What all losses over a batch promise, and that sharding the batch over devices changes nothing."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.losses import contrastive


def _info_nce(first, second, label, mask):
    queue = contrastive.init_queue(8, first.shape[1], first.dtype)
    queue = contrastive.enqueue(queue, jnp.eye(first.shape[1], dtype=first.dtype), jnp.ones(first.shape[1]))
    return contrastive.info_nce(first, second, queue, mask, 0.1)


LOSSES = {
    "nt_xent": lambda first, second, label, mask: contrastive.nt_xent(first, second, mask, 0.1),
    "supcon": lambda first, second, label, mask: contrastive.supcon(first, second, label, mask, 0.1),
    "supcon of one view": lambda first, second, label, mask: contrastive.supcon(first, None, label, mask, 0.1),
    "info_nce": _info_nce,
    "barlow_twins": lambda first, second, label, mask: contrastive.barlow_twins(first, second, mask),
    "vicreg": lambda first, second, label, mask: contrastive.vicreg(first, second, mask),
}


@pytest.fixture(scope="module", params=LOSSES)
def members(request, quick):
    """Values (members,) and gradients (views, members, batch, dims) of two batches at once, compiled once for all."""
    step = quick(jax.vmap(jax.value_and_grad(LOSSES[request.param], (0, 1))))

    def of(*batches):
        values, gradients = step(*[jnp.array(np.stack(pair)) for pair in zip(*batches, strict=True)])
        return np.asarray(values), np.asarray(gradients)

    return of


@pytest.fixture
def loss(members):
    """Value and gradients by both views."""

    def of(*batch):
        values, gradients = members(batch, batch)
        return values[0], gradients[:, 0]

    return of


@pytest.fixture
def batch(views):
    return [views.first.astype("f"), views.second.astype("f"), views.label.astype("i"), views.mask.astype("f")]


def test_what_is_masked_counts_nowhere(loss, batch, views):
    value, gradients = loss(*batch)
    assert np.isfinite(value)
    assert value > 0
    assert value.dtype == np.float32
    assert np.abs(gradients[0]).max() > 1e-4
    masked = batch[3] == 0
    np.testing.assert_array_equal(gradients[:, masked], 0)
    for junk in (0.0, 1e30):
        first, second, label = (array.copy() for array in batch[:3])
        first[masked], second[masked], label[masked] = junk, -junk, 99
        other, other_gradients = loss(first, second, label, batch[3])
        assert other == value
        np.testing.assert_array_equal(other_gradients, gradients)


def test_the_order_of_the_examples_does_not_matter(loss, batch):
    value, gradients = loss(*batch)
    order = np.array([3, 0, 7, 2, 6, 5, 1, 4])
    other, other_gradients = loss(*[array[order] for array in batch])
    np.testing.assert_allclose(other, value, rtol=1e-5)
    np.testing.assert_allclose(other_gradients, gradients[:, order], rtol=1e-4, atol=1e-5)


def test_nothing_unmasked_gives_zero(loss, batch):
    nothing, junk = np.zeros(8, np.float32), np.full((8, 3), np.nan, np.float32)
    for first, second in (batch[:2], (junk, junk)):
        value, gradients = loss(first, second, batch[2], nothing)
        assert value == 0
        np.testing.assert_array_equal(gradients, 0)


def test_one_example_and_zero_vectors_stay_finite(loss, batch):
    zero, one = np.zeros((8, 3), np.float32), np.eye(8, dtype=np.float32)[2]
    for first, second in (batch[:2], (zero, zero)):
        for mask in (one, batch[3]):
            value, gradients = loss(first, second, batch[2], mask)
            assert np.isfinite(value)
            assert np.isfinite(gradients).all()


def test_an_overflow_in_an_unmasked_example_is_not_hidden(loss, batch):
    batch[0][2] = np.inf
    assert not np.isfinite(loss(*batch)[0])


def test_members_do_not_meet(members, loss, batch):
    other = [array[::-1] for array in (batch[1] ** 3, batch[0], batch[2], batch[3])]
    values, gradients = members(batch, other)
    assert values[0] != values[1]
    for member, alone in enumerate((batch, other)):
        value, alone_gradients = loss(*alone)
        np.testing.assert_allclose(values[member], value, rtol=1e-6)
        np.testing.assert_allclose(gradients[:, member], alone_gradients, rtol=1e-5, atol=1e-6)


# Each device holds two of sixteen rows, some of them none that is unmasked. In float64, where the order of a sum hardly
# shows and anything else does.
SHARDED = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from hsjax.losses import contrastive

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
mask = np.array([1, 1, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1.0])
first, second = np.where(mask[:, None] > 0, rng.normal(size=(2, 16, 3)), np.nan)
label, keys = rng.integers(0, 3, 16), rng.normal(size=(9, 4))
keys /= np.linalg.norm(keys, axis=1, keepdims=True)

def losses(first, second, label, mask, queue):
    head = contrastive.init_mlp(jax.random.key(0), (3, 8, 4), True, jnp.float64)
    first, second = contrastive.mlp(head, first, mask), contrastive.mlp(head, second, mask)
    values = {
        "nt_xent": contrastive.nt_xent(first, second, mask, 0.1),
        "supcon": contrastive.supcon(first, second, label, mask, 0.1),
        "info_nce": contrastive.info_nce(first, second, queue, mask, 0.1),
        "barlow_twins": contrastive.barlow_twins(first, second, mask),
        "vicreg": contrastive.vicreg(first, second, mask),
        "byol": jnp.sum(jnp.where(mask > 0, contrastive.byol(first, second), 0)),
    }
    return sum(values.values()), (values, contrastive.enqueue(queue, first, mask))

step = jax.jit(jax.value_and_grad(losses, (0, 1), has_aux=True), compiler_options=json.loads(sys.argv[1]))
batch = [jnp.array(array) for array in (first, second, label, mask)]
spread = jax.device_put(batch, NamedSharding(Mesh(jax.devices(), ("data",)), PartitionSpec("data")))
assert all(len({shard.device for shard in array.addressable_shards}) == 8 for array in spread)
assert all(shard.data.shape[0] == 2 for array in spread for shard in array.addressable_shards)
queue = contrastive.MoCoQueue(jnp.array(keys), jnp.int32(5), jnp.int32(5))
want, got = step(*batch, queue), step(*spread, queue)
assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in jax.tree.leaves(want))
jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12), want, got)
"""


def test_a_batch_spread_over_devices_is_one_batch(quick_options):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SHARDED, json.dumps(quick_options)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert child.returncode == 0, child.stderr
