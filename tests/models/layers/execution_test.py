import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import EVALUATION, BatchNorm, Dropout, Phase, is_frozen
from tests.models.layers import quick


@pytest.mark.parametrize(
    ("path", "pattern", "frozen"),
    [
        ("stem/conv/kernel", "stem", True),  # all of a module
        ("stem/conv/kernel", "stem/*", True),
        ("stem/conv/kernel", "stem/conv/kernel", True),
        ("stem/conv/kernel", "*/kernel", True),
        ("stem/conv/kernel", "conv", False),  # patterns begin at the top
        ("stem/conv/kernel", "stem/norm", False),
        ("stem/conv/kernel", "stem/", False),
        ("stem2/conv/kernel", "stem", False),  # a name, not how it begins
        ("stem2/conv/kernel", "stem*", True),
        ("stage1_block2/conv", "stage[12]_*", True),
        ("stage3_block2/conv", "stage[12]_*", False),
        ("stage3_block2/conv", "stage[!12]*", True),
        ("Stem/conv", "stem", False),
        ("stem/conv", "", False),
    ],
)
def test_patterns(path, pattern, frozen):
    assert is_frozen(tuple(path.split("/")), (pattern,)) == frozen
    assert is_frozen(tuple(path.split("/")), ("nothing", pattern)) == frozen


def test_no_patterns_freeze_nothing():
    assert not is_frozen(("stem",), ())


def test_a_layer_trains_where_the_network_does_and_it_is_not_frozen():
    assert not EVALUATION.trains(("stem",))
    assert Phase(True).trains(("stem",))
    assert not Phase(True, frozen=("stem",)).trains(("stem", "norm"))
    assert Phase(True, frozen=("stem",)).trains(("head", "norm"))
    assert not Phase(False, frozen=("stem",)).trains(("head", "norm"))


def test_a_pattern_for_all_parameters_of_a_layer_freezes_the_layer():
    assert not Phase(True, frozen=("norm/*",)).trains(("norm",))
    assert not Phase(True, frozen=("stem/norm/*",)).trains(("stem", "norm"))
    assert Phase(True, frozen=("stem/norm/scale",)).trains(("stem", "norm"))
    assert Phase(True, frozen=("norm/*",)).trains(("norm2",))


class Two(nn.Module):
    """What behaves otherwise while training, twice."""

    @nn.compact
    def __call__(self, x, phase: Phase = EVALUATION):
        outputs = {}
        for name in ("first", "second"):
            outputs[f"{name}_drop"] = Dropout(0.5, name=f"{name}_drop")(x, phase)
            outputs[f"{name}_norm"] = BatchNorm(name=f"{name}_norm")(x, phase)
        return outputs


@pytest.mark.parametrize("pattern", ["first*", "first_*/*"])
def test_frozen_layers_behave_as_in_evaluation(pattern):
    x = 5 + quick.normal(8, 6)
    module = Two()
    variables = quick.variables(module, x)
    before = {name: {leaf: np.array(value) for leaf, value in stats.items()}
              for name, stats in variables["batch_stats"].items()}  # fmt: skip

    @quick.jit
    def train(mask):
        return module.apply(
            variables, x, Phase(True, mask, (pattern,)), mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )  # fmt: skip

    outputs, moved = train(jnp.ones(8))
    evaluated = quick.jit(module.apply)(variables, x)
    np.testing.assert_array_equal(outputs["first_drop"], x)
    assert np.any(outputs["second_drop"] == 0)
    np.testing.assert_allclose(outputs["first_norm"], evaluated["first_norm"], rtol=1e-6, atol=1e-6)
    assert not np.allclose(outputs["second_norm"], evaluated["second_norm"], atol=0.1)
    for leaf in ("mean", "var"):
        np.testing.assert_array_equal(moved["batch_stats"]["first_norm"][leaf], before["first_norm"][leaf])
        assert np.all(moved["batch_stats"]["second_norm"][leaf] != before["second_norm"][leaf])
