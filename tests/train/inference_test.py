"""How many examples go through a network at once: the maps inside of it are many times as large as they are."""

import numpy as np
import pytest

from hsjax.train import inference


@pytest.mark.parametrize(("shape", "most"), [((13, 101), 256), ((50, 2805), 14), ((2000, 2000), 1)])
def test_large_examples_go_few_at_a_time(shape, most):
    inputs, seen = np.arange(most + 3, dtype=np.float32), []
    broadcast = np.broadcast_to(inputs[:, None, None], (most + 3, *shape))

    def forward(chunk):
        seen.append(len(chunk))
        return np.asarray(chunk)[:, 0, :2]

    got = inference._in_chunks(forward, broadcast)
    assert set(seen) == {most}
    np.testing.assert_array_equal(got, np.stack([inputs, inputs], axis=1))
