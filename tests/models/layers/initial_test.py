import math

import jax
import numpy as np
import pytest

from hsjax.models.layers import he_fan_out, torch_uniform
from tests.models.layers import quick

SHAPE = (3, 5, 16, 32)  # fan in 240, fan out 480


@pytest.fixture(scope="module")
def drawn():
    kernels = quick.jit(lambda key: (torch_uniform(key, SHAPE), he_fan_out(key, SHAPE)))(jax.random.key(0))
    return [np.asarray(kernel) for kernel in kernels]


def test_torch_uniform_has_pytorch_s_bounds(drawn):
    bound = 1 / math.sqrt(240)
    assert 0.99 * bound < drawn[0].max() <= bound
    assert -bound <= drawn[0].min() < -0.99 * bound
    np.testing.assert_allclose(drawn[0].std(), bound / math.sqrt(3), rtol=0.02)


def test_he_fan_out_has_torchvision_s_spread(drawn):
    np.testing.assert_allclose(drawn[1].std(), math.sqrt(2 / 480), rtol=0.02)
    assert drawn[1].max() > 3 * math.sqrt(2 / 480)  # not cut off
