import chex
import flax.linen as nn
import pytest

from hsjax.models.layers import Dense
from tests.models.layers import quick


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5)])
def test_it_is_flax_s(use_bias, shape):
    x, flax, module = quick.normal(*shape), nn.Dense(2, use_bias=use_bias), Dense(2, use_bias)
    variables = quick.variables(flax, x)
    chex.assert_trees_all_equal_shapes(quick.shapes(module, x), variables)
    chex.assert_trees_all_close(module.apply(variables, x), flax.apply(variables, x), atol=1e-6)
